// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Fuzzes the agent's data path, vm.h, with the null IOMMU behind it: a guest
 * without honour, and a VMM that does as it likes.
 *
 * The input is a list of steps, each a byte that says what is done (modulo the
 * number of kinds) and its arguments, a byte or two (little-endian) each:
 *
 *	RANGES		type, endpoint, n, then n times first (16 bits), count
 *	RAW		length, bytes: a request, whatever they are
 *	INIT, LEAF	with numbers that are often right
 *	ATTACH		endpoint, strategy; DETACH: endpoint
 *	WORD		page, word (16 bits), value (32 bits): the guest writes
 *	PLUG, UNPLUG	source, place, size, protection: memory, in pages
 *	DROP		source
 *	QUEUES		start or stop; RESET: of a device
 *	QUOTA		in pages; WORK; ENDPOINT: comes or goes
 *	FAULT		of the IOMMU, to come
 *
 * The first bytes choose granule, strategy, fallback and the host's limits. After
 * each step the books agree with the IOMMU, nothing is mapped that is no memory,
 * and no byte of memory changed while no queue ran.
 */
#include "host/lib/log.h"
#include "tests/fuzz/support/input.h"
#include "tests/unit/support/guest.h"

#define PAGE	   4096u
#define PAGES	   128u /* of the guest's memory, at 0 and above it */
#define MAX_RANGES 6u

static struct guest g;
static uint64_t observed; /* when vm_observe() wants to be called again */
static uint8_t before[PAGES * PAGE];
static const char sources[2];

/* --- steps --- */

static void do_ranges(struct fuzz_input *in)
{
	struct virtio_pvdma_range ranges[MAX_RANGES];
	uint8_t type = (uint8_t)(VIRTIO_PVDMA_T_MAP + fuzz_u8(in) % 4);
	uint32_t endpoint = fuzz_u8(in) % 3;
	uint16_t n = (uint16_t)(1 + fuzz_u8(in) % MAX_RANGES);

	for (uint16_t i = 0; i < n; i++) {
		uint64_t first = fuzz_u16(in);
		uint32_t count = fuzz_u8(in);

		/* Some are far out. */
		if (first & 0x8000)
			first = UINT64_MAX >> (first & 63);
		else
			first %= PAGES + 8;
		ranges[i] = guest_range(
			first,
			count & 0x80 ? UINT32_MAX >> (count & 31) : count);
	}
	(void)guest_ask(&g, type, endpoint, ranges, n, sizeof(ranges[0]));
}

static void do_raw(struct fuzz_input *in)
{
	uint8_t buf[256];
	size_t n = fuzz_u8(in);
	const uint8_t *p = fuzz_bytes(in, &n);

	memcpy(buf, p, n);
	(void)guest_send(&g, buf, n);
}

static void do_init(struct fuzz_input *in)
{
	uint64_t nonce = htole64(GUEST_NONCE);
	uint16_t version = fuzz_u8(in) % 4 ? 1 : 2;
	uint64_t addr = (uint64_t)fuzz_u8(in) * PAGE / 2;

	if (addr + 8 <= g.size && g.vm->root->running)
		memcpy(g.mem + addr, &nonce, sizeof(nonce));
	(void)guest_init_at(&g, version, addr, GUEST_NONCE);
}

static void do_leaf(struct fuzz_input *in)
{
	uint64_t index = fuzz_u8(in);
	uint64_t page = fuzz_u8(in);

	(void)guest_leaf_at(&g, index % 3, page * PAGE + (index > 250));
}

/* Words of leaves, wherever they are: the guest may lie. */
static void do_word(struct fuzz_input *in)
{
	uint64_t at = fuzz_u8(in) % PAGES * (PAGE / 4);

	at += fuzz_u16(in) % (PAGE / 4);
	*((uint32_t *)(void *)g.mem + at) = fuzz_u32(in);
}

static void do_plug(struct fuzz_input *in)
{
	const char *source = &sources[fuzz_u8(in) % 2];
	uint64_t at = fuzz_u8(in), pages = fuzz_u8(in), offset = fuzz_u8(in);
	uint32_t prot = fuzz_u8(in) % 5;

	(void)vm_memory_add(g.vm, source, at * PAGE, pages * PAGE, g.fd,
			    (prot == 4 ? offset : at) * PAGE, prot % 4);
}

static void do_unplug(struct fuzz_input *in)
{
	const char *source = &sources[fuzz_u8(in) % 2];
	uint64_t at = fuzz_u8(in), pages = fuzz_u8(in);

	(void)vm_memory_remove(g.vm, source, at * PAGE, pages * PAGE);
}

static void do_fault(struct fuzz_input *in)
{
	static const int errors[] = { -ENOSPC, -ENOMEM, -EINVAL, -EIO };
	uint8_t what = fuzz_u8(in), when = fuzz_u8(in);

	if (what & 0x80)
		null_iommu_fail_unmap(g.iommu, when % 4, -EIO, what % 3);
	else
		null_iommu_fail_map(g.iommu, when % 4, errors[what % 4],
				    what / 4 % 8);
}

static void do_endpoint(struct fuzz_input *in)
{
	uint8_t what = fuzz_u8(in);

	if (what & 1)
		(void)vm_endpoint_add(g.vm, what / 2 % 3);
	else
		vm_endpoint_remove(g.vm, what / 2 % 3);
}

static void do_queues(struct fuzz_input *in)
{
	if (fuzz_u8(in) % 3)
		vm_queues_start(g.vm);
	else
		vm_queues_stop(g.vm);
}

static void do_step(struct fuzz_input *in)
{
	uint8_t what = fuzz_u8(in) % 16;

	switch (what) {
	case 0:
	case 1:
		return do_ranges(in);
	case 2:
		return do_raw(in);
	case 3:
		return do_init(in);
	case 4:
		return do_leaf(in);
	case 5:
		(void)guest_attach_as(&g, fuzz_u8(in) % 3, fuzz_u8(in) % 3);
		return;
	case 6:
		(void)guest_detach(&g, fuzz_u8(in) % 3);
		return;
	case 7:
		return do_word(in);
	case 8:
		return do_plug(in);
	case 9:
		return do_unplug(in);
	case 10:
		(void)vm_memory_drop(g.vm, &sources[fuzz_u8(in) % 2]);
		return;
	case 11:
		return do_queues(in);
	case 12:
		return vm_device_reset(g.vm);
	case 13:
		(void)vm_set_quota(g.vm, (uint64_t)fuzz_u8(in) * PAGE);
		return;
	case 14:
		return fuzz_u8(in) % 2 ? do_endpoint(in) : do_fault(in);
	default:
		if (fuzz_u8(in) % 2)
			return guest_tick(&g, GUEST_LATE);
		(void)vm_look(g.vm);
		observed = vm_observe(g.vm, observed);
		guest_work(&g);
	}
}

/* --- what must be true after each of them --- */

static void check_pages(void)
{
	/* Regions are announced up to page 255 + 255. */
	for (uint64_t page = 0; page < 512; page++) {
		uint64_t gpa = page * PAGE;

		if (!null_iommu_mapped(g.iommu, gpa))
			continue;
		assert(memory_find(g.vm->memory, gpa, false));
		assert(ledger_find(g.vm->ledger, gpa >> g.shift) !=
		       LEDGER_NONE);
	}
}

static void check_quota(uint64_t charged_before)
{
	const struct quota *quota = &g.vm->root->quota;

	assert(quota->charged <= max(quota->limit, charged_before));
}

static void steps(struct fuzz_input *in)
{
	while (fuzz_more(in)) {
		bool stopped = !g.vm->root->running;
		bool writes = *in->at % 16 == 7; /* the guest itself */
		uint64_t charged = g.vm->root->quota.charged;

		if (stopped)
			memcpy(before, g.mem, g.size);
		do_step(in);
		guest_check(&g, false);
		check_quota(charged);
		check_pages();
		/* DEV-RESET-1 */
		if (stopped && !writes)
			assert(memcmp(before, g.mem, g.size) == 0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t shifts[] = { 12, 13, 16, 21 };
	static const uint8_t strategies[] = {
		VIRTIO_PVDMA_S_PERSISTENT,
		VIRTIO_PVDMA_S_ON_DEMAND, /* with ahead */
		VIRTIO_PVDMA_S_DIRECT_MAP,
	};
	struct fuzz_input in = { data, data + size };
	uint8_t how = fuzz_u8(&in);

	log_set_max_level(-1);
	observed = 0;
	guest_start(&g,
		    &(struct guest_options){
			    .size = PAGES * PAGE,
			    .quota = (uint64_t)fuzz_u8(&in) * PAGE,
			    .shift = shifts[how % 4],
			    .strategy =
				    strategies[how >> 2 & 1 ? 2 : how >> 6 & 1],
			    .ahead = how >> 6 & 1,
			    .fallback = how >> 3 & 1 ? VM_FALLBACK_DIRECT :
						       VM_FALLBACK_DENY,
			    .enforce = VM_ENFORCE_REVOKE,
			    .enforce_usec = 1000000,
			    .entries_max = how >> 4 & 1 ? 12 : 0,
			    .bytes_max = how >> 5 & 1 ? 24 * PAGE : 0,
			    .no_memory = how >> 6 & 1,
		    });
	if (how >> 7 & 1)
		(void)vm_endpoint_add(g.vm, 0); /* and no feature */
	else if (how >> 6 & 1)
		vm_set_features(g.vm, vm_features(g.vm));
	else
		guest_boot(&g);
	steps(&in);
	guest_stop(&g);
	return 0;
}
