/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * messages.h - ids of the journal messages that tell an operator of a change
 *
 * Each one is explained in packaging/systemd/pvdma.catalog, which "journalctl -x"
 * shows. The fields that its text there refers to go with every such message:
 * PVDMA_VM the VM's name, PVDMA_DEVICE a PCI address, PVDMA_DRIVER the driver that a
 * device has now, PVDMA_REASON a text, PVDMA_QUOTA and PVDMA_MAPPED bytes,
 * PVDMA_ASKED and PVDMA_BUDGET bytes of all VMs together.
 */
#ifndef PVDMA_PVDMAD_MESSAGES_H
#define PVDMA_PVDMAD_MESSAGES_H

/* As MESSAGE_ID= wants them: 32 hexadecimal digits. */

/* A VM's agent serves. PVDMA_VM, PVDMA_QUOTA */
#define MESSAGE_VM_STARTED "415c7f07d5f8425d89c9481c5c7f7c36"
/* A VM's agent did not start, or ended by itself. PVDMA_VM, PVDMA_REASON */
#define MESSAGE_VM_FAILED "11cdbba012214a2ab1c746e1f5dcc584"
/* A device was given to vfio-pci. PVDMA_VM, PVDMA_DEVICE */
#define MESSAGE_DEVICE_BOUND "e5e4814198c44c93ba635a4b8faba7d3"
/* A device went back. PVDMA_VM, PVDMA_DEVICE, PVDMA_DRIVER */
#define MESSAGE_DEVICE_RETURNED "790020ec04b741eaaa74d81932a7d8f0"
/* A quota does not fit the host's budget. PVDMA_VM, PVDMA_ASKED, PVDMA_BUDGET */
#define MESSAGE_BUDGET_EXCEEDED "832516c97df0441881e8b7fcfa150731"
/* A VM needs more than its quota. PVDMA_VM, PVDMA_QUOTA, PVDMA_MAPPED */
#define MESSAGE_QUOTA_OVER "8d1cff68d78249f18c7c07809a833840"

#endif
