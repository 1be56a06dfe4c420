// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * net.c: bytes over TCP that both ends can verify
 *
 * A connection carries one job. The client sends a line, "get BYTES\n" or
 * "put BYTES\n", then one side streams the pattern of seed BYTES; after a put
 * the server answers with a line "ok\n" or "bad OFFSET\n".
 *
 * After "rr COUNT BYTES\n" the client sends COUNT requests of BYTES bytes, each
 * when the answer to the one before is there. Each message has a pattern of
 * its own, so that one that is late, lost or repeated is seen; the server closes
 * the connection at a wrong one.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "work.h"

#define CHUNK	    65536
#define MESSAGE_MAX 65536

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
static int client(char **argv, const char *line)
{
	struct sockaddr_in sin = { .sin_family = AF_INET };
	int fd;

	sin.sin_port = htons((uint16_t)parse_bytes(argv[1]));
	if (inet_pton(AF_INET, argv[0], &sin.sin_addr) != 1) {
		printf("error='%s' is not an IPv4 address\n", argv[0]);
		return -1;
	}
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
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
	char line[64];
	int64_t bad;
	int fd;

	(void)argc;
	signal(SIGPIPE, SIG_IGN);
	snprintf(line, sizeof(line), "get %" PRIu64 "\n", bytes);
	fd = client(argv, line);
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
	char line[64], answer[64] = "no answer";
	int fd, bad;

	(void)argc;
	signal(SIGPIPE, SIG_IGN);
	snprintf(line, sizeof(line), "put %" PRIu64 "\n", bytes);
	fd = client(argv, line);
	if (fd < 0)
		return 1;
	bad = stream_send(fd, bytes) || read_line(fd, answer, sizeof(answer)) ||
	      strcmp(answer, "ok");
	if (bad)
		printf("error=put: the server said: %s\n", answer);
	close(fd);
	return report("put", bytes, now() - start, bad);
}

/* Each message leaves at once. */
static int no_delay(int fd)
{
	int one = 1;

	return setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

/* The message of a number, counted over both directions. */
static void message_fill(uint8_t *buf, size_t len, uint64_t number)
{
	pattern_fill(buf, (len + 7) / 8 * 8, chunk_seed(len, number));
}

static int message_send(int fd, size_t len, uint64_t number)
{
	static uint8_t buf[MESSAGE_MAX];

	message_fill(buf, len, number);
	return write_all(fd, buf, len);
}

static int message_check(int fd, size_t len, uint64_t number)
{
	static uint8_t buf[MESSAGE_MAX], want[MESSAGE_MAX];

	message_fill(want, len, number);
	return read_all(fd, buf, len) == len && !memcmp(buf, want, len) ? 0 :
									  -1;
}

int net_rr(int argc, char **argv)
{
	uint64_t count = parse_bytes(argv[2]), bytes = parse_bytes(argv[3]);
	uint64_t done = 0;
	double start;
	char line[64];
	int fd;

	(void)argc;
	if (bytes > MESSAGE_MAX) {
		fprintf(stderr, "pvdma-work: a message of at most %d bytes\n",
			MESSAGE_MAX);
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	snprintf(line, sizeof(line), "rr %" PRIu64 " %" PRIu64 "\n", count,
		 bytes);
	fd = client(argv, line);
	if (fd < 0 || no_delay(fd))
		return 1;
	start = now();
	while (done < count && !message_send(fd, bytes, 2 * done) &&
	       !message_check(fd, bytes, 2 * done + 1))
		done++;
	if (done < count)
		printf("error=rr: exchange %" PRIu64 " went wrong\n", done);
	printf("net_rr_exchanges=%" PRIu64 "\n", done);
	close(fd);
	return report("rr", done * bytes * 2, now() - start, done < count);
}

static void serve_rr(int in, int out, uint64_t count, uint64_t bytes)
{
	if (bytes > MESSAGE_MAX)
		return;
	(void)no_delay(out); /* standard output may be no socket */
	for (uint64_t i = 0; i < count; i++)
		if (message_check(in, bytes, 2 * i) ||
		    message_send(out, bytes, 2 * i + 1))
			return;
}

static void serve_one(int in, int out)
{
	char line[64], answer[64];
	uint64_t bytes, count;
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
	} else if (sscanf(line, "rr %" SCNu64 " %" SCNu64, &count, &bytes) ==
		   2) {
		serve_rr(in, out, count, bytes);
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
