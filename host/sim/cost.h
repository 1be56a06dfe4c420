/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * cost.h - what requests and mappings cost, in microseconds
 *
 * A model with these parts:
 *   round trip  from a map call's kick to its answer, without the work itself
 *   map, unmap  one call of the IOMMU backend, by the bytes it maps or ends
 *   retry       what a driver loses that is refused and tries again later
 *   failure     what is lost with a map call that is never served: an I/O
 *               error, a packet
 *   copy        one KiB through a bounce buffer
 * Between two sizes of the table costs are interpolated on logarithmic scales;
 * below the first they stay, above the last they grow with the bytes.
 */
#ifndef PVDMA_SIM_COST_H
#define PVDMA_SIM_COST_H

#include <stddef.h>
#include <stdint.h>

#define COST_SIZES_MAX 24u

struct cost_size {
	uint64_t bytes;
	double map_us;
	double unmap_us;
};

struct cost_model {
	double round_trip_us;
	double retry_us;
	double failure_us;
	double copy_us_per_kib;
	struct cost_size sizes[COST_SIZES_MAX]; /* rising bytes; at least 1 */
	size_t n_sizes;
};

/* What we measured; see docs/policy.md. */
extern const struct cost_model cost_default;

double cost_map(const struct cost_model *model, uint64_t bytes);
double cost_unmap(const struct cost_model *model, uint64_t bytes);

/*
 * Reads a calibration: lines "round_trip US", "retry US", "failure US",
 * "copy US_PER_KIB", "size BYTES MAP_US UNMAP_US" ("64K" is a size) and comments
 * after "#". Sizes replace the default's all together; what is not named stays. 0 or a negative
 * errno; what is wrong is logged, with line and reason (-EINVAL).
 */
int cost_load(const char *path, struct cost_model *ret);

#endif
