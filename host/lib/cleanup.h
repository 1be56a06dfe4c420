/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Ownership of file descriptors and allocations by scope.
 *
 * Convention: a file descriptor variable that owns nothing holds -EBADF, so
 * that an accidental use is an error and not a use of fd 0. A variable with a
 * cleanup attribute is always initialised at its declaration. Handing
 * ownership on is spelled steal_fd() or steal_ptr(), never by hand.
 */
#ifndef PVDMA_LIB_CLEANUP_H
#define PVDMA_LIB_CLEANUP_H

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(f) __attribute__((cleanup(f)))

/*
 * Closes @fd when it is one, keeps errno, and returns -EBADF, so that the
 * caller can write fd = close_fd(fd). Negative values are ignored. close()
 * is not retried: on Linux the descriptor is gone even after EINTR.
 */
static inline int close_fd(int fd)
{
	if (fd >= 0) {
		int saved = errno;

		(void)close(fd);
		errno = saved;
	}
	return -EBADF;
}

/* Closes each of @n descriptors at @fds and marks each as -EBADF. */
static inline void close_fds(int *fds, size_t n)
{
	for (size_t i = 0; i < n; i++)
		fds[i] = close_fd(fds[i]);
}

/* Gives *@fd to the caller; *@fd owns nothing afterwards. */
static inline int steal_fd(int *fd)
{
	int ret = *fd;

	*fd = -EBADF;
	return ret;
}

/* Gives the object that @p points to to the caller; @p becomes NULL. */
#define steal_ptr(p)                                   \
	({                                             \
		__typeof__(p) *steal_pp_ = &(p);       \
		__typeof__(p) steal_ret_ = *steal_pp_; \
		*steal_pp_ = NULL;                     \
		steal_ret_;                            \
	})

static inline void cleanup_close(int *fd)
{
	*fd = close_fd(*fd);
}

static inline void cleanup_free(void *p)
{
	free(*(void **)p);
}

static inline void cleanup_fclose(FILE **f)
{
	int saved = errno;

	if (*f)
		(void)fclose(*f);
	errno = saved;
}

#define _cleanup_close_	 _cleanup_(cleanup_close)
#define _cleanup_free_	 _cleanup_(cleanup_free)
#define _cleanup_fclose_ _cleanup_(cleanup_fclose)

/*
 * Defines cleanup_<name>() for use as _cleanup_(cleanup_<name>) on a variable
 * of type @type; @destroy takes NULL, as all our destructors do.
 */
#define DEFINE_CLEANUP(name, type, destroy)        \
	static inline void cleanup_##name(type *p) \
	{                                          \
		(void)destroy(*p);                 \
	}                                          \
	struct cleanup_##name##_takes_a_semicolon

#endif /* PVDMA_LIB_CLEANUP_H */
