// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * agent_resume.c - an agent takes over from one that was killed
 *
 * Theory of operation. In three steps: what was kept is opened as the configuration
 * otherwise is (agent.c, devices.c); the state is taken over, from the clients by
 * way of the memory that they announced to the VM's books and the queues; and when
 * all agrees, what waits is done. Before the last step no peer is listened to.
 *
 * Owns: nothing. Locks: none. In a request's way: not.
 */
#include <stdlib.h>

#include "agent_impl.h"
#include "lib/cleanup.h"
#include "lib/handover.h"
#include "lib/log.h"
#include "vhost/vhost.h"
#include "vm.h"

/*
 * All is there but the limit of locked memory, which is the process's: whoever
 * handed the rest over grants it again. Without it what is mapped stays, and what
 * is to be mapped is refused by the kernel.
 */
static void ask_for_limit(const struct agent *agent)
{
	_cleanup_free_ char *text = NULL;

	if (agent->config->handover &&
	    handover_receive(agent->config->handover, &text) < 0)
		log_warn(
			"nothing can be mapped until pvdmad is back and has raised this process's limit of locked memory");
}

/* Serves on whom the process before served. */
int agent_resume(struct agent *agent)
{
	int r = devices_resume(agent);

	ask_for_limit(agent);
	if (agent->config->iommu == CONFIG_IOMMU_TYPE1)
		(void)memlock_prepare(vm_quota(agent->vm));
	if (r >= 0)
		r = vm_resume(agent->vm);
	if (r >= 0 && agent->vhost)
		r = vhost_resume(agent->vhost);
	if (r < 0)
		return r;
	agent->kept->resumed++;
	keeper_sweep(agent->keeper);
	return 0;
}

/* What waits is done. From here on it is guests and peers who are listened to. */
void agent_go_on(struct agent *agent)
{
	if (agent->vhost)
		vhost_go_on(agent->vhost);
	devices_go_on(agent);
	agent->resuming = false;
	log_notice("resumed where the process before was killed");
}
