/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ledger.h - what is mapped and charged, by extent
 *
 * An extent is a run of granules that are mapped and unmapped together. It is
 * one of two kinds: a run of whole granules within one memory region (one
 * IOMMU mapping), or a single granule that a region's border cuts (as many
 * IOMMU mappings as there are pieces of memory in it). So a region that goes
 * takes whole extents, or pieces of single granules, with it.
 *
 * Extents lie in the state's arena and are named by slot. A draft is an
 * extent that is not in the index yet: a request prepares drafts, maps them,
 * and then enters them, which cannot fail.
 */
#ifndef PVDMA_AGENT_LEDGER_H
#define PVDMA_AGENT_LEDGER_H

#include <stdbool.h>
#include <stdint.h>

#include "host/agent/policy/policy.h"
#include "host/agent/quota.h"
#include "host/agent/treap.h"

struct ledger;
struct state;

#define LEDGER_NONE TREAP_NONE

/* Granules that an extent made for requests covers at most, in bytes. */
#define LEDGER_EXTENT_BYTES (2u * 1024u * 1024u)

enum ledger_flags {
	/* Mapped so that devices without a driver reach their memory. */
	LEDGER_DIRECT = 1u << 0,
	/* Picked for unmapping; in no policy's list. */
	LEDGER_VICTIM = 1u << 1,
	/* Memory came to a held granule and could not be mapped. */
	LEDGER_PARTIAL = 1u << 2,
	/* A driver whose strategy is persistent asked for it. */
	LEDGER_KEPT = 1u << 3,
	/* Mapped before anybody asked, and not judged yet (ahead.c). */
	LEDGER_AHEAD = 1u << 4,
	/* It was found used, and the words do not say so any longer. */
	LEDGER_USED = 1u << 5,
	/* About to be entered: a use is the one that it is mapped for. */
	LEDGER_NEW = 1u << 6,
};

/*
 * What a slot is (node.mark). A draft says that its mapping may have been made:
 * it is noted before the IOMMU is called. All of the books can be made anew from
 * the slots (ledger_recover()).
 */
enum ledger_mark {
	LEDGER_FREE,
	LEDGER_DRAFT,
	LEDGER_ENTERED,
};

struct ledger_extent {
	struct treap_node node;	    /* key: first granule */
	struct quota_charge charge; /* bytes mapped */
	uint32_t count;		    /* granules */
	uint32_t pieces;	    /* IOMMU mappings */
	struct policy_node policy;  /* also links drafts and victims */
	uint32_t flags;
	/* with LEDGER_AHEAD: why it was mapped, and granules seen to be used */
	uint8_t context;
	uint8_t level;
	uint16_t seen;
};

/* The part that is state. */
struct ledger_root {
	struct treap_root index;
	uint64_t pieces; /* of all extents in the index */
};

void ledger_root_init(struct ledger_root *root, uint64_t seed);

int ledger_new(struct state *state, struct ledger_root *root,
	       struct ledger **ret);
/* Asserts that no extent is left. Takes NULL. */
void ledger_free(struct ledger *ledger);

/*
 * A draft of granules [first, first + count). -ENOMEM: nothing changed. Enter
 * it, or drop it.
 */
int ledger_draft(struct ledger *ledger, uint64_t first, uint32_t count,
		 uint32_t *ret);
void ledger_enter(struct ledger *ledger, uint32_t extent);
void ledger_drop(struct ledger *ledger, uint32_t extent);

/* Takes an extent out of the index and drops it. Its charge must be 0. */
void ledger_remove(struct ledger *ledger, uint32_t extent);

/* Changes the number of mappings of an extent in the index. */
void ledger_set_pieces(struct ledger *ledger, uint32_t extent, uint32_t pieces);

struct ledger_extent *ledger_get(const struct ledger *ledger, uint32_t extent);

static inline uint64_t ledger_first(const struct ledger_extent *e)
{
	return e->node.key;
}

static inline uint64_t ledger_end(const struct ledger_extent *e)
{
	return e->node.key + e->count;
}

/*
 * Makes the index anew from the slots of another process. Then ledger_readmit()
 * for each extent that was in the books; drafts are told by ledger_mark() and
 * are the caller's to enter or to drop. -EUCLEAN: an extent that cannot be.
 */
void ledger_recover(struct ledger *ledger);
int ledger_readmit(struct ledger *ledger, uint32_t extent);
/* Slots are below this one. */
uint32_t ledger_slots(const struct ledger *ledger);
enum ledger_mark ledger_mark(const struct ledger *ledger, uint32_t extent);

/* The extent that contains @granule, or LEDGER_NONE. */
uint32_t ledger_find(const struct ledger *ledger, uint64_t granule);

/* The extent that contains @granule, or the first above it. */
uint32_t ledger_seek(const struct ledger *ledger, uint64_t granule);

/* The extents that touch this one at its start or end, or LEDGER_NONE. */
uint32_t ledger_before(const struct ledger *ledger, uint32_t extent);
uint32_t ledger_after(const struct ledger *ledger, uint32_t extent);

uint32_t ledger_extents(const struct ledger *ledger);
uint64_t ledger_pieces(const struct ledger *ledger);

#endif
