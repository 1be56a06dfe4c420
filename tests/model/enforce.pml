/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * enforce.pml - a quota is lowered, and the agent is killed over it
 *
 * host/agent/enforce.c with enforce=revoke: what is idle goes, what is held the
 * guest is asked for, and after the deadline it is taken. The agent may be
 * killed before each store that the next one finds (STEP()). Granules are no
 * more than numbers here; what becomes of each is recovery.pml's.
 *
 * A deadline is in the future, or is not; it passes while the agent rests, or
 * while there is none. Between two steps of one process there is no time.
 *
 * What must hold:
 *	DEV-QUOTA-4	nothing that is held is taken before the deadline that
 *			the guest was told, of this quota, is over
 *	DEV-QUOTA-1, DEV-QUOTA-2, DEV-CONF-1	when the agent rests and has
 *			nothing to do, the guest was told all that changed; and
 *			what is above the quota is asked for, and looked after
 *
 * spin -a -DBROKEN_...: the same with one rule broken, which must be found:
 *	BROKEN_TOLD	the guest counts as told before it is
 *	BROKEN_NEWS	who goes on says nothing of what he may not have told
 *	BROKEN_UNASKED	who goes on relies on it that what is too much was asked for
 *	BROKEN_ASKED	who goes on keeps a deadline that may not have been told
 */
#define GRANULES 2

mtype = { NOTHING, WITH_QUOTA, ASKED, ALONE }; /* enum enforce_pending */

byte held; /* granules that the guest holds */

/* The guest takes holds of what is mapped, and gives them up. */
#define HOLD held < granules -> held++
#define DROP held > 0 -> held--

#define STEP(action)               \
	if                         \
	:: d_step { action }       \
	:: d_step { timer = false } \
	   goto killed             \
	fi

#define OVER (granules > limit)

/* quota_news++; what the guest reads now is what it was told. */
inline tell()
{
	STEP(untold = false; warned = excess && until)
}

/* forget(): nothing is asked for; excess first, by which all else counts. */
inline forget()
{
	STEP(untold = untold || excess; excess = false);
	STEP(until = false);
	timer = false
}

/* ask() */
inline ask()
{
	if
	:: OVER ->
		STEP(until = true);
		STEP(excess = true; untold = true);
		timer = true
	:: else
	fi;
	if
	:: pending == ALONE ->
#ifdef BROKEN_TOLD
		STEP(pending = NOTHING);
#endif
		if
		:: excess -> tell()
		:: else
		fi;
		STEP(pending = NOTHING)
	:: else -> STEP(pending = ASKED)
	fi
}

/* settle() */
inline settle()
{
	if
	:: excess && !OVER -> forget(); tell()
	:: else
	fi
}

/* enforce_work(): shed() may not be done with it in one slice. */
inline work()
{
	if
	:: OVER && held < granules -> STEP(granules--)
	:: !OVER || held == granules ->
		if
		:: pending != NOTHING -> ask()
		:: else
		fi;
		settle()
	fi
}

proctype agent()
{
	/* --- what outlives a kill --- */
	byte granules; /* that are mapped, and charged */
	byte limit = GRANULES;
	mtype pending = NOTHING;
	bool excess; /* is it above 0? */
	bool until;  /* is it in the future? */

	/* --- what only the properties know --- */
	bool untold; /* the guest reads what it was not told of */
	bool warned; /* it was told of a deadline, of this quota */

	/* --- what a kill ends --- */
	bool timer;

	goto rests;

killed:	/* time passes; vm_resume(), enforce_resume() */
	if
	:: until = false
	:: true
	fi;
	if
#ifdef BROKEN_ASKED
	:: pending != NOTHING -> STEP(pending = ALONE); timer = excess
#else
	:: pending != NOTHING ->
		STEP(pending = ALONE);
		forget()
#endif
#ifndef BROKEN_UNASKED
	:: pending == NOTHING && !excess && OVER -> STEP(pending = ALONE)
	:: pending == NOTHING && (excess || !OVER) -> timer = excess
#else
	:: pending == NOTHING -> timer = excess
#endif
	fi;
#ifndef BROKEN_NEWS
	STEP(untold = false);
#endif

rests:
	if
	:: d_step {
		assert(pending == NOTHING || pending == ALONE);
		assert(pending != NOTHING || !untold);
		assert(pending != NOTHING || !OVER || excess && timer)
	   }
	fi;
	do
	:: d_step { HOLD }
	:: d_step { DROP }
	:: d_step { until; until = false }
	:: d_step { granules < limit; granules++ } /* a MAP */
	:: d_step { granules > held; granules-- }  /* an eviction */
	:: pending != NOTHING -> work(); break
	:: timer && excess && !until ->
		/* vm_tick(): revoke(), settle() */
		if
		:: OVER ->
			assert(warned);
			STEP(granules--; held = (held > granules -> granules : held))
		:: else
		fi;
		settle();
		break
	:: timer && (!excess || until) -> work(); break
	:: true ->
		/* vm_set_quota_within() */
		forget();
		STEP(pending = WITH_QUOTA);
		d_step { warned = false }
		if
		:: limit != 0 -> STEP(limit = 0; untold = true)
		:: limit != 1 -> STEP(limit = 1; untold = true)
		:: limit != GRANULES -> STEP(limit = GRANULES; untold = true)
		fi;
		work();
		tell();
		/* enforce_told() */
		STEP(pending = (pending == ASKED -> NOTHING : ALONE));
		break
	od;
	goto rests
}

init {
	run agent()
}
