// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * stats_json.c - the agent's counters as JSON objects
 *
 * Owns: the names of the counters, which are those of the struct members; and
 * of the curve's.
 *
 * Invariant: every member of each struct is written; the asserts below fail
 * when one is added and forgotten here.
 *
 * Locks: none. In a request's way: not.
 */
#include "stats_json.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>

#include "lib/cleanup.h"
#include "lib/macros.h"
#include "vfio_user/vfio_user.h"
#include "vhost/vhost.h"
#include "vm.h"

struct counter {
	const char *name;
	size_t offset; /* of a uint64_t */
};

#define COUNTER(type, member)                          \
	{                                              \
#member, offsetof(struct type, member) \
	}

#define ASSERT_COMPLETE(type, table)                           \
	_Static_assert(ARRAY_SIZE(table) * sizeof(uint64_t) == \
			       sizeof(struct type),            \
		       "a counter is missing")

static const struct counter vm_counters[] = {
	COUNTER(vm_stats, requests),
	COUNTER(vm_stats, map_requests),
	COUNTER(vm_stats, map_granules),
	COUNTER(vm_stats, map_present),
	COUNTER(vm_stats, failed_requests),
	COUNTER(vm_stats, failed_quota),
	COUNTER(vm_stats, failed_limit),
	COUNTER(vm_stats, evictions),
	COUNTER(vm_stats, map_waited_evictions),
	COUNTER(vm_stats, ahead_granules),
	COUNTER(vm_stats, ahead_used),
	COUNTER(vm_stats, hints),
	COUNTER(vm_stats, copies),
	COUNTER(vm_stats, hinted_granules),
	COUNTER(vm_stats, hints_dropped),
	COUNTER(vm_stats, evicted_bytes),
	COUNTER(vm_stats, evict_busy),
	COUNTER(vm_stats, unmaps),
	COUNTER(vm_stats, iommu_maps),
	COUNTER(vm_stats, iommu_unmaps),
	COUNTER(vm_stats, mapped_bytes),
	COUNTER(vm_stats, mapped_peak),
	COUNTER(vm_stats, extents),
	COUNTER(vm_stats, entries),
	COUNTER(vm_stats, entries_max),
	COUNTER(vm_stats, leaves),
	COUNTER(vm_stats, quota),
	COUNTER(vm_stats, resets),
	COUNTER(vm_stats, revocations),
	COUNTER(vm_stats, revoked_bytes),
	COUNTER(vm_stats, over_quota_bytes),
};
ASSERT_COMPLETE(vm_stats, vm_counters);

static const struct counter vhost_counters[] = {
	COUNTER(vhost_stats, connections),   COUNTER(vhost_stats, messages),
	COUNTER(vhost_stats, errors),	     COUNTER(vhost_stats, kicks),
	COUNTER(vhost_stats, polled),	     COUNTER(vhost_stats, requests),
	COUNTER(vhost_stats, broken_queues),
};
ASSERT_COMPLETE(vhost_stats, vhost_counters);

static const struct counter vfio_user_counters[] = {
	COUNTER(vfio_user_stats, connections),
	COUNTER(vfio_user_stats, messages),
	COUNTER(vfio_user_stats, region_reads),
	COUNTER(vfio_user_stats, region_writes),
	COUNTER(vfio_user_stats, set_irqs),
	COUNTER(vfio_user_stats, dma_maps),
	COUNTER(vfio_user_stats, dma_unmaps),
	COUNTER(vfio_user_stats, resets),
	COUNTER(vfio_user_stats, errors),
};
ASSERT_COMPLETE(vfio_user_stats, vfio_user_counters);

static void write_counters(FILE *out, const void *stats,
			   const struct counter *counters, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		uint64_t v;

		memcpy(&v, (const uint8_t *)stats + counters[i].offset,
		       sizeof(v));
		fprintf(out, "%s\"%s\": %" PRIu64, i == 0 ? "{" : ", ",
			counters[i].name, v);
	}
	fputc('}', out);
}

void stats_json_vm(FILE *out, const struct vm_stats *stats)
{
	write_counters(out, stats, vm_counters, ARRAY_SIZE(vm_counters));
}

void stats_json_vhost(FILE *out, const struct vhost_stats *stats)
{
	write_counters(out, stats, vhost_counters, ARRAY_SIZE(vhost_counters));
}

void stats_json_vfio_user(FILE *out, const struct vfio_user_stats *stats)
{
	write_counters(out, stats, vfio_user_counters,
		       ARRAY_SIZE(vfio_user_counters));
}

void stats_json_curve(FILE *out, const struct vm_curve *curve)
{
	fprintf(out,
		"{\"interval_us\": %" PRIu64 ", \"quota\": %" PRIu64
		", \"mapped_bytes\": %" PRIu64 ", \"held_bytes\": %" PRIu64
		", \"points\": [",
		curve->interval_us, curve->quota, curve->mapped_bytes,
		curve->held_bytes);
	for (unsigned int i = 0; i < curve->n; i++) {
		const struct vm_curve_point *p = &curve->points[i];

		fprintf(out,
			"%s{\"quota\": %" PRIu64
			", \"waits_per_s\": %.3f, \"cost_us_per_s\": %.3f}",
			i == 0 ? "" : ", ", p->quota, p->waits_per_s,
			p->cost_us_per_s);
	}
	fprintf(out, "]}");
}

/* The bytes of a line "Key:   N kB" of /proc/self/status; 0 if not there. */
static uint64_t status_bytes(FILE *status, const char *key)
{
	size_t len = strlen(key);
	char line[256];
	uint64_t kib;

	rewind(status);
	while (fgets(line, sizeof(line), status))
		if (strncmp(line, key, len) == 0 &&
		    sscanf(line + len, ": %" SCNu64 " kB", &kib) == 1)
			return kib * 1024;
	return 0;
}

void stats_json_process(FILE *out, FILE *status)
{
	struct rlimit limit = { .rlim_cur = RLIM_INFINITY };
	uint64_t locked = 0, private = 0;

	if (status) {
		locked = status_bytes(status, "VmLck");
		private = status_bytes(status, "RssAnon");
	}
	(void)getrlimit(RLIMIT_MEMLOCK, &limit);
	fprintf(out,
		"{\"locked\": %" PRIu64 ", \"private\": %" PRIu64
		", \"limit\": ",
		locked, private);
	if (limit.rlim_cur == RLIM_INFINITY)
		fprintf(out, "-1}");
	else
		fprintf(out, "%" PRIu64 "}", (uint64_t)limit.rlim_cur);
}
