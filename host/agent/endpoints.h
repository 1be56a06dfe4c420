/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * endpoints.h - the devices of a VM, and which of them have a driver
 *
 * The vm_endpoint_*() of vm.h live in endpoints.c, too.
 */
#ifndef PVDMA_AGENT_ENDPOINTS_H
#define PVDMA_AGENT_ENDPOINTS_H

#include <stdbool.h>
#include <stdint.h>

struct request_attach;
struct vm;

/* 0 for an attached endpoint, or VERDICT_NOENT, VERDICT_STATE. */
int endpoints_check(const struct vm *vm, uint32_t id);

/* How far the present ones reach, after the root's have changed. */
void endpoints_count_slots(struct vm *vm);

/* What the requests do. 0, a verdict, or a negative errno (DETACH). */
int endpoints_attach(struct vm *vm, uint32_t id,
		     const struct request_attach *attach);
int endpoints_detach(struct vm *vm, uint32_t id);

/*
 * Does once more what follows from which endpoints are attached, and how: a kill
 * may have come between the note of that and this. 0 or a negative errno.
 */
int endpoints_settle(struct vm *vm);

/* The strategy of an attached endpoint. */
uint8_t endpoints_strategy(const struct vm *vm, uint32_t id);

/* Is it new, so that this reset is one that belongs to its coming? */
bool endpoints_first_reset(struct vm *vm, uint32_t id);

/* Is one attached? */
bool endpoints_attached(const struct vm *vm);

/* Is one attached whose driver ends mappings itself (VIRTIO_PVDMA_S_*)? */
bool endpoints_strict(const struct vm *vm);

/* None is attached any longer; nothing else happens. */
void endpoints_forget(struct vm *vm);

unsigned int endpoints_present(const struct vm *vm);

/* Is there one that is present and not attached? */
bool endpoints_unattached(const struct vm *vm);

#endif
