// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * nvme_commands.c - which mappings an NVMe command made
 *
 * Owns the commands that are under way, in no order, and behind them those
 * that ended, whose memory is used again. Locks: none.
 */
#include "host/sim/nvme_commands.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include "host/lib/macros.h"

#define CTRLS_MAX    16u
#define COMMANDS_MAX 65536u
#define DEVICE_NONE  UINT32_MAX

struct command {
	struct nvme_command_id id;
	uint64_t pid;
	bool open; /* the last one that its task set up */
	uint32_t *maps;
	size_t n_maps, max_maps;
};

struct nvme_commands {
	struct command *items;
	size_t n, ready, max;	     /* under way, with memory, allocated */
	uint32_t devices[CTRLS_MAX]; /* by controller */
};

int nvme_commands_new(struct nvme_commands **ret)
{
	struct nvme_commands *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	for (size_t i = 0; i < CTRLS_MAX; i++)
		c->devices[i] = DEVICE_NONE;
	*ret = c;
	return 0;
}

void nvme_commands_free(struct nvme_commands *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->ready; i++)
		free(c->items[i].maps);
	free(c->items);
	free(c);
}

static struct command *find(struct nvme_commands *c,
			    const struct nvme_command_id *id)
{
	for (size_t i = 0; i < c->n; i++) {
		struct command *cmd = &c->items[i];

		if (cmd->id.ctrl == id->ctrl && cmd->id.queue == id->queue &&
		    cmd->id.id == id->id)
			return cmd;
	}
	return NULL;
}

/* Moves an ended command behind the others; it keeps its memory. */
static void retire(struct nvme_commands *c, struct command *cmd)
{
	struct command last = c->items[--c->n];

	c->items[c->n] = *cmd;
	*cmd = last;
}

int nvme_commands_begin(struct nvme_commands *c,
			const struct nvme_command_id *id, uint64_t pid)
{
	struct command *cmd = find(c, id);

	if (cmd)
		retire(c, cmd); /* its end is not in the text */
	for (size_t i = 0; i < c->n; i++)
		if (c->items[i].pid == pid)
			c->items[i].open = false;
	if (id->ctrl >= CTRLS_MAX || c->n == COMMANDS_MAX)
		return 0;
	if (c->n == c->max) {
		size_t max = 2 * c->max + 64;
		struct command *bigger =
			reallocarray(c->items, max, sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		c->items = bigger;
		c->max = max;
	}
	cmd = &c->items[c->n];
	if (c->n++ == c->ready) {
		c->ready++;
		*cmd = (struct command){ 0 };
	}
	cmd->id = *id;
	cmd->pid = pid;
	cmd->open = true;
	cmd->n_maps = 0;
	return 0;
}

int nvme_commands_map(struct nvme_commands *c, uint64_t pid, uint32_t device,
		      uint32_t map)
{
	struct command *cmd = NULL;

	for (size_t i = 0; i < c->n && !cmd; i++)
		if (c->items[i].pid == pid && c->items[i].open)
			cmd = &c->items[i];
	if (!cmd)
		return 0;
	if (c->devices[cmd->id.ctrl] == DEVICE_NONE)
		c->devices[cmd->id.ctrl] = device;
	if (c->devices[cmd->id.ctrl] != device)
		return 0;
	if (cmd->n_maps == cmd->max_maps) {
		size_t max = 2 * cmd->max_maps + 4;
		uint32_t *bigger =
			reallocarray(cmd->maps, max, sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		cmd->maps = bigger;
		cmd->max_maps = max;
	}
	cmd->maps[cmd->n_maps++] = map;
	return 0;
}

size_t nvme_commands_end(struct nvme_commands *c,
			 const struct nvme_command_id *id,
			 const uint32_t **ret_maps)
{
	struct command *cmd = find(c, id);

	if (!cmd)
		return 0;
	retire(c, cmd);
	/* now behind the others */
	*ret_maps = c->items[c->n].maps;
	return c->items[c->n].n_maps;
}
