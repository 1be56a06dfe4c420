// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * endpoints.c - the devices of a VM, and which of them have a driver
 *
 * Owns the endpoints in the state. Invariants: only an endpoint that is present
 * is attached; none is present from slot vm->endpoint_slots on, which is where
 * each search ends: requests make some, and most VMs have few devices. Locks:
 * none. In a request's way: ATTACH and DETACH end here; the others are let pass,
 * or not.
 */
#include "host/agent/endpoints.h"

#include <errno.h>

#include "host/agent/host_limits.h"
#include "host/agent/reclaim.h"
#include "host/agent/status.h"
#include "host/agent/vm_private.h"
#include "host/lib/crash.h"
#include "host/lib/durable.h"
#include "host/lib/watchdog.h"

void endpoints_count_slots(struct vm *vm)
{
	vm->endpoint_slots = VM_ENDPOINTS_MAX;
	while (vm->endpoint_slots > 0 &&
	       !vm->root->endpoints[vm->endpoint_slots - 1].present)
		vm->endpoint_slots--;
}

static struct vm_endpoint *find_endpoint(const struct vm *vm, uint32_t id)
{
	for (size_t i = 0; i < vm->endpoint_slots; i++) {
		struct vm_endpoint *endpoint = &vm->root->endpoints[i];

		if (endpoint->present && endpoint->id == id)
			return endpoint;
	}
	return NULL;
}

static unsigned int count_endpoints(const struct vm *vm, bool attached)
{
	unsigned int n = 0;

	for (size_t i = 0; i < vm->endpoint_slots; i++) {
		const struct vm_endpoint *endpoint = &vm->root->endpoints[i];

		n += endpoint->present && (!attached || endpoint->attached);
	}
	return n;
}

unsigned int endpoints_present(const struct vm *vm)
{
	return count_endpoints(vm, false);
}

bool endpoints_unattached(const struct vm *vm)
{
	return count_endpoints(vm, true) < count_endpoints(vm, false);
}

int endpoints_check(const struct vm *vm, uint32_t id)
{
	const struct vm_endpoint *endpoint = find_endpoint(vm, id);

	if (!endpoint)
		return VERDICT_NOENT;
	return endpoint->attached ? 0 : VERDICT_STATE;
}

int vm_endpoint_add(struct vm *vm, uint32_t endpoint)
{
	size_t i = 0;
	int r;

	if (find_endpoint(vm, endpoint))
		return -EEXIST;
	while (i < VM_ENDPOINTS_MAX && vm->root->endpoints[i].present)
		i++;
	if (i == VM_ENDPOINTS_MAX)
		return -ENOSPC;
	r = limits_refresh(vm);
	if (r < 0)
		return r;
	vm->root->endpoints[i] = (struct vm_endpoint){
		.id = endpoint,
		.present = true,
		.fresh = true,
	};
	endpoints_count_slots(vm);
	mode_update(vm);
	vm->root->endpoint_news++;
	vm_notify_config(vm);
	return 0;
}

bool endpoints_first_reset(struct vm *vm, uint32_t id)
{
	struct vm_endpoint *endpoint = find_endpoint(vm, id);

	if (!endpoint || !endpoint->fresh)
		return false;
	endpoint->fresh = false;
	return true;
}

bool vm_endpoint_denied(const struct vm *vm, uint32_t endpoint)
{
	return endpoints_check(vm, endpoint) == VERDICT_STATE &&
	       vm->config.fallback == VM_FALLBACK_DENY &&
	       vm->config.strategy != VIRTIO_PVDMA_S_DIRECT_MAP;
}

static bool persistent(const struct vm_endpoint *endpoint)
{
	return endpoint->present && endpoint->attached &&
	       endpoint->strategy == VIRTIO_PVDMA_S_PERSISTENT;
}

uint8_t endpoints_strategy(const struct vm *vm, uint32_t id)
{
	return find_endpoint(vm, id)->strategy;
}

bool endpoints_attached(const struct vm *vm)
{
	return count_endpoints(vm, true) > 0;
}

bool endpoints_strict(const struct vm *vm)
{
	for (size_t i = 0; i < vm->endpoint_slots; i++) {
		const struct vm_endpoint *endpoint = &vm->root->endpoints[i];

		if (endpoint->present && endpoint->attached &&
		    VIRTIO_PVDMA_S_IS_STRICT(endpoint->strategy))
			return true;
	}
	return false;
}

/* An endpoint may have been the last one whose driver was persistent. */
static void unkeep(struct vm *vm)
{
	for (size_t i = 0; i < vm->endpoint_slots; i++) {
		if (persistent(&vm->root->endpoints[i]))
			return;
	}
	reclaim_unkeep(vm);
}

/* The last driver is gone: so is what was mapped for requests. */
static int endpoint_detached(struct vm *vm)
{
	mode_update(vm);
	unkeep(vm);
	if (count_endpoints(vm, true) > 0)
		return 0;
	ahead_forget(vm);
	return reclaim_end_requests(vm);
}

void vm_endpoint_remove(struct vm *vm, uint32_t endpoint)
{
	struct vm_endpoint *gone = find_endpoint(vm, endpoint);
	bool attached;

	if (!gone)
		return;
	attached = gone->attached;
	*gone = (struct vm_endpoint){ 0 };
	endpoints_count_slots(vm);
	if (attached)
		(void)endpoint_detached(vm);
	else
		mode_update(vm);
	vm->root->endpoint_news++;
	vm_notify_config(vm);
}

/* Strategies get stricter as their numbers get smaller; the VM's is known. */
static bool strategy_allowed(const struct vm *vm, uint8_t strategy)
{
	return strategy <= vm->config.strategy;
}

int endpoints_attach(struct vm *vm, uint32_t id,
		     const struct request_attach *attach)
{
	struct vm_endpoint *endpoint = find_endpoint(vm, id);
	bool strict = endpoints_strict(vm), kept;
	struct vm_endpoint before;
	int r = 0;

	if (!endpoint)
		return VERDICT_NOENT;
	if (!strategy_allowed(vm, attach->strategy))
		return VERDICT_INVAL;
	before = *endpoint;
	kept = persistent(endpoint);
	endpoint->strategy = attach->strategy;
	endpoint->dma_mask = attach->dma_mask;
	endpoint->attached = true;
	endpoint->fresh = false;
	/* From now on each granule can end by itself (DEV-STRICT-1). */
	if (!strict && endpoints_strict(vm)) {
		crash_point("attached-strictly");
		/* what the direct mapping has had, too: all memory, perhaps */
		mode_update(vm);
		watchdog_wait();
		r = reclaim_coarse(vm);
		watchdog_go_on();
	}
	if (r < 0)
		*endpoint = before;
	mode_update(vm);
	if (kept)
		unkeep(vm);
	return r;
}

int endpoints_detach(struct vm *vm, uint32_t id)
{
	int r = endpoints_check(vm, id);

	if (r != 0)
		return r;
	durable_store(&find_endpoint(vm, id)->attached, false);
	crash_point("detached");
	return endpoint_detached(vm);
}

int endpoints_settle(struct vm *vm)
{
	int r = endpoint_detached(vm);

	if (r == 0 && endpoints_strict(vm))
		r = reclaim_coarse(vm);
	return r;
}

void endpoints_forget(struct vm *vm)
{
	for (size_t i = 0; i < vm->endpoint_slots; i++)
		vm->root->endpoints[i].attached = false;
}
