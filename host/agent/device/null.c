// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * null.c: a PCI device that is not there, for tests on any machine.
 *
 * It does no DMA. What it has is what a vfio-user client can tell apart:
 *
 *	BAR 0	4 KiB of memory that can be mapped (a memfd)
 *	BAR 1	64 bytes of ports that cannot; a 32-bit write to the first
 *		fires an interrupt: its kind (VFIO_PCI_*_IRQ_INDEX) in the
 *		upper half, its vector in the lower
 *	BAR 2	the MSI-X table and pending bits, 4 KiB, not mapped either
 *	ROM	256 KiB that read as the bytes of their 32-bit offsets
 *	INTx	one, masked by the device when it fires, as real ones are
 *	MSI-X	32 vectors
 *	ERR, REQ	one each: errors, and the wish to have the device back
 *
 * Owns that state and the eventfds that it was given. Invariant: an eventfd
 * is signalled only while its vector is switched on and not masked; what
 * happens to a masked one stays pending.
 *
 * Locks: none. In a request's way: not at all.
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/pci_regs.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "device/device_impl.h"
#include "lib/cleanup.h"
#include "lib/durable.h"
#include "lib/keeper.h"
#include "lib/log.h"
#include "lib/macros.h"

#define CONFIG_SIZE 256u
#define BAR0_SIZE   4096u
#define BAR1_SIZE   64u
#define BAR2_SIZE   4096u
#define ROM_SIZE    (256u * 1024u)

#define MSIX_VECTORS	32u
#define MSIX_PBA_OFFSET 0x800u
#define MSIX_CAP	0x40u

/* No vendor has the first; clients look for no driver by the second. */
#define VENDOR_ID 0xfffd
#define DEVICE_ID 0x7064

/* What outlives the process, as a real device does; ids are the keeper's. */
struct null_irq_state {
	uint64_t trigger;
	uint64_t unmask;
	uint8_t masked;
	uint8_t pending;
	uint8_t reserved[6];
};

struct null_state {
	uint8_t config[CONFIG_SIZE];
	uint8_t writable[CONFIG_SIZE]; /* bits that a client may change */
	uint8_t bar1[BAR1_SIZE];
	uint8_t bar2[BAR2_SIZE];
	struct null_irq_state intx;
	struct null_irq_state msix[MSIX_VECTORS];
	struct null_irq_state err;
	struct null_irq_state req;
};

struct null_irq {
	struct null_irq_state *s;
	int trigger_fd; /* -EBADF: off */
	int unmask_fd;	/* INTx: readable means, unmask */
};

struct null_device {
	struct device dev;
	struct keeper *keeper; /* may be NULL */
	struct null_state *s;  /* in the memfd */
	int state_fd;
	int bar0_fd;
	uint8_t *bar0;
	struct null_irq intx;
	struct null_irq msix[MSIX_VECTORS];
	struct null_irq err;
	struct null_irq req;
};

static struct null_device *null_device(struct device *dev)
{
	return container_of(dev, struct null_device, dev);
}

/* One eventfd takes the place of another, or of none; -EBADF: none. */
static void replace_fd(const struct null_device *null, int *fd, uint64_t *id,
		       int new_fd)
{
	uint64_t old = *id;

	durable_store(id, keeper_put(null->keeper, KEEPER_EVENT, new_fd));
	close_fd(*fd);
	*fd = new_fd;
	keeper_drop(null->keeper, old);
}

static void irq_clear(const struct null_device *null, struct null_irq *irq)
{
	replace_fd(null, &irq->trigger_fd, &irq->s->trigger, -EBADF);
	replace_fd(null, &irq->unmask_fd, &irq->s->unmask, -EBADF);
	irq->s->masked = false;
	irq->s->pending = false;
}

/* The vectors of one kind, dev.irqs[index].count of them. */
static struct null_irq *irqs_of(struct null_device *null, uint32_t index)
{
	switch (index) {
	case VFIO_PCI_INTX_IRQ_INDEX:
		return &null->intx;
	case VFIO_PCI_MSIX_IRQ_INDEX:
		return null->msix;
	case VFIO_PCI_ERR_IRQ_INDEX:
		return &null->err;
	case VFIO_PCI_REQ_IRQ_INDEX:
		return &null->req;
	default:
		return NULL;
	}
}

/* Has the eventfds of the process before. 0 or -EBADF. */
static int irq_init(const struct null_device *null, struct null_irq *irq,
		    struct null_irq_state *s)
{
	*irq = (struct null_irq){
		.s = s,
		.trigger_fd = keeper_claim(null->keeper, s->trigger),
		.unmask_fd = keeper_claim(null->keeper, s->unmask),
	};
	if ((s->trigger && irq->trigger_fd < 0) ||
	    (s->unmask && irq->unmask_fd < 0))
		return -EBADF;
	return 0;
}

static int init_eventfds(struct null_device *null)
{
	struct null_state *s = null->s;
	int r = irq_init(null, &null->intx, &s->intx);

	for (size_t i = 0; r == 0 && i < MSIX_VECTORS; i++)
		r = irq_init(null, &null->msix[i], &s->msix[i]);
	if (r == 0)
		r = irq_init(null, &null->err, &s->err);
	if (r == 0)
		r = irq_init(null, &null->req, &s->req);
	return r;
}

static void irq_close(struct null_irq *irq)
{
	if (!irq->s) /* it was not made yet */
		return;
	close_fd(irq->trigger_fd);
	close_fd(irq->unmask_fd);
}

static void null_free(struct device *dev)
{
	struct null_device *null = null_device(dev);

	irq_close(&null->intx);
	for (size_t i = 0; i < MSIX_VECTORS; i++)
		irq_close(&null->msix[i]);
	irq_close(&null->err);
	irq_close(&null->req);
	if (null->bar0)
		(void)munmap(null->bar0, BAR0_SIZE);
	if (null->s)
		(void)munmap(null->s, sizeof(*null->s));
	close_fd(null->bar0_fd);
	close_fd(null->state_fd);
	device_done(dev);
	free(null);
}

static int null_mmap_fd(const struct device *dev, uint32_t index)
{
	(void)index;
	return container_of(dev, const struct null_device, dev)->bar0_fd;
}

static void signal_irq(struct null_irq *irq, bool level)
{
	uint64_t count;

	if (irq->trigger_fd < 0)
		return;
	if (irq->unmask_fd >= 0 && eventfd_read(irq->unmask_fd, &count) == 0)
		irq->s->masked = false;
	if (irq->s->masked) {
		irq->s->pending = true;
		return;
	}
	irq->s->pending = false;
	irq->s->masked = level;
	(void)eventfd_write(irq->trigger_fd, 1);
}

static void fire(struct null_device *null, uint32_t value)
{
	uint32_t index = value >> 16, vector = value & 0xffff;

	if (index < null->dev.info.num_irqs &&
	    vector < null->dev.irqs[index].count)
		signal_irq(&irqs_of(null, index)[vector],
			   index == VFIO_PCI_INTX_IRQ_INDEX);
}

static uint8_t *storage(struct null_device *null, uint32_t index)
{
	switch (index) {
	case VFIO_PCI_BAR0_REGION_INDEX:
		return null->bar0;
	case VFIO_PCI_BAR1_REGION_INDEX:
		return null->s->bar1;
	case VFIO_PCI_BAR2_REGION_INDEX:
		return null->s->bar2;
	case VFIO_PCI_CONFIG_REGION_INDEX:
		return null->s->config;
	default:
		return NULL;
	}
}

static ssize_t read_rom(uint8_t *buf, size_t count, uint64_t offset)
{
	for (size_t i = 0; i < count; i++) {
		uint64_t at = offset + i;

		buf[i] = (uint8_t)((at & ~UINT64_C(3)) >> (at % 4 * 8));
	}
	return (ssize_t)count;
}

static ssize_t null_read(struct device *dev, uint32_t index, void *buf,
			 size_t count, uint64_t offset)
{
	const uint8_t *from = storage(null_device(dev), index);

	if (index == VFIO_PCI_ROM_REGION_INDEX)
		return read_rom(buf, count, offset);
	if (!from)
		return -EINVAL;
	memcpy(buf, from + offset, count);
	return (ssize_t)count;
}

static ssize_t null_write(struct device *dev, uint32_t index, const void *buf,
			  size_t count, uint64_t offset)
{
	struct null_device *null = null_device(dev);
	uint8_t *to = storage(null, index);
	uint32_t value;

	if (!to)
		return -EINVAL;
	if (index == VFIO_PCI_CONFIG_REGION_INDEX) {
		for (size_t i = 0; i < count; i++) {
			uint8_t mask = null->s->writable[offset + i];

			to[offset + i] = (to[offset + i] & ~mask) |
					 (((const uint8_t *)buf)[i] & mask);
		}
		return (ssize_t)count;
	}
	memcpy(to + offset, buf, count);
	if (index == VFIO_PCI_BAR1_REGION_INDEX && offset == 0 &&
	    count == sizeof(value)) {
		memcpy(&value, buf, sizeof(value));
		fire(null, le32toh(value));
	}
	return (ssize_t)count;
}

/* The kernel refuses whatever is no eventfd; so does this one. */
static int dup_eventfd(int fd, int *ret)
{
	static const char expected[] = "anon_inode:[eventfd]";
	char path[64], target[64];
	ssize_t n;

	*ret = -EBADF;
	if (fd < 0)
		return 0;
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, target, sizeof(target));
	if (n != (ssize_t)strlen(expected) || memcmp(target, expected, n) != 0)
		return -EINVAL;
	fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (fd < 0)
		return -errno;
	/* A counter that is full must not hold us up. */
	(void)fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	*ret = fd;
	return 0;
}

static int set_eventfd(const struct null_device *null, struct null_irq *irq,
		       uint32_t action, int fd)
{
	bool trigger = action & VFIO_IRQ_SET_ACTION_TRIGGER;
	int dup, r;

	if (action & VFIO_IRQ_SET_ACTION_MASK)
		return -ENOTTY;
	r = dup_eventfd(fd, &dup);
	if (r < 0)
		return r;
	replace_fd(null, trigger ? &irq->trigger_fd : &irq->unmask_fd,
		   trigger ? &irq->s->trigger : &irq->s->unmask, dup);
	return 0;
}

static void act(struct null_irq *irq, uint32_t action, bool level)
{
	if (action & VFIO_IRQ_SET_ACTION_TRIGGER) {
		signal_irq(irq, level);
	} else if (action & VFIO_IRQ_SET_ACTION_MASK) {
		irq->s->masked = true;
	} else {
		irq->s->masked = false;
		if (irq->s->pending)
			signal_irq(irq, level);
	}
}

static int set_one(const struct null_device *null, struct null_irq *irq,
		   const struct vfio_irq_set *set, uint32_t i)
{
	bool level = set->index == VFIO_PCI_INTX_IRQ_INDEX;
	int32_t fd;

	/* As in vfio-pci, only INTx can be masked. */
	if (!level && !(set->flags & VFIO_IRQ_SET_ACTION_TRIGGER))
		return -ENOTTY;
	if (set->flags & VFIO_IRQ_SET_DATA_EVENTFD) {
		memcpy(&fd, set->data + i * sizeof(fd), sizeof(fd));
		return set_eventfd(null, irq, set->flags, fd);
	}
	if (!(set->flags & VFIO_IRQ_SET_DATA_BOOL) || set->data[i])
		act(irq, set->flags, level);
	return 0;
}

static int null_set_irqs(struct device *dev, const struct vfio_irq_set *set)
{
	struct null_device *null = null_device(dev);
	struct null_irq *irqs = irqs_of(null, set->index);

	if (set->count == 0)
		for (uint32_t i = 0; i < dev->irqs[set->index].count; i++)
			irq_clear(null, &irqs[i]);
	for (uint32_t i = 0; i < set->count; i++) {
		int r = set_one(null, &irqs[set->start + i], set, i);

		if (r < 0)
			return r;
	}
	return 0;
}

static void put16(struct null_device *null, unsigned int at, uint16_t value,
		  uint16_t writable)
{
	value = htole16(value);
	writable = htole16(writable);
	memcpy(null->s->config + at, &value, sizeof(value));
	memcpy(null->s->writable + at, &writable, sizeof(writable));
}

static void put32(struct null_device *null, unsigned int at, uint32_t value,
		  uint32_t writable)
{
	put16(null, at, (uint16_t)value, (uint16_t)writable);
	put16(null, at + 2, (uint16_t)(value >> 16),
	      (uint16_t)(writable >> 16));
}

static void init_config(struct null_device *null)
{
	memset(null->s->config, 0, sizeof(null->s->config));
	put16(null, PCI_VENDOR_ID, VENDOR_ID, 0);
	put16(null, PCI_DEVICE_ID, DEVICE_ID, 0);
	put16(null, PCI_COMMAND, 0,
	      PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER |
		      PCI_COMMAND_INTX_DISABLE);
	put16(null, PCI_STATUS, PCI_STATUS_CAP_LIST, 0);
	put32(null, PCI_CLASS_REVISION, 0xff000000, 0);
	put32(null, PCI_BASE_ADDRESS_0, PCI_BASE_ADDRESS_SPACE_MEMORY,
	      ~(BAR0_SIZE - 1));
	put32(null, PCI_BASE_ADDRESS_1, PCI_BASE_ADDRESS_SPACE_IO,
	      ~(BAR1_SIZE - 1));
	put32(null, PCI_BASE_ADDRESS_2, PCI_BASE_ADDRESS_SPACE_MEMORY,
	      ~(BAR2_SIZE - 1));
	put16(null, PCI_SUBSYSTEM_VENDOR_ID, VENDOR_ID, 0);
	put16(null, PCI_SUBSYSTEM_ID, DEVICE_ID, 0);
	put32(null, PCI_ROM_ADDRESS, 0,
	      ~(ROM_SIZE - 1) | PCI_ROM_ADDRESS_ENABLE);
	put16(null, PCI_CAPABILITY_LIST, MSIX_CAP, 0);
	put16(null, PCI_INTERRUPT_LINE, 1 << 8, 0xff);

	put16(null, MSIX_CAP, PCI_CAP_ID_MSIX, 0);
	put16(null, MSIX_CAP + PCI_MSIX_FLAGS, MSIX_VECTORS - 1,
	      PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
	put32(null, MSIX_CAP + PCI_MSIX_TABLE, VFIO_PCI_BAR2_REGION_INDEX, 0);
	put32(null, MSIX_CAP + PCI_MSIX_PBA,
	      MSIX_PBA_OFFSET | VFIO_PCI_BAR2_REGION_INDEX, 0);
}

static int null_reset(struct device *dev)
{
	struct null_device *null = null_device(dev);

	init_config(null);
	memset(null->bar0, 0, BAR0_SIZE);
	memset(null->s->bar1, 0, BAR1_SIZE);
	memset(null->s->bar2, 0, BAR2_SIZE);
	return 0;
}

static const struct device_ops null_ops = {
	.free = null_free,
	.mmap_fd = null_mmap_fd,
	.read = null_read,
	.write = null_write,
	.set_irqs = null_set_irqs,
	.reset = null_reset,
};

static int init_regions(struct device *dev)
{
	const uint32_t rw = VFIO_REGION_INFO_FLAG_READ |
			    VFIO_REGION_INFO_FLAG_WRITE;
	const struct {
		uint32_t flags;
		uint32_t size;
	} regions[VFIO_PCI_NUM_REGIONS] = {
		[VFIO_PCI_BAR0_REGION_INDEX] = { rw | VFIO_REGION_INFO_FLAG_MMAP,
						 BAR0_SIZE },
		[VFIO_PCI_BAR1_REGION_INDEX] = { rw, BAR1_SIZE },
		[VFIO_PCI_BAR2_REGION_INDEX] = { rw, BAR2_SIZE },
		[VFIO_PCI_ROM_REGION_INDEX] = { VFIO_REGION_INFO_FLAG_READ,
						ROM_SIZE },
		[VFIO_PCI_CONFIG_REGION_INDEX] = { rw, CONFIG_SIZE },
	};

	for (uint32_t i = 0; i < VFIO_PCI_NUM_REGIONS; i++) {
		struct vfio_region_info *info = calloc(1, sizeof(*info));

		if (!info)
			return -ENOMEM;
		info->argsz = sizeof(*info);
		info->index = i;
		info->flags = regions[i].flags;
		info->size = regions[i].size;
		dev->regions[i] = info;
	}
	return 0;
}

static void init_irqs(struct device *dev)
{
	for (uint32_t i = 0; i < VFIO_PCI_NUM_IRQS; i++)
		dev->irqs[i] = (struct vfio_irq_info){
			.argsz = sizeof(struct vfio_irq_info),
			.flags = VFIO_IRQ_INFO_EVENTFD,
			.index = i,
		};
	dev->irqs[VFIO_PCI_INTX_IRQ_INDEX].count = 1;
	dev->irqs[VFIO_PCI_INTX_IRQ_INDEX].flags |= VFIO_IRQ_INFO_MASKABLE |
						    VFIO_IRQ_INFO_AUTOMASKED;
	dev->irqs[VFIO_PCI_MSIX_IRQ_INDEX].count = MSIX_VECTORS;
	dev->irqs[VFIO_PCI_ERR_IRQ_INDEX].count = 1;
	dev->irqs[VFIO_PCI_REQ_IRQ_INDEX].count = 1;
}

/* A memfd of @size, whose size stays what it is: or we could die of SIGBUS. */
static int make_memfd(const char *name, size_t size, int *ret)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

	*ret = fd;
	if (fd < 0 || ftruncate(fd, (off_t)size) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) <
		    0)
		return -errno;
	return 0;
}

static int map_memfd(int fd, size_t size, void *ret)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (p == MAP_FAILED)
		return -errno;
	memcpy(ret, &p, sizeof(p));
	return 0;
}

/* Both memfds, new ones or those of the process before, and what is in them. */
static int init_memory(struct null_device *null, struct null_device_kept *kept)
{
	bool resumed = kept && kept->state != 0;
	int r = 0;

	if (resumed) {
		null->bar0_fd = keeper_claim(null->keeper, kept->bar0);
		null->state_fd = keeper_claim(null->keeper, kept->state);
		if (null->bar0_fd < 0 || null->state_fd < 0)
			return -EBADF;
	} else {
		r = make_memfd("pvdma-null-bar0", BAR0_SIZE, &null->bar0_fd);
		if (r == 0)
			r = make_memfd("pvdma-null-state", sizeof(*null->s),
				       &null->state_fd);
	}
	if (r == 0)
		r = map_memfd(null->bar0_fd, BAR0_SIZE, &null->bar0);
	if (r == 0)
		r = map_memfd(null->state_fd, sizeof(*null->s), &null->s);
	if (r < 0 || resumed)
		return r;
	init_config(null);
	if (!kept)
		return 0;
	kept->bar0 = keeper_put(null->keeper, KEEPER_NULL, null->bar0_fd);
	durable_store(&kept->state,
		      keeper_put(null->keeper, KEEPER_NULL, null->state_fd));
	return 0;
}

static void cleanup_null(struct null_device **null)
{
	if (*null)
		null_free(&(*null)->dev);
}

int null_device_new(uint32_t vm_tag, uint32_t endpoint, struct keeper *keeper,
		    struct null_device_kept *kept, struct device **ret)
{
	_cleanup_(cleanup_null) struct null_device *null =
		calloc(1, sizeof(*null));
	int r;

	if (!null)
		return -ENOMEM;
	null->dev.ops = &null_ops;
	null->keeper = keeper;
	null->bar0_fd = -EBADF;
	null->state_fd = -EBADF;
	null->dev.info = (struct vfio_device_info){
		.argsz = sizeof(null->dev.info),
		.flags = VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_RESET,
		.num_regions = VFIO_PCI_NUM_REGIONS,
		.num_irqs = VFIO_PCI_NUM_IRQS,
	};
	null->dev.name = strdup("null");
	if (!null->dev.name)
		return -ENOMEM;
	r = init_regions(&null->dev);
	if (r == 0)
		r = init_memory(null, kept);
	if (r == 0)
		r = init_eventfds(null);
	if (r < 0)
		return r;
	init_irqs(&null->dev);
	r = device_add_capability(&null->dev, vm_tag, endpoint);
	if (r < 0)
		return r;
	*ret = &steal_ptr(null)->dev;
	return 0;
}
