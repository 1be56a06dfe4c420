// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * vm.c - the life of a VM: what it consists of, and its larger events
 *
 * Owns struct vm and its parts; whether the guest's driver lives is driver.c's
 * question. Invariants: those of vm.h. Locks: none. In a request's way: not.
 */
#include "host/agent/vm.h"

#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "host/agent/curve.h"
#include "host/agent/endpoints.h"
#include "host/agent/enforce.h"
#include "host/agent/iommu/iommu.h"
#include "host/agent/layout.h"
#include "host/agent/host_limits.h"
#include "host/agent/memory.h"
#include "host/agent/observe.h"
#include "host/agent/probe.h"
#include "host/agent/reclaim.h"
#include "host/agent/state.h"
#include "host/agent/status.h"
#include "host/agent/vm_private.h"
#include "host/lib/cleanup.h"
#include "host/lib/crash.h"
#include "host/lib/durable.h"
#include "host/lib/log.h"
#include "host/lib/macros.h"

DEFINE_CLEANUP(vm, struct vm *, vm_free);

uint64_t vm_now(void)
{
	struct timespec ts;

	if (clock_gettime(CLOCK_MONOTONIC, &ts) < 0)
		return 0;
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

void vm_notify_work(const struct vm *vm)
{
	if (vm->notify.work_pending)
		vm->notify.work_pending(vm->notify.userdata);
}

void vm_notify_config(const struct vm *vm)
{
	if (vm->notify.config_changed)
		vm->notify.config_changed(vm->notify.userdata);
}

bool vm_may_map_more(const struct vm *vm)
{
	const struct vm_root *root = vm->root;

	return root->inited && root->running && root->table.writable &&
	       endpoints_attached(vm) && !endpoints_strict(vm) &&
	       !mode_active(vm) && enforce_excess(vm) == 0;
}

/* --- making and unmaking --- */

static struct policy_node *env_node(void *userdata, uint32_t extent)
{
	struct vm *vm = userdata;

	return &ledger_get(vm->ledger, extent)->policy;
}

static bool env_referenced(void *userdata, uint32_t extent)
{
	struct vm *vm = userdata;
	struct ledger_extent *e = ledger_get(vm->ledger, extent);
	bool used;

	ahead_see(vm, e);
	used = observe_see(vm, e);
	return table_test_and_clear_referenced(vm->table, ledger_first(e),
					       e->count) ||
	       used;
}

static uint64_t env_key(void *userdata, uint32_t extent)
{
	struct vm *vm = userdata;

	return ledger_first(ledger_get(vm->ledger, extent));
}

/* What is picked for unmapping is on its way out, and no block has it. */
static bool is_mapped(void *userdata, uint64_t first, uint64_t count,
		      uint64_t *ret_end)
{
	const struct vm *vm = userdata;
	uint64_t at = first;

	while (at < first + count) {
		uint32_t extent = ledger_seek(vm->ledger, at);
		const struct ledger_extent *e;

		*ret_end = UINT64_MAX;
		if (extent == LEDGER_NONE)
			return false;
		e = ledger_get(vm->ledger, extent);
		*ret_end = ledger_first(e);
		if (ledger_first(e) > at)
			return false;
		at = *ret_end = ledger_end(e);
		if (e->flags & (LEDGER_PARTIAL | LEDGER_VICTIM))
			return false;
	}
	return true;
}

static int leaving(const struct memory_region *region, void *userdata)
{
	return layout_leaving(userdata, region);
}

static int check_config(const struct vm_config *config)
{
	if (config->granule_shift < VIRTIO_PVDMA_GRANULE_SHIFT_MIN ||
	    config->granule_shift > VIRTIO_PVDMA_GRANULE_SHIFT_MAX)
		log_err("granules of 2^%u bytes: the least are 4 KiB (12), the largest 2 MiB (21)",
			config->granule_shift);
	else if (config->strategy >= VIRTIO_PVDMA_STRATEGIES)
		log_err("strategy %u is not known", config->strategy);
	else if (config->num_queues == 0 || config->max_ranges == 0)
		log_err("%u queues and %u ranges in a request: one of each is the least",
			config->num_queues, config->max_ranges);
	else
		return 0;
	return -EINVAL;
}

/* The parts that are derived from the state, or serve it. */
static int make_parts(struct vm *vm)
{
	struct policy_env env = {
		.node = env_node,
		.test_and_clear_referenced = env_referenced,
		.key = env_key,
		.userdata = vm,
		.root = &vm->root->policy,
		.state = vm->state,
	};
	const char *policy = vm->config.policy;
	int r;

	r = memory_new(leaving, vm, &vm->memory);
	if (r == 0)
		r = ledger_new(vm->state, &vm->root->ledger, &vm->ledger);
	if (r == 0)
		r = table_new(vm->state, &vm->root->table, vm->memory,
			      is_mapped, vm, &vm->table);
	if (r < 0)
		return r;
	if (!policy)
		policy = policy_names()[0];
	r = policy_new(policy, &env, &vm->policy);
	if (r == -ENOENT) {
		log_err("there is no policy \"%s\"", policy);
		r = -EINVAL;
	}
	return r;
}

struct state_layout vm_layout(uint64_t extra_size, uint64_t sparse_size)
{
	return (struct state_layout){
		.root_size = sizeof(struct vm_root),
		.extra_size = extra_size,
		.sparse_size = sparse_size,
		.slot_sizes = {
			[STATE_EXTENTS] = sizeof(struct ledger_extent),
			[STATE_LEAVES] = TABLE_SLOT_SIZE,
			[STATE_GHOSTS] = GHOSTS_SLOT_SIZE,
			[STATE_REGIONS] = VM_REGION_SLOT_SIZE,
		},
	};
}

/* Goes on with the state of another process. */
static int open_state(struct vm *vm, const struct state_layout *layout)
{
	struct vm_config *config = &vm->config;
	int r;

	r = state_open(config->state_fd, layout, &vm->state);
	if (r < 0)
		return r;
	vm->root = state_root(vm->state);
	*config = vm->root->start.config;
	vm->root->start.policy[sizeof(vm->root->start.policy) - 1] = '\0';
	config->policy = vm->root->start.policy;
	if (check_config(config) < 0)
		return -EUCLEAN;
	resume_begin(vm);
	return 0;
}

static int make_state(struct vm *vm)
{
	const struct state_layout layout =
		vm_layout(vm->config.extra_size, vm->config.sparse_size);
	int r;

	if (vm->config.state_fd > 0)
		return open_state(vm, &layout);
	r = state_make(&layout, &vm->state);
	if (r < 0)
		return r;
	vm->root = state_root(vm->state);
	vm->root->start.config = vm->config;
	vm->root->start.config.policy = NULL;
	(void)snprintf(
		vm->root->start.policy, sizeof(vm->root->start.policy), "%s",
		vm->config.policy ? vm->config.policy : policy_names()[0]);
	vm->root->start.entries_max = IOMMU_ENTRIES_UNKNOWN;
	quota_init(&vm->root->quota, vm->config.quota);
	ledger_root_init(&vm->root->ledger, state_random(vm->state));
	ahead_init(&vm->root->ahead);
	table_root_init(&vm->root->table, vm->config.granule_shift,
			state_random(vm->state));
	do
		vm->root->tag = (uint32_t)state_random(vm->state);
	while (vm->root->tag == 0);
	return 0;
}

static int make_buffers(struct vm *vm)
{
	size_t n = vm->config.max_ranges;

	vm->decode_limits = (struct decode_limits){
		.max_ranges = vm->config.max_ranges,
		.granule_shift = vm->config.granule_shift,
	};
	vm->request.leaves = calloc(n, sizeof(*vm->request.leaves));
	vm->request.ranges = calloc(n, sizeof(*vm->request.ranges));
	vm->sorted = calloc(n, sizeof(*vm->sorted));
	if (!vm->request.leaves || !vm->request.ranges || !vm->sorted)
		return -ENOMEM;
	return 0;
}

/* An arena that was handed in stays the caller's. */
static int failed(const struct vm_config *config, struct vm *vm, int error)
{
	if (vm->state && config->state_fd > 0)
		state_disown(vm->state);
	return error;
}

int vm_new(const struct vm_config *config, struct iommu *iommu,
	   const struct vm_notify *notify, struct vm **ret)
{
	_cleanup_(cleanup_vm) struct vm *vm = NULL;
	int r;

	r = check_config(config);
	if (r < 0)
		return r;
	vm = calloc(1, sizeof(*vm));
	if (!vm)
		return -ENOMEM;
	vm->config = *config;
	vm->notify = *notify;
	vm->entries_max = IOMMU_ENTRIES_UNKNOWN;
	price_init(&vm->price);
	r = curve_new(config->seed, &vm->curve);
	if (r == 0)
		r = make_state(vm);
	if (r == 0)
		r = make_buffers(vm);
	if (r == 0)
		r = make_parts(vm);
	if (r < 0)
		return failed(config, vm, r);
	vm->config.policy = NULL;
	vm->iommu = iommu;
	if (config->state_fd > 0)
		iommu_take_over(iommu, vm->root->start.entries_max);
	r = limits_refresh(vm);
	if (r < 0) {
		vm->iommu = NULL;
		return failed(config, vm, r);
	}
	*ret = steal_ptr(vm);
	return 0;
}

void vm_free(struct vm *vm)
{
	if (!vm)
		return;
	if (vm->resuming)
		resume_abandon(vm);
	else if (vm->iommu)
		reclaim_end_all(vm);
	policy_free(vm->policy);
	curve_free(vm->curve);
	table_free(vm->table);
	ledger_free(vm->ledger);
	memory_free(vm->memory);
	if (vm->root)
		quota_done(&vm->root->quota);
	state_free(vm->state);
	iommu_free(vm->iommu);
	trace_disarm(&vm->trace);
	free(vm->request.leaves);
	free(vm->request.ranges);
	free(vm->sorted);
	free(vm);
}

/* --- memory --- */

int vm_memory_add(struct vm *vm, const void *source, uint64_t gpa,
		  uint64_t size, int fd, uint64_t offset, uint32_t prot)
{
	const struct memory_region *region = NULL;
	int r;

	vm_layout_changes(vm);
	r = memory_add(vm->memory, source, gpa, size, fd, offset, prot,
		       &region);
	if (r == 0 && region) {
		layout_added(vm, region);
		mode_retry(vm);
	}
	return r;
}

int vm_memory_remove(struct vm *vm, const void *source, uint64_t gpa,
		     uint64_t size)
{
	int r;

	vm_layout_changes(vm);
	r = memory_remove(vm->memory, source, gpa, size);
	mode_update(vm);
	return r;
}

int vm_memory_drop(struct vm *vm, const void *source)
{
	int r;

	vm_layout_changes(vm);
	r = memory_drop(vm->memory, source);
	if (r < 0)
		(void)log_err_errno(r, "guest memory stays mapped");
	mode_update(vm);
	return r;
}

/* --- what others ask and set --- */

void vm_config_read(const struct vm *vm, struct virtio_pvdma_config *ret)
{
	const struct vm_root *root = vm->root;

	*ret = (struct virtio_pvdma_config){
		.magic = htole32(VIRTIO_PVDMA_MAGIC),
		.version = htole16(VIRTIO_PVDMA_VERSION),
		.granule_shift = vm->config.granule_shift,
		.strategy = vm->config.strategy,
		.num_queues = htole16(vm->config.num_queues),
		.max_ranges = htole16(vm->config.max_ranges),
		.vm_tag = htole32(root->tag),
		.quota = htole64(root->quota.limit),
		.quota_news = htole32(root->quota_news),
		.strategy_news = htole32(root->strategy_news),
		.endpoint_news = htole32(root->endpoint_news),
		.num_endpoints = htole32(endpoints_present(vm)),
		.excess = htole64(root->enforce.excess),
		.deadline_ms = htole32(root->enforce.deadline_ms),
	};
}

uint32_t vm_tag(const struct vm *vm)
{
	return vm->root->tag;
}

uint64_t vm_features(const struct vm *vm)
{
	(void)vm; /* all VMs have the same so far */
	return (uint64_t)1 << VIRTIO_PVDMA_F_UNMAP |
	       (uint64_t)1 << VIRTIO_PVDMA_F_RELEASE |
	       (uint64_t)1 << VIRTIO_PVDMA_F_PREFETCH |
	       (uint64_t)1 << VIRTIO_PVDMA_F_SAMPLE;
}

void vm_set_features(struct vm *vm, uint64_t features)
{
	vm->root->features = features & vm_features(vm);
}

int vm_set_quota_within(struct vm *vm, uint64_t bytes, uint64_t usec)
{
	if (bytes == vm->root->quota.limit && enforce_excess(vm) == 0)
		return 0;
	PROBE2(quota, vm->root->quota.limit, bytes);
	enforce_begin(vm, usec);
	quota_set_limit(&vm->root->quota, bytes);
	headroom_forget(vm);
	mode_retry(vm);
	if (vm_work(vm))
		vm_notify_work(vm);
	crash_point("quota-set");
	vm->root->quota_news++;
	vm_notify_config(vm);
	enforce_told(vm);
	return 0;
}

int vm_set_quota(struct vm *vm, uint64_t bytes)
{
	return vm_set_quota_within(vm, bytes, vm->config.enforce_usec);
}

void vm_set_strategy(struct vm *vm, uint8_t strategy)
{
	if (strategy == vm->config.strategy)
		return;
	vm->config.strategy = strategy;
	vm->root->start.config.strategy = strategy;
	mode_retry(vm);
	vm->root->strategy_news++;
	vm_notify_config(vm);
}

bool vm_work(struct vm *vm)
{
	/* What only a direct mapping had goes before what drivers want. */
	return mode_work(vm) || enforce_work(vm) || headroom_work(vm) ||
	       prefetch_work(vm) || ahead_work(vm);
}

bool vm_look(struct vm *vm)
{
	return ahead_tick(vm);
}

void vm_set_price(struct vm *vm, const struct price *price)
{
	vm->price = *price;
	vm->root->start.price = *price;
	durable_store(&vm->root->start.has_price, 1u);
}

struct state *vm_state(struct vm *vm)
{
	return vm->state;
}

uint64_t vm_quota(const struct vm *vm)
{
	return vm->root->quota.limit;
}

const struct vm_config *vm_get_config(const struct vm *vm)
{
	return &vm->config;
}

void vm_get_stats(const struct vm *vm, struct vm_stats *ret)
{
	*ret = vm->root->stats;
	ret->mapped_bytes = vm->root->quota.charged;
	ret->mapped_peak = vm->root->quota.peak;
	ret->extents = ledger_extents(vm->ledger);
	ret->entries = ledger_pieces(vm->ledger);
	ret->entries_max =
		vm->entries_max == IOMMU_ENTRIES_UNKNOWN ? 0 : vm->entries_max;
	ret->leaves = table_leaves(vm->table);
	ret->quota = vm->root->quota.limit;
	ret->over_quota_bytes = enforce_excess(vm);
}

struct trace *vm_trace(struct vm *vm)
{
	return &vm->trace;
}
