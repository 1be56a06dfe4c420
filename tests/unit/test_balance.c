// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Unit tests of host/pvdmad/balance.c: rounds with VMs whose agents are the
 * test's ends of pairs of sockets. What is divided how is test_budget.c's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/log.h"
#include "lib/macros.h"
#include "lib/socket.h"
#include "pvdmad/agent_link.h"
#include "pvdmad/balance.h"
#include "pvdmad/machine.h"
#include "pvdmad/service.h"

#define VMS 2
#define MIB (UINT64_C(1) << 20)
/* A round may be late on a machine that is busy. */
#define ROUND_USEC  100000
#define WAIT_USEC   (UINT64_C(60) * 1000000)
#define ROUNDS_FULL 5
#define CHANGES_MAX 16
/* It costs a second of each second below 8 MiB, and nothing from there on. */
#define HUNGRY                                                         \
	"{\"held_bytes\": %llu, \"mapped_bytes\": 4096, \"points\": [" \
	"{\"quota\": 1048576, \"cost_us_per_s\": 1000000}, "           \
	"{\"quota\": 8388608, \"cost_us_per_s\": 0}]}\n"
#define IDLE                                                     \
	"{\"held_bytes\": 0, \"mapped_bytes\": 0, \"points\": [" \
	"{\"quota\": 1048576, \"cost_us_per_s\": 0}]}\n"

struct change {
	const struct machine *machine;
	uint64_t quota;
};

static struct service_config config = { .round_usec = ROUND_USEC };
static struct service service;
static struct machine vms[VMS];
static int agents[VMS];
static int next_end;
static unsigned int losses;
static struct change changes[CHANGES_MAX];
static size_t num_changes;
static int refuse;     /* machine_set_quota() fails with it */
static uint64_t holds; /* what each VM then says that it has mapped */

int __wrap_socket_connect_now(const char *path);
int __wrap_machine_set_quota(struct machine *machine, uint64_t bytes,
			     machine_done_fn done, void *userdata);

int __wrap_socket_connect_now(const char *path)
{
	(void)path;
	return next_end;
}

int __wrap_machine_set_quota(struct machine *machine, uint64_t bytes,
			     machine_done_fn done, void *userdata)
{
	if (refuse)
		return refuse;
	assert_true(num_changes < CHANGES_MAX);
	changes[num_changes++] = (struct change){ machine, bytes };
	machine->spec.quota = bytes;
	if (holds)
		machine->mapped = holds;
	done(userdata, bytes == vms[0].spec.max ? "it says no" : NULL);
	return 0;
}

static void on_lost(void *userdata)
{
	(void)userdata;
	losses++;
}

static void add_vm(size_t i)
{
	struct machine *vm = &vms[i];
	int ends[2];

	*vm = (struct machine){
		.next = i + 1 < VMS ? &vms[i + 1] : NULL,
		.service = &service,
		.state = MACHINE_RUNNING,
		.spec = {
			.quota = 4 * MIB,
			.min = MIB,
			.max = 64 * MIB,
			.weight = 100,
		},
	};
	(void)snprintf(vm->spec.name, sizeof(vm->spec.name), "vm%zu", i);
	assert_int_equal(socketpair(AF_UNIX,
				    SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
				    0, ends),
			 0);
	next_end = ends[0];
	agents[i] = ends[1];
	assert_int_equal(
		agent_link_new(service.event, "", on_lost, NULL, &vm->link), 0);
}

static int setup(void **state)
{
	(void)state;
	log_set_max_level(-1);
	memset(&service, 0, sizeof(service));
	num_changes = 0;
	losses = 0;
	refuse = 0;
	holds = 0;
	service.config = &config;
	service.budget = 8 * MIB;
	config.round_usec = ROUND_USEC;
	assert_true(sd_event_new(&service.event) >= 0);
	for (size_t i = 0; i < VMS; i++)
		add_vm(i);
	service.machines = &vms[0];
	return balance_new(&service, &service.balance);
}

static int teardown(void **state)
{
	(void)state;
	for (size_t i = 0; i < VMS; i++) {
		agent_link_free(vms[i].link);
		close(agents[i]);
	}
	balance_free(service.balance);
	sd_event_unref(service.event);
	return 0;
}

static void run(void)
{
	while (sd_event_run(service.event, 0) > 0)
		;
}

/* The next question to agent @i, which is about its curve. */
static void assert_asked(size_t i)
{
	char text[64];
	ssize_t n = -1;

	while (n < 0) {
		n = recv(agents[i], text, sizeof(text) - 1, MSG_DONTWAIT);
		if (n < 0)
			assert_true(sd_event_run(service.event, WAIT_USEC) > 0);
	}
	text[n] = '\0';
	assert_string_equal(text, "curve\n");
}

static void answer(size_t i, const char *text)
{
	assert_int_equal(send(agents[i], text, strlen(text), 0), strlen(text));
	run();
}

static const char *hungry(uint64_t held)
{
	static char text[512];

	(void)snprintf(text, sizeof(text), HUNGRY, (unsigned long long)held);
	return text;
}

/* One gives, before the other takes. */
static void test_falls_before_it_rises(void **state)
{
	(void)state;
	assert_asked(0);
	assert_asked(1);
	answer(0, hungry(0));
	assert_int_equal(num_changes, 0);
	answer(1, IDLE);
	assert_int_equal(num_changes, 2);
	assert_ptr_equal(changes[0].machine, &vms[1]);
	assert_true(changes[0].quota < 4 * MIB);
	assert_ptr_equal(changes[1].machine, &vms[0]);
	assert_true(changes[1].quota > 4 * MIB);
	assert_true(changes[0].quota + changes[1].quota <= 8 * MIB);
	assert_int_equal(vms[0].mapped, 4096);
}

/* What is held above a quota that fell is not there for others. */
static void test_falls_and_holds(void **state)
{
	(void)state;
	holds = 4 * MIB - MIB / 2;
	assert_asked(0);
	assert_asked(1);
	answer(0, hungry(0));
	answer(1, IDLE);
	assert_int_equal(num_changes, 2);
	assert_ptr_equal(changes[0].machine, &vms[1]);
	assert_true(changes[0].quota < 4 * MIB - MIB / 2);
	assert_ptr_equal(changes[1].machine, &vms[0]);
	assert_int_equal(changes[1].quota, 4 * MIB + MIB / 2);
	/* nor for one that comes */
	vms[0].mapped = 0;
	service.budget = 9 * MIB;
	{
		struct spec spec = { .quota = 4 * MIB };

		assert_int_equal(service_admit(&service, &spec), 0);
		assert_int_equal(spec.quota, MIB);
	}
	/* until it gives that up */
	vms[1].mapped = 0;
	holds = 0;
	num_changes = 0;
	assert_asked(0);
	assert_asked(1);
	answer(0, hungry(0));
	answer(1, IDLE);
	assert_true(vms[0].spec.quota > 4 * MIB + MIB / 2);
	assert_true(vms[0].spec.quota + vms[1].spec.quota <= 9 * MIB);
}

/* A little that is given up now and then does not move others' quotas. */
static void test_little_is_given_up(void **state)
{
	(void)state;
	holds = 4 * MIB - 4096;
	for (int i = 0; i < 2; i++) {
		assert_asked(0);
		assert_asked(1);
		answer(0, hungry(0));
		answer(1, IDLE);
		for (size_t n = 0; n < num_changes; n++)
			assert_ptr_equal(changes[n].machine, &vms[1]);
		holds -= 4096;
	}
	assert_int_equal(vms[0].spec.quota, 4 * MIB);
}

/* What it holds above its quota is a VM's own: to get it back takes no room. */
static void test_gets_back(void **state)
{
	(void)state;
	vms[0].spec.quota = MIB;
	vms[0].mapped = 3 * MIB;
	vms[1].spec.quota = 5 * MIB;
	vms[1].spec.min = 5 * MIB;
	holds = 3 * MIB;
	assert_asked(0);
	assert_asked(1);
	answer(0, "{\"held_bytes\": 1048576, \"mapped_bytes\": 3145728, "
		  "\"points\": [{\"quota\": 1048576, \"cost_us_per_s\": "
		  "1000000}, {\"quota\": 3145728, \"cost_us_per_s\": 0}]}\n");
	answer(1, IDLE);
	assert_true(num_changes > 0);
	assert_ptr_equal(changes[num_changes - 1].machine, &vms[0]);
	assert_true(vms[0].spec.quota > MIB && vms[0].spec.quota <= 3 * MIB);
}

/* Sure of nothing, and there is nothing: it would have nothing for ever. */
static void test_nothing_is_left(void **state)
{
	struct spec spec = { .quota = MIB };

	(void)state;
	assert_int_equal(service_admit(&service, &spec), -ENOSPC);
}

static bool was_asked(size_t i)
{
	char text[64];

	return recv(agents[i], text, sizeof(text), MSG_DONTWAIT) >= 0;
}

/* An agent that is being stopped has a link still, and is not asked. */
static void test_stopping(void **state)
{
	(void)state;
	vms[1].state = MACHINE_STOPPING;
	assert_asked(0);
	answer(0, IDLE);
	assert_false(was_asked(1));
	vms[0].state = MACHINE_STOPPING;
	vms[1].state = MACHINE_RUNNING;
	assert_asked(1);
	answer(1, IDLE);
	assert_false(was_asked(0));
}

/* Who says nothing of use keeps what it has, and others share the rest. */
static void test_nonsense(void **state)
{
	static const char *const texts[] = {
		"{\"error\": \"no\"}\n",
		"{\"held_bytes\": 1}\n",
		"{\"points\": []}\n",
		"{\"held_bytes\": 1, \"points\": {}}\n",
		"nonsense\n",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		assert_asked(0);
		assert_asked(1);
		answer(1, texts[i]);
		answer(0, hungry(0));
		assert_int_equal(vms[1].spec.quota, 4 * MIB);
		assert_true(vms[0].spec.quota <= 4 * MIB);
	}
}

/* Points that make no sense are left out, not the curve. */
static void test_points(void **state)
{
	struct budget_vm vm = { 0 };
	json_object *object = json_tokener_parse(
		"{\"held_bytes\": -7, \"points\": [3, {\"quota\": 1}, "
		"{\"cost_us_per_s\": 1}, {\"quota\": 5, \"cost_us_per_s\": 2}]}");

	(void)state;
	assert_true(balance_read_curve(object, &vm));
	assert_int_equal(vm.held, 0);
	assert_int_equal(vm.n_points, 1);
	assert_int_equal(vm.points[0].quota, 5);
	json_object_put(object);
}

/* A curve may be as long as an answer; what there is no room for is left out. */
static void test_many_points(void **state)
{
	struct budget_vm vm = { 0 };
	json_object *object = json_object_new_object();
	json_object *points = json_object_new_array();

	(void)state;
	for (unsigned int i = 0; i <= 2 * BUDGET_POINTS_MAX; i++)
		json_object_array_add(
			points,
			json_tokener_parse(
				"{\"quota\": 5, \"cost_us_per_s\": 2}"));
	json_object_object_add(object, "held_bytes", json_object_new_int(1));
	json_object_object_add(object, "points", points);
	assert_true(balance_read_curve(object, &vm));
	assert_int_equal(vm.n_points, BUDGET_POINTS_MAX);
	json_object_put(object);
}

/* An agent goes while it is asked: the round goes on without it. */
static void test_one_goes(void **state)
{
	(void)state;
	assert_asked(0);
	assert_asked(1);
	answer(0, hungry(0));
	vms[0].next = NULL;
	balance_forget(service.balance, &vms[1]);
	agent_link_free(vms[1].link);
	vms[1].link = NULL;
	run();
	assert_int_equal(num_changes, 1);
	assert_ptr_equal(changes[0].machine, &vms[0]);
	assert_asked(0); /* and there is a next round */
}

/* A quota that is not set is tried again in the next round. */
static void test_not_set(void **state)
{
	(void)state;
	refuse = -ENOTCONN;
	for (int i = 0; i < 2; i++) {
		assert_asked(0);
		assert_asked(1);
		answer(0, hungry(0));
		answer(1, IDLE);
		assert_int_equal(num_changes, 0);
	}
	refuse = 0;
	vms[0].spec.max = 7 * MIB; /* see __wrap_machine_set_quota() */
	assert_asked(0);
	assert_asked(1);
	answer(0, hungry(0));
	answer(1, IDLE);
	assert_int_equal(num_changes, 2);
}

/* A VM that uses all that it has, round after round. */
static void test_full(void **state)
{
	(void)state;
	service.budget = 0;
	for (unsigned int i = 1; i <= ROUNDS_FULL; i++) {
		assert_asked(0);
		assert_asked(1);
		answer(0, hungry(4 * MIB));
		answer(1, IDLE);
		assert_int_equal(vms[0].full_rounds, i);
		assert_int_equal(vms[1].full_rounds, 0);
	}
	assert_asked(0);
	assert_asked(1);
	answer(0, hungry(MIB));
	assert_int_equal(vms[0].full_rounds, 0);
	answer(1, IDLE);
	assert_int_equal(num_changes, 0);
}

/* Without VMs there is no round, and no end of rounds. */
static void test_nobody(void **state)
{
	(void)state;
	service.machines = NULL;
	assert_true(sd_event_run(service.event, WAIT_USEC) > 0);
	assert_true(sd_event_run(service.event, WAIT_USEC) > 0);
	service.machines = &vms[0];
	assert_asked(0);
}

/* All links have questions enough. */
static void test_nobody_can_be_asked(void **state)
{
	(void)state;
	for (size_t i = 0; i < VMS; i++)
		assert_int_equal(shutdown(agents[i], SHUT_RD), 0);
	assert_true(sd_event_run(service.event, WAIT_USEC) > 0);
	assert_int_equal(num_changes, 0);
}

static void test_never(void **state)
{
	struct balance *never;

	(void)state;
	config.round_usec = 0;
	assert_int_equal(balance_new(&service, &never), 0);
	balance_forget(NULL, &vms[0]);
	balance_free(never);
	balance_free(NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_falls_before_it_rises),
		TEST(test_falls_and_holds),
		TEST(test_little_is_given_up),
		TEST(test_gets_back),
		TEST(test_nothing_is_left),
		TEST(test_stopping),
		TEST(test_nonsense),
		TEST(test_points),
		TEST(test_many_points),
		TEST(test_one_goes),
		TEST(test_not_set),
		TEST(test_full),
		TEST(test_nobody),
		TEST(test_nobody_can_be_asked),
		TEST(test_never),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
