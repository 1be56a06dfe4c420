/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * protocol.h - the vfio-user wire, version 0.0, as far as we speak it
 *
 * All fields are in the host's byte order: client and server share a machine.
 * Where a message carries what a VFIO ioctl does, the struct of <linux/vfio.h>
 * is used as it is (region and interrupt information).
 */
#ifndef PVDMA_AGENT_VFIO_USER_PROTOCOL_H
#define PVDMA_AGENT_VFIO_USER_PROTOCOL_H

#include <assert.h>
#include <linux/vfio.h>
#include <stddef.h>
#include <stdint.h>

#define VFIO_USER_MAJOR 0
#define VFIO_USER_MINOR 0

enum vfio_user_command {
	VFIO_USER_VERSION = 1,
	VFIO_USER_DMA_MAP = 2,
	VFIO_USER_DMA_UNMAP = 3,
	VFIO_USER_DEVICE_GET_INFO = 4,
	VFIO_USER_DEVICE_GET_REGION_INFO = 5,
	VFIO_USER_DEVICE_GET_REGION_IO_FDS = 6,
	VFIO_USER_DEVICE_GET_IRQ_INFO = 7,
	VFIO_USER_DEVICE_SET_IRQS = 8,
	VFIO_USER_REGION_READ = 9,
	VFIO_USER_REGION_WRITE = 10,
	/* 11 and 12, DMA_READ and DMA_WRITE, go from server to client. */
	VFIO_USER_DEVICE_RESET = 13,
	VFIO_USER_REGION_WRITE_MULTI = 15,
	/* 16 to 18, features and migration, are not offered. */
	VFIO_USER_COMMANDS
};

/* Bits of a header's flags */
#define VFIO_USER_F_TYPE_MASK	 0xfu
#define VFIO_USER_F_TYPE_COMMAND 0x0u
#define VFIO_USER_F_TYPE_REPLY	 0x1u
#define VFIO_USER_F_NO_REPLY	 0x10u
#define VFIO_USER_F_ERROR	 0x20u

struct vfio_user_header {
	uint16_t id; /* the sender's, echoed in the reply */
	uint16_t command;
	uint32_t size; /* of the whole message, with this header */
	uint32_t flags;
	uint32_t error; /* an errno, in a reply with VFIO_USER_F_ERROR */
};

/* Followed by JSON text and its NUL; both may be absent. */
struct vfio_user_version {
	uint16_t major;
	uint16_t minor;
};

/* Bits of vfio_user_dma_map.flags */
#define VFIO_USER_DMA_READ  0x1u
#define VFIO_USER_DMA_WRITE 0x2u

struct vfio_user_dma_map {
	uint32_t argsz;
	uint32_t flags;
	uint64_t offset; /* into the file that came along, if one did */
	uint64_t address;
	uint64_t size;
};

/* Flags are those of struct vfio_iommu_type1_dma_unmap. */
struct vfio_user_dma_unmap {
	uint32_t argsz;
	uint32_t flags;
	uint64_t address;
	uint64_t size;
};

struct vfio_user_device_info {
	uint32_t argsz;
	uint32_t flags; /* VFIO_DEVICE_FLAGS_* */
	uint32_t num_regions;
	uint32_t num_irqs;
};

struct vfio_user_region_io_fds {
	uint32_t argsz;
	uint32_t flags;
	uint32_t index;
	uint32_t count; /* sub-regions that follow */
};

/*
 * As struct vfio_irq_set; but eventfds come as ancillary data, so that only
 * VFIO_IRQ_SET_DATA_BOOL is followed by data.
 */
struct vfio_user_irq_set {
	uint32_t argsz;
	uint32_t flags;
	uint32_t index;
	uint32_t start;
	uint32_t count;
};

/* Followed by the data in a READ's reply and in a WRITE. */
struct vfio_user_region_access {
	uint64_t offset;
	uint32_t region;
	uint32_t count;
};

#define VFIO_USER_WRITE_MULTI_DATA 8

struct vfio_user_region_single_write {
	uint64_t offset;
	uint32_t region;
	uint32_t count; /* of the data's bytes */
	uint8_t data[VFIO_USER_WRITE_MULTI_DATA];
};

/* Followed by the writes. */
struct vfio_user_region_write_multi {
	uint64_t count;
};

static_assert(sizeof(struct vfio_user_header) == 16, "wire");
static_assert(sizeof(struct vfio_user_version) == 4, "wire");
static_assert(sizeof(struct vfio_user_dma_map) == 32, "wire");
static_assert(sizeof(struct vfio_user_dma_unmap) == 24, "wire");
static_assert(sizeof(struct vfio_user_device_info) == 16, "wire");
static_assert(sizeof(struct vfio_user_region_io_fds) == 16, "wire");
static_assert(sizeof(struct vfio_user_irq_set) == 20, "wire");
static_assert(sizeof(struct vfio_user_region_access) == 16, "wire");
static_assert(sizeof(struct vfio_user_region_single_write) == 24, "wire");
static_assert(sizeof(struct vfio_user_region_write_multi) == 8, "wire");
static_assert(sizeof(struct vfio_region_info) == 32, "wire");
static_assert(sizeof(struct vfio_irq_info) == 16, "wire");
static_assert(sizeof(struct vfio_user_irq_set) ==
		      offsetof(struct vfio_irq_set, data),
	      "wire");

#endif
