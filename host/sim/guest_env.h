/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * guest_env.h - what the guest module's own sources need, outside of a kernel
 *
 * guest/pvdma/track.c, batch.c and encode.c are written against env.h, which in
 * a kernel is a list of includes. Here this header stands for it (and says so
 * by env.h's own guard). One thread, one guest at a time: "physical" memory is
 * the simulated guest's, and only pages that hold leaves are allocated in it.
 */
#ifndef PVDMA_SIM_GUEST_ENV_H
#define PVDMA_SIM_GUEST_ENV_H

#define PVDMA_ENV_H

#include <endian.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "host/lib/macros.h"
#include "protocol/virtio_pvdma.h"

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef unsigned int gfp_t;
typedef struct {
	_Atomic(uint32_t) counter;
} atomic_t;
typedef struct {
	int unused;
} raw_spinlock_t;

#define U32_MAX	     UINT32_MAX
#define BIT(n)	     (1ull << (n))
#define U64_MAX	     UINT64_MAX
#define PAGE_SIZE    4096ul
#define GFP_KERNEL   1u
#define GFP_ATOMIC   0u
#define __GFP_NOWARN 0u

#define roundup(x, n)		  (((x) + (n)-1) / (n) * (n))
#define likely(x)		  __builtin_expect(!!(x), 1)
#define unlikely(x)		  __builtin_expect(!!(x), 0)
#define BUILD_BUG_ON(x)		  static_assert(!(x), #x)
#define WARN_ONCE(condition, ...) assert(!(condition))

#define READ_ONCE(x)		(*(const volatile __typeof__(x) *)&(x))
#define WRITE_ONCE(x, v)	(*(volatile __typeof__(x) *)&(x) = (v))
#define smp_store_release(p, v) __atomic_store_n(p, v, __ATOMIC_RELEASE)

#define cpu_to_le16 htole16
#define cpu_to_le32 htole32
#define cpu_to_le64 htole64
#define le16_to_cpu le16toh
#define le32_to_cpu le32toh
#define le64_to_cpu le64toh

static inline void le32_add_cpu(uint32_t *v, u32 by)
{
	*v = htole32(le32toh(*v) + by);
}

static inline u32 atomic_read(const atomic_t *v)
{
	return atomic_load_explicit(&v->counter, memory_order_relaxed);
}

static inline u32 atomic_fetch_add_word(u32 by, atomic_t *v)
{
	return atomic_fetch_add_explicit(&v->counter, by, memory_order_seq_cst);
}

static inline u32 atomic_fetch_sub_release(u32 by, atomic_t *v)
{
	return atomic_fetch_sub_explicit(&v->counter, by, memory_order_release);
}

static inline void atomic_or_word(u32 bits, atomic_t *v)
{
	atomic_fetch_or_explicit(&v->counter, bits, memory_order_relaxed);
}

static inline void atomic_and_word(u32 bits, atomic_t *v)
{
	atomic_fetch_and_explicit(&v->counter, bits, memory_order_relaxed);
}

/* C11 has functions of these names, with their arguments the other way round. */
#undef atomic_fetch_add
#define atomic_fetch_add atomic_fetch_add_word
#define atomic_or	 atomic_or_word
#define atomic_and	 atomic_and_word

static inline void raw_spin_lock_init(raw_spinlock_t *lock)
{
	lock->unused = 0;
}

#define raw_spin_lock_irqsave(lock, flags)	((void)(lock), (void)((flags) = 0))
#define raw_spin_unlock_irqrestore(lock, flags) ((void)(lock), (void)(flags))

static inline bool gfpflags_allow_blocking(gfp_t gfp)
{
	return gfp & GFP_KERNEL;
}

static inline void *kzalloc(size_t size, gfp_t gfp)
{
	(void)gfp;
	return calloc(1, size);
}

#define kfree	 free
#define kvzalloc kzalloc
#define kvfree	 free

/* A page of the simulated guest's memory; 0: there is none left. */
unsigned long get_zeroed_page(gfp_t gfp);
void free_page(unsigned long page);
u64 virt_to_phys(const volatile void *addr);

/* All that a trace maps is memory. */
static inline int pvdma_env_check(u64 addr)
{
	(void)addr;
	return 0;
}

#endif
