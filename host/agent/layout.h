/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * layout.h - what a change of the memory layout means to what is mapped
 */
#ifndef PVDMA_AGENT_LAYOUT_H
#define PVDMA_AGENT_LAYOUT_H

struct memory_region;
struct vm;

/*
 * A region is about to go: ends what is mapped of it, held or not, and drops
 * leaves that lie in it. 0, or a negative errno: something of it is still
 * mapped, so it must not go.
 */
int layout_leaving(struct vm *vm, const struct memory_region *region);

/*
 * A region came. Where it shares a granule with memory that is mapped, its
 * part of that granule is mapped, too, or the granule is no longer shown as
 * mapped.
 */
void layout_added(struct vm *vm, const struct memory_region *region);

#endif
