/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * quota.h - how many bytes one VM may have mapped
 *
 * A charge is embedded in what it pays for (an extent); it is taken before
 * the IOMMU maps and given back after the IOMMU unmapped, so the sum never
 * says less than what is mapped.
 */
#ifndef PVDMA_AGENT_QUOTA_H
#define PVDMA_AGENT_QUOTA_H

#include <stdint.h>

/* Positive verdict of quota_charge(): there is no room. */
#define QUOTA_FULL 1

struct quota {
	uint64_t limit;	  /* bytes */
	uint64_t charged; /* bytes */
	uint64_t peak;	  /* highest that charged was */
};

struct quota_charge {
	uint64_t bytes; /* 0: charges nothing */
};

void quota_init(struct quota *quota, uint64_t limit);
/* Asserts that all that was charged was given back. */
void quota_done(struct quota *quota);

/*
 * Adds @bytes to @charge. 0, or QUOTA_FULL with nothing changed.
 */
int quota_charge(struct quota *quota, struct quota_charge *charge,
		 uint64_t bytes);

/* Gives back @bytes, at most what @charge has; or all of it. */
void quota_uncharge_part(struct quota *quota, struct quota_charge *charge,
			 uint64_t bytes);
void quota_uncharge(struct quota *quota, struct quota_charge *charge);

/*
 * The bytes that others must give back before @bytes more can be charged.
 * Only meaningful for @bytes <= limit.
 */
uint64_t quota_missing(const struct quota *quota, uint64_t bytes);

/*
 * Moves the limit, also below what is charged: then nothing can be charged
 * until enough was given back.
 */
void quota_set_limit(struct quota *quota, uint64_t limit);

#endif
