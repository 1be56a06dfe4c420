/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * host_limits.h - what the host's system allows, and words for when it does not
 */
#ifndef PVDMA_AGENT_HOST_LIMITS_H
#define PVDMA_AGENT_HOST_LIMITS_H

#include <stdbool.h>
#include <stdint.h>

struct vm;

/*
 * Asks the backend for its limits and checks that the VM can live with them.
 * 0, or -EINVAL with an explanation in the log.
 */
int limits_refresh(struct vm *vm);

/* The mapping entries that must be freed before @pieces more can be taken. */
uint64_t limits_missing(const struct vm *vm, uint64_t pieces);

/* Mapping entries are short: three quarters of them are in use. */
bool limits_short(const struct vm *vm);

/* Out of mapping entries (rate-limited). */
void limits_log_entries(const struct vm *vm);

/*
 * The backend refused to map @bytes at @iova with @error (negative errno):
 * says why, and what to do (rate-limited). Returns the verdict for the guest,
 * or the errno.
 */
int limits_verdict(const struct vm *vm, int error, uint64_t iova,
		   uint64_t bytes);

#endif
