/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Logging of the host programs: to the journal with fields when stderr is
 * connected to it, else as lines "level: message" on stderr.
 *
 * Levels are those of syslog(3). Whatever a guest or a peer can provoke goes
 * through log_ratelimited(). Control characters in a message are replaced, so
 * that a peer's string cannot forge a line.
 *
 * Not locked: the programs log from one thread. errno survives every call.
 */
#ifndef PVDMA_LIB_LOG_H
#define PVDMA_LIB_LOG_H

#include <stdint.h>
#include <syslog.h>

/* Longest message in bytes, with its NUL; what is longer ends in "...". */
#define LOG_MESSAGE_MAX 2048

/* A call site may log this many messages an interval. */
#define LOG_RATELIMIT_BURST	    5
#define LOG_RATELIMIT_INTERVAL_USEC 5000000ULL

/* What a call site of log_ratelimited() remembers; all zero at start. */
struct log_ratelimit {
	uint64_t interval_start; /* CLOCK_MONOTONIC, microseconds */
	unsigned int passed;	 /* messages in this interval */
	uint64_t suppressed;	 /* since the last message that passed */
};

/* Where in the source a message comes from. */
struct log_site {
	const char *file;
	int line;
	const char *func;
};

/*
 * Names the virtual machine that this process serves: the journal field
 * PVDMA_VM of all messages from here on. Copies @name; NULL or a failed
 * allocation drops the field.
 */
void log_set_vm(const char *name);

/*
 * Messages above @level (LOG_ERR ... LOG_DEBUG) are dropped; a negative level
 * drops all. The level at start is LOG_INFO.
 */
void log_set_max_level(int level);
int log_get_max_level(void);

/*
 * The last message at LOG_ERR or above, for whoever has to say elsewhere why
 * this process failed; "" if there was none. Stays until the next one.
 */
const char *log_last_error(void);

/*
 * Turns "err", "warning", "info", "debug" (or their syslog number) into a
 * level. 0 with *@ret set, or -EINVAL with *@ret untouched.
 */
int log_level_from_string(const char *s, int *ret);

/*
 * Looks again at what stderr is. The first message does it by itself; a
 * program calls this after it has moved its stderr.
 */
void log_reopen(void);

/*
 * Decides whether a message may pass at time @now_usec. True with the number
 * of messages suppressed since the last one that passed in *@ret_suppressed;
 * false when this one is to be suppressed (and is then counted).
 */
int log_ratelimit_pass(struct log_ratelimit *rl, uint64_t now_usec,
		       uint64_t *ret_suppressed);

/* Fields of an event beside its words; values are text. */
struct log_field {
	const char *name; /* such as "PVDMA_DEVICE"; NULL ends a list */
	const char *value;
};

/* Of one event, at most. */
#define LOG_FIELDS_MAX 6

/* The macros below are the interface; these are what they expand to. */
void log_write(int level, const struct log_site *site, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
int log_write_errno(int level, int error, const struct log_site *site,
		    const char *fmt, ...) __attribute__((format(printf, 4, 5)));
void log_write_ratelimited(int level, struct log_ratelimit *rl,
			   const struct log_site *site, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

void log_write_event(int level, const struct log_site *site, const char *id,
		     const struct log_field *fields, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));

#define LOG_SITE_ (&(const struct log_site){ __FILE__, __LINE__, __func__ })

#define log_full(level, ...) log_write(level, LOG_SITE_, __VA_ARGS__)
#define log_err(...)	     log_full(LOG_ERR, __VA_ARGS__)
#define log_warn(...)	     log_full(LOG_WARNING, __VA_ARGS__)
#define log_notice(...)	     log_full(LOG_NOTICE, __VA_ARGS__)
#define log_info(...)	     log_full(LOG_INFO, __VA_ARGS__)
#define log_debug(...)	     log_full(LOG_DEBUG, __VA_ARGS__)

/*
 * Log "message: text of the error". @error is an errno value of either sign;
 * the value is -|error|, so that one can write
 * return log_err_errno(r, "cannot open %s", path).
 */
#define log_err_errno(error, ...) \
	log_write_errno(LOG_ERR, error, LOG_SITE_, __VA_ARGS__)
#define log_warn_errno(error, ...) \
	log_write_errno(LOG_WARNING, error, LOG_SITE_, __VA_ARGS__)
/*
 * Something that operators want to be told of: in the journal with @id as its
 * MESSAGE_ID, under which the catalog explains it, and with @fields, a list that
 * ends with an empty one.
 */
#define log_event(level, id, fields, ...) \
	log_write_event(level, LOG_SITE_, id, fields, __VA_ARGS__)
#define log_debug_errno(error, ...) \
	log_write_errno(LOG_DEBUG, error, LOG_SITE_, __VA_ARGS__)

/*
 * Logs at most LOG_RATELIMIT_BURST messages per interval from this place in
 * the source; the next one that passes says how many were suppressed. A
 * message above the maximum level is neither logged nor counted.
 */
#define log_ratelimited(level, ...)                               \
	do {                                                      \
		static struct log_ratelimit log_rl_;              \
		log_write_ratelimited(level, &log_rl_, LOG_SITE_, \
				      __VA_ARGS__);               \
	} while (0)

#endif /* PVDMA_LIB_LOG_H */
