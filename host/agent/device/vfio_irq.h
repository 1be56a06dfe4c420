/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vfio_irq.h - VFIO_DEVICE_SET_IRQS in any order a client likes
 */
#ifndef PVDMA_AGENT_VFIO_IRQ_H
#define PVDMA_AGENT_VFIO_IRQ_H

#include <linux/vfio.h>
#include <stdint.h>

/* What one kind of interrupt has, where the kernel cannot add to it. */
struct vfio_irq_set_state {
	int *fds; /* dups of the eventfds, -EBADF: none; NULL: not needed */
	uint32_t count;	  /* of vectors that the device has */
	uint32_t enabled; /* vectors that the kernel has set up */
};

/* All zero is one without interrupts. */
struct vfio_irqs {
	struct vfio_irq_set_state msi;
	struct vfio_irq_set_state msix;
};

/* Tells of a kind of interrupt, once. 0 or -ENOMEM. */
int vfio_irqs_add(struct vfio_irqs *irqs, const struct vfio_irq_info *info);
void vfio_irqs_done(struct vfio_irqs *irqs);

/*
 * As VFIO_DEVICE_SET_IRQS on @device_fd, but vectors can be added at any time.
 * Borrows the eventfds in @set. 0 or a negative errno.
 */
int vfio_irqs_set(struct vfio_irqs *irqs, int device_fd,
		  const struct vfio_irq_set *set);

#endif
