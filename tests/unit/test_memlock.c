// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Unit tests of host/agent/memlock.c: the soft limit of locked memory follows
 * the quota, as far as the hard limit lets it. What is said is the business of
 * the wire tests.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <linux/capability.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent_impl.h"
#include "lib/log.h"

#define MB(n) ((uint64_t)(n) << 20)

/* Takes CAP_IPC_LOCK, which exempts from the limit, away, or gives it back. */
static int set_exempt(bool exempt)
{
	struct __user_cap_header_struct head = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { 0 };
	uint32_t mask = CAP_TO_MASK(CAP_IPC_LOCK);

	if (syscall(SYS_capget, &head, data) < 0)
		return -1;
	if (exempt)
		data[CAP_TO_INDEX(CAP_IPC_LOCK)].effective |= mask;
	else
		data[CAP_TO_INDEX(CAP_IPC_LOCK)].effective &= ~mask;
	return (int)syscall(SYS_capset, &head, data);
}

static void set_limit(uint64_t soft, uint64_t hard)
{
	struct rlimit limit = { .rlim_cur = soft, .rlim_max = hard };

	assert_int_equal(setrlimit(RLIMIT_MEMLOCK, &limit), 0);
}

static void assert_limit(uint64_t soft, uint64_t hard)
{
	struct rlimit limit;

	assert_int_equal(getrlimit(RLIMIT_MEMLOCK, &limit), 0);
	assert_int_equal(limit.rlim_cur, soft);
	assert_int_equal(limit.rlim_max, hard);
}

static int setup(void **state)
{
	(void)state;
	log_set_max_level(-1);
	return set_exempt(false);
}

/* Up and down; beyond the hard limit it stays there, and says so. */
static void test_follows(void **state)
{
	(void)state;
	set_limit(MB(1), MB(4));
	assert_int_equal(memlock_prepare(MB(2)), 0);
	assert_limit(MB(2), MB(4));
	assert_int_equal(memlock_prepare(MB(4)), 0);
	assert_limit(MB(4), MB(4));
	assert_int_equal(memlock_prepare(MB(3)), 0);
	assert_limit(MB(3), MB(4));
	assert_int_equal(memlock_prepare(MB(5)), MB(4));
	assert_limit(MB(4), MB(4));
	assert_int_equal(memlock_prepare(UINT64_MAX), MB(4));
	assert_int_equal(memlock_prepare(MB(1)), 0);
	assert_limit(MB(1), MB(4));
	assert_int_equal(memlock_prepare(MB(4)), 0);
	assert_limit(MB(4), MB(4));
}

/* Who may lock without limit is left alone. */
static void test_exempt(void **state)
{
	(void)state;
	set_limit(MB(1), MB(2));
	if (set_exempt(true) < 0)
		skip();
	assert_int_equal(memlock_prepare(MB(8)), 0);
	assert_limit(MB(1), MB(2));
	assert_int_equal(set_exempt(false), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_follows, setup),
		cmocka_unit_test_setup(test_exempt, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
