// SPDX-License-Identifier: GPL-2.0-or-later
/* Unit tests of host/sim/trace*.c: the rules of a trace, and its file. */
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

#include "host/lib/log.h"
#include "host/sim/crc32.h"
#include "host/sim/trace_file.h"

static struct trace *make(uint32_t devices, uint32_t cpus)
{
	struct trace_info info = {
		.memory = 1u << 30,
		.cpus = cpus,
		.n_devices = devices,
		.kernel = "6.12.0",
		.workload = "a test",
		.lost = 1,
		.unmatched = 2,
		.truncated = 3,
		.skipped = 1000000,
	};
	struct trace *trace = NULL;

	for (uint32_t i = 0; i < devices; i++)
		(void)snprintf(info.devices[i], TRACE_TEXT_MAX, "dev%u", i);
	assert_int_equal(trace_new(&info, &trace), 0);
	return trace;
}

static uint32_t add(struct trace *trace, uint64_t time, uint64_t addr,
		    uint64_t len)
{
	struct trace_segment s = { addr, len };
	struct trace_map map = {
		.time_us = time,
		.segments = &s,
		.n_segments = 1,
	};
	uint32_t id = UINT32_MAX;

	assert_int_equal(trace_add_map(trace, &map, &id), 0);
	return id;
}

static uint64_t seed;

static uint64_t rnd(void)
{
	seed = seed * 6364136223846793005u + 1442695040888963407u;
	return seed >> 33;
}

static void add_random(struct trace *trace, uint64_t time)
{
	struct trace_segment s[5];
	struct trace_map map = {
		.time_us = time,
		.cpu = (uint16_t)(rnd() % trace->info.cpus),
		.device = (uint8_t)(rnd() % trace->info.n_devices),
		.kind = (uint8_t)(rnd() % TRACE_KINDS),
		.dir = (uint8_t)(rnd() % TRACE_DIRS),
		.segments = s,
		.n_segments = (uint32_t)(1 + rnd() % 5),
	};

	for (uint32_t i = 0; i < map.n_segments; i++) {
		static const uint64_t lens[] = { 0,   1,    8,	   511,
						 512, 4096, 65536, 5u << 20 };

		s[i].len = lens[rnd() % 8];
		s[i].addr = rnd() << rnd() % 14;
		if (rnd() % 2)
			s[i].addr &= ~(uint64_t)4095;
		if (rnd() % 50 == 0)
			s[i].addr =
				TRACE_ADDR_LAST + 1 - (s[i].len ? s[i].len : 1);
	}
	assert_int_equal(trace_add_map(trace, &map, NULL), 0);
}

static struct trace *make_random(uint64_t from, size_t events)
{
	struct trace *trace;
	uint64_t time = 0;

	seed = from;
	trace = make((uint32_t)(1 + rnd() % 3), (uint32_t)(1 + rnd() % 300));
	while (trace->n_events < events) {
		uint32_t m = trace->n_maps ? (uint32_t)rnd() % trace->n_maps :
					     0;

		time += rnd() % 3 ? rnd() % 200 : 0;
		if (rnd() % 2 && trace_is_live(trace, m))
			assert_int_equal(
				trace_add_unmap(
					trace, time,
					(uint16_t)(rnd() % trace->info.cpus),
					m),
				0);
		else
			add_random(trace, time);
	}
	return trace;
}

static void assert_same(const struct trace *a, const struct trace *b)
{
	assert_memory_equal(&a->info, &b->info, sizeof(a->info));
	assert_int_equal(a->n_events, b->n_events);
	assert_int_equal(a->n_segments, b->n_segments);
	assert_int_equal(a->n_maps, b->n_maps);
	for (size_t i = 0; i < a->n_events; i++) {
		const struct trace_event *x = &a->events[i];
		const struct trace_event *y = &b->events[i];

		assert_int_equal(x->time_us, y->time_us);
		assert_int_equal(x->map, y->map);
		assert_int_equal(x->segment, y->segment);
		assert_int_equal(x->n_segments, y->n_segments);
		assert_int_equal(x->cpu, y->cpu);
		assert_int_equal(x->device, y->device);
		assert_int_equal(x->kind, y->kind);
		assert_int_equal(x->dir, y->dir);
	}
	for (size_t i = 0; i < a->n_segments; i++) {
		assert_int_equal(a->segments[i].addr, b->segments[i].addr);
		assert_int_equal(a->segments[i].len, b->segments[i].len);
	}
}

static void test_rules(void **state)
{
	struct trace *trace = make(1, 2);
	struct trace_segment s = { 4096, 4096 };
	struct trace_map map = { .time_us = 10,
				 .segments = &s,
				 .n_segments = 1 };
	uint32_t id;

	(void)state;
	id = add(trace, 10, 4096, 4096);
	map.time_us = 9;
	assert_int_equal(trace_add_map(trace, &map, NULL), -EINVAL);
	map.time_us = TRACE_TIME_MAX + 1;
	assert_int_equal(trace_add_map(trace, &map, NULL), -EINVAL);
	map.time_us = 10;
	map.device = 1;
	assert_int_equal(trace_add_map(trace, &map, NULL), -EINVAL);
	map.device = 0;
	map.cpu = 2;
	assert_int_equal(trace_add_map(trace, &map, NULL), -EINVAL);
	map.cpu = 0;
	map.n_segments = 0;
	assert_int_equal(trace_add_map(trace, &map, NULL), -EINVAL);
	map.n_segments = 1;
	map.kind = TRACE_KINDS;
	assert_int_equal(trace_add_map(trace, &map, NULL), -EINVAL);
	map.kind = 0;
	s = (struct trace_segment){ TRACE_ADDR_LAST, 2 };
	assert_int_equal(trace_add_map(trace, &map, NULL), -EINVAL);
	s = (struct trace_segment){ 1, UINT64_MAX };
	assert_int_equal(trace_add_map(trace, &map, NULL), -EINVAL);

	assert_int_equal(trace_add_unmap(trace, 10, 0, 1), -EINVAL);
	assert_int_equal(trace_add_unmap(trace, 9, 0, id), -EINVAL);
	assert_int_equal(trace_add_unmap(trace, 10, 0, id), 0);
	assert_int_equal(trace_add_unmap(trace, 11, 0, id), -EINVAL);
	assert_int_equal(trace->n_events, 2);
	trace_free(trace);
	trace_free(NULL);
}

static void test_texts(void **state)
{
	char text[TRACE_TEXT_MAX];
	struct trace *trace = make(TRACE_DEVICES_MAX, 1);

	(void)state;
	trace_set_text(text, "a\nb\xff");
	assert_string_equal(text, "a?b?");
	trace_set_text(text, NULL);
	assert_string_equal(text, "");
	assert_int_equal(trace_add_device(trace, "one more"), -E2BIG);
	trace_free(trace);
}

static void test_round_trip(void **state)
{
	(void)state;
	for (uint64_t n = 0; n < 60; n++) {
		struct trace *trace = make_random(n, n * 11), *back = NULL;
		uint8_t *buf = NULL, *again = NULL;
		size_t size, size_again;

		assert_int_equal(trace_encode(trace, &buf, &size), 0);
		assert_int_equal(trace_decode(buf, size, &back, NULL), 0);
		assert_same(trace, back);
		assert_int_equal(trace_encode(back, &again, &size_again), 0);
		assert_int_equal(size, size_again);
		assert_memory_equal(buf, again, size);
		free(buf);
		free(again);
		trace_free(trace);
		trace_free(back);
	}
}

static void set_crc(uint8_t *buf, size_t size)
{
	uint32_t crc = crc32(buf, size - 4);

	for (size_t i = 0; i < 4; i++)
		buf[size - 4 + i] = (uint8_t)(crc >> 8 * i);
}

/* Whatever is cut off, or changed, is seen; nothing is read out of bounds. */
static void test_damage(void **state)
{
	struct trace *trace = make_random(5, 40), *back = NULL;
	uint8_t *buf = NULL;
	size_t size, at;

	(void)state;
	assert_int_equal(trace_encode(trace, &buf, &size), 0);
	for (size_t n = 0; n < size; n++) {
		uint8_t *cut = malloc(n + 1);
		int r;

		memcpy(cut, buf, n);
		r = trace_decode(cut, n, &back, NULL);
		assert_int_equal(r, n < 8  ? TRACE_NOT_A_TRACE :
				    n < 12 ? TRACE_SHORT :
					     TRACE_BAD_CHECKSUM);
		if (n >= 12) {
			set_crc(cut, n);
			assert_true(trace_decode(cut, n, &back, &at) > 0);
			assert_true(at <= n);
		}
		free(cut);
	}
	for (size_t i = 0; i < size; i++)
		for (int bit = 0; bit < 8; bit++) {
			int r;

			buf[i] ^= (uint8_t)(1u << bit);
			assert_true(trace_decode(buf, size, &back, NULL) > 0);
			if (i >= 8 && i < size - 4) {
				set_crc(buf, size);
				/* may well be another good trace */
				r = trace_decode(buf, size, &back, NULL);
				assert_true(r >= 0);
				if (r == 0)
					trace_free(back);
			}
			buf[i] ^= (uint8_t)(1u << bit);
			set_crc(buf, size);
		}
	free(buf);
	trace_free(trace);
}

/* A file by hand: @body behind magic, version, page size and memory. */
static int decode(const char *body, size_t n)
{
	uint8_t buf[256] = TRACE_FILE_MAGIC "\x01\x0c\x00";
	struct trace *trace = NULL;
	int r;

	memcpy(buf + 11, body, n);
	set_crc(buf, 11 + n + 4);
	r = trace_decode(buf, 11 + n + 4, &trace, NULL);
	if (r == 0)
		trace_free(trace);
	return r;
}

#define DECODE(body) decode(body, sizeof(body) - 1)
/* one CPU, one device "d", no other texts, nothing lost; events follow */
#define HEAD           \
	"\x01\x01\x01" \
	"d\x00\x00\x00\x00\x00\x00"

static void test_malformed(void **state)
{
	(void)state;
	assert_int_equal(DECODE(HEAD "\x00"), TRACE_OK);
	assert_int_equal(DECODE(HEAD "\x00\x00"), TRACE_TRAILING);
	assert_int_equal(DECODE("\x00"), TRACE_SHORT);
	/* no CPUs; too many; too many devices; a text too long, unprintable */
	assert_int_equal(DECODE("\x00\x00\x00\x00\x00\x00\x00\x00\x00"),
			 TRACE_BAD_HEADER);
	assert_int_equal(DECODE("\xff\xff\xff\x01"), TRACE_BAD_HEADER);
	assert_int_equal(DECODE("\x01\x7f"), TRACE_BAD_HEADER);
	assert_int_equal(DECODE("\x01\x01\x40"), TRACE_BAD_HEADER);
	assert_int_equal(DECODE("\x01\x01\x01\x07\x00\x00\x00\x00\x00\x00\x00"),
			 TRACE_BAD_HEADER);
	/* numbers: not the shortest form; too long */
	assert_int_equal(DECODE("\x81\x00"), TRACE_BAD_NUMBER);
	assert_int_equal(DECODE("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
			 TRACE_BAD_NUMBER);
	/* a map of 4 KiB at 0; at a place before 0 */
	assert_int_equal(DECODE(HEAD "\x01\x00\x00\x00\x10"), TRACE_OK);
	assert_int_equal(DECODE(HEAD "\x01\x00\x00\x02\x10"), TRACE_BAD_EVENT);
	/* ... that ends; that never began; ends twice */
	assert_int_equal(DECODE(HEAD "\x02\x00\x00\x00\x10\x01\x00\x00"),
			 TRACE_OK);
	assert_int_equal(DECODE(HEAD "\x02\x00\x00\x00\x10\x01\x00\x01"),
			 TRACE_BAD_EVENT);
	assert_int_equal(DECODE(HEAD
				"\x03\x00\x00\x00\x10\x01\x00\x00\x01\x00\x00"),
			 TRACE_BAD_EVENT);
	/* an unmap with bits that maps have; a kind too many; a CPU too many */
	assert_int_equal(DECODE(HEAD "\x02\x00\x00\x00\x10\x05\x00\x00"),
			 TRACE_BAD_EVENT);
	assert_int_equal(DECODE(HEAD "\x01\x70\x00\x00\x10"), TRACE_BAD_EVENT);
	assert_int_equal(DECODE(HEAD "\x01\x02\x00\x01\x00\x10"),
			 TRACE_BAD_EVENT);
	/* more segments than the file can have: no memory is asked for */
	assert_int_equal(DECODE(HEAD "\x01\x80\x00\xff\xff\x03\x00\x10"),
			 TRACE_SHORT);
	assert_int_equal(DECODE(HEAD "\x01\x80\x00\x00"), TRACE_BAD_EVENT);
	/* more events than it has */
	assert_int_equal(DECODE(HEAD "\xff\xff\xff\xff\x0f"), TRACE_SHORT);
	/* a length, and a time, without bounds */
	assert_int_equal(
		DECODE(HEAD
		       "\x01\x00\x00\x00\xfe\xff\xff\xff\xff\xff\xff\xff\x7f"),
		TRACE_BAD_EVENT);
	assert_int_equal(
		DECODE(HEAD "\x01\x00\xff\xff\xff\xff\xff\xff\xff\x7f\x00\x10"),
		TRACE_BAD_EVENT);
}

static void test_store(void **state)
{
	char path[] = "/tmp/test_sim_trace.XXXXXX";
	struct trace *trace = make_random(3, 100), *back = NULL;
	int fd = mkstemp(path);

	(void)state;
	log_set_max_level(-1);
	assert_true(fd >= 0);
	assert_int_equal(trace_load(path, &back), -EBADMSG);
	assert_int_equal(trace_save(trace, path), 0);
	assert_int_equal(trace_load(path, &back), 0);
	assert_same(trace, back);
	assert_int_equal(trace_save(trace, "/nowhere/at/all"), -ENOENT);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(trace_load(path, &back), -ENOENT);
	close(fd);
	trace_free(trace);
	trace_free(back);
}

static void test_names(void **state)
{
	(void)state;
	for (unsigned int k = 0; k < TRACE_KINDS; k++)
		assert_non_null(trace_kind_name(k));
	assert_string_equal(trace_kind_name(TRACE_KINDS), "unknown");
	assert_string_equal(trace_dir_name(TRACE_DIRS), "unknown");
	for (int v = 0; v < TRACE_VERDICTS; v++)
		assert_non_null(trace_verdict_text(v));
	assert_string_equal(trace_verdict_text(-1), "unknown");
	/* the check value of the CRC's definition */
	assert_int_equal(crc32("123456789", 9), 0xcbf43926u);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rules),
		cmocka_unit_test(test_texts),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_damage),
		cmocka_unit_test(test_malformed),
		cmocka_unit_test(test_store),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
