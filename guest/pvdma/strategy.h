/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * strategy.h - what becomes of an endpoint's mappings after their last use
 */
#ifndef PVDMA_STRATEGY_H
#define PVDMA_STRATEGY_H

#include <linux/types.h>

struct pci_dev;

/* Parses parameter strategy=; -EINVAL after a message that says what is bad */
int pvdma_strategy_init(void);

/*
 * The strategy for @pdev: what the parameter says of it, or of all devices, but
 * none laxer than @host's (DRV-ATTACH-1).
 */
u8 pvdma_strategy_choose(struct pci_dev *pdev, u8 host);

/* Its name, or "unknown". */
const char *pvdma_strategy_name(u8 strategy);

#endif
