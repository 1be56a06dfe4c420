// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Fuzzes the vfio-user server: host/agent/vfio_user, with the null device and
 * a real VM over the null IOMMU behind it, so that what messages do to the
 * memory layout is done.
 *
 * The input is a list of steps, each a byte that says what is done (modulo the
 * number of kinds) and its arguments; 16-bit numbers are little-endian:
 *
 *	MESSAGE		command, flags, fds, size (16 bits), body: a message
 *			whose frame is right. The byte `fds` holds their number
 *			in the lower five bits, and their kind in the upper three.
 *	RAW		fds, size (16 bits), bytes: whatever they are
 *	VERSION		a handshake that is right
 *	MAP		place, size, offset: memory, in pages
 *	UNMAP		place, size
 *	HANGUP		the client goes, and the next one comes
 *
 * After each step the session runs until it waits, and the VM does its deferred
 * work. At the end of an input no descriptor may be open that was not before.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <syslog.h>
#include <unistd.h>

#include "device/device.h"
#include "iommu/iommu.h"
#include "lib/log.h"
#include "lib/macros.h"
#include "protocol/virtio_pvdma.h"
#include "vfio_user/message.h"
#include "vfio_user/session.h"
#include "vfio_user/vfio_user.h"
#include "vm.h"

#define MEMORY_SIZE (1u << 20)
#define FDS_MAX	    31
#define ENDPOINT    3

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum step {
	STEP_MESSAGE,
	STEP_RAW,
	STEP_VERSION,
	STEP_MAP,
	STEP_UNMAP,
	STEP_HANGUP,
	STEPS
};

enum fd_kind {
	FD_MEMORY,
	FD_EVENT,
	FD_SMALL, /* a file of less than a page */
	FD_READ_ONLY,
	FD_PIPE,
	FD_NULL,
	FD_FOLDER,
	FD_SOCKET,
	FD_KINDS
};

/* Lives as long as the process. */
static struct {
	struct device *dev;
	struct vm *vm;
	int fds[FD_KINDS];
} world;

/* Lives as long as an input. */
struct client {
	const uint8_t *at, *end;
	struct vfu_session *session;
	struct vfio_user_stats stats;
	int peer;
};

static void must(int ok, const char *what)
{
	if (ok)
		return;
	(void)fprintf(stderr, "fuzz_vfio_user: %s failed\n", what);
	abort();
}

static void open_fds(void)
{
	char path[64];
	int pipes[2], sockets[2];

	world.fds[FD_MEMORY] = memfd_create("memory", MFD_CLOEXEC);
	must(ftruncate(world.fds[FD_MEMORY], MEMORY_SIZE) == 0, "ftruncate");
	world.fds[FD_EVENT] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	world.fds[FD_SMALL] = memfd_create("small", MFD_CLOEXEC);
	must(ftruncate(world.fds[FD_SMALL], 100) == 0, "ftruncate");
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d",
		       world.fds[FD_MEMORY]);
	world.fds[FD_READ_ONLY] = open(path, O_RDONLY | O_CLOEXEC);
	must(pipe2(pipes, O_CLOEXEC | O_NONBLOCK) == 0, "pipe2");
	world.fds[FD_PIPE] = pipes[1];
	world.fds[FD_NULL] = open("/dev/null", O_RDWR | O_CLOEXEC);
	world.fds[FD_FOLDER] = open("/", O_RDONLY | O_CLOEXEC);
	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) == 0,
	     "socketpair");
	world.fds[FD_SOCKET] = sockets[0];
	for (size_t i = 0; i < FD_KINDS; i++)
		must(world.fds[i] >= 0, "opening fds");
}

static void open_world(void)
{
	const struct vm_config config = {
		.quota = MEMORY_SIZE * 4,
		.granule_shift = VIRTIO_PVDMA_GRANULE_SHIFT_MIN,
		.strategy = VIRTIO_PVDMA_S_ON_DEMAND,
		/* Maps what there is: unmapping gets something to do. */
		.fallback = VM_FALLBACK_DIRECT,
		.policy = "clock",
		.num_queues = 1,
		.max_ranges = 16,
	};
	const struct vm_notify notify = { 0 };
	struct iommu *iommu = NULL;

	(void)signal(SIGPIPE, SIG_IGN);
	log_set_max_level(-1);
	open_fds();
	must(null_iommu_new(1000, 0, &iommu) == 0, "null_iommu_new");
	must(vm_new(&config, iommu, &notify, &world.vm) == 0, "vm_new");
	must(null_device_new(vm_tag(world.vm), ENDPOINT, &world.dev) == 0,
	     "null_device_new");
}

static void connect_client(struct client *c)
{
	int fds[2];

	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0,
			fds) == 0,
	     "socketpair");
	must(vfu_session_new(fds[0], world.dev, world.vm, ENDPOINT, &c->stats,
			     &c->session) == 0,
	     "vfu_session_new");
	c->peer = fds[1];
}

static void hang_up(struct client *c)
{
	vfu_session_free(c->session);
	close(c->peer);
	c->session = NULL;
	c->peer = -1;
}

/* Reads all replies, and closes what fds came with them. */
static bool drain(const struct client *c)
{
	static uint8_t buf[65536];
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int))];
	} control;
	bool any = false;

	for (;;) {
		struct iovec iov = { .iov_base = buf, .iov_len = sizeof(buf) };
		struct msghdr mh = {
			.msg_iov = &iov,
			.msg_iovlen = 1,
			.msg_control = &control,
			.msg_controllen = sizeof(control),
		};
		struct cmsghdr *cmsg;
		int fd;

		if (recvmsg(c->peer, &mh, MSG_DONTWAIT) <= 0)
			return any;
		any = true;
		cmsg = CMSG_FIRSTHDR(&mh);
		if (cmsg && cmsg->cmsg_len == CMSG_LEN(sizeof(fd))) {
			memcpy(&fd, CMSG_DATA(cmsg), sizeof(fd));
			close(fd);
		}
	}
}

/* Lets the server do all that it can; a new client if it gave this one up. */
static void run(struct client *c)
{
	int r;

	do {
		r = vfu_session_run(c->session, 8);
		while (vm_work(world.vm))
			;
	} while (r == VFU_OK || (drain(c) && vfu_session_sending(c->session)));
	if (r == VFU_AGAIN)
		return;
	hang_up(c);
	connect_client(c);
}

/* --- the input --- */

static uint8_t take8(struct client *c)
{
	return c->at < c->end ? *c->at++ : 0;
}

static uint16_t take16(struct client *c)
{
	uint16_t low = take8(c);

	return (uint16_t)(low | take8(c) << 8);
}

static const uint8_t *take(struct client *c, size_t *size)
{
	const uint8_t *p = c->at;

	*size = min(*size, (size_t)(c->end - c->at));
	c->at += *size;
	return p;
}

static void put(struct client *c, const void *buf, size_t size, uint8_t fds)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(FDS_MAX * sizeof(int))];
	} control = { 0 };
	struct iovec iov = { .iov_base = (void *)(uintptr_t)buf,
			     .iov_len = size };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
	unsigned int n = fds & FDS_MAX;

	if (size == 0)
		return;
	if (n > 0) {
		mh.msg_control = &control;
		mh.msg_controllen = CMSG_SPACE(n * sizeof(int));
		control.align.cmsg_level = SOL_SOCKET;
		control.align.cmsg_type = SCM_RIGHTS;
		control.align.cmsg_len = CMSG_LEN(n * sizeof(int));
		for (unsigned int i = 0; i < n; i++)
			memcpy(CMSG_DATA(&control.align) + i * sizeof(int),
			       &world.fds[fds >> 5], sizeof(int));
	}
	(void)sendmsg(c->peer, &mh, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void put_message(struct client *c, uint8_t command, uint8_t flags,
			uint8_t fds, const void *body, size_t size)
{
	static uint8_t buf[sizeof(struct vfio_user_header) + UINT16_MAX];
	const struct vfio_user_header header = {
		.command = command,
		.size = (uint32_t)(sizeof(header) + size),
		.flags = flags,
	};

	memcpy(buf, &header, sizeof(header));
	if (size)
		memcpy(buf + sizeof(header), body, size);
	put(c, buf, header.size, fds);
}

static void put_version(struct client *c)
{
	static const char body[] = "\0\0\0\0{\"capabilities\":{"
				   "\"max_msg_fds\":16,"
				   "\"write_multiple\":true}}";

	put_message(c, VFIO_USER_VERSION, 0, 0, body, sizeof(body));
}

static void put_map(struct client *c)
{
	struct vfio_user_dma_map map = {
		.argsz = sizeof(map),
		.flags = VFIO_USER_DMA_READ | VFIO_USER_DMA_WRITE,
	};

	map.address = (uint64_t)take8(c) << 12;
	map.size = (uint64_t)take8(c) << 12;
	map.offset = (uint64_t)take8(c) << 12;
	put_message(c, VFIO_USER_DMA_MAP, 0, FD_MEMORY << 5 | 1, &map,
		    sizeof(map));
}

static void put_unmap(struct client *c)
{
	struct vfio_user_dma_unmap unmap = { .argsz = sizeof(unmap) };

	unmap.address = (uint64_t)take8(c) << 12;
	unmap.size = (uint64_t)take8(c) << 12;
	put_message(c, VFIO_USER_DMA_UNMAP, 0, 0, &unmap, sizeof(unmap));
}

static void step(struct client *c)
{
	uint8_t kind = take8(c) % STEPS;
	uint8_t command, flags, fds;
	const uint8_t *p;
	size_t size;

	switch ((enum step)kind) {
	case STEP_MESSAGE:
		command = take8(c);
		flags = take8(c);
		fds = take8(c);
		size = take16(c);
		p = take(c, &size);
		put_message(c, command, flags, fds, p, size);
		break;
	case STEP_RAW:
		fds = take8(c);
		size = take16(c);
		p = take(c, &size);
		put(c, p, size, fds);
		break;
	case STEP_VERSION:
		put_version(c);
		break;
	case STEP_MAP:
		put_map(c);
		break;
	case STEP_UNMAP:
		put_unmap(c);
		break;
	case STEP_HANGUP:
	case STEPS:
		hang_up(c);
		connect_client(c);
		break;
	}
}

/* The lowest number that is free: the same before and after an input. */
static int lowest_fd(void)
{
	int fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);

	must(fd >= 0, "fcntl");
	close(fd);
	return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct client c = { .at = data, .end = data + size, .peer = -1 };
	struct vm_stats stats;
	int lowest;

	if (!world.vm)
		open_world();
	lowest = lowest_fd();
	connect_client(&c);
	while (c.at < c.end) {
		step(&c);
		run(&c);
	}
	hang_up(&c);
	while (vm_work(world.vm))
		;
	must(lowest_fd() == lowest, "giving all descriptors back");
	vm_get_stats(world.vm, &stats);
	must(stats.mapped_bytes == 0, "unmapping what is gone");
	return 0;
}
