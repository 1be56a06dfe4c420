// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Unit tests of host/pvdmad/agent_link.c: the test is the agent, at the other
 * end of a pair of sockets.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/log.h"
#include "lib/socket.h"
#include "pvdmad/agent_link.h"

#define QUESTIONS 64 /* that may wait at once */

static sd_event *event;
static struct agent_link *agent_link;
static int agent; /* the agent's end */
static unsigned int losses, answers;
static char last[256]; /* the answer, or "error: " and words */

/* What agent_link_new() is to connect to, or a negative errno. */
static int other_end;

int __wrap_socket_connect_now(const char *path);

int __wrap_socket_connect_now(const char *path)
{
	assert_string_equal(path, "control");
	return other_end;
}

/* The time that an agent has is over at once. */
static bool hasten;

int __real_sd_event_source_set_time_relative(sd_event_source *s, uint64_t usec);
int __wrap_sd_event_source_set_time_relative(sd_event_source *s, uint64_t usec);

int __wrap_sd_event_source_set_time_relative(sd_event_source *s, uint64_t usec)
{
	return __real_sd_event_source_set_time_relative(s, hasten ? 0 : usec);
}

static void on_lost(void *userdata)
{
	assert_ptr_equal(userdata, &losses);
	losses++;
}

static void on_answer(void *userdata, const char *error, json_object *answer,
		      const char *json)
{
	assert_ptr_equal(userdata, &answers);
	answers++;
	assert_int_equal(!error, json != NULL);
	assert_int_equal(!error, answer != NULL);
	(void)snprintf(last, sizeof(last), "%s%s", error ? "error: " : "",
		       error ? error : json);
}

static int setup(void **state)
{
	int ends[2];

	(void)state;
	log_set_max_level(-1);
	losses = 0;
	answers = 0;
	assert_int_equal(socketpair(AF_UNIX,
				    SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
				    0, ends),
			 0);
	other_end = ends[0];
	agent = ends[1];
	assert_true(sd_event_new(&event) >= 0);
	return agent_link_new(event, "control", on_lost, &losses, &agent_link);
}

static int teardown(void **state)
{
	(void)state;
	agent_link_free(agent_link);
	close(agent);
	sd_event_unref(event);
	return 0;
}

static void run(void)
{
	while (losses == 0 && sd_event_run(event, 0) > 0)
		;
}

static int ask(const char *command)
{
	return agent_link_ask(agent_link, command, on_answer, &answers);
}

static void say(const char *text)
{
	size_t size = strlen(text);

	assert_int_equal(send(agent, text, size, 0), size);
	run();
}

/* What the agent has been asked since the last time. */
static void assert_asked(const char *expected)
{
	char got[256];
	ssize_t n = recv(agent, got, sizeof(got) - 1, MSG_DONTWAIT);

	got[n < 0 ? 0 : n] = '\0';
	assert_string_equal(got, expected);
}

static void assert_answer(const char *said, const char *expected)
{
	unsigned int before = answers;

	assert_int_equal(ask("stats"), 0);
	say(said);
	say("\n");
	assert_int_equal(answers, before + 1);
	assert_string_equal(last, expected);
	assert_int_equal(losses, 0);
}

static void test_one_at_a_time(void **state)
{
	(void)state;
	assert_int_equal(ask("ping"), 0);
	assert_int_equal(ask("stats"), 0);
	assert_asked("ping\n");
	say("{\"a\"");
	assert_int_equal(answers, 0);
	say(": 1}\n");
	assert_int_equal(answers, 1);
	assert_string_equal(last, "{\"a\": 1}");
	assert_asked("stats\n");
}

static void test_verdicts(void **state)
{
	static const char nonsense[] =
		"error: the agent's answer is not understood";

	(void)state;
	assert_answer("{\"error\": \"too large\"}", "error: too large");
	assert_answer("{\"error\": null}", nonsense);
	assert_answer("{\"error\": {\"a\": 1}}", nonsense);
	assert_answer("", nonsense);
	assert_answer("[]", nonsense);
	assert_answer("7", nonsense);
	assert_answer("{} {}", nonsense);
	assert_answer("{\"a\": \"\xff\"}", nonsense);
	assert_answer("{\"error\": \"\xc3\x28\"}", nonsense);
	assert_answer("{\"a\": \"\xc3\xa4\"}", "{\"a\": \"\xc3\xa4\"}");
}

static void test_limits(void **state)
{
	char command[300];
	int fds[AGENT_LINK_FDS + 1] = { agent, agent, agent };

	(void)state;
	memset(command, 'x', sizeof(command));
	command[sizeof(command) - 1] = '\0';
	assert_int_equal(ask(command), -E2BIG);
	assert_int_equal(agent_link_ask_fds(agent_link, "a", fds,
					    AGENT_LINK_FDS + 1, on_answer,
					    &answers),
			 -E2BIG);
	fds[1] = -1;
	assert_int_equal(agent_link_ask_fds(agent_link, "a", fds, 2, on_answer,
					    &answers),
			 -EBADF);
	for (int i = 0; i < QUESTIONS; i++)
		assert_int_equal(ask("ping"), 0);
	assert_int_equal(ask("ping"), -EAGAIN);
	assert_int_equal(agent_link_waiting(agent_link), QUESTIONS);
	assert_int_equal(answers, 0);
}

static void test_descriptors_go_along(void **state)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} space = { 0 };
	char text[32];
	struct iovec iov = { .iov_base = text, .iov_len = sizeof(text) };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = space.bytes,
		.msg_controllen = sizeof(space.bytes),
	};
	int fd;

	(void)state;
	assert_int_equal(agent_link_ask_fds(agent_link, "device-add null",
					    &agent, 1, on_answer, &answers),
			 0);
	assert_int_equal(recvmsg(agent, &msg, 0), strlen("device-add null\n"));
	assert_int_equal(space.header.cmsg_type, SCM_RIGHTS);
	assert_int_equal(space.header.cmsg_len, CMSG_LEN(sizeof(int)));
	memcpy(&fd, CMSG_DATA(&space.header), sizeof(fd));
	assert_int_equal(fcntl(fd, F_GETFD), 0);
	close(fd);
}

static void test_unasked(void **state)
{
	(void)state;
	say("{}\n");
	assert_int_equal(losses, 1);
	assert_int_equal(answers, 0);
}

static void test_too_long(void **state)
{
	static char text[65536];

	(void)state;
	memset(text, ' ', sizeof(text) - 1);
	assert_int_equal(ask("stats"), 0);
	for (int i = 0; i < 20 && losses == 0; i++)
		say(text);
	assert_int_equal(losses, 1);
	assert_int_equal(answers, 0);
}

/* Who says nothing is given up; who has not been asked may be silent. */
static void test_silent(void **state)
{
	(void)state;
	hasten = true;
	assert_int_equal(ask("ping"), 0);
	say("{}\n");
	assert_int_equal(answers, 1);
	assert_int_equal(sd_event_run(event, 300000), 0);
	assert_int_equal(losses, 0);
	assert_int_equal(ask("ping"), 0);
	while (losses == 0)
		assert_true(sd_event_run(event, 60000000) > 0);
	hasten = false;
	assert_int_equal(answers, 1);
}

static void test_end(void **state)
{
	(void)state;
	assert_int_equal(ask("stats"), 0);
	assert_int_equal(ask("stats"), 0);
	assert_int_equal(shutdown(agent, SHUT_RDWR), 0);
	run();
	assert_int_equal(losses, 1);
	assert_int_equal(answers, 0);
	agent_link_free(agent_link);
	agent_link = NULL;
	assert_int_equal(answers, 2);
	assert_string_equal(last, "error: the agent is gone");
}

/* Who cannot be asked is not called back. */
static void test_cannot_be_written_to(void **state)
{
	(void)state;
	assert_int_equal(shutdown(agent, SHUT_RD), 0);
	assert_int_equal(ask("stats"), -EPIPE);
	assert_int_equal(answers, 0);
}

static void test_gone_between(void **state)
{
	(void)state;
	assert_int_equal(ask("ping"), 0);
	assert_int_equal(ask("stats"), 0);
	assert_asked("ping\n");
	assert_int_equal(shutdown(agent, SHUT_RD), 0);
	say("{}\n");
	assert_int_equal(answers, 1);
	assert_int_equal(losses, 1);
}

static void test_cannot_connect(void **state)
{
	struct agent_link *other = NULL;

	(void)state;
	other_end = -ECONNREFUSED;
	assert_int_equal(agent_link_new(event, "control", on_lost, &losses,
					&other),
			 -ECONNREFUSED);
	assert_null(other);
	agent_link_free(NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_one_at_a_time),  TEST(test_verdicts),
		TEST(test_limits),	   TEST(test_descriptors_go_along),
		TEST(test_unasked),	   TEST(test_too_long),
		TEST(test_silent),	   TEST(test_end),
		TEST(test_gone_between),   TEST(test_cannot_be_written_to),
		TEST(test_cannot_connect),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
