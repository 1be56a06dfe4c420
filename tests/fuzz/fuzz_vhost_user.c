// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Fuzzes the vhost-user backend: host/agent/vhost, with a real VM over the null
 * IOMMU behind it, so that requests that get through are served.
 *
 * The input is a list of steps, each a byte that says what is done (modulo the
 * number of kinds) and its arguments; 16-bit numbers are little-endian:
 *
 *	MESSAGE		request, flags, fds, size (16 bits), body: a message
 *			whose frame is right; `fds`: support/fds.h
 *	RAW		fds, size (16 bits), bytes: whatever they are
 *	SET_UP		features, guest memory, and both queues, as they should be
 *	WRITE		place (16 bits), size (16 bits), bytes: into guest memory
 *	REQUEST		queue, size (16 bits), bytes: a request, well framed
 *	KICK		queue
 *	STOP		queue: GET_VRING_BASE
 *	CONFIG		the configuration space changed
 *	HANGUP		the front-end goes, and the next one comes
 *	CHANGE		place (16 bits), byte, how often: guest memory changes
 *			each time that the backend has looked at some of it
 *
 * After each step the event loop runs until there is nothing to do; that this
 * ever ends is checked, too. At the end of an input no descriptor may be open
 * that was not before.
 */
#include <sys/socket.h>
#include <unistd.h>

#include "iommu/iommu.h"
#include "lib/log.h"
#include "lib/macros.h"
#include "tests/fuzz/support/fds.h"
#include "tests/fuzz/support/input.h"
#include "vhost/protocol.h"
#include "vhost/regions.h"
#include "vhost/vhost.h"
#include "vhost/virtq.h"
#include "vm.h"

#define GUEST_SIZE    (256u * 1024)
#define USER	      0x7f0000000000ULL
#define QUEUES	      2
#define RING_SIZE     16
#define RING_AT(q)    (0x1000u + (q)*0x1000u) /* avail 0x400, used 0x800 on */
#define REQUEST_AT(q) (0x8000u + (q)*0x1000u)
#define TURNS_MAX     10000

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
	STEP_CHANGE,
	STEPS
};

/* Lives as long as the process. */
static struct {
	uint8_t *guest;
} world;

/* What CHANGE asked for, and what is left of it. */
static struct {
	uint16_t at;
	uint8_t with;
	uint8_t times;
} change;

/* Lives as long as an input. */
struct front_end {
	struct fuzz_input in;
	sd_event *event;
	struct vm *vm;
	struct vhost *vhost;
	int peer;
};

/* --- memory that changes under the reader; -Wl,--wrap calls us --- */

bool __wrap_regions_contain(const struct regions *mem, uint64_t gpa,
			    uint64_t size);
bool __real_regions_contain(const struct regions *mem, uint64_t gpa,
			    uint64_t size);
void __wrap_regions_read(const struct regions *mem, uint64_t gpa, void *to,
			 size_t size);
void __real_regions_read(const struct regions *mem, uint64_t gpa, void *to,
			 size_t size);

static void change_memory(void)
{
	if (change.times == 0)
		return;
	change.times--;
	world.guest[change.at] ^= change.with;
}

bool __wrap_regions_contain(const struct regions *mem, uint64_t gpa,
			    uint64_t size)
{
	bool contains = __real_regions_contain(mem, gpa, size);

	change_memory();
	return contains;
}

void __wrap_regions_read(const struct regions *mem, uint64_t gpa, void *to,
			 size_t size)
{
	__real_regions_read(mem, gpa, to, size);
	change_memory();
}

static void connect_front_end(struct front_end *f)
{
	int fds[2];

	fuzz_must(socketpair(AF_UNIX,
			     SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0,
			     fds) == 0,
		  "socketpair");
	fuzz_must(vhost_new(f->event, fds[0], f->vm, QUEUES, &f->vhost) == 0,
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

	fuzz_must(sd_event_new(&f->event) >= 0, "sd_event_new");
	fuzz_must(null_iommu_new(20, 0, &iommu) == 0, "null_iommu_new");
	fuzz_must(vm_new(&config, iommu, &notify, &f->vm) == 0, "vm_new");
	fuzz_must(vm_memory_add(f->vm, f, 0, GUEST_SIZE,
				fuzz_fds_get(FUZZ_FD_MEMORY), 0,
				IOMMU_READ | IOMMU_WRITE) == 0,
		  "vm_memory_add");
	fuzz_must(vm_endpoint_add(f->vm, 1) == 0, "vm_endpoint_add");
	connect_front_end(f);
}

static void close_front_end(struct front_end *f)
{
	hang_up(f);
	vm_free(f->vm);
	sd_event_unref(f->event);
}

/* Lets the backend do all that it can. */
static void run(const struct front_end *f)
{
	int turns = 0;

	do {
		while (sd_event_run(f->event, 0) > 0)
			fuzz_must(++turns < TURNS_MAX, "a busy loop");
		while (vm_work(f->vm))
			fuzz_must(++turns < TURNS_MAX, "work without an end");
	} while (fuzz_fds_drain(f->peer));
}

/* --- the input --- */

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
	fuzz_fds_send(f->peer, buf, sizeof(head) + size, fds);
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
	put_u64(f, VHOST_USER_SET_VRING_CALL, q, FUZZ_FD_KICK << 4 | 1);
	put_u64(f, VHOST_USER_SET_VRING_KICK, q, FUZZ_FD_KICK << 4 | 1);
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
		    FUZZ_FD_MEMORY << 4 | 1, &table,
		    VHOST_USER_MEM_TABLE_HEAD + sizeof(table.regions[0]));
	put_message(f, VHOST_USER_SET_BACKEND_REQ_FD, VHOST_USER_VERSION,
		    FUZZ_FD_SOCKET << 4 | 1, NULL, 0);
	for (uint32_t q = 0; q < QUEUES; q++)
		set_up_queue(f, q);
}

/* A request with room for its tail, made available and kicked. */
static void request(struct front_end *f)
{
	uint32_t q = fuzz_u8(&f->in) % QUEUES;
	size_t size = fuzz_u16(&f->in) % 0x800;
	const uint8_t *p = fuzz_bytes(&f->in, &size);
	struct vring_desc *desc = (void *)(world.guest + RING_AT(q));
	struct vring_avail *avail = (void *)(world.guest + RING_AT(q) + 0x400);

	memcpy(world.guest + REQUEST_AT(q), p, size);
	desc[0] = (struct vring_desc){ REQUEST_AT(q), (uint32_t)size,
				       VRING_DESC_F_NEXT, 1 };
	desc[1] = (struct vring_desc){ REQUEST_AT(q) + 0x800, 8,
				       VRING_DESC_F_WRITE, 0 };
	avail->ring[avail->idx % RING_SIZE] = 0;
	avail->idx++;
	fuzz_fds_kick();
}

static void step(struct front_end *f)
{
	enum step kind = fuzz_u8(&f->in) % STEPS;
	uint8_t a, b, c;
	const uint8_t *p;
	size_t size, at;

	switch (kind) {
	case STEP_MESSAGE:
		a = fuzz_u8(&f->in);
		b = fuzz_u8(&f->in);
		c = fuzz_u8(&f->in);
		size = fuzz_u16(&f->in);
		p = fuzz_bytes(&f->in, &size);
		put_message(f, a, b, c, p, size);
		break;
	case STEP_RAW:
		a = fuzz_u8(&f->in);
		size = fuzz_u16(&f->in);
		p = fuzz_bytes(&f->in, &size);
		fuzz_fds_send(f->peer, p, size, a);
		break;
	case STEP_SET_UP:
		set_up(f);
		break;
	case STEP_WRITE:
		at = fuzz_u16(&f->in);
		size = fuzz_u16(&f->in);
		p = fuzz_bytes(&f->in, &size);
		memcpy(world.guest + at, p, size);
		break;
	case STEP_REQUEST:
		request(f);
		break;
	case STEP_KICK:
		fuzz_fds_kick();
		break;
	case STEP_STOP:
		put_state(f, VHOST_USER_GET_VRING_BASE,
			  fuzz_u8(&f->in) % QUEUES, 0);
		break;
	case STEP_CONFIG:
		vhost_config_changed(f->vhost);
		break;
	case STEP_HANGUP:
		hang_up(f);
		connect_front_end(f);
		break;
	case STEP_CHANGE:
		change.at = fuzz_u16(&f->in);
		change.with = fuzz_u8(&f->in);
		change.times = fuzz_u8(&f->in);
		break;
	case STEPS:
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct front_end f = { .in = { data, data + size } };
	unsigned int before;

	if (!world.guest) {
		log_set_max_level(-1);
		fuzz_fds_open(GUEST_SIZE, &world.guest);
	}
	change.times = 0;
	memset(world.guest, 0, GUEST_SIZE);
	before = fuzz_fds_count();
	open_front_end(&f);
	while (fuzz_more(&f.in)) {
		step(&f);
		run(&f);
	}
	close_front_end(&f);
	fuzz_must(fuzz_fds_count() == before, "a descriptor leaks");
	return 0;
}
