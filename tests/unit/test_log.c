// SPDX-License-Identifier: GPL-2.0-or-later
/* Unit tests of host/lib/log.c: what reaches stderr, and in what form. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "log.h"

/* Stands in for stderr during a test; what was logged is read from it. */
struct capture {
	int file;
	int saved_stderr;
	char text[4 * LOG_MESSAGE_MAX];
};

static int setup(void **state)
{
	struct capture *c = calloc(1, sizeof(*c));

	assert_non_null(c);
	c->file = memfd_create("log", MFD_CLOEXEC);
	c->saved_stderr = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
	assert_true(c->file >= 0 && c->saved_stderr >= 0);
	assert_true(dup2(c->file, STDERR_FILENO) == STDERR_FILENO);
	unsetenv("JOURNAL_STREAM");
	log_reopen();
	log_set_max_level(LOG_INFO);
	*state = c;
	return 0;
}

static int teardown(void **state)
{
	struct capture *c = *state;

	(void)dup2(c->saved_stderr, STDERR_FILENO);
	close_fd(c->saved_stderr);
	close_fd(c->file);
	free(c);
	unsetenv("JOURNAL_STREAM");
	log_reopen();
	log_set_vm(NULL);
	return 0;
}

/* All that was logged since the last call. */
static const char *logged(struct capture *c)
{
	ssize_t n = pread(c->file, c->text, sizeof(c->text) - 1, 0);

	assert_true(n >= 0);
	c->text[n] = '\0';
	assert_int_equal(ftruncate(c->file, 0), 0);
	assert_int_equal(lseek(c->file, 0, SEEK_SET), 0);
	return c->text;
}

static void test_plain_lines(void **state)
{
	log_err("%d broken", 1);
	log_warn("two");
	log_notice("three");
	log_info("four");
	log_debug("not at this level");
	assert_string_equal(logged(*state), "err: 1 broken\nwarning: two\n"
					    "notice: three\ninfo: four\n");
}

static void test_levels(void **state)
{
	int level = -5;

	log_set_max_level(LOG_ERR);
	log_warn("no");
	assert_string_equal(logged(*state), "");
	log_set_max_level(-1);
	log_err("no");
	assert_string_equal(logged(*state), "");
	log_set_max_level(LOG_DEBUG + 1);
	assert_int_equal(log_get_max_level(), LOG_DEBUG);
	log_full(LOG_DEBUG + 1, "no such level");
	log_debug("yes");
	assert_string_equal(logged(*state), "debug: yes\n");

	assert_int_equal(log_level_from_string("warning", &level), 0);
	assert_int_equal(level, LOG_WARNING);
	assert_int_equal(log_level_from_string("7", &level), 0);
	assert_int_equal(level, LOG_DEBUG);
	assert_int_equal(log_level_from_string("8", &level), -EINVAL);
	assert_int_equal(log_level_from_string("", &level), -EINVAL);
	assert_int_equal(log_level_from_string("loud", &level), -EINVAL);
	assert_int_equal(level, LOG_DEBUG);
}

static void test_errno(void **state)
{
	errno = ENOANO;
	assert_int_equal(log_err_errno(-ENOENT, "open %s", "x"), -ENOENT);
	assert_int_equal(log_warn_errno(EBUSY, "map"), -EBUSY);
	/* Not logged, yet the error is passed on. */
	assert_int_equal(log_debug_errno(EIO, "quiet"), -EIO);
	assert_int_equal(errno, ENOANO);
	assert_string_equal(logged(*state),
			    "err: open x: No such file or directory\n"
			    "warning: map: Device or resource busy\n");
}

static void test_no_forged_lines(void **state)
{
	log_info("peer says \"%s\"", "a\nerr: forged\r\x1b[2J\x7f\xc3\xa9");
	assert_string_equal(
		logged(*state),
		"info: peer says \"a?err: forged??[2J?\xc3\xa9\"\n");
}

static void test_truncation(void **state)
{
	char big[2 * LOG_MESSAGE_MAX];
	const char *text;
	size_t len;

	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	log_info("%s", big);
	text = logged(*state);
	len = strlen(text);
	assert_int_equal(len, strlen("info: \n") + LOG_MESSAGE_MAX - 1);
	assert_string_equal(text + len - 5, "x...\n");

	/* Exactly as much as fits is not cut. */
	big[LOG_MESSAGE_MAX - 1] = '\0';
	log_info("%s", big);
	text = logged(*state);
	assert_string_equal(text + strlen(text) - 3, "xx\n");
	assert_int_equal(log_err_errno(EIO, "%s", big), -EIO);
	text = logged(*state);
	assert_string_equal(text + strlen(text) - 5, "x...\n");
}

/*
 * With stderr connected to a journal that has no socket, or that refuses what
 * we send, lines carry their priority in the way the journal's stream reads.
 */
static void test_journal_stream(void **state)
{
	struct capture *c = *state;
	char stream[64];
	struct stat st;

	if (access("/run/systemd/journal/socket", W_OK) == 0)
		skip(); /* the messages would go to this machine's journal */
	assert_int_equal(fstat(c->file, &st), 0);
	(void)snprintf(stream, sizeof(stream), "%llu:%llu",
		       (unsigned long long)st.st_dev,
		       (unsigned long long)st.st_ino);
	assert_int_equal(setenv("JOURNAL_STREAM", stream, 1), 0);
	log_reopen();
	log_set_vm("vm-1");
	log_warn("careful");
	assert_string_equal(logged(c), "<4>careful\n");

	/* Some other stream than our stderr, and nonsense. */
	assert_int_equal(setenv("JOURNAL_STREAM", "1:1", 1), 0);
	log_reopen();
	log_warn("careful");
	assert_string_equal(logged(c), "warning: careful\n");
	assert_int_equal(setenv("JOURNAL_STREAM", "1:1:1", 1), 0);
	log_reopen();
	log_warn("careful");
	assert_string_equal(logged(c), "warning: careful\n");
}

static void test_ratelimit_pass(void **state)
{
	struct log_ratelimit rl = { 0 };
	uint64_t suppressed = 77;
	int passed = 0;

	(void)state;
	for (int i = 0; i < 100; i++)
		passed += log_ratelimit_pass(&rl, 1000 + i, &suppressed);
	assert_int_equal(passed, LOG_RATELIMIT_BURST);
	assert_int_equal(suppressed, 0);
	/* One microsecond too early, then in time. */
	assert_false(log_ratelimit_pass(
		&rl, 1000 + LOG_RATELIMIT_INTERVAL_USEC - 1, &suppressed));
	assert_true(log_ratelimit_pass(&rl, 1000 + LOG_RATELIMIT_INTERVAL_USEC,
				       &suppressed));
	assert_int_equal(suppressed, 100 - LOG_RATELIMIT_BURST + 1);
	assert_true(log_ratelimit_pass(&rl, 1001 + LOG_RATELIMIT_INTERVAL_USEC,
				       &suppressed));
	assert_int_equal(suppressed, 0);
}

static void test_ratelimit_at_time_zero(void **state)
{
	struct log_ratelimit rl = { 0 };
	uint64_t suppressed;
	int passed = 0;

	(void)state;
	for (int i = 0; i < 100; i++)
		passed += log_ratelimit_pass(&rl, 0, &suppressed);
	/* A clock that says 0 must not restart the interval for ever. */
	assert_true(passed <= 2 * LOG_RATELIMIT_BURST);
}

static void test_ratelimited_call_sites(void **state)
{
	const char *text;
	int lines = 0;

	for (int i = 0; i < 20; i++)
		log_ratelimited(LOG_WARNING, "noisy %d", i);
	log_ratelimited(LOG_WARNING, "another site");
	log_ratelimited(LOG_DEBUG, "not at this level");
	text = logged(*state);
	for (const char *p = text; (p = strchr(p, '\n')); p++)
		lines++;
	assert_int_equal(lines, LOG_RATELIMIT_BURST + 1);
	assert_non_null(strstr(text, "warning: noisy 4\n"));
	assert_null(strstr(text, "noisy 5"));
	assert_non_null(strstr(text, "warning: another site\n"));
}

static void test_ratelimited_tells_suppressed(void **state)
{
	struct log_ratelimit rl = { .suppressed = 3 };

	log_write_ratelimited(LOG_INFO, &rl, LOG_SITE_, "again");
	assert_string_equal(logged(*state),
			    "info: again (3 more suppressed)\n");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_plain_lines),
		TEST(test_levels),
		TEST(test_errno),
		TEST(test_no_forged_lines),
		TEST(test_truncation),
		TEST(test_journal_stream),
		TEST(test_ratelimit_pass),
		TEST(test_ratelimit_at_time_zero),
		TEST(test_ratelimited_call_sites),
		TEST(test_ratelimited_tells_suppressed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
