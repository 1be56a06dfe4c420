// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Unit tests of host/agent/vhost/virtq.c and regions.c: a driver's side built
 * by hand, in memory of two regions with a hole between them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/macros.h"
#include "vhost/regions.h"
#include "vhost/virtq.h"

#define LOW	  0x0ULL
#define LOW_SIZE  0x10000ULL
#define HIGH	  0x100000ULL
#define HIGH_SIZE 0x4000ULL
#define USER	  0x555500000000ULL
#define SIZE	  8u

struct world {
	struct regions mem;
	struct virtq vq;
	struct virtq_chain chain;
	uint8_t *low; /* guest memory as the guest sees it */
	uint8_t *high;
	int fd;
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
};

/* Descriptors that the guest changes once they were judged, one after the other. */
static struct vring_desc *changing;

bool __real_regions_contain(const struct regions *mem, uint64_t gpa,
			    uint64_t size);
bool __wrap_regions_contain(const struct regions *mem, uint64_t gpa,
			    uint64_t size);

bool __wrap_regions_contain(const struct regions *mem, uint64_t gpa,
			    uint64_t size)
{
	if (changing)
		memset(changing++, 0xff, sizeof(*changing));
	return __real_regions_contain(mem, gpa, size);
}

static struct vhost_user_region region(uint64_t gpa, uint64_t size,
				       uint64_t offset)
{
	return (struct vhost_user_region){
		.gpa = gpa,
		.size = size,
		.user = USER + gpa,
		.offset = offset,
	};
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	struct vhost_user_region low = region(LOW, LOW_SIZE, 0);
	struct vhost_user_region high = region(HIGH, HIGH_SIZE, LOW_SIZE);

	if (!w)
		return -1;
	w->fd = memfd_create("guest", MFD_CLOEXEC);
	if (w->fd < 0 || ftruncate(w->fd, LOW_SIZE + HIGH_SIZE) < 0)
		return -1;
	w->low = mmap(NULL, LOW_SIZE + HIGH_SIZE, PROT_READ | PROT_WRITE,
		      MAP_SHARED, w->fd, 0);
	if (w->low == MAP_FAILED)
		return -1;
	w->high = w->low + LOW_SIZE;
	w->desc = (void *)(w->low + 0x1000);
	w->avail = (void *)(w->low + 0x2000);
	w->used = (void *)(w->low + 0x3000);
	w->vq.desc_user = USER + 0x1000;
	w->vq.avail_user = USER + 0x2000;
	w->vq.used_user = USER + 0x3000;
	*state = w;
	return regions_add(&w->mem, &high, w->fd) ||
	       regions_add(&w->mem, &low, w->fd) ||
	       virtq_set_size(&w->vq, SIZE) || !virtq_resolve(&w->vq, &w->mem);
}

static int teardown(void **state)
{
	struct world *w = *state;

	regions_clear(&w->mem);
	munmap(w->low, LOW_SIZE + HIGH_SIZE);
	close(w->fd);
	free(w);
	return 0;
}

static void put(struct world *w, unsigned int i, uint64_t addr, uint32_t len,
		uint16_t flags, uint16_t next)
{
	w->desc[i] = (struct vring_desc){
		.addr = htole64(addr),
		.len = htole32(len),
		.flags = htole16(flags),
		.next = htole16(next),
	};
}

/* Makes the chain at @head available. */
static void offer(struct world *w, uint16_t head)
{
	uint16_t idx = le16toh(w->avail->idx);

	w->avail->ring[idx % SIZE] = htole16(head);
	w->avail->idx = htole16((uint16_t)(idx + 1));
}

static int pop(struct world *w)
{
	return virtq_pop(&w->vq, &w->mem, &w->chain);
}

/* --- regions --- */

static void test_translate(void **state)
{
	struct world *w = *state;

	assert_true(regions_contain(&w->mem, LOW, LOW_SIZE));
	assert_true(regions_contain(&w->mem, HIGH, HIGH_SIZE));
	assert_true(regions_contain(&w->mem, HIGH + HIGH_SIZE - 1, 1));
	assert_true(regions_contain(&w->mem, 0x99999999, 0));
	assert_false(regions_contain(&w->mem, LOW, LOW_SIZE + 1));
	assert_false(regions_contain(&w->mem, LOW + LOW_SIZE, 1));
	assert_false(regions_contain(&w->mem, HIGH - 1, 2));
	assert_false(regions_contain(&w->mem, HIGH, UINT64_MAX));
	assert_false(regions_contain(&w->mem, UINT64_MAX, 1));
	assert_non_null(regions_user(&w->mem, USER, LOW_SIZE));
	assert_null(regions_user(&w->mem, USER, LOW_SIZE + 1));
	assert_null(regions_user(&w->mem, USER - 1, 1));
	assert_null(regions_user(&w->mem, USER + HIGH, UINT64_MAX));
	assert_ptr_equal(regions_user(&w->mem, USER + HIGH + 5, 1),
			 (uint8_t *)regions_user(&w->mem, USER + HIGH, 1) + 5);
}

static void test_copy_across(void **state)
{
	struct world *w = *state;
	/* Right behind the low region, but elsewhere in the file. */
	struct vhost_user_region next =
		region(LOW_SIZE, 0x1000, LOW_SIZE + 0x3000);
	uint8_t out[6] = { 0 };

	assert_int_equal(regions_add(&w->mem, &next, w->fd), 0);
	assert_true(regions_contain(&w->mem, LOW, LOW_SIZE + 0x1000));
	regions_write(&w->mem, LOW_SIZE - 3, "abcdef", 6);
	assert_memory_equal(w->low + LOW_SIZE - 3, "abc", 3);
	assert_memory_equal(w->high + 0x3000, "def", 3);
	regions_read(&w->mem, LOW_SIZE - 3, out, 6);
	assert_memory_equal(out, "abcdef", 6);
	assert_int_equal(regions_remove(&w->mem, &next), 0);
	assert_int_equal(regions_remove(&w->mem, &next), ENOENT);
}

static void test_add_refuses(void **state)
{
	static const struct vhost_user_region bad[] = {
		{ 0x200000, 0, 0x1000, 0 },
		{ 0x200001, 0x1000, 0x1000, 0 },
		{ 0x200000, 0x1001, 0x1000, 0 },
		{ 0x200000, 0x1000, 0x1001, 0 },
		{ 0x200000, 0x1000, 0x1000, 1 },
		{ 0x200000, 0x1000, 0x1000, LOW_SIZE + HIGH_SIZE },
		{ 0x200000, 0x15000, 0x1000, 0 },
		{ UINT64_MAX - 0xfff, 0x2000, 0x1000, 0 },
		{ 0x200000, 0x2000, UINT64_MAX - 0xfff, 0 },
		{ 0x200000, 0x2000, 0x1000, UINT64_MAX - 0xfff },
	};
	struct world *w = *state;
	struct vhost_user_region gpa = region(HIGH + 0x3000, 0x2000, 0);
	struct vhost_user_region user = region(HIGH + 0x3000, 0x2000, 0);

	gpa.user += 1ULL << 32;
	user.gpa += 1ULL << 32;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(regions_add(&w->mem, &bad[i], w->fd), EINVAL);
	assert_int_equal(regions_add(&w->mem, &gpa, w->fd), EEXIST);
	assert_int_equal(regions_add(&w->mem, &user, w->fd), EEXIST);
	assert_int_equal(w->mem.count, 2);
}

/* A file that the front-end may only read cannot be memory that we write. */
static void test_add_read_only(void **state)
{
	struct world *w = *state;
	struct vhost_user_region r = region(0x200000, 0x1000, 0);
	_cleanup_close_ int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(regions_add(&w->mem, &r, fd), EINVAL);
}

/* --- rings --- */

static void test_set_size(void **state)
{
	static const uint32_t bad[] = { 0, 3, 6, 1000, 2048, 0x80000000 };
	struct world *w = *state;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(virtq_set_size(&w->vq, bad[i]), EINVAL);
	for (uint32_t n = 1; n <= VIRTQ_SIZE_MAX; n *= 2)
		assert_int_equal(virtq_set_size(&w->vq, n), 0);
}

static void test_resolve(void **state)
{
	struct world *w = *state;
	uint64_t end = USER + HIGH + HIGH_SIZE;

	/* Each part ends with the region: not a byte later. */
	w->vq.desc_user = end - 16ULL * SIZE;
	assert_true(virtq_resolve(&w->vq, &w->mem));
	w->vq.desc_user += 16;
	assert_false(virtq_resolve(&w->vq, &w->mem));
	assert_false(virtq_resolved(&w->vq));
	w->vq.desc_user = USER + 0x1000;
	w->vq.avail_user = end - 4 - 2ULL * SIZE;
	assert_true(virtq_resolve(&w->vq, &w->mem));
	w->vq.avail_user += 2;
	assert_false(virtq_resolve(&w->vq, &w->mem));
	w->vq.avail_user = USER + 0x2000;
	w->vq.used_user = end - 4 - 8ULL * SIZE;
	assert_true(virtq_resolve(&w->vq, &w->mem));
	w->vq.used_user += 4;
	assert_false(virtq_resolve(&w->vq, &w->mem));
	/* Alignment as virtio has it: 16, 2 and 4. */
	w->vq.used_user = USER + 0x3002;
	assert_false(virtq_resolve(&w->vq, &w->mem));
	w->vq.used_user = USER + 0x3004;
	w->vq.avail_user = USER + 0x2001;
	assert_false(virtq_resolve(&w->vq, &w->mem));
	w->vq.avail_user = USER + 0x2002;
	w->vq.desc_user = USER + 0x1008;
	assert_false(virtq_resolve(&w->vq, &w->mem));
	w->vq.desc_user = USER + 0x1010;
	assert_true(virtq_resolve(&w->vq, &w->mem));
}

static void test_one_chain(void **state)
{
	struct world *w = *state;
	uint8_t out[16] = { 0 };

	assert_int_equal(pop(w), VIRTQ_EMPTY);
	assert_true(virtq_untouched(&w->vq));
	memcpy(w->low + 0x5000, "hello", 5);
	memcpy(w->high, " world", 6);
	put(w, 3, 0x5000, 5, VRING_DESC_F_NEXT, 1);
	put(w, 1, HIGH, 6, VRING_DESC_F_NEXT, 7);
	put(w, 7, 0x6000, 3, VRING_DESC_F_NEXT | VRING_DESC_F_WRITE, 0);
	put(w, 0, HIGH + 0x100, 5, VRING_DESC_F_WRITE, 0);
	offer(w, 3);
	assert_true(virtq_pending(&w->vq));
	assert_false(virtq_untouched(&w->vq));
	assert_int_equal(pop(w), VIRTQ_OK);
	assert_int_equal(w->chain.head, 3);
	assert_int_equal(w->chain.readable, 11);
	assert_int_equal(w->chain.writable, 8);
	assert_int_equal(virtq_read(&w->chain, &w->mem, out, 16), 11);
	assert_memory_equal(out, "hello world", 11);
	assert_int_equal(virtq_read(&w->chain, &w->mem, out, 7), 7);
	virtq_write(&w->chain, &w->mem, "12345678", 8);
	assert_memory_equal(w->low + 0x6000, "123", 4);
	assert_memory_equal(w->high + 0x100, "45678", 6);
	virtq_push(&w->vq, &w->chain, 8);
	assert_int_equal(le32toh(w->used->ring[0].id), 3);
	assert_int_equal(le32toh(w->used->ring[0].len), 8);
	assert_int_equal(le16toh(w->used->idx), 1);
	assert_int_equal(pop(w), VIRTQ_EMPTY);
}

static void test_positions_wrap(void **state)
{
	struct world *w = *state;

	w->vq.last_avail = 0xfffe;
	w->avail->idx = htole16(0xfffe);
	w->used->idx = htole16(0xfffd);
	virtq_load_used(&w->vq);
	put(w, 0, 0x5000, 1, 0, 0);
	for (unsigned int i = 0; i < 5; i++) {
		offer(w, 0);
		assert_int_equal(pop(w), VIRTQ_OK);
		virtq_push(&w->vq, &w->chain, i);
		assert_int_equal(le32toh(w->used->ring[(5 + i) % SIZE].len), i);
	}
	assert_int_equal(w->vq.last_avail, 3);
	assert_int_equal(le16toh(w->used->idx), 2);
}

/* DEV-QUEUE-2: malformed; nothing is taken, and the position stays. */
static void assert_malformed(struct world *w, int verdict)
{
	uint16_t before = w->vq.last_avail;

	assert_int_equal(pop(w), verdict);
	assert_int_equal(w->vq.last_avail, before);
	assert_int_equal(le16toh(w->used->idx), 0);
	w->avail->idx = htole16(before);
}

static void test_malformed(void **state)
{
	struct world *w = *state;

	w->avail->idx = htole16(SIZE + 1);
	assert_malformed(w, VIRTQ_BAD_INDEX);
	offer(w, SIZE);
	assert_malformed(w, VIRTQ_BAD_HEAD);
	put(w, 0, 0x5000, 1, VRING_DESC_F_NEXT, SIZE);
	offer(w, 0);
	assert_malformed(w, VIRTQ_BAD_NEXT);
	put(w, 0, 0x5000, 1, VRING_DESC_F_NEXT, 0);
	offer(w, 0);
	assert_malformed(w, VIRTQ_BAD_LENGTH);
	put(w, 0, 0x5000, 1, VRING_DESC_F_INDIRECT, 0);
	offer(w, 0);
	assert_malformed(w, VIRTQ_BAD_INDIRECT);
	put(w, 0, LOW_SIZE - 1, 2, 0, 0);
	offer(w, 0);
	assert_malformed(w, VIRTQ_BAD_ADDRESS);
	put(w, 0, 0x5000, 1, VRING_DESC_F_WRITE | VRING_DESC_F_NEXT, 1);
	put(w, 1, 0x5000, 1, 0, 0);
	offer(w, 0);
	assert_malformed(w, VIRTQ_BAD_ORDER);
}

/* What was judged is what is used, whatever the guest makes of it then. */
static void test_read_once(void **state)
{
	struct world *w = *state;

	put(w, 0, 0x5000, 8, VRING_DESC_F_NEXT, 1);
	put(w, 1, 0x6000, 16, VRING_DESC_F_WRITE, 0);
	offer(w, 0);
	changing = w->desc;
	assert_int_equal(pop(w), VIRTQ_OK);
	assert_ptr_equal(changing, w->desc + 2);
	changing = NULL;
	assert_int_equal(w->chain.num_pieces, 2);
	assert_int_equal(w->chain.num_readable, 1);
	assert_int_equal(w->chain.readable, 8);
	assert_int_equal(w->chain.writable, 16);
	assert_int_equal(w->chain.pieces[0].gpa, 0x5000);
	assert_int_equal(w->chain.pieces[1].gpa, 0x6000);
}

/* The longest chain has as many descriptors as the queue. */
static void test_longest_chain(void **state)
{
	struct world *w = *state;

	for (uint16_t i = 0; i < SIZE; i++)
		put(w, i, 0x5000, UINT16_MAX,
		    i < SIZE - 1 ? VRING_DESC_F_NEXT : 0, (uint16_t)(i + 1));
	offer(w, 0);
	assert_malformed(w, VIRTQ_BAD_ADDRESS);
	for (uint16_t i = 0; i < SIZE; i++)
		w->desc[i].len = htole32(0x8000);
	offer(w, 0);
	assert_int_equal(pop(w), VIRTQ_OK);
	assert_int_equal(w->chain.readable, SIZE * 0x8000);
}

static void test_notifications(void **state)
{
	struct world *w = *state;

	virtq_suppress_kicks(&w->vq, true);
	assert_int_equal(le16toh(w->used->flags), VRING_USED_F_NO_NOTIFY);
	virtq_suppress_kicks(&w->vq, false);
	assert_int_equal(w->used->flags, 0);
	assert_true(virtq_wants_call(&w->vq));
	w->avail->flags = htole16(VRING_AVAIL_F_NO_INTERRUPT);
	assert_false(virtq_wants_call(&w->vq));
}

static void test_words(void **state)
{
	(void)state;
	for (int v = VIRTQ_OK; v <= VIRTQ_BAD_ADDRESS; v++)
		assert_string_not_equal(virtq_strverdict(v), "unknown");
	assert_string_equal(virtq_strverdict(-1), "unknown");
	assert_string_equal(virtq_strverdict(VIRTQ_BAD_ADDRESS + 1), "unknown");
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_translate),	      TEST(test_copy_across),
		TEST(test_add_refuses),	      TEST(test_add_read_only),
		TEST(test_set_size),	      TEST(test_resolve),
		TEST(test_one_chain),	      TEST(test_positions_wrap),
		TEST(test_malformed),	      TEST(test_read_once),
		TEST(test_longest_chain),     TEST(test_notifications),
		cmocka_unit_test(test_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
