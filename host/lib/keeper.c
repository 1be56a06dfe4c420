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
 * The store has each open file once: one that is put in again, under whatever name,
 * is forgotten by systemd without a word. The same file comes in a message and
 * becomes guest memory or an interrupt, or comes in message after message. So a
 * file has one id, that of the first time, and as many references as were put in
 * or claimed. To know a file again takes a descriptor of it (kcmp(2)).
 *
 * Nothing stays without a reference, although a guest that masks and unmasks an
 * interrupt has the same few eventfds stored and dropped over and over: VMMs take an
 * eventfd back by closing it, which VFIO only sees when nobody has it any more.
 *
 * Owns: a descriptor of each file that is kept. Invariant: a file has one entry, and
 * an entry one file; what is in the store is in the entries, but for the state.
 *
 * Locks: none; one thread. In a request's way: not.
 */
#include "keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/kcmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/crash.h"
#include "lib/log.h"
#include "lib/parse.h"

#define NAME_MAX_LEN 64
#define KIND_SHIFT   56
#define NUMBER_MASK  ((UINT64_C(1) << KIND_SHIFT) - 1)

struct entry {
	uint64_t id;   /* 0: of another kind of program */
	char *foreign; /* and its name then */
	int fd;
	dev_t dev;
	ino_t ino;
	unsigned int refs;
	bool found; /* by its kind: has no references to count */
};

struct keeper {
	bool active;
	size_t most; /* that the store takes */
	uint64_t *counter, *lost;
	struct entry *entries;
	size_t num;
};

static const char *const kind_names[KEEPER_KINDS] = {
	[KEEPER_CONTAINER] = "container", [KEEPER_GROUP] = "group",
	[KEEPER_DEVICE] = "device",	  [KEEPER_LISTEN] = "listen",
	[KEEPER_CLIENT] = "client",	  [KEEPER_MEMORY] = "memory",
	[KEEPER_EVENT] = "event",	  [KEEPER_MESSAGE] = "message",
	[KEEPER_IOMMU] = "iommu",	  [KEEPER_NULL] = "null",
};

static void name_of(uint64_t id, char name[static NAME_MAX_LEN])
{
	unsigned int kind = (unsigned int)(id >> KIND_SHIFT);

	(void)snprintf(name, NAME_MAX_LEN, "pvdma-%s-%" PRIu64,
		       kind < KEEPER_KINDS ? kind_names[kind] : "unknown",
		       id & NUMBER_MASK);
}

/* The id of that name, or 0. */
static uint64_t id_of(const char *name)
{
	char prefix[NAME_MAX_LEN];
	uint64_t number;

	for (uint64_t kind = 0; kind < KEEPER_KINDS; kind++) {
		(void)snprintf(prefix, sizeof(prefix), "pvdma-%s-",
			       kind_names[kind]);
		if (strncmp(name, prefix, strlen(prefix)) == 0 &&
		    parse_uint(name + strlen(prefix), 1, NUMBER_MASK,
			       &number) == 0)
			return kind << KIND_SHIFT | number;
	}
	return 0;
}

/* How many the store takes, which the manager says since systemd 254; 0: none. */
static size_t store_size(void)
{
	const char *most = getenv("FDSTORE");
	uint64_t n;

	if (!getenv("NOTIFY_SOCKET") || !most ||
	    parse_uint(most, 1, INT32_MAX, &n) < 0)
		return 0;
	return (size_t)n;
}

/* Are both the same open file? As systemd decides, where there is kcmp(2). */
static bool same_file(int a, int b)
{
	pid_t self = getpid();

	return syscall(SYS_kcmp, self, self, KCMP_FILE, a, b) == 0;
}

/*
 * Can that be known at all? Where kcmp(2) is forbidden, it does not even look for
 * the files.
 */
static bool can_compare(void)
{
	pid_t self = getpid();

	return syscall(SYS_kcmp, self, self, KCMP_FILE, -1, -1) == 0 ||
	       errno == EBADF;
}

/* What tells files apart, as far as fstat(2) can. */
static int describe(int fd, struct entry *e)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	e->dev = st.st_dev;
	e->ino = st.st_ino;
	return 0;
}

/* Has @fd and @name, if that is not of ours. 0 or a negative errno. */
static int inherit(struct keeper *keeper, int fd, char *name)
{
	struct entry *e = &keeper->entries[keeper->num++];

	*e = (struct entry){ .id = id_of(name), .fd = fd };
	if (e->id == 0)
		e->foreign = name;
	else
		free(name);
	return describe(fd, e);
}

int keeper_new(struct keeper **ret)
{
	struct keeper *keeper = calloc(1, sizeof(*keeper));
	char **names = NULL;
	int n, r = 0;

	if (!keeper)
		return log_err_errno(ENOMEM, "cannot start");
	keeper->most = store_size();
	keeper->active = keeper->most > 0 && can_compare();
	if (keeper->most > 0 && !keeper->active)
		log_warn(
			"no descriptors are kept, and after a crash the VM cannot go on: kcmp(2) fails (%s); allow it in SystemCallFilter=",
			strerror(errno));
	n = sd_listen_fds_with_names(true, &names);
	if (n < 0) {
		free(keeper);
		return log_err_errno(n, "cannot take over descriptors");
	}
	keeper->entries = calloc((size_t)n + 1, sizeof(*keeper->entries));
	if (!keeper->entries) {
		free(keeper);
		return log_err_errno(ENOMEM, "cannot start");
	}
	for (int i = 0; i < n; i++) {
		int failed = inherit(keeper, SD_LISTEN_FDS_START + i, names[i]);

		r = r < 0 ? r : failed;
	}
	free(names);
	if (r < 0) {
		keeper_free(keeper);
		return log_err_errno(r, "cannot take over descriptors");
	}
	*ret = keeper;
	return 0;
}

/* Closes; the store has it as before. The last entry takes its place. */
static void forget(struct keeper *keeper, struct entry *e)
{
	close_fd(e->fd);
	free(e->foreign);
	*e = keeper->entries[--keeper->num];
}

void keeper_free(struct keeper *keeper)
{
	if (!keeper)
		return;
	while (keeper->num > 0)
		forget(keeper, &keeper->entries[keeper->num - 1]);
	free(keeper->entries);
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

/* Out of the store, and of the entries. */
static void take_out(struct keeper *keeper, struct entry *e)
{
	char name[NAME_MAX_LEN];

	if (e->id != 0)
		name_of(e->id, name);
	drop(e->id != 0 ? name : e->foreign);
	forget(keeper, e);
}

static struct entry *find(struct keeper *keeper, uint64_t id)
{
	for (size_t i = 0; keeper && id != 0 && i < keeper->num; i++)
		if (keeper->entries[i].id == id)
			return &keeper->entries[i];
	return NULL;
}

static struct entry *find_file(struct keeper *keeper, int fd,
			       const struct entry *like)
{
	for (size_t i = 0; i < keeper->num; i++) {
		struct entry *e = &keeper->entries[i];

		if (e->id != 0 && e->dev == like->dev && e->ino == like->ino &&
		    same_file(e->fd, fd))
			return e;
	}
	return NULL;
}

int keeper_take_state(struct keeper *keeper)
{
	for (size_t i = 0; keeper && i < keeper->num; i++) {
		struct entry *e = &keeper->entries[i];
		int fd;

		if (!e->foreign || strcmp(e->foreign, KEEPER_STATE) != 0)
			continue;
		fd = steal_fd(&e->fd);
		forget(keeper, e);
		return fd;
	}
	return -EBADF;
}

int keeper_put_state(struct keeper *keeper, int fd)
{
	return keeper_active(keeper) ? put(KEEPER_STATE, fd) : 0;
}

void keeper_count_in(struct keeper *keeper, uint64_t *counter, uint64_t *lost)
{
	if (!keeper)
		return;
	keeper->counter = counter;
	keeper->lost = lost;
}

/* An entry for @fd as @like says, in the store. NULL: there is none, logged. */
static struct entry *put_in(struct keeper *keeper, int fd,
			    const struct entry *like)
{
	struct entry *list, *e;
	char name[NAME_MAX_LEN];

	name_of(like->id, name);
	/* One is for the state. What has no room there is dropped silently. */
	if (keeper->num + 1 >= keeper->most) {
		log_ratelimited(
			LOG_ERR,
			"the service manager's store is full (%zu): after a crash the VM cannot go on; raise FileDescriptorStoreMax=",
			keeper->most);
		return NULL;
	}
	list = reallocarray(keeper->entries, keeper->num + 1, sizeof(*list));
	if (!list)
		return NULL;
	keeper->entries = list;
	e = &list[keeper->num];
	*e = *like;
	e->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (e->fd < 0) {
		(void)log_err_errno(errno, "cannot keep %s", name);
		return NULL;
	}
	if (put(name, fd) < 0) {
		e->fd = close_fd(e->fd);
		return NULL;
	}
	keeper->num++;
	return e;
}

uint64_t keeper_put(struct keeper *keeper, enum keeper_kind kind, int fd)
{
	struct entry like = { 0 }, *e = NULL;

	if (!keeper_active(keeper) || fd < 0)
		return 0;
	if (describe(fd, &like) == 0)
		e = find_file(keeper, fd, &like);
	if (!e) {
		like.id = (uint64_t)kind << KIND_SHIFT |
			  (++*keeper->counter & NUMBER_MASK);
		crash_point("keep");
		e = put_in(keeper, fd, &like);
		crash_point("kept");
	}
	if (!e) {
		++*keeper->lost;
		return 0;
	}
	e->refs++;
	return e->id;
}

void keeper_drop(struct keeper *keeper, uint64_t id)
{
	struct entry *e = find(keeper, id);

	if (!keeper_active(keeper) || !e)
		return;
	if (e->refs > 0 && --e->refs > 0)
		return;
	crash_point("unkeep");
	take_out(keeper, e);
}

int keeper_claim(struct keeper *keeper, uint64_t id)
{
	struct entry *e = find(keeper, id);
	char name[NAME_MAX_LEN];
	int fd;

	if (id == 0)
		return -EBADF;
	fd = e ? fcntl(e->fd, F_DUPFD_CLOEXEC, 3) : -1;
	if (fd < 0) {
		name_of(id, name);
		log_err("the service manager has not kept %s", name);
		return -EBADF;
	}
	e->refs++;
	return fd;
}

int keeper_find(struct keeper *keeper, enum keeper_kind kind, size_t i)
{
	for (size_t at = 0; keeper && at < keeper->num; at++) {
		struct entry *e = &keeper->entries[at];

		if (e->id == 0 || e->id >> KIND_SHIFT != (uint64_t)kind ||
		    i-- > 0)
			continue;
		e->found = true;
		return e->fd;
	}
	return -EBADF;
}

void keeper_sweep(struct keeper *keeper)
{
	size_t i = 0;

	while (keeper && i < keeper->num) {
		struct entry *e = &keeper->entries[i];

		if (e->refs == 0 && !e->found)
			take_out(keeper, e);
		else
			i++;
	}
}

void keeper_clear(struct keeper *keeper)
{
	while (keeper && keeper->num > 0)
		take_out(keeper, &keeper->entries[keeper->num - 1]);
	if (keeper_active(keeper))
		drop(KEEPER_STATE);
}
