// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * type1.c - the legacy VFIO container, "type1 version 2"
 *
 * Owns the container's fd. Invariant: keeps no books of what is mapped; the
 * kernel refuses what overlaps (EEXIST) or cuts a mapping (EINVAL). Locks:
 * none. In a request's way: the VFIO calls, the only system calls there.
 *
 * What the kernel charges: each mapping takes one of dma_entry_limit entries
 * of the container, and its pages count against RLIMIT_MEMLOCK unless the
 * process has CAP_IPC_LOCK.
 */
#include "host/agent/iommu/iommu.h"

#include <errno.h>
#include <linux/vfio.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "host/lib/cleanup.h"
#include "host/lib/log.h"
#include "host/lib/macros.h"

#define TYPE1_PAGE 4096u /* where the kernel does not say */

struct type1 {
	struct iommu iommu;
	int fd;
	bool ready;	      /* a group is in, the IOMMU is selected */
	uint64_t entries_max; /* entries free when nothing was mapped */
};

/* What GET_INFO answers: the struct, then capabilities by offset. */
struct info {
	struct vfio_iommu_type1_info *head;
	size_t size;
};

static struct type1 *type1_of(struct iommu *iommu)
{
	return container_of(iommu, struct type1, iommu);
}

/* The kernel says how much room it needs, and then gets that. Sets errno. */
static bool info_get(int fd, struct info *ret)
{
	size_t size = 1024;

	for (int tries = 0; tries < 3; tries++) {
		struct vfio_iommu_type1_info *head = calloc(1, size);

		if (!head)
			return false;
		head->argsz = (uint32_t)size;
		if (ioctl(fd, VFIO_IOMMU_GET_INFO, head) < 0) {
			int saved = errno;

			free(head);
			errno = saved;
			return false;
		}
		if (head->argsz <= size) {
			*ret = (struct info){ .head = head, .size = size };
			return true;
		}
		size = head->argsz;
		free(head);
	}
	errno = EIO;
	return false;
}

/* Capability @id, at least @size bytes of it; NULL if there is none. */
static const void *info_cap(const struct info *info, uint16_t id, size_t size)
{
	uint32_t offset = info->head->cap_offset;

	if (!(info->head->flags & VFIO_IOMMU_INFO_CAPS))
		return NULL;
	/* Offsets go up in what the kernel builds; so the loop ends. */
	while (offset >= sizeof(*info->head)) {
		const struct vfio_info_cap_header *cap;

		if (offset > info->size - sizeof(*cap))
			return NULL;
		cap = (const void *)((const char *)info->head + offset);
		if (cap->id == id)
			return size <= info->size - offset ? cap : NULL;
		if (cap->next <= offset)
			return NULL;
		offset = cap->next;
	}
	return NULL;
}

static uint64_t info_entries(const struct info *info)
{
	const struct vfio_iommu_type1_info_dma_avail *avail;

	avail = info_cap(info, VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL, sizeof(*avail));
	return avail ? avail->avail : IOMMU_ENTRIES_UNKNOWN;
}

static int type1_get_limits(struct iommu *iommu, struct iommu_limits *ret)
{
	struct type1 *type1 = type1_of(iommu);
	struct info info;

	if (!type1->ready) {
		*ret = (struct iommu_limits){
			.entries_max = IOMMU_ENTRIES_UNKNOWN,
			.entries_free = IOMMU_ENTRIES_UNKNOWN,
		};
		return 0;
	}
	if (!info_get(type1->fd, &info))
		return log_err_errno(errno, "cannot ask VFIO for its limits");
	*ret = (struct iommu_limits){
		.pgsizes = TYPE1_PAGE,
		.entries_max = type1->entries_max,
		.entries_free = info_entries(&info),
	};
	if (info.head->flags & VFIO_IOMMU_INFO_PGSIZES)
		ret->pgsizes = info.head->iova_pgsizes;
	free(info.head);
	return 0;
}

/* Says which addresses the IOMMU does translate, to explain an EINVAL. */
static void log_iova_ranges(const struct type1 *type1,
			    const struct iommu_map *map)
{
	const struct vfio_iommu_type1_info_cap_iova_range *cap;
	uint64_t last = map->iova + (map->size - 1);
	struct info info;

	if (!info_get(type1->fd, &info))
		return;
	cap = info_cap(&info, VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE,
		       sizeof(*cap));
	for (uint32_t i = 0; cap && i < cap->nr_iovas; i++) {
		const struct vfio_iova_range *range = &cap->iova_ranges[i];

		if ((const char *)(range + 1) >
		    (const char *)info.head + info.size)
			break;
		if (map->iova >= range->start && last <= range->end)
			goto out; /* so it was for another reason */
	}
	if (cap)
		log_ratelimited(
			LOG_WARNING,
			"the IOMMU does not translate all of 0x%llx-0x%llx (interrupt window, reserved, or beyond its address width)",
			(unsigned long long)map->iova,
			(unsigned long long)last);
out:
	free(info.head);
}

static int type1_map(struct iommu *iommu, const struct iommu_map *map)
{
	struct type1 *type1 = type1_of(iommu);
	struct vfio_iommu_type1_dma_map arg = {
		.argsz = sizeof(arg),
		.vaddr = (uintptr_t)map->vaddr,
		.iova = map->iova,
		.size = map->size,
	};
	int r;

	if (map->prot & IOMMU_READ)
		arg.flags |= VFIO_DMA_MAP_FLAG_READ;
	if (map->prot & IOMMU_WRITE)
		arg.flags |= VFIO_DMA_MAP_FLAG_WRITE;
	if (ioctl(type1->fd, VFIO_IOMMU_MAP_DMA, &arg) == 0)
		return 0;
	switch (errno) {
	case EEXIST:
	case ENOSPC:
	case ENOMEM:
	case EFAULT:
		return -errno;
	case EINVAL:
		log_iova_ranges(type1, map);
		return -EINVAL;
	default:
		r = -errno;
		log_ratelimited(LOG_ERR, "VFIO maps no DMA: %s", strerror(-r));
		return r;
	}
}

static int type1_unmap(struct iommu *iommu, uint64_t iova, uint64_t size,
		       uint64_t *ret_size)
{
	struct vfio_iommu_type1_dma_unmap arg = {
		.argsz = sizeof(arg),
		.iova = iova,
		.size = size,
	};

	if (ioctl(type1_of(iommu)->fd, VFIO_IOMMU_UNMAP_DMA, &arg) < 0)
		return -errno;
	*ret_size = arg.size;
	return 0;
}

static void type1_take_over(struct iommu *iommu, uint64_t entries_max)
{
	struct type1 *type1 = type1_of(iommu);

	type1->entries_max = entries_max;
	type1->ready = true;
}

/* Closing the container ends its mappings, once its groups are closed too. */
static void type1_free(struct iommu *iommu)
{
	struct type1 *type1 = type1_of(iommu);

	type1->fd = close_fd(type1->fd);
	free(type1);
}

static const struct iommu_ops type1_ops = {
	.name = "type1",
	.free = type1_free,
	.map = type1_map,
	.unmap = type1_unmap,
	.get_limits = type1_get_limits,
	.take_over = type1_take_over,
};

int type1_new(int container_fd, struct iommu **ret)
{
	struct type1 *type1;
	int version;

	version = ioctl(container_fd, VFIO_GET_API_VERSION);
	if (version < 0)
		return log_err_errno(
			errno,
			"not a VFIO container (is the module vfio loaded, and /dev/vfio/vfio what was opened?)");
	if (version != VFIO_API_VERSION) {
		log_err("VFIO speaks version %d of its interface, not %d",
			version, VFIO_API_VERSION);
		return -EPROTO;
	}
	if (ioctl(container_fd, VFIO_CHECK_EXTENSION, VFIO_TYPE1v2_IOMMU) <=
	    0) {
		log_err("VFIO offers no IOMMU of type1v2: load vfio_iommu_type1");
		return -EOPNOTSUPP;
	}
	type1 = calloc(1, sizeof(*type1));
	if (!type1)
		return -ENOMEM;
	type1->iommu.ops = &type1_ops;
	type1->fd = container_fd;
	type1->entries_max = IOMMU_ENTRIES_UNKNOWN;
	*ret = &type1->iommu;
	return 0;
}

/* Selects the IOMMU, which takes a group in the container. */
static int select_iommu(struct type1 *type1)
{
	struct info info;

	if (type1->ready)
		return 0;
	if (ioctl(type1->fd, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU) < 0)
		return log_err_errno(
			errno,
			"VFIO selects no IOMMU (is it on in the firmware, and does the kernel use it: intel_iommu=on? do the groups' devices remap interrupts?)");
	if (!info_get(type1->fd, &info))
		return log_err_errno(errno, "cannot ask VFIO for its limits");
	type1->entries_max = info_entries(&info);
	type1->ready = true;
	free(info.head);
	return 0;
}

static int group_words(int error, const char *name)
{
	switch (error) {
	case EBUSY:
		return log_err_errno(
			error, "VFIO group %s is in use by another process",
			name);
	case EPERM:
		return log_err_errno(
			error,
			"VFIO group %s may not join: it has no IOMMU, or it is not allowed to this process",
			name);
	case EINVAL:
		return log_err_errno(
			error,
			"VFIO group %s does not join (is it in a container already?)",
			name);
	default:
		return log_err_errno(error, "VFIO group %s does not join",
				     name);
	}
}

int type1_add_group(struct iommu *iommu, int group_fd, const char *group_name)
{
	struct vfio_group_status status = { .argsz = sizeof(status) };
	struct type1 *type1;
	int r;

	if (iommu->ops != &type1_ops)
		return log_err_errno(EINVAL, "VFIO group %s on a \"%s\" IOMMU",
				     group_name, iommu->ops->name);
	type1 = type1_of(iommu);
	if (ioctl(group_fd, VFIO_GROUP_GET_STATUS, &status) < 0)
		return log_err_errno(errno, "%s is not a VFIO group",
				     group_name);
	if (!(status.flags & VFIO_GROUP_FLAGS_VIABLE)) {
		log_err("VFIO group %s is not viable: bind all of its devices to vfio-pci (ls /sys/kernel/iommu_groups/%s/devices), or to no driver",
			group_name, group_name);
		return -EPERM;
	}
	/* Another device of this group came before. */
	if (status.flags & VFIO_GROUP_FLAGS_CONTAINER_SET)
		return 0;
	if (ioctl(group_fd, VFIO_GROUP_SET_CONTAINER, &type1->fd) < 0)
		return group_words(errno, group_name);
	r = select_iommu(type1);
	if (r < 0)
		(void)ioctl(group_fd, VFIO_GROUP_UNSET_CONTAINER);
	return r;
}
