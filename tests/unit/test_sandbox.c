// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Unit tests of host/agent/sandbox.c: children enter it, and report what they could
 * do. What a serving agent needs is tested with one (tests/wire/test_agent_sandbox.py).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host/agent/sandbox.h"
#include "host/lib/macros.h"

/* Raw calls: whatever the C library or a sanitizer would do besides stays away. */
static long try_open(void)
{
	return syscall(SYS_openat, AT_FDCWD, "/dev/null", O_RDONLY);
}

static long try_open2(void)
{
	return syscall(SYS_open, "/dev/null", O_RDONLY);
}

static long try_exec(void)
{
	static const char *const argv[] = { "/bin/true", NULL };

	return syscall(SYS_execve, argv[0], argv, argv + 1);
}

static long try_fork(void)
{
	return syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
}

static long try_inet(void)
{
	return syscall(SYS_socket, AF_INET, SOCK_STREAM, 0);
}

static long try_netlink(void)
{
	return syscall(SYS_socket, AF_NETLINK, SOCK_RAW, 0);
}

static long try_exec_memory(void)
{
	return syscall(SYS_mmap, NULL, 4096, PROT_READ | PROT_EXEC,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static long try_make_executable(void)
{
	static char page[8192] __attribute__((aligned(4096)));

	return syscall(SYS_mprotect, page, 4096, PROT_READ | PROT_EXEC);
}

static long try_kill_parent(void)
{
	return syscall(SYS_kill, getppid(), 0);
}

static long try_parents_limit(void)
{
	struct rlimit limit;

	return syscall(SYS_prlimit64, getppid(), RLIMIT_NOFILE, NULL, &limit);
}

static long try_ptrace(void)
{
	return syscall(SYS_ptrace, PTRACE_TRACEME, 0, 0, 0);
}

static long try_other_ioctl(void)
{
	int n;

	return syscall(SYS_ioctl, STDERR_FILENO, FIONREAD, &n);
}

static long try_unlink(void)
{
	return syscall(SYS_unlink, "/nonexistent/name");
}

static long try_old_call(void)
{
	/* the 32-bit table's getpid() */
	long r;

	__asm__ volatile("int $0x80" : "=a"(r) : "a"(20L) : "memory");
	if (r >= 0)
		return r;
	errno = (int)-r;
	return -1;
}

static long try_own_limit(void)
{
	struct rlimit limit;

	return syscall(SYS_prlimit64, 0, RLIMIT_MEMLOCK, NULL, &limit);
}

static long try_unix(void)
{
	return syscall(SYS_socket, AF_UNIX, SOCK_DGRAM, 0);
}

static long try_memory(void)
{
	return syscall(SYS_mmap, NULL, 4096, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

/* In a child, whose exit status is the errno that came of it. */
static int tried(long (*what)(void), bool unlinks)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		if (sandbox_enter(unlinks, false) < 0)
			_exit(255);
		errno = 0;
		_exit(what() < 0 ? errno : 0);
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFSIGNALED(status))
		return -WTERMSIG(status);
	return WEXITSTATUS(status);
}

static void test_refused(void **state)
{
	static long (*const calls[])(void) = {
		try_open,	 try_open2,	    try_exec,
		try_fork,	 try_inet,	    try_netlink,
		try_ptrace,	 try_exec_memory,   try_make_executable,
		try_unlink,	 try_parents_limit, try_kill_parent,
		try_other_ioctl,
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++) {
		print_message("call %zu\n", i);
		assert_int_equal(tried(calls[i], false), EPERM);
	}
}

/* Of another architecture's table of calls none is let through. */
static void test_other_table(void **state)
{
	(void)state;
	assert_int_not_equal(tried(try_old_call, false), 0);
}

static void test_let_through(void **state)
{
	(void)state;
	assert_int_equal(tried(try_own_limit, false), 0);
	assert_int_equal(tried(try_unix, false), 0);
	assert_int_equal(tried(try_memory, false), 0);
	assert_int_equal(tried(try_unlink, true), ENOENT);
}

static long try_vfio(void)
{
	return syscall(SYS_ioctl, STDERR_FILENO, VFIO_IOMMU_MAP_DMA, NULL);
}

/* It gets as far as to the descriptor, which is none of VFIO's. */
static void test_vfio(void **state)
{
	(void)state;
	assert_int_not_equal(tried(try_vfio, false), EPERM);
}

static void test_kills(void **state)
{
	pid_t pid = fork();
	int status;

	(void)state;
	if (pid == 0) {
		if (sandbox_enter(false, true) < 0)
			_exit(255);
		(void)try_open();
		_exit(0);
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGSYS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_other_table),
		cmocka_unit_test(test_let_through),
		cmocka_unit_test(test_vfio),
		cmocka_unit_test(test_kills),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
