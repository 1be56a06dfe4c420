/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * balance.h - keeps the host's budget divided by need
 */
#ifndef PVDMA_PVDMAD_BALANCE_H
#define PVDMA_PVDMAD_BALANCE_H

#include <json-c/json.h>
#include <stdbool.h>

#include "budget.h"

struct balance;
struct machine;
struct service;

/*
 * A round every service->config->round_usec; none if that is 0. 0 or a negative
 * errno, logged.
 */
int balance_new(struct service *service, struct balance **ret);
/* Takes NULL. Not while links still have questions of it: VMs go first. */
void balance_free(struct balance *balance);

/* The machine is about to go. */
void balance_forget(struct balance *balance, const struct machine *machine);

/*
 * Reads the answer of an agent's verb "curve" into held bytes and points of @vm.
 * An agent is not trusted: what makes no sense is left out. False if nothing
 * does.
 */
bool balance_read_curve(json_object *answer, struct budget_vm *vm);

#endif
