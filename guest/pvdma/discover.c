// SPDX-License-Identifier: GPL-2.0-only
/*
 * discover.c - which PCI devices are endpoints
 *
 * Owns: the list that parameter endpoints= was parsed into; read-only after
 * the module's start.
 *
 * The host adds a vendor-specific capability to each endpoint; what does not
 * match in every field is somebody else's (DRV-CAP-1). The parameter is for
 * hosts that cannot add one.
 */
#include <linux/moduleparam.h>
#include <linux/slab.h>

#include "discover.h"
#include "virtio_pvdma.h"

#define PVDMA_DISCOVER_MAX 64

static char *endpoints;
module_param(endpoints, charp, 0444);
MODULE_PARM_DESC(
	endpoints,
	"PCI devices without capability: 0000:00:04.0/1,0000:00:05.0/2");

static struct {
	int domain;
	u8 bus;
	u8 devfn;
	u32 number;
} pvdma_listed[PVDMA_DISCOVER_MAX];
static unsigned int pvdma_nr_listed;

bool pvdma_discover_address(const char *s, int *domain, u8 *bus, u8 *devfn,
			    const char **rest)
{
	unsigned int dom, b, slot, fn;
	int n = 0;

	if (sscanf(s, "%4x:%2x:%2x.%1x%n", &dom, &b, &slot, &fn, &n) != 4 ||
	    slot > 31 || fn > 7)
		return false;
	*domain = dom;
	*bus = b;
	*devfn = PCI_DEVFN(slot, fn);
	*rest = s + n;
	return true;
}

static bool pvdma_discover_entry(const char *s)
{
	unsigned int i = pvdma_nr_listed;
	const char *rest;

	if (i >= ARRAY_SIZE(pvdma_listed) ||
	    !pvdma_discover_address(s, &pvdma_listed[i].domain,
				    &pvdma_listed[i].bus,
				    &pvdma_listed[i].devfn, &rest) ||
	    *rest != '/' || kstrtou32(rest + 1, 10, &pvdma_listed[i].number))
		return false;
	pvdma_nr_listed++;
	return true;
}

int pvdma_discover_init(void)
{
	char *copy, *next, *entry;
	int err = 0;

	if (!endpoints || !*endpoints)
		return 0;
	copy = kstrdup(endpoints, GFP_KERNEL);
	if (!copy)
		return -ENOMEM;
	next = copy;
	while (!err && (entry = strsep(&next, ","))) {
		if (pvdma_discover_entry(strim(entry)))
			continue;
		pr_err("pvdma: parameter endpoints: \"%s\" is not ADDRESS/NUMBER (as 0000:00:04.0/1), or is one too many\n",
		       entry);
		err = -EINVAL;
	}
	kfree(copy);
	return err;
}

static bool pvdma_discover_read(struct pci_dev *pdev, int pos,
				struct virtio_pvdma_cap *cap)
{
	u32 word[sizeof(*cap) / 4];
	unsigned int i;

	BUILD_BUG_ON(sizeof(*cap) % 4);
	for (i = 0; i < ARRAY_SIZE(word); i++) {
		if (pci_read_config_dword(pdev, pos + 4 * i, &word[i]))
			return false;
		/* the bus speaks little-endian, and so does the structure */
		word[i] = (__force u32)cpu_to_le32(word[i]);
	}
	memcpy(cap, word, sizeof(*cap));
	return true;
}

static bool pvdma_discover_capability(struct pci_dev *pdev, u32 vm_tag,
				      u32 *number)
{
	struct virtio_pvdma_cap cap;
	int pos;

	for (pos = pci_find_capability(pdev, PCI_CAP_ID_VNDR); pos;
	     pos = pci_find_next_capability(pdev, pos, PCI_CAP_ID_VNDR)) {
		if (pos + sizeof(cap) > PCI_CFG_SPACE_SIZE ||
		    !pvdma_discover_read(pdev, pos, &cap))
			continue;
		if (le32_to_cpu(cap.magic) != VIRTIO_PVDMA_MAGIC ||
		    cap.version != VIRTIO_PVDMA_VERSION ||
		    cap.len != sizeof(cap))
			continue;
		if (le32_to_cpu(cap.vm_tag) != vm_tag) {
			pci_info(
				pdev,
				"pvdma: capability with tag %#x of another VM (ours is %#x): ignored\n",
				le32_to_cpu(cap.vm_tag), vm_tag);
			continue;
		}
		*number = le32_to_cpu(cap.endpoint);
		return true;
	}
	return false;
}

bool pvdma_discover_match(struct pci_dev *pdev, u32 vm_tag, u32 *number)
{
	unsigned int i;

	if (pvdma_discover_capability(pdev, vm_tag, number))
		return true;
	for (i = 0; i < pvdma_nr_listed; i++) {
		if (pvdma_listed[i].domain != pci_domain_nr(pdev->bus) ||
		    pvdma_listed[i].bus != pdev->bus->number ||
		    pvdma_listed[i].devfn != pdev->devfn)
			continue;
		*number = pvdma_listed[i].number;
		return true;
	}
	return false;
}

struct pci_dev *pvdma_discover_find(const char *name)
{
	const char *rest;
	u8 bus, devfn;
	int domain;

	if (!pvdma_discover_address(name, &domain, &bus, &devfn, &rest) ||
	    *skip_spaces(rest))
		return NULL;
	return pci_get_domain_bus_and_slot(domain, bus, devfn);
}
