// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * memlock.c - the kernel's limit of locked memory against the quota
 *
 * Owns: this process's soft RLIMIT_MEMLOCK. The limit is the second and
 * independent guard of the quota, so it moves with it, up and down; too low, it
 * turns into failed mappings (status LIMIT), so it is worth a word.
 *
 * Invariant: the soft limit is the quota, or the hard limit where that is less.
 * (What is locked above a limit that was lowered stays locked; the kernel
 * looks only when more is to be locked.)
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

uint64_t memlock_prepare(uint64_t quota)
{
	struct rlimit limit, moved;

	if (is_exempt() || getrlimit(RLIMIT_MEMLOCK, &limit) < 0)
		return 0;
	moved = limit;
	moved.rlim_cur = quota;
	if (limit.rlim_max != RLIM_INFINITY && limit.rlim_max < quota)
		moved.rlim_cur = limit.rlim_max;
	if (moved.rlim_cur != limit.rlim_cur &&
	    setrlimit(RLIMIT_MEMLOCK, &moved) == 0)
		limit = moved;
	if (limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur >= quota)
		return 0;
	log_warn(
		"RLIMIT_MEMLOCK is %" PRIu64
		" bytes, below the quota of %" PRIu64
		": no more than that can be mapped; raise LimitMEMLOCK= of the service, or ulimit -l, beyond what this process may set",
		(uint64_t)limit.rlim_cur, quota);
	return limit.rlim_cur;
}
