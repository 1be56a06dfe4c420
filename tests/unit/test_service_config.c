// SPDX-License-Identifier: GPL-2.0-or-later
/* Unit tests of host/pvdmad/service_config.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/log.h"
#include "pvdmad/service_config.h"

#define WORDS_MAX 8

struct world {
	char path[40]; /* of a file of settings */
	struct service_config config;
	enum service_config_mode mode;
};

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	int fd;

	log_set_max_level(-1);
	if (!w)
		return -1;
	strcpy(w->path, "/tmp/pvdma-test-XXXXXX");
	fd = mkstemp(w->path);
	*state = w;
	return fd < 0 ? -1 : close(fd);
}

static int teardown(void **state)
{
	struct world *w = *state;

	service_config_done(&w->config);
	(void)unlink(w->path);
	free(w);
	return 0;
}

/* Parses "pvdmad" and @words, which end with NULL. */
static int parse_words(struct world *w, const char *const *words)
{
	char *argv[WORDS_MAX] = { (char *)"pvdmad" };
	int argc = 1;

	for (; words[argc - 1]; argc++)
		argv[argc] = (char *)words[argc - 1];
	service_config_done(&w->config);
	return service_config_parse(argc, argv, &w->config, &w->mode);
}

#define parse(w, ...) \
	parse_words((w), (const char *const[]){ __VA_ARGS__, NULL })

static void write_file(const struct world *w, const char *text)
{
	FILE *f = fopen(w->path, "w");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static int load(struct world *w, const char *text)
{
	write_file(w, text);
	return parse(w, "--config", w->path);
}

static void test_nothing_set(void **state)
{
	struct world *w = *state;

	assert_int_equal(load(w, ""), 0);
	assert_int_equal(w->mode, SERVICE_RUN);
	assert_string_equal(w->config.runtime_dir, "/run/pvdma");
	assert_null(w->config.owner);
	assert_null(w->config.bus_address);
	assert_int_equal(w->config.budget, 0);
	assert_int_equal(w->config.round_usec, 2000000);
}

static void test_all_set(void **state)
{
	struct world *w = *state;

	assert_int_equal(load(w, "budget=8G\nbalance-interval=0\n"
				 "qemu-user=a:b\nruntime-dir=/x\n"
				 "bus=unix:path=/y\nlog-level=debug\n"),
			 0);
	assert_int_equal(w->config.budget, UINT64_C(8) << 30);
	assert_int_equal(w->config.round_usec, 0);
	assert_string_equal(w->config.owner, "a:b");
	assert_string_equal(w->config.runtime_dir, "/x");
	assert_string_equal(w->config.bus_address, "unix:path=/y");
	assert_int_equal(w->config.log_level, LOG_DEBUG);
}

static void test_the_line_wins(void **state)
{
	struct world *w = *state;

	write_file(w, "budget=8G\nqemu-user=a\n");
	assert_int_equal(parse(w, "--budget=1G", "--config", w->path,
			       "--balance-interval", "500ms"),
			 0);
	assert_int_equal(w->config.budget, 1 << 30);
	assert_string_equal(w->config.owner, "a");
	assert_int_equal(w->config.round_usec, 500000);
}

static void test_refused(void **state)
{
	static const char *const bad[] = {
		"budget=8Q",	       "balance-interval=50ms",
		"balance-interval=2h", "balance-interval=61min",
		"qemu-user=",	       "runtime-dir=run",
		"log-level=loud",      "runtime-dir=",
	};
	struct world *w = *state;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(load(w, bad[i]), -EINVAL);
	assert_int_equal(load(w, "what=1"), -ENOENT);
	assert_int_equal(load(w, "budget=1G\nbudget=2G\n"), -EINVAL);
	assert_int_equal(parse(w, "--config", "/nowhere/x"), -ENOENT);
}

static void test_lines_that_are_none(void **state)
{
	struct world *w = *state;

	write_file(w, "");
	assert_int_equal(parse(w, "--what=1"), -EINVAL);
	assert_int_equal(parse(w, "word"), -EINVAL);
	assert_int_equal(parse(w, "--budget"), -EINVAL);
	assert_int_equal(parse(w, "--budget=x", "--config", w->path), -EINVAL);
}

static void test_only_judged(void **state)
{
	struct world *w = *state;

	write_file(w, "budget=8G\n");
	assert_int_equal(parse(w, "--check", "--config", w->path), 0);
	assert_int_equal(w->mode, SERVICE_EXIT);
	write_file(w, "budget=8Q\n");
	assert_int_equal(parse(w, "--check", "--config", w->path), -EINVAL);
}

static void test_help_and_version(void **state)
{
	struct world *w = *state;

	assert_int_equal(parse(w, "--version"), 0);
	assert_int_equal(w->mode, SERVICE_EXIT);
	assert_int_equal(parse(w, "--help", "--budget=x"), 0);
	assert_int_equal(w->mode, SERVICE_EXIT);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_nothing_set),		TEST(test_all_set),
		TEST(test_the_line_wins),	TEST(test_refused),
		TEST(test_lines_that_are_none), TEST(test_only_judged),
		TEST(test_help_and_version),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
