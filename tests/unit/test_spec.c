// SPDX-License-Identifier: GPL-2.0-or-later
/* Unit tests of host/pvdmad/spec.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/log.h"
#include "pvdmad/spec.h"

#define DOMAIN "5a1d3c2e-0000-4000-8000-00000000000a"

struct world {
	struct spec spec;
	char folder[32];
	char path[64];
};

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	log_set_max_level(-1);
	if (!w)
		return -1;
	spec_init(&w->spec, "vm");
	strcpy(w->folder, "/tmp/pvdma-test-XXXXXX");
	if (!mkdtemp(w->folder))
		return -1;
	(void)snprintf(w->path, sizeof(w->path), "%s/vm.conf", w->folder);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	spec_done(&w->spec);
	(void)unlink(w->path);
	(void)rmdir(w->folder);
	free(w);
	return 0;
}

static int set(struct world *w, const char *key, const char *value)
{
	return spec_set(&w->spec, key, value);
}

static void test_names(void **state)
{
	char name[SPEC_NAME_MAX + 2];

	(void)state;
	memset(name, 'a', sizeof(name));
	name[SPEC_NAME_MAX + 1] = '\0';
	assert_false(spec_is_name(name));
	name[SPEC_NAME_MAX] = '\0';
	assert_true(spec_is_name(name));
	assert_true(spec_is_name("a.b-c_9"));
	assert_false(spec_is_name(""));
	assert_false(spec_is_name(".a"));
	assert_false(spec_is_name("a/b"));
	assert_false(spec_is_name("a b"));
}

static void test_values(void **state)
{
	struct world *w = *state;

	assert_int_equal(set(w, "quota", "16M"), 0);
	assert_int_equal(set(w, "min", "1M"), 0);
	assert_int_equal(set(w, "max", "1G"), 0);
	assert_int_equal(set(w, "weight", "10000"), 0);
	assert_int_equal(set(w, "owner", "a"), 0);
	assert_int_equal(set(w, "owner", "b:c"), 0);
	assert_int_equal(set(w, "strategy", "shared"), 0);
	assert_int_equal(set(w, "strategy", "on-demand"), 0);
	assert_int_equal(w->spec.quota, 16 << 20);
	assert_int_equal(w->spec.min, 1 << 20);
	assert_int_equal(w->spec.max, 1 << 30);
	assert_int_equal(w->spec.weight, 10000);
	assert_string_equal(w->spec.owner, "b:c");
	assert_int_equal(w->spec.num_settings, 1);
	assert_string_equal(spec_get(&w->spec, "strategy"), "on-demand");
	assert_null(spec_get(&w->spec, "granule"));
}

static void test_refused(void **state)
{
	struct world *w = *state;
	char text[600];

	memset(text, 'a', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(set(w, "quota", "1Q"), -EINVAL);
	assert_int_equal(set(w, "min", "x"), -EINVAL);
	assert_int_equal(set(w, "max", "-1"), -EINVAL);
	assert_int_equal(set(w, "weight", "0"), -EINVAL);
	assert_int_equal(set(w, "weight", "10001"), -EINVAL);
	assert_int_equal(set(w, "owner", ""), -EINVAL);
	assert_int_equal(set(w, "owner", " a"), -EINVAL);
	assert_int_equal(set(w, "owner", "a "), -EINVAL);
	assert_int_equal(set(w, "owner", "a\nquota=1G"), -EINVAL);
	assert_int_equal(set(w, "owner", text), -EINVAL);
	assert_int_equal(set(w, "domain", "vm1"), -EINVAL);
	assert_int_equal(set(w, "domain", DOMAIN "0"), -EINVAL);
	assert_int_equal(set(w, "domain",
			     "5a1d3c2e0000-4000-8000-0000000000000a"),
			 -EINVAL);
	assert_null(w->spec.domain);
	assert_int_equal(set(w, "domain", "none"), 0);
	assert_int_equal(set(w, "control", "/tmp/x"), -EINVAL);
	assert_int_equal(set(w, "nothing", "1"), -EINVAL);
	assert_int_equal(w->spec.num_settings, 0);
}

static void test_devices(void **state)
{
	struct world *w = *state;
	static const char *const bad[] = { "x", "0000:01:20.0",
					   "null,endpoint=0", "null,driver",
					   "null,what=1" };

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(set(w, "device", bad[i]), -EINVAL);
	/* What comes before the part that is wrong is given back. */
	assert_int_equal(set(w, "device", "null,driver=a,driver=b,x"), -EINVAL);
	assert_int_equal(w->spec.num_devices, 0);
	assert_int_equal(set(w, "device", "1:2.3,driver=nvme,endpoint=9"), 0);
	assert_int_equal(set(w, "device", "null"), 0);
	assert_string_equal(w->spec.devices[0].address, "0000:01:02.3");
	assert_string_equal(w->spec.devices[0].driver, "nvme");
	assert_int_equal(w->spec.devices[0].endpoint, 9);
	assert_int_equal(spec_remove_device(&w->spec, 2), -EINVAL);
	assert_int_equal(spec_remove_device(&w->spec, 0), 0);
	assert_int_equal(w->spec.num_devices, 1);
	assert_string_equal(w->spec.devices[0].address, "null");
	while (w->spec.num_devices < SPEC_DEVICES_MAX)
		assert_int_equal(set(w, "device", "null"), 0);
	assert_int_equal(set(w, "device", "null"), -EINVAL);
}

static void test_together(void **state)
{
	struct world *w = *state;

	assert_int_equal(spec_finish(&w->spec), -EINVAL); /* no quota */
	assert_int_equal(set(w, "quota", "16M"), 0);
	assert_int_equal(spec_finish(&w->spec), -EINVAL); /* no device */
	assert_int_equal(set(w, "device", "null,endpoint=2"), 0);
	assert_int_equal(set(w, "device", "null"), 0);
	assert_int_equal(spec_finish(&w->spec), -EINVAL); /* 2 twice */
	assert_int_equal(spec_remove_device(&w->spec, 1), 0);
	assert_int_equal(set(w, "min", "2M"), 0);
	assert_int_equal(set(w, "max", "1M"), 0);
	assert_int_equal(spec_finish(&w->spec), -EINVAL);
	assert_int_equal(set(w, "max", "8M"), 0);
	assert_int_equal(spec_finish(&w->spec), -EINVAL); /* quota is above */
	assert_int_equal(set(w, "max", "16M"), 0);
	assert_int_equal(spec_finish(&w->spec), 0);
	assert_int_equal(set(w, "device", "01:00.0"), 0);
	assert_int_equal(set(w, "device", "0000:01:00.0"), 0);
	assert_int_equal(spec_finish(&w->spec), -EINVAL); /* a device twice */
}

static void test_saved_and_loaded(void **state)
{
	struct world *w = *state;
	struct spec again;

	assert_int_equal(set(w, "quota", "16M"), 0);
	assert_int_equal(set(w, "owner", "a:b"), 0);
	assert_int_equal(set(w, "domain", DOMAIN), 0);
	assert_int_equal(set(w, "device", "01:00.0,driver=nvme"), 0);
	assert_int_equal(set(w, "granule", "64K"), 0);
	assert_int_equal(spec_finish(&w->spec), 0);
	assert_int_equal(spec_save(&w->spec, w->path), 0);
	spec_init(&again, "vm");
	assert_int_equal(spec_load(&again, w->path), 0);
	assert_int_equal(again.quota, 16 << 20);
	assert_int_equal(again.min, 16 << 20);
	assert_int_equal(again.max, 16 << 20);
	assert_string_equal(again.owner, "a:b");
	assert_string_equal(again.domain, DOMAIN);
	assert_string_equal(again.devices[0].driver, "nvme");
	assert_string_equal(spec_get(&again, "granule"), "64K");
	spec_done(&again);
	/* to be sure of nothing is not the same as to say nothing of it */
	assert_int_equal(set(w, "min", "0"), 0);
	assert_int_equal(spec_finish(&w->spec), 0);
	assert_int_equal(spec_save(&w->spec, w->path), 0);
	spec_init(&again, "vm");
	assert_int_equal(spec_load(&again, w->path), 0);
	assert_int_equal(again.min, 0);
	spec_done(&again);
}

static void test_files_that_fail(void **state)
{
	struct world *w = *state;
	struct spec again;
	FILE *f;

	spec_init(&again, "vm");
	assert_int_equal(spec_load(&again, w->path), -ENOENT);
	assert_int_equal(spec_save(&w->spec, "/nowhere/vm.conf"), -ENOENT);
	f = fopen(w->path, "w");
	assert_non_null(f);
	assert_true(fputs("quota=1M\nweight=x\ndevice=null\n", f) >= 0);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(spec_load(&again, w->path), -EINVAL);
	spec_done(&again);
	/* A folder in its place: nothing else is left behind. */
	assert_int_equal(unlink(w->path), 0);
	assert_int_equal(mkdir(w->path, 0700), 0);
	assert_int_equal(spec_save(&w->spec, w->path), -EISDIR);
	assert_int_equal(rmdir(w->path), 0);
	assert_int_equal(rmdir(w->folder), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_names),	    TEST(test_values),
		TEST(test_refused),	    TEST(test_devices),
		TEST(test_together),	    TEST(test_saved_and_loaded),
		TEST(test_files_that_fail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
