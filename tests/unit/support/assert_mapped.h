/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * assert_mapped.h - for cmocka tests: the IOMMU and the table say the same
 */
#ifndef PVDMA_TESTS_ASSERT_MAPPED_H
#define PVDMA_TESTS_ASSERT_MAPPED_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/support/guest.h"

/* Granules [first, first + count) are mapped and say so; or neither. */
static inline void assert_mapped(const struct guest *g, uint64_t first,
				 uint64_t count, bool mapped)
{
	for (uint64_t i = first; i < first + count; i++) {
		assert_int_equal(guest_in_iommu(g, i), mapped);
		assert_int_equal((guest_look(g, i) & VIRTIO_PVDMA_W_MAPPED) !=
					 0,
				 mapped);
	}
}

#endif
