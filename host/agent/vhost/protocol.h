/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * protocol.h - the vhost-user protocol as it stands on the wire
 *
 * Only what a backend of ours needs. Numbers are in the byte order of the
 * machine: both ends run on one host. A message is a header and `size` bytes
 * of payload; file descriptors come as ancillary data of its first byte.
 */
#ifndef PVDMA_AGENT_VHOST_PROTOCOL_H
#define PVDMA_AGENT_VHOST_PROTOCOL_H

#include <stdint.h>

#define VHOST_USER_VERSION	    1u
#define VHOST_USER_FLAGS_VERSION    0x3u
#define VHOST_USER_FLAGS_REPLY	    0x4u
#define VHOST_USER_FLAGS_NEED_REPLY 0x8u

/* The feature bit (of GET_FEATURES) that says that the next ones exist */
#define VHOST_USER_F_PROTOCOL_FEATURES 30

/* Protocol features */
#define VHOST_USER_PROTOCOL_F_MQ		  0
#define VHOST_USER_PROTOCOL_F_REPLY_ACK		  3
#define VHOST_USER_PROTOCOL_F_BACKEND_REQ	  5
#define VHOST_USER_PROTOCOL_F_CONFIG		  9
#define VHOST_USER_PROTOCOL_F_RESET_DEVICE	  13
#define VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS 15

/* Requests of the front-end */
#define VHOST_USER_GET_FEATURES		 1
#define VHOST_USER_SET_FEATURES		 2
#define VHOST_USER_SET_OWNER		 3
#define VHOST_USER_RESET_OWNER		 4
#define VHOST_USER_SET_MEM_TABLE	 5
#define VHOST_USER_SET_VRING_NUM	 8
#define VHOST_USER_SET_VRING_ADDR	 9
#define VHOST_USER_SET_VRING_BASE	 10
#define VHOST_USER_GET_VRING_BASE	 11
#define VHOST_USER_SET_VRING_KICK	 12
#define VHOST_USER_SET_VRING_CALL	 13
#define VHOST_USER_SET_VRING_ERR	 14
#define VHOST_USER_GET_PROTOCOL_FEATURES 15
#define VHOST_USER_SET_PROTOCOL_FEATURES 16
#define VHOST_USER_GET_QUEUE_NUM	 17
#define VHOST_USER_SET_VRING_ENABLE	 18
#define VHOST_USER_SET_BACKEND_REQ_FD	 21
#define VHOST_USER_GET_CONFIG		 24
#define VHOST_USER_SET_CONFIG		 25
#define VHOST_USER_RESET_DEVICE		 34
#define VHOST_USER_GET_MAX_MEM_SLOTS	 36
#define VHOST_USER_ADD_MEM_REG		 37
#define VHOST_USER_REM_MEM_REG		 38

/* Requests of the backend, over the socket of SET_BACKEND_REQ_FD */
#define VHOST_USER_BACKEND_CONFIG_CHANGE_MSG 2

/* File descriptors that a message may carry */
#define VHOST_USER_FDS_MAX 8
/* Bytes of configuration space that a message may carry */
#define VHOST_USER_CONFIG_MAX 256

/* The u64 of SET_VRING_KICK, _CALL and _ERR */
#define VHOST_USER_VRING_INDEX 0xffu
#define VHOST_USER_VRING_NOFD  0x100u

struct vhost_user_header {
	uint32_t request;
	uint32_t flags;
	uint32_t size; /* of the payload */
};

struct vhost_user_vring_state {
	uint32_t index;
	uint32_t num;
};

struct vhost_user_vring_addr {
	uint32_t index;
	uint32_t flags;
	uint64_t desc;	/* user address */
	uint64_t used;	/* user address */
	uint64_t avail; /* user address */
	uint64_t log;	/* guest address */
};

struct vhost_user_region {
	uint64_t gpa; /* guest-physical */
	uint64_t size;
	uint64_t user;	 /* address in the front-end */
	uint64_t offset; /* where it starts in the file */
};

struct vhost_user_mem_table {
	uint32_t count;
	uint32_t padding;
	struct vhost_user_region regions[VHOST_USER_FDS_MAX];
};

struct vhost_user_mem_reg {
	uint64_t padding;
	struct vhost_user_region region;
};

struct vhost_user_config {
	uint32_t offset;
	uint32_t size;
	uint32_t flags;
	uint8_t data[VHOST_USER_CONFIG_MAX];
};

#define VHOST_USER_MEM_TABLE_HEAD 8
#define VHOST_USER_CONFIG_HEAD	  12

union vhost_user_payload {
	uint64_t u64;
	struct vhost_user_vring_state state;
	struct vhost_user_vring_addr addr;
	struct vhost_user_mem_table table;
	struct vhost_user_mem_reg mem_reg;
	struct vhost_user_config config;
};

_Static_assert(sizeof(struct vhost_user_header) == 12, "header");
_Static_assert(sizeof(struct vhost_user_vring_state) == 8, "vring state");
_Static_assert(sizeof(struct vhost_user_vring_addr) == 40, "vring address");
_Static_assert(sizeof(struct vhost_user_region) == 32, "region");
_Static_assert(sizeof(struct vhost_user_mem_table) == 264, "memory table");
_Static_assert(sizeof(struct vhost_user_mem_reg) == 40, "one region");
_Static_assert(sizeof(struct vhost_user_config) == 268, "config");
_Static_assert(sizeof(union vhost_user_payload) == 272, "payload");

#endif
