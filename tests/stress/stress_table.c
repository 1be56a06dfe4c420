// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Drivers on many CPUs against one agent that evicts all the time.
 *
 * Threads stand in for the guest's CPUs: each takes holds with an atomic
 * increment, asks the agent where MAPPED was clear, and then acts as the
 * device: while it holds a granule that it may use, the IOMMU must translate
 * it, each time that it looks. The agent runs in the main thread, as in
 * reality. Run under the thread sanitizer.
 *
 * First a duel: all fight for a handful of granules that the agent maps and
 * evicts as fast as it can, so that holds fall between its steps. Then traffic:
 * transfers of several granules, some so large that they hold whole blocks, a
 * quota of a fraction of what they use, so that every other request evicts.
 *
 * DEV-EVICT-1: Before it unmaps a granule, the device MUST clear MAPPED by a
 * compare-exchange that expects a count of zero; if the exchange fails because
 * the count is not zero, it MUST leave the granule mapped.
 *
 * DEV-EVICT-2: Where several granules are unmapped as one and one of them is
 * held, the device MUST set MAPPED again in those that it cleared: they are
 * still mapped.
 */
#include <pthread.h>
#include <stdio.h>
#include <time.h>

#include "host/lib/log.h"
#include "tests/unit/support/guest.h"

#define CPUS	      4
#define DUEL_SECONDS  3
#define DUEL_GRANULES 4
#define SECONDS	      5
#define MEMORY	      MB(1)   /* 256 granules */
#define QUOTA	      KB(640) /* 160 of them at once */
#define MAX_COUNT     4	      /* granules of one transfer */
#define LARGE_COUNT   32      /* of a large one */
#define BLOCK	      VIRTIO_PVDMA_BLOCK_GRANULES
#define LOOKS	      8 /* of the device in one transfer */

/* A virtqueue of one request, by other means. */
struct cpu {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t answered;
	bool asked;
	uint64_t first;
	uint32_t count;
	uint8_t status;
	uint32_t random;
	uint64_t transfers, hits, misses, refused;
};

static struct guest g;
static struct cpu cpus[CPUS];
static bool dueling = true, stop;

static uint32_t pick(struct cpu *cpu, uint32_t n)
{
	cpu->random ^= cpu->random << 13;
	cpu->random ^= cpu->random >> 17;
	cpu->random ^= cpu->random << 5;
	return cpu->random % n;
}

static void must(bool condition, const char *what)
{
	if (condition)
		return;
	(void)fprintf(stderr, "FAIL stress_table: %s\n", what);
	abort();
}

static uint8_t ask(struct cpu *cpu, uint64_t first, uint32_t count)
{
	uint8_t status;

	(void)pthread_mutex_lock(&cpu->lock);
	cpu->first = first;
	cpu->count = count;
	cpu->asked = true;
	while (cpu->asked)
		(void)pthread_cond_wait(&cpu->answered, &cpu->lock);
	status = cpu->status;
	(void)pthread_mutex_unlock(&cpu->lock);
	return status;
}

/* DRV-TABLE-2: all granules are held, and were shown or answered as mapped. */
static void be_device(struct cpu *cpu, uint64_t first, uint32_t count)
{
	for (int i = 0; i < LOOKS; i++) {
		uint64_t granule = first + pick(cpu, count);

		must(guest_in_iommu(&g, granule),
		     "a granule that is held lost its mapping");
	}
}

/* Is the granule at @at held by its block, in a transfer up to @end? */
static bool by_block(uint64_t at, uint64_t end)
{
	return at % BLOCK == 0 && end - at >= BLOCK;
}

/* Holds all; true if all is mapped. */
static bool hold(uint64_t first, uint32_t count)
{
	uint64_t at = first, end = first + count;
	bool mapped = true;
	uint32_t old;

	while (at < end) {
		bool block = by_block(at, end);

		old = block ? guest_hold_block(&g, at / BLOCK) :
			      guest_hold(&g, at);
		old = le32toh(old);
		mapped &= (old & VIRTIO_PVDMA_W_MAPPED) != 0;
		if (!block && !(old & VIRTIO_PVDMA_W_REFERENCED))
			guest_touch(&g, at);
		at += block ? BLOCK : 1;
	}
	return mapped;
}

static void drop(uint64_t first, uint32_t count)
{
	uint64_t at = first, end = first + count;

	while (at < end) {
		if (by_block(at, end)) {
			guest_drop_block(&g, at / BLOCK);
			at += BLOCK;
		} else {
			guest_drop(&g, at++);
		}
	}
}

static void transfer(struct cpu *cpu)
{
	uint32_t count = 1 + pick(cpu, pick(cpu, 8) ? MAX_COUNT : LARGE_COUNT);
	uint64_t first = pick(cpu, (uint32_t)(MEMORY >> 12) - LARGE_COUNT - 2);
	bool mapped = hold(first, count);

	cpu->transfers++;
	if (mapped) {
		cpu->hits++;
	} else {
		uint8_t status = ask(cpu, first, count);

		cpu->misses++;
		must(status == VIRTIO_PVDMA_R_OK ||
			     status == VIRTIO_PVDMA_R_QUOTA,
		     "an unexpected answer");
		mapped = status == VIRTIO_PVDMA_R_OK;
		cpu->refused += !mapped;
	}
	if (mapped)
		be_device(cpu, first, count);
	drop(first, count);
}

/* Misses are left alone: it is the hits that must be true. */
static void duel(struct cpu *cpu)
{
	uint64_t granule = pick(cpu, DUEL_GRANULES);
	uint32_t old = le32toh(guest_hold(&g, granule));

	if (old & VIRTIO_PVDMA_W_MAPPED) {
		cpu->hits++;
		must(guest_in_iommu(&g, granule),
		     "a hit on a granule that is not mapped");
	}
	guest_drop(&g, granule);
}

static void *run_cpu(void *userdata)
{
	struct cpu *cpu = userdata;

	while (__atomic_load_n(&dueling, __ATOMIC_RELAXED))
		duel(cpu);
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED))
		transfer(cpu);
	return NULL;
}

/* One round of the agent's event loop. True if there was a request. */
static bool serve(void)
{
	bool served = false;

	for (int i = 0; i < CPUS; i++) {
		struct cpu *cpu = &cpus[i];

		(void)pthread_mutex_lock(&cpu->lock);
		if (cpu->asked) {
			cpu->status = guest_map(&g, cpu->first, cpu->count);
			cpu->asked = false;
			served = true;
			(void)pthread_cond_signal(&cpu->answered);
		}
		(void)pthread_mutex_unlock(&cpu->lock);
	}
	return served;
}

static uint64_t now(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec;
}

static void start_cpus(void)
{
	for (int i = 0; i < CPUS; i++) {
		struct cpu *cpu = &cpus[i];

		cpu->random = 2463534242u + (uint32_t)i;
		must(pthread_mutex_init(&cpu->lock, NULL) == 0 &&
			     pthread_cond_init(&cpu->answered, NULL) == 0 &&
			     pthread_create(&cpu->thread, NULL, run_cpu, cpu) ==
				     0,
		     "cannot start a thread");
	}
}

/* The quota moves, releases come, between the requests. */
static void disturb(uint64_t round)
{
	if (round % 64 == 0)
		(void)vm_set_quota(g.vm, round % 128 ? QUOTA : QUOTA / 2);
	if (round % 16 == 0)
		(void)guest_unmap(&g, round * 7 % (MEMORY >> 12), 16);
	if (round % 32 == 0)
		(void)guest_release(&g, round * 5 % (MEMORY >> 12), 16);
}

static void join_cpus(void)
{
	for (int i = 0; i < CPUS; i++) {
		void *result = &g;

		while (pthread_tryjoin_np(cpus[i].thread, &result) != 0)
			(void)serve();
	}
}

/* The agent's side of the duel: maps as it is asked to, and evicts. */
static void fight(void)
{
	uint64_t end = now() + DUEL_SECONDS, round = 0;

	while (round % 64 || now() < end) {
		uint64_t granule = round++ % DUEL_GRANULES;
		uint8_t status;

		guest_hold(&g, granule);
		status = guest_map(&g, granule, 1);
		guest_drop(&g, granule);
		must(status == VIRTIO_PVDMA_R_OK, "MAP failed in the duel");
		(void)guest_unmap(&g, 0, DUEL_GRANULES);
	}
	must(guest_stats(&g).unmaps > 100, "nothing was evicted in the duel");
	__atomic_store_n(&dueling, false, __ATOMIC_RELAXED);
}

int main(void)
{
	uint64_t transfers = 0, hits = 0, refused = 0, round = 0, end;

	log_set_max_level(LOG_ERR);
	guest_start(&g, &(struct guest_options){
				.size = MEMORY,
				.quota = QUOTA,
				.shift = 12,
			});
	guest_boot(&g);
	guest_boot_blocks(&g);
	start_cpus();
	fight();
	end = now() + SECONDS;
	while (now() < end) {
		if (serve())
			disturb(round++);
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	join_cpus();
	for (int i = 0; i < CPUS; i++) {
		transfers += cpus[i].transfers;
		hits += cpus[i].hits;
		refused += cpus[i].refused;
	}
	guest_check(&g, true);
	printf("%llu transfers, %llu hits, %llu refused, %llu unmaps, %llu evictions, %llu busy\n",
	       (unsigned long long)transfers, (unsigned long long)hits,
	       (unsigned long long)refused,
	       (unsigned long long)guest_stats(&g).unmaps,
	       (unsigned long long)guest_stats(&g).evictions,
	       (unsigned long long)guest_stats(&g).evict_busy);
	must(hits > 0 && guest_stats(&g).evictions > 0,
	     "nothing much happened");
	guest_stop(&g);
	return 0;
}
