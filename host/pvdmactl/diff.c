// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * diff.c - the difference of two texts, shown to a person
 *
 * Owns: the run of diff(1). The texts, which may hold secrets, are handed over
 * in memory, and never stand in a file.
 *
 * Locks: none. In a request's way: not.
 */
#include "diff.h"

#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/log.h"

/* A descriptor that reads as @text, and which children keep. */
static int text_fd(const char *text)
{
	_cleanup_close_ int fd = memfd_create("text", 0);
	size_t n = strlen(text), done = 0;

	if (fd < 0)
		return -errno;
	while (done < n) {
		ssize_t written = write(fd, text + done, n - done);

		if (written < 0)
			return -errno;
		done += (size_t)written;
	}
	if (lseek(fd, 0, SEEK_SET) < 0)
		return -errno;
	return steal_fd(&fd);
}

/* Runs @argv; its exit status, or a negative errno. */
static int run(const char *const *argv)
{
	int status, r;
	pid_t pid;

	(void)fflush(stdout);
	r = posix_spawnp(&pid, argv[0], NULL, NULL, (char *const *)argv,
			 environ);
	if (r != 0)
		return -r;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -EIO;
}

int diff_show(const char *before, const char *before_name, const char *after,
	      const char *after_name)
{
	_cleanup_close_ int before_fd = text_fd(before);
	_cleanup_close_ int after_fd = text_fd(after);
	char before_path[32], after_path[32];
	const char *const argv[] = {
		"diff",	    "-u",	 "--label",  before_name, "--label",
		after_name, before_path, after_path, NULL,
	};
	int r;

	if (before_fd < 0 || after_fd < 0)
		return log_err_errno(before_fd < 0 ? before_fd : after_fd,
				     "cannot show the difference");
	(void)snprintf(before_path, sizeof(before_path), "/dev/fd/%d",
		       before_fd);
	(void)snprintf(after_path, sizeof(after_path), "/dev/fd/%d", after_fd);
	r = run(argv);
	if (r < 0)
		return log_err_errno(r, "cannot run diff");
	if (r > 1) {
		log_err("cannot show the difference: diff ended with %d", r);
		return -EIO;
	}
	return 0;
}
