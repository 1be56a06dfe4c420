// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Unit tests of host/agent/control.c and json_out.c: lines, answers and errors
 * with verbs made for the purpose.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "control.h"
#include "json_out.h"
#include "lib/log.h"
#include "lib/macros.h"

struct world {
	sd_event *event;
	struct control *control;
	struct sockaddr_un addr;
	int client;
	unsigned int calls;
};

static int echo(void *userdata, const char *arg, FILE *out, const char **why)
{
	struct world *w = userdata;

	(void)why;
	w->calls++;
	fprintf(out, "{\"arg\": ");
	json_out_string(out, arg);
	fputc('}', out);
	return 0;
}

static int refuse(void *userdata, const char *arg, FILE *out, const char **why)
{
	(void)userdata;
	fprintf(out, "{\"half\": \"an answer, longer than the error is");
	if (*arg)
		*why = arg;
	return -ENOSPC;
}

static const struct control_verb verbs[] = {
	{ "echo", "says \"it\" again", echo },
	{ "fail", "does not work", refuse },
};

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	socklen_t len = sizeof(w->addr);

	log_set_max_level(-1);
	if (!w || fd < 0)
		return -1;
	/* An address of the kernel's choice, in no file system. */
	w->addr.sun_family = AF_UNIX;
	if (bind(fd, (struct sockaddr *)&w->addr, sizeof(sa_family_t)) < 0 ||
	    listen(fd, 20) < 0 ||
	    getsockname(fd, (struct sockaddr *)&w->addr, &len) < 0)
		return -1;
	if (sd_event_new(&w->event) < 0 ||
	    control_new(w->event, fd, verbs, ARRAY_SIZE(verbs), w,
			&w->control) < 0)
		return -1;
	w->client = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	*state = w;
	return connect(w->client, (struct sockaddr *)&w->addr, len);
}

static int teardown(void **state)
{
	struct world *w = *state;

	close(w->client);
	control_free(w->control);
	sd_event_unref(w->event);
	free(w);
	return 0;
}

static void run(struct world *w)
{
	int turns = 0;

	while (sd_event_run(w->event, 0) > 0)
		assert_true(++turns < 100000);
}

static void say(struct world *w, const char *text)
{
	assert_int_equal(send(w->client, text, strlen(text), 0), strlen(text));
	run(w);
}

static void assert_answer(struct world *w, const char *expected)
{
	static char got[65536];
	ssize_t n = recv(w->client, got, sizeof(got) - 1, 0);

	assert_true(n >= 0);
	got[n] = '\0';
	assert_string_equal(got, expected);
}

static void test_arguments(void **state)
{
	struct world *w = *state;

	say(w, "echo\n");
	assert_answer(w, "{\"arg\": \"\"}\n");
	say(w, "echo  a b \r\n");
	assert_answer(w, "{\"arg\": \"a b\"}\n");
	say(w, "echo\t\"x\\\n");
	assert_answer(w, "{\"arg\": \"\\\"x\\\\\"}\n");
}

static void test_lines(void **state)
{
	struct world *w = *state;

	say(w, "ec");
	say(w, "ho 1\necho");
	say(w, " 2\necho 3\n");
	assert_answer(w,
		      "{\"arg\": \"1\"}\n{\"arg\": \"2\"}\n{\"arg\": \"3\"}\n");
	assert_int_equal(w->calls, 3);
}

static void test_errors(void **state)
{
	struct world *w = *state;

	say(w, "\n");
	assert_answer(w, "{\"error\": \"unknown command; try help\"}\n");
	say(w, "ech\n");
	assert_answer(w, "{\"error\": \"unknown command; try help\"}\n");
	say(w, "fail my words\n");
	assert_answer(w, "{\"error\": \"my words\"}\n");
	say(w, "fail\n");
	assert_answer(w, "{\"error\": \"No space left on device\"}\n");
	say(w, "echo \xff\n");
	assert_answer(w, "{\"error\": \"not text\"}\n");
}

static void test_long_lines(void **state)
{
	struct world *w = *state;
	char line[300];

	/* 255 bytes without the newline are a line, 256 are too many. */
	memset(line, 'x', sizeof(line));
	memcpy(line, "echo ", 5);
	line[255] = '\n';
	line[256] = '\0';
	say(w, line);
	assert_int_equal(w->calls, 1);
	(void)recv(w->client, line, sizeof(line), 0);
	memset(line, 'x', sizeof(line));
	line[256] = '\n';
	line[257] = '\0';
	say(w, line);
	assert_answer(w, "{\"error\": \"line too long\"}\n");
	say(w, "echo\n");
	assert_answer(w, "{\"arg\": \"\"}\n");
}

static void test_help(void **state)
{
	struct world *w = *state;

	say(w, "help\n");
	assert_answer(w, "{\"commands\": {\"echo\": \"says \\\"it\\\" again\", "
			 "\"fail\": \"does not work\", "
			 "\"help\": \"this list\"}}\n");
}

static void test_last_line(void **state)
{
	struct world *w = *state;
	char c;

	say(w, "echo end");
	(void)shutdown(w->client, SHUT_WR);
	run(w);
	assert_answer(w, "{\"arg\": \"end\"}\n");
	assert_int_equal(recv(w->client, &c, 1, 0), 0);
}

/* Input waits while an answer does; nothing is lost when it goes on. */
static void test_slow_reader(void **state)
{
	struct world *w = *state;
	static char got[1 << 16];
	size_t sent = 0, answers = 0;
	ssize_t n;

	while (send(w->client, "echo\n", 5, 0) == 5) {
		sent++;
		run(w);
	}
	assert_true(w->calls < sent);
	while (answers < sent) {
		n = recv(w->client, got, sizeof(got), 0);
		for (ssize_t i = 0; i < n; i++)
			answers += got[i] == '\n';
		run(w);
	}
	assert_int_equal(w->calls, sent);
}

static void test_json_string(void **state)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	(void)state;
	assert_non_null(f);
	json_out_string(f, "a\"b\\c\n\x01\x7f\xc3\xa4/");
	assert_int_equal(fclose(f), 0);
	assert_string_equal(text, "\"a\\\"b\\\\c\\u000a\\u0001\\u007f\\u00c3"
				  "\\u00a4/\"");
	free(text);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_arguments),	TEST(test_lines),
		TEST(test_errors),	TEST(test_long_lines),
		TEST(test_help),	TEST(test_last_line),
		TEST(test_slow_reader), cmocka_unit_test(test_json_string),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
