// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Unit tests of host/agent/device/pci_cap.c: where the capability of
 * DEV-CAP-1 goes, in configuration spaces that are well-formed and in others.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <endian.h>
#include <errno.h>
#include <linux/pci_regs.h>
#include <stdlib.h>
#include <string.h>

#include "device/pci_cap.h"
#include "lib/macros.h"

#define TAG	 0x01020304u
#define ENDPOINT 0xa0b0c0d0u
#define CAP_SIZE 16u

struct space {
	uint8_t bytes[PCI_CAP_SPACE];
	struct pci_cap_overlay overlay;
};

/* An ordinary function without capabilities. */
static void start(struct space *s)
{
	memset(s, 0, sizeof(*s));
	s->bytes[PCI_VENDOR_ID] = 0x86;
	s->bytes[PCI_VENDOR_ID + 1] = 0x80;
}

/* Puts a capability in front of the list. */
static void add(struct space *s, uint8_t at, uint8_t id, uint16_t flags)
{
	s->bytes[at] = id;
	s->bytes[at + 1] = s->bytes[PCI_CAPABILITY_LIST];
	s->bytes[at + 2] = (uint8_t)flags;
	s->bytes[at + 3] = (uint8_t)(flags >> 8);
	s->bytes[PCI_CAPABILITY_LIST] = at;
	s->bytes[PCI_STATUS] |= PCI_STATUS_CAP_LIST;
}

static void fill(struct space *s, unsigned int first, unsigned int end)
{
	memset(s->bytes + first, 0xa5, end - first);
}

static int plan(struct space *s)
{
	return pci_cap_plan(s->bytes, TAG, ENDPOINT, &s->overlay);
}

static void expect_at(struct space *s, uint8_t position)
{
	assert_int_equal(plan(s), 0);
	assert_int_equal(s->overlay.position, position);
}

static void expect_none(struct space *s, int r)
{
	const struct pci_cap_overlay none = { 0 };

	assert_int_equal(plan(s), r);
	assert_memory_equal(&s->overlay, &none, sizeof(none));
}

/* What a guest reads: the space with the overlay. */
static void seen(const struct space *s, uint8_t *ret)
{
	memcpy(ret, s->bytes, PCI_CAP_SPACE);
	pci_cap_overlay_read(&s->overlay, 0, ret, PCI_CAP_SPACE);
}

/* DEV-CAP-1: what it reads as, and that the list goes on behind it. */
static void test_contents(void **state)
{
	uint8_t config[PCI_CAP_SPACE];
	struct virtio_pvdma_cap cap;
	struct space s;

	(void)state;
	start(&s);
	add(&s, 0x50, PCI_CAP_ID_PM, 3);
	expect_at(&s, 0xf0);
	seen(&s, config);
	assert_int_equal(config[PCI_CAPABILITY_LIST], 0xf0);
	memcpy(&cap, config + 0xf0, sizeof(cap));
	assert_int_equal(cap.id, PCI_CAP_ID_VNDR);
	assert_int_equal(cap.next, 0x50);
	assert_int_equal(cap.len, 16);
	assert_int_equal(cap.version, VIRTIO_PVDMA_VERSION);
	assert_int_equal(le32toh(cap.magic), VIRTIO_PVDMA_MAGIC);
	assert_int_equal(le32toh(cap.vm_tag), TAG);
	assert_int_equal(le32toh(cap.endpoint), ENDPOINT);

	/* DEV-CAP-1: all else is the device's. */
	config[PCI_CAPABILITY_LIST] = 0x50;
	memset(config + 0xf0, 0, CAP_SIZE);
	assert_memory_equal(config, s.bytes, PCI_CAP_SPACE);
}

static void test_no_list(void **state)
{
	uint8_t config[PCI_CAP_SPACE];
	struct space s;

	(void)state;
	start(&s);
	/* Without the status bit the pointer means nothing. */
	s.bytes[PCI_CAPABILITY_LIST] = 0x50;
	expect_at(&s, 0xf0);
	seen(&s, config);
	assert_true(config[PCI_STATUS] & PCI_STATUS_CAP_LIST);
	assert_int_equal(config[PCI_CAPABILITY_LIST], 0xf0);
	assert_int_equal(config[0xf1], 0);
}

static void test_other_headers(void **state)
{
	struct space s;

	(void)state;
	start(&s);
	s.bytes[PCI_HEADER_TYPE] = PCI_HEADER_TYPE_BRIDGE;
	expect_none(&s, -EOPNOTSUPP);
	s.bytes[PCI_HEADER_TYPE] = PCI_HEADER_TYPE_CARDBUS;
	expect_none(&s, -EOPNOTSUPP);
	/* A function of several. */
	s.bytes[PCI_HEADER_TYPE] = PCI_HEADER_TYPE_NORMAL | 0x80;
	expect_at(&s, 0xf0);
}

/* A capability covers its size and no more, even if it reads as zeros. */
static void test_sizes(void **state)
{
	static const struct {
		uint8_t id;
		uint16_t flags;
		uint8_t size;
	} cases[] = {
		{ PCI_CAP_ID_PM, 3, 8 },
		{ PCI_CAP_ID_VPD, 0, 8 },
		{ PCI_CAP_ID_SSVID, 0, 8 },
		{ PCI_CAP_ID_AF, 6, 8 },
		{ PCI_CAP_ID_SLOTID, 0, 4 },
		{ PCI_CAP_ID_CHSWP, 0, 4 },
		{ PCI_CAP_ID_MSIX, 31, 12 },
		{ PCI_CAP_ID_MSI, 0, 12 },
		{ PCI_CAP_ID_MSI, PCI_MSI_FLAGS_64BIT, 16 },
		{ PCI_CAP_ID_MSI, PCI_MSI_FLAGS_MASKBIT, 20 },
		{ PCI_CAP_ID_MSI, PCI_MSI_FLAGS_64BIT | PCI_MSI_FLAGS_MASKBIT,
		  24 },
		{ PCI_CAP_ID_EXP, 0x0001, 0x14 },
		{ PCI_CAP_ID_EXP, 0x0011, 0x14 },
		{ PCI_CAP_ID_EXP, 0x0091, 0x0c },
		{ PCI_CAP_ID_EXP, 0x0041, 0x24 },
		{ PCI_CAP_ID_EXP, 0x0002, 0x3c },
		{ PCI_CAP_ID_EXP, 0x0000, 0x3c },
		{ PCI_CAP_ID_PCIX, 0, 8 },
		{ PCI_CAP_ID_PCIX, 0x1000, 24 },
		{ PCI_CAP_ID_SATA, 0x10, 8 },
		{ PCI_CAP_ID_VNDR, 0x0003, 4 },
		{ PCI_CAP_ID_VNDR, 0x0010, 16 },
		{ PCI_CAP_ID_VNDR, 0x0011, 20 },
		{ PCI_CAP_ID_VNDR, 0xab30, 0x30 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const uint8_t at = 0x80;
		struct space s;
		unsigned int gap;

		/* Room is nowhere but right behind it. */
		start(&s);
		add(&s, at, cases[i].id, cases[i].flags);
		gap = at + cases[i].size;
		fill(&s, 0x40, at);
		fill(&s, gap + CAP_SIZE, PCI_CAP_SPACE);
		if (plan(&s) != 0 || s.overlay.position != gap)
			fail_msg("capability %#x, flags %#x: at %#x, not %#x",
				 cases[i].id, cases[i].flags,
				 s.overlay.position, gap);
		/* A word less is too little. */
		fill(&s, gap + CAP_SIZE - 1, gap + CAP_SIZE);
		expect_none(&s, -ENOSPC);
	}
}

/* SATA says in a word behind its head whether its registers are inside. */
static void test_sata_inline(void **state)
{
	struct space s;

	(void)state;
	start(&s);
	add(&s, 0x80, PCI_CAP_ID_SATA, 0x10);
	s.bytes[0x84] = 0x0f;
	fill(&s, 0x40, 0x80);
	fill(&s, 0xa0, PCI_CAP_SPACE);
	expect_at(&s, 0x90);
}

/* What is not known goes up to the next capability, or to the end. */
static void test_unknown_sizes(void **state)
{
	static const struct {
		uint8_t id;
		uint16_t flags;
	} cases[] = {
		{ 0x42, 0 },
		{ PCI_CAP_ID_HT, 0x8000 },
		{ PCI_CAP_ID_EA, 3 },
		{ PCI_CAP_ID_VNDR, 0 },
		{ PCI_CAP_ID_VNDR, 2 },
		{ PCI_CAP_ID_AGP3, 0 },
		{ 0, 0 },
		{ 0xff, 0xffff },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct space s;

		start(&s);
		add(&s, 0x60, cases[i].id, cases[i].flags);
		expect_at(&s, 0x50);

		start(&s);
		add(&s, 0x60, cases[i].id, cases[i].flags);
		add(&s, 0xa0, PCI_CAP_ID_PM, 3);
		fill(&s, 0xb0, PCI_CAP_SPACE);
		expect_at(&s, 0x50);
	}
}

/* Registers that no capability tells of are left alone. */
static void test_nonzero(void **state)
{
	struct space s;

	(void)state;
	start(&s);
	s.bytes[0xff] = 1;
	expect_at(&s, 0xec);
	s.bytes[0xec] = 1;
	expect_at(&s, 0xdc);
	fill(&s, 0x50, 0x100);
	expect_at(&s, 0x40);
	s.bytes[0x40] = 1;
	expect_none(&s, -ENOSPC);
	fill(&s, 0x40, 0x100);
	expect_none(&s, -ENOSPC);
}

/* The capabilities of a real NIC: every gap of 16 bytes is after 0xb0. */
static void test_e1000e(void **state)
{
	struct space s;

	(void)state;
	start(&s);
	add(&s, 0xa0, PCI_CAP_ID_MSIX, 4);
	add(&s, 0xe0, PCI_CAP_ID_EXP, 0x0001);
	add(&s, 0xd0, PCI_CAP_ID_MSI, PCI_MSI_FLAGS_64BIT);
	add(&s, 0xc8, PCI_CAP_ID_PM, 3);
	expect_at(&s, 0xb8);
}

static void test_circles(void **state)
{
	struct space s;

	(void)state;
	/* To itself. */
	start(&s);
	add(&s, 0x80, PCI_CAP_ID_PM, 0);
	s.bytes[0x81] = 0x80;
	expect_at(&s, 0xf0);
	assert_int_equal(s.overlay.cap.next, 0x80);

	/* Of three. */
	start(&s);
	add(&s, 0xf0, PCI_CAP_ID_PM, 0);
	add(&s, 0xe0, PCI_CAP_ID_PM, 0);
	add(&s, 0x40, PCI_CAP_ID_PM, 0);
	s.bytes[0xf1] = 0x40;
	expect_at(&s, 0xd0);
}

static void test_bad_pointers(void **state)
{
	struct space s;

	(void)state;
	/* Into the header: the end, from the start and on the way. */
	start(&s);
	add(&s, 0x80, PCI_CAP_ID_PM, 0);
	s.bytes[PCI_CAPABILITY_LIST] = 0x3c;
	expect_at(&s, 0xf0);
	assert_int_equal(s.overlay.cap.next, 0);
	s.bytes[PCI_CAPABILITY_LIST] = 0x80;
	s.bytes[0x81] = 0x04;
	expect_at(&s, 0xf0);
	assert_int_equal(s.overlay.cap.next, 0x80);

	/* The lowest two bits are reserved: as if they were zero. */
	start(&s);
	add(&s, 0xf0, PCI_CAP_ID_MSIX, 0);
	s.bytes[PCI_CAPABILITY_LIST] = 0xf3;
	expect_at(&s, 0xe0);

	/* A capability that would go beyond the end. */
	start(&s);
	add(&s, 0xfc, PCI_CAP_ID_EXP, 2);
	expect_at(&s, 0xec);
	start(&s);
	add(&s, 0xfc, PCI_CAP_ID_SATA, 2);
	expect_at(&s, 0xec);
}

static void test_all_ones(void **state)
{
	struct space s;

	(void)state;
	/* A device that fell off its bus. */
	memset(s.bytes, 0xff, sizeof(s.bytes));
	expect_none(&s, -EOPNOTSUPP);
	s.bytes[PCI_HEADER_TYPE] = 0;
	expect_none(&s, -ENOSPC);
}

/* Whatever the space holds, the gap is free, aligned and behind the header. */
static void test_random(void **state)
{
	unsigned int found = 0;

	(void)state;
	srandom(1);
	for (unsigned int i = 0; i < 200000; i++) {
		struct space s;
		unsigned int n = (unsigned int)random() % 40;

		start(&s);
		s.bytes[PCI_STATUS] = PCI_STATUS_CAP_LIST;
		s.bytes[PCI_CAPABILITY_LIST] = (uint8_t)random();
		while (n-- > 0)
			s.bytes[0x40 + random() % 0xc0] = (uint8_t)random();
		if (plan(&s) != 0)
			continue;
		found++;
		assert_true(s.overlay.position >= 0x40);
		assert_true(s.overlay.position <= PCI_CAP_SPACE - CAP_SIZE);
		assert_int_equal(s.overlay.position % 4, 0);
		for (unsigned int b = 0; b < CAP_SIZE; b++)
			assert_int_equal(s.bytes[s.overlay.position + b], 0);
	}
	assert_true(found > 1000);
}

/* Reads of any place and length see the same bytes. */
static void test_overlay_read(void **state)
{
	uint8_t whole[PCI_CAP_SPACE], part[PCI_CAP_SPACE];
	struct space s;

	(void)state;
	start(&s);
	add(&s, 0x60, PCI_CAP_ID_PM, 3);
	expect_at(&s, 0xf0);
	seen(&s, whole);
	for (unsigned int at = 0; at < PCI_CAP_SPACE; at++) {
		for (unsigned int n = 0; n <= PCI_CAP_SPACE - at; n++) {
			memcpy(part, s.bytes + at, n);
			pci_cap_overlay_read(&s.overlay, at, part, n);
			assert_memory_equal(part, whole + at, n);
		}
	}
	/* Behind the 256 bytes nothing is changed. */
	memset(part, 0x5a, sizeof(part));
	pci_cap_overlay_read(&s.overlay, PCI_CAP_SPACE, part, sizeof(part));
	pci_cap_overlay_read(&s.overlay, UINT64_MAX - 15, part, 16);
	for (unsigned int i = 0; i < sizeof(part); i++)
		assert_int_equal(part[i], 0x5a);
}

/* DEV-CAP-1: a byte is written if it is not the capability's, and once. */
static void test_overlay_split(void **state)
{
	struct pci_cap_overlay overlay = { .position = 0x44 };

	(void)state;
	for (unsigned int at = 0; at < 0x70; at++) {
		for (unsigned int n = 1; n < 0x70; n++) {
			unsigned int done = 0;

			while (done < n) {
				size_t hidden, pass;

				pass = pci_cap_overlay_split(
					&overlay, at + done, n - done, &hidden);
				assert_true(pass + hidden > 0);
				assert_true(pass + hidden <= n - done);
				for (size_t i = 0; i < pass + hidden; i++) {
					size_t b = at + done + i;

					assert_int_equal(b >= 0x44 && b < 0x54,
							 i >= pass);
				}
				done += (unsigned int)(pass + hidden);
			}
		}
	}
}

static void test_overlay_none(void **state)
{
	const struct pci_cap_overlay none = { 0 };
	uint8_t buf[16] = { 0 };
	size_t hidden = 1;

	(void)state;
	pci_cap_overlay_read(&none, 0, buf, sizeof(buf));
	assert_int_equal(buf[PCI_STATUS], 0);
	assert_int_equal(pci_cap_overlay_split(&none, 0, 16, &hidden), 16);
	assert_int_equal(hidden, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_contents),
		cmocka_unit_test(test_no_list),
		cmocka_unit_test(test_other_headers),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_sata_inline),
		cmocka_unit_test(test_unknown_sizes),
		cmocka_unit_test(test_nonzero),
		cmocka_unit_test(test_e1000e),
		cmocka_unit_test(test_circles),
		cmocka_unit_test(test_bad_pointers),
		cmocka_unit_test(test_all_ones),
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_overlay_read),
		cmocka_unit_test(test_overlay_split),
		cmocka_unit_test(test_overlay_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
