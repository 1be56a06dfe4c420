/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * guest.pml - CPUs of a guest that hold, ask, and give up; for recovery.pml
 *
 * Owns what lies in guest memory: the words, the requests, and the ring. Of the
 * ring only what is behind the agent's position is kept, counted from there.
 */
mtype = { MAP, UNMAP, ATTACH, DETACH }; /* requests */
mtype = { PENDING, OK, FAILED };	/* statuses */

#ifndef CPUS
#define CPUS 2
#endif
#ifdef LIFE
#define CLIENTS (CPUS + 1) /* and the core, which binds drivers */
#define CORE	CPUS
#else
#define CLIENTS CPUS
#endif
#define NONE WORDS

mtype type[CLIENTS];
byte item[CLIENTS]; /* a word; of ATTACH and DETACH, an endpoint */
mtype status[CLIENTS];
bool waits[CLIENTS]; /* its request is the device's */
byte avail[CLIENTS + 1];
byte avail_idx, used_idx;

bool bound; /* a driver, to endpoint 0: CPUs may use it */

/* --- what only the properties know --- */

byte holds[CPUS];   /* a word, or NONE */
bool told[CPUS];    /* that it is mapped: hit, or answered OK */
bool excused[CPUS]; /* and then it was revoked */
bool quiet[CPUS];   /* what it gave up nobody has used since */
bool dropped;	    /* something was given up during an ATTACH */

/* Have words @v and @w a granule in common? */
#define MEET(v, w) \
	((v) == (w) || (v) == BLOCK && (w) < 2 || (w) == BLOCK && (v) < 2)

/* pvdma_queue_add() */
inline send(me, what, which)
{
	d_step {
		type[me] = what;
		item[me] = which;
		status[me] = PENDING;
		avail[avail_idx] = me;
		avail_idx++;
		waits[me] = true
	}
}

/* pvdma_request_wait(); the buffers are the driver's again. */
inline wait(me)
{
	d_step {
		!waits[me];
		type[me] = 0;
		item[me] = 0;
		status[me] = 0
	}
}

#ifdef STRICT
/* @w is held: others' UNMAP of it may be refused. */
inline stir(w)
{
	for (i : 0 .. CPUS - 1) {
		quiet[i] = quiet[i] && !MEET(item[i], w)
	}
	i = 0
}
#endif

/* pvdma_track_hold(): one fetch-and-add */
inline hold(me, w)
{
	d_step {
		bound;
		holds[me] = w;
		count[w]++;
		told[me] = mapped[w];
#ifdef STRICT
		stir(w)
#endif
	}
}

/* pvdma_track_unhold_left() */
inline unhold(me)
{
	d_step {
		assert(count[holds[me]] > 0);
		count[holds[me]]--;
#ifdef STRICT
		if
		:: count[holds[me]] == 0 ->
			item[me] = holds[me];
			quiet[me] = true;
			for (i : 0 .. WORDS - 1) {
				quiet[me] = quiet[me] &&
					    (count[i] == 0 || !MEET(i, item[me]))
			}
			i = 0;
			last = true
		:: else
		fi;
#endif
#ifdef LIFE
		dropped = true;
#endif
		holds[me] = NONE;
		told[me] = false;
		excused[me] = false
	}
}

/*
 * A mapping of one word's granules, and its end. What the device does in
 * between is no step: it may reach for them at any time, see reach() in
 * recovery.pml.
 */
proctype cpu(byte me)
{
#ifdef STRICT
	byte i;
	bool last;
#endif

	do
	:: 	if
		:: hold(me, 0)
		:: hold(me, 1)
#if GRANULES > 2
		:: hold(me, 2)
#endif
		:: hold(me, BLOCK)
		fi;
		if
		:: told[me]
		:: else -> send(me, MAP, holds[me]); wait(me)
		fi;
		unhold(me);
#ifdef STRICT
		/* pvdma_unmap_drop(): who brings it to zero names it */
		if
		:: last ->
			send(me, UNMAP, item[me]);
			wait(me);
			last = false;
			quiet[me] = false
		:: else
		fi
#endif
	od
}

#ifdef LIFE
/* Binds drivers to the two endpoints, and unbinds them when they are at rest. */
proctype core()
{
	bool ours[2];

	do
	:: !ours[0] ->
		send(CORE, ATTACH, 0);
		d_step {
			!waits[CORE];
			assert(status[CORE] == OK);
			ours[0] = true;
			bound = true
		}
	:: ours[0] ->
		d_step {
			holds[0] == NONE;
			bound = false
		}
		send(CORE, DETACH, 0);
		d_step {
			!waits[CORE];
			assert(status[CORE] == OK);
			ours[0] = false
		}
	:: !ours[1] ->
		dropped = false;
		send(CORE, ATTACH, 1);
		d_step {
			!waits[CORE];
			assert(status[CORE] == OK);
			ours[1] = true
		}
	:: ours[1] ->
		send(CORE, DETACH, 1);
		d_step {
			!waits[CORE];
			assert(status[CORE] == OK);
			ours[1] = false
		}
	od
}
#endif
