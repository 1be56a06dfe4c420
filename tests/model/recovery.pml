/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * recovery.pml - the agent is killed between any two of its steps
 *
 * The agent's steps (steps.pml) are those of the code, under the names of its
 * functions. Before each it may be killed, and so may whoever goes on, as often
 * as you like: what is the process's own is gone then. What resume.c makes anew
 * (indexes, lists, free slots) is not modelled, but for the quota's sum; nor is
 * which victim the policy prefers: any. The IOMMU maps and unmaps granule by
 * granule, and can be killed in between, which is more than the kernel does.
 *
 * CPUS CPUs of a guest (guest.pml) take holds of the same granules, by their
 * words or by the block's, ask for what they miss, and let go again. The agent
 * maps ahead, evicts, meets limits of the host, and revokes what is held above a
 * quota that the operator changes at any time; the deadline is enforce.pml's.
 *
 * A mapping that its driver has given up waiting for (DRV-QUEUE-1) is no case of
 * its own: it does no DMA, and holds until the answer has come. Pauses and resets
 * of the VM, borders of memory and the direct mapping are not modelled.
 *
 * Variants:
 *	QUOTA	the operator changes the quota
 *	STRICT	the endpoint is attached as SHARED: the last use ends in an UNMAP,
 *		and extents have one granule
 *	LIFE	drivers come and go, a second one of them strict; one CPU
 *
 * What must hold at any instant; when the agent rests; or when it answers:
 *	DRV-TABLE-2, DEV-EVICT-1	who was told that it is mapped reaches it
 *		until it gives up its hold, unless it was revoked meanwhile
 *	DEV-MAP-1, DEV-TABLE-2, DEV-QUOTA-4	a word says MAPPED only of what is
 *		mapped; so whoever takes a hold after a revocation asks
 *	DEV-TABLE-1	what is mapped is in the ledger
 *	DEV-MAP-4, DEV-QUOTA-3	nothing is mapped above the quota
 *	the books balance: what is charged is what is mapped
 *	DEV-MAP-2	a MAP that failed has mapped nothing. (When one is served
 *		again, what the killed process had entered for it counts as
 *		mapped before: it is idle, charged, and in the ledger.)
 *	each request is answered once, and none is lost
 *	DEV-UNMAP-1, DEV-DETACH-1, DEV-STRICT-2	as they say
 *
 * spin -a -DBROKEN_...: the same with one rule broken, which must be found:
 *	BROKEN_DRAFT	a draft is noted after the IOMMU has mapped it
 *	BROKEN_EARLY	MAPPED is set before the IOMMU maps
 *	BROKEN_LATE	what is revoked is unmapped before MAPPED is cleared
 *	BROKEN_KEEP	who goes on keeps drafts, as if they were entered
 *	BROKEN_LEAVING	who goes on does not end what was being unmapped
 *	BROKEN_SUM	who goes on takes over the sum of charges as it is
 *	BROKEN_AGAIN	who goes on takes the request for answered
 *	BROKEN_POSITION	who goes on does not look whether it was
 *	BROKEN_DETACH	who goes on does nothing for a DETACH that was noted
 *	BROKEN_ATTACH	nor for an ATTACH
 */
#include "words.pml"
#include "guest.pml"
#include "steps.pml"

#define NOBODY CLIENTS
#ifdef STRICT
#define WINDOW 1
#else
#define WINDOW (attached[1] -> 1 : 2)
#endif

/* --- the properties; all that they speak of changes in these steps only --- */

#define COVERS(w, g) (FIRST(w) <= (g) && (g) <= LAST(w))

/* Granule @x is unmapped: by whom may it be reached still? */
inline reach(x)
{
	assert(!mapped[x] && (x >= 2 || !mapped[BLOCK]));
	for (i : 0 .. CPUS - 1) {
		if
		:: told[i] && COVERS(holds[i], x) ->
			excused[i] = excused[i] || taken[x];
			assert(excused[i])
		:: else
		fi
	}
	i = 0;
	taken[x] = false
}

/* What is mapped is in the ledger. */
#define KNOWN(x) (!iommu[x] || IN_BOOKS(x))
inline known()
{
	assert(ALL(KNOWN))
}

/* What was to be revoked is not, for now. */
inline spare()
{
	for (i : 0 .. GRANULES - 1) {
		taken[i] = false
	}
	i = 0
}

/* The agent is between two pieces of work: nothing is half done or lost. */
#define BALANCED(x) (mark[x] != DRAFT && !victim[x] && iommu[x] == IN_BOOKS(x))
inline rest()
{
	assert(ALL(BALANCED) && !leaving);
	assert(charged == SUM(iommu) && SUM(charge) == SUM(iommu));
	assert(!ended || SUM(iommu) == 0);
	for (i : 0 .. CLIENTS - 1) {
		if
		:: waits[i] ->
			g = 0;
			do
			:: g < avail_idx ->
				if
				:: avail[g] == i -> break
				:: else -> g++
				fi
			:: else -> break
			od;
			assert(g < avail_idx)
		:: else
		fi
	}
	i = 0;
	g = 0
}

/* An answer is published: it must be true. */
#define NOT_NEW(x) (!iommu[x] || before[x])
inline judge()
{
	assert(waits[who] && status[who] != PENDING);
	if
	:: type[who] == MAP && status[who] == OK ->
		told[who] = true;
		assert(TRUE_WORD(item[who]))
	:: type[who] == MAP && status[who] == FAILED -> assert(ALL(NOT_NEW))
#ifdef STRICT
	:: type[who] == UNMAP ->
		assert(status[who] == OK);
		assert(!quiet[who] || !iommu[FIRST(item[who])] &&
					      !iommu[LAST(item[who])])
#endif
	:: type[who] == ATTACH && item[who] == 1 ->
		assert(dropped || mark[0] != ENTERED || size[0] == 1 ||
		       count[0] > 0 || count[1] > 0 || count[BLOCK] > 0)
	:: type[who] == DETACH && status[who] == OK ->
		ended = !attached[0] && !attached[1];
		assert(!ended || SUM(iommu) == 0)
	:: else
	fi
}

/* --- the agent --- */

/* The position is stored: what is kept of the ring begins there. */
inline advance()
{
	for (i : 0 .. CLIENTS - 1) {
		avail[i] = avail[i + 1]
	}
	i = 0;
	avail_idx--;
	used_idx = 0;
	used = 0;
	last_avail = 0;
	serving = false
}

/* A kill: what is the process's own is gone. */
inline lose()
{
	last_avail = 0;
	used = 0;
	pause();
	draft[0] = false;
	draft[1] = false;
#if GRANULES > 2
	draft[2] = false
#endif
}

/* Between two pieces of work. */
inline pause()
{
	who = NOBODY;
	first = 0;
	last = 0;
	need = 0;
	room = 0;
	at = 0;
	f = 0;
	g = 0;
	n = 0;
	asks = false;
	ok = false;
	sure = false;
	again = false;
	job = 0;
	result = OK;
	for (i : 0 .. GRANULES - 1) {
		before[i] = false
	}
	i = 0
}

proctype agent()
{
	/* --- what outlives a kill: the IOMMU, and the arena --- */
	bool iommu[GRANULES]; /* what the device can reach */
	/* extents, by their first granule */
	mtype mark[GRANULES] = FREE;
	byte size[GRANULES];
	byte charge[GRANULES];
	bool victim[GRANULES]; /* LEDGER_VICTIM */
	byte charged;	       /* quota.charged */
	byte limit = GRANULES; /* quota.limit */
	bool leaving;	       /* leaving.valid */
	byte leaving_first, leaving_end;
	bool serving; /* is it the chain at the position? */
	bool attached[2]; /* endpoints; 1 is the strict one */

	/* --- what only the properties know --- */
	bool taken[GRANULES];  /* being revoked */
	bool before[GRANULES]; /* mapped when the request came to be served */
	bool ended;	       /* DETACH of the last endpoint was answered */

	/* --- what a kill ends --- */
	byte last_avail, used; /* the queue's, from the position on */
	byte who = NOBODY, first, last; /* the request */
	byte need, room; /* granules: of the plan, of the victims */
	byte at, f, g, n, i;
	bool draft[GRANULES]; /* the plan */
	bool asks, ok, sure, again;
	mtype job, result = OK;

#ifndef LIFE
	attached[0] = true;
#endif
	goto rests;

killed:
	resume();
#ifndef BROKEN_POSITION
	/* settle_position() */
	if
	:: used_idx == 1 -> used = 1; goto position
	:: else
	fi;
#endif
	/* queue_go_on() */
	if
	:: serving && avail_idx > 0 -> again = true; goto serve
	:: else
	fi;

rests:
	if
	:: d_step { pause(); rest() }
	fi;
	if
	:: avail_idx > 0 -> goto serve
#ifndef STRICT
	:: attached[0] && !attached[1] && charged <= limit ->
		/* prefetch_work(), ahead_work() */
		if
		:: last = 0
		:: first = 1; last = 1
		:: last = 1
#if GRANULES > 2
		:: first = 2; last = 2
#endif
		fi;
		goto plan
#endif
#ifdef QUOTA
	:: d_step { limit > 1; limit = 1 }
		goto rests /* vm_set_quota_within() */
	:: d_step { limit != 2; limit = 2 }
		goto rests
#if GRANULES > 2
	:: d_step { limit < GRANULES; limit = GRANULES }
		goto rests
#endif
	:: charged > limit -> goto revoke
#endif
	:: charged > 0 -> goto pick /* headroom_work(), shed() */
	fi;

serve:	/* serve_chain(), vm_request() */
	who = avail[0];
	assert(waits[who]);
#ifdef BROKEN_AGAIN
	if
	:: again -> used = 1; goto position
	:: else
	fi;
#endif
	STEP(serving = true);
	last_avail = 1;
	d_step {
		rest();
		job = type[who];
		first = FIRST(item[who]);
		last = LAST(item[who]);
		for (i : 0 .. GRANULES - 1) {
			before[i] = iommu[i]
		}
		i = 0
	}
	if
	:: job == MAP && attached[0] -> goto plan
	:: job == MAP && !attached[0] -> result = FAILED
#ifdef STRICT
	:: job == UNMAP ->
		/* request_unmap(); extents have one granule */
		sure = true;
		f = first;
		do
		:: f <= last ->
			if
			:: mark[f] == ENTERED -> take(f)
			:: else
			fi;
			f++
		:: else -> break
		od;
		f = 0;
		sure = false;
		evict()
#endif
#ifdef LIFE
	:: job == ATTACH ->
		/* endpoints_attach() */
		need = attached[1];
		STEP(ended = false; attached[item[who]] = true);
		if
		:: attached[1] && !need -> need = 0; coarse()
		:: else -> need = 0
		fi
	:: job == DETACH && attached[item[who]] ->
		/* endpoints_detach() */
		STEP(attached[item[who]] = false);
		if
		:: !attached[0] && !attached[1] -> end_requests()
		:: else
		fi
	:: job == DETACH && !attached[item[who]] ->
		/* dispatch() */
		result = (again -> OK : FAILED)
#endif
	fi;
	goto answer;

plan:	/* plan_add(): what is missing, as drafts */
	asks = true;
	g = first;
	do
	:: g > last || result != OK -> break
	:: g <= last && result == OK && IN_BOOKS(g) -> g++
	:: g <= last && result == OK && !IN_BOOKS(g) ->
		n = (WINDOW > 1 && g == 0 && last == 1 && !IN_BOOKS(1) -> 2 : 1);
		if
		:: need + n > limit -> result = FAILED
		:: else ->
#ifdef BROKEN_DRAFT
			STEP(size[g] = n);
#else
			STEP(size[g] = n; mark[g] = DRAFT);
#endif
			draft[g] = true;
			need = need + n;
			g = g + n
		fi;
		n = 0
	od;
	g = 0;
	if
	:: result != OK -> goto abandon
	:: result == OK && need == 0 -> goto commit
	:: else
	fi;

pick:	/* reclaim_room(): victims, until there are enough of them */
	do
	:: !asks || charged + need <= limit + room -> break
	:: (!asks || charged + need > limit + room) && SOME(CANDIDATE) ->
		choose();
		take(f);
		f = 0
	:: !asks || charged + need > limit + room ->
		restore();
		result = FAILED;
		break
	od;
	if
	:: result != OK && asks -> goto abandon
	:: result != OK && !asks -> goto rests
	:: else
	fi;
	evict();
	if
	:: !asks -> goto rests
	:: else
	fi;

	/* plan_map(): all are charged, then mapped one by one */
	f = 0;
	do
	:: f < GRANULES ->
		if
		:: draft[f] ->
			STEP(charged = charged + size[f]; charge[f] = size[f];
			     assert(charged <= limit))
		:: else
		fi;
		f++
	:: else -> break
	od;
	f = 0;
	do
	:: at < GRANULES ->
		if
		:: draft[at] -> /* extent_map() */
			g = at;
			do
			:: g < at + size[at] ->
#ifdef BROKEN_EARLY
				set_word(g);
#endif
				STEP(iommu[g] = true; known();
				     assert(SUM(iommu) <= limit));
				g++
			:: else -> break
			od;
			g = 0;
#ifdef BROKEN_DRAFT
			STEP(mark[at] = DRAFT);
#endif
			at++
		:: draft[at] && SOME(CANDIDATE) -> /* make_way() */
			choose();
			take(f);
			f = 0;
			evict()
		:: draft[at] -> result = FAILED; break
		:: !draft[at] -> at++
		fi
	:: else -> break
	od;
	at = 0;
	if
	:: result != OK -> goto abandon
	:: else
	fi;

commit:	/* map_commit(): plan_commit(), table_set_mapped() */
	f = 0;
	do
	:: f < GRANULES ->
		if
		:: draft[f] -> STEP(mark[f] = ENTERED); draft[f] = false
		:: else
		fi;
		f++
	:: else -> break
	od;
	f = 0;
	set_mapped(first, last + 1);
	goto answer;

abandon: /* plan_abandon() */
	f = 0;
	do
	:: f < GRANULES ->
		if
		:: draft[f] && iommu[f] -> n = f + size[f]; end_range(f, n)
		:: draft[f] && !iommu[f] ->
			STEP(charged = charged - charge[f]; charge[f] = 0);
			STEP(drop(f))
		:: !draft[f]
		fi;
		n = 0;
		draft[f] = false;
		f++
	:: else -> break
	od;
	f = 0;

answer:
	if
	:: who == NOBODY -> goto rests
	:: else
	fi;
	STEP(status[who] = result);
	/* virtq_push() */
	used = 1;
	STEP(used_idx = used; judge(); waits[who] = false);
position:
	STEP(advance());
	goto rests;

#ifdef QUOTA
revoke:	/* reclaim_pick_held() */
	do
	:: charged <= limit + room -> break
	:: else ->
		choose();
#ifndef BROKEN_LATE
		clear_mapped(f, f + size[f]);
#endif
		STEP(
			victim[f] = true;
			for (i : f .. f + size[f] - 1) {
				taken[i] = true
			}
			i = 0
		);
		room = room + charge[f];
		f = 0
	od;
	evict();
	goto rests
#endif
}

init {
	byte i;

	atomic {
		for (i : 0 .. CPUS - 1) {
			holds[i] = NONE
		}
#ifndef LIFE
		bound = true;
#endif
		run agent();
		for (i : 0 .. CPUS - 1) {
			run cpu(i)
		}
		i = 0;
#ifdef LIFE
		run core()
#endif
	}
}
