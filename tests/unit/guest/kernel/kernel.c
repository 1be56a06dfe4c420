// SPDX-License-Identifier: GPL-2.0-or-later
/* kernel.c - see kernel.h */
#include "tests/unit/guest/kernel/kernel.h"

#include <sys/mman.h>

u64 kernel_now;
void (*kernel_host)(void);
unsigned int kernel_messages;
unsigned int kernel_preempt;
u64 kernel_pages;

static u64 ram, low_next, low_end;

void kernel_start(u64 bytes, u64 low)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	assert(p != MAP_FAILED);
	env_ram = (uintptr_t)p;
	ram = bytes;
	/* address 0 is nobody's */
	low_next = SZ_1M;
	low_end = low;
	kernel_now = 1;
	kernel_host = NULL;
	kernel_messages = 0;
	env_warnings = 0;
	env_allocations = -1;
}

void kernel_stop(void)
{
	assert(kernel_preempt == 0 && kernel_pages == 0);
	(void)munmap((void *)env_ram, ram);
	env_ram = 0;
}

/* Aligned to its own size, as the kernel's are; not used again. */
void *alloc_pages_exact(size_t bytes, gfp_t gfp)
{
	u64 at = (low_next + bytes - 1) / bytes * bytes;

	(void)gfp;
	/* On PREEMPT_RT nothing can be allocated with preemption off. */
	assert(kernel_preempt == 0);
	assert((bytes & (bytes - 1)) == 0);
	if (env_allocations == 0 || at + bytes > low_end)
		return NULL;
	if (env_allocations > 0)
		env_allocations--;
	low_next = at + bytes;
	kernel_pages += bytes;
	return phys_to_virt(at);
}

void free_pages_exact(void *p, size_t bytes)
{
	/* what is used after this is not what it was */
	memset(p, 0x6b, bytes);
	kernel_pages -= bytes;
}

void cpu_relax(void)
{
	kernel_now += NSEC_PER_USEC;
	if (kernel_host)
		kernel_host();
}

void kernel_say(const struct device *dev, const char *format, ...)
{
	(void)dev;
	(void)format;
	kernel_messages++;
}

int virtqueue_add_sgs(struct virtqueue *vq, struct scatterlist *sgs[],
		      unsigned int out, unsigned int in, void *token, gfp_t gfp)
{
	(void)gfp;
	assert(out == 1 && in == 1);
	if (2 * (vq->out + 1) > vq->size || vq->out + 1 > KERNEL_RING)
		return -ENOSPC;
	vq->out++;
	vq->avail[vq->n_avail++] = (struct kernel_chain){
		.token = token,
		.out = sgs[0]->virt,
		.in = sgs[1]->virt,
	};
	return 0;
}

void *virtqueue_get_buf(struct virtqueue *vq, u32 *bytes)
{
	void *token;

	if (vq->n_used == 0)
		return NULL;
	token = vq->used[0];
	*bytes = vq->used_bytes[0];
	vq->n_used--;
	memmove(vq->used, vq->used + 1, vq->n_used * sizeof(vq->used[0]));
	memmove(vq->used_bytes, vq->used_bytes + 1,
		vq->n_used * sizeof(vq->used_bytes[0]));
	vq->out--;
	return token;
}

void virtqueue_notify(struct virtqueue *vq)
{
	vq->kicks++;
	if (kernel_host)
		kernel_host();
}

bool kernel_pop(struct virtqueue *vq, struct kernel_chain *ret)
{
	if (vq->n_avail == 0)
		return false;
	*ret = vq->avail[0];
	vq->n_avail--;
	memmove(vq->avail, vq->avail + 1, vq->n_avail * sizeof(vq->avail[0]));
	return true;
}

void kernel_push(struct virtqueue *vq, const struct kernel_chain *chain,
		 u32 bytes)
{
	vq->used[vq->n_used] = chain->token;
	vq->used_bytes[vq->n_used++] = bytes;
}
