// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Fuzzes the vhost-user backend: host/agent/vhost, with a real VM over the null
 * IOMMU behind it, so that requests that get through are served.
 *
 * The input is a list of steps, each a byte that says what is done (modulo the
 * number of kinds) and its arguments; 16-bit numbers are little-endian:
 *
 *	MESSAGE		request, flags, fds, size (16 bits), body: a message
 *			whose frame is right. The byte `fds` holds their number
 *			in the lower four bits, and their kind in the upper four.
 *	RAW		fds, size (16 bits), bytes: whatever they are
 *	SET_UP		features, guest memory, and both queues, as they should be
 *	WRITE		place (16 bits), size (16 bits), bytes: into guest memory
 *	REQUEST		queue, size (16 bits), bytes: a request, well framed
 *	KICK		queue
 *	STOP		queue: GET_VRING_BASE
 *	CONFIG		the configuration space changed
 *	HANGUP		the front-end goes, and the next one comes
 *
 * After each step the event loop runs until there is nothing to do; that this
 * ever ends is checked, too. At the end of an input no descriptor may be open
 * that was not before.
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
#include <unistd.h>

#include "iommu/iommu.h"
#include "lib/log.h"
#include "lib/macros.h"
#include "vhost/protocol.h"
#include "vhost/vhost.h"
#include "vhost/virtq.h"
#include "vm.h"

#define GUEST_SIZE    (256u * 1024)
#define USER	      0x7f0000000000ULL
#define QUEUES	      2
#define RING_SIZE     16
#define RING_AT(q)    (0x1000u + (q)*0x1000u) /* avail 0x400, used 0x800 on */
#define REQUEST_AT(q) (0x8000u + (q)*0x1000u)
#define FDS_MAX	      15
#define TURNS_MAX     10000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum step {
	STEP_MESSAGE,
	STEP_RAW,
	STEP_SET_UP,
	STEP_WRITE,
	STEP_REQUEST,
	STEP_KICK,
	STEP_STOP,
	STEP_CONFIG,
	STEP_HANGUP,
	STEPS
};

enum fd_kind {
	FD_GUEST,
	FD_EVENT,
	FD_SMALL, /* a file of less than a page */
	FD_READ_ONLY,
	FD_PIPE,
	FD_FOLDER,
	FD_SOCKET,
	FD_KICK, /* KICK signals it */
	FD_KINDS
};

/* Lives as long as the process. */
static struct {
	int fds[FD_KINDS];
	uint8_t *guest;
} world = { .guest = NULL };

/* Lives as long as an input. */
struct front_end {
	const uint8_t *at, *end;
	sd_event *event;
	struct vm *vm;
	struct vhost *vhost;
	int peer;
};

static void must(bool ok, const char *what)
{
	if (ok)
		return;
	(void)fprintf(stderr, "fuzz_vhost_user: %s\n", what);
	abort();
}

static void open_world(void)
{
	char path[64];
	int pipes[2], sockets[2];

	(void)signal(SIGPIPE, SIG_IGN);
	log_set_max_level(-1);
	world.fds[FD_GUEST] = memfd_create("guest", MFD_CLOEXEC);
	must(ftruncate(world.fds[FD_GUEST], GUEST_SIZE) == 0, "ftruncate");
	world.fds[FD_EVENT] = eventfd(1, EFD_CLOEXEC);
	world.fds[FD_KICK] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	world.fds[FD_SMALL] = memfd_create("small", MFD_CLOEXEC);
	must(ftruncate(world.fds[FD_SMALL], 100) == 0, "ftruncate");
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d",
		       world.fds[FD_GUEST]);
	world.fds[FD_READ_ONLY] = open(path, O_RDONLY | O_CLOEXEC);
	must(pipe2(pipes, O_CLOEXEC) == 0, "pipe2");
	world.fds[FD_PIPE] = pipes[0];
	close(pipes[1]); /* at its end, and so always readable */
	world.fds[FD_FOLDER] = open("/", O_RDONLY | O_CLOEXEC);
	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) == 0,
	     "socketpair");
	world.fds[FD_SOCKET] = sockets[0];
	for (size_t i = 0; i < FD_KINDS; i++)
		must(world.fds[i] >= 0, "opening fds");
	world.guest = mmap(NULL, GUEST_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
			   world.fds[FD_GUEST], 0);
	must(world.guest != MAP_FAILED, "mmap");
}

static unsigned int count_fds(void)
{
	unsigned int n = 0;

	for (int fd = 0; fd < 200; fd++)
		if (fcntl(fd, F_GETFD) >= 0)
			n++;
	return n;
}

static void connect_front_end(struct front_end *f)
{
	int fds[2];

	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0,
			fds) == 0,
	     "socketpair");
	must(vhost_new(f->event, fds[0], f->vm, QUEUES, &f->vhost) == 0,
	     "vhost_new");
	f->peer = fds[1];
}

static void hang_up(struct front_end *f)
{
	close(f->peer);
	vhost_free(f->vhost);
}

static void open_front_end(struct front_end *f)
{
	const struct vm_config config = {
		.quota = GUEST_SIZE / 2,
		.granule_shift = VIRTIO_PVDMA_GRANULE_SHIFT_MIN,
		.strategy = VIRTIO_PVDMA_S_ON_DEMAND,
		.fallback = VM_FALLBACK_DENY,
		.policy = "clock",
		.num_queues = QUEUES,
		.max_ranges = 16,
	};
	const struct vm_notify notify = { 0 };
	struct iommu *iommu = NULL;

	must(sd_event_new(&f->event) >= 0, "sd_event_new");
	must(null_iommu_new(20, 0, &iommu) == 0, "null_iommu_new");
	must(vm_new(&config, iommu, &notify, &f->vm) == 0, "vm_new");
	must(vm_memory_add(f->vm, f, 0, GUEST_SIZE, world.fds[FD_GUEST], 0,
			   IOMMU_READ | IOMMU_WRITE) == 0,
	     "vm_memory_add");
	must(vm_endpoint_add(f->vm, 1) == 0, "vm_endpoint_add");
	connect_front_end(f);
}

static void close_front_end(struct front_end *f)
{
	hang_up(f);
	vm_free(f->vm);
	sd_event_unref(f->event);
}

/* Reads all replies. */
static bool drain(const struct front_end *f)
{
	static uint8_t buf[65536];
	bool any = false;

	while (recv(f->peer, buf, sizeof(buf), MSG_DONTWAIT) > 0)
		any = true;
	return any;
}

/* Lets the backend do all that it can. */
static void run(const struct front_end *f)
{
	int turns = 0;

	do {
		while (sd_event_run(f->event, 0) > 0)
			must(++turns < TURNS_MAX, "a busy loop");
		while (vm_work(f->vm))
			must(++turns < TURNS_MAX, "work without an end");
	} while (drain(f));
}

/* --- the input --- */

static uint8_t take8(struct front_end *f)
{
	return f->at < f->end ? *f->at++ : 0;
}

static uint16_t take16(struct front_end *f)
{
	uint16_t low = take8(f);

	return (uint16_t)(low | take8(f) << 8);
}

static const uint8_t *take(struct front_end *f, size_t *size)
{
	const uint8_t *p = f->at;

	*size = min(*size, (size_t)(f->end - f->at));
	f->at += *size;
	return p;
}

static void put(struct front_end *f, const void *buf, size_t size, uint8_t fds)
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
			       &world.fds[(fds >> 4) % FD_KINDS], sizeof(int));
	}
	(void)sendmsg(f->peer, &mh, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void put_message(struct front_end *f, uint32_t request, uint8_t flags,
			uint8_t fds, const void *body, size_t size)
{
	static uint8_t buf[sizeof(struct vhost_user_header) + UINT16_MAX];
	const struct vhost_user_header head = {
		.request = request,
		.flags = flags,
		.size = (uint32_t)size,
	};

	memcpy(buf, &head, sizeof(head));
	if (size)
		memcpy(buf + sizeof(head), body, size);
	put(f, buf, sizeof(head) + size, fds);
}

static void put_u64(struct front_end *f, uint32_t request, uint64_t v,
		    uint8_t fds)
{
	put_message(f, request, VHOST_USER_VERSION, fds, &v, sizeof(v));
}

static void put_state(struct front_end *f, uint32_t request, uint32_t index,
		      uint32_t num)
{
	const struct vhost_user_vring_state state = { index, num };

	put_message(f, request, VHOST_USER_VERSION, 0, &state, sizeof(state));
}

static void set_up_queue(struct front_end *f, uint32_t q)
{
	const struct vhost_user_vring_addr addr = {
		.index = q,
		.desc = USER + RING_AT(q),
		.avail = USER + RING_AT(q) + 0x400,
		.used = USER + RING_AT(q) + 0x800,
	};

	put_state(f, VHOST_USER_SET_VRING_NUM, q, RING_SIZE);
	put_message(f, VHOST_USER_SET_VRING_ADDR, VHOST_USER_VERSION, 0, &addr,
		    sizeof(addr));
	put_u64(f, VHOST_USER_SET_VRING_CALL, q, FD_KICK << 4 | 1);
	put_u64(f, VHOST_USER_SET_VRING_KICK, q, FD_KICK << 4 | 1);
	put_state(f, VHOST_USER_SET_VRING_ENABLE, q, 1);
}

static void set_up(struct front_end *f)
{
	const struct vhost_user_mem_table table = {
		.count = 1,
		.regions[0] = { .size = GUEST_SIZE, .user = USER },
	};

	put_u64(f, VHOST_USER_SET_PROTOCOL_FEATURES, 0x28, 0);
	put_u64(f, VHOST_USER_SET_FEATURES,
		1ULL << 32 | 1ULL << VHOST_USER_F_PROTOCOL_FEATURES | 3, 0);
	put_message(f, VHOST_USER_SET_MEM_TABLE, VHOST_USER_VERSION,
		    FD_GUEST << 4 | 1, &table,
		    VHOST_USER_MEM_TABLE_HEAD + sizeof(table.regions[0]));
	put_message(f, VHOST_USER_SET_BACKEND_REQ_FD, VHOST_USER_VERSION,
		    FD_SOCKET << 4 | 1, NULL, 0);
	for (uint32_t q = 0; q < QUEUES; q++)
		set_up_queue(f, q);
}

/* A request with room for its tail, made available and kicked. */
static void request(struct front_end *f)
{
	uint32_t q = take8(f) % QUEUES;
	size_t size = take16(f) % 0x800;
	const uint8_t *p = take(f, &size);
	struct vring_desc *desc = (void *)(world.guest + RING_AT(q));
	struct vring_avail *avail = (void *)(world.guest + RING_AT(q) + 0x400);

	memcpy(world.guest + REQUEST_AT(q), p, size);
	desc[0] = (struct vring_desc){ REQUEST_AT(q), (uint32_t)size,
				       VRING_DESC_F_NEXT, 1 };
	desc[1] = (struct vring_desc){ REQUEST_AT(q) + 0x800, 8,
				       VRING_DESC_F_WRITE, 0 };
	avail->ring[avail->idx % RING_SIZE] = 0;
	avail->idx++;
	(void)eventfd_write(world.fds[FD_KICK], 1);
}

static void step(struct front_end *f)
{
	enum step kind = take8(f) % STEPS;
	uint8_t a, b, c;
	const uint8_t *p;
	size_t size, at;

	switch (kind) {
	case STEP_MESSAGE:
		a = take8(f);
		b = take8(f);
		c = take8(f);
		size = take16(f);
		p = take(f, &size);
		put_message(f, a, b, c, p, size);
		break;
	case STEP_RAW:
		a = take8(f);
		size = take16(f);
		p = take(f, &size);
		put(f, p, size, a);
		break;
	case STEP_SET_UP:
		set_up(f);
		break;
	case STEP_WRITE:
		at = take16(f);
		size = take16(f);
		p = take(f, &size);
		memcpy(world.guest + at, p, size);
		break;
	case STEP_REQUEST:
		request(f);
		break;
	case STEP_KICK:
		(void)eventfd_write(world.fds[FD_KICK], 1);
		break;
	case STEP_STOP:
		put_state(f, VHOST_USER_GET_VRING_BASE, take8(f) % QUEUES, 0);
		break;
	case STEP_CONFIG:
		vhost_config_changed(f->vhost);
		break;
	case STEP_HANGUP:
		hang_up(f);
		connect_front_end(f);
		break;
	case STEPS:
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct front_end f = { .at = data, .end = data + size };
	unsigned int before;

	if (!world.guest)
		open_world();
	memset(world.guest, 0, GUEST_SIZE);
	before = count_fds();
	open_front_end(&f);
	while (f.at < f.end) {
		step(&f);
		run(&f);
	}
	close_front_end(&f);
	must(count_fds() == before, "a descriptor leaks");
	return 0;
}
