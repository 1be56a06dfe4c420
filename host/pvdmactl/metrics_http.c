// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * metrics_http.c - as much of HTTP/1.1 as a scrape of metrics takes
 *
 * One request, one answer, end of connection. What is sent is not trusted: it is
 * bounded in size and in time.
 *
 * Owns: nothing. Locks: none. In a request's way: not.
 */
#include "metrics.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/macros.h"

#define HEAD_SIZE 8192
#define HEAD_NS	  UINT64_C(5000000000)
/* What is taken after the answer. */
#define DRAIN_MS    1000
#define DRAIN_READS 16

static const struct {
	int status;
	const char *text;
} texts[] = {
	{ 200, "OK" },
	{ 400, "Bad Request" },
	{ 404, "Not Found" },
	{ 405, "Method Not Allowed" },
	{ 408, "Request Timeout" },
	{ 431, "Request Header Fields Too Large" },
	{ 503, "Service Unavailable" },
};

const char *metrics_content_type(enum metrics_format format)
{
	return format == METRICS_OPENMETRICS ?
		       "application/openmetrics-text; version=1.0.0; "
		       "charset=utf-8" :
		       "text/plain; version=0.0.4; charset=utf-8";
}

/* Reads up to the empty line. 200, or a status that says why not. */
static int read_head(int fd, char head[static HEAD_SIZE])
{
	uint64_t end = clock_ns() + HEAD_NS, now;
	size_t used = 0;

	while (used < HEAD_SIZE - 1) {
		struct pollfd ready = { .fd = fd, .events = POLLIN };
		ssize_t n;

		now = clock_ns();
		if (now >= end ||
		    poll(&ready, 1, (int)((end - now) / 1000000) + 1) <= 0)
			return 408;
		n = read(fd, head + used, HEAD_SIZE - 1 - used);
		if (n <= 0)
			return 400;
		used += (size_t)n;
		head[used] = '\0';
		if (strlen(head) != used)
			return 400;
		if (strstr(head, "\r\n\r\n") || strstr(head, "\n\n"))
			return 200;
	}
	return 431;
}

int metrics_http_read(int fd, enum metrics_format *ret)
{
	char head[HEAD_SIZE];
	size_t len;
	int status = read_head(fd, head);

	if (status != 200)
		return status;
	if (strncmp(head, "GET ", 4) != 0)
		return 405;
	len = strcspn(head + 4, " ?\r\n");
	if (len != strlen("/metrics") ||
	    strncmp(head + 4, "/metrics", len) != 0)
		return 404;
	*ret = strstr(head, "application/openmetrics-text") ?
		       METRICS_OPENMETRICS :
		       METRICS_PROMETHEUS;
	return 200;
}

static const char *text_of(int status)
{
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		if (texts[i].status == status)
			return texts[i].text;
	return "Error";
}

/*
 * Takes what the client still says: an end of connection with bytes unread would
 * take the answer with it.
 */
static void drain(int fd)
{
	struct pollfd ready = { .fd = fd, .events = POLLIN };
	char bytes[4096];

	(void)shutdown(fd, SHUT_WR);
	for (int i = 0; i < DRAIN_READS; i++)
		if (poll(&ready, 1, DRAIN_MS) <= 0 ||
		    read(fd, bytes, sizeof(bytes)) <= 0)
			return;
}

int metrics_http_answer(int fd, int status, enum metrics_format format,
			const char *body, size_t size)
{
	const char *text = text_of(status);
	FILE *f = fdopen(dup(fd), "w");
	bool failed;

	if (!f)
		return -errno;
	fprintf(f,
		"HTTP/1.1 %d %s\r\nContent-Type: %s\r\n"
		"Content-Length: %zu\r\nConnection: close\r\n\r\n",
		status, text,
		body ? metrics_content_type(format) : "text/plain",
		body ? size : strlen(text) + 1);
	if (body)
		(void)fwrite(body, 1, size, f);
	else
		fprintf(f, "%s\n", text);
	failed = ferror(f);
	failed = fclose(f) != 0 || failed;
	drain(fd);
	return failed ? -EIO : 0;
}
