// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Unit tests of host/agent/vfio_user/json.c and version.c: the text of a
 * VERSION, from what QEMU sends to what nobody should.
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

#include "lib/macros.h"
#include "vfio_user/json.h"
#include "vfio_user/message.h"
#include "vfio_user/version.h"

static int ignore(const struct json_name *path, unsigned int depth,
		  const struct json_value *value, void *userdata)
{
	(void)path;
	(void)value;
	assert_in_range(depth, 1, JSON_DEPTH_MAX);
	++*(unsigned int *)userdata;
	return 0;
}

static void expect_json(const char *text, int r)
{
	const size_t len = strlen(text);
	unsigned int told = 0;
	/* Exactly as long, so that a sanitizer sees a read behind it. */
	char *copy = malloc(len ? len : 1);
	int got;

	assert_non_null(copy);
	memcpy(copy, text, len);
	got = json_read(copy, len, ignore, &told);
	free(copy);
	if (got != r)
		fail_msg("%s: %d, not %d", text, got, r);
}

static const char *const good_texts[] = {
	"{}",
	" {\t\"a\"\r:\n1 } ",
	"{\"a\":[],\"b\":{},\"c\":[{}, [1, 2], \"x\"]}",
	"{\"\":null}",
	"{\"a\":true,\"b\":false}",
	"{\"a\":0,\"b\":-0,\"c\":10.25,\"d\":1e9,\"e\":-1.5E-7}",
	"{\"a\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00aF\"}",
	"{\"a\":\"\xc3\xa4\"}",
	"{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":1}}}}}}}",
};
static const char *const bad_texts[] = {
	"",
	" ",
	"[]",
	"1",
	"\"a\"",
	"{",
	"}",
	"{}}",
	"{} {}",
	"{a:1}",
	"{\"a\"}",
	"{\"a\":}",
	"{\"a\":1,}",
	"{,}",
	"{\"a\" 1}",
	"{\"a\":1 \"b\":2}",
	"{\"a\":01}",
	"{\"a\":+1}",
	"{\"a\":.5}",
	"{\"a\":1.}",
	"{\"a\":1e}",
	"{\"a\":--1}",
	"{\"a\":-}",
	"{\"a\":0x1}",
	"{\"a\":tru}",
	"{\"a\":nul",
	"{\"a\":True}",
	"{\"a\":\"",
	"{\"a\":\"\\\"}",
	"{\"a\":\"\\x\"}",
	"{\"a\":\"\\u123\"}",
	"{\"a\":\"\t\"}",
	"{\"a\":[1,]}",
	"{\"a\":[1",
	"{\"a\":[}",
	"{\"a\":[1}}",
	"{\"a\":1]",
	"{'a':1}",
	"{\"a\":NaN}",
};

static void test_json_grammar(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good_texts); i++)
		expect_json(good_texts[i], 0);
	for (size_t i = 0; i < ARRAY_SIZE(bad_texts); i++)
		expect_json(bad_texts[i], EINVAL);
	expect_json("{\"a\":[[[[[[[[1]]]]]]]]}", E2BIG);
	expect_json("{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":"
		    "{\"a\":1}}}}}}}}}",
		    E2BIG);
}

static int note(const struct json_name *path, unsigned int depth,
		const struct json_value *value, void *userdata)
{
	char *log = userdata;

	for (unsigned int i = 0; i < depth; i++)
		(void)sprintf(log + strlen(log), "/%.*s", (int)path[i].len,
			      path[i].text);
	(void)sprintf(log + strlen(log), "=%d:%d:%llu ", value->type,
		      value->boolean, (unsigned long long)value->integer);
	return json_name_is(&path[depth - 1], "stop") ? ECANCELED : 0;
}

static void test_json_members(void **state)
{
	const char *text = "{\"a\":1,\"b\":{\"c\":true,\"d\":[{\"x\":1}],"
			   "\"e\":{\"f\":\"s\"}},\"g\":18446744073709551615,"
			   "\"h\":18446744073709551616,\"i\":-1,\"j\":null,"
			   "\"stop\":1.0,\"k\":2}";
	char log[512] = "";

	(void)state;
	assert_int_equal(json_read(text, strlen(text), note, log), ECANCELED);
	assert_string_equal(log, "/a=2:0:1 /b=6:0:0 /b/c=1:1:0 /b/d=5:0:0 "
				 "/b/e=6:0:0 /b/e/f=4:0:0 "
				 "/g=2:0:18446744073709551615 /h=3:0:0 "
				 "/i=3:0:0 /j=0:0:0 /stop=3:0:0 ");
}

/* --- capabilities --- */

static int parse(const char *text, struct vfu_capabilities *ret)
{
	return vfu_capabilities_parse(text, strlen(text) + 1, ret);
}

static void test_capabilities(void **state)
{
	struct vfu_capabilities caps;

	(void)state;
	/* The protocol's values where the client says nothing. */
	assert_int_equal(vfu_capabilities_parse(NULL, 0, &caps), 0);
	assert_int_equal(caps.max_msg_fds, 1);
	assert_int_equal(caps.max_data_xfer_size, 1048576);
	assert_false(caps.write_multiple);
	assert_int_equal(parse("{}", &caps), 0);
	assert_int_equal(caps.max_msg_fds, 1);

	assert_int_equal(parse("{\"capabilities\":{\"max_msg_fds\":16,"
			       "\"max_data_xfer_size\":4096,\"pgsizes\":4096,"
			       "\"migration\":{\"max_msg_fds\":3},"
			       "\"write_multiple\":true}}",
			       &caps),
			 0);
	assert_int_equal(caps.max_msg_fds, 16);
	assert_int_equal(caps.max_data_xfer_size, 4096);
	assert_true(caps.write_multiple);
	/* Of the same name, but elsewhere. */
	assert_int_equal(parse("{\"max_msg_fds\":\"x\",\"other\":"
			       "{\"max_msg_fds\":\"x\"}}",
			       &caps),
			 0);
	assert_int_equal(caps.max_msg_fds, 1);
}

static void test_bad_capabilities(void **state)
{
	static const char *const bad[] = {
		"",
		"x",
		"{\"capabilities\":[]}",
		"{\"capabilities\":{\"max_msg_fds\":null}}",
		"{\"capabilities\":{\"max_msg_fds\":-1}}",
		"{\"capabilities\":{\"max_data_xfer_size\":0}}",
		"{\"capabilities\":{\"max_data_xfer_size\":\"1\"}}",
		"{\"capabilities\":{\"write_multiple\":\"true\"}}",
	};
	struct vfu_capabilities caps = { .max_msg_fds = 77 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(parse(bad[i], &caps), EINVAL);
	/* The NUL is missing, or is not the last byte. */
	assert_int_equal(vfu_capabilities_parse("{}", 2, &caps), EINVAL);
	assert_int_equal(vfu_capabilities_parse("{}\0", 4, &caps), EINVAL);
	assert_int_equal(vfu_capabilities_parse("\0", 1, &caps), EINVAL);
	assert_int_equal(caps.max_msg_fds, 77);
}

static void test_capabilities_format(void **state)
{
	const struct vfu_capabilities with = { .write_multiple = true };
	const struct vfu_capabilities without = { 0 };
	char buf[VFU_CAPABILITIES_TEXT_MAX];
	struct vfu_capabilities back;
	size_t n;

	(void)state;
	n = vfu_capabilities_format(&with, buf);
	assert_int_equal(n, strlen(buf) + 1);
	assert_int_equal(vfu_capabilities_parse(buf, n, &back), 0);
	assert_int_equal(back.max_msg_fds, VFU_FDS_MAX);
	assert_int_equal(back.max_data_xfer_size, VFU_XFER_MAX);
	assert_true(back.write_multiple);
	n = vfu_capabilities_format(&without, buf);
	assert_null(strstr(buf, "write_multiple"));
	assert_int_equal(vfu_capabilities_parse(buf, n, &back), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_json_grammar),
		cmocka_unit_test(test_json_members),
		cmocka_unit_test(test_capabilities),
		cmocka_unit_test(test_bad_capabilities),
		cmocka_unit_test(test_capabilities_format),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
