/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * strategy.h - VIRTIO_PVDMA_S_* by name, as operators write them
 */
#ifndef PVDMA_AGENT_STRATEGY_H
#define PVDMA_AGENT_STRATEGY_H

#include <stdint.h>

/* The name of a strategy that is known. */
const char *strategy_name(uint8_t strategy);

/* 0, or -EINVAL for a name that is none. */
int strategy_parse(const char *name, uint8_t *ret);

#endif
