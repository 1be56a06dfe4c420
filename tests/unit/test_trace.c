// SPDX-License-Identifier: GPL-2.0-or-later
/* Unit tests of host/agent/trace.c: what is recorded of requests, and when. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <json-c/json.h>
#include <string.h>

#include "host/agent/trace.h"
#include "tests/unit/support/guest.h"

static struct guest g;
static json_object *answer;

static int setup(void **state)
{
	(void)state;
	guest_start(&g, &(struct guest_options){
				.size = MB(64),
				.quota = KB(64),
				.shift = 12,
			});
	guest_boot(&g);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	json_object_put(answer);
	answer = NULL;
	guest_stop(&g);
	return 0;
}

/* One request's way as a queue would have it. */
static void map(uint64_t first, uint64_t count)
{
	trace_popped(vm_trace(g.vm));
	assert_int_equal(guest_map(&g, first, count), VIRTIO_PVDMA_R_OK);
	trace_answered(vm_trace(g.vm));
}

/* What trace_write() says, as JSON; checks that it is. */
static json_object *ask(size_t num)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	assert_non_null(f);
	trace_write(vm_trace(g.vm), num, f);
	assert_int_equal(fclose(f), 0);
	json_object_put(answer);
	answer = json_tokener_parse(text);
	assert_non_null(answer);
	free(text);
	return answer;
}

static json_object *member(json_object *object, const char *key)
{
	json_object *value;

	assert_true(json_object_object_get_ex(object, key, &value));
	return value;
}

static uint64_t number(json_object *object, const char *key)
{
	return json_object_get_uint64(member(object, key));
}

static json_object *request(size_t i)
{
	return json_object_array_get_idx(member(answer, "requests"), i);
}

static size_t num_requests(void)
{
	return json_object_array_length(member(answer, "requests"));
}

static double stage(json_object *q, const char *name)
{
	return json_object_get_double(member(member(q, "stages"), name));
}

/* Nothing is kept before somebody asks, nor after it was ended. */
static void test_off(void **state)
{
	(void)state;
	map(0, 1);
	(void)ask(64);
	assert_false(json_object_get_boolean(member(answer, "recording")));
	assert_int_equal(num_requests(), 0);
	assert_int_equal(trace_arm(vm_trace(g.vm)), 0);
	map(1, 1);
	(void)ask(64);
	assert_true(json_object_get_boolean(member(answer, "recording")));
	assert_int_equal(num_requests(), 1);
	trace_disarm(vm_trace(g.vm));
	map(2, 1);
	(void)ask(64);
	assert_int_equal(number(answer, "recorded"), 0);
	assert_int_equal(num_requests(), 0);
}

static void test_stages(void **state)
{
	json_object *q;

	(void)state;
	assert_int_equal(trace_arm(vm_trace(g.vm)), 0);
	map(0, 16);
	map(100, 3); /* for which others must go */
	(void)ask(64);
	assert_int_equal(num_requests(), 2);
	q = request(0);
	assert_int_equal(number(q, "bytes"), KB(64));
	assert_int_equal(number(q, "evictions"), 0);
	q = request(1);
	assert_string_equal(json_object_get_string(member(q, "type")), "map");
	assert_string_equal(json_object_get_string(member(q, "status")), "ok");
	assert_int_equal(number(q, "number"), 2);
	assert_int_equal(number(q, "items"), 1);
	assert_int_equal(number(q, "bytes"), KB(12));
	assert_true(number(q, "evictions") > 0);
	assert_true(number(q, "evicted_bytes") >= KB(12));
	assert_true(number(q, "pieces") > 0);
	assert_true(stage(q, "popped") == 0);
	assert_true(stage(q, "decoded") <= stage(q, "room"));
	assert_true(stage(q, "room") <= stage(q, "mapped"));
	assert_true(stage(q, "mapped") <= stage(q, "words"));
	assert_true(stage(q, "words") <= stage(q, "answered"));
	assert_true(stage(q, "answered") < 60e6);
}

/* A request that is refused has no stages behind that. */
static void test_refused(void **state)
{
	static const uint8_t garbage[3];
	json_object *q;

	(void)state;
	assert_int_equal(trace_arm(vm_trace(g.vm)), 0);
	trace_popped(vm_trace(g.vm));
	assert_int_equal(guest_send(&g, garbage, sizeof(garbage)),
			 VIRTIO_PVDMA_R_INVAL);
	trace_answered(vm_trace(g.vm));
	trace_popped(vm_trace(g.vm));
	assert_int_equal(guest_map(&g, 0, 17), VIRTIO_PVDMA_R_QUOTA);
	trace_answered(vm_trace(g.vm));
	(void)ask(64);
	q = request(0);
	assert_string_equal(json_object_get_string(member(q, "type")),
			    "malformed");
	assert_string_equal(json_object_get_string(member(q, "status")),
			    "inval");
	q = request(1);
	assert_string_equal(json_object_get_string(member(q, "status")),
			    "quota");
	assert_false(
		json_object_object_get_ex(member(q, "stages"), "words", NULL));
}

/* The last ones are kept, and as many of them shown as are wanted. */
static void test_ring(void **state)
{
	(void)state;
	assert_int_equal(trace_arm(vm_trace(g.vm)), 0);
	for (uint64_t i = 0; i < TRACE_RECORDS + 7; i++)
		map(i, 1);
	(void)ask(TRACE_RECORDS);
	assert_int_equal(number(answer, "recorded"), TRACE_RECORDS + 7);
	assert_int_equal(num_requests(), TRACE_RECORDS);
	for (size_t i = 0; i < TRACE_RECORDS; i++)
		assert_int_equal(number(request(i), "number"), i + 8);
	(void)ask(2);
	assert_int_equal(num_requests(), 2);
	assert_int_equal(number(request(1), "number"), TRACE_RECORDS + 7);
	/* Armed again, it goes on. */
	assert_int_equal(trace_arm(vm_trace(g.vm)), 0);
	(void)ask(1);
	assert_int_equal(num_requests(), 1);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_off, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stages, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_ring, setup, teardown),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
