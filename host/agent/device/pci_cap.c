// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * pci_cap.c: where the pvdma capability goes (SPEC.md, DEV-CAP-1).
 *
 * A guest's driver finds out that a device is an endpoint, and which, by a
 * vendor-specific capability in the device's configuration space. No device
 * has it: the agent shows it in a gap between the capabilities that are there.
 *
 * Owns nothing. Invariants: the gap is in nobody's way: no capability covers
 * it, as far as the sizes of capabilities are known, and a capability of
 * unknown size covers everything up to the next one; and it reads as zeros,
 * since devices have registers there that no capability tells of. All other
 * bytes are the device's, but for the pointer to the list's head.
 *
 * The capability becomes the head of the list, not its tail: the head's
 * pointer is in the fixed header, while finding the tail would mean to trust
 * the whole list. QEMU, which rebuilds the list from what it reads and gives
 * each capability the bytes up to the next one, takes it at any place.
 *
 * Locks: none. In a request's way: before all requests: the number that ATTACH
 * names comes from here.
 */
#include "device/pci_cap.h"

#include <endian.h>
#include <errno.h>
#include <linux/pci_regs.h>
#include <string.h>

#include "lib/macros.h"

#define CAP_SIZE sizeof(struct virtio_pvdma_cap)
/* A list cannot have more elements without running in a circle. */
#define CAPS_MAX ((PCI_CAP_SPACE - PCI_STD_HEADER_SIZEOF) / 4)

static uint16_t get16(const uint8_t *config, unsigned int at)
{
	return at + 1 < PCI_CAP_SPACE ?
		       (uint16_t)(config[at] | config[at + 1] << 8) :
		       0;
}

static unsigned int msi_size(uint16_t flags)
{
	unsigned int size = flags & PCI_MSI_FLAGS_64BIT ? 14 : 10;

	return flags & PCI_MSI_FLAGS_MASKBIT ? size + 10 : size;
}

static unsigned int express_size(uint16_t flags)
{
	unsigned int type = (flags & PCI_EXP_FLAGS_TYPE) >> 4;

	/* Some virtual functions say version 0 and mean 2. */
	if ((flags & PCI_EXP_FLAGS_VERS) != 1)
		return 0x3c;
	if (type == PCI_EXP_TYPE_ENDPOINT || type == PCI_EXP_TYPE_LEG_END)
		return 0x14;
	return type == PCI_EXP_TYPE_RC_END ? 0x0c : 0x24;
}

static unsigned int pcix_size(uint16_t command)
{
	return PCI_X_CMD_VERSION(command) ? 24 : 8;
}

static unsigned int sata_size(uint16_t registers)
{
	return (registers & PCI_SATA_REGS_MASK) == PCI_SATA_REGS_INLINE ?
		       PCI_SATA_SIZEOF_LONG :
		       PCI_SATA_SIZEOF_SHORT;
}

/* Bytes of the capability at @at, or 0 where its size is not known. */
static unsigned int cap_size(const uint8_t *config, unsigned int at)
{
	uint16_t flags = get16(config, at + 2);

	switch (config[at]) {
	case PCI_CAP_ID_PM:
	case PCI_CAP_ID_VPD:
	case PCI_CAP_ID_SSVID:
	case PCI_CAP_ID_AF:
		return 8;
	case PCI_CAP_ID_SLOTID:
	case PCI_CAP_ID_CHSWP:
		return 4;
	case PCI_CAP_ID_MSIX:
		return 12;
	case PCI_CAP_ID_MSI:
		return msi_size(flags);
	case PCI_CAP_ID_EXP:
		return express_size(flags);
	case PCI_CAP_ID_PCIX:
		return pcix_size(flags);
	case PCI_CAP_ID_SATA:
		return sata_size(get16(config, at + PCI_SATA_REGS));
	case PCI_CAP_ID_VNDR:
		/* Shorter than its own head: it lies. */
		return (flags & 0xff) > 2 ? flags & 0xff : 0;
	default:
		return 0;
	}
}

/* One bit for every four bytes: nothing here is aligned to less. */
static void mark_used(uint64_t *used, unsigned int first, unsigned int end)
{
	for (unsigned int i = first / 4; i < 64 && i * 4 < end; i++)
		*used |= UINT64_C(1) << i;
}

/* The device's own first capability, as it is written there; 0: none. */
static uint8_t list_head(const uint8_t *config)
{
	uint8_t head = config[PCI_CAPABILITY_LIST];

	if (!(get16(config, PCI_STATUS) & PCI_STATUS_CAP_LIST))
		return 0;
	return head < PCI_STD_HEADER_SIZEOF ? 0 : head;
}

/*
 * Where the capabilities are: a bit for every four bytes. Stops at whatever is
 * no list any more: a circle, or a pointer into the header.
 */
static uint64_t find_caps(const uint8_t *config)
{
	uint64_t starts = 0;
	unsigned int at = list_head(config) & ~3u;

	for (unsigned int i = 0; i < CAPS_MAX; i++) {
		uint64_t bit = UINT64_C(1) << (at / 4);

		if (at < PCI_STD_HEADER_SIZEOF || starts & bit)
			break;
		starts |= bit;
		at = config[at + PCI_CAP_LIST_NEXT] & ~3u;
	}
	return starts;
}

static unsigned int next_start(uint64_t starts, unsigned int at)
{
	for (unsigned int i = at / 4 + 1; i < 64; i++)
		if (starts & UINT64_C(1) << i)
			return i * 4;
	return PCI_CAP_SPACE;
}

/* What of the configuration space is taken: a bit for every four bytes. */
static uint64_t find_used(const uint8_t *config)
{
	uint64_t starts = find_caps(config);
	uint64_t used = 0;

	mark_used(&used, 0, PCI_STD_HEADER_SIZEOF);
	for (unsigned int i = 0; i < 64; i++) {
		unsigned int at = i * 4, size;
		uint32_t word;

		memcpy(&word, config + at, sizeof(word));
		if (word != 0)
			mark_used(&used, at, at + 4);
		if (!(starts & UINT64_C(1) << i))
			continue;
		size = cap_size(config, at);
		mark_used(&used, at, size ? at + size : next_start(starts, at));
	}
	return used;
}

/*
 * The highest gap: registers that no capability tells of are mostly at the
 * beginning, behind the header. 0: there is none.
 */
static uint8_t find_gap(uint64_t used)
{
	const uint64_t mask = (UINT64_C(1) << CAP_SIZE / 4) - 1;

	for (unsigned int i = 64 - CAP_SIZE / 4; i > 0; i--)
		if (!(used & mask << i))
			return (uint8_t)(i * 4);
	return 0;
}

int pci_cap_plan(const uint8_t config[static PCI_CAP_SPACE], uint32_t vm_tag,
		 uint32_t endpoint, struct pci_cap_overlay *ret)
{
	uint8_t gap;

	*ret = (struct pci_cap_overlay){ 0 };
	if ((config[PCI_HEADER_TYPE] & 0x7f) != PCI_HEADER_TYPE_NORMAL)
		return -EOPNOTSUPP;
	gap = find_gap(find_used(config));
	if (gap == 0)
		return -ENOSPC;
	ret->position = gap;
	ret->cap = (struct virtio_pvdma_cap){
		.id = VIRTIO_PVDMA_CAP_ID,
		.next = list_head(config),
		.len = CAP_SIZE,
		.version = VIRTIO_PVDMA_VERSION,
		.magic = htole32(VIRTIO_PVDMA_MAGIC),
		.vm_tag = htole32(vm_tag),
		.endpoint = htole32(endpoint),
	};
	return 0;
}

/* The byte of @buf, read at @offset, that is at @at; NULL: not among them. */
static uint8_t *byte_at(uint8_t *buf, uint64_t offset, size_t count,
			uint64_t at)
{
	return at >= offset && at - offset < count ? buf + (at - offset) : NULL;
}

void pci_cap_overlay_read(const struct pci_cap_overlay *overlay,
			  uint64_t offset, void *buf, size_t count)
{
	const uint8_t *cap = (const uint8_t *)&overlay->cap;
	uint8_t *p;

	if (overlay->position == 0)
		return;
	for (unsigned int i = 0; i < CAP_SIZE; i++) {
		p = byte_at(buf, offset, count, overlay->position + i);
		if (p)
			*p = cap[i];
	}
	p = byte_at(buf, offset, count, PCI_CAPABILITY_LIST);
	if (p)
		*p = overlay->position;
	p = byte_at(buf, offset, count, PCI_STATUS);
	if (p)
		*p |= PCI_STATUS_CAP_LIST;
}

size_t pci_cap_overlay_split(const struct pci_cap_overlay *overlay,
			     uint64_t offset, size_t count, size_t *ret_hidden)
{
	uint64_t start = overlay->position, end = start + CAP_SIZE;

	*ret_hidden = 0;
	if (start == 0 || offset >= end || count == 0)
		return count;
	if (offset < start) {
		if (count <= start - offset)
			return count;
		*ret_hidden = min((uint64_t)count - (start - offset),
				  (uint64_t)CAP_SIZE);
		return start - offset;
	}
	*ret_hidden = min((uint64_t)count, end - offset);
	return 0;
}
