/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * enforce.h - for cmocka tests: a guest whose quota will be lowered
 */
#ifndef PVDMA_TESTS_ENFORCE_H
#define PVDMA_TESTS_ENFORCE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "host/lib/log.h"
#include "tests/unit/support/guest.h"

#define DEADLINE UINT64_C(1000000000) /* usec */

static struct guest g;

/* 64 MiB, a quota of 4 MiB, granules of 4 KiB; the driver is up. */
static inline int start(enum vm_enforce enforce)
{
	log_set_max_level(-1);
	guest_start(&g, &(struct guest_options){
				.size = MB(64),
				.quota = MB(4),
				.shift = 12,
				.enforce = enforce,
				.enforce_usec = DEADLINE,
			});
	guest_boot(&g);
	guest_boot_blocks(&g);
	return 0;
}

static inline int setup_wait(void **state)
{
	(void)state;
	return start(VM_ENFORCE_WAIT);
}

static inline int setup_revoke(void **state)
{
	(void)state;
	return start(VM_ENFORCE_REVOKE);
}

static inline int teardown(void **state)
{
	(void)state;
	guest_check(&g, false);
	guest_stop(&g);
	return 0;
}

static inline uint64_t mapped(void)
{
	return guest_stats(&g).mapped_bytes;
}

static inline uint64_t deadline(void)
{
	return g.vm->root->enforce.until;
}

static inline struct virtio_pvdma_config space(void)
{
	struct virtio_pvdma_config config;

	vm_config_read(g.vm, &config);
	return config;
}

/* Eight extents of 512 KiB; the first @held are held by their first granule. */
static inline void fill(unsigned int held)
{
	for (uint64_t i = 0; i < 8; i++)
		assert_int_equal(guest_map(&g, i * 128, 128),
				 VIRTIO_PVDMA_R_OK);
	for (uint64_t i = 0; i < held; i++)
		guest_hold(&g, i * 128);
}

#endif
