/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * virtio_pvdma.h - the wire between a pvdma driver (guest) and device (host)
 *
 * Normative text: SPEC.md beside this file. All multi-byte fields are
 * little-endian. Nothing here depends on the transport.
 */
#ifndef VIRTIO_PVDMA_H
#define VIRTIO_PVDMA_H

#include <linux/types.h>

/*
 * Device ids (SPEC.md, "Device ID"). The generic vhost-user device of QEMU 11
 * takes only ids that virtio has named, so the device borrows one that has no
 * driver and tells itself apart by the magic in its configuration space.
 */
#define VIRTIO_PVDMA_ID		 63
#define VIRTIO_PVDMA_ID_BORROWED 39

#define VIRTIO_PVDMA_MAGIC   0x4d445650u /* "PVDM" */
#define VIRTIO_PVDMA_VERSION 1

/* Feature bits */
#define VIRTIO_PVDMA_F_UNMAP	0 /* UNMAP requests */
#define VIRTIO_PVDMA_F_RELEASE	1 /* RELEASE requests */
#define VIRTIO_PVDMA_F_PREFETCH 2 /* PREFETCH requests */
#define VIRTIO_PVDMA_F_SAMPLE	3 /* they say how many uses they stand for */

/*
 * Strategies: what happens to a granule's mapping after its last use. The lower
 * the number, the stricter (SPEC.md, "Strategies").
 */
#define VIRTIO_PVDMA_S_SINGLE_USE 0 /* ends at once; each use is announced */
#define VIRTIO_PVDMA_S_SHARED	  1 /* ends at once */
#define VIRTIO_PVDMA_S_DEFERRED	  2 /* ends soon, many together */
#define VIRTIO_PVDMA_S_ON_DEMAND  3 /* kept until evicted */
#define VIRTIO_PVDMA_S_PERSISTENT 4 /* kept, and not evicted for others */
#define VIRTIO_PVDMA_S_DIRECT_MAP 5 /* everything is mapped */
#define VIRTIO_PVDMA_STRATEGIES	  6

/* How operators write them: what is in an array of VIRTIO_PVDMA_STRATEGIES. */
#define VIRTIO_PVDMA_STRATEGY_NAMES                 \
	[VIRTIO_PVDMA_S_SINGLE_USE] = "single-use", \
	[VIRTIO_PVDMA_S_SHARED] = "shared",         \
	[VIRTIO_PVDMA_S_DEFERRED] = "deferred",     \
	[VIRTIO_PVDMA_S_ON_DEMAND] = "on-demand",   \
	[VIRTIO_PVDMA_S_PERSISTENT] = "persistent", \
	[VIRTIO_PVDMA_S_DIRECT_MAP] = "direct-map"

/* Does the driver end mappings by UNMAP under this strategy? */
#define VIRTIO_PVDMA_S_IS_STRICT(s) ((s) <= VIRTIO_PVDMA_S_DEFERRED)

#define VIRTIO_PVDMA_GRANULE_SHIFT_MIN 12 /* 4 KiB */
#define VIRTIO_PVDMA_GRANULE_SHIFT_MAX 21 /* 2 MiB */

struct virtio_pvdma_config {
	__le32 magic;	      /* VIRTIO_PVDMA_MAGIC */
	__le16 version;	      /* highest version that the device speaks */
	__u8 granule_shift;   /* log2 of the granule size in bytes */
	__u8 strategy;	      /* VIRTIO_PVDMA_S_* of this VM */
	__le16 num_queues;    /* request queues */
	__le16 max_ranges;    /* items in one request, at most */
	__le32 vm_tag;	      /* equals vm_tag of the VM's capabilities */
	__le64 quota;	      /* bytes that may be mapped at once */
	__le32 quota_news;    /* counts changes of quota */
	__le32 strategy_news; /* counts changes of strategy */
	__le32 endpoint_news; /* counts endpoints that came or went */
	__le32 num_endpoints; /* endpoints present now */
	__le64 excess;	      /* bytes held above a lowered quota; 0: none */
	__le32 deadline_ms;   /* for giving them up, from the change on */
	__u8 reserved[12];    /* zero */
};

/*
 * The tracking table: a word per granule, and one per block of granules, in
 * leaves of one page (4 KiB). Leaf N covers granules, or where bit 63 of the
 * leaf's number is set blocks, [N * LEAF_WORDS, (N + 1) * LEAF_WORDS).
 */
#define VIRTIO_PVDMA_BLOCK_SHIFT    4
#define VIRTIO_PVDMA_BLOCK_GRANULES (1u << VIRTIO_PVDMA_BLOCK_SHIFT)
#define VIRTIO_PVDMA_LEAF_BLOCKS    (1ull << 63)
#define VIRTIO_PVDMA_LEAF_SHIFT	    10
#define VIRTIO_PVDMA_LEAF_WORDS	    (1u << VIRTIO_PVDMA_LEAF_SHIFT)
#define VIRTIO_PVDMA_LEAF_SIZE	    4096

#define VIRTIO_PVDMA_W_MAPPED	  0x80000000u /* device only */
#define VIRTIO_PVDMA_W_REFERENCED 0x40000000u /* set by the driver */
#define VIRTIO_PVDMA_W_RESERVED	  0x30000000u /* zero */
#define VIRTIO_PVDMA_W_COUNT	  0x0fffffffu /* driver only */

/* Request types */
#define VIRTIO_PVDMA_T_INIT	0x01
#define VIRTIO_PVDMA_T_LEAF	0x02
#define VIRTIO_PVDMA_T_ATTACH	0x03
#define VIRTIO_PVDMA_T_DETACH	0x04
#define VIRTIO_PVDMA_T_MAP	0x05
#define VIRTIO_PVDMA_T_UNMAP	0x06
#define VIRTIO_PVDMA_T_RELEASE	0x07
#define VIRTIO_PVDMA_T_PREFETCH 0x08

/*
 * A request is one descriptor chain: head, then `count` items of the type's
 * kind (device-readable), then the tail (device-writable).
 */
struct virtio_pvdma_req_head {
	__u8 type;	 /* VIRTIO_PVDMA_T_* */
	__u8 flags;	 /* zero; PREFETCH, with F_SAMPLE: log2 of the uses */
	__le16 count;	 /* items that follow */
	__le32 endpoint; /* on whose behalf; zero for INIT and LEAF */
};

/* The most that a PREFETCH's flags may say */
#define VIRTIO_PVDMA_SAMPLE_MAX 8

/* Bytes of all ranges of a request */
#define VIRTIO_PVDMA_REQ_BYTES (1ull << 30)

/* The item of INIT (exactly one) */
struct virtio_pvdma_init {
	__le16 version; /* that the driver will speak */
	__u8 reserved[6];
	__le64 nonce_addr; /* guest-physical, 8-byte aligned */
	__le64 nonce;	   /* what stands there, non-zero */
};

/* An item of LEAF */
struct virtio_pvdma_leaf {
	__le64 index; /* leaf number */
	__le64 addr;  /* guest-physical, LEAF_SIZE aligned */
};

/* The item of ATTACH (exactly one) */
struct virtio_pvdma_attach {
	__le64 dma_mask; /* what the endpoint can address */
	__u8 strategy;	 /* at least as strict as the VM's */
	__u8 reserved[7];
};

/* An item of MAP, UNMAP, RELEASE, PREFETCH: granules [first, first + count) */
struct virtio_pvdma_range {
	__le64 first;
	__le32 count; /* > 0 */
	__le32 flags; /* zero */
};

struct virtio_pvdma_req_tail {
	__u8 status; /* VIRTIO_PVDMA_R_* */
	__u8 reserved;
	__le16 index;  /* the item that failed; 0 otherwise */
	__le32 mapped; /* MAP: granules that this request mapped */
};

/* Statuses */
#define VIRTIO_PVDMA_R_OK      0x00
#define VIRTIO_PVDMA_R_IOERR   0x01 /* the host failed */
#define VIRTIO_PVDMA_R_UNSUPP  0x02 /* type, version or feature */
#define VIRTIO_PVDMA_R_INVAL   0x03 /* malformed */
#define VIRTIO_PVDMA_R_RANGE   0x04 /* not guest memory */
#define VIRTIO_PVDMA_R_NOENT   0x05 /* no such endpoint or leaf */
#define VIRTIO_PVDMA_R_STATE   0x06 /* not now: INIT, ATTACH first */
#define VIRTIO_PVDMA_R_QUOTA   0x07 /* all of the quota is in use */
#define VIRTIO_PVDMA_R_LIMIT   0x08 /* a limit of the host's system */
#define VIRTIO_PVDMA_R_BADMEM  0x09 /* nonce: not the same memory */
#define VIRTIO_PVDMA_R_PENDING 0xff /* put there by the driver */

/*
 * The vendor-specific PCI capability (PCI 3.0, 6.7 and appendix H: id 0x09) in
 * the configuration space of each assigned device that is an endpoint.
 */
#define VIRTIO_PVDMA_CAP_ID 0x09
struct virtio_pvdma_cap {
	__u8 id; /* VIRTIO_PVDMA_CAP_ID */
	__u8 next;
	__u8 len;	 /* sizeof(struct virtio_pvdma_cap) */
	__u8 version;	 /* VIRTIO_PVDMA_VERSION */
	__le32 magic;	 /* VIRTIO_PVDMA_MAGIC */
	__le32 vm_tag;	 /* equals config.vm_tag of its pvdma device */
	__le32 endpoint; /* what ATTACH takes */
};

#define VIRTIO_PVDMA_ASSERT(c) _Static_assert(c, #c)
VIRTIO_PVDMA_ASSERT(sizeof(struct virtio_pvdma_config) == 64);
VIRTIO_PVDMA_ASSERT(sizeof(struct virtio_pvdma_req_head) == 8);
VIRTIO_PVDMA_ASSERT(sizeof(struct virtio_pvdma_init) == 24);
VIRTIO_PVDMA_ASSERT(sizeof(struct virtio_pvdma_leaf) == 16);
VIRTIO_PVDMA_ASSERT(sizeof(struct virtio_pvdma_attach) == 16);
VIRTIO_PVDMA_ASSERT(sizeof(struct virtio_pvdma_range) == 16);
VIRTIO_PVDMA_ASSERT(sizeof(struct virtio_pvdma_req_tail) == 8);
VIRTIO_PVDMA_ASSERT(sizeof(struct virtio_pvdma_cap) == 16);
VIRTIO_PVDMA_ASSERT(VIRTIO_PVDMA_LEAF_WORDS * 4 == VIRTIO_PVDMA_LEAF_SIZE);

#endif /* VIRTIO_PVDMA_H */
