// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * strategy.c - the names of strategies
 *
 * Owns nothing: the names are the protocol's. Locks: none. Not in a request's way.
 */
#include "host/agent/strategy.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "host/lib/macros.h"
#include "protocol/virtio_pvdma.h"

static const char *const names[] = { VIRTIO_PVDMA_STRATEGY_NAMES };

static_assert(ARRAY_SIZE(names) == VIRTIO_PVDMA_STRATEGIES,
	      "a strategy has no name");

const char *strategy_name(uint8_t strategy)
{
	assert(strategy < ARRAY_SIZE(names));
	return names[strategy];
}

int strategy_parse(const char *name, uint8_t *ret)
{
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (strcmp(name, names[i]) == 0) {
			*ret = (uint8_t)i;
			return 0;
		}
	}
	return -EINVAL;
}
