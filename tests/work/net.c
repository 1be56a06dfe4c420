// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * net.c: bytes over TCP that both ends can verify
 *
 * A connection carries one exchange. The client sends a line, "get BYTES\n" or
 * "put BYTES\n", then one side streams the pattern of seed BYTES; after a put
 * the server answers with a line "ok\n" or "bad OFFSET\n".
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "work.h"

#define CHUNK 65536

/* The pattern is restarted with a new seed in each chunk. */
static uint64_t chunk_seed(uint64_t bytes, uint64_t at)
{
	return bytes * 31 + at;
}

static int write_all(int fd, const void *buf, size_t len)
{
	const char *p = buf;

	while (len) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

/* Returns the bytes read: less than @len only at the end of the stream. */
static size_t read_all(int fd, void *buf, size_t len)
{
	size_t got = 0;

	while (got < len) {
		ssize_t n = read(fd, (char *)buf + got, len - got);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		got += (size_t)n;
	}
	return got;
}

static int read_line(int fd, char *line, size_t size)
{
	size_t n = 0;

	while (n + 1 < size) {
		if (read_all(fd, line + n, 1) != 1)
			return -1;
		if (line[n] == '\n') {
			line[n] = '\0';
			return 0;
		}
		n++;
	}
	return -1;
}

static int stream_send(int fd, uint64_t bytes)
{
	static uint8_t buf[CHUNK];

	for (uint64_t at = 0; at < bytes; at += CHUNK) {
		size_t n = bytes - at < CHUNK ? (size_t)(bytes - at) : CHUNK;

		pattern_fill(buf, CHUNK, chunk_seed(bytes, at));
		if (write_all(fd, buf, n))
			return -1;
	}
	return 0;
}

/* -1: all was right; else the offset of the first wrong or missing byte. */
static int64_t stream_check(int fd, uint64_t bytes)
{
	static uint8_t buf[CHUNK], want[CHUNK];

	for (uint64_t at = 0; at < bytes; at += CHUNK) {
		size_t n = bytes - at < CHUNK ? (size_t)(bytes - at) : CHUNK;
		size_t got = read_all(fd, buf, n);

		pattern_fill(want, CHUNK, chunk_seed(bytes, at));
		for (size_t i = 0; i < n; i++)
			if (i >= got || buf[i] != want[i])
				return (int64_t)(at + i);
	}
	return -1;
}

/* Connects to an IPv4 address and says what is wanted. The socket, or -1. */
static int client(char **argv, const char *verb, uint64_t bytes)
{
	struct sockaddr_in sin = { .sin_family = AF_INET };
	char line[64];
	int fd;

	sin.sin_port = htons((uint16_t)parse_bytes(argv[1]));
	if (inet_pton(AF_INET, argv[0], &sin.sin_addr) != 1) {
		printf("error='%s' is not an IPv4 address\n", argv[0]);
		return -1;
	}
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	snprintf(line, sizeof(line), "%s %" PRIu64 "\n", verb, bytes);
	if (fd >= 0 && !connect(fd, (struct sockaddr *)&sin, sizeof(sin)) &&
	    !write_all(fd, line, strlen(line)))
		return fd;
	printf("error=connect to %s port %s: %s\n", argv[0], argv[1],
	       strerror(errno));
	if (fd >= 0)
		close(fd);
	return -1;
}

static int report(const char *verb, uint64_t bytes, double seconds, int bad)
{
	printf("net_%s_bytes=%" PRIu64 "\nnet_%s_seconds=%.3f\n", verb, bytes,
	       verb, seconds);
	printf("net_%s_verified=%s\n", verb, bad ? "false" : "true");
	return bad ? 1 : 0;
}

int net_get(int argc, char **argv)
{
	uint64_t bytes = parse_bytes(argv[2]);
	double start = now();
	int64_t bad;
	int fd;

	(void)argc;
	signal(SIGPIPE, SIG_IGN);
	fd = client(argv, "get", bytes);
	if (fd < 0)
		return 1;
	bad = stream_check(fd, bytes);
	if (bad >= 0)
		printf("error=get: byte %" PRId64 " is wrong or missing\n",
		       bad);
	close(fd);
	return report("get", bytes, now() - start, bad >= 0);
}

int net_put(int argc, char **argv)
{
	uint64_t bytes = parse_bytes(argv[2]);
	double start = now();
	char line[64] = "no answer";
	int fd, bad;

	(void)argc;
	signal(SIGPIPE, SIG_IGN);
	fd = client(argv, "put", bytes);
	if (fd < 0)
		return 1;
	bad = stream_send(fd, bytes) || read_line(fd, line, sizeof(line)) ||
	      strcmp(line, "ok");
	if (bad)
		printf("error=put: the server said: %s\n", line);
	close(fd);
	return report("put", bytes, now() - start, bad);
}

static void serve_one(int in, int out)
{
	char line[64], answer[64];
	uint64_t bytes;
	int64_t bad;

	if (read_line(in, line, sizeof(line)))
		return;
	if (sscanf(line, "get %" SCNu64, &bytes) == 1) {
		stream_send(out, bytes);
	} else if (sscanf(line, "put %" SCNu64, &bytes) == 1) {
		bad = stream_check(in, bytes);
		if (bad < 0)
			snprintf(answer, sizeof(answer), "ok\n");
		else
			snprintf(answer, sizeof(answer), "bad %" PRId64 "\n",
				 bad);
		write_all(out, answer, strlen(answer));
	}
}

/* PORT on loopback, a child for each connection; "-": stdin and stdout. */
int net_serve(int argc, char **argv)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
				   .sin_addr = { htonl(INADDR_LOOPBACK) } };
	int one = 1, fd, conn;

	(void)argc;
	signal(SIGPIPE, SIG_IGN);
	if (!strcmp(argv[0], "-")) {
		serve_one(0, 1);
		return 0;
	}
	signal(SIGCHLD, SIG_IGN);
	sin.sin_port = htons((uint16_t)parse_bytes(argv[0]));
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) ||
	    bind(fd, (struct sockaddr *)&sin, sizeof(sin)) || listen(fd, 16)) {
		perror("pvdma-work: serve");
		return 1;
	}
	while ((conn = accept4(fd, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		if (!fork()) {
			serve_one(conn, conn);
			_exit(0);
		}
		close(conn);
	}
	perror("pvdma-work: accept");
	return 1;
}
