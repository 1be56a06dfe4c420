// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Unit tests of host/sim/import.c, trace_text.c, live.c and nvme_commands.c: text
 * as Linux 6.12 and 7.3, trace-cmd and perf print it.
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

#include "host/sim/import.h"
#include "host/sim/live.h"

static struct import_result result;

static int import_with(const struct import_options *options, const char *text)
{
	FILE *in = fmemopen((void *)text, strlen(text), "r");
	int r;

	assert_non_null(in);
	trace_free(result.trace);
	r = import_text(in, options, &result);
	assert_int_equal(!r, result.trace != NULL);
	(void)fclose(in);
	return r;
}

static int import(const char *text)
{
	static const struct import_options none;

	return import_with(&none, text);
}

static void assert_map(uint32_t map, uint8_t kind, uint8_t dir, uint64_t addr,
		       uint64_t len, bool live)
{
	const struct trace *t = result.trace;
	const struct trace_event *e;

	assert_true(map < t->n_maps);
	e = trace_map_of(t, map);
	assert_int_equal(e->kind, kind);
	assert_int_equal(e->dir, dir);
	assert_int_equal(t->segments[e->segment].addr, addr);
	assert_int_equal(t->segments[e->segment].len, len);
	assert_int_equal(trace_is_live(t, map), live);
}

static void test_6_12(void **state)
{
	(void)state;
	assert_int_equal(
		import("# tracer: nop\n"
		       "#\n"
		       "# entries-in-buffer/entries-written: 6/6   #P:2\n"
		       "#           TASK-PID     CPU#  |||||  TIMESTAMP  FUNCTION\n"
		       "    kworker/u8:0-12      [001] .....    18.078646: dma_alloc: 0000:01:00.0 "
		       "dir=BIDIRECTIONAL dma_addr=b90b000 size=512 virt_addr=0000000059ac8d23 "
		       "flags=GFP_KERNEL attrs=\n"
		       "   kworker/0:1H-113     [000] .....    18.224450: dma_map_sg: 0000:01:00.0 "
		       "dir=FROM_DEVICE nents=3/3 ents=3/3 dma_addrs={0x3d3d2000,0xc290000,0x3a20000} "
		       "sizes={0xe000,0x10000,0x2000} phys_addrs={0x3d3d2000,0xc290000,0x3a20000} "
		       "attrs=NO_WARN\n"
		       "    kworker/u8:0-12      [001] .....    18.300801: dma_map_page: 0000:01:00.0 "
		       "dir=FROM_DEVICE dma_addr=4ab3000 size=4096 phys_addr=4ab3000 attrs=\n"
		       "    kworker/u8:0-12      [001] ..s1.    18.307156: dma_unmap_page: "
		       "0000:01:00.0 dir=FROM_DEVICE dma_addr=4ab3000 size=4096 attrs=\n"
		       "          <idle>-0       [000] d.h1.    18.400000: dma_unmap_sg: 0000:01:00.0 "
		       "dir=FROM_DEVICE phys_addrs={0x3d3d2000,0xc290000,0x3a20000} attrs=NO_WARN\n"
		       "           rmmod-80      [001] .....    18.500000: dma_free: 0000:01:00.0 "
		       "dir=BIDIRECTIONAL dma_addr=b90b000 size=512 virt_addr=0000000059ac8d23 "
		       "attrs=\n"),
		0);
	assert_int_equal(result.trace->n_maps, 3);
	assert_int_equal(result.trace->n_events, 6);
	assert_int_equal(result.trace->info.cpus, 2);
	assert_int_equal(result.trace->info.n_devices, 1);
	assert_string_equal(result.trace->info.devices[0], "0000:01:00.0");
	assert_int_equal(result.trace->info.memory, 0x3d3e0000);
	assert_map(0, TRACE_COHERENT, TRACE_BIDIRECTIONAL, 0xb90b000, 512,
		   false);
	assert_map(1, TRACE_SG, TRACE_FROM_DEVICE, 0x3d3d2000, 0xe000, false);
	assert_map(2, TRACE_SINGLE, TRACE_FROM_DEVICE, 0x4ab3000, 4096, false);
	assert_int_equal(result.trace->events[1].n_segments, 3);
	assert_int_equal(result.trace->segments[3].addr, 0x3a20000);
	assert_int_equal(result.trace->events[0].time_us, 0);
	assert_int_equal(result.trace->events[5].time_us, 421354);
	assert_int_equal(result.trace->events[5].cpu, 1);
}

/*
 * As 6.12 printed it at first, and 6.13 to 6.18: no direction of coherent memory, or
 * one that was never set; no numbers of pieces.
 */
static void test_earlier(void **state)
{
	(void)state;
	assert_int_equal(
		import("    kworker/u8:0-12      [001] .....    18.078646: dma_alloc: 0000:01:00.0 "
		       "dma_addr=b90b000 size=512 virt_addr=0000000059ac8d23 "
		       "flags=GFP_KERNEL attrs=\n"
		       "    kworker/u8:0-12      [001] .....    18.078700: dma_alloc: 0000:01:00.0 "
		       "dir=0xffff8881 dma_addr=b90c000 size=512 virt_addr=0000000059ac8d24 "
		       "flags=GFP_KERNEL attrs=\n"
		       "   kworker/0:1H-113     [000] .....    18.224450: dma_map_sg: 0000:01:00.0 "
		       "dir=TO_DEVICE dma_addrs={0x3d3d2000,0xc290000} sizes={0xe000,0x10000} "
		       "phys_addrs={0x3d3d2000,0xc290000} attrs=\n"
		       "          <idle>-0       [000] d.h1.    18.400000: dma_unmap_sg: 0000:01:00.0 "
		       "dir=TO_DEVICE phys_addrs={0x3d3d2000,0xc290000} attrs=\n"
		       "           rmmod-80      [001] .....    18.500000: dma_free: 0000:01:00.0 "
		       "dma_addr=b90b000 size=512 virt_addr=0000000059ac8d23 attrs=\n"),
		0);
	assert_int_equal(result.trace->n_maps, 3);
	assert_map(0, TRACE_COHERENT, TRACE_BIDIRECTIONAL, 0xb90b000, 512,
		   false);
	assert_map(1, TRACE_COHERENT, TRACE_BIDIRECTIONAL, 0xb90c000, 512,
		   true);
	assert_map(2, TRACE_SG, TRACE_TO_DEVICE, 0x3d3d2000, 0xe000, false);
	assert_int_equal(
		import("x-1 [000] 1.0: dma_map_page: 0000:01:00.0 dma_addr=1000 "
		       "size=1 phys_addr=1000\n"),
		-EBADMSG);
}

/* Where an IOMMU translates, pieces can be put together: nobody knows which. */
static void test_translated(void **state)
{
	(void)state;
	assert_int_equal(
		import("x-1 [000] 1.000000: dma_map_sg: 0000:01:00.0 dir=TO_DEVICE "
		       "nents=2/2 ents=1/1 dma_addrs={0xfff00000} sizes={0x2000} "
		       "phys_addrs={0x1000,0x5000} attrs=\n"),
		-EBADMSG);
	assert_non_null(strstr(result.error, "IOMMU"));
	assert_int_equal(
		import("x-1 [000] 1.000000: dma_map_sg: 0000:01:00.0 dir=TO_DEVICE "
		       "nents=2/500 ents=2/130 dma_addrs={0xfff00000,0xfff80000} "
		       "sizes={0x2000,0x2000} phys_addrs={0x1000,0x5000} attrs= [TRUNCATED]\n"),
		-EBADMSG);
	assert_int_equal(
		import("x-1 [000] 1.000000: dma_map_page: 0000:01:00.0 dir=TO_DEVICE "
		       "dma_addr=fff00000 size=4096 phys_addr=4ab3000 attrs=\n"),
		0);
	assert_int_equal(result.translated, 1);
	assert_map(0, TRACE_SINGLE, TRACE_TO_DEVICE, 0x4ab3000, 4096, true);
}

static void test_7_3(void **state)
{
	(void)state;
	assert_int_equal(
		import("     dd-99 [000] .....     1.000001: dma_map_phys: 0000:01:00.0 dir=TO_DEVICE "
		       "dma_addr=1000 size=131072 phys_addr=1000 attrs=\n"
		       "     dd-99 [000] .....     1.000002: dma_map_phys: 0000:02:00.0 dir=TO_DEVICE "
		       "dma_addr=f0000000 size=4096 phys_addr=f0000000 attrs=MMIO\n"
		       "     dd-99 [000] .....     1.000003: dma_map_phys: 0000:02:00.0 "
		       "dir=FROM_DEVICE dma_addr=5000 size=2048 phys_addr=5000 "
		       "attrs=WEAK_ORDERING|SKIP_CPU_SYNC\n"
		       "     dd-99 [000] .....     1.000004: dma_map_phys: 0000:02:00.0 dir=TO_DEVICE "
		       "dma_addr=ffffffffffffffff size=4096 phys_addr=7000 attrs=NO_WARN\n"
		       "     dd-99 [000] .....     1.000005: dma_alloc_pages: 0000:02:00.0 "
		       "dir=TO_DEVICE dma_addr=9000 size=4096 virt_addr=00000000ba3d9766 "
		       "flags=GFP_KERNEL attrs=\n"
		       "     dd-99 [000] .....     1.000006: dma_alloc: 0000:02:00.0 "
		       "dir=BIDIRECTIONAL dma_addr=0 size=4096 virt_addr=(null) flags=GFP_KERNEL "
		       "attrs=\n"
		       "     dd-99 [000] .....     1.000007: dma_sync_single_for_cpu: 0000:02:00.0 "
		       "dir=FROM_DEVICE dma_addr=5000 size=64\n"
		       "     dd-99 [000] .....     1.000008: dma_unmap_phys: 0000:02:00.0 "
		       "dir=TO_DEVICE dma_addr=f0000000 size=4096 attrs=MMIO\n"
		       "     dd-99 [000] .....     1.000009: dma_free_pages: 0000:02:00.0 "
		       "dir=TO_DEVICE dma_addr=9000 size=4096 virt_addr=00000000ba3d9766 attrs=\n"),
		0);
	assert_int_equal(result.trace->n_maps, 3);
	assert_int_equal(result.trace->info.skipped, 3);
	assert_int_equal(result.trace->info.n_devices, 2);
	assert_int_equal(result.others, 1);
	assert_map(0, TRACE_SINGLE, TRACE_TO_DEVICE, 0x1000, 131072, true);
	assert_map(1, TRACE_POOL, TRACE_FROM_DEVICE, 0x5000, 2048, true);
	assert_map(2, TRACE_PAGES, TRACE_TO_DEVICE, 0x9000, 4096, false);
	assert_int_equal(trace_map_of(result.trace, 1)->device, 1);
}

/* trace-cmd pads, and prints arrays in decimal; perf has no flags. */
static void test_other_tools(void **state)
{
	(void)state;
	assert_int_equal(
		import("version = 6\n"
		       "CPU 1 is empty\n"
		       "cpus=2\n"
		       "CPU:1 [7 EVENTS DROPPED]\n"
		       "       cp [x] y-77    [001]    12.000000: dma_map_sg:           0000:00:09.0 "
		       "dir=TO_DEVICE nents=2/2 ents=2/2 dma_addrs={4096 16384} sizes={4096 512} "
		       "phys_addrs={4096 16384} attrs=\n"
		       "       cp [x] y-77    [001] d..2. 12.000001: dma_unmap_sg: 0000:00:09.0 "
		       "dir=TO_DEVICE phys_addrs={4096 16384} attrs=\n"
		       " swapper     0 [001]    12.000002: dma:dma_map_page: 0000:00:09.0 "
		       "dir=TO_DEVICE dma_addr=a000 size=60 phys_addr=a000 attrs=\n"),
		0);
	assert_int_equal(result.trace->info.lost, 7);
	assert_map(0, TRACE_SG, TRACE_TO_DEVICE, 4096, 4096, false);
	assert_int_equal(result.trace->segments[1].addr, 16384);
	assert_map(1, TRACE_SINGLE, TRACE_TO_DEVICE, 0xa000, 60, true);
}

#define AT(t) "x-1 [000] ..... " t ": "
#define MAP(t, addr)                                   \
	AT(t)                                          \
	"dma_map_page: d dir=TO_DEVICE dma_addr=" addr \
	" size=4096 phys_addr=" addr " attrs=\n"
#define UNMAP(t, addr) \
	AT(t)          \
	"dma_unmap_page: d dir=TO_DEVICE dma_addr=" addr " size=4096 attrs=\n"

static void test_lost(void **state)
{
	(void)state;
	assert_int_equal(
		import("# entries-in-buffer/entries-written: 10/25 "
		       "  #P:1\n" MAP("1.0", "1000") "CPU:0 [LOST 4 EVENTS]\nCPU:0 [LOST EVENTS]\n" UNMAP(
			       "1.5", "1000")),
		0);
	assert_int_equal(result.trace->info.lost, 15 + 4 + 1);
	/* what was mapped before, or got lost, is left out and counted */
	assert_int_equal(import(UNMAP("1.0", "3000") MAP("1.1", "1000") UNMAP(
				 "1.2", "2000") UNMAP("1.3", "1000")
					UNMAP("1.4", "1000")),
			 0);
	assert_int_equal(result.trace->info.unmatched, 3);
	assert_int_equal(result.trace->n_events, 2);
}

/* One page mapped twice: the one that began first ends first. */
static void test_same_address(void **state)
{
	(void)state;
	assert_int_equal(import(MAP("1.0", "1000") MAP("1.1", "1000") UNMAP(
				 "1.2", "1000") UNMAP("1.3", "1000")),
			 0);
	assert_int_equal(result.trace->events[2].map, 0);
	assert_int_equal(result.trace->events[3].map, 1);
}

static void test_truncated_list(void **state)
{
	(void)state;
	assert_int_equal(
		import(AT(
			"1.0") "dma_map_sg: d dir=TO_DEVICE nents=128/168 ents=128/168 [TRUNCATED] "
			       "dma_addrs={0x1000,0x3000} sizes={0x1000,0x1000} phys_addrs={0x1000,0x3000} "
			       "attrs=\n" AT(
				       "1.1") "dma_map_sg: d dir=TO_DEVICE nents=0/0 ents=0/0 dma_addrs={} "
					      "sizes={} phys_addrs={} attrs=\n"),
		0);
	assert_int_equal(result.trace->info.truncated, 1);
	assert_int_equal(result.trace->info.skipped, 1);
	assert_int_equal(result.trace->n_maps, 1);
}

#define CMD(t, id, what)                                        \
	AT(t)                                                   \
	"nvme_setup_cmd: nvme0: disk=nvme0n1, qid=1, cmdid=" id \
	", nsid=1, flags=0x0, meta=0x0, cmd=(" what " slba=1)\n"
#define DONE(t, id)                                                          \
	"<idle>-0 [000] d.h. " t ": nvme_complete_rq: nvme0: disk=nvme0n1, " \
	"qid=1, cmdid=" id ", res=0x0, retries=0, flags=0x0, status=0x0\n"

/* The end of a command ends what it mapped, unless the kernel did. */
static void test_nvme(void **state)
{
	(void)state;
	assert_int_equal(
		import(CMD("1.0", "7", "nvme_cmd_read") MAP("1.1", "1000") MAP(
			"1.2", "2000") CMD("1.3", "8", "nvme_cmd_write")
			       MAP("1.4", "3000") UNMAP("1.5", "1000")
				       DONE("1.6", "7") DONE("1.7", "7")
					       CMD("1.8", "9", "nvme_cmd_flush")
						       DONE("1.9", "9")),
		0);
	assert_int_equal(result.trace->n_events, 5);
	assert_int_equal(result.trace->events[4].map, 1);
	assert_int_equal(result.trace->events[4].time_us, 500000);
	assert_true(trace_is_live(result.trace, 2));
	/* another task's, and another device's, are not the command's */
	assert_int_equal(
		import(CMD("1.0", "7", "nvme_cmd_read") MAP(
			"1.1",
			"1000") "y-2 [000] ..... 1.2: dma_map_page: d dir=TO_DEVICE dma_addr=2000 size=1 "
				"phys_addr=2000 attrs=\n" AT(
					"1.3") "dma_map_page: e dir=TO_DEVICE dma_addr=3000 size=1 phys_addr=3000 "
					       "attrs=\n" DONE("1.4", "7")),
		0);
	assert_false(trace_is_live(result.trace, 0));
	assert_true(trace_is_live(result.trace, 1));
	assert_true(trace_is_live(result.trace, 2));
	/* as tools print it that do not know the kernel's functions */
	assert_int_equal(
		import(AT(
			"1.0") "nvme_setup_cmd: [FAILED TO PARSE] disk=nvme0n1 ctrl_id=3 qid=1 "
			       "opcode=2 flags=64 fctype=0 cid=7 nsid=1 metadata=0\n" MAP(
				       "1.1", "1000")
				       AT("1.2") "nvme_setup_cmd: [FAILED TO PARSE] disk= "
						 "ctrl_id=3 qid=1 opcode=0 flags=0 cid=8\n" AT(
							 "1.3") "nvme_complete_rq: [FAILED TO PARSE] disk=nvme0n1 "
								"ctrl_id=3 qid=1 cid=7 result=0\n"),
		0);
	assert_int_equal(result.trace->n_events, 2);
	assert_false(trace_is_live(result.trace, 0));
}

static void test_options(void **state)
{
	struct import_device devices[] = { { "e", "nic" } };
	struct import_options options = {
		.devices = devices,
		.n_devices = 1,
		.kernel = "6.12",
		.workload = "talk\t",
		.memory = 1u << 20,
		.cpus = 4,
	};
	static const char text[] = MAP("1.0", "1000")
		AT("1.1") "dma_map_page: e dir=TO_DEVICE dma_addr=2000 size=1 "
			  "phys_addr=2000 attrs=\n";

	(void)state;
	assert_int_equal(import_with(&options, text), 0);
	assert_int_equal(result.trace->n_maps, 1);
	assert_int_equal(result.trace->info.n_devices, 1);
	assert_string_equal(result.trace->info.devices[0], "nic");
	assert_string_equal(result.trace->info.workload, "talk?");
	assert_int_equal(result.trace->info.cpus, 4);
	assert_int_equal(result.trace->info.memory, 1u << 20);
	options.memory = 4096;
	assert_int_equal(import_with(&options, text), -EBADMSG);
	assert_int_equal(result.error_line, 0);
	devices[0].address = "nobody";
	assert_int_equal(import_with(&options, text), -EBADMSG);
}

static void assert_error(const char *text, uint64_t line, const char *words)
{
	assert_int_equal(import(text), -EBADMSG);
	assert_int_equal(result.error_line, line);
	assert_non_null(strstr(result.error, words));
}

static void test_errors(void **state)
{
	(void)state;
	assert_error("hello\n", 0, "no events");
	assert_error("\n\n" AT("1.0") "dma_map_page: d dir=UP dma_addr=1 "
				      "size=1 phys_addr=1 attrs=\n",
		     3, "direction");
	assert_error(AT("1.0") "dma_map_page: d dir=TO_DEVICE dma_addr=xyz "
			       "size=1 phys_addr=1 attrs=\n",
		     1, "dma_addr");
	assert_error(AT("1.0") "dma_map_page: d dir=TO_DEVICE dma_addr="
			       "12345678123456781 size=1 phys_addr=1\n",
		     1, "dma_addr");
	assert_error(AT("1.0") "dma_map_page: d dir=TO_DEVICE dma_addr=1 "
			       "size=4k phys_addr=1 attrs=\n",
		     1, "size");
	assert_error(AT("1.0") "dma_map_page: d dir=TO_DEVICE dma_addr=1 "
			       "size=1 attrs=\n",
		     1, "phys_addr= is missing");
	assert_error(AT("1.0") "dma_map_page:\n", 1, "device is missing");
	assert_error(AT("1.0") "dma_unmap_sg: d dir=TO_DEVICE phys_addrs={1,"
			       "\n",
		     1, "braces");
	assert_error(AT("1.0") "dma_unmap_sg: d dir=TO_DEVICE phys_addrs={1;2}"
			       "\n",
		     1, "braces");
	assert_error(AT("1.0") "dma_map_sg: d dir=TO_DEVICE nents=1 sizes={1} "
			       "phys_addrs={1}\n",
		     1, "nents");
	assert_error(AT("1.0") "dma_map_page: d dir=TO_DEVICE dma_addr=1 "
			       "size=1 phys_addr=ffffffffffffff attrs=\n",
		     1, "bounds");
	/* a clock that does not count seconds */
	assert_error(AT("12345") "dma_map_page: d dir=TO_DEVICE dma_addr=1 "
				 "size=1 phys_addr=1 attrs=\n",
		     1, "time in seconds");
	assert_error(MAP("9.0", "1000") MAP("7.0", "1000"), 2, "goes back");
	assert_error("x-1 [9999] ..... 1.0: dma_map_page: d dir=TO_DEVICE "
		     "dma_addr=1 size=1 phys_addr=1 attrs=\n",
		     1, "CPUs");
	assert_error(AT("1.0") "nvme_setup_cmd: what\n", 1, "qid=");
}

/* CPUs' clocks may disagree a little: the time stands still then. */
static void test_clock(void **state)
{
	(void)state;
	assert_int_equal(import(MAP("9.5", "1000") MAP("9.2", "2000")
					MAP("9.500001500", "3000")),
			 0);
	assert_int_equal(result.trace->events[1].time_us, 0);
	assert_int_equal(result.trace->events[2].time_us, 1);
}

/* Many keys, with collisions: against a list that is searched from its start. */
static void test_live(void **state)
{
	struct live *live = NULL;
	struct live_key keys[3000];
	uint8_t taken[3000] = { 0 };
	uint64_t seed = 1;

	(void)state;
	assert_int_equal(live_new(&live), 0);
	for (uint32_t i = 0; i < 3000; i++) {
		struct live_key ask;
		uint32_t want = LIVE_NONE;

		seed = seed * 6364136223846793005u + 1442695040888963407u;
		keys[i] = (struct live_key){ seed >> 40 & 255, seed >> 50 & 1,
					     seed >> 60 & 1 };
		assert_int_equal(live_add(live, &keys[i], i), 0);
		if (i % 3 == 0)
			continue;
		ask = keys[seed >> 33 & 1 ? i : i / 2];
		for (int exact = 1; exact >= 0 && want == LIVE_NONE; exact--)
			for (uint32_t k = 0; k <= i && want == LIVE_NONE; k++)
				if (!taken[k] && keys[k].addr == ask.addr &&
				    keys[k].class == ask.class &&
				    (!exact || keys[k].size == ask.size))
					want = k;
		assert_int_equal(live_take(live, &ask), want);
		if (want != LIVE_NONE)
			taken[want] = 1;
	}
	live_free(live);
	live_free(NULL);
}

static int done(void **state)
{
	(void)state;
	trace_free(result.trace);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_6_12),
		cmocka_unit_test(test_earlier),
		cmocka_unit_test(test_translated),
		cmocka_unit_test(test_7_3),
		cmocka_unit_test(test_other_tools),
		cmocka_unit_test(test_lost),
		cmocka_unit_test(test_same_address),
		cmocka_unit_test(test_truncated_list),
		cmocka_unit_test(test_nvme),
		cmocka_unit_test(test_options),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_clock),
		cmocka_unit_test(test_live),
	};

	return cmocka_run_group_tests(tests, NULL, done);
}
