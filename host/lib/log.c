// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * log.c: one message, formatted once, to the journal or to stderr.
 *
 * Owns the process's log settings: the level, the VM's name, and the knowledge
 * of what stderr is.
 *
 * Invariant: no message is lost because of where it should have gone. When the
 * journal does not take it, it is written to stderr with its syslog priority in
 * front, as sd-daemon(3) describes, and the journal reads it there.
 *
 * Locks: none; one thread logs.
 */
#include "log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>

#include "macros.h"

/* Longest "NAME=value" of an event; what is longer is cut. */
#define LOG_FIELD_MAX 512

#define JOURNAL_SOCKET "/run/systemd/journal/socket"

enum log_target {
	LOG_TARGET_UNKNOWN, /* nothing was logged yet */
	LOG_TARGET_STDERR,  /* a terminal, a file, a pipe */
	LOG_TARGET_STREAM,  /* the journal's stream, and no way to its socket */
	LOG_TARGET_JOURNAL, /* the journal's socket: messages have fields */
};

static struct {
	enum log_target target;
	int max_level;
	char *vm_field; /* "PVDMA_VM=name" or NULL */
	char last_error[LOG_MESSAGE_MAX];
	/* Of the event that is being written; NULL: it is none. */
	const char *event_id;
	const struct log_field *event_fields;
} log_state = {
	.max_level = LOG_INFO,
};

static const char *const level_names[] = {
	[LOG_EMERG] = "emerg",	   [LOG_ALERT] = "alert",
	[LOG_CRIT] = "crit",	   [LOG_ERR] = "err",
	[LOG_WARNING] = "warning", [LOG_NOTICE] = "notice",
	[LOG_INFO] = "info",	   [LOG_DEBUG] = "debug",
};

/*
 * systemd names the stream that it connected to stderr in $JOURNAL_STREAM, as
 * "device:inode".
 */
static bool stderr_is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	char ours[48];
	struct stat st;

	if (!stream || fstat(STDERR_FILENO, &st) < 0)
		return false;
	(void)snprintf(ours, sizeof(ours), "%llu:%llu",
		       (unsigned long long)st.st_dev,
		       (unsigned long long)st.st_ino);
	return strcmp(stream, ours) == 0;
}

void log_reopen(void)
{
	int saved = errno;

	if (!stderr_is_journal())
		log_state.target = LOG_TARGET_STDERR;
	else if (access(JOURNAL_SOCKET, W_OK) < 0)
		log_state.target = LOG_TARGET_STREAM;
	else
		log_state.target = LOG_TARGET_JOURNAL;
	errno = saved;
}

void log_set_vm(const char *name)
{
	int saved = errno;
	char *field = NULL;

	if (name && asprintf(&field, "PVDMA_VM=%s", name) < 0)
		field = NULL;
	free(log_state.vm_field);
	log_state.vm_field = field;
	errno = saved;
}

void log_set_max_level(int level)
{
	log_state.max_level = min(level, LOG_DEBUG);
}

int log_get_max_level(void)
{
	return log_state.max_level;
}

const char *log_last_error(void)
{
	return log_state.last_error;
}

int log_level_from_string(const char *s, int *ret)
{
	for (size_t i = 0; i < ARRAY_SIZE(level_names); i++) {
		const char digit[] = { (char)('0' + i), '\0' };

		if (strcmp(s, level_names[i]) == 0 || strcmp(s, digit) == 0) {
			*ret = (int)i;
			return 0;
		}
	}
	return -EINVAL;
}

/* Puts no more than a printable rest of the message at the end of a cut. */
static void mark_truncated(char *msg, size_t size)
{
	memcpy(msg + size - sizeof("..."), "...", sizeof("..."));
}

/* A peer's string must not start a line of its own or drive a terminal. */
static void replace_controls(char *msg)
{
	for (; *msg; msg++) {
		unsigned char c = (unsigned char)*msg;

		if (c < 0x20 || c == 0x7f)
			*msg = '?';
	}
}

__attribute__((format(printf, 3, 0))) static void
format_message(char *msg, size_t size, const char *fmt, va_list ap)
{
	int n = vsnprintf(msg, size, fmt, ap);

	if (n < 0)
		(void)snprintf(msg, size, "(bad message: %s)", fmt);
	else if ((size_t)n >= size)
		mark_truncated(msg, size);
	replace_controls(msg);
}

/* Appends to a NUL-terminated message what fits. */
__attribute__((format(printf, 3, 4))) static void
append_message(char *msg, size_t size, const char *fmt, ...)
{
	size_t used = strlen(msg);
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(msg + used, size - used, fmt, ap);
	va_end(ap);
	if (n >= 0 && (size_t)n >= size - used)
		mark_truncated(msg, size);
}

static void emit_stderr(int level, const char *msg)
{
	char line[LOG_MESSAGE_MAX + 32];
	int n;

	if (log_state.target == LOG_TARGET_STDERR)
		n = snprintf(line, sizeof(line), "%s: %s\n", level_names[level],
			     msg);
	else
		n = snprintf(line, sizeof(line), "<%d>%s\n", level, msg);
	if (n < 0)
		return;
	/* One write, so that lines of several processes do not mix. */
	while (write(STDERR_FILENO, line, (size_t)n) < 0 && errno == EINTR)
		;
}

static struct iovec field_iov(char *field)
{
	return (struct iovec){ .iov_base = field, .iov_len = strlen(field) };
}

/* What an event has beside its words; @texts is where it is put together. */
static size_t event_iov(struct iovec *iov,
			char texts[static LOG_FIELDS_MAX + 1][LOG_FIELD_MAX])
{
	const struct log_field *field = log_state.event_fields;
	size_t n = 0;

	if (!log_state.event_id)
		return 0;
	(void)snprintf(texts[n], LOG_FIELD_MAX, "MESSAGE_ID=%s",
		       log_state.event_id);
	iov[n] = field_iov(texts[n]);
	n++;
	for (; field->name && n <= LOG_FIELDS_MAX; field++, n++) {
		(void)snprintf(texts[n], LOG_FIELD_MAX, "%s=%s", field->name,
			       field->value);
		iov[n] = field_iov(texts[n]);
	}
	return n;
}

static bool emit_journal(int level, const struct log_site *site,
			 const char *msg)
{
	char message[LOG_MESSAGE_MAX + 16], priority[16];
	char file[256], line[32], func[128];
	char texts[LOG_FIELDS_MAX + 1][LOG_FIELD_MAX];
	struct iovec iov[6 + LOG_FIELDS_MAX + 1];
	int n = 0;

	(void)snprintf(message, sizeof(message), "MESSAGE=%s", msg);
	(void)snprintf(priority, sizeof(priority), "PRIORITY=%d", level);
	(void)snprintf(file, sizeof(file), "CODE_FILE=%s", site->file);
	(void)snprintf(line, sizeof(line), "CODE_LINE=%d", site->line);
	(void)snprintf(func, sizeof(func), "CODE_FUNC=%s", site->func);
	iov[n++] = field_iov(message);
	iov[n++] = field_iov(priority);
	iov[n++] = field_iov(file);
	iov[n++] = field_iov(line);
	iov[n++] = field_iov(func);
	if (log_state.vm_field)
		iov[n++] = field_iov(log_state.vm_field);
	n += (int)event_iov(iov + n, texts);
	return sd_journal_sendv(iov, n) >= 0;
}

static bool level_enabled(int level)
{
	return level >= LOG_EMERG && level <= log_state.max_level;
}

static void emit(int level, const struct log_site *site, const char *msg)
{
	if (level <= LOG_ERR)
		memcpy(log_state.last_error, msg, strlen(msg) + 1);
	if (log_state.target == LOG_TARGET_UNKNOWN)
		log_reopen();
	if (log_state.target == LOG_TARGET_JOURNAL &&
	    emit_journal(level, site, msg))
		return;
	emit_stderr(level, msg);
}

void log_write(int level, const struct log_site *site, const char *fmt, ...)
{
	char msg[LOG_MESSAGE_MAX];
	int saved = errno;
	va_list ap;

	if (!level_enabled(level))
		return;
	va_start(ap, fmt);
	format_message(msg, sizeof(msg), fmt, ap);
	va_end(ap);
	emit(level, site, msg);
	errno = saved;
}

void log_write_event(int level, const struct log_site *site, const char *id,
		     const struct log_field *fields, const char *fmt, ...)
{
	char msg[LOG_MESSAGE_MAX];
	int saved = errno;
	va_list ap;

	if (!level_enabled(level))
		return;
	va_start(ap, fmt);
	format_message(msg, sizeof(msg), fmt, ap);
	va_end(ap);
	log_state.event_id = id;
	log_state.event_fields = fields;
	emit(level, site, msg);
	log_state.event_id = NULL;
	errno = saved;
}

int log_write_errno(int level, int error, const struct log_site *site,
		    const char *fmt, ...)
{
	char msg[LOG_MESSAGE_MAX];
	int saved = errno;
	va_list ap;

	if (error > 0)
		error = -error;
	if (!level_enabled(level))
		return error;
	va_start(ap, fmt);
	format_message(msg, sizeof(msg), fmt, ap);
	va_end(ap);
	append_message(msg, sizeof(msg), ": %s", strerror(-error));
	emit(level, site, msg);
	errno = saved;
	return error;
}

int log_ratelimit_pass(struct log_ratelimit *rl, uint64_t now_usec,
		       uint64_t *ret_suppressed)
{
	/* Nothing passed yet: the first interval starts now. */
	if (rl->passed == 0 ||
	    now_usec - rl->interval_start >= LOG_RATELIMIT_INTERVAL_USEC) {
		rl->interval_start = now_usec;
		rl->passed = 0;
	}
	if (rl->passed >= LOG_RATELIMIT_BURST) {
		rl->suppressed++;
		return false;
	}
	rl->passed++;
	*ret_suppressed = rl->suppressed;
	rl->suppressed = 0;
	return true;
}

static uint64_t now_usec(void)
{
	struct timespec ts;

	if (clock_gettime(CLOCK_MONOTONIC, &ts) < 0)
		return 0;
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

void log_write_ratelimited(int level, struct log_ratelimit *rl,
			   const struct log_site *site, const char *fmt, ...)
{
	char msg[LOG_MESSAGE_MAX];
	int saved = errno;
	uint64_t suppressed;
	va_list ap;
	bool passes;

	if (!level_enabled(level))
		return;
	passes = log_ratelimit_pass(rl, now_usec(), &suppressed);
	if (passes || level <= LOG_ERR) {
		va_start(ap, fmt);
		format_message(msg, sizeof(msg), fmt, ap);
		va_end(ap);
	}
	if (!passes && level <= LOG_ERR)
		/* whoever asked is told all the same */
		memcpy(log_state.last_error, msg, strlen(msg) + 1);
	if (passes) {
		if (suppressed > 0)
			append_message(msg, sizeof(msg),
				       " (%llu more suppressed)",
				       (unsigned long long)suppressed);
		emit(level, site, msg);
	}
	errno = saved;
}
