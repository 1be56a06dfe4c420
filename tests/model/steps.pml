/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * steps.pml - the agent's functions, step by step; for recovery.pml
 *
 * Each STEP() is a store into what outlives the agent, or an effect on the
 * IOMMU, as durable.h and crash.h have it: before it, the agent may be killed.
 * All of them use the variables of the agent in recovery.pml.
 */
mtype = { FREE, DRAFT, ENTERED }; /* enum ledger_mark */

#define STEP(action)               \
	if                         \
	:: d_step { action }       \
	:: d_step { lose() }       \
	   goto killed             \
	fi

/* Is granule @g in the extent that begins at @f? In one that stays? */
#define HAS(f, g)     (mark[f] != FREE && (f) <= (g) && (f) + size[f] > (g))
#define IS(f, g)      (HAS(f, g) && mark[f] == ENTERED && !victim[f])
#define IS_VICTIM(f)  victim[f]
#define IS_ENTERED(f) (mark[f] == ENTERED)
#if GRANULES == 2
#define ALL(p)	      (p(0) && p(1))
#define SOME(p)	      (p(0) || p(1))
#define SUM(a)	      (a[0] + a[1])
#define IN_BOOKS(g)   (HAS(0, g) || HAS(1, g))
#define IS_MAPPED(g)  (IS(0, g) || IS(1, g))
#else
#define ALL(p)	      (p(0) && p(1) && p(2))
#define SOME(p)	      (p(0) || p(1) || p(2))
#define SUM(a)	      (a[0] + a[1] + a[2])
#define IN_BOOKS(g)   (HAS(0, g) || HAS(1, g) || HAS(2, g))
#define IS_MAPPED(g)  (IS(0, g) || IS(1, g) || IS(2, g))
#endif

/* May word @w say MAPPED? */
#define TRUE_WORD(w) (iommu[FIRST(w)] && iommu[LAST(w)])

/* --- table.c --- */

/*
 * word_claim(): held, or taken away. A compare-exchange that fails is tried
 * again; that it fails TABLE_TRIES times takes a guest that uses the word.
 */
inline word_claim(w)
{
	if
	:: d_step { count[w] == 0; mapped[w] = false }
	:: d_step { count[w] > 0 || !sure; ok = false }
	:: d_step { lose() }
	   goto killed
	fi
}

inline set_word(w)
{
	STEP(mapped[w] = true; assert(TRUE_WORD(w)))
}

/* table_set_mapped(): granules [from, end), and the block if it is mapped. */
inline set_mapped(from, end)
{
	g = from;
	do
	:: g < end -> set_word(g); g++
	:: else -> break
	od;
	g = 0;
	if
	:: from < 2 && IS_MAPPED(0) && IS_MAPPED(1) -> set_word(BLOCK)
	:: else
	fi
}

/* table_clear_mapped() */
inline clear_mapped(from, end)
{
	if
	:: from < 2 -> STEP(mapped[BLOCK] = false)
	:: else
	fi;
	g = from;
	do
	:: g < end -> STEP(mapped[g] = false); g++
	:: else -> break
	od;
	g = 0
}

/* --- extent.c, ledger.c --- */

/* iommu_unmap() of one granule. */
inline unmap(x)
{
	iommu[x] = false;
	reach(x)
}

/* ledger_drop() */
inline drop(x)
{
	mark[x] = FREE;
	size[x] = 0;
	charge[x] = 0;
	victim[x] = false;
	known()
}

/* extent_unmap(); extent_forget(), of all that is in it; extent_unmap_done() */
inline end_range(from, end)
{
	STEP(leaving_first = from; leaving_end = end; leaving = true);
	g = from;
	do
	:: g < end -> STEP(unmap(g)); g++
	:: else -> break
	od;
	g = from;
	do
	:: g < end ->
		if
		:: mark[g] != FREE ->
			STEP(charged = charged - charge[g]; charge[g] = 0);
			STEP(drop(g))
		:: else
		fi;
		g++
	:: else -> break
	od;
	g = 0;
	STEP(leaving_first = 0; leaving_end = 0; leaving = false)
}

/* --- reclaim.c --- */

/* reclaim_take(): claims the words of an extent, or sets them again. */
inline take(x)
{
	ok = true;
	if
	:: x < 2 -> word_claim(BLOCK)
	:: else
	fi;
	n = x;
	do
	:: ok && n < x + size[x] ->
		word_claim(n);
		if
		:: ok -> n++
		:: else
		fi
	:: else -> break
	od;
	if
	:: ok -> STEP(victim[x] = true); room = room + charge[x]
	:: else -> set_mapped(x, n)
	fi;
	ok = false;
	n = 0
}

/* A candidate of the policy's: any, but for what the request itself wants. */
#define CANDIDATE(x)                             \
	(mark[x] == ENTERED && !victim[x] &&     \
	 !(asks && (x) <= last && (x) + size[x] > first))

inline choose()
{
	if
	:: CANDIDATE(0) -> f = 0
	:: CANDIDATE(1) -> f = 1
#if GRANULES > 2
	:: CANDIDATE(2) -> f = 2
#endif
	fi
}

/* reclaim_evict(): each run of victims that touch each other in one call. */
inline evict()
{
	do
	:: SOME(IS_VICTIM) ->
		d_step {
			f = 0;
			do
			:: !victim[f] -> f++
			:: else -> break
			od;
			n = f + size[f];
			do
			:: n < GRANULES ->
				if
				:: victim[n] -> n = n + size[n]
				:: else -> break
				fi
			:: else -> break
			od
		}
		end_range(f, n);
		n = 0;
		f = 0
	:: else -> break
	od;
	room = 0
}

/* reclaim_restore(), settle_words() */
inline restore()
{
	f = 0;
	do
	:: f < GRANULES ->
		if
		:: victim[f] ->
			STEP(victim[f] = false);
			set_mapped(f, f + size[f])
		:: else
		fi;
		f++
	:: else -> break
	od;
	f = 0;
	room = 0
}

/* reclaim_end_requests() */
inline end_requests()
{
	f = 0;
	do
	:: f < GRANULES ->
		if
		:: mark[f] == ENTERED -> clear_mapped(f, f + size[f])
		:: else
		fi;
		f++
	:: else -> break
	od;
	f = 0;
	if
	:: SOME(IS_ENTERED) -> end_range(0, GRANULES)
	:: else
	fi
}

/* reclaim_coarse() */
inline coarse()
{
	if
	:: mark[0] == ENTERED && size[0] > 1 ->
		sure = true;
		take(0);
		sure = false
	:: else
	fi;
	evict()
}

/* --- resume.c --- */

inline end_extent(x)
{
	g = x;
	do
	:: g < x + size[x] -> STEP(unmap(g)); g++
	:: else -> break
	od;
	g = 0;
	STEP(drop(x))
}

#ifdef BROKEN_LEAVING
#define IS_LEAVING(x) false
#else
#define IS_LEAVING(x) \
	(leaving && (x) >= leaving_first && (x) + size[x] <= leaving_end)
#endif
#ifdef BROKEN_KEEP
#define IS_KEPT(x) true
#else
#define IS_KEPT(x) (mark[x] == ENTERED)
#endif

/* A charge that is not the length is refused. */
inline take_extent(x)
{
	if
	:: mark[x] != FREE && (IS_LEAVING(x) || !IS_KEPT(x)) -> end_extent(x)
	:: mark[x] != FREE && !IS_LEAVING(x) && IS_KEPT(x) ->
		assert(charge[x] == size[x]);
#ifdef BROKEN_SUM
		STEP(mark[x] = ENTERED)
#else
		STEP(mark[x] = ENTERED; charged = charged + charge[x])
#endif
	:: mark[x] == FREE
	fi
}

/* vm_resume() */
inline resume()
{
#ifndef BROKEN_SUM
	STEP(charged = 0);
#endif
	f = 0;
	do
	:: f < GRANULES -> take_extent(f); f++
	:: else -> break
	od;
	f = 0;
	STEP(leaving_first = 0; leaving_end = 0; leaving = false);
	STEP(spare());
	restore();
	/* endpoints_resume() */
#ifndef BROKEN_ATTACH
	if
	:: attached[1] -> coarse()
	:: else
	fi;
#endif
#ifndef BROKEN_DETACH
	if
	:: !attached[0] && !attached[1] -> end_requests()
	:: else
	fi
#endif
}
