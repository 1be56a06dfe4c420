// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * quota.c - the sum of the bytes charged, and its limit
 *
 * Owns the sum. Invariant: charged equals the sum of all charges; a charge
 * never takes it above the limit (only lowering the limit can leave it there).
 * Locks: none. In a request's way: between the plan and the first map.
 */
#include "host/agent/quota.h"

#include <assert.h>

#include "host/lib/macros.h"

void quota_init(struct quota *quota, uint64_t limit)
{
	*quota = (struct quota){ .limit = limit };
}

void quota_done(struct quota *quota)
{
	assert(quota->charged == 0);
	quota->limit = 0;
}

int quota_charge(struct quota *quota, struct quota_charge *charge,
		 uint64_t bytes)
{
	if (quota->charged > quota->limit ||
	    bytes > quota->limit - quota->charged)
		return QUOTA_FULL;
	quota->charged += bytes;
	charge->bytes += bytes;
	quota->peak = max(quota->peak, quota->charged);
	return 0;
}

void quota_uncharge_part(struct quota *quota, struct quota_charge *charge,
			 uint64_t bytes)
{
	assert(bytes <= charge->bytes && bytes <= quota->charged);
	charge->bytes -= bytes;
	quota->charged -= bytes;
}

void quota_uncharge(struct quota *quota, struct quota_charge *charge)
{
	quota_uncharge_part(quota, charge, charge->bytes);
}

uint64_t quota_missing(const struct quota *quota, uint64_t bytes)
{
	uint64_t room = 0;

	if (quota->charged <= quota->limit)
		room = quota->limit - quota->charged;
	else
		return quota->charged - quota->limit + bytes;
	return bytes > room ? bytes - room : 0;
}

void quota_set_limit(struct quota *quota, uint64_t limit)
{
	quota->limit = limit;
}
