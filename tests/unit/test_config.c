// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Unit tests of host/agent/config.c, config_device.c and config_file.c: values,
 * and what they mean together. Messages are the business of the wire tests.
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
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "config.h"
#include "lib/log.h"
#include "lib/macros.h"

static const struct settings_place place = { .file = "test.conf", .line = 1 };

static int setup(void **state)
{
	struct agent_config *config = calloc(1, sizeof(*config));

	if (!config)
		return -1;
	log_set_max_level(-1);
	config_init(config);
	*state = config;
	return 0;
}

static int teardown(void **state)
{
	config_done(*state);
	free(*state);
	return 0;
}

static int set(struct agent_config *config, const char *key, const char *value)
{
	return config_set(config, &place, key, value);
}

static void set_minimum(struct agent_config *config)
{
	assert_int_equal(set(config, "quota", "16M"), 0);
	assert_int_equal(set(config, "iommu", "null"), 0);
	assert_int_equal(set(config, "device", "null,socket=d"), 0);
	assert_int_equal(set(config, "vhost-socket", "v"), 0);
}

static void test_defaults(void **state)
{
	struct agent_config *config = *state;

	set_minimum(config);
	assert_int_equal(config_finish(config), 0);
	assert_string_equal(config->name, "pvdma");
	assert_int_equal(config->vm.quota, 16 << 20);
	assert_int_equal(config->vm.granule_shift, 12);
	assert_int_equal(config->vm.strategy, VIRTIO_PVDMA_S_ON_DEMAND);
	assert_int_equal(config->vm.fallback, VM_FALLBACK_DENY);
	assert_true(config->vm.ahead);
	assert_int_equal(config->vm.enforce, VM_ENFORCE_WAIT);
	assert_int_equal(config->vm.enforce_usec, 500000);
	assert_string_equal(config->vm.policy, "reuse");
	assert_int_equal(config->vm.num_queues, 2);
	assert_int_equal(config->vm.max_ranges, 256);
	assert_int_equal(config->socket_mode, 0600);
	assert_int_equal(config->devices[0].endpoint, 1);
	assert_null(config->devices[0].bdf);
	assert_int_equal(config->log_level, LOG_INFO);
}

static void test_values(void **state)
{
	struct agent_config *config = *state;

	set_minimum(config);
	assert_int_equal(set(config, "quota", "0"), 0);
	assert_int_equal(set(config, "granule", "64K"), 0);
	assert_int_equal(set(config, "strategy", "direct-map"), 0);
	assert_int_equal(set(config, "fallback", "direct"), 0);
	assert_int_equal(set(config, "ahead", "off"), 0);
	assert_int_equal(set(config, "enforce", "revoke"), 0);
	assert_int_equal(set(config, "enforce-deadline", "60min"), 0);
	assert_int_equal(set(config, "iommu", "null,entries=7,bytes=1M"), 0);
	assert_int_equal(set(config, "queues", "64"), 0);
	assert_int_equal(set(config, "max-ranges", "1"), 0);
	assert_int_equal(set(config, "socket-mode", "0660"), 0);
	assert_int_equal(set(config, "socket-owner", "12:34"), 0);
	assert_int_equal(set(config, "log-level", "debug"), 0);
	assert_int_equal(config_finish(config), 0);
	assert_int_equal(config->vm.quota, 0);
	assert_int_equal(config->vm.granule_shift, 16);
	assert_int_equal(config->vm.strategy, VIRTIO_PVDMA_S_DIRECT_MAP);
	assert_int_equal(config->vm.fallback, VM_FALLBACK_DIRECT);
	assert_false(config->vm.ahead);
	assert_int_equal(config->vm.enforce, VM_ENFORCE_REVOKE);
	assert_int_equal(config->vm.enforce_usec, 3600000000);
	assert_int_equal(set(config, "enforce-deadline", "61min"), -EINVAL);
	assert_int_equal(config->vm.enforce_usec, 3600000000);
	assert_int_equal(config->null_entries, 7);
	assert_int_equal(config->null_bytes, 1 << 20);
	assert_int_equal(config->socket_mode, 0660);
	assert_int_equal(config->socket_uid, 12);
	assert_int_equal(config->socket_gid, 34);
}

static void test_owner(void **state)
{
	struct agent_config *config = *state;

	assert_int_equal(set(config, "socket-owner", ":root"), 0);
	assert_int_equal(config->socket_uid, (uid_t)-1);
	assert_int_equal(config->socket_gid, 0);
	assert_int_equal(set(config, "socket-owner", "root"), 0);
	assert_int_equal(config->socket_uid, 0);
	assert_int_equal(config->socket_gid, (gid_t)-1);
	/* The value that means "as it comes" is nobody's number. */
	assert_int_equal(set(config, "socket-owner", "4294967295"), -EINVAL);
}

/* A value that is refused leaves what was there. */
static void test_refused_values_change_nothing(void **state)
{
	static const struct {
		const char *key;
		const char *value;
	} bad[] = {
		{ "quota", "17X" },
		{ "granule", "12K" },
		{ "strategy", "none" },
		{ "iommu", "null,entries=9,nonsense=1" },
		{ "queues", "65" },
		{ "name", "a/b" },
		{ "vhost-socket", "" },
		{ "vhost-fd", "1" },
		{ "socket-owner", "root:there is no such group" },
		{ "device", "null,socket=x,endpoint=0" },
		{ "device", "null,socket=x,socket=" },
		{ "device", "03:00.0" },
		{ "log-level", "all" },
	};
	struct agent_config *config = *state;
	struct agent_config before;

	set_minimum(config);
	assert_int_equal(set(config, "name", "a"), 0);
	before = *config;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(set(config, bad[i].key, bad[i].value),
				 -EINVAL);
	assert_memory_equal(&before, config, sizeof(before));
	assert_int_equal(set(config, "no-such-option", "1"), -ENOENT);
}

static void test_devices(void **state)
{
	struct agent_config *config = *state;
	int fd = eventfd(0, EFD_CLOEXEC);
	char spec[128];

	assert_true(fd > 2);
	assert_int_equal(set(config, "quota", "1M"), 0);
	assert_int_equal(set(config, "vhost-socket", "v"), 0);
	(void)snprintf(spec, sizeof(spec), "3:1f.7,socket=a,group-fd=%d", fd);
	assert_int_equal(set(config, "device", spec), 0);
	assert_int_equal(set(config, "device",
			     "10000:e1:00.0,endpoint=0x10,socket=b"),
			 0);
	assert_int_equal(config_finish(config), 0);
	assert_string_equal(config->devices[0].bdf, "0000:03:1f.7");
	assert_int_equal(config->devices[0].endpoint, 1);
	assert_int_equal(config->devices[0].group_fd, fd);
	assert_int_equal(config->devices[0].device_fd, -EBADF);
	assert_string_equal(config->devices[1].bdf, "10000:e1:00.0");
	assert_int_equal(config->devices[1].endpoint, 16);
	assert_string_equal(config->devices[1].socket.path, "b");
	close(fd);
}

static void test_rules(void **state)
{
	static const struct {
		const char *key;
		const char *value;
	} conflicts[] = {
		{ "device", "null,socket=d,endpoint=5" },
		{ "device", "null,socket=v,endpoint=5" },
		{ "device", "null,socket=e,endpoint=1" },
		{ "device", "01:00.0,socket=e" },
		{ "control", "v" },
		{ "iommu", "type1" },
	};
	struct agent_config *config = *state;

	for (size_t i = 0; i < ARRAY_SIZE(conflicts); i++) {
		config_done(config);
		set_minimum(config);
		assert_int_equal(config_finish(config), 0);
		assert_int_equal(
			set(config, conflicts[i].key, conflicts[i].value), 0);
		assert_int_equal(config_finish(config), -EINVAL);
	}
}

/* Without a way for the driver, only what needs no driver makes sense. */
static void test_without_vhost(void **state)
{
	struct agent_config *config = *state;

	assert_int_equal(set(config, "quota", "16M"), 0);
	assert_int_equal(set(config, "iommu", "null"), 0);
	assert_int_equal(set(config, "device", "null,socket=d"), 0);
	assert_int_equal(config_finish(config), -EINVAL);
	assert_int_equal(set(config, "fallback", "direct"), 0);
	assert_int_equal(config_finish(config), 0);
	assert_int_equal(set(config, "fallback", "deny"), 0);
	assert_int_equal(set(config, "strategy", "direct-map"), 0);
	assert_int_equal(config_finish(config), 0);
}

static int load(struct agent_config *config, const char *text)
{
	int fd = memfd_create("config", MFD_CLOEXEC), r;
	char path[64];

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	r = config_load(config, path);
	close(fd);
	return r;
}

static void test_file(void **state)
{
	struct agent_config *config = *state;

	assert_int_equal(load(config, ""), 0);
	assert_int_equal(load(config, "\n\n#quota=1\n   # x\n"), 0);
	assert_false(config->has_quota);
	assert_int_equal(load(config, " quota\t=  3M \r\nname=x"), 0);
	assert_int_equal(config->vm.quota, 3 << 20);
	assert_string_equal(config->name, "x");
	/* All that is right is taken, and the first error is the result. */
	assert_int_equal(load(config, "queues=3\nquota\nmax-ranges=9\n"),
			 -EINVAL);
	assert_int_equal(config->vm.num_queues, 3);
	assert_int_equal(config->vm.max_ranges, 9);
	assert_int_equal(load(config, "quota=1M\nquota=1M\n"), -EINVAL);
	assert_int_equal(load(config, "device=null,socket=a\n"
				      "device=null,socket=b\n"),
			 0);
	assert_int_equal(config->num_devices, 2);
	assert_int_equal(config_load(config, "/nonexistent"), -ENOENT);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_defaults),
		TEST(test_values),
		TEST(test_owner),
		TEST(test_refused_values_change_nothing),
		TEST(test_devices),
		TEST(test_rules),
		TEST(test_without_vhost),
		TEST(test_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
