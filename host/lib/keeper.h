/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * keeper.h - descriptors that outlive this process, in the service manager's store
 *
 * A file that is put in is known by an id, which is never used again; it names what
 * it was at first, for whoever looks at the store (systemd-analyze fdstore). Put in
 * again, it has the same id, and one more reference. Where there is no store, ids
 * are 0 and everything else does nothing.
 *
 * What must outlive the process refers to descriptors by id. The order makes that
 * safe: put in, then note the id; forget the id, then take out. What nobody
 * claims after a restart was about to come or to go, and is taken out
 * (keeper_sweep()).
 */
#ifndef PVDMA_LIB_KEEPER_H
#define PVDMA_LIB_KEEPER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct keeper;

enum keeper_kind {
	KEEPER_CONTAINER,
	KEEPER_GROUP,
	KEEPER_DEVICE,
	KEEPER_LISTEN, /* listening sockets */
	KEEPER_CLIENT, /* connected ones */
	KEEPER_MEMORY, /* of the guest, if it came before there was a store */
	KEEPER_EVENT,  /* interrupts, likewise */
	KEEPER_MESSAGE, /* of a message: memory, kicks, calls, interrupts, channels */
	KEEPER_IOMMU, /* what the null IOMMU maps */
	KEEPER_NULL,  /* of null devices */
	KEEPER_KINDS,
};

/* The name of the state's memfd, which has no id: it is what ids are noted in. */
#define KEEPER_STATE "pvdma-state"

/*
 * Takes what the service manager kept for this process (LISTEN_FDS), and finds
 * out whether there is a store (FDSTORE, NOTIFY_SOCKET). 0 or a negative errno,
 * logged.
 */
int keeper_new(struct keeper **ret);
/* Closes what was not claimed. Takes NULL. */
void keeper_free(struct keeper *keeper);

/* Is anything kept? Takes NULL, as all below. */
bool keeper_active(const struct keeper *keeper);

/* The state of the process before, owned by the caller; or -EBADF. */
int keeper_take_state(struct keeper *keeper);
/* Puts the state in; 0 or a negative errno, logged. */
int keeper_put_state(struct keeper *keeper, int fd);

/*
 * Where ids are counted, so that those of the process before are not used again; and
 * what could not be kept, without which nobody can go on: both in the state.
 */
void keeper_count_in(struct keeper *keeper, uint64_t *counter, uint64_t *lost);

/*
 * Puts the file of @fd in, borrowed; or refers to it once more. Its id, or 0: not
 * kept; a failure is logged.
 */
uint64_t keeper_put(struct keeper *keeper, enum keeper_kind kind, int fd);
/* One reference less; the last one takes it out. 0 is nothing. */
void keeper_drop(struct keeper *keeper, uint64_t id);

/*
 * A descriptor of the process before, owned by the caller, who has a reference now
 * as from keeper_put(). -EBADF: there is none, which is logged; for id 0, too, but
 * that is not.
 */
int keeper_claim(struct keeper *keeper, uint64_t id);
/*
 * The @i-th of this kind, borrowed until it is dropped, and not swept; -EBADF: there
 * are not as many. For those of which there is one, and for a state that cannot be
 * read.
 */
int keeper_find(struct keeper *keeper, enum keeper_kind kind, size_t i);
/* All that had to be claimed was: takes out what has no reference. */
void keeper_sweep(struct keeper *keeper);
/* Takes everything out: there is no going on. */
void keeper_clear(struct keeper *keeper);

#endif
