/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fds.h - descriptors of all kinds, good and bad, as a hostile peer sends them
 */
#ifndef PVDMA_TESTS_FUZZ_FDS_H
#define PVDMA_TESTS_FUZZ_FDS_H

#include <stddef.h>
#include <stdint.h>

/* More than any of our protocols allows in a message; the kernel takes 253. */
#define FUZZ_FDS_MANY 250

enum fuzz_fd {
	FUZZ_FD_MEMORY, /* a memfd, as it should be */
	FUZZ_FD_EVENT,
	FUZZ_FD_SMALL, /* a memfd of less than a page */
	FUZZ_FD_READ_ONLY,
	FUZZ_FD_PIPE, /* at its end, and so always readable */
	FUZZ_FD_FOLDER,
	FUZZ_FD_SOCKET,
	FUZZ_FD_KICK,  /* an eventfd that does not block; see fuzz_fds_kick() */
	FUZZ_FD_NULL,  /* /dev/null */
	FUZZ_FD_HUGE,  /* a memfd as large as can be, of nothing */
	FUZZ_FD_FIXED, /* a memfd that nobody can write to any more */
	FUZZ_FD_LATE,  /* likewise, but for who has mapped it */
	FUZZ_FD_GONE,  /* a socket whose other end is closed */
	FUZZ_FD_PATH,  /* O_PATH: good for nothing */
	FUZZ_FD_TIMER,
	FUZZ_FD_MIXED, /* one of each, in this order */
	FUZZ_FD_KINDS
};

/*
 * Opens all of them; the memory has @size bytes, of which @ret_memory gets a
 * map, unless it is NULL. Aborts if that cannot be done.
 */
void fuzz_fds_open(size_t size, uint8_t **ret_memory);

/* The descriptor of this kind; it lives as long as the process. */
int fuzz_fds_get(enum fuzz_fd kind);

void fuzz_fds_kick(void);

/*
 * Sends @size bytes over the socket @peer as far as it takes them, with
 * descriptors as @fds says: their number in the lower four bits, of which the
 * highest stands for more than any message may have; their kind in the others.
 * What a closed socket says to it is ignored.
 */
void fuzz_fds_send(int peer, const void *buf, size_t size, uint8_t fds);

/* The same with one descriptor, which is closed then. */
void fuzz_fds_send_one(int peer, const void *buf, size_t size, int fd);

/*
 * Reads all that waits at the socket @peer, and closes the descriptors that
 * come with it. Nonzero: there was something.
 */
int fuzz_fds_drain(int peer);

/* How many descriptors are open, to see that none leaks. */
unsigned int fuzz_fds_count(void);

#endif
