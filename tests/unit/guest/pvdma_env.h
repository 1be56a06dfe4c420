/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * pvdma_env.h - a kernel, as far as guest/pvdma/env.h asks for one
 *
 * The names are the kernel's, the bodies the C library's and the compiler's.
 * Allocations can be made to fail, warnings are counted instead of printed.
 */
#ifndef PVDMA_TEST_ENV_H
#define PVDMA_TEST_ENV_H

#include <endian.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <linux/types.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef unsigned int gfp_t;

#define U32_MAX	  UINT32_MAX
#define BIT(n)	  (1ull << (n))
#define U64_MAX	  UINT64_MAX
#define PAGE_SIZE 4096ul

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))
#define BUILD_BUG_ON(c) _Static_assert(!(c), #c)
#define likely(c)	__builtin_expect(!!(c), 1)
#define unlikely(c)	__builtin_expect(!!(c), 0)
#define min(a, b)	((a) < (b) ? (a) : (b))
#define max(a, b)	((a) > (b) ? (a) : (b))
#define roundup(x, n)	(((x) + (n)-1) / (n) * (n))

/* What the code under test warned of; a test that expects none says so. */
extern unsigned int env_warnings;
#define WARN_ONCE(c, ...) ((void)((c) && ++env_warnings))

/* Memory. The allocation after @env_allocations more fails; -1: none does. */
extern int env_allocations;
#define GFP_KERNEL   1u
#define GFP_ATOMIC   2u
#define __GFP_NOWARN 4u

static inline bool gfpflags_allow_blocking(gfp_t gfp)
{
	return gfp & GFP_KERNEL;
}

void *env_alloc(size_t bytes);
#define kzalloc(bytes, gfp)  ((void)(gfp), env_alloc(bytes))
#define kvzalloc(bytes, gfp) ((void)(gfp), env_alloc(bytes))
#define kfree(p)	     free(p)
#define kvfree(p)	     free(p)
#define get_zeroed_page(gfp) ((void)(gfp), (unsigned long)env_alloc(PAGE_SIZE))
#define free_page(p)	     free((void *)(p))

/* Where physical memory begins. */
extern uintptr_t env_ram;

static inline u64 virt_to_phys(const void *p)
{
	return (uintptr_t)p - env_ram;
}

/* The test says what is memory. */
int pvdma_env_check(u64 addr);

/* Byte order */
#define cpu_to_le16(x) htole16(x)
#define cpu_to_le32(x) htole32(x)
#define cpu_to_le64(x) htole64(x)
#define le16_to_cpu(x) le16toh(x)
#define le32_to_cpu(x) le32toh(x)
#define le64_to_cpu(x) le64toh(x)

static inline void le32_add_cpu(__le32 *x, u32 add)
{
	*x = cpu_to_le32(le32_to_cpu(*x) + add);
}

/*
 * One-word accesses; a load orders what depends on it. The kernel's are plain
 * accesses through volatile, which the thread sanitizer would not understand.
 */
#ifdef PVDMA_ENV_AS_KERNEL
#define READ_ONCE(x) (*(const volatile __typeof__(x) *)&(x))
#else
#define READ_ONCE(x) __atomic_load_n(&(x), __ATOMIC_ACQUIRE)
#endif
#define WRITE_ONCE(x, v)	__atomic_store_n(&(x), v, __ATOMIC_RELAXED)
#define smp_store_release(p, v) __atomic_store_n(p, v, __ATOMIC_RELEASE)

typedef struct {
	int counter;
} atomic_t;

static inline u32 atomic_read(const atomic_t *v)
{
	return READ_ONCE(v->counter);
}

static inline u32 atomic_fetch_add(int i, atomic_t *v)
{
	return __atomic_fetch_add(&v->counter, i, __ATOMIC_SEQ_CST);
}

static inline u32 atomic_fetch_sub_release(int i, atomic_t *v)
{
	return __atomic_fetch_sub(&v->counter, i, __ATOMIC_RELEASE);
}

static inline void atomic_or(u32 bits, atomic_t *v)
{
	__atomic_fetch_or(&v->counter, bits, __ATOMIC_RELAXED);
}

static inline void atomic_and(u32 bits, atomic_t *v)
{
	__atomic_fetch_and(&v->counter, bits, __ATOMIC_RELAXED);
}

/* A lock that spins; no test holds one for long. */
typedef struct {
	bool taken;
} raw_spinlock_t;

static inline void raw_spin_lock_init(raw_spinlock_t *lock)
{
	lock->taken = false;
}

static inline void env_lock(raw_spinlock_t *lock)
{
	while (__atomic_test_and_set(&lock->taken, __ATOMIC_ACQUIRE))
		;
}

#define raw_spin_lock_irqsave(lock, flags) ((flags) = 0, env_lock(lock))
#define raw_spin_unlock_irqrestore(lock, flags) \
	((void)(flags), __atomic_clear(&(lock)->taken, __ATOMIC_RELEASE))

#endif
