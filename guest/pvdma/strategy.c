// SPDX-License-Identifier: GPL-2.0-only
/*
 * strategy.c - which strategy an endpoint is attached with
 *
 * Owns: the list that parameter strategy= was parsed into; read-only after the
 * module's start. What a strategy does is the business of others: strict.c for
 * those under which unmapping means something to the host, the host for the
 * rest.
 */
#include <linux/moduleparam.h>
#include <linux/pci.h>
#include <linux/slab.h>

#include "discover.h"
#include "strategy.h"
#include "virtio_pvdma.h"

#define PVDMA_STRATEGY_MAX 64

static char *strategy;
module_param(strategy, charp, 0444);
MODULE_PARM_DESC(
	strategy,
	"stricter than the host's: shared, or of one device 0000:00:04.0/single-use; with commas between several");

static const char *const pvdma_strategy_names[VIRTIO_PVDMA_STRATEGIES] = {
	VIRTIO_PVDMA_STRATEGY_NAMES,
};

static struct {
	bool any; /* of all devices */
	int domain;
	u8 bus;
	u8 devfn;
	u8 strategy;
} pvdma_wishes[PVDMA_STRATEGY_MAX];
static unsigned int pvdma_nr_wishes;

const char *pvdma_strategy_name(u8 strategy)
{
	if (strategy >= ARRAY_SIZE(pvdma_strategy_names))
		return "unknown";
	return pvdma_strategy_names[strategy];
}

static bool pvdma_strategy_entry(const char *s)
{
	unsigned int i = pvdma_nr_wishes;
	const char *name = s;
	int n;

	if (i >= ARRAY_SIZE(pvdma_wishes))
		return false;
	pvdma_wishes[i].any = !pvdma_discover_address(
		s, &pvdma_wishes[i].domain, &pvdma_wishes[i].bus,
		&pvdma_wishes[i].devfn, &name);
	if (!pvdma_wishes[i].any && *name++ != '/')
		return false;
	n = match_string(pvdma_strategy_names, ARRAY_SIZE(pvdma_strategy_names),
			 name);
	if (n < 0)
		return false;
	pvdma_wishes[i].strategy = n;
	pvdma_nr_wishes++;
	return true;
}

int pvdma_strategy_init(void)
{
	char *copy, *next, *entry;
	int err = 0;

	if (!strategy || !*strategy)
		return 0;
	copy = kstrdup(strategy, GFP_KERNEL);
	if (!copy)
		return -ENOMEM;
	next = copy;
	while (!err && (entry = strsep(&next, ","))) {
		if (pvdma_strategy_entry(strim(entry)))
			continue;
		pr_err("pvdma: parameter strategy: \"%s\" is not a strategy (as shared), nor ADDRESS/STRATEGY, or is one too many\n",
		       entry);
		err = -EINVAL;
	}
	kfree(copy);
	return err;
}

/* The last entry that names @pdev (@own), or that names none. */
static u8 pvdma_strategy_wish(struct pci_dev *pdev, bool own, u8 wish)
{
	unsigned int i;

	for (i = 0; i < pvdma_nr_wishes; i++) {
		if (pvdma_wishes[i].any == own)
			continue;
		if (!own ||
		    (pvdma_wishes[i].domain == pci_domain_nr(pdev->bus) &&
		     pvdma_wishes[i].bus == pdev->bus->number &&
		     pvdma_wishes[i].devfn == pdev->devfn))
			wish = pvdma_wishes[i].strategy;
	}
	return wish;
}

u8 pvdma_strategy_choose(struct pci_dev *pdev, u8 host)
{
	u8 wish = pvdma_strategy_wish(pdev, false, host);

	wish = pvdma_strategy_wish(pdev, true, wish);
	if (wish <= host)
		return wish;
	pci_warn(pdev,
		 "pvdma: strategy %s is laxer than the host's: it is %s\n",
		 pvdma_strategy_name(wish), pvdma_strategy_name(host));
	return host;
}
