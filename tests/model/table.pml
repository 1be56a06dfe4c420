/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * table.pml - the tracking table's protocol, for the model checker spin
 *
 * One block of two granules (more add states, and no new situation), mapped one
 * by one by the host; drivers that hold granules or the block, each operation on
 * a word one step; a host that answers MAP, evicts, prefetches and revokes, and
 * does one thing at a time. See protocol/SPEC.md, sections 6 to 9. What becomes
 * of it when the host is killed in the middle is recovery.pml's.
 *
 * What must hold (the asserts):
 *	DRV-TABLE-2, DEV-EVICT-1	a device never meets a granule that is not
 *					mapped while its driver holds it and was told
 *					that it is mapped, unless it was revoked
 *	DEV-TABLE-2			a block that is marked is mapped
 *	the words' counts are the holds that there are
 *
 * spin -a -DBROKEN_...: the same with one rule broken, which must be found:
 *	BROKEN_CLAIM	a claim that loads, and then stores
 *	BROKEN_BLOCK	an eviction that does not claim the block's word
 *	BROKEN_ORDER	MAPPED set before the IOMMU maps
 */
#include "words.pml"

#ifndef DRIVERS
#define DRIVERS 2
#endif

bool iommu[GRANULES]; /* what the device can reach */
byte revoked;	      /* how often granule 0 was; who was told before is excused */

/* A request names a word: the granule's, or the block's for both of them. */
chan request = [0] of { byte, byte }; /* driver, word */
chan answer[DRIVERS] = [0] of { bool };

proctype driver(byte me)
{
	byte word, g, seen;
	bool hit;

	do
	:: true ->
		if
		:: word = 0
		:: word = 1
		:: word = BLOCK
		fi;
		/* the hold: an atomic add, and the bit in the same step */
		atomic {
			count[word]++;
			hit = mapped[word];
			seen = revoked;
		}
		if
		:: hit
		:: else ->
			request ! me, word;
			atomic {
				answer[me] ? hit;
				seen = revoked;
			}
		fi;
		if
		:: hit ->
			/* the device is at work: twice, so that things happen */
			g = FIRST(word);
			do
			:: g <= LAST(word) ->
				assert(iommu[g] || g == 0 && revoked != seen);
				g++
			:: else -> break
			od;
			g = LAST(word);
			assert(iommu[g] || g == 0 && revoked != seen)
		:: else /* the mapping failed: DRV-REQ-2 */
		fi;
		atomic {
			assert(count[word] > 0);
			count[word]--
		}
	od
}

/* Takes MAPPED away on condition that nobody holds; ok says whether. */
inline claim(w, ok)
{
#ifdef BROKEN_CLAIM
	ok = (count[w] == 0);
	if
	:: ok -> mapped[w] = false
	:: else
	fi
#else
	atomic {
		ok = (count[w] == 0);
		if
		:: ok -> mapped[w] = false
		:: else
		fi
	}
#endif
}

/* Marks the block if all of it is mapped. */
inline mark_block()
{
	if
	:: iommu[0] && iommu[1] -> mapped[BLOCK] = true
	:: else
	fi
}

inline map(g)
{
	if
	:: iommu[g]
	:: else ->
#ifdef BROKEN_ORDER
		mapped[g] = true;
		iommu[g] = true
#else
		iommu[g] = true
#endif
	fi;
	mapped[g] = true;
	mark_block()
}

inline evict(g)
{
	if
	:: iommu[g] ->
#ifdef BROKEN_BLOCK
		block_ok = true;
#else
		claim(BLOCK, block_ok);
#endif
		if
		:: block_ok ->
			claim(g, granule_ok);
			if
			:: granule_ok -> iommu[g] = false
			:: else -> mark_block() /* DEV-EVICT-2 */
			fi
		:: else
		fi
	:: else
	fi
}

proctype host()
{
	byte who, word, g;
	bool block_ok = false, granule_ok = false;

	do
	:: request ? who, word ->
		/* a MAP succeeds whole or fails whole (DEV-MAP-2) */
		if
		:: true ->
			g = FIRST(word);
			do
			:: g <= LAST(word) -> map(g); g++
			:: else -> break
			od;
			answer[who] ! true
		:: answer[who] ! false
		fi;
		g = 0
	:: true -> evict(0)
	:: true -> evict(1)
	:: true -> map(0) /* a prefetch */
	:: true -> map(1)
	:: revoked < 2 ->
		/* enforce=revoke: held or not, and the guest was warned */
		mapped[BLOCK] = false;
		mapped[0] = false;
		atomic {
			iommu[0] = false;
			revoked++
		}
	od
}

/* DEV-TABLE-2, at any instant. */
proctype watch()
{
	assert(!mapped[BLOCK] || (iommu[0] && iommu[1]))
}

init {
	byte i;

	atomic {
		run host();
		run watch();
		for (i : 0 .. DRIVERS - 1) {
			run driver(i)
		}
	}
}
