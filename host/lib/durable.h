/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * durable.h - stores that whoever finds this memory later relies on
 *
 * A process that is killed leaves behind what it stored, in the order of its
 * instructions: a kill comes between two of them. So all that is needed is that
 * the compiler keeps to the order of the source.
 */
#ifndef PVDMA_LIB_DURABLE_H
#define PVDMA_LIB_DURABLE_H

/* What stands before it is stored before what stands behind it. */
#define durable_order() __atomic_signal_fence(__ATOMIC_SEQ_CST)

/*
 * Commits: all that was stored before is there when @value is found in *@p, and
 * nothing of what follows before it. One store: found whole or not at all.
 */
#define durable_store(p, value)                                   \
	do {                                                      \
		_Static_assert(sizeof(*(p)) <= 8, "one store");   \
		durable_order();                                  \
		__atomic_store_n((p), (value), __ATOMIC_RELAXED); \
		durable_order();                                  \
	} while (0)

#endif
