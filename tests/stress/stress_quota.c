// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A guest that writes whatever it likes into its table, all the time and from
 * several CPUs, against an agent whose quota goes up and down: the sum never
 * exceeds the quota, but for what was mapped when it was lowered, and is within
 * it after the deadline. Run under the thread sanitizer.
 *
 * DEV-TABLE-1: The device MUST NOT rely on the table for what is mapped or
 * charged: it keeps books of its own.
 */
#include <pthread.h>
#include <stdio.h>

#include "host/lib/log.h"
#include "host/lib/macros.h"
#include "tests/unit/support/guest.h"

#define CPUS	 2
#define STEPS	 20000
#define GRANULES 1024
#define BLOCK	 VIRTIO_PVDMA_BLOCK_GRANULES

static struct guest g;
static bool stop;

static uint32_t pick(uint32_t *random, uint32_t n)
{
	*random ^= *random << 13;
	*random ^= *random >> 17;
	*random ^= *random << 5;
	return *random % n;
}

static void must(bool condition, const char *what)
{
	if (condition)
		return;
	(void)fprintf(stderr, "FAIL stress_quota: %s\n", what);
	abort();
}

/* Any bits, the device's too. */
static void *scribble(void *userdata)
{
	uint32_t random = *(const uint32_t *)userdata;

	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		uint32_t granule = pick(&random, GRANULES);
		uint32_t value = pick(&random, 3) ? random : 0;

		if (pick(&random, 4))
			__atomic_store_n(guest_word(&g, granule), value,
					 __ATOMIC_RELAXED);
		else
			__atomic_store_n(guest_block_word(&g, granule / BLOCK),
					 value, __ATOMIC_RELAXED);
	}
	return NULL;
}

/* One step of the agent; @bound: what may be mapped after it, at most. */
static void step(uint32_t *random, uint64_t *bound)
{
	uint32_t what = pick(random, 100);

	if (what < 80) {
		(void)guest_map(&g, pick(random, GRANULES - 32),
				1 + pick(random, 32));
	} else if (what < 90) {
		uint64_t quota = pick(random, 9) * KB(256);

		*bound = max(quota, guest_stats(&g).mapped_bytes);
		(void)vm_set_quota(g.vm, quota);
	} else {
		guest_tick(&g, g.vm->root->enforce.until);
		must(guest_stats(&g).over_quota_bytes == 0,
		     "more than the quota is mapped after the deadline");
	}
}

int main(void)
{
	static uint32_t seeds[CPUS] = { 1, 2 };
	uint32_t random = 4711;
	uint64_t bound = MB(2);
	pthread_t threads[CPUS];
	struct vm_stats stats;

	log_set_max_level(-1);
	guest_start(&g, &(struct guest_options){
				.size = MB(8),
				.quota = bound,
				.shift = 12,
				.enforce = VM_ENFORCE_REVOKE,
				.enforce_usec = 1000000,
			});
	guest_boot(&g);
	guest_boot_blocks(&g);
	for (int i = 0; i < CPUS; i++)
		must(pthread_create(&threads[i], NULL, scribble, &seeds[i]) ==
			     0,
		     "no thread");
	for (int i = 0; i < STEPS; i++) {
		step(&random, &bound);
		stats = guest_stats(&g);
		must(stats.mapped_bytes <= bound, "the sum has grown");
		bound = max(stats.mapped_bytes, stats.quota);
		guest_check(&g, false);
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	for (int i = 0; i < CPUS; i++)
		(void)pthread_join(threads[i], NULL);
	must(stats.revocations > 0 && stats.evictions > 0,
	     "nothing was taken, or nothing was idle");
	printf("%llu requests, %llu refused, %llu evictions, %llu revocations\n",
	       (unsigned long long)stats.requests,
	       (unsigned long long)stats.failed_quota,
	       (unsigned long long)stats.evictions,
	       (unsigned long long)stats.revocations);
	guest_stop(&g);
	return 0;
}
