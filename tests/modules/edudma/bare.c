// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * bare.c - DMA of a device that nobody looks after
 *
 * The engine itself, and two files that let a device use it whether or not it
 * has a driver, at addresses that nobody mapped for it:
 *
 *	cd /sys/module/edudma/parameters
 *	echo ADDRESS-OF-DEVICE ADDRESS > copy
 *		the device copies 64 bytes at that address to half a page behind
 *		them. It is the host, and the owner of the memory, who see what
 *		came of it.
 *	echo ADDRESS-OF-DEVICE ADDRESS > touch; cat touch
 *		the device writes to a page of ours that lies there or above,
 *		and then reads it: "reached" when the write changed the page,
 *		"blocked" when it did not. Whether the read got through is seen
 *		by the host alone.
 *
 * A write ends when the transfers have. The core lets one write at a time call
 * us; that is the only lock.
 *
 * This is a module, and not a program that maps the device's registers, for the
 * sake of the nested bed. QEMU's emulation of SVM can deliver an interrupt to a
 * guest a second time, at the first instruction of its handler, with interrupts
 * off. A kernel that was interrupted itself gets over that; where it was a
 * program, the second one finds the program's GS in place of the kernel's, and
 * the guest panics. A program's first access to a BAR is where it was seen.
 */
#include <linux/delay.h>
#include <linux/errno.h>
#include <linux/gfp.h>
#include <linux/io-64-nonatomic-lo-hi.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/pci.h>

#include "edudma.h"

#define WAIT_MS 30000

struct bare {
	struct pci_dev *pdev;
	void __iomem *bar;
	u64 address;
};

bool edudma_is_edu(void __iomem *bar)
{
	return (readl(bar + EDU_ID) & 0xff) == 0xed;
}

int edudma_move(void __iomem *bar, u64 from, u64 to, u32 command)
{
	unsigned int i;

	writeq(from, bar + EDU_DMA_SRC);
	writeq(to, bar + EDU_DMA_DST);
	writeq(EDUDMA_BYTES, bar + EDU_DMA_COUNT);
	writeq(command | EDU_CMD_START, bar + EDU_DMA_CMD);
	for (i = 0; i < WAIT_MS; i++) {
		if (!(readl(bar + EDU_DMA_CMD) & EDU_CMD_START))
			return 0;
		usleep_range(1000, 1500);
	}
	pr_err("edudma: the transfer does not end\n");
	return -ETIMEDOUT;
}

static void bare_done(struct bare *bare)
{
	if (bare->bar)
		iounmap(bare->bar);
	pci_dev_put(bare->pdev);
}

/* "0000:00:10.0 0x1000": lets the device decode its BAR and do DMA. */
static int bare_init(struct bare *bare, const char *words)
{
	unsigned int domain, bus, slot, function;
	long long address;
	u16 command;

	if (sscanf(words, "%x:%x:%x.%x %lli", &domain, &bus, &slot, &function,
		   &address) != 5)
		return -EINVAL;
	*bare = (struct bare){ .address = address };
	bare->pdev = pci_get_domain_bus_and_slot(domain, bus,
						 PCI_DEVFN(slot, function));
	if (!bare->pdev)
		return -ENODEV;
	pci_read_config_word(bare->pdev, PCI_COMMAND, &command);
	command |= PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
	pci_write_config_word(bare->pdev, PCI_COMMAND, command);
	bare->bar = ioremap(pci_resource_start(bare->pdev, 0),
			    pci_resource_len(bare->pdev, 0));
	if (bare->bar && edudma_is_edu(bare->bar))
		return 0;
	pr_err("edudma: this is not the device\n");
	bare_done(bare);
	return -ENODEV;
}

static int copy_set(const char *words, const struct kernel_param *param)
{
	struct bare bare;
	int err = bare_init(&bare, words);

	if (err)
		return err;
	err = edudma_move(bare.bar, bare.address, EDU_BUFFER, 0);
	if (!err)
		err = edudma_move(bare.bar, EDU_BUFFER,
				  bare.address + PAGE_SIZE / 2,
				  EDU_CMD_TO_MEMORY);
	bare_done(&bare);
	return err;
}

static const struct kernel_param_ops copy_ops = { .set = copy_set };
module_param_cb(copy, &copy_ops, NULL, 0200);
MODULE_PARM_DESC(copy, "let a device copy 64 bytes");

static const char *touched = "nothing";

static int touch_page(struct bare *bare, struct page *page)
{
	u64 at = page_to_phys(page);
	u8 *p = page_address(page);
	int err;

	if (at < bare->address) {
		pr_err("edudma: the page is at %#llx\n", at);
		return -ENOMEM;
	}
	/* The device's own buffer has never held this. */
	memset(p, 0x5a, PAGE_SIZE);
	err = edudma_move(bare->bar, EDU_BUFFER, at, EDU_CMD_TO_MEMORY);
	if (err)
		return err;
	touched = memchr_inv(p, 0x5a, EDUDMA_BYTES) ? "reached" : "blocked";
	return edudma_move(bare->bar, at, EDU_BUFFER, 0);
}

static int touch_set(const char *words, const struct kernel_param *param)
{
	struct bare bare;
	struct page *page;
	int err = bare_init(&bare, words);

	if (err)
		return err;
	touched = "nothing";
	/* A movable page is as high as there is one; it does not stay. */
	page = alloc_page(GFP_HIGHUSER_MOVABLE);
	err = page ? touch_page(&bare, page) : -ENOMEM;
	/* A transfer without end may still write to it. */
	if (page && err != -ETIMEDOUT)
		__free_page(page);
	bare_done(&bare);
	return err;
}

static int touch_get(char *buffer, const struct kernel_param *param)
{
	return sysfs_emit(buffer, "%s\n", touched);
}

static const struct kernel_param_ops touch_ops = {
	.set = touch_set,
	.get = touch_get,
};
module_param_cb(touch, &touch_ops, NULL, 0600);
MODULE_PARM_DESC(touch, "let a device write to a page, and read it");
