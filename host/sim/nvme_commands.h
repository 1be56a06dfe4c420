/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * nvme_commands.h - which mappings an NVMe command made
 *
 * Newer kernels leave out the unmap calls that would do nothing on the machine
 * that records (dma_need_unmap()); nvme is the first driver to use that. With
 * pvdma it does call, and at the end of the command. So where the text has the
 * events nvme_setup_cmd and nvme_complete_rq, too, the end of a command ends
 * the mappings that its task made for it.
 */
#ifndef PVDMA_SIM_NVME_COMMANDS_H
#define PVDMA_SIM_NVME_COMMANDS_H

#include <stddef.h>
#include <stdint.h>

struct nvme_commands;

struct nvme_command_id {
	uint32_t ctrl;
	uint32_t queue;
	uint32_t id;
};

/* 0 or -ENOMEM. */
int nvme_commands_new(struct nvme_commands **ret);
/* Takes NULL. */
void nvme_commands_free(struct nvme_commands *c);

/* Task @pid sets up a command, and maps its data next. 0 or -ENOMEM. */
int nvme_commands_begin(struct nvme_commands *c,
			const struct nvme_command_id *id, uint64_t pid);

/*
 * Task @pid mapped something for @device. It belongs to the command that the
 * task set up last, if any, and if that command's controller has mapped for no
 * other device before. 0 or -ENOMEM.
 */
int nvme_commands_map(struct nvme_commands *c, uint64_t pid, uint32_t device,
		      uint32_t map);

/*
 * The command ended: its maps, valid until the next call. Returns how many.
 */
size_t nvme_commands_end(struct nvme_commands *c,
			 const struct nvme_command_id *id,
			 const uint32_t **ret_maps);

#endif
