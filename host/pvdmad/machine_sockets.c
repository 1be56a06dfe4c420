// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * machine_sockets.c - sockets, descriptors and limits of a machine
 *
 * Owns: the directory of a machine, the sockets in it, and all descriptors on
 * their way to the agent.
 *
 * Invariant: a descriptor is ours until the agent was sent it, and closed here
 * then: a socket whose agent died refuses connections at once, and a group whose
 * agent died is free. The agent may lock as much memory as its quota from the
 * moment when it gets the first descriptor, and none before.
 *
 * Locks: none; one event loop. In a request's way: not.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "assign.h"
#include "lib/cleanup.h"
#include "lib/handover.h"
#include "lib/log.h"
#include "lib/macros.h"
#include "lib/owner.h"
#include "machine.h"
#include "service.h"

static int listen_in(const struct machine *machine, const char *name,
		     const struct socket_access *access,
		     struct socket_name *ret_name)
{
	_cleanup_free_ char *path = NULL;

	if (asprintf(&path, "%s/%s", machine->dir, name) < 0) {
		path = NULL;
		return log_err_errno(ENOMEM, "cannot listen");
	}
	return socket_listen(path, access, ret_name);
}

static int qemu_access(const struct machine *machine,
		       struct socket_access *access)
{
	const char *owner = machine->spec.owner, *why = NULL;
	int r;

	*access = (struct socket_access){
		.mode = 0600,
		.uid = (uid_t)-1,
		.gid = (gid_t)-1,
	};
	if (!owner)
		owner = machine->service->config->owner;
	if (!owner)
		return 0;
	r = owner_parse(owner, &access->uid, &access->gid, &why);
	if (r < 0)
		log_err("owner=%s: %s", owner, why ? why : parse_strerror(r));
	return r;
}

void machine_socket_path(const struct machine *machine,
			 const struct spec_device *dev, char *buf, size_t size)
{
	/* Null devices have one name: endpoints tell them apart. */
	if (strcmp(dev->address, "null") == 0)
		(void)snprintf(buf, size, "%s/null-%" PRIu32 ".sock",
			       machine->dir, dev->endpoint);
	else
		(void)snprintf(buf, size, "%s/%s.sock", machine->dir,
			       dev->address);
}

/* A group can be opened once; devices that share one share the descriptor. */
static int open_group(const struct machine *machine, size_t i)
{
	const struct spec_device *dev = &machine->spec.devices[i];
	int fd;

	for (size_t n = 0; n < i; n++) {
		const struct spec_device *other = &machine->spec.devices[n];

		if (machine->devices[n].group_fd < 0 ||
		    !assign_same_group(machine->service, dev, other))
			continue;
		fd = fcntl(machine->devices[n].group_fd, F_DUPFD_CLOEXEC, 0);
		return fd < 0 ? log_err_errno(errno, "%s", dev->address) : fd;
	}
	return assign_open(machine->service, dev);
}

int machine_open_device(struct machine *machine, size_t i)
{
	struct spec_device *dev = &machine->spec.devices[i];
	struct socket_access access;
	char path[512];
	int r = qemu_access(machine, &access);

	if (r < 0)
		return r;
	if (strcmp(dev->address, "null") != 0) {
		r = open_group(machine, i);
		if (r < 0)
			return r;
		machine->devices[i].group_fd = r;
	}
	machine_socket_path(machine, dev, path, sizeof(path));
	machine->devices[i].listen_fd =
		socket_listen(path, &access, &machine->devices[i].name);
	return min(machine->devices[i].listen_fd, 0);
}

/* False for VMs of tests: nothing of theirs is ever pinned. */
static bool has_iommu(const struct machine *machine)
{
	const char *iommu = spec_get(&machine->spec, "iommu");

	return !iommu || strncmp(iommu, "null", 4) != 0;
}

static int open_container(struct machine *machine)
{
	if (!has_iommu(machine))
		return 0;
	machine->container_fd = assign_open_container(machine->service);
	return machine->container_fd < 0 ? machine->container_fd : 0;
}

int machine_open(struct machine *machine)
{
	static const struct socket_access ours = {
		.mode = 0600,
		.uid = (uid_t)-1,
		.gid = (gid_t)-1,
	};
	struct socket_access access;
	int r;

	if (mkdir(machine->dir, 0755) < 0 && errno != EEXIST)
		return log_err_errno(errno, "cannot make %s", machine->dir);
	r = qemu_access(machine, &access);
	if (r < 0)
		return r;
	machine->vhost_fd =
		listen_in(machine, "vhost.sock", &access, &machine->vhost_name);
	if (machine->vhost_fd < 0)
		return machine->vhost_fd;
	machine->control_fd =
		listen_in(machine, "control", &ours, &machine->control_name);
	if (machine->control_fd < 0)
		return machine->control_fd;
	r = open_container(machine);
	for (size_t i = 0; r == 0 && i < machine->spec.num_devices; i++)
		r = machine_open_device(machine, i);
	return r;
}

/* The agent has them now, or nobody needs them. */
static void close_descriptors(struct machine *machine)
{
	machine->vhost_fd = close_fd(machine->vhost_fd);
	machine->control_fd = close_fd(machine->control_fd);
	machine->container_fd = close_fd(machine->container_fd);
	for (size_t i = 0; i < SPEC_DEVICES_MAX; i++) {
		struct machine_device *dev = &machine->devices[i];

		dev->listen_fd = close_fd(dev->listen_fd);
		dev->group_fd = close_fd(dev->group_fd);
	}
}

void machine_remove_socket(const struct machine *machine, size_t i)
{
	char path[512];

	machine_socket_path(machine, &machine->spec.devices[i], path,
			    sizeof(path));
	(void)unlink(path);
}

void machine_close(struct machine *machine)
{
	static const char *const rest[] = { "vhost.sock", "control" };
	char path[512];

	close_descriptors(machine);
	socket_name_done(&machine->vhost_name);
	socket_name_done(&machine->control_name);
	for (size_t i = 0; i < SPEC_DEVICES_MAX; i++)
		socket_name_done(&machine->devices[i].name);
	/* What a service made that ran before this one. */
	for (size_t i = 0; i < 2; i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", machine->dir,
			       rest[i]);
		(void)unlink(path);
	}
	for (size_t i = 0; i < machine->spec.num_devices; i++)
		machine_remove_socket(machine, i);
	(void)rmdir(machine->dir);
}

int machine_limit(const struct machine *machine, pid_t pid, uint64_t bytes)
{
	const struct rlimit limit = { .rlim_cur = bytes, .rlim_max = bytes };

	if (pid <= 0 || !has_iommu(machine))
		return 0;
	if (prlimit(pid, RLIMIT_MEMLOCK, &limit, NULL) < 0)
		return log_err_errno(
			errno,
			"%s: cannot set the agent's limit of locked memory",
			machine->spec.name);
	return 0;
}

/* --- the handover --- */

struct parcel {
	FILE *text;
	int fds[HANDOVER_FDS_MAX];
	size_t num;
};

/* Writes "KEY=NUMBER" for a descriptor that goes along. */
static void add_fd(struct parcel *parcel, const char *key, int fd,
		   const char *behind)
{
	if (fd < 0)
		return;
	fprintf(parcel->text, "%s=%zu%s", key, HANDOVER_FD_BASE + parcel->num,
		behind);
	parcel->fds[parcel->num++] = fd;
}

static void add_device(struct parcel *parcel, const struct machine *machine,
		       size_t i)
{
	const struct spec_device *dev = &machine->spec.devices[i];

	fprintf(parcel->text, "device=%s,endpoint=%" PRIu32 ",", dev->address,
		dev->endpoint);
	add_fd(parcel, "group-fd", machine->devices[i].group_fd, ",");
	add_fd(parcel, "fd", machine->devices[i].listen_fd, "\n");
}

static int pack(struct parcel *parcel, const struct machine *machine)
{
	const struct spec *spec = &machine->spec;

	fprintf(parcel->text, "name=%s\nquota=%" PRIu64 "\n", spec->name,
		spec->quota);
	for (size_t i = 0; i < spec->num_settings; i++)
		fprintf(parcel->text, "%s=%s\n", spec->settings[i].key,
			spec->settings[i].value);
	add_fd(parcel, "vhost-fd", machine->vhost_fd, "\n");
	add_fd(parcel, "control-fd", machine->control_fd, "\n");
	add_fd(parcel, "container-fd", machine->container_fd, "\n");
	for (size_t i = 0; i < spec->num_devices; i++)
		add_device(parcel, machine, i);
	return ferror(parcel->text) ? -ENOMEM : 0;
}

/* 0 or a negative errno, logged. */
static int limit_again(struct machine *machine, pid_t pid, int conn)
{
	int r = machine_limit(machine, pid, machine->spec.quota);

	if (r < 0)
		return r;
	machine->pid = pid;
	log_notice("%s: its agent goes on as process %ld", machine->spec.name,
		   (long)pid);
	return handover_send(conn, "# as before\n", NULL, 0);
}

int machine_hand_over(struct machine *machine, pid_t pid, int conn)
{
	_cleanup_free_ char *text = NULL;
	struct parcel parcel = { 0 };
	size_t size;
	int r;

	/* One that was killed, and has all but the limit; that is not kept. */
	if (machine->state == MACHINE_RUNNING)
		return limit_again(machine, pid, conn);
	if (machine->state != MACHINE_STARTING || machine->vhost_fd < 0) {
		log_err("%s: its agent came, and there is nothing left to hand over: end the VM and start it again",
			machine->spec.name);
		return -ESTALE;
	}
	parcel.text = open_memstream(&text, &size);
	if (!parcel.text)
		return -ENOMEM;
	r = pack(&parcel, machine);
	if (fclose(parcel.text) != 0 && r == 0)
		r = -ENOMEM;
	if (r == 0)
		r = machine_limit(machine, pid, machine->spec.quota);
	if (r == 0)
		r = handover_send(conn, text, parcel.fds, parcel.num);
	if (r < 0)
		return log_err_errno(r, "%s: cannot hand over",
				     machine->spec.name);
	machine->pid = pid;
	close_descriptors(machine);
	return 0;
}
