// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * agent.c - what requests cost the agent, and what memory it takes
 *
 *	agent work NAME=VALUE...
 *		shift, queues, ranges (in a request), granules (in a range),
 *		resident (granules mapped all the time), rounds, ahead, null,
 *		measure (an operation: only its turns go through measured())
 *	agent memory NAME=VALUE...
 *		shift, guest, quota (both in GiB), granules
 *
 * Theory of operation. With a resident set in place, a round maps what is not
 * mapped (miss), asks for what is (present), unmaps what the round mapped
 * (unmap), and, the quota being full then, maps what others have to go for
 * (evict). A turn is one request in each queue: its time is that between the
 * kicks and the last answer. What the agent does unasked (work) runs after each
 * turn that maps, and is timed apart. All places are random, but the same in
 * each run. tests/bench/agent runs this natively for times, and under callgrind
 * with `measure` for instructions.
 *
 * Prints one line an operation, or a stage, of names and values.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "host/agent/state.h"
#include "host/agent/vm.h"
#include "host/lib/clock.h"
#include "host/lib/log.h"
#include "host/lib/macros.h"
#include "tests/bench/agent_guest.h"

/* Ranges that each operation is tried with in a round, at least. */
#define ROUND_RANGES 2048u
#define SAMPLES_MAX  (1u << 20)
#define GIB	     ((uint64_t)1 << 30)

enum op { OP_MISS, OP_PRESENT, OP_UNMAP, OP_EVICT, OP_WORK, OPS };

static const char *const op_names[OPS] = {
	"miss", "present", "unmap", "evict", "work",
};

struct tally {
	uint64_t turns, requests, ranges;
	uint64_t granules; /* mapped or unmapped; present: found mapped */
	uint64_t ns;
	uint32_t *samples; /* ns, of a turn each; NULL: not kept */
};

/* What is asked for: all places of a size in random order. */
struct places {
	uint32_t *order;
	uint32_t n;
	uint64_t first;
	uint32_t granules; /* of each */
};

struct bench {
	struct bench_guest guest;
	struct places places;
	struct tally tally[OPS];
	enum op measure; /* OPS: none */
	uint16_t ranges;
	uint32_t resident; /* places */
	uint32_t turns;	   /* of an operation in a round */
};

enum setting {
	SHIFT,
	QUEUES,
	RANGES,
	GRANULES,
	RESIDENT,
	ROUNDS,
	AHEAD,
	NULL_IOMMU,
	GUEST,
	QUOTA,
	MEASURE,
	SETTINGS,
};

static const char *const setting_names[SETTINGS] = {
	[SHIFT] = "shift",	 [QUEUES] = "queues",	  [RANGES] = "ranges",
	[GRANULES] = "granules", [RESIDENT] = "resident", [ROUNDS] = "rounds",
	[AHEAD] = "ahead",	 [NULL_IOMMU] = "null",	  [GUEST] = "guest",
	[QUOTA] = "quota",	 [MEASURE] = "measure",
};

static uint64_t settings[SETTINGS] = {
	[SHIFT] = 12,	[QUEUES] = 1,	    [RANGES] = 1,
	[GRANULES] = 1, [RESIDENT] = 16384, [ROUNDS] = 1,
	[GUEST] = 1,	[QUOTA] = 1,	    [MEASURE] = OPS,
};

/* --- places --- */

static uint64_t next_random(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

static void find_places(struct places *p, const struct bench_guest *g,
			uint32_t granules)
{
	uint64_t seed = 88172645463325252ULL;

	p->granules = granules;
	p->first = (bench_first(g) + granules - 1) / granules;
	p->n = (uint32_t)(bench_end(g) / granules - p->first);
	p->order = calloc(p->n, sizeof(*p->order));
	bench_must(p->order != NULL, "no memory");
	for (uint32_t i = 0; i < p->n; i++)
		p->order[i] = i;
	for (uint32_t i = p->n - 1; i > 0; i--) {
		uint32_t j = (uint32_t)(next_random(&seed) % (i + 1));
		uint32_t swap = p->order[i];

		p->order[i] = p->order[j];
		p->order[j] = swap;
	}
}

/* The first granule of the place that is @at in the order. */
static uint64_t place(const struct places *p, uint32_t at)
{
	return (p->first + p->order[at % p->n]) * p->granules;
}

/* --- a turn --- */

/* Bodies that differ, or a compiler makes one of both. */
static volatile unsigned int turns_measured, turns_besides;

/* For callgrind to find: whole, and for any caller. */
void measured(struct bench *b, bool (*run)(struct bench *b));
void besides(struct bench *b, bool (*run)(struct bench *b));

__attribute__((noinline)) void measured(struct bench *b,
					bool (*run)(struct bench *b))
{
	while (run(b))
		;
	turns_measured++;
}

__attribute__((noinline)) void besides(struct bench *b,
				       bool (*run)(struct bench *b))
{
	while (run(b))
		;
	turns_besides++;
}

static bool run_requests(struct bench *b)
{
	bench_serve(&b->guest);
	return false;
}

static bool run_work(struct bench *b)
{
	return vm_work(b->guest.vm);
}

static struct tally *take_time(struct bench *b, enum op op,
			       bool (*run)(struct bench *b))
{
	struct tally *t = &b->tally[op];
	uint64_t ns = clock_ns();

	if (op == b->measure)
		measured(b, run);
	else
		besides(b, run);
	ns = clock_ns() - ns;
	t->ns += ns;
	if (t->samples && t->turns < SAMPLES_MAX)
		t->samples[t->turns] = (uint32_t)min(ns, (uint64_t)UINT32_MAX);
	t->turns++;
	return t;
}

/* What vm_look() would be called for a millisecond later is done at once. */
static void do_work(struct bench *b)
{
	struct vm_stats before, after;
	struct tally *t;

	if (!b->guest.work)
		return;
	b->guest.work = false;
	vm_get_stats(b->guest.vm, &before);
	t = take_time(b, OP_WORK, run_work);
	vm_get_stats(b->guest.vm, &after);
	t->granules += after.ahead_granules - before.ahead_granules;
	(void)vm_look(b->guest.vm);
}

static void hold_all(const struct bench *b, uint32_t at, bool up)
{
	uint32_t n = (uint32_t)b->guest.queues * b->ranges;

	for (uint32_t i = 0; i < n; i++)
		bench_hold(&b->guest, place(&b->places, at + i),
			   b->places.granules, up);
}

/* One request in each queue, for the places from @at on. */
static void turn(struct bench *b, enum op op, uint32_t at)
{
	uint8_t type = op == OP_UNMAP ? VIRTIO_PVDMA_T_UNMAP :
					VIRTIO_PVDMA_T_MAP;
	uint32_t asked = (uint32_t)b->ranges * b->places.granules;
	struct tally *t;

	for (uint16_t q = 0; q < b->guest.queues; q++) {
		uint64_t firsts[BENCH_RANGES_MAX];

		for (uint16_t i = 0; i < b->ranges; i++)
			firsts[i] = place(&b->places, at + q * b->ranges + i);
		bench_put(&b->guest, q, type, firsts, b->ranges,
			  b->places.granules);
		bench_kick(&b->guest, q);
	}
	t = take_time(b, op, run_requests);
	t->requests += b->guest.queues;
	t->ranges += (uint64_t)b->guest.queues * b->ranges;
	for (uint16_t q = 0; q < b->guest.queues; q++) {
		uint32_t mapped = bench_answer(&b->guest, q);

		if (op == OP_PRESENT)
			mapped = asked - mapped;
		t->granules += op == OP_UNMAP ? asked : mapped;
	}
}

/* --- what is measured --- */

static uint32_t per_turn(const struct bench *b)
{
	return (uint32_t)b->guest.queues * b->ranges;
}

/* Maps @n places from @at on, unless they are; what evicts is not kept. */
static void map_from(struct bench *b, enum op op, uint32_t at, uint32_t n)
{
	for (uint32_t i = 0; i < n; i += per_turn(b)) {
		hold_all(b, at + i, true);
		turn(b, op, at + i);
		/* Room that is made beforehand is none that has to be made. */
		if (op != OP_EVICT)
			do_work(b);
		else
			hold_all(b, at + i, false);
	}
}

static void release_from(const struct bench *b, uint32_t at, uint32_t n)
{
	for (uint32_t i = 0; i < n; i += per_turn(b))
		hold_all(b, at + i, false);
}

static void settle_residents(struct bench *b)
{
	enum op measure = b->measure;

	b->measure = OPS;
	map_from(b, OP_MISS, 0, b->resident);
	release_from(b, 0, b->resident);
	for (int op = 0; op < OPS; op++)
		b->tally[op] =
			(struct tally){ .samples = b->tally[op].samples };
	b->measure = measure;
}

static void one_round(struct bench *b, uint32_t *fresh)
{
	uint32_t n = b->turns * per_turn(b);
	uint32_t at = *fresh;

	map_from(b, OP_MISS, at, n);
	map_from(b, OP_PRESENT, at, n);
	release_from(b, at, n);
	release_from(b, at, n);
	for (uint32_t i = 0; i < n; i += per_turn(b))
		turn(b, OP_UNMAP, at + i);
	*fresh += n;
}

/* The quota is full now; each request needs as much room as it maps. */
static void evict_round(struct bench *b, uint32_t *fresh)
{
	uint32_t n = b->turns * per_turn(b);
	struct vm_stats before, after;

	vm_get_stats(b->guest.vm, &before);
	bench_must(vm_set_quota(b->guest.vm, before.mapped_bytes) == 0,
		   "vm_set_quota");
	map_from(b, OP_EVICT, *fresh, n);
	*fresh += n;
	vm_get_stats(b->guest.vm, &after);
	bench_must(after.evicted_bytes - before.evicted_bytes >=
			   (uint64_t)n * b->places.granules << b->guest.shift,
		   "more was mapped than had to make way");
}

/* Without guesses each request does just what it asks for. */
static void check(const struct bench *b)
{
	static const enum op exact[] = { OP_MISS, OP_PRESENT, OP_EVICT };

	for (size_t i = 0; i < ARRAY_SIZE(exact); i++) {
		const struct tally *t = &b->tally[exact[i]];

		bench_must(settings[AHEAD] ||
				   t->granules ==
					   t->ranges * b->places.granules,
			   "requests did not do what they were to do");
	}
	bench_must(b->measure == OPS || turns_measured > 0,
		   "nothing of what is to be measured was done");
}

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static void print_tally(enum op op, struct tally *t)
{
	size_t n = min(t->turns, (uint64_t)SAMPLES_MAX);

	if (n == 0)
		return;
	qsort(t->samples, n, sizeof(*t->samples), compare);
	(void)printf("op=%s turns=%" PRIu64 " requests=%" PRIu64
		     " ranges=%" PRIu64 " granules=%" PRIu64
		     " median_ns=%" PRIu32 " total_ns=%" PRIu64 "\n",
		     op_names[op], t->turns, t->requests, t->ranges,
		     t->granules, t->samples[n / 2], t->ns);
}

static void work(void)
{
	const struct bench_config config = {
		.size = settings[GUEST] * GIB,
		.quota = settings[GUEST] * GIB,
		.shift = (uint8_t)settings[SHIFT],
		.queues = (uint16_t)settings[QUEUES],
		.ahead = settings[AHEAD],
		.null = settings[NULL_IOMMU],
	};
	struct bench b = {
		.measure = (enum op)settings[MEASURE],
		.ranges = (uint16_t)settings[RANGES],
	};
	uint32_t granules = (uint32_t)settings[GRANULES], fresh;

	for (int op = 0; op < OPS; op++) {
		b.tally[op].samples = calloc(SAMPLES_MAX, sizeof(uint32_t));
		bench_must(b.tally[op].samples != NULL, "no memory");
	}
	bench_start(&b.guest, &config);
	bench_boot(&b.guest);
	find_places(&b.places, &b.guest, granules);
	b.turns = max(ROUND_RANGES / granules / per_turn(&b), 8u);
	/* whole turns */
	b.resident = (uint32_t)settings[RESIDENT] / granules / per_turn(&b) *
		     per_turn(&b);
	fresh = b.resident;
	bench_must(fresh + (settings[ROUNDS] + 1) * b.turns * per_turn(&b) <=
			   b.places.n,
		   "the guest is too small for that many rounds");
	settle_residents(&b);
	for (uint64_t i = 0; i < settings[ROUNDS]; i++)
		one_round(&b, &fresh);
	if (!settings[AHEAD])
		evict_round(&b, &fresh);
	check(&b);
	for (int op = 0; op < OPS; op++) {
		print_tally((enum op)op, &b.tally[op]);
		free(b.tally[op].samples);
	}
	free(b.places.order);
	bench_stop(&b.guest);
}

/* --- memory --- */

/* Of this process, in bytes: without files and shared memory. */
static uint64_t anonymous(void)
{
	FILE *f = fopen("/proc/self/status", "re");
	uint64_t kib = 0;
	char line[128];
	bool found = false;

	bench_must(f != NULL, "/proc/self/status");
	while (!found && fgets(line, sizeof(line), f))
		found = sscanf(line, "RssAnon: %" SCNu64 " kB", &kib) == 1;
	(void)fclose(f);
	bench_must(found, "no RssAnon in /proc/self/status");
	return kib * 1024;
}

static void print_memory(struct bench *b, const char *stage)
{
	struct vm_stats stats;
	struct stat st;

	vm_get_stats(b->guest.vm, &stats);
	bench_must(fstat(state_fd(vm_state(b->guest.vm)), &st) == 0, "fstat");
	(void)printf("stage=%s anonymous=%" PRIu64 " arena=%" PRIu64
		     " leaves=%" PRIu64 " extents=%" PRIu64 " mapped=%" PRIu64
		     "\n",
		     stage, anonymous(), (uint64_t)st.st_blocks * 512,
		     stats.leaves, stats.extents, stats.mapped_bytes);
}

static void memory(void)
{
	const struct bench_config config = {
		.size = settings[GUEST] * GIB,
		.quota = settings[QUOTA] * GIB,
		.shift = (uint8_t)settings[SHIFT],
		.queues = 1,
	};
	struct bench b = { .measure = OPS, .ranges = BENCH_RANGES_MAX };
	uint32_t granules = (uint32_t)settings[GRANULES];

	bench_start(&b.guest, &config);
	find_places(&b.places, &b.guest, granules);
	b.resident = (uint32_t)(config.quota >> config.shift) / granules;
	bench_must(2 * b.resident <= b.places.n,
		   "the guest is less than twice its quota");
	print_memory(&b, "started");
	bench_boot(&b.guest);
	print_memory(&b, "leaves");
	settle_residents(&b);
	print_memory(&b, "mapped");
	/* all of it goes for others, and is remembered */
	map_from(&b, OP_EVICT, b.resident, b.resident);
	print_memory(&b, "evicted");
	free(b.places.order);
	bench_stop(&b.guest);
}

/* --- the command line --- */

static void set(const char *arg)
{
	const char *value = strchr(arg, '=');
	char *end = NULL;

	errno = 0;
	bench_must(value != NULL, arg);
	for (int i = 0; i < SETTINGS; i++) {
		if (strncmp(arg, setting_names[i], (size_t)(value - arg)) !=
			    0 ||
		    setting_names[i][value - arg] != '\0')
			continue;
		for (int op = 0; op < OPS && i == MEASURE; op++)
			if (strcmp(value + 1, op_names[op]) == 0) {
				settings[i] = (uint64_t)op;
				return;
			}
		settings[i] = strtoull(value + 1, &end, 10);
		bench_must(end != value + 1 && *end == '\0', arg);
		return;
	}
	bench_must(false, arg);
}

int main(int argc, char **argv)
{
	log_set_max_level(LOG_WARNING);
	for (int i = 2; i < argc; i++)
		set(argv[i]);
	bench_must(settings[QUEUES] - 1 < BENCH_QUEUES_MAX &&
			   settings[RANGES] - 1 < BENCH_RANGES_MAX &&
			   settings[GRANULES] > 0 && settings[GUEST] > 0,
		   "a setting is out of range");
	if (argc > 1 && strcmp(argv[1], "work") == 0)
		work();
	else if (argc > 1 && strcmp(argv[1], "memory") == 0)
		memory();
	else
		bench_must(false, "usage: agent work|memory NAME=VALUE...");
	return 0;
}
