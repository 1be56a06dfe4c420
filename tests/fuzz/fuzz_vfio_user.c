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
 *			whose frame is right; `fds`: support/fds.h
 *	RAW		fds, size (16 bits), bytes: whatever they are
 *	VERSION		a handshake that is right
 *	MAP		place, size, offset: memory, in pages
 *	UNMAP		place, size
 *	HANGUP		the client goes, and the next one comes
 *
 * After each step the session runs until it waits, and the VM does its deferred
 * work. At the end of an input no descriptor may be open that was not before.
 */
#include <sys/socket.h>
#include <syslog.h>
#include <unistd.h>

#include "device/device.h"
#include "iommu/iommu.h"
#include "lib/log.h"
#include "lib/macros.h"
#include "protocol/virtio_pvdma.h"
#include "tests/fuzz/support/fds.h"
#include "tests/fuzz/support/input.h"
#include "vfio_user/message.h"
#include "vfio_user/session.h"
#include "vfio_user/vfio_user.h"
#include "vm.h"

#define MEMORY_SIZE (1u << 20)
#define ENDPOINT    3

enum step {
	STEP_MESSAGE,
	STEP_RAW,
	STEP_VERSION,
	STEP_MAP,
	STEP_UNMAP,
	STEP_HANGUP,
	STEPS
};

/* Lives as long as the process. */
static struct {
	struct device *dev;
	struct vm *vm;
} world;

/* Lives as long as an input. */
struct client {
	struct fuzz_input in;
	struct vfu_session *session;
	struct vfio_user_stats stats;
	int peer;
};

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

	log_set_max_level(-1);
	fuzz_fds_open(MEMORY_SIZE, NULL);
	fuzz_must(null_iommu_new(1000, 0, &iommu) == 0, "null_iommu_new");
	fuzz_must(vm_new(&config, iommu, &notify, &world.vm) == 0, "vm_new");
	fuzz_must(null_device_new(vm_tag(world.vm), ENDPOINT, NULL, NULL,
				  &world.dev) == 0,
		  "null_device_new");
}

static void connect_client(struct client *c)
{
	int fds[2];

	fuzz_must(socketpair(AF_UNIX,
			     SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0,
			     fds) == 0,
		  "socketpair");
	fuzz_must(vfu_session_new(fds[0], world.dev, world.vm, ENDPOINT,
				  &c->stats, &c->session) == 0,
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

/* Lets the server do all that it can; a new client if it gave this one up. */
static void run(struct client *c)
{
	int r;

	do {
		r = vfu_session_run(c->session, 8);
		while (vm_work(world.vm))
			;
	} while (r == VFU_OK ||
		 (fuzz_fds_drain(c->peer) && vfu_session_sending(c->session)));
	if (r == VFU_AGAIN)
		return;
	hang_up(c);
	connect_client(c);
}

/* --- the input --- */

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
	fuzz_fds_send(c->peer, buf, header.size, fds);
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

	map.address = (uint64_t)fuzz_u8(&c->in) << 12;
	map.size = (uint64_t)fuzz_u8(&c->in) << 12;
	map.offset = (uint64_t)fuzz_u8(&c->in) << 12;
	put_message(c, VFIO_USER_DMA_MAP, 0, FUZZ_FD_MEMORY << 4 | 1, &map,
		    sizeof(map));
}

static void put_unmap(struct client *c)
{
	struct vfio_user_dma_unmap unmap = { .argsz = sizeof(unmap) };

	unmap.address = (uint64_t)fuzz_u8(&c->in) << 12;
	unmap.size = (uint64_t)fuzz_u8(&c->in) << 12;
	put_message(c, VFIO_USER_DMA_UNMAP, 0, 0, &unmap, sizeof(unmap));
}

static void step(struct client *c)
{
	uint8_t kind = fuzz_u8(&c->in) % STEPS;
	uint8_t command, flags, fds;
	const uint8_t *p;
	size_t size;

	switch ((enum step)kind) {
	case STEP_MESSAGE:
		command = fuzz_u8(&c->in);
		flags = fuzz_u8(&c->in);
		fds = fuzz_u8(&c->in);
		size = fuzz_u16(&c->in);
		p = fuzz_bytes(&c->in, &size);
		put_message(c, command, flags, fds, p, size);
		break;
	case STEP_RAW:
		fds = fuzz_u8(&c->in);
		size = fuzz_u16(&c->in);
		p = fuzz_bytes(&c->in, &size);
		fuzz_fds_send(c->peer, p, size, fds);
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct client c = { .in = { data, data + size }, .peer = -1 };
	struct vm_stats stats;
	unsigned int before;

	if (!world.vm)
		open_world();
	before = fuzz_fds_count();
	connect_client(&c);
	while (fuzz_more(&c.in)) {
		step(&c);
		run(&c);
	}
	hang_up(&c);
	while (vm_work(world.vm))
		;
	fuzz_must(fuzz_fds_count() == before, "a descriptor leaks");
	vm_get_stats(world.vm, &stats);
	fuzz_must(stats.mapped_bytes == 0, "what is gone is mapped");
	return 0;
}
