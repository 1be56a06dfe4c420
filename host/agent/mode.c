// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * mode.c - the direct mapping: fill, keep, shrink
 *
 * Owns struct mode_root and the flag LEDGER_DIRECT. Invariants: extents with
 * the flag are protected while the phase is FILL or ON, and are like any other
 * in the phases SHRINK and OFF; everything is charged. While it is active, what
 * requests mapped is adopted (the flag is set), so that there are no gaps; when
 * it ends, what a driver holds or was told to be mapped stays as its own; only
 * what it holds does if it ends for a strict endpoint (DEV-STRICT-3). No word of
 * the table is written here but by claiming idle extents, and to say in a leaf
 * that was just registered what is mapped. Locks: none. In a request's way: that
 * of LEAF, last.
 */
#include "host/agent/mode.h"

#include <errno.h>

#include "host/agent/endpoints.h"
#include "host/agent/iommu/iommu.h"
#include "host/agent/host_limits.h"
#include "host/agent/memory.h"
#include "host/agent/plan.h"
#include "host/agent/reclaim.h"
#include "host/agent/status.h"
#include "host/agent/vm_private.h"
#include "host/lib/log.h"
#include "host/lib/macros.h"

/* A slice ends after this time, and after at least one step. */
#define MODE_SLICE_USEC 20000
/* Extents that one step of SHRINK looks at. */
#define MODE_SHRINK_EXTENTS 32
/* Extents larger than this are not made, however much memory there is. */
#define MODE_WINDOW_MAX ((uint64_t)1 << 36)

#define LEAF_SHIFT  VIRTIO_PVDMA_LEAF_SHIFT
#define LEAF_WORDS  VIRTIO_PVDMA_LEAF_WORDS
#define LEAF_BLOCKS VIRTIO_PVDMA_LEAF_BLOCKS
#define BLOCK_SHIFT VIRTIO_PVDMA_BLOCK_SHIFT

#define KIB(bytes) ((unsigned long long)((bytes) / 1024))

bool mode_active(const struct vm *vm)
{
	return vm->root->mode.phase == MODE_FILL ||
	       vm->root->mode.phase == MODE_ON;
}

bool mode_protects(const struct vm *vm, const struct ledger_extent *e)
{
	return (e->flags & LEDGER_DIRECT) && mode_active(vm);
}

static bool desired(const struct vm *vm)
{
	if (memory_size(vm->memory) == 0)
		return false;
	if (vm->config.strategy == VIRTIO_PVDMA_S_DIRECT_MAP &&
	    !endpoints_strict(vm))
		return true;
	return vm->config.fallback == VM_FALLBACK_DIRECT &&
	       endpoints_unattached(vm);
}

static bool covered(const struct vm *vm)
{
	return memory_size(vm->memory) <= vm->root->quota.limit;
}

void mode_update(struct vm *vm)
{
	struct mode_root *mode = &vm->root->mode;
	bool wanted = desired(vm) && covered(vm) && !mode->failed;

	if (wanted != mode_active(vm)) {
		mode->phase = wanted ? MODE_FILL : MODE_SHRINK;
		mode->cursor = 0;
		vm_notify_work(vm);
	} else if (!wanted && desired(vm)) {
		vm_notify_work(vm); /* to say why not */
	}
}

void mode_retry(struct vm *vm)
{
	struct mode_root *mode = &vm->root->mode;

	mode->failed = false;
	if (mode->phase == MODE_ON || mode->phase == MODE_FILL) {
		mode->phase = MODE_FILL;
		mode->cursor = 0;
		vm_notify_work(vm);
	}
	mode_update(vm);
}

void mode_resume(struct vm *vm)
{
	struct mode_root *mode = &vm->root->mode;

	if (mode->phase == MODE_ON)
		mode->phase = MODE_FILL;
	mode->cursor = 0;
	mode_update(vm);
	if (mode->phase != MODE_OFF)
		vm_notify_work(vm);
}

/* Says once for each pair of sizes that memory does not fit the quota. */
static void log_refusal(struct vm *vm)
{
	struct mode_root *mode = &vm->root->mode;
	uint64_t size = memory_size(vm->memory);
	uint64_t quota = vm->root->quota.limit;

	if (!desired(vm) || covered(vm) ||
	    (mode->refused_size == size && mode->refused_quota == quota))
		return;
	mode->refused_size = size;
	mode->refused_quota = quota;
	log_ratelimited(
		LOG_ERR,
		"%s is refused: the guest has %llu KiB of memory, the quota is %llu KiB; without a pvdma driver in the guest its devices reach nothing",
		vm->config.strategy == VIRTIO_PVDMA_S_DIRECT_MAP ?
			"strategy=direct-map" :
			"fallback=direct",
		KIB(size), KIB(quota));
}

/*
 * Granules of an extent at most: those of 2 MiB, or more where that would take
 * more than half of the mapping entries.
 */
static uint64_t window(const struct vm *vm)
{
	uint64_t bytes = LEDGER_EXTENT_BYTES;

	while (bytes < MODE_WINDOW_MAX &&
	       memory_size(vm->memory) / bytes > vm->entries_max / 2)
		bytes *= 2;
	return bytes >> vm_shift(vm);
}

static void log_filled(const struct vm *vm)
{
	uint64_t extent = window(vm) << vm_shift(vm);

	log_ratelimited(LOG_INFO,
			"all guest memory is mapped: %llu KiB in %llu mappings",
			KIB(memory_size(vm->memory)),
			(unsigned long long)ledger_pieces(vm->ledger));
	if (extent > LEDGER_EXTENT_BYTES)
		log_ratelimited(
			LOG_INFO,
			"mappings are of up to %llu KiB, because VFIO allows only %llu: what a driver keeps of them later is as coarse; raise vfio_iommu_type1 dma_entry_limit for finer ones",
			KIB(extent), (unsigned long long)vm->entries_max);
}

/* The draft at @granule is what could not be mapped. True: go on behind it. */
static bool fill_failed(struct vm *vm, int error, uint64_t granule,
			uint64_t bytes)
{
	struct mode_root *mode = &vm->root->mode;

	(void)limits_verdict(vm, error, granule << vm_shift(vm), bytes);
	if (error == -EINVAL) {
		/* No IOMMU maps this; without it the rest still serves. */
		mode->cursor =
			granule + max(bytes >> vm_shift(vm), (uint64_t)1);
		return true;
	}
	log_ratelimited(
		LOG_ERR,
		"mapping all guest memory failed after %llu of %llu KiB and is given up until memory or quota changes",
		KIB(vm->root->quota.charged - bytes),
		KIB(memory_size(vm->memory)));
	mode->failed = true;
	mode_update(vm);
	return true;
}

/* Maps one extent at @granule, of which there is memory. */
static bool fill_extent(struct vm *vm, uint64_t granule)
{
	struct mode_root *mode = &vm->root->mode;
	uint64_t pos = granule, bytes = 0;
	struct plan plan;
	int r;

	plan_init(&plan);
	r = plan_step(vm, &plan, &pos, UINT64_MAX >> vm_shift(vm), window(vm));
	if (r == 0)
		r = reclaim_room(vm, plan.bytes, plan.pieces, NULL, 0);
	if (r == 0)
		r = plan_map(vm, &plan, NULL, 0, &granule, &bytes);
	if (r == 0) {
		mode->cursor = pos;
		plan_commit(vm, &plan, LEDGER_DIRECT);
		return true;
	}
	if (r > 0)
		r = r == VERDICT_LIMIT ? -ENOSPC : -EBUSY;
	(void)fill_failed(vm, r, granule, bytes);
	plan_abandon(vm, &plan);
	return true;
}

/* Would there be entries for what is mapped, as much between it, and the rest? */
static bool fits_entries(const struct vm *vm)
{
	uint64_t windows =
		memory_size(vm->memory) / (window(vm) << vm_shift(vm));

	return limits_missing(vm, ledger_pieces(vm->ledger) + windows) == 0;
}

/*
 * With fallback=direct nothing is told: when the mapping ends, requests are what
 * says what a driver wants to keep of it.
 */
void mode_tell_leaf(struct vm *vm, uint64_t index)
{
	uint64_t at = (index & ~LEAF_BLOCKS) << LEAF_SHIFT;
	uint64_t end = at + LEAF_WORDS;
	uint32_t extent;

	if (!mode_active(vm) ||
	    vm->config.strategy != VIRTIO_PVDMA_S_DIRECT_MAP)
		return;
	if (index & LEAF_BLOCKS) {
		at <<= BLOCK_SHIFT;
		end <<= BLOCK_SHIFT;
	}
	while ((extent = ledger_seek(vm->ledger, at)) != LEDGER_NONE) {
		const struct ledger_extent *e = ledger_get(vm->ledger, extent);
		uint64_t first = max(at, ledger_first(e));

		if (first >= end)
			return;
		at = min(end, ledger_end(e));
		if (!(e->flags & LEDGER_PARTIAL))
			table_set_mapped(vm->table, first, at - first);
		if (at >= end)
			return;
	}
}

/*
 * Where requests have left so many small mappings that there are no entries for
 * them and for what is between them: those behind @granule in its window that
 * are idle end, so that one mapping takes their place.
 */
static void make_whole(struct vm *vm, uint64_t granule)
{
	uint64_t end = align_down(granule, window(vm)) + window(vm);
	struct victims victims;
	uint32_t extent;

	if (fits_entries(vm))
		return;
	victims_init(&victims);
	while ((extent = ledger_seek(vm->ledger, granule)) != LEDGER_NONE) {
		const struct ledger_extent *e = ledger_get(vm->ledger, extent);

		if (ledger_end(e) > end)
			break;
		granule = ledger_end(e);
		if (!mode_protects(vm, e) && e->count < window(vm))
			(void)reclaim_take(vm, extent, &victims);
	}
	(void)reclaim_evict(vm, &victims, RECLAIM_OTHER);
}

/* Returns false when all memory was looked at. */
static bool fill_step(struct vm *vm)
{
	struct mode_root *mode = &vm->root->mode;
	const struct memory_region *region;
	uint64_t granule;
	uint32_t extent;

	region = mode->cursor > UINT64_MAX >> vm_shift(vm) ?
			 NULL :
			 memory_find(vm->memory, mode->cursor << vm_shift(vm),
				     true);
	if (!region) {
		mode->phase = MODE_ON;
		log_filled(vm);
		return false;
	}
	granule = max(mode->cursor, region->gpa >> vm_shift(vm));
	make_whole(vm, granule);
	extent = ledger_find(vm->ledger, granule);
	if (extent == LEDGER_NONE)
		return fill_extent(vm, granule);
	ledger_get(vm->ledger, extent)->flags |= LEDGER_DIRECT;
	mode->cursor = ledger_end(ledger_get(vm->ledger, extent));
	return true;
}

/* Is this extent, of the direct mapping until now, a driver's own from now on? */
static bool stays(const struct vm *vm, const struct ledger_extent *e)
{
	if (endpoints_strict(vm))
		return table_any_held(vm->table, ledger_first(e), e->count);
	return table_any_used(vm->table, ledger_first(e), e->count);
}

/* Returns false when all extents were looked at. */
static bool shrink_step(struct vm *vm)
{
	struct mode_root *mode = &vm->root->mode;
	struct victims victims;
	uint32_t extent = 0;

	victims_init(&victims);
	for (int i = 0; i < MODE_SHRINK_EXTENTS; i++) {
		struct ledger_extent *e;

		extent = ledger_seek(vm->ledger, mode->cursor);
		if (extent == LEDGER_NONE)
			break;
		e = ledger_get(vm->ledger, extent);
		mode->cursor = ledger_end(e);
		if (!(e->flags & LEDGER_DIRECT))
			continue;
		e->flags &= ~LEDGER_DIRECT;
		if (!stays(vm, e))
			(void)reclaim_take(vm, extent, &victims);
	}
	(void)reclaim_evict(vm, &victims, RECLAIM_OTHER);
	if (extent != LEDGER_NONE)
		return true;
	mode->phase = MODE_OFF;
	return false;
}

bool mode_work(struct vm *vm)
{
	uint64_t until = vm_now() + MODE_SLICE_USEC;

	log_refusal(vm);
	for (;;) {
		bool more;

		if (vm->root->mode.phase == MODE_FILL)
			more = fill_step(vm);
		else if (vm->root->mode.phase == MODE_SHRINK &&
			 table_is_writable(vm->table))
			more = shrink_step(vm);
		else
			return false;
		if (!more)
			return false;
		if (vm_now() >= until)
			return true;
	}
}
