// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * driver.c - the lives of the guest's driver: INIT, pause, and reset
 *
 * Owns the question whether the driver that we know still lives. Invariant: the
 * table is writable only between a request of the driver that registered its
 * leaves and the next stop of the queues. Locks: none. In a request's way: INIT
 * ends here.
 *
 * Pause or reset? To a backend both stop the queues, and what starts them
 * again may be the same driver, or firmware and another one, in whose memory
 * the old leaves would lie. So after a start nothing is written until a request
 * shows who is there: an INIT (a new driver; all is forgotten) or any other
 * (the old one, which goes on).
 *
 * Nor does the reset of a device say that the VM is reset: a driver may do that, and
 * a VMM does it with what it plugs in. It counts while the queues stand still, or if
 * they stop soon after and memory moves; but not the first one of a device that has
 * just come, nor one of a device that no driver looks after, if there are others.
 */
#include "host/agent/vm.h"

#include <endian.h>
#include <errno.h>

#include "host/agent/curve.h"
#include "host/agent/endpoints.h"
#include "host/agent/iommu/iommu.h"
#include "host/agent/memory.h"
#include "host/agent/reclaim.h"
#include "host/agent/status.h"
#include "host/agent/vm_private.h"
#include "host/lib/crash.h"
#include "host/lib/durable.h"
#include "host/lib/log.h"
#include "host/lib/macros.h"

/* A guest that sends requests this long after a reset did not die of it. */
#define VM_RESET_USEC 2000000
/* So long after it queues stop for another reason. (Other devices take their time.) */
#define VM_RESET_SLOW_USEC 120000000

int vm_forget_driver(struct vm *vm)
{
	durable_store(&vm->root->inited, false);
	vm->root->reset_seen = 0;
	crash_point("forget-driver");
	endpoints_forget(vm);
	reclaim_unkeep(vm);
	ahead_forget(vm);
	prefetch_forget(vm);
	curve_forget(vm->curve);
	table_set_writable(vm->table, false);
	table_forget(vm->table);
	mode_update(vm);
	return reclaim_end_requests(vm);
}

static int check_init(const struct vm *vm, const struct request_init *init)
{
	const uint64_t *nonce;

	if (init->version == 0 || init->version > VIRTIO_PVDMA_VERSION)
		return VERDICT_UNSUPP;
	if (init->nonce == 0 || !is_aligned(init->nonce_addr, 8))
		return VERDICT_INVAL;
	nonce = memory_translate(vm->memory, init->nonce_addr, sizeof(*nonce),
				 IOMMU_READ);
	if (!nonce)
		return VERDICT_RANGE;
	if (le64toh(__atomic_load_n(nonce, __ATOMIC_ACQUIRE)) == init->nonce)
		return 0;
	log_ratelimited(
		LOG_ERR,
		"the guest's memory is not the memory that its VMM handed out: is its backend shared (share=on)?");
	return VERDICT_BADMEM;
}

int vm_init(struct vm *vm, const struct request_init *init)
{
	int r = check_init(vm, init);

	if (r != 0)
		return r;
	r = vm_forget_driver(vm);
	if (r < 0)
		return r;
	vm->root->stats.resets++;
	vm->root->inited = true;
	table_set_writable(vm->table, true);
	return 0;
}

/* A reset that was longer ago than @usec was that of one device. */
static void forget_old_reset(struct vm *vm, uint64_t usec)
{
	if (vm->root->reset_seen != 0 && vm_now() - vm->root->reset_seen > usec)
		vm->root->reset_seen = 0;
}

void vm_driver_lives(struct vm *vm)
{
	forget_old_reset(vm, VM_RESET_USEC);
	if (vm->root->table.writable)
		return;
	table_set_writable(vm->table, true);
	vm_notify_work(vm);
}

static void vm_reset(struct vm *vm)
{
	if (vm->root->inited)
		vm->root->stats.resets++;
	(void)vm_forget_driver(vm);
}

void vm_device_reset(struct vm *vm)
{
	if (vm->root->running)
		vm->root->reset_seen = max(vm_now(), (uint64_t)1);
	else
		vm_reset(vm);
}

void vm_endpoint_reset(struct vm *vm, uint32_t endpoint)
{
	forget_old_reset(vm, VM_RESET_SLOW_USEC);
	if (endpoints_first_reset(vm, endpoint))
		return;
	/* with the VM those are reset, too, for which anything is mapped */
	if (vm->root->reset_seen == 0 && endpoints_attached(vm) &&
	    endpoints_check(vm, endpoint) != 0)
		return;
	vm_device_reset(vm);
}

/* A device was reset, the queues stopped, memory moves: so the VM was reset. */
void vm_layout_changes(struct vm *vm)
{
	if (!vm->root->running && vm->root->reset_seen != 0)
		vm_reset(vm);
}

void vm_queues_start(struct vm *vm)
{
	vm->root->running = true;
}

void vm_queues_stop(struct vm *vm)
{
	if (vm->root->running)
		forget_old_reset(vm, VM_RESET_SLOW_USEC);
	vm->root->running = false;
	crash_point("queues-stopped");
	table_set_writable(vm->table, false);
}
