// SPDX-License-Identifier: GPL-2.0-only
/*
 * memory.c - how far the guest's memory reaches, and that it may grow
 *
 * Owns: pvdma.ram_last, and the room in the table's directory: memory that is
 * plugged in gets its directory entries before anybody can use it, so that no
 * mapping in atomic context has to make them.
 */
#include <linux/ioport.h>

#include "pvdma.h"

static int pvdma_memory_note(struct resource *res, void *arg)
{
	u64 *last = arg;

	*last = max_t(u64, *last, res->end);
	return 0;
}

/* The last address of memory, plugged in and persistent memory included. */
u64 pvdma_memory_last(void)
{
	u64 last = 0;

	walk_iomem_res_desc(IORES_DESC_NONE,
			    IORESOURCE_SYSTEM_RAM | IORESOURCE_BUSY, 0, -1,
			    &last, pvdma_memory_note);
	walk_iomem_res_desc(IORES_DESC_PERSISTENT_MEMORY, IORESOURCE_MEM, 0, -1,
			    &last, pvdma_memory_note);
	return last;
}

/* Room in the table for all memory below @end. */
static int pvdma_memory_reach(struct pvdma *pv, u64 end)
{
	int err = pvdma_track_grow(&pv->track, end, GFP_KERNEL);

	if (!err && end - 1 > READ_ONCE(pv->ram_last))
		WRITE_ONCE(pv->ram_last, end - 1);
	return err;
}

static int pvdma_memory_event(struct notifier_block *nb, unsigned long event,
			      void *arg)
{
	struct pvdma *pv = container_of(nb, struct pvdma, memory_nb);
	struct memory_notify *range = arg;
	u64 end;

	if (event != MEM_GOING_ONLINE)
		return NOTIFY_OK;
	end = PFN_PHYS((u64)range->start_pfn + range->nr_pages);
	return notifier_from_errno(pvdma_memory_reach(pv, end));
}

int pvdma_memory_start(struct pvdma *pv)
{
	int err;

	pv->memory_nb.notifier_call = pvdma_memory_event;
	err = register_memory_notifier(&pv->memory_nb);
	if (err)
		return err;
	/* what came after the table was made, and before this */
	err = pvdma_memory_reach(pv, pvdma_memory_last() + 1);
	if (err)
		pvdma_memory_stop(pv);
	return err;
}

void pvdma_memory_stop(struct pvdma *pv)
{
	unregister_memory_notifier(&pv->memory_nb);
}
