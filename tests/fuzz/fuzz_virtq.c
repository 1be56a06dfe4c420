// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Fuzzes the split virtqueue: host/agent/vhost/virtq.c over regions.c, against
 * a twin that is as simple as can be.
 *
 * The input is a byte with log2 of the ring's size, two bytes with the position
 * to start from, and the content of guest memory, which begins with the ring.
 * The twin walks the same ring in a copy of guest memory, by descriptors it
 * looks up byte by byte in a table of where each guest page is; both must
 * agree on each verdict and each byte that is read, and in the end on all of
 * guest memory: nothing was written beside the used ring and the tails.
 */
#include <endian.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/fuzz/support/input.h"
#include "vhost/regions.h"
#include "vhost/virtq.h"

#define PAGE	   4096u
#define PAGES	   5
#define GUEST_SIZE (PAGES * PAGE)
#define READ_MAX   300
#define TAIL	   8
#define USER	   0x7f0000000000ULL

/* What lies where: guest page number to page of the file. */
static const struct {
	uint64_t gpa;
	uint64_t pages;
	uint64_t file;
} layout[] = {
	{ 0x0000, 2, 0 },
	{ 0x2000, 1, 4 }, /* goes on from the first one, elsewhere */
	{ 0x5000, 1, 2 }, /* behind a hole */
	{ 0xfffffffffffff000, 1, 3 }, /* the end of the address space */
};

static struct {
	struct regions mem;
	uint8_t *file;
} world;

static uint8_t twin[GUEST_SIZE];
static struct virtq_chain chain;

/* Changes that are still to come; -Wl,--wrap calls us. */
static struct fuzz_input changes;

bool __wrap_regions_contain(const struct regions *mem, uint64_t gpa,
			    uint64_t size);
bool __real_regions_contain(const struct regions *mem, uint64_t gpa,
			    uint64_t size);

bool __wrap_regions_contain(const struct regions *mem, uint64_t gpa,
			    uint64_t size)
{
	bool contains = __real_regions_contain(mem, gpa, size);

	if (fuzz_more(&changes)) {
		uint16_t at = fuzz_u16(&changes) % GUEST_SIZE;

		world.file[at] ^= fuzz_u8(&changes);
	}
	return contains;
}

static void open_world(void)
{
	int fd = memfd_create("guest", MFD_CLOEXEC);

	fuzz_must(fd >= 0 && ftruncate(fd, GUEST_SIZE) == 0, "no memory");
	for (size_t i = 0; i < ARRAY_SIZE(layout); i++) {
		struct vhost_user_region region = {
			.gpa = layout[i].gpa,
			.size = layout[i].pages * PAGE,
			.user = USER + i * 0x100000,
			.offset = layout[i].file * PAGE,
		};

		fuzz_must(regions_add(&world.mem, &region, fd) == 0,
			  "no region");
	}
	world.file = mmap(NULL, GUEST_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
			  fd, 0);
	fuzz_must(world.file != MAP_FAILED, "no memory");
	close(fd);
}

/* The byte at @gpa in the twin's memory, or NULL. */
static uint8_t *twin_byte(uint64_t gpa)
{
	for (size_t i = 0; i < ARRAY_SIZE(layout); i++)
		if (gpa - layout[i].gpa < layout[i].pages * PAGE)
			return twin + layout[i].file * PAGE +
			       (gpa - layout[i].gpa);
	return NULL;
}

struct twin_chain {
	uint16_t head;
	int verdict;
	uint64_t readable;
	uint64_t writable;
	uint8_t *write[TAIL]; /* the first writable bytes */
	uint8_t read[READ_MAX];
};

/* Walks the bytes of one descriptor. */
static int twin_desc(struct twin_chain *c, const struct vring_desc *d)
{
	uint64_t addr = le64toh(d->addr);
	uint32_t len = le32toh(d->len);
	bool write = le16toh(d->flags) & VRING_DESC_F_WRITE;

	for (uint64_t i = 0; i < len; i++) {
		uint8_t *byte = twin_byte(addr + i);

		/* Past the end of the address space there is nothing. */
		if (!byte || addr + i < addr)
			return VIRTQ_BAD_ADDRESS;
		if (write && c->writable + i < TAIL)
			c->write[c->writable + i] = byte;
		if (!write && c->readable + i < READ_MAX)
			c->read[c->readable + i] = *byte;
	}
	if (write)
		c->writable += len;
	else
		c->readable += len;
	return VIRTQ_OK;
}

static void twin_walk(struct twin_chain *c, const struct virtq *vq)
{
	const struct vring_desc *table = (const struct vring_desc *)twin;
	bool written = false;
	unsigned int i = c->head, n;

	c->verdict = VIRTQ_BAD_HEAD;
	if (i >= vq->size)
		return;
	for (n = 0; n < vq->size; n++) {
		uint16_t flags = le16toh(table[i].flags);

		c->verdict = VIRTQ_BAD_INDIRECT;
		if (flags & VRING_DESC_F_INDIRECT)
			return;
		c->verdict = twin_desc(c, &table[i]);
		if (c->verdict != VIRTQ_OK)
			return;
		c->verdict = VIRTQ_BAD_ORDER;
		if (written && !(flags & VRING_DESC_F_WRITE))
			return;
		written = flags & VRING_DESC_F_WRITE;
		c->verdict = VIRTQ_OK;
		if (!(flags & VRING_DESC_F_NEXT))
			return;
		c->verdict = VIRTQ_BAD_NEXT;
		i = le16toh(table[i].next);
		if (i >= vq->size)
			return;
	}
	c->verdict = VIRTQ_BAD_LENGTH;
}

static void twin_pop(struct twin_chain *c, const struct virtq *vq,
		     size_t avail_offset)
{
	const uint16_t *avail = (const uint16_t *)(twin + avail_offset);
	uint16_t ahead = (uint16_t)(le16toh(avail[1]) - vq->last_avail);

	memset(c, 0, sizeof(*c));
	c->verdict = VIRTQ_EMPTY;
	if (ahead == 0)
		return;
	c->verdict = VIRTQ_BAD_INDEX;
	if (ahead > vq->size)
		return;
	c->head = le16toh(avail[2 + vq->last_avail % vq->size]);
	twin_walk(c, vq);
}

/* Serves one chain in both worlds. */
static void serve(struct virtq *vq, const struct twin_chain *c,
		  size_t used_offset)
{
	static const uint8_t tail[TAIL] = { 1, 2, 3, 4, 5, 6, 7, 8 };
	uint32_t *used = (uint32_t *)(twin + used_offset);
	uint16_t slot = vq->used % vq->size;
	uint8_t read[READ_MAX] = { 0 };
	uint32_t written = 0;
	uint64_t n;

	fuzz_must(chain.head == c->head, "another head");
	fuzz_must(chain.readable == c->readable, "another readable size");
	fuzz_must(chain.writable == c->writable, "another writable size");
	n = min(c->readable, (uint64_t)READ_MAX);
	fuzz_must(virtq_read(&chain, &world.mem, read, READ_MAX) == n,
		  "read size");
	fuzz_must(memcmp(read, c->read, n) == 0, "other bytes");
	if (chain.writable >= TAIL) {
		virtq_write(&chain, &world.mem, tail, TAIL);
		written = TAIL;
		for (size_t i = 0; i < TAIL; i++)
			*c->write[i] = tail[i];
	}
	virtq_push(vq, &chain, written);
	used[1 + 2 * slot] = htole32(c->head);
	used[2 + 2 * slot] = htole32(written);
	((uint16_t *)used)[1] = htole16(vq->used);
}

static void run(struct virtq *vq)
{
	size_t avail = vq->size * sizeof(struct vring_desc);
	size_t used = align_up(avail + 6 + 2u * vq->size, 64);
	struct twin_chain c;
	int verdict;

	/* A ring that feeds itself may go on for ever; this is enough of it. */
	for (int i = 0; i < 200; i++) {
		virtq_suppress_kicks(vq, i % 2);
		((uint16_t *)(twin + used))[0] = htole16(i % 2);
		twin_pop(&c, vq, avail);
		fuzz_must(virtq_pending(vq) == (c.verdict != VIRTQ_EMPTY),
			  "pending or not");
		verdict = virtq_pop(vq, &world.mem, &chain);
		fuzz_must(verdict == c.verdict, virtq_strverdict(verdict));
		if (verdict != VIRTQ_OK)
			break;
		serve(vq, &c, used);
		(void)virtq_wants_call(vq);
	}
	fuzz_must(memcmp(twin, world.file, GUEST_SIZE) == 0, "other memory");
}

/* --- memory that changes --- */

static void check_chain(const struct virtq *vq)
{
	uint64_t readable = 0, writable = 0;

	fuzz_must(chain.head < vq->size, "the head");
	fuzz_must(chain.num_pieces <= vq->size, "a chain too long");
	fuzz_must(chain.num_readable <= chain.num_pieces, "the border");
	for (unsigned int i = 0; i < chain.num_pieces; i++) {
		const struct virtq_piece *piece = &chain.pieces[i];

		for (uint64_t k = 0; k < piece->size; k++)
			fuzz_must(twin_byte(piece->gpa + k), "no memory");
		if (i < chain.num_readable)
			readable += piece->size;
		else
			writable += piece->size;
	}
	fuzz_must(readable == chain.readable, "the readable size");
	fuzz_must(writable == chain.writable, "the writable size");
}

static void run_changing(struct virtq *vq)
{
	static const uint8_t tail[TAIL];
	static uint8_t read[READ_MAX];

	for (int i = 0; i < 200; i++) {
		uint16_t last = vq->last_avail, used = vq->used;
		int verdict = virtq_pop(vq, &world.mem, &chain);

		fuzz_must(vq->last_avail ==
				  (uint16_t)(last + (verdict == VIRTQ_OK)),
			  "another position");
		if (verdict != VIRTQ_OK)
			return;
		check_chain(vq);
		(void)virtq_read(&chain, &world.mem, read, READ_MAX);
		if (chain.writable >= TAIL)
			virtq_write(&chain, &world.mem, tail, TAIL);
		virtq_push(vq, &chain, TAIL);
		fuzz_must(vq->used == (uint16_t)(used + 1), "not one more");
	}
}

/* Takes the changes off the input. */
static void take_changes(struct fuzz_input *in)
{
	size_t size = fuzz_u8(in) * (size_t)3;
	const uint8_t *p = fuzz_bytes(in, &size);

	changes = (struct fuzz_input){ p, p + size };
}

static void fill(struct fuzz_input *in)
{
	size_t size = GUEST_SIZE;
	const uint8_t *p = fuzz_bytes(in, &size);

	memset(world.file, 0, GUEST_SIZE);
	if (size > 0)
		memcpy(world.file, p, size);
	memcpy(twin, world.file, GUEST_SIZE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, data + size };
	struct virtq vq = { 0 };
	size_t avail, used;
	uint8_t how;

	if (!world.file)
		open_world();
	how = fuzz_u8(&in);
	fuzz_must(virtq_set_size(&vq, 1u << (how & 0x7f) % 7) == 0, "size");
	vq.last_avail = fuzz_u16(&in);
	changes = (struct fuzz_input){ NULL, NULL };
	if (how & 0x80)
		take_changes(&in);
	fill(&in);
	avail = vq.size * sizeof(struct vring_desc);
	used = align_up(avail + 6 + 2u * vq.size, 64);
	vq.desc_user = USER;
	vq.avail_user = USER + avail;
	vq.used_user = USER + used;
	fuzz_must(virtq_resolve(&vq, &world.mem), "resolve");
	virtq_load_used(&vq);
	if (how & 0x80)
		run_changing(&vq);
	else
		run(&vq);
	return 0;
}
