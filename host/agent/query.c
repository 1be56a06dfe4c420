// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * query.c - the client of a control socket
 *
 * Owns: one connection for the time of one command. Waits for the answer, but
 * not for ever: a script must not hang on an agent that does.
 */
#include "query.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "lib/cleanup.h"
#include "lib/log.h"
#include "lib/socket.h"

#define TIMEOUT_SECONDS 10

static int send_command(int fd, char *const *words, int count)
{
	_cleanup_free_ char *line = NULL;
	size_t size = 0, sent = 0;
	FILE *f = open_memstream(&line, &size);

	if (!f)
		return -ENOMEM;
	for (int i = 0; i < count; i++)
		fprintf(f, "%s%s", i == 0 ? "" : " ", words[i]);
	fputc('\n', f);
	if (fclose(f) != 0)
		return -ENOMEM;
	while (sent < size) {
		ssize_t n = send(fd, line + sent, size - sent, MSG_NOSIGNAL);

		if (n < 0)
			return -errno;
		sent += (size_t)n;
	}
	return 0;
}

/* Prints the answer up to its newline. Positive: it is an error. */
static int print_answer(int fd)
{
	static const char error_start[] = "{\"error\"";
	_cleanup_free_ char *line = NULL;
	_cleanup_fclose_ FILE *f = fdopen(fd, "r");
	size_t size = 0;
	ssize_t n;

	if (!f) {
		close_fd(fd);
		return -ENOMEM;
	}
	errno = 0;
	n = getline(&line, &size, f);
	if (n <= 0)
		return errno == EAGAIN ? -ETIMEDOUT :
		       errno	       ? -errno :
					 -ECONNRESET;
	fputs(line, stdout);
	if (fflush(stdout) != 0)
		return -errno;
	return strncmp(line, error_start, sizeof(error_start) - 1) == 0;
}

int query_run(const char *path, char *const *words, int count)
{
	const struct timeval timeout = { .tv_sec = TIMEOUT_SECONDS };
	_cleanup_close_ int fd = socket_connect(path);
	int r;

	if (fd < 0)
		return log_err_errno(fd, "cannot connect to %s", path);
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout,
			 sizeof(timeout));
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout,
			 sizeof(timeout));
	r = send_command(fd, words, count);
	if (r == 0)
		r = print_answer(steal_fd(&fd));
	if (r < 0)
		return log_err_errno(r, "%s does not answer", path);
	return r;
}
