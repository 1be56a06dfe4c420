/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vfio_irq.h - VFIO_DEVICE_SET_IRQS in any order a client likes
 */
#ifndef PVDMA_AGENT_VFIO_IRQ_H
#define PVDMA_AGENT_VFIO_IRQ_H

#include <linux/vfio.h>
#include <stdint.h>

struct keeper;

/* Vectors whose eventfds outlive the process; of those beyond nothing is known. */
#define VFIO_IRQS_KEPT 256

/* What outlives it; ids are the keeper's. Zero: nothing is set up. */
struct vfio_irq_kept {
	uint32_t enabled;
	uint32_t reserved;
	uint64_t ids[VFIO_IRQS_KEPT];
};

struct vfio_irqs_kept {
	struct vfio_irq_kept msi;
	struct vfio_irq_kept msix;
};

/* What one kind of interrupt has, where the kernel cannot add to it. */
struct vfio_irq_set_state {
	int *fds; /* dups of the eventfds, -EBADF: none; NULL: not needed */
	uint32_t count;	  /* of vectors that the device has */
	uint32_t enabled; /* vectors that the kernel has set up */
	struct keeper *keeper;
	struct vfio_irq_kept *kept; /* NULL: nothing is kept */
};

/* All zero is one without interrupts. */
struct vfio_irqs {
	struct vfio_irq_set_state msi;
	struct vfio_irq_set_state msix;
};

/* Tells of a kind of interrupt, once. 0 or -ENOMEM. */
int vfio_irqs_add(struct vfio_irqs *irqs, const struct vfio_irq_info *info);
/*
 * Keeps what was added before in @kept; and goes on with what is there from the
 * process before. 0, or -EBADF where a descriptor is missing, logged.
 */
int vfio_irqs_keep(struct vfio_irqs *irqs, struct keeper *keeper,
		   struct vfio_irqs_kept *kept);
void vfio_irqs_done(struct vfio_irqs *irqs);

/*
 * As VFIO_DEVICE_SET_IRQS on @device_fd, but vectors can be added at any time.
 * Borrows the eventfds in @set. 0 or a negative errno.
 */
int vfio_irqs_set(struct vfio_irqs *irqs, int device_fd,
		  const struct vfio_irq_set *set);

#endif
