// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * reuse.c - the extent goes that is worth least by the ages at which others
 * were used again
 *
 * Owns the ring of extents, the hand, the pool of candidates, the life tables
 * and the ghosts. Time is counted in insertions. An extent's age is the time
 * since the policy last knew it in use: when it was inserted, when REFERENCED
 * was found set, or when it turned out to be held. (What is mapped ahead is in
 * nobody's use: it goes on at the age that its ghost has.) When it is used again,
 * be it mapped or a ghost, its age goes into the life table (life.h) of its class,
 * which says what extents of each age are worth.
 *
 * To find a victim the hand goes on until REUSE_IDLE extents were not used, or
 * over REUSE_LOOKS of them. They enter the pool, which keeps the REUSE_POOL that
 * are worth least of all it has seen; the least of those is proposed. While
 * candidates turn out to be held the next of the pool follow, and the hand only
 * moves when it is empty: so going round once proposes all. When no more steps
 * are left than there are extents, each is proposed in turn, whatever it is
 * worth.
 *
 * Invariants: the hand points to an extent of the ring, or the ring is empty;
 * an extent is in the pool if and only if it has REUSE_POOLED; there are at
 * most REUSE_GHOSTS ghosts for each extent. Locks: none. In a request's way:
 * between quota and reclaim, and at the commit.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "host/agent/policy/life.h"
#include "host/agent/policy/policy_impl.h"
#include "host/lib/macros.h"

#define REUSE_LOOKS  32u /* extents that are looked at for a victim, at most */
#define REUSE_IDLE   16u /* ... until so many were not used */
#define REUSE_POOL   32u /* candidates */
#define REUSE_GHOSTS 1u	 /* for each extent */
/* Worths are computed this often while as many extents come as there are. */
#define REUSE_RANKS 16u
/* The life tables are halved when this many times as many have come. */
#define REUSE_MEMORY 8u

/* struct policy_node's data: the bin that the life table knows of, and */
#define REUSE_POOLED (1u << 31)
#define REUSE_COLD   (1u << 30) /* released: goes before all others */
#define REUSE_BIN    0xffu
#define REUSE_CLASS  0x300u /* enum reuse_class << 8 */

/* What is known of an extent: how long it was idle the last time. */
enum reuse_class {
	REUSE_NEW,   /* it was not used again yet */
	REUSE_SHORT, /* a small part of what a round of the hand takes */
	REUSE_MEDIUM,
	REUSE_LONG, /* longer than LRU would have kept it */
	REUSE_CLASSES,
};

/* The root's words; zero is an empty ring. */
struct reuse_root {
	struct life_root life[REUSE_CLASSES];
	uint32_t hand;	   /* extent + 1; 0: none */
	uint32_t proposed; /* extent + 1, whose fate is not known; 0: none */
	uint32_t now;
	uint32_t ranked; /* when the worths were computed */
	uint32_t halved; /* when the life table was halved */
	uint32_t n_pool;
	uint32_t pool[REUSE_POOL]; /* extents */
};

static_assert(sizeof(struct reuse_root) <=
		      sizeof(((struct policy_root *)0)->words),
	      "it has to fit into the root");

/* What follows from the root. */
struct reuse_derived {
	float worth[REUSE_CLASSES][LIFE_BINS];
};

static struct reuse_root *root_of(const struct policy *policy)
{
	return (void *)policy->env.root->words;
}

static enum reuse_class class_of(uint32_t data)
{
	return (data & REUSE_CLASS) >> 8;
}

/* The class, as it stands in data, of what was used at this age. */
static uint32_t class_data(const struct policy *policy, uint32_t age)
{
	uint32_t n = policy_count(policy);

	if (age >= n)
		return REUSE_LONG << 8;
	return (age >= n / 8 ? REUSE_MEDIUM : REUSE_SHORT) << 8;
}

static float worth(const struct policy *policy, uint32_t extent)
{
	const struct policy_node *node = policy_node(policy, extent);
	const struct reuse_derived *derived = policy->derived;

	if (node->data & REUSE_COLD)
		return -1;
	return derived->worth[class_of(node->data)]
			     [life_bin(root_of(policy)->now - node->time)];
}

static void rank(struct policy *policy)
{
	struct reuse_derived *derived = policy->derived;
	struct reuse_root *root = root_of(policy);
	float expected[LIFE_BINS], hazards[LIFE_BINS];
	struct life_root all = { 0 };

	for (int i = 0; i < REUSE_CLASSES; i++)
		life_add(&all, &root->life[i]);
	life_hazards(&all, NULL, expected);
	for (int i = 0; i < REUSE_CLASSES; i++) {
		life_hazards(&root->life[i], expected, hazards);
		life_worths(hazards, derived->worth[i]);
	}
	root->ranked = root->now;
}

static int reuse_init(struct policy *policy)
{
	policy->derived = calloc(1, sizeof(struct reuse_derived));
	if (!policy->derived)
		return -ENOMEM;
	rank(policy);
	return 0;
}

/* --- the pool --- */

static void pool_remove_at(struct policy *policy, uint32_t at)
{
	struct reuse_root *root = root_of(policy);

	policy_node(policy, root->pool[at])->data &= ~REUSE_POOLED;
	root->pool[at] = root->pool[--root->n_pool];
}

static void pool_remove(struct policy *policy, uint32_t extent)
{
	const struct reuse_root *root = root_of(policy);
	uint32_t at = 0;

	if (!(policy_node(policy, extent)->data & REUSE_POOLED))
		return;
	while (root->pool[at] != extent)
		at++;
	pool_remove_at(policy, at);
}

/*
 * What the pool's extents are worth, by their places, while a victim is sought:
 * time stands still then, and who is found to be used makes it be taken anew.
 */
struct standings {
	float worths[REUSE_POOL];
	uint32_t most; /* where the largest one is; REUSE_POOL: not known */
};

/* Where in the pool, which is not empty, what is worth least is. */
static uint32_t find_least(const struct policy *policy,
			   const struct standings *st)
{
	uint32_t at = 0;

	for (uint32_t i = 1; i < root_of(policy)->n_pool; i++)
		if (st->worths[i] < st->worths[at])
			at = i;
	return at;
}

static void take_standings(const struct policy *policy, struct standings *ret)
{
	const struct reuse_root *root = root_of(policy);

	for (uint32_t i = 0; i < root->n_pool; i++)
		ret->worths[i] = worth(policy, root->pool[i]);
	ret->most = REUSE_POOL;
}

/* Where what is worth most is, of a full pool. */
static uint32_t find_most(struct standings *st)
{
	if (st->most != REUSE_POOL)
		return st->most;
	st->most = 0;
	for (uint32_t i = 1; i < REUSE_POOL; i++)
		if (st->worths[i] > st->worths[st->most])
			st->most = i;
	return st->most;
}

static void pool_add(struct policy *policy, uint32_t extent,
		     struct standings *st)
{
	struct reuse_root *root = root_of(policy);
	uint32_t at = root->n_pool;
	float w;

	if (policy_node(policy, extent)->data & REUSE_POOLED)
		return;
	w = worth(policy, extent);
	if (at >= REUSE_POOL) {
		uint32_t most = find_most(st);

		if (w >= st->worths[most])
			return;
		at = REUSE_POOL - 1;
		pool_remove_at(policy, most);
		st->worths[most] = st->worths[at];
		st->most = REUSE_POOL;
	}
	st->worths[at] = w;
	root->pool[at] = extent;
	root->n_pool = at + 1;
	policy_node(policy, extent)->data |= REUSE_POOLED;
}

/* --- ages --- */

/* An extent's age begins anew. */
static void rejuvenate(struct policy *policy, uint32_t extent)
{
	struct policy_node *node = policy_node(policy, extent);

	node->time = root_of(policy)->now;
	node->data &= REUSE_POOLED | REUSE_CLASS;
}

/*
 * Tells the life table what it does not know of an extent or ghost yet: that
 * it is unused up to this age, or used at it. The new data.
 */
static uint32_t tell(struct policy *policy, uint32_t data, uint32_t age,
		     bool used)
{
	struct life_root *life = &root_of(policy)->life[class_of(data)];
	uint32_t bin = life_bin(age);

	life_passed(life, data & REUSE_BIN, bin);
	if (!used)
		return (data & ~REUSE_BIN) | bin;
	life_used(life, bin);
	return class_data(policy, age);
}

/* Looks whether an extent was used. */
static bool look(struct policy *policy, uint32_t extent)
{
	struct policy_node *node = policy_node(policy, extent);
	uint32_t now = root_of(policy)->now;
	bool used = policy_referenced(policy, extent);
	uint32_t pooled = node->data & REUSE_POOLED;

	node->data = tell(policy, node->data, now - node->time, used) | pooled;
	if (used)
		node->time = now;
	return used;
}

static void remember(struct policy *policy, uint32_t extent)
{
	const struct policy_node *node = policy_node(policy, extent);
	struct ghost_note note = {
		.time = node->time,
		.data = node->data & (REUSE_BIN | REUSE_CLASS),
	};

	ghosts_add(&policy->ghosts,
		   policy->env.key(policy->env.userdata, extent), &note);
}

/* The ghost of an extent that comes; or else one that knows nothing. */
static struct ghost_note recall(struct policy *policy, uint32_t extent)
{
	struct ghost_note note = {
		.time = root_of(policy)->now,
		.data = REUSE_NEW << 8,
	};

	(void)ghosts_take(&policy->ghosts,
			  policy->env.key(policy->env.userdata, extent), &note);
	return note;
}

/* Forgets ghosts until there are @max at most. */
static void forget(struct policy *policy, uint32_t max)
{
	uint32_t now = root_of(policy)->now;
	struct ghost_note note;

	while (ghosts_count(&policy->ghosts) > max &&
	       ghosts_take_oldest(&policy->ghosts, &note))
		(void)tell(policy, note.data, now - note.time, false);
}

/* Time goes on; what is derived from the table keeps up with it. */
static void tick(struct policy *policy)
{
	struct reuse_root *root = root_of(policy);
	uint32_t n = policy_count(policy);

	root->now++;
	if (root->now - root->halved > REUSE_MEMORY * n) {
		for (int i = 0; i < REUSE_CLASSES; i++)
			life_halve(&root->life[i]);
		root->halved = root->now;
	}
	if (root->now - root->ranked > n / REUSE_RANKS + 8)
		rank(policy);
}

/* --- the ring --- */

/* Puts @extent where the hand comes last. */
static void ring_add(struct policy *policy, uint32_t extent)
{
	struct policy_node *node = policy_node(policy, extent);
	struct reuse_root *root = root_of(policy);
	uint32_t next = root->hand - 1;

	if (root->hand == 0) {
		node->prev = extent;
		node->next = extent;
		root->hand = extent + 1;
		return;
	}
	node->next = next;
	node->prev = policy_node(policy, next)->prev;
	policy_node(policy, node->prev)->next = extent;
	policy_node(policy, next)->prev = extent;
}

static void ring_remove(struct policy *policy, uint32_t extent)
{
	const struct policy_node *node = policy_node(policy, extent);
	struct reuse_root *root = root_of(policy);

	if (node->next == extent) {
		root->hand = 0;
		return;
	}
	policy_node(policy, node->prev)->next = node->next;
	policy_node(policy, node->next)->prev = node->prev;
	if (root->hand == extent + 1)
		root->hand = node->next + 1;
}

static uint32_t ring_step(struct policy *policy, uint32_t *steps)
{
	struct reuse_root *root = root_of(policy);
	uint32_t extent = root->hand - 1;

	root->hand = policy_node(policy, extent)->next + 1;
	--*steps;
	return extent;
}

/* --- what a policy does --- */

static void reuse_inserted(struct policy *policy, uint32_t extent,
			   enum policy_how how)
{
	struct policy_node *node = policy_node(policy, extent);
	struct ghost_note note;

	if (how != POLICY_RESTORED)
		tick(policy);
	note = recall(policy, extent);
	node->time = note.time;
	node->data = note.data;
	ring_add(policy, extent);
	if (how == POLICY_RESTORED)
		return;
	if (how == POLICY_INSERTED) {
		if (node->time != root_of(policy)->now)
			node->data = tell(policy, note.data,
					  root_of(policy)->now - note.time,
					  true);
		node->time = root_of(policy)->now;
	}
	/* The use that it is mapped for is none again. */
	(void)policy_referenced(policy, extent);
}

static void reuse_removed(struct policy *policy, uint32_t extent)
{
	struct reuse_root *root = root_of(policy);

	if (root->proposed == extent + 1)
		root->proposed = 0;
	pool_remove(policy, extent);
	ring_remove(policy, extent);
	remember(policy, extent);
	forget(policy, REUSE_GHOSTS * (policy_count(policy) - 1));
}

static void reuse_cold(struct policy *policy, uint32_t extent)
{
	struct standings standings;

	(void)policy_referenced(policy, extent);
	policy_node(policy, extent)->data |= REUSE_COLD;
	take_standings(policy, &standings);
	pool_add(policy, extent, &standings);
	/* Of more than the pool holds, the hand comes to the others at once. */
	ring_remove(policy, extent);
	ring_add(policy, extent);
	root_of(policy)->hand = extent + 1;
}

/* Fills the pool from the ring. */
static void gather(struct policy *policy, uint32_t *steps,
		   struct standings *standings)
{
	uint32_t idle = 0;

	for (uint32_t i = min(REUSE_LOOKS, policy_count(policy));
	     i > 0 && idle < REUSE_IDLE; i--) {
		uint32_t extent;

		if (*steps <= policy_count(policy))
			return;
		extent = ring_step(policy, steps);
		if (!look(policy, extent))
			idle++;
		else if (policy_node(policy, extent)->data & REUSE_POOLED)
			take_standings(policy, standings);
		pool_add(policy, extent, standings);
	}
}

/* The one of the pool that is worth least, if steps are left to see to it. */
static uint32_t choose(struct policy *policy, uint32_t *steps)
{
	struct reuse_root *root = root_of(policy);
	bool refused = root->proposed != 0;
	struct standings standings;

	take_standings(policy, &standings);
	while (*steps > policy_count(policy)) {
		uint32_t at, extent;

		if (!refused || root->n_pool == 0)
			gather(policy, steps, &standings);
		refused = true;
		if (root->n_pool == 0 || *steps <= policy_count(policy))
			break;
		--*steps;
		at = find_least(policy, &standings);
		extent = root->pool[at];
		if (!look(policy, extent))
			return extent;
		standings.worths[at] = worth(policy, extent);
		standings.most = REUSE_POOL;
	}
	return POLICY_NONE;
}

static uint32_t reuse_victim(struct policy *policy, uint32_t *steps)
{
	struct reuse_root *root = root_of(policy);
	uint32_t extent;

	/* The last one is still there: it is in use. */
	if (root->proposed != 0)
		rejuvenate(policy, root->proposed - 1);
	extent = choose(policy, steps);
	if (extent == POLICY_NONE && *steps > 0)
		extent = ring_step(policy, steps);
	root->proposed = extent + 1;
	if (extent != POLICY_NONE)
		pool_remove(policy, extent);
	return extent;
}

const struct policy_ops reuse_policy = {
	.name = "reuse",
	.init = reuse_init,
	.inserted = reuse_inserted,
	.removed = reuse_removed,
	.cold = reuse_cold,
	.victim = reuse_victim,
};
