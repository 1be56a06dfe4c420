// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * agent_guest.c - a guest, its VMM and the agent's engine in one process
 *
 * Owns all of it. Guest memory is laid out as: the nonce, then 64 KiB for each
 * queue (rings, one request, one answer), then what is mapped from BENCH_LOW on,
 * and at the end the leaves. A queue has one request under way at most.
 * Locks: none; one thread is everybody.
 */
#include "tests/bench/agent_guest.h"

#include <endian.h>
#include <errno.h>
#include <linux/virtio_ring.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "host/agent/iommu/iommu.h"
#include "host/agent/vhost/protocol.h"
#include "host/agent/vhost/vhost.h"
#include "host/agent/vm.h"
#include "host/agent/vm_private.h"
#include "host/lib/event.h"
#include "host/lib/macros.h"

#define NONCE	      0x1122334455667788ULL
#define USER	      0x7f0000000000ULL
#define RING_SIZE     16u
#define PATIENCE_USEC 60000000u

/* Of queue @q, from the start of memory. */
#define QUEUE_AT(q)   (0x10000u * (1u + (q)))
#define AVAIL_AT(q)   (QUEUE_AT(q) + 0x400)
#define USED_AT(q)    (QUEUE_AT(q) + 0x800)
#define REQUEST_AT(q) (QUEUE_AT(q) + 0x1000)
#define ANSWER_AT(q)  (QUEUE_AT(q) + 0x8000)

/* The same trees in each run, so that instructions can be compared. */
#define SEED 0x9e3779b97f4a7c15ULL

static_assert(QUEUE_AT(BENCH_QUEUES_MAX) <= BENCH_LOW, "queues are below it");

void bench_must(bool ok, const char *what)
{
	if (ok)
		return;
	(void)fprintf(stderr, errno ? "agent: %s: %m\n" : "agent: %s\n", what);
	exit(1);
}

/* --- an IOMMU that only adds up --- */

static uint64_t mapped; /* bytes */

static int sum_map(struct iommu *iommu, const struct iommu_map *map)
{
	(void)iommu;
	mapped += map->size;
	return 0;
}

/* At the end all of memory goes in one call; else there are no holes. */
static int sum_unmap(struct iommu *iommu, uint64_t iova, uint64_t size,
		     uint64_t *ret_size)
{
	(void)iommu;
	(void)iova;
	*ret_size = min(size, mapped);
	mapped -= *ret_size;
	return 0;
}

static int sum_get_limits(struct iommu *iommu, struct iommu_limits *ret)
{
	(void)iommu;
	*ret = (struct iommu_limits){
		.pgsizes = ~(uint64_t)4095,
		.entries_max = IOMMU_ENTRIES_UNKNOWN,
		.entries_free = IOMMU_ENTRIES_UNKNOWN,
	};
	return 0;
}

static void sum_free(struct iommu *iommu)
{
	(void)iommu;
	bench_must(mapped == 0, "something stays mapped");
}

static const struct iommu_ops sum_ops = {
	.name = "sum",
	.free = sum_free,
	.map = sum_map,
	.unmap = sum_unmap,
	.get_limits = sum_get_limits,
};

/* --- the VMM --- */

static void settle(const struct bench_guest *g)
{
	while (sd_event_run(g->event, 0) > 0)
		;
}

static void send_fd(int peer, struct iovec *iov, int n, int fd)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct msghdr mh = { .msg_iov = iov, .msg_iovlen = (size_t)n };

	if (fd >= 0) {
		mh.msg_control = &control;
		mh.msg_controllen = sizeof(control);
		control.align.cmsg_level = SOL_SOCKET;
		control.align.cmsg_type = SCM_RIGHTS;
		control.align.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.align), &fd, sizeof(fd));
	}
	bench_must(sendmsg(peer, &mh, MSG_NOSIGNAL) > 0, "sendmsg");
}

static void tell(const struct bench_guest *g, uint32_t request,
		 const void *body, size_t size, int fd)
{
	struct vhost_user_header head = {
		.request = request,
		.flags = VHOST_USER_VERSION,
		.size = (uint32_t)size,
	};
	struct iovec iov[] = {
		{ .iov_base = &head, .iov_len = sizeof(head) },
		{ .iov_base = (void *)(uintptr_t)body, .iov_len = size },
	};

	send_fd(g->peer, iov, 2, fd);
	settle(g);
}

static void tell_u64(const struct bench_guest *g, uint32_t request, uint64_t v,
		     int fd)
{
	tell(g, request, &v, sizeof(v), fd);
}

static void tell_state(const struct bench_guest *g, uint32_t request,
		       uint32_t index, uint32_t num)
{
	const struct vhost_user_vring_state state = { index, num };

	tell(g, request, &state, sizeof(state), -1);
}

static void start_queue(struct bench_guest *g, uint16_t q)
{
	const struct vhost_user_vring_addr addr = {
		.index = q,
		.desc = USER + QUEUE_AT(q),
		.avail = USER + AVAIL_AT(q),
		.used = USER + USED_AT(q),
	};

	g->kicks[q] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	bench_must(g->kicks[q] >= 0, "eventfd");
	tell_state(g, VHOST_USER_SET_VRING_NUM, q, RING_SIZE);
	tell(g, VHOST_USER_SET_VRING_ADDR, &addr, sizeof(addr), -1);
	tell_u64(g, VHOST_USER_SET_VRING_KICK, q, g->kicks[q]);
	tell_state(g, VHOST_USER_SET_VRING_ENABLE, q, 1);
}

static void start_session(struct bench_guest *g)
{
	const struct vhost_user_mem_table table = {
		.count = 1,
		.regions[0] = { .size = g->size, .user = USER },
	};

	tell_u64(g, VHOST_USER_SET_PROTOCOL_FEATURES,
		 1u << VHOST_USER_PROTOCOL_F_MQ, -1);
	tell_u64(g, VHOST_USER_SET_FEATURES,
		 1ULL << 32 | 1ULL << VHOST_USER_F_PROTOCOL_FEATURES |
			 vm_features(g->vm),
		 -1);
	tell(g, VHOST_USER_SET_MEM_TABLE, &table,
	     VHOST_USER_MEM_TABLE_HEAD + sizeof(table.regions[0]), g->fd);
	for (uint16_t q = 0; q < g->queues; q++)
		start_queue(g, q);
}

static void connect_vmm(struct bench_guest *g)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	socklen_t size = sizeof(sa_family_t);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	/* a name of the kernel's choice */
	bench_must(fd >= 0 && bind(fd, (void *)&addr, size) == 0 &&
			   listen(fd, 1) == 0,
		   "a socket to listen at");
	size = sizeof(addr);
	bench_must(getsockname(fd, (void *)&addr, &size) == 0, "getsockname");
	bench_must(vhost_new(g->event, fd, g->vm, g->queues, &g->vhost) == 0,
		   "vhost_new");
	g->peer = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bench_must(g->peer >= 0 && connect(g->peer, (void *)&addr, size) == 0,
		   "connect");
	settle(g);
}

static void on_work(void *userdata)
{
	((struct bench_guest *)userdata)->work = true;
}

static void open_vm(struct bench_guest *g, const struct bench_config *config)
{
	static struct iommu sum = { .ops = &sum_ops };
	const struct vm_config vm_config = {
		.quota = config->quota,
		.granule_shift = config->shift,
		.strategy = VIRTIO_PVDMA_S_ON_DEMAND,
		.fallback = VM_FALLBACK_DENY,
		.ahead = config->ahead,
		.num_queues = config->queues,
		.max_ranges = BENCH_RANGES_MAX,
	};
	const struct vm_notify notify = {
		.work_pending = on_work,
		.userdata = g,
	};
	struct iommu *iommu = &sum;

	bench_must(!config->null || null_iommu_new(0, 0, &iommu) == 0,
		   "null_iommu_new");
	bench_must(vm_new(&vm_config, iommu, &notify, &g->vm) == 0, "vm_new");
	g->vm->root->ledger.index.seed = SEED;
	g->vm->root->table.index.seed = SEED;
	g->vm->root->policy.ghosts.index.seed = SEED;
	bench_must(vm_memory_add(g->vm, g, 0, g->size, g->fd, 0,
				 IOMMU_READ | IOMMU_WRITE) == 0 &&
			   vm_endpoint_add(g->vm, 0) == 0,
		   "a VM with memory and an endpoint");
}

void bench_start(struct bench_guest *g, const struct bench_config *config)
{
	*g = (struct bench_guest){
		.size = config->size,
		.shift = config->shift,
		.queues = config->queues,
	};
	bench_must(event_new(&g->event) == 0, "event_new");
	g->fd = memfd_create("guest", MFD_CLOEXEC);
	bench_must(g->fd >= 0 && ftruncate(g->fd, (off_t)g->size) == 0,
		   "memory for the guest");
	g->mem = mmap(NULL, g->size, PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_NORESERVE, g->fd, 0);
	bench_must(g->mem != MAP_FAILED, "memory for the guest");
	open_vm(g, config);
	connect_vmm(g);
	start_session(g);
}

void bench_stop(struct bench_guest *g)
{
	struct vhost_stats stats;

	vhost_get_stats(g->vhost, &stats);
	bench_must(stats.errors == 0 && stats.broken_queues == 0,
		   "the agent refused what the VMM or the driver said");
	(void)close(g->peer);
	for (uint16_t q = 0; q < g->queues; q++)
		(void)close(g->kicks[q]);
	vhost_free(g->vhost);
	vm_free(g->vm);
	(void)munmap(g->mem, g->size);
	(void)close(g->fd);
	sd_event_unref(g->event);
}

/* --- the driver --- */

static uint64_t leaves_of(uint64_t words)
{
	return (words + VIRTIO_PVDMA_LEAF_WORDS - 1) >> VIRTIO_PVDMA_LEAF_SHIFT;
}

static uint64_t granule_leaves(const struct bench_guest *g)
{
	return leaves_of(g->size >> g->shift);
}

static uint64_t block_leaves(const struct bench_guest *g)
{
	return leaves_of(g->size >> g->shift >> VIRTIO_PVDMA_BLOCK_SHIFT);
}

/* Where the leaves of granules are, and before them those of blocks. */
static uint64_t words_at(const struct bench_guest *g)
{
	return g->size - granule_leaves(g) * VIRTIO_PVDMA_LEAF_SIZE;
}

static uint64_t block_words_at(const struct bench_guest *g)
{
	return words_at(g) - block_leaves(g) * VIRTIO_PVDMA_LEAF_SIZE;
}

uint64_t bench_first(const struct bench_guest *g)
{
	return BENCH_LOW >> g->shift;
}

uint64_t bench_end(const struct bench_guest *g)
{
	return block_words_at(g) >> g->shift;
}

void bench_hold(const struct bench_guest *g, uint64_t first, uint32_t count,
		bool up)
{
	uint32_t *words = (void *)(g->mem + words_at(g));

	if (((first | count) & (VIRTIO_PVDMA_BLOCK_GRANULES - 1)) == 0) {
		words = (void *)(g->mem + block_words_at(g));
		first >>= VIRTIO_PVDMA_BLOCK_SHIFT;
		count >>= VIRTIO_PVDMA_BLOCK_SHIFT;
	}
	for (uint64_t i = first; i < first + count; i++)
		(void)__atomic_fetch_add(&words[i], up ? 1u : UINT32_MAX,
					 __ATOMIC_SEQ_CST);
}

/* Makes the request in @q's place for it available. */
static void publish(struct bench_guest *g, uint16_t q, uint32_t size)
{
	struct vring_desc *desc = (void *)(g->mem + QUEUE_AT(q));
	struct vring_avail *avail = (void *)(g->mem + AVAIL_AT(q));

	desc[0] = (struct vring_desc){
		.addr = htole64(REQUEST_AT(q)),
		.len = htole32(size),
		.flags = htole16(VRING_DESC_F_NEXT),
		.next = htole16(1),
	};
	desc[1] = (struct vring_desc){
		.addr = htole64(ANSWER_AT(q)),
		.len = htole32(sizeof(struct virtio_pvdma_req_tail)),
		.flags = htole16(VRING_DESC_F_WRITE),
	};
	memset(g->mem + ANSWER_AT(q), 0xff,
	       sizeof(struct virtio_pvdma_req_tail));
	avail->flags = htole16(VRING_AVAIL_F_NO_INTERRUPT);
	avail->ring[g->sent[q] % RING_SIZE] = 0;
	__atomic_store_n(&avail->idx, htole16(++g->sent[q]), __ATOMIC_RELEASE);
}

static void write_head(const struct bench_guest *g, uint16_t q, uint8_t type,
		       uint16_t count)
{
	struct virtio_pvdma_req_head head = {
		.type = type,
		.count = htole16(count),
	};

	memcpy(g->mem + REQUEST_AT(q), &head, sizeof(head));
}

void bench_put(struct bench_guest *g, uint16_t q, uint8_t type,
	       const uint64_t *firsts, uint16_t n, uint32_t count)
{
	struct virtio_pvdma_range range = { .count = htole32(count) };
	uint32_t at = REQUEST_AT(q) + sizeof(struct virtio_pvdma_req_head);

	write_head(g, q, type, n);
	for (uint16_t i = 0; i < n; i++) {
		range.first = htole64(firsts[i]);
		memcpy(g->mem + at, &range, sizeof(range));
		at += sizeof(range);
	}
	publish(g, q, at - REQUEST_AT(q));
}

void bench_kick(const struct bench_guest *g, uint16_t q)
{
	bench_must(eventfd_write(g->kicks[q], 1) == 0, "a kick");
}

static bool answered(const struct bench_guest *g)
{
	for (uint16_t q = 0; q < g->queues; q++) {
		const struct vring_used *used = (void *)(g->mem + USED_AT(q));
		uint16_t idx = __atomic_load_n(&used->idx, __ATOMIC_ACQUIRE);

		if (le16toh(idx) != g->sent[q])
			return false;
	}
	return true;
}

void bench_serve(const struct bench_guest *g)
{
	while (!answered(g))
		bench_must(sd_event_run(g->event, PATIENCE_USEC) > 0,
			   "a request is not answered");
}

uint32_t bench_answer(const struct bench_guest *g, uint16_t q)
{
	struct virtio_pvdma_req_tail tail;

	memcpy(&tail, g->mem + ANSWER_AT(q), sizeof(tail));
	if (tail.status != VIRTIO_PVDMA_R_OK) {
		(void)fprintf(stderr,
			      "agent: a request was answered with status %u\n",
			      tail.status);
		exit(1);
	}
	return le32toh(tail.mapped);
}

/* A request of one item, through queue 0. */
static void ask(struct bench_guest *g, uint8_t type, const void *item,
		size_t size)
{
	write_head(g, 0, type, 1);
	memcpy(g->mem + REQUEST_AT(0) + sizeof(struct virtio_pvdma_req_head),
	       item, size);
	publish(g, 0, (uint32_t)(sizeof(struct virtio_pvdma_req_head) + size));
	bench_kick(g, 0);
	bench_serve(g);
	(void)bench_answer(g, 0);
}

static void add_leaves(struct bench_guest *g, uint64_t level, uint64_t at,
		       uint64_t n)
{
	for (uint64_t i = 0; i < n; i++) {
		const struct virtio_pvdma_leaf leaf = {
			.index = htole64(level | i),
			.addr = htole64(at + i * VIRTIO_PVDMA_LEAF_SIZE),
		};

		ask(g, VIRTIO_PVDMA_T_LEAF, &leaf, sizeof(leaf));
	}
}

void bench_boot(struct bench_guest *g)
{
	const struct virtio_pvdma_init init = {
		.version = htole16(VIRTIO_PVDMA_VERSION),
		.nonce = htole64(NONCE),
	};
	const struct virtio_pvdma_attach attach = {
		.dma_mask = htole64(UINT64_MAX),
		.strategy = VIRTIO_PVDMA_S_ON_DEMAND,
	};
	const uint64_t nonce = htole64(NONCE);

	memcpy(g->mem, &nonce, sizeof(nonce));
	ask(g, VIRTIO_PVDMA_T_INIT, &init, sizeof(init));
	add_leaves(g, 0, words_at(g), granule_leaves(g));
	add_leaves(g, VIRTIO_PVDMA_LEAF_BLOCKS, block_words_at(g),
		   block_leaves(g));
	ask(g, VIRTIO_PVDMA_T_ATTACH, &attach, sizeof(attach));
}
