// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * vfio_irq.c: gives the kernel a device's eventfds, all at once if need be.
 *
 * Where the kernel reports NORESIZE (MSI always, MSI-X on older kernels), the
 * first call decides how many vectors there are, and more can be had only by
 * giving all of them up first. But a vfio-user message carries at most as many
 * descriptors as its socket takes (VFU_FDS_MAX), so that a client sets up a
 * device of 32 vectors with several messages. So for those kinds the eventfds
 * are remembered, and when a message goes beyond what is set up, the whole set
 * is set up anew. Drivers do that before they use the device; an interrupt in
 * between is lost, as it is when the VMM itself sets a device up anew.
 *
 * Owns dups of the eventfds of such kinds. Invariant: they are what the kernel
 * was last given with success. All other kinds and kernels get what the client
 * sent, and nothing is kept.
 *
 * Locks: none. In a request's way: not at all.
 */
#include "device/vfio_irq.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "lib/cleanup.h"
#include "lib/durable.h"
#include "lib/keeper.h"
#include "lib/macros.h"

static struct vfio_irq_set_state *state_of(struct vfio_irqs *irqs,
					   uint32_t index)
{
	if (index == VFIO_PCI_MSI_IRQ_INDEX)
		return &irqs->msi;
	return index == VFIO_PCI_MSIX_IRQ_INDEX ? &irqs->msix : NULL;
}

int vfio_irqs_add(struct vfio_irqs *irqs, const struct vfio_irq_info *info)
{
	struct vfio_irq_set_state *state = state_of(irqs, info->index);

	if (!state || info->count == 0 ||
	    !(info->flags & VFIO_IRQ_INFO_NORESIZE))
		return 0;
	state->fds = malloc(info->count * sizeof(*state->fds));
	if (!state->fds)
		return -ENOMEM;
	state->count = info->count;
	for (uint32_t i = 0; i < state->count; i++)
		state->fds[i] = -EBADF;
	return 0;
}

/* Notes vectors [start, start + count) as they are now, and how many there are. */
static void note(struct vfio_irq_set_state *state, uint32_t start,
		 uint32_t count)
{
	struct vfio_irq_kept *kept = state->kept;

	if (!kept)
		return;
	for (uint32_t i = start; i < start + count && i < VFIO_IRQS_KEPT; i++) {
		uint64_t old = kept->ids[i];

		durable_store(&kept->ids[i],
			      keeper_put(state->keeper, KEEPER_EVENT,
					 state->fds[i]));
		keeper_drop(state->keeper, old);
	}
	durable_store(&kept->enabled, state->enabled);
}

/* Has what one kind had in the process before. */
static int take_up(struct vfio_irq_set_state *state, struct keeper *keeper,
		   struct vfio_irq_kept *kept)
{
	if (!state->fds)
		return 0;
	state->keeper = keeper;
	state->kept = kept;
	for (uint32_t i = 0; i < state->count && i < VFIO_IRQS_KEPT; i++) {
		state->fds[i] = keeper_claim(keeper, kept->ids[i]);
		if (state->fds[i] < 0 && kept->ids[i] != 0)
			return -EBADF;
	}
	state->enabled = min(kept->enabled, state->count);
	return 0;
}

int vfio_irqs_keep(struct vfio_irqs *irqs, struct keeper *keeper,
		   struct vfio_irqs_kept *kept)
{
	int r = take_up(&irqs->msi, keeper, &kept->msi);

	return r < 0 ? r : take_up(&irqs->msix, keeper, &kept->msix);
}

static void forget(struct vfio_irq_set_state *state)
{
	close_fds(state->fds, state->count);
	state->enabled = 0;
	note(state, 0, state->count);
}

void vfio_irqs_done(struct vfio_irqs *irqs)
{
	forget(&irqs->msi);
	forget(&irqs->msix);
	free(irqs->msi.fds);
	free(irqs->msix.fds);
	*irqs = (struct vfio_irqs){ 0 };
}

static int set_irqs(int device_fd, const struct vfio_irq_set *set)
{
	return ioctl(device_fd, VFIO_DEVICE_SET_IRQS, set) < 0 ? -errno : 0;
}

static int get_fd(const struct vfio_irq_set *set, uint32_t i)
{
	int32_t fd;

	memcpy(&fd, set->data + i * sizeof(fd), sizeof(fd));
	return fd;
}

/* Dups of the set's eventfds to @fds (set->count of them). */
static int dup_fds(const struct vfio_irq_set *set, int *fds)
{
	for (uint32_t i = 0; i < set->count; i++) {
		int fd = get_fd(set, i);

		fds[i] = fd < 0 ? -EBADF : fcntl(fd, F_DUPFD_CLOEXEC, 3);
		if (fd >= 0 && fds[i] < 0) {
			int r = -errno;

			close_fds(fds, i);
			return r;
		}
	}
	return 0;
}

static int disable(int device_fd, uint32_t index)
{
	const struct vfio_irq_set set = {
		.argsz = sizeof(set),
		.flags = VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER,
		.index = index,
	};

	return set_irqs(device_fd, &set);
}

/* Sets up vectors [0, @count) with the eventfds that are remembered. */
static int enable(int device_fd, uint32_t index, const int *fds, uint32_t count)
{
	size_t size = sizeof(struct vfio_irq_set) + count * sizeof(int32_t);
	_cleanup_free_ struct vfio_irq_set *set = calloc(1, size);

	if (!set)
		return -ENOMEM;
	set->argsz = (uint32_t)size;
	set->flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER;
	set->index = index;
	set->count = count;
	for (uint32_t i = 0; i < count; i++) {
		int32_t fd = fds[i] < 0 ? -1 : fds[i];

		memcpy(set->data + i * sizeof(fd), &fd, sizeof(fd));
	}
	return set_irqs(device_fd, set);
}

static void swap_fds(int *a, int *b, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		int fd = a[i];

		a[i] = b[i];
		b[i] = fd;
	}
}

/*
 * The set goes beyond what is set up. On failure the old vectors come back, if
 * the kernel still has as many.
 */
static int grow(struct vfio_irq_set_state *state, int device_fd,
		const struct vfio_irq_set *set, int *fds)
{
	int r;

	swap_fds(state->fds + set->start, fds, set->count);
	r = disable(device_fd, set->index);
	/* (Before a kill they may have been switched off already.) */
	if (r == 0 || r == -EINVAL)
		r = enable(device_fd, set->index, state->fds,
			   set->start + set->count);
	if (r == 0) {
		state->enabled = set->start + set->count;
		note(state, set->start, set->count);
		return 0;
	}
	swap_fds(state->fds + set->start, fds, set->count);
	if (enable(device_fd, set->index, state->fds, state->enabled) < 0)
		forget(state);
	return r;
}

static int set_eventfds(struct vfio_irq_set_state *state, int device_fd,
			const struct vfio_irq_set *set)
{
	_cleanup_free_ int *fds = malloc(set->count * sizeof(*fds));
	uint32_t end = set->start + set->count;
	int r;

	if (!fds)
		return -ENOMEM;
	r = dup_fds(set, fds);
	if (r < 0)
		return r;
	if (state->enabled > 0 && end > state->enabled) {
		r = grow(state, device_fd, set, fds);
	} else {
		r = set_irqs(device_fd, set);
		if (r == 0) {
			swap_fds(state->fds + set->start, fds, set->count);
			state->enabled = max(state->enabled, end);
			note(state, set->start, set->count);
		}
	}
	close_fds(fds, set->count);
	return r;
}

int vfio_irqs_set(struct vfio_irqs *irqs, int device_fd,
		  const struct vfio_irq_set *set)
{
	struct vfio_irq_set_state *state = state_of(irqs, set->index);
	int r;

	if (!state || !state->fds ||
	    !(set->flags & VFIO_IRQ_SET_ACTION_TRIGGER))
		return set_irqs(device_fd, set);
	if (set->flags & VFIO_IRQ_SET_DATA_EVENTFD)
		return set_eventfds(state, device_fd, set);
	r = set_irqs(device_fd, set);
	/* EINVAL: they are off already, by a process that was killed then, say */
	if (set->count == 0 && set->start == 0 &&
	    (set->flags & VFIO_IRQ_SET_DATA_NONE) && (r == 0 || r == -EINVAL))
		forget(state);
	return r;
}
