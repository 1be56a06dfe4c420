// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * edu.c - a device that does DMA wherever it is told to
 *
 * Each attack shows first that the device works: it reaches a page that is
 * mapped. What is not mapped it must neither change nor see. The host counts
 * what its IOMMU stopped.
 */
#include <linux/delay.h>
#include <linux/io-64-nonatomic-lo-hi.h>
#include <linux/virtio_config.h>

#include "hostile.h"

/* The DMA engine of QEMU's "edu" device (docs/specs/edu.rst) */
#define EDU_DMA_SRC	  0x80
#define EDU_DMA_DST	  0x88
#define EDU_DMA_COUNT	  0x90
#define EDU_DMA_CMD	  0x98
#define EDU_CMD_START	  1u
#define EDU_CMD_TO_MEMORY 2u
#define EDU_BUFFER	  0x40000u

#define BYTES	    64u
#define WAIT_MS	    60000
#define FULL	    0xee
#define EMPTY	    0x5a
#define RACE_ROUNDS 25

/* What tests/e2e/canary.c fills its pages with. */
#define CANARY 0x5241434d4d445650ull

static bool move(struct hostile *h, u64 from, u64 to, u32 bytes, u32 command)
{
	unsigned int i;

	writeq(from, h->edu_bar + EDU_DMA_SRC);
	writeq(to, h->edu_bar + EDU_DMA_DST);
	writeq(bytes, h->edu_bar + EDU_DMA_COUNT);
	writeq(command | EDU_CMD_START, h->edu_bar + EDU_DMA_CMD);
	for (i = 0; i < WAIT_MS; i++) {
		if (!(readl(h->edu_bar + EDU_DMA_CMD) & EDU_CMD_START))
			return true;
		usleep_range(1000, 1500);
	}
	hostile_check(h, false, "a transfer of edu's does not end");
	return false;
}

static void device_reads(struct hostile *h, u64 addr)
{
	move(h, addr, EDU_BUFFER, BYTES, 0);
}

static void device_writes(struct hostile *h, u64 addr, u32 bytes)
{
	move(h, EDU_BUFFER, addr, bytes, EDU_CMD_TO_MEMORY);
}

/* Does what the device writes at @p's address arrive? */
static bool reaches(struct hostile *h, u8 *p)
{
	memset(p, EMPTY, BYTES);
	device_writes(h, virt_to_phys(p), BYTES);
	return memchr_inv(p, EMPTY, BYTES);
}

static void check_reach(struct hostile *h, u8 *p, bool wanted, const char *what)
{
	bool is = reaches(h, p);

	hostile_check(h, is == wanted, "a page %s is %sreached", what,
		      is ? "" : "not ");
}

/* @p's granule, held and mapped for the device, whose buffer is FULL then. */
static int map_page(struct hostile *h, u8 *p)
{
	u64 at = hostile_granule(h, p);
	int r;

	*hostile_word(h, at) = 1;
	r = hostile_range(h, 0, VIRTIO_PVDMA_T_MAP, at, 1);
	hostile_check(h, !r, "a page for edu: status %d", r);
	memset(p, FULL, BYTES);
	device_reads(h, virt_to_phys(p));
	check_reach(h, p, true, "that is mapped");
	return r ? -EIO : 0;
}

static int begin(struct hostile *h, u8 *page)
{
	int err = h->edu ? hostile_session(h) : -ENODEV;

	/* strict: nothing is mapped that was not asked for */
	if (!err &&
	    hostile_attach(h, HOSTILE_ENDPOINT_EDU, VIRTIO_PVDMA_S_SHARED))
		err = -EIO;
	return err ? err : map_page(h, page);
}

/* What the device gets to see at @addr comes back by way of @page. */
static void look_and_write(struct hostile *h, u64 addr, u8 *page)
{
	u64 *seen = (u64 *)(page + SZ_1K);
	unsigned int i, n = 0;

	memset(page, FULL, BYTES);
	device_reads(h, virt_to_phys(page));
	device_reads(h, addr);
	memset(seen, 0, BYTES);
	device_writes(h, virt_to_phys(seen), BYTES);
	for (i = 0; i < BYTES / 8; i++)
		n += seen[i] == CANARY;
	hostile_check(h, !n, "the device saw %u words at %#llx", n, addr);
	device_reads(h, virt_to_phys(page));
	device_writes(h, addr, BYTES);
}

/* @args: addresses of the host's, and of other VMs'. */
static int attack_dma(struct hostile *h, char *args)
{
	u8 *page = h->area[0] + SZ_64K, *spare = h->area[2] + SZ_1M;
	unsigned int n = 0;
	u64 addr, at = hostile_granule(h, page);
	char *word;
	int err = begin(h, page);

	while (!err && (word = strsep(&args, " "))) {
		if (kstrtou64(word, 0, &addr))
			continue;
		look_and_write(h, addr, page);
		n++;
	}
	if (err)
		return err;
	check_reach(h, spare, false, "of our own that never was mapped");
	check_reach(h, page, true, "that still is mapped");
	*hostile_word(h, at) &= ~VIRTIO_PVDMA_W_COUNT;
	hostile_range(h, 0, VIRTIO_PVDMA_T_UNMAP, at, 1);
	check_reach(h, page, false, "that was unmapped");
	/* said to be mapped is not mapped */
	*hostile_word(h, at) |= VIRTIO_PVDMA_W_MAPPED | 1;
	check_reach(h, page, false, "that the guest says is mapped");
	err = map_page(h, page);
	hostile_reset(h);
	hostile_open(h, hostile_offered(h));
	hostile_init_on(h, 0);
	check_reach(h, page, false, "of a former life");
	scnprintf(h->text, sizeof(h->text), "addresses %u\n", n);
	return err;
}

static int dma_worker(void *data)
{
	struct hostile_worker *w = data;
	struct hostile *h = w->h;

	while (!kthread_should_stop())
		device_writes(h,
			      virt_to_phys(h->area[1]) +
				      hostile_worker_random(w) % SZ_256K / 64 *
					      64,
			      BYTES);
	return 0;
}

/* The device writes while its pages are mapped, unmapped and evicted. */
static int attack_race(struct hostile *h, char *args)
{
	struct hostile_worker w = {};
	u8 *page = h->area[0] + SZ_64K;
	u64 at = hostile_area(h, 1);
	u32 n = SZ_256K >> h->shift;
	int err = begin(h, page), i, r;

	if (!err)
		err = hostile_start(&w, h, 1, dma_worker);
	for (i = 0; i < RACE_ROUNDS && !err; i++) {
		hostile_range(h, 0, VIRTIO_PVDMA_T_MAP, at, n);
		hostile_range(h, 0, VIRTIO_PVDMA_T_MAP, hostile_area(h, 2 + i),
			      (h->quota >> h->shift) / 2);
		r = hostile_range(h, 0, VIRTIO_PVDMA_T_UNMAP, at, n);
		hostile_check(h, !r, "UNMAP under DMA: status %d", r);
		/* answered, so the device is out (DEV-UNMAP-1) */
		memset(h->area[1], EMPTY, SZ_256K);
		msleep(50);
		hostile_check(h, !memchr_inv(h->area[1], EMPTY, SZ_256K),
			      "the device writes after an UNMAP");
	}
	hostile_stop(&w);
	return err;
}

/*
 * A message to where interrupts come from, as VT-d lays its address out
 * (section 5.1.5): one that names an entry of the host's table, or with @compat
 * a CPU.
 */
static u64 message_address(struct hostile *h, u32 i, bool compat)
{
	const u64 base = 0xfee00000;

	if (compat)
		return base | i << 12;
	/* those in use come first; with a sub-handle, or without */
	return base | (i % 64) << 5 | BIT(4) | (hostile_random(h) & BIT(3));
}

/*
 * Interrupts of others. "compat" writes messages in the format without a table,
 * too, by which a device can have a CPU reset. VT-d blocks those where
 * interrupts are remapped (section 5.1.4); QEMU's, as of 11.1, lets them
 * through, and its machine is reset.
 */
static int attack_msi(struct hostile *h, char *args)
{
	bool compat = args && !strcmp(args, "compat");
	u8 *page = h->area[0] + SZ_64K;
	int err = begin(h, page), i;

	for (i = 0; i < 128 && !err; i++) {
		memset(page, 0, BYTES);
		*(u32 *)page = 0x20 + (hostile_random(h) & 0x4fff);
		device_reads(h, virt_to_phys(page));
		device_writes(h, message_address(h, i, compat && i & 1), 4);
	}
	if (!err)
		check_reach(h, page, true, "that is mapped, afterwards");
	return err;
}

const struct hostile_attack hostile_edus[] = { { "dma", attack_dma },
					       { "race", attack_race },
					       { "msi", attack_msi },
					       {} };
