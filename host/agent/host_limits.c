// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * host_limits.c - limits of VFIO and of this process, in an operator's words
 *
 * Owns vm->entries_max. Invariant: every message that a guest can provoke is
 * rate-limited. Locks: none. In a request's way: only when a map fails.
 */
#include "host/agent/host_limits.h"

#include <errno.h>
#include <stdio.h>
#include <sys/resource.h>

#include "host/agent/iommu/iommu.h"
#include "host/agent/memory.h"
#include "host/agent/status.h"
#include "host/agent/vm_private.h"
#include "host/lib/log.h"
#include "host/lib/macros.h"

#define KIB(bytes) ((unsigned long long)((bytes) / 1024))

int limits_refresh(struct vm *vm)
{
	uint64_t granule = (uint64_t)1 << vm_shift(vm);
	uint64_t granules = vm->root->quota.limit / granule;
	struct iommu_limits limits;
	int r;

	r = iommu_get_limits(vm->iommu, &limits);
	if (r < 0)
		return r;
	if (limits.pgsizes != 0 && !(limits.pgsizes & (MEMORY_PAGE * 2 - 1))) {
		log_err("the IOMMU maps no pages of %u bytes, which borders of guest memory need",
			MEMORY_PAGE);
		return -EINVAL;
	}
	if (vm->entries_max == limits.entries_max)
		return 0;
	vm->entries_max = limits.entries_max;
	vm->root->start.entries_max = limits.entries_max;
	/*
	 * Every extent could be one granule in the worst case. (256 MiB are one
	 * granule of 4 KiB more than VFIO's default, which is no news.)
	 */
	if (granules > 0 && granules - 1 > vm->entries_max)
		log_notice(
			"VFIO allows %llu mappings at once: scattered granules of %llu KiB use them up at %llu KiB of the quota of %llu KiB; raise vfio_iommu_type1 dma_entry_limit or use a larger granule",
			(unsigned long long)vm->entries_max, KIB(granule),
			KIB(vm->entries_max * granule),
			KIB(vm->root->quota.limit));
	return 0;
}

uint64_t limits_missing(const struct vm *vm, uint64_t pieces)
{
	uint64_t used = ledger_pieces(vm->ledger);

	if (vm->entries_max == IOMMU_ENTRIES_UNKNOWN ||
	    used + pieces <= vm->entries_max)
		return 0;
	return used + pieces - vm->entries_max;
}

bool limits_short(const struct vm *vm)
{
	return limits_missing(vm, vm->entries_max / 4) > 0;
}

void limits_log_entries(const struct vm *vm)
{
	char now[64] = "";

	if (vm->entries_max != IOMMU_ENTRIES_UNKNOWN)
		(void)snprintf(now, sizeof(now), " (now %llu)",
			       (unsigned long long)vm->entries_max);
	log_ratelimited(
		LOG_WARNING,
		"out of VFIO mapping entries: raise vfio_iommu_type1 dma_entry_limit%s or use a larger granule (now %llu KiB); %llu mappings hold %llu KiB",
		now, KIB((uint64_t)1 << vm_shift(vm)),
		(unsigned long long)ledger_pieces(vm->ledger),
		KIB(vm->root->quota.charged));
}

static void log_memory(const struct vm *vm, uint64_t bytes)
{
	uint64_t others = vm->root->quota.charged - bytes;
	struct rlimit limit;

	if (getrlimit(RLIMIT_MEMLOCK, &limit) < 0 ||
	    limit.rlim_cur == RLIM_INFINITY) {
		log_ratelimited(
			LOG_WARNING,
			"the host has no memory to pin %llu KiB more, %llu KiB are charged: free memory on the host or lower the quota (now %llu KiB)",
			KIB(bytes), KIB(others), KIB(vm->root->quota.limit));
		return;
	}
	log_ratelimited(
		LOG_WARNING,
		"RLIMIT_MEMLOCK (%llu KiB) stops a mapping of %llu KiB, %llu KiB are charged: raise it (LimitMEMLOCK= of the unit) to at least the quota (%llu KiB), or lower the quota; if it is higher, the host is out of memory",
		KIB(limit.rlim_cur), KIB(bytes), KIB(others),
		KIB(vm->root->quota.limit));
}

int limits_verdict(const struct vm *vm, int error, uint64_t iova,
		   uint64_t bytes)
{
	switch (error) {
	case -ENOSPC:
		limits_log_entries(vm);
		return VERDICT_LIMIT;
	case -ENOMEM:
		log_memory(vm, bytes);
		return VERDICT_LIMIT;
	case -EINVAL:
		log_ratelimited(
			LOG_WARNING,
			"the IOMMU cannot map guest memory at 0x%llx (%llu KiB): move it with the VMM's options, or keep devices off it",
			(unsigned long long)iova, KIB(bytes));
		return VERDICT_LIMIT;
	default:
		log_ratelimited(
			LOG_ERR,
			"the IOMMU fails to map 0x%llx (%llu KiB): error %d",
			(unsigned long long)iova, KIB(bytes), -error);
		return error;
	}
}
