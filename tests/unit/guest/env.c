// SPDX-License-Identifier: GPL-2.0-or-later
/* env.c - the few objects behind pvdma_env.h */
#include "pvdma_env.h"

unsigned int env_warnings;
int env_allocations = -1;
uintptr_t env_ram;

void *env_alloc(size_t bytes)
{
	size_t size = (bytes + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1);
	void *p;

	if (env_allocations == 0)
		return NULL;
	if (env_allocations > 0)
		env_allocations--;
	p = aligned_alloc(PAGE_SIZE, size);
	if (p)
		memset(p, 0, size);
	return p;
}
