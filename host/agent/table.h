/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * table.h - the tracking table in guest memory (protocol/SPEC.md, section 6)
 *
 * Owns which leaves are registered and where they are, and is the only code
 * that touches their words. Nothing here decides what is mapped: the table is
 * told. While it is not writable (the queues stopped, or nothing has shown yet
 * that the driver which registered the leaves still lives) no word is changed,
 * whoever asks.
 */
#ifndef PVDMA_AGENT_TABLE_H
#define PVDMA_AGENT_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "host/agent/treap.h"

struct memory;
struct memory_region;
struct state;
struct table;

/* How often a word that changes under us is tried. */
#define TABLE_TRIES 16

/* Bytes of a slot in the pool STATE_LEAVES. */
#define TABLE_SLOT_SIZE 32

/* The part that is state. */
struct table_root {
	struct treap_root index;
	uint8_t writable;
	uint8_t stale; /* MAPPED may be set where nothing is mapped */
	uint8_t granule_shift;
	uint8_t reserved[5];
};

void table_root_init(struct table_root *root, uint8_t granule_shift,
		     uint64_t seed);

/*
 * Does the IOMMU map all granules [first, first + count)? The answer for @first
 * alone holds up to *@ret_end, which is behind it.
 */
typedef bool (*table_mapped_fn)(void *userdata, uint64_t first, uint64_t count,
				uint64_t *ret_end);

/* Borrows @memory and @state. 0 or -ENOMEM. */
int table_new(struct state *state, struct table_root *root,
	      const struct memory *memory, table_mapped_fn mapped,
	      void *userdata, struct table **ret);
/* Takes NULL. Writes nothing. */
void table_free(struct table *table);

/*
 * Registers leaf @index at guest-physical @gpa. 0; a positive verdict: EINVAL
 * (not aligned; or registered elsewhere), ERANGE (not in writable memory, or
 * there is no memory that it covers); or -ENOMEM.
 */
int table_register(struct table *table, uint64_t index, uint64_t gpa);

/*
 * Finds the leaves of another process's table again. Those whose memory is gone
 * are forgotten. 0, -EUCLEAN (a leaf that cannot be), or -ENOMEM.
 */
int table_recover(struct table *table);

/* Forgets all leaves, or those that lie in a region; writes nothing. */
void table_forget(struct table *table);
void table_forget_region(struct table *table,
			 const struct memory_region *region);

uint32_t table_leaves(const struct table *table);

/* Do granules [first, last], or their blocks, all have a registered leaf? */
bool table_covers(const struct table *table, uint64_t first, uint64_t last);

/* True if words may be changed, or there are none. */
bool table_is_writable(const struct table *table);

/*
 * Allows or forbids to change words. When it becomes allowed and changes were
 * missed, MAPPED is cleared wherever nothing is mapped.
 */
void table_set_writable(struct table *table, bool writable);

/*
 * Words of granules and of their blocks; what has no leaf has none, and is
 * skipped. Keep the books first: they say which blocks are mapped as a whole.
 */

/* Sets MAPPED in granules [first, first + count): the IOMMU maps them. */
void table_set_mapped(struct table *table, uint64_t first, uint64_t count);

/*
 * Clears MAPPED in all of [first, first + count), and in their blocks, on
 * condition that none is held, one atomic step a word. False: one is held (or
 * changed all the time, or nothing may be written), and MAPPED is set in all
 * that have been cleared.
 */
bool table_claim(struct table *table, uint64_t first, uint64_t count);

/* Clears MAPPED, held or not: the mapping ends for a cause beyond the rules. */
void table_clear_mapped(struct table *table, uint64_t first, uint64_t count);

/* Clears REFERENCED; true if it was set in any. */
bool table_test_and_clear_referenced(struct table *table, uint64_t first,
				     uint64_t count);

/* How many granules have REFERENCED, or have it through their block. */
uint32_t table_referenced(const struct table *table, uint64_t first,
			  uint64_t count);

/* How many granules are held, likewise. */
uint32_t table_held(const struct table *table, uint64_t first, uint64_t count);

/* Is any granule held, or any marked MAPPED? Is any held? Looks only. */
bool table_any_used(const struct table *table, uint64_t first, uint64_t count);
bool table_any_held(const struct table *table, uint64_t first, uint64_t count);

#endif
