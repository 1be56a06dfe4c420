// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * sandbox.c - what an agent that serves may still ask of the kernel
 *
 * Theory of operation. The unit's own filter (SystemCallFilter=) has to let
 * through what starting takes: exec, the linker's open and mmap. When the agent
 * serves, all that is behind it: what it needs from then on is open, or comes as
 * a descriptor over a socket. So a filter of the calls that it makes then, and no
 * others, is laid over it (seccomp(2)): a guest that breaks into its agent gets
 * EPERM for everything else. Of some calls only a part is let through:
 *   ioctl		VFIO's, and what stdio asks of a terminal
 *   mmap, mprotect	nothing executable
 *   socket		AF_UNIX: the journal, and the service manager
 *   kill, tgkill	this process: abort()
 *   prlimit64		of this process
 *
 * Owns: the list. A call that the agent comes to need is added here; tests run
 * a VM's whole life with sandbox=kill, and fail where one is missing.
 *
 * Invariant: nothing on the list makes a path, a program or an address of the
 * network into a descriptor.
 *
 * Locks: none. In a request's way: the kernel looks at each call; it keeps the
 * verdict on those that are let through whole in a bitmap.
 */
#include "sandbox.h"

#include <errno.h>
#include <linux/vfio.h>
#include <seccomp.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/log.h"
#include "lib/macros.h"

/* Let through whatever their arguments are. */
static const int calls[] = {
	/* descriptors */
	SCMP_SYS(read),
	SCMP_SYS(readv),
	SCMP_SYS(pread64),
	SCMP_SYS(write),
	SCMP_SYS(writev),
	SCMP_SYS(pwrite64),
	SCMP_SYS(lseek),
	SCMP_SYS(close),
	SCMP_SYS(dup),
	SCMP_SYS(dup3),
	SCMP_SYS(fcntl),
	SCMP_SYS(fstat),
	SCMP_SYS(newfstatat),
	SCMP_SYS(fstatfs),
	SCMP_SYS(ftruncate),
	SCMP_SYS(fallocate),
	SCMP_SYS(readlink),
	SCMP_SYS(readlinkat),
	SCMP_SYS(memfd_create),
	SCMP_SYS(eventfd2),
	/* sockets that are there */
	SCMP_SYS(accept4),
	SCMP_SYS(connect),
	SCMP_SYS(getsockname),
	SCMP_SYS(getsockopt),
	SCMP_SYS(setsockopt),
	SCMP_SYS(recvfrom),
	SCMP_SYS(recvmsg),
	SCMP_SYS(sendto),
	SCMP_SYS(sendmsg),
	SCMP_SYS(sendmmsg),
	SCMP_SYS(recvmmsg),
	SCMP_SYS(shutdown),
	/* waiting */
	SCMP_SYS(epoll_create1),
	SCMP_SYS(epoll_ctl),
	SCMP_SYS(epoll_wait),
	SCMP_SYS(epoll_pwait),
	SCMP_SYS(epoll_pwait2),
	SCMP_SYS(poll),
	SCMP_SYS(ppoll),
	SCMP_SYS(timerfd_create),
	SCMP_SYS(timerfd_settime),
	SCMP_SYS(timerfd_gettime),
	SCMP_SYS(signalfd4),
	SCMP_SYS(clock_gettime),
	SCMP_SYS(clock_getres),
	SCMP_SYS(clock_nanosleep),
	SCMP_SYS(nanosleep),
	SCMP_SYS(gettimeofday),
	SCMP_SYS(futex),
	SCMP_SYS(sched_yield),
	/* memory */
	SCMP_SYS(brk),
	SCMP_SYS(munmap),
	SCMP_SYS(mremap),
	SCMP_SYS(madvise),
	SCMP_SYS(msync),
	/* the process itself */
	SCMP_SYS(getpid),
	SCMP_SYS(gettid),
	SCMP_SYS(getuid),
	SCMP_SYS(geteuid),
	SCMP_SYS(getgid),
	SCMP_SYS(getegid),
	SCMP_SYS(getrandom),
	SCMP_SYS(capget),
	SCMP_SYS(restart_syscall),
	SCMP_SYS(rseq),
	SCMP_SYS(rt_sigaction),
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(sigaltstack),
	SCMP_SYS(exit),
	SCMP_SYS(exit_group),
};

static const unsigned long ioctls[] = {
	VFIO_GET_API_VERSION,
	VFIO_CHECK_EXTENSION,
	VFIO_SET_IOMMU,
	VFIO_GROUP_GET_STATUS,
	VFIO_GROUP_SET_CONTAINER,
	VFIO_GROUP_UNSET_CONTAINER,
	VFIO_GROUP_GET_DEVICE_FD,
	VFIO_DEVICE_GET_INFO,
	VFIO_DEVICE_GET_REGION_INFO,
	VFIO_DEVICE_GET_IRQ_INFO,
	VFIO_DEVICE_SET_IRQS,
	VFIO_DEVICE_RESET,
	VFIO_IOMMU_GET_INFO,
	VFIO_IOMMU_MAP_DMA,
	VFIO_IOMMU_UNMAP_DMA,
	TCGETS,
};

/* Calls of which one argument decides. */
static int allow_parts(scmp_filter_ctx filter)
{
	const scmp_datum_t self = (scmp_datum_t)getpid();
	const struct {
		int call;
		struct scmp_arg_cmp arg;
	} parts[] = {
		{ SCMP_SYS(mmap), SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0) },
		{ SCMP_SYS(mprotect),
		  SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0) },
		{ SCMP_SYS(socket), SCMP_A0(SCMP_CMP_EQ, AF_UNIX, 0) },
		{ SCMP_SYS(kill), SCMP_A0(SCMP_CMP_EQ, self, 0) },
		{ SCMP_SYS(tgkill), SCMP_A0(SCMP_CMP_EQ, self, 0) },
		{ SCMP_SYS(kcmp), SCMP_A0(SCMP_CMP_EQ, self, 0) },
		{ SCMP_SYS(prlimit64), SCMP_A0(SCMP_CMP_EQ, 0, 0) },
	};
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(parts); i++)
		r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, parts[i].call, 1,
				     parts[i].arg);
	/* The kernel takes a request as 32 bits; so does the filter. */
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(ioctls); i++)
		r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
				     SCMP_A1(SCMP_CMP_MASKED_EQ, UINT32_MAX,
					     ioctls[i]));
	return r;
}

static int allow(scmp_filter_ctx filter, bool unlinks)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(calls); i++)
		r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, calls[i], 0);
	if (r == 0 && unlinks)
		r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(unlink),
				     0);
	return r < 0 ? r : allow_parts(filter);
}

int sandbox_enter(bool unlinks, bool kill)
{
	scmp_filter_ctx filter = seccomp_init(kill ? SCMP_ACT_KILL_PROCESS :
						     SCMP_ACT_ERRNO(EPERM));
	int r;

	if (!filter)
		return log_err_errno(ENOMEM, "cannot enter the sandbox");
	/* The calls of every request first. */
	r = seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	if (r == 0)
		r = allow(filter, unlinks);
	if (r == 0)
		r = seccomp_load(filter);
	seccomp_release(filter);
	return r < 0 ? log_err_errno(
			       r,
			       "cannot enter the sandbox; sandbox=off goes without") :
		       0;
}
