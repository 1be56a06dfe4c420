// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * trace_store.c - traces from and to files
 *
 * Owns nothing. What goes wrong is logged here, once, with the file's name.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/lib/cleanup.h"
#include "host/lib/file.h"
#include "host/lib/log.h"
#include "host/sim/trace_file.h"

/* All of @fd, at most TRACE_FILE_MAX bytes. */
static int read_all(int fd, uint8_t **ret, size_t *ret_size)
{
	_cleanup_free_ uint8_t *buf = NULL;
	size_t len = 0, max = 0;

	for (;;) {
		ssize_t n;

		if (len == max) {
			uint8_t *bigger;

			max = 2 * max + 65536;
			bigger = realloc(buf, max);
			if (!bigger)
				return -ENOMEM;
			buf = bigger;
		}
		n = read(fd, buf + len, max - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		len += (size_t)n;
		if (len > TRACE_FILE_MAX)
			return -EFBIG;
	}
	*ret = steal_ptr(buf);
	*ret_size = len;
	return 0;
}

int trace_load(const char *path, struct trace **ret)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	_cleanup_free_ uint8_t *buf = NULL;
	size_t size = 0, offset = 0;
	int r;

	if (fd < 0)
		return log_err_errno(errno, "cannot open %s", path);
	r = read_all(fd, &buf, &size);
	if (r)
		return log_err_errno(r, "cannot read %s", path);
	r = trace_decode(buf, size, ret, &offset);
	if (r < 0)
		return log_err_errno(r, "cannot load %s", path);
	if (r > 0) {
		log_err("%s: %s (at byte %zu)", path, trace_verdict_text(r),
			offset);
		return -EBADMSG;
	}
	return 0;
}

int trace_save(const struct trace *trace, const char *path)
{
	_cleanup_free_ uint8_t *buf = NULL;
	size_t size;
	int r = trace_encode(trace, &buf, &size);

	if (!r && size > TRACE_FILE_MAX) {
		log_err("%s: %zu bytes are more than a trace may have (%llu): "
			"record for less time, or fewer devices",
			path, size, (unsigned long long)TRACE_FILE_MAX);
		return -EFBIG;
	}
	if (!r)
		r = file_replace(path, buf, size, 0644);
	return r ? log_err_errno(r, "cannot write %s", path) : 0;
}
