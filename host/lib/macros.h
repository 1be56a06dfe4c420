/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Small arithmetic and type macros shared by all host programs.
 *
 * Owns nothing. Each macro evaluates its arguments once. The checked
 * variants exist for numbers that came from a guest or a peer; the unchecked
 * ones are for numbers that are already validated, and say what they assume.
 */
#ifndef PVDMA_LIB_MACROS_H
#define PVDMA_LIB_MACROS_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Fails to compile when @a is a pointer rather than an array. */
#define ARRAY_SIZE(a)                                          \
	(sizeof(a) / sizeof((a)[0]) +                          \
	 0 * sizeof(char[1 - 2 * __builtin_types_compatible_p( \
					 __typeof__(a), __typeof__(&(a)[0]))]))

/* Both arguments must be of one type; a mix of types does not compile. */
#define min(a, b)                                  \
	({                                         \
		__typeof__(a) min_a_ = (a);        \
		__typeof__(b) min_b_ = (b);        \
		(void)(&min_a_ == &min_b_);        \
		min_a_ < min_b_ ? min_a_ : min_b_; \
	})

#define max(a, b)                                  \
	({                                         \
		__typeof__(a) max_a_ = (a);        \
		__typeof__(b) max_b_ = (b);        \
		(void)(&max_a_ == &max_b_);        \
		max_a_ > max_b_ ? max_a_ : max_b_; \
	})

/*
 * The struct of type @type whose member @member is at @ptr. A pointer to
 * something else than such a member does not compile.
 */
#define container_of(ptr, type, member)                                    \
	({                                                                 \
		(void)sizeof((ptr) == &((type *)0)->member);               \
		(type *)((char *)(uintptr_t)(ptr)-offsetof(type, member)); \
	})

/* True for 1, 2, 4, ...; false for 0. */
static inline bool is_power_of_2(uint64_t v)
{
	return v != 0 && (v & (v - 1)) == 0;
}

/* The largest multiple of @align, a power of two, that is <= @v. */
static inline uint64_t align_down(uint64_t v, uint64_t align)
{
	assert(is_power_of_2(align));
	return v & ~(align - 1);
}

/* True when @v is a multiple of @align, a power of two. */
static inline bool is_aligned(uint64_t v, uint64_t align)
{
	assert(is_power_of_2(align));
	return (v & (align - 1)) == 0;
}

/*
 * The smallest multiple of @align, a power of two, that is >= @v. Only for
 * values known to leave room: wraps to 0 beyond the last multiple.
 */
static inline uint64_t align_up(uint64_t v, uint64_t align)
{
	return align_down(v + (align - 1), align);
}

/*
 * align_up() for numbers of a peer: false, with *@ret untouched, when the
 * result does not fit.
 */
static inline bool align_up_checked(uint64_t v, uint64_t align, uint64_t *ret)
{
	uint64_t sum;

	assert(is_power_of_2(align));
	if (__builtin_add_overflow(v, align - 1, &sum))
		return false;
	*ret = align_down(sum, align);
	return true;
}

/* @n / @d rounded up, @d not 0, without overflow for any @n. */
static inline uint64_t div_round_up(uint64_t n, uint64_t d)
{
	return n / d + (n % d != 0);
}

/*
 * The last byte of the range of @size bytes at @start. False, with *@last
 * untouched, when @size is 0 or the range wraps. A range that ends with the
 * very last byte of the address space is fine.
 */
static inline bool range_last(uint64_t start, uint64_t size, uint64_t *last)
{
	uint64_t l;

	if (size == 0 || __builtin_add_overflow(start, size - 1, &l))
		return false;
	*last = l;
	return true;
}

#endif /* PVDMA_LIB_MACROS_H */
