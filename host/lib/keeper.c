// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * keeper.c - descriptors that outlive this process, in the service manager's store
 *
 * Theory of operation. A message to the service manager is kept by the kernel once
 * it is sent, and the manager looks at messages before it looks at who has died:
 * so what was sent before a kill counts. Nothing is answered, and nothing waited
 * for. The store does not look at what the descriptors do (FDPOLL=0): a socket
 * whose peer has hung up stays until it is taken out.
 *
 * Owns: the descriptors that came with the start, until keeper_sweep().
 * Invariant: an id is put in at most once.
 *
 * Locks: none; one thread. In a request's way: not.
 */
#include "keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>

#include "lib/cleanup.h"
#include "lib/crash.h"
#include "lib/log.h"
#include "lib/parse.h"

#define NAME_MAX_LEN 64
#define KIND_SHIFT   56
#define NUMBER_MASK  ((UINT64_C(1) << KIND_SHIFT) - 1)

struct kept {
	char *name;
	int fd;
	bool claimed;
};

/* A file that is shared; known by what it is and how it was opened. */
struct shared {
	uint64_t id;
	dev_t dev;
	ino_t ino;
	int mode;
	unsigned int refs;
};

struct keeper {
	bool active;
	struct shared *shared;
	size_t num_shared;
	uint64_t *counter;
	struct kept *kept; /* of the process before */
	size_t num;
};

static const char *const kind_names[KEEPER_KINDS] = {
	[KEEPER_CONTAINER] = "container", [KEEPER_GROUP] = "group",
	[KEEPER_DEVICE] = "device",	  [KEEPER_LISTEN] = "listen",
	[KEEPER_CLIENT] = "client",	  [KEEPER_CHANNEL] = "channel",
	[KEEPER_MEMORY] = "memory",	  [KEEPER_EVENT] = "event",
	[KEEPER_MESSAGE] = "message",	  [KEEPER_IOMMU] = "iommu",
	[KEEPER_NULL] = "null",
};

static void name_of(uint64_t id, char name[static NAME_MAX_LEN])
{
	unsigned int kind = (unsigned int)(id >> KIND_SHIFT);

	(void)snprintf(name, NAME_MAX_LEN, "pvdma-%s-%" PRIu64,
		       kind < KEEPER_KINDS ? kind_names[kind] : "unknown",
		       id & NUMBER_MASK);
}

/* Is there a store? The manager says how many it takes, since systemd 254. */
static bool has_store(void)
{
	const char *most = getenv("FDSTORE");
	uint64_t n;

	return getenv("NOTIFY_SOCKET") && most &&
	       parse_uint(most, 1, INT32_MAX, &n) == 0;
}

int keeper_new(struct keeper **ret)
{
	struct keeper *keeper = calloc(1, sizeof(*keeper));
	char **names = NULL;
	int n;

	if (!keeper)
		return log_err_errno(ENOMEM, "cannot start");
	keeper->active = has_store();
	n = sd_listen_fds_with_names(true, &names);
	if (n < 0) {
		free(keeper);
		return log_err_errno(n, "cannot take over descriptors");
	}
	keeper->kept = n > 0 ? calloc((size_t)n, sizeof(*keeper->kept)) : NULL;
	if (n > 0 && !keeper->kept) {
		free(keeper);
		return log_err_errno(ENOMEM, "cannot start");
	}
	keeper->num = (size_t)n;
	for (int i = 0; i < n; i++)
		keeper->kept[i] = (struct kept){
			.name = names[i],
			.fd = SD_LISTEN_FDS_START + i,
		};
	free(names);
	*ret = keeper;
	return 0;
}

static void forget_kept(struct keeper *keeper)
{
	for (size_t i = 0; i < keeper->num; i++) {
		close_fd(keeper->kept[i].fd);
		free(keeper->kept[i].name);
	}
	free(keeper->kept);
	keeper->kept = NULL;
	keeper->num = 0;
}

void keeper_free(struct keeper *keeper)
{
	if (!keeper)
		return;
	forget_kept(keeper);
	free(keeper->shared);
	free(keeper);
}

bool keeper_active(const struct keeper *keeper)
{
	return keeper && keeper->active;
}

static int put(const char *name, int fd)
{
	char text[NAME_MAX_LEN + 64];
	int r;

	(void)snprintf(text, sizeof(text), "FDSTORE=1\nFDPOLL=0\nFDNAME=%s",
		       name);
	r = sd_pid_notify_with_fds(0, 0, text, &fd, 1);
	if (r <= 0)
		return log_err_errno(r < 0 ? r : -ENOTCONN,
				     "the service manager does not keep %s",
				     name);
	return 0;
}

static void drop(const char *name)
{
	(void)sd_notifyf(0, "FDSTOREREMOVE=1\nFDNAME=%s", name);
}

static struct kept *find(struct keeper *keeper, const char *name)
{
	for (size_t i = 0; keeper && i < keeper->num; i++)
		if (strcmp(keeper->kept[i].name, name) == 0)
			return &keeper->kept[i];
	return NULL;
}

int keeper_take_state(struct keeper *keeper)
{
	struct kept *kept = find(keeper, KEEPER_STATE);

	if (!kept)
		return -EBADF;
	kept->claimed = true;
	return steal_fd(&kept->fd);
}

int keeper_put_state(struct keeper *keeper, int fd)
{
	return keeper_active(keeper) ? put(KEEPER_STATE, fd) : 0;
}

void keeper_count_in(struct keeper *keeper, uint64_t *counter)
{
	if (keeper)
		keeper->counter = counter;
}

uint64_t keeper_put(struct keeper *keeper, enum keeper_kind kind, int fd)
{
	char name[NAME_MAX_LEN];
	uint64_t id;

	if (!keeper_active(keeper) || fd < 0)
		return 0;
	id = (uint64_t)kind << KIND_SHIFT | (++*keeper->counter & NUMBER_MASK);
	name_of(id, name);
	crash_point("keep");
	if (put(name, fd) < 0)
		return 0;
	crash_point("kept");
	return id;
}

void keeper_drop(struct keeper *keeper, uint64_t id)
{
	char name[NAME_MAX_LEN];

	if (!keeper_active(keeper) || id == 0)
		return;
	name_of(id, name);
	crash_point("unkeep");
	drop(name);
}

int keeper_claim(struct keeper *keeper, uint64_t id)
{
	char name[NAME_MAX_LEN];
	struct kept *kept;
	int fd;

	if (id == 0)
		return -EBADF;
	name_of(id, name);
	kept = find(keeper, name);
	fd = kept ? fcntl(kept->fd, F_DUPFD_CLOEXEC, 3) : -1;
	if (fd < 0) {
		log_err("the service manager has not kept %s", name);
		return -EBADF;
	}
	kept->claimed = true;
	return fd;
}

/* The place of the file @fd, or of @id; one that is free where there is none. */
static struct shared *find_shared(struct keeper *keeper, uint64_t id,
				  const struct shared *like)
{
	struct shared *shared;

	for (size_t i = 0; i < keeper->num_shared; i++) {
		shared = &keeper->shared[i];
		if (shared->refs > 0 &&
		    (like ? shared->dev == like->dev &&
				     shared->ino == like->ino &&
				     shared->mode == like->mode :
			    shared->id == id))
			return shared;
	}
	return NULL;
}

static int describe(int fd, struct shared *ret)
{
	int flags = fcntl(fd, F_GETFL);
	struct stat st;

	if (flags < 0 || fstat(fd, &st) < 0)
		return -errno;
	*ret = (struct shared){
		.dev = st.st_dev,
		.ino = st.st_ino,
		.mode = flags & O_ACCMODE,
		.refs = 1,
	};
	return 0;
}

static int add_shared(struct keeper *keeper, const struct shared *shared)
{
	struct shared *list;

	for (size_t i = 0; i < keeper->num_shared; i++) {
		if (keeper->shared[i].refs == 0) {
			keeper->shared[i] = *shared;
			return 0;
		}
	}
	list = reallocarray(keeper->shared, keeper->num_shared + 1,
			    sizeof(*list));
	if (!list)
		return -ENOMEM;
	keeper->shared = list;
	list[keeper->num_shared++] = *shared;
	return 0;
}

uint64_t keeper_share(struct keeper *keeper, int fd)
{
	struct shared shared, *known;

	if (!keeper_active(keeper) || describe(fd, &shared) < 0)
		return 0;
	known = find_shared(keeper, 0, &shared);
	if (known) {
		known->refs++;
		return known->id;
	}
	shared.id = keeper_put(keeper, KEEPER_MEMORY, fd);
	if (shared.id != 0 && add_shared(keeper, &shared) < 0) {
		keeper_drop(keeper, shared.id);
		return 0;
	}
	return shared.id;
}

void keeper_unshare(struct keeper *keeper, uint64_t id)
{
	struct shared *shared = keeper_active(keeper) && id ?
					find_shared(keeper, id, NULL) :
					NULL;

	if (shared && --shared->refs == 0)
		keeper_drop(keeper, id);
}

int keeper_claim_shared(struct keeper *keeper, uint64_t id)
{
	int fd = keeper_claim(keeper, id);
	struct shared shared, *known;
	int r;

	if (fd < 0)
		return fd;
	known = find_shared(keeper, id, NULL);
	if (known) {
		known->refs++;
		return fd;
	}
	r = describe(fd, &shared);
	shared.id = id;
	if (r == 0)
		r = add_shared(keeper, &shared);
	if (r == 0)
		return fd;
	close_fd(fd);
	return r;
}

int keeper_find(struct keeper *keeper, enum keeper_kind kind, size_t i)
{
	char prefix[NAME_MAX_LEN];

	(void)snprintf(prefix, sizeof(prefix), "pvdma-%s-", kind_names[kind]);
	for (size_t at = 0; keeper && at < keeper->num; at++) {
		struct kept *kept = &keeper->kept[at];

		if (strncmp(kept->name, prefix, strlen(prefix)) != 0 || i-- > 0)
			continue;
		kept->claimed = true;
		return kept->fd;
	}
	return -EBADF;
}

void keeper_sweep(struct keeper *keeper)
{
	for (size_t i = 0; keeper && i < keeper->num; i++) {
		if (!keeper->kept[i].claimed)
			drop(keeper->kept[i].name);
	}
	if (keeper)
		forget_kept(keeper);
}

void keeper_clear(struct keeper *keeper)
{
	for (size_t i = 0; keeper && i < keeper->num; i++)
		drop(keeper->kept[i].name);
	if (keeper_active(keeper))
		drop(KEEPER_STATE);
	if (keeper)
		forget_kept(keeper);
}
