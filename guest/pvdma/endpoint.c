// SPDX-License-Identifier: GPL-2.0-only
/*
 * endpoint.c - which devices map through us, and from when to when
 *
 * Owns: the list of endpoints, the dma_map_ops of their devices, and what the
 * host knows of them (ATTACH and DETACH).
 *
 * Theory of operation: a device becomes ours only while no driver is bound to
 * it, for a mapping made one way cannot be unmapped another way: when it is
 * added, when the pvdma device is probed, or at the latest when a driver is
 * about to be bound (BIND_DRIVER comes after the bus has set DMA up and before
 * the driver's probe). The ops stay across drivers and go with the device or
 * with us. At each binding we look again whether the device may be ours, tell
 * the host (ATTACH), and take a reference on the module; when the driver is
 * gone, and its device-managed memory too, DETACH. A device whose driver has
 * left mappings behind stays attached, and so does the module.
 *
 * A managed device link makes the pvdma device the supplier of each endpoint:
 * unbinding it unbinds their drivers first, suspend and shutdown follow the
 * same order.
 *
 * Invariants: dev->dma_ops points into an endpoint exactly while that endpoint
 * is in the list. It changes under the device's lock with no driver bound.
 *
 * Locks: notifiers run under the device's lock (except ADD and REMOVED, when
 * nobody else knows the device); pvdma_lock for the list and the flags.
 */
#include <linux/cc_platform.h>
#include <linux/device.h>
#include <linux/module.h>

#include "compat/dma.h"
#include "discover.h"
#include "pvdma.h"
#include "trace.h"

/* The list of endpoints, their flags, and which device is the current one */
DEFINE_MUTEX(pvdma_lock);
struct pvdma *pvdma_current;

static struct workqueue_struct *pvdma_endpoint_wq;

static void pvdma_endpoint_unbound_later(struct work_struct *work);

static struct pvdma_endpoint *pvdma_endpoint_find(struct device *dev)
{
	struct pvdma_endpoint *ep;

	if (!pvdma_current)
		return NULL;
	list_for_each_entry(ep, &pvdma_current->endpoints, node)
		if (&ep->pdev->dev == dev)
			return ep;
	return NULL;
}

/* Sums the counters; exact only while the endpoint is idle. */
void pvdma_endpoint_sum(struct pvdma_endpoint *ep, struct pvdma_counters *sum)
{
	u64 *to = (u64 *)sum, *from;
	unsigned int i;
	int cpu;

	memset(sum, 0, sizeof(*sum));
	for_each_possible_cpu(cpu) {
		from = (u64 *)per_cpu_ptr(ep->counters, cpu);
		for (i = 0; i < PVDMA_NR_COUNTERS; i++)
			to[i] += READ_ONCE(from[i]);
	}
}

/* Mappings and allocations that were not given back. */
u64 pvdma_endpoint_live(struct pvdma_endpoint *ep)
{
	struct pvdma_counters sum;

	pvdma_endpoint_sum(ep, &sum);
	return sum.maps - sum.unmaps + sum.sg_maps - sum.sg_unmaps +
	       sum.allocs - sum.frees;
}

static struct pvdma_endpoint *
pvdma_endpoint_new(struct pvdma *pv, struct pci_dev *pdev, u32 number)
{
	struct pvdma_endpoint *ep = kzalloc(sizeof(*ep), GFP_KERNEL);
	int cpu;

	if (!ep)
		return NULL;
	ep->ops = pvdma_dma_ops;
	ep->strategy = READ_ONCE(pv->conf.strategy);
	ep->pv = pv;
	ep->number = number;
	ep->counters = alloc_percpu(struct pvdma_counters);
	ep->copying = alloc_percpu(struct pvdma_copying);
	if (!ep->counters || !ep->copying || pvdma_strict_init(ep)) {
		free_percpu(ep->copying);
		free_percpu(ep->counters);
		kfree(ep);
		return NULL;
	}
	for_each_possible_cpu(cpu)
		pvdma_throttle_init(&per_cpu_ptr(ep->copying, cpu)->throttle);
	ep->pdev = pci_dev_get(pdev);
	kref_init(&ep->ref);
	INIT_WORK(&ep->unbound_work, pvdma_endpoint_unbound_later);
	return ep;
}

static void pvdma_endpoint_free(struct kref *ref)
{
	struct pvdma_endpoint *ep =
		container_of(ref, struct pvdma_endpoint, ref);

	pci_dev_put(ep->pdev);
	pvdma_strict_done(ep);
	free_percpu(ep->copying);
	free_percpu(ep->counters);
	kfree(ep);
}

/* May we map for this device? Says why not. */
static bool pvdma_endpoint_allowed(struct pci_dev *pdev)
{
	if (pvdma_compat_dma_iommu(&pdev->dev)) {
		pci_err(pdev,
			"pvdma: a virtual IOMMU translates for this device: not taken over\n");
		return false;
	}
	return true;
}

/*
 * Makes @pdev ours; no driver is bound, or one is about to be. pvdma_lock and,
 * but for ADD_DEVICE, the device's lock are held. NULL after a message.
 */
static struct pvdma_endpoint *
pvdma_endpoint_install(struct pvdma *pv, struct pci_dev *pdev, u32 number)
{
	struct device *dev = &pdev->dev;
	struct pvdma_endpoint *ep;

	if (!pvdma_endpoint_allowed(pdev))
		return NULL;
	if (dev->dma_ops) {
		pci_err(pdev,
			"pvdma: the device has DMA operations of its own: not taken over\n");
		return NULL;
	}
	ep = pvdma_endpoint_new(pv, pdev, number);
	if (!ep)
		goto nomem;
	if (!device_link_add(dev, &pv->vdev->dev,
			     DL_FLAG_AUTOREMOVE_SUPPLIER)) {
		kref_put(&ep->ref, pvdma_endpoint_free);
		goto nomem;
	}
	list_add_tail(&ep->node, &pv->endpoints);
	set_dma_ops(dev, &ep->ops);
	pvdma_compat_need_sync(dev);
	pvdma_debugfs_add_endpoint(ep);
	pci_info(pdev, "pvdma: endpoint %u\n", number);
	return ep;

nomem:
	pci_err(pdev, "pvdma: out of memory: not taken over\n");
	return NULL;
}

/* The end of an endpoint that the host does not know. Under pvdma_lock. */
void pvdma_endpoint_release(struct pvdma_endpoint *ep)
{
	struct pvdma_counters sum;
	u64 *to = (u64 *)&ep->pv->retired, *from = (u64 *)&sum;
	unsigned int i;

	/* a virtual IOMMU may have put its own there */
	if (ep->pdev->dev.dma_ops == &ep->ops)
		set_dma_ops(&ep->pdev->dev, NULL);
	list_del(&ep->node);
	pvdma_endpoint_sum(ep, &sum);
	for (i = 0; i < PVDMA_NR_COUNTERS; i++)
		to[i] += from[i];
	kref_put(&ep->ref, pvdma_endpoint_free);
}

/* Gives the device back to the kernel's own mapping; locks as for install. */
static void pvdma_endpoint_drop(struct pvdma_endpoint *ep)
{
	pvdma_strict_settle(ep);
	pvdma_debugfs_remove_endpoint(ep);
	pvdma_endpoint_release(ep);
}

/*
 * Makes sure that the device does no DMA any more: it is cut off from the
 * bus, and what it had sent has arrived (DRV-DETACH-1). True if it was not.
 */
static bool pvdma_endpoint_silence(struct pvdma_endpoint *ep)
{
	struct pci_dev *pdev = ep->pdev;
	u16 command;

	/* all ones: it is not there any longer */
	if (pci_read_config_word(pdev, PCI_COMMAND, &command) ||
	    command == (u16)~0 || !(command & PCI_COMMAND_MASTER))
		return false;
	pci_clear_master(pdev);
	if (!pci_wait_for_pending_transaction(pdev))
		pci_warn(pdev, "pvdma: transactions are still pending\n");
	return true;
}

static int pvdma_endpoint_attach(struct pvdma_endpoint *ep)
{
	/* the driver has yet to say its mask; bounce.c keeps to it */
	int err =
		pvdma_session_attach(ep->pv, ep->number, U64_MAX, ep->strategy);

	trace_pvdma_attach(&ep->pdev->dev, ep->number, err);
	ep->attached = !err;
	ep->unanswered = err == -EIO;
	/* the host ends mappings for the sake of one that is strict */
	if (ep->strict)
		pvdma_pressure_reset(&ep->pv->pressure);
	return err;
}

/* For a driver that has mapped nothing yet: the strategy is chosen now. */
static int pvdma_endpoint_attach_new(struct pvdma_endpoint *ep)
{
	u8 strategy = pvdma_strategy_choose(ep->pdev,
					    READ_ONCE(ep->pv->conf.strategy));
	int err = pvdma_strict_choose(ep, strategy);

	if (!err)
		err = pvdma_endpoint_attach(ep);
	if (!err)
		pvdma_reserve_open(ep->pv);
	return err;
}

static void pvdma_endpoint_detach(struct pvdma_endpoint *ep)
{
	int err;

	if (!ep->attached && !ep->unanswered)
		return;
	pvdma_strict_settle(ep);
	/* while what was mapped by its requests can still be unmapped */
	ep->attached = false;
	ep->unanswered = false;
	pvdma_reserve_close(ep->pv);
	err = pvdma_session_detach(ep->pv, ep->number);
	trace_pvdma_detach(&ep->pdev->dev, ep->number, err);
}

/*
 * The device goes, or is not to be ours any more. With @keep what it has mapped
 * is looked after until it ends.
 */
static void pvdma_endpoint_removed(struct pvdma_endpoint *ep, bool keep)
{
	if (ep->bound) {
		/* leaked mappings, and no device left that could use them */
		ep->bound = false;
		module_put(THIS_MODULE);
	}
	pvdma_endpoint_detach(ep);
	if (!keep || !pvdma_gone_keep(ep))
		pvdma_endpoint_drop(ep);
}

/* BIND_DRIVER: the driver's probe is next. */
static void pvdma_endpoint_bind(struct pvdma_endpoint *ep)
{
	struct device *dev = &ep->pdev->dev;

	if (!pvdma_endpoint_allowed(ep->pdev)) {
		pvdma_endpoint_removed(ep, false);
		return;
	}
	/* bound still: a failed probe whose end is to be noted, or a leak */
	if (!ep->bound) {
		if (!try_module_get(THIS_MODULE)) {
			pci_err(ep->pdev,
				"pvdma: the module is going: the device can reach nothing\n");
			pvdma_endpoint_drop(ep);
			return;
		}
		ep->bound = true;
	}
	/* its driver's masks may be others than the last one's */
	WRITE_ONCE(ep->reach, 0);
	set_dma_ops(dev, &ep->ops);
	pvdma_compat_need_sync(dev);
	if (!ep->attached && pvdma_endpoint_attach_new(ep))
		pci_err(ep->pdev,
			"pvdma: the host does not attach the device: its DMA mappings will fail\n");
}

/* No driver is bound, and what it had from the device core is gone. */
static void pvdma_endpoint_unbound(struct pvdma_endpoint *ep)
{
	u64 live = pvdma_endpoint_live(ep);

	if (!ep->bound)
		return;
	if (live) {
		pci_warn(
			ep->pdev,
			"pvdma: its driver left %llu DMA mappings behind: the device stays attached\n",
			live);
		return;
	}
	pvdma_endpoint_silence(ep);
	pvdma_endpoint_detach(ep);
	ep->bound = false;
	module_put(THIS_MODULE);
}

/*
 * After a failed probe the notifier comes before the release of managed
 * memory. Once we get the device's lock that is over, unless another driver
 * has come in the meantime.
 */
static void pvdma_endpoint_unbound_later(struct work_struct *work)
{
	struct pvdma_endpoint *ep =
		container_of(work, struct pvdma_endpoint, unbound_work);
	struct device *dev = &ep->pdev->dev;

	device_lock(dev);
	mutex_lock(&pvdma_lock);
	if (pvdma_endpoint_find(dev) == ep && !dev->driver)
		pvdma_endpoint_unbound(ep);
	mutex_unlock(&pvdma_lock);
	device_unlock(dev);
	kref_put(&ep->ref, pvdma_endpoint_free);
}

static int pvdma_endpoint_event(struct notifier_block *nb, unsigned long event,
				void *data)
{
	struct device *dev = data;
	struct pci_dev *pdev = to_pci_dev(dev);
	struct pvdma_endpoint *ep;
	u32 number;

	mutex_lock(&pvdma_lock);
	ep = pvdma_endpoint_find(dev);
	switch (event) {
	case BUS_NOTIFY_ADD_DEVICE:
	case BUS_NOTIFY_BIND_DRIVER:
		if (!ep && pvdma_current && pvdma_current->open &&
		    pvdma_discover_match(pdev, pvdma_current->conf.vm_tag,
					 &number))
			ep = pvdma_endpoint_install(pvdma_current, pdev,
						    number);
		if (ep && event == BUS_NOTIFY_BIND_DRIVER)
			pvdma_endpoint_bind(ep);
		break;
	case BUS_NOTIFY_DRIVER_NOT_BOUND:
		if (!ep || !ep->bound)
			break;
		kref_get(&ep->ref);
		if (!queue_work(pvdma_endpoint_wq, &ep->unbound_work))
			kref_put(&ep->ref, pvdma_endpoint_free);
		break;
	case BUS_NOTIFY_UNBOUND_DRIVER:
		if (ep)
			pvdma_endpoint_unbound(ep);
		break;
	case BUS_NOTIFY_REMOVED_DEVICE:
		if (ep)
			pvdma_endpoint_removed(ep, true);
		break;
	}
	mutex_unlock(&pvdma_lock);
	return NOTIFY_OK;
}

static struct notifier_block pvdma_endpoint_nb = {
	.notifier_call = pvdma_endpoint_event,
};

/*
 * Is it still on its bus? If so, its REMOVED notifier is yet to come. Asked
 * under pvdma_lock, which that notifier takes.
 */
static bool pvdma_endpoint_present(struct pci_dev *pdev)
{
	struct pci_dev *found;

	found = pci_get_domain_bus_and_slot(pci_domain_nr(pdev->bus),
					    pdev->bus->number, pdev->devfn);
	pci_dev_put(found);
	return found == pdev;
}

/*
 * Looks at all PCI devices; news may have brought some that are ours. Takes
 * device locks: not for notifiers.
 */
void pvdma_endpoint_scan(struct pvdma *pv)
{
	struct pci_dev *pdev = NULL;
	struct device *dev;
	u32 number;

	for_each_pci_dev(pdev) {
		dev = &pdev->dev;
		/* our own transport: its lock may be ours already */
		if (dev == pv->vdev->dev.parent ||
		    !pvdma_discover_match(pdev, pv->conf.vm_tag, &number))
			continue;
		device_lock(dev);
		mutex_lock(&pvdma_lock);
		if (pv->open && !pvdma_endpoint_find(dev) &&
		    pvdma_endpoint_present(pdev)) {
			if (dev->driver)
				pr_warn("pvdma: %s (%s) is in use: unbind and bind its driver, or load pvdma earlier\n",
					pci_name(pdev), dev->driver->name);
			else
				pvdma_endpoint_install(pv, pdev, number);
		}
		mutex_unlock(&pvdma_lock);
		device_unlock(dev);
	}
}

/*
 * The operator's word that nobody uses the device: takes its driver away and
 * binds one anew, which the notifier sees. 0, -ENODEV, -EBUSY if it is ours
 * already, or what the driver's probe returned.
 */
int pvdma_endpoint_rebind(struct pvdma *pv, const char *name)
{
	struct pci_dev *pdev = pvdma_discover_find(name);
	u32 number;
	bool ours;
	int err;

	if (!pdev)
		return -ENODEV;
	err = -ENODEV;
	if (&pdev->dev == pv->vdev->dev.parent ||
	    !pvdma_discover_match(pdev, pv->conf.vm_tag, &number))
		goto out;
	mutex_lock(&pvdma_lock);
	ours = pvdma_endpoint_find(&pdev->dev);
	mutex_unlock(&pvdma_lock);
	err = -EBUSY;
	if (ours)
		goto out;
	pci_info(pdev, "pvdma: detaching its driver, as asked for\n");
	device_release_driver(&pdev->dev);
	err = device_attach(&pdev->dev);
	if (err >= 0)
		err = err ? 0 : -ENODEV;
out:
	pci_dev_put(pdev);
	return err;
}

/*
 * After a reset of the pvdma device: ATTACH what has a driver. False if
 * nothing is attached, else *@number is one that is. What the host does not
 * attach stays cut off from the bus, and says so.
 */
bool pvdma_endpoint_reattach(struct pvdma *pv, u32 *number)
{
	struct pvdma_endpoint *ep;
	bool any = false;

	mutex_lock(&pvdma_lock);
	list_for_each_entry(ep, &pv->endpoints, node) {
		if (!ep->bound)
			continue;
		if (pvdma_endpoint_attach(ep)) {
			pci_err(ep->pdev,
				"pvdma: the host does not attach the device again\n");
			continue;
		}
		*number = ep->number;
		any = true;
	}
	mutex_unlock(&pvdma_lock);
	return any;
}

/*
 * Before a reset of the pvdma device: DETACH all (DRV-RESET-1). Not every
 * driver has stopped its device by then, so they are cut off from the bus
 * (DRV-DETACH-1) until pvdma_endpoint_release_dma().
 */
void pvdma_endpoint_quiesce(struct pvdma *pv)
{
	struct pvdma_endpoint *ep;

	mutex_lock(&pvdma_lock);
	list_for_each_entry(ep, &pv->endpoints, node) {
		if (!ep->attached && !ep->unanswered)
			continue;
		if (pvdma_endpoint_silence(ep))
			ep->silenced = true;
		pvdma_endpoint_detach(ep);
	}
	mutex_unlock(&pvdma_lock);
}

/*
 * What is held is mapped again: lets the devices back on to the bus. What room
 * is left may be for copies.
 */
void pvdma_endpoint_release_dma(struct pvdma *pv)
{
	struct pvdma_endpoint *ep;

	mutex_lock(&pvdma_lock);
	list_for_each_entry(ep, &pv->endpoints, node) {
		if (!ep->attached)
			continue;
		if (ep->silenced)
			pci_set_master(ep->pdev);
		ep->silenced = false;
	}
	pvdma_reserve_open(pv);
	mutex_unlock(&pvdma_lock);
}

/*
 * The pvdma device goes: gives all devices back. Their drivers are unbound,
 * by the device links; one that is not has nothing to map through any more.
 */
void pvdma_endpoint_drop_all(struct pvdma *pv)
{
	struct pvdma_endpoint *ep;
	struct device *dev;

	for (;;) {
		mutex_lock(&pvdma_lock);
		ep = list_first_entry_or_null(&pv->endpoints,
					      struct pvdma_endpoint, node);
		dev = ep ? get_device(&ep->pdev->dev) : NULL;
		mutex_unlock(&pvdma_lock);
		if (!ep)
			break;

		/* in this order; then see whether it has gone by itself */
		device_lock(dev);
		mutex_lock(&pvdma_lock);
		ep = pvdma_endpoint_find(dev);
		if (ep) {
			WARN(dev->driver, "pvdma: %s still has a driver\n",
			     dev_name(dev));
			pvdma_endpoint_silence(ep);
			pvdma_endpoint_removed(ep, false);
		}
		mutex_unlock(&pvdma_lock);
		device_unlock(dev);
		put_device(dev);
	}
}

int pvdma_endpoint_module_init(void)
{
	int err = pvdma_discover_init();

	if (!err)
		err = pvdma_strategy_init();
	if (err)
		return err;
	if (cc_platform_has(CC_ATTR_GUEST_MEM_ENCRYPT)) {
		pr_err("pvdma: the memory of this guest is encrypted: no device can reach it\n");
		return -EOPNOTSUPP;
	}
	err = pvdma_strict_module_init();
	if (err)
		return err;
	err = -ENOMEM;
	pvdma_endpoint_wq = alloc_workqueue("pvdma", WQ_UNBOUND, 0);
	if (!pvdma_endpoint_wq)
		goto fail_strict;
	err = bus_register_notifier(&pci_bus_type, &pvdma_endpoint_nb);
	if (!err)
		return 0;
	destroy_workqueue(pvdma_endpoint_wq);
fail_strict:
	pvdma_strict_module_exit();
	return err;
}

void pvdma_endpoint_module_exit(void)
{
	bus_unregister_notifier(&pci_bus_type, &pvdma_endpoint_nb);
	destroy_workqueue(pvdma_endpoint_wq);
	pvdma_strict_module_exit();
}
