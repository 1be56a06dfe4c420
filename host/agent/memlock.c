// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * memlock.c - the kernel's limit of locked memory against the quota
 *
 * Owns: this process's soft RLIMIT_MEMLOCK. The limit is the second and
 * independent guard of the quota; too low, it turns into failed mappings (status
 * LIMIT), so it is worth a word at start.
 *
 * Locks: none. In a request's way: not.
 */
#include <errno.h>
#include <inttypes.h>
#include <linux/capability.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent_impl.h"
#include "lib/log.h"

/* True if the limit does not apply to this process. */
static bool is_exempt(void)
{
	struct __user_cap_header_struct head = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { 0 };

	if (syscall(SYS_capget, &head, data) < 0)
		return false;
	return data[CAP_TO_INDEX(CAP_IPC_LOCK)].effective &
	       CAP_TO_MASK(CAP_IPC_LOCK);
}

void memlock_prepare(uint64_t quota)
{
	struct rlimit limit;

	if (is_exempt() || getrlimit(RLIMIT_MEMLOCK, &limit) < 0)
		return;
	if (limit.rlim_cur != limit.rlim_max && limit.rlim_cur < quota) {
		struct rlimit raised = {
			.rlim_cur = limit.rlim_max,
			.rlim_max = limit.rlim_max,
		};

		if (setrlimit(RLIMIT_MEMLOCK, &raised) == 0)
			limit = raised;
	}
	if (limit.rlim_cur != RLIM_INFINITY && limit.rlim_cur < quota)
		log_warn("RLIMIT_MEMLOCK is %" PRIu64 " bytes, below the quota "
			 "of %" PRIu64 ": no more than that can be mapped; "
			 "raise LimitMEMLOCK= of the service, or ulimit -l",
			 (uint64_t)limit.rlim_cur, quota);
}
