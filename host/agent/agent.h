/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * agent.h - the agent of one VM: all parts, wired to one event loop
 */
#ifndef PVDMA_AGENT_AGENT_H
#define PVDMA_AGENT_AGENT_H

struct agent;
struct agent_config;
struct keeper;

/*
 * Opens devices, sockets and the IOMMU as @config says, which is borrowed and
 * lives as long as the agent, as does @keeper. With @state_fd, the state of a
 * process that was killed (owned), goes on where that stood; -EBADF: there is none.
 * Returns 0 or a negative errno, logged; then nothing is left behind.
 */
int agent_new(const struct agent_config *config, struct keeper *keeper,
	      int state_fd, struct agent **ret);

/*
 * Serves until SIGTERM or SIGINT, and tells the service manager. 0 or a
 * negative errno, logged.
 */
int agent_run(struct agent *agent);

/*
 * Resets the devices, ends all mappings, closes all connections and removes
 * the sockets, in this order: no device does DMA into what is not mapped.
 */
void agent_free(struct agent *agent);

#endif
