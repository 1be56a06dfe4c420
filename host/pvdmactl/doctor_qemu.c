// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * doctor_qemu.c - can this QEMU carry pvdma's devices?
 *
 * Owns: running a program, and what is wanted of QEMU's version and devices.
 *
 * Invariant: no shell is involved; a program that does not end is killed.
 *
 * Locks: none. In a request's way: not.
 */
#include "pvdmactl/doctor_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/macros.h"

/*
 * The first version with a generic vhost-user device that users may create; the
 * client of vfio-user is one older.
 */
#define QEMU_MAJOR 10
#define QEMU_MINOR 2

#define QEMU_DEFAULT "qemu-system-x86_64"

#define COMMAND_SECONDS 30
/* Longest output, in bytes. */
#define COMMAND_MAX (4 << 20)

/* In the child: never returns. */
static void execute(char *const argv[], int out)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null < 0 || dup2(null, STDIN_FILENO) < 0 ||
	    dup2(out, STDOUT_FILENO) < 0 || dup2(null, STDERR_FILENO) < 0)
		_exit(126);
	(void)execvp(argv[0], argv);
	_exit(errno == ENOENT ? 127 : 126);
}

/* Copies what comes from @in to @f, until its end. 0 or a negative errno. */
static int drain(int in, FILE *f)
{
	uint64_t end = clock_ns() + COMMAND_SECONDS * 1000000000ULL;
	struct pollfd pollfd = { .fd = in, .events = POLLIN };
	size_t total = 0;
	char buf[4096];
	ssize_t n;

	for (;;) {
		uint64_t now = clock_ns();

		if (now >= end)
			return -ETIMEDOUT;
		if (poll(&pollfd, 1, (int)((end - now) / 1000000) + 1) <= 0)
			continue;
		n = read(in, buf, sizeof(buf));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : 0;
		total += (size_t)n;
		if (total > COMMAND_MAX)
			return -EFBIG;
		(void)fwrite(buf, 1, (size_t)n, f);
	}
}

/* The end of the child, which is killed if @r says that something failed. */
static int collect(pid_t pid, int r)
{
	int status;

	if (r < 0)
		(void)kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	if (r < 0)
		return r;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
		return -ENOENT;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EIO;
}

int doctor_command(char *const argv[], char **ret_output)
{
	_cleanup_close_ int in = -EBADF;
	_cleanup_close_ int out = -EBADF;
	_cleanup_free_ char *text = NULL;
	int fds[2], r;
	size_t size;
	pid_t pid;
	FILE *f;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	in = fds[0];
	out = fds[1];
	f = open_memstream(&text, &size);
	if (!f)
		return -errno;
	pid = fork();
	if (pid == 0)
		execute(argv, out);
	out = close_fd(out);
	r = pid < 0 ? -errno : collect(pid, drain(in, f));
	if (fclose(f) != 0 && r == 0)
		r = -ENOMEM;
	if (r == 0)
		*ret_output = steal_ptr(text);
	return r;
}

/* Runs QEMU and reports a failure. The output, or NULL. */
static char *run(struct doctor *d, const char *name, const char *qemu,
		 const char *first, const char *second)
{
	/* execvp() does not write to its strings. */
	char *argv[] = { (char *)(uintptr_t)qemu, (char *)(uintptr_t)first,
			 (char *)(uintptr_t)second, NULL };
	char *output;
	int r = doctor_command(argv, &output);

	if (r == 0)
		return output;
	if (r == -ENOENT)
		doctor_report(d, name, DOCTOR_ERROR,
			      "install QEMU 10.2 or newer "
			      "(qemu-system-x86; on Debian 13 from "
			      "trixie-backports), or say where it is by "
			      "--qemu PATH",
			      "there is no %s", qemu);
	else
		doctor_report(d, name, DOCTOR_ERROR, NULL,
			      "%s %s does not work: %s", qemu, first,
			      r == -EIO ? "it fails" : strerror(-r));
	return NULL;
}

/* True if the list of devices has @device as a whole name. */
static bool has_device(const char *list, const char *device)
{
	char word[64];

	(void)snprintf(word, sizeof(word), "name \"%s\"", device);
	return strstr(list, word) != NULL;
}

static void judge(struct doctor *d, const char *name, const char *qemu,
		  const char *version, const char *devices)
{
	static const char *const wanted[] = { "vfio-user-pci",
					      "vhost-user-test-device-pci" };
	const char *fix = "install QEMU 10.2 or newer; on Debian 13 from "
			  "trixie-backports";
	unsigned int major, minor;
	const char *at = strstr(version, "version ");

	if (!at || sscanf(at, "version %u.%u", &major, &minor) != 2) {
		doctor_report(d, name, DOCTOR_ERROR, fix,
			      "%s does not say its version", qemu);
		return;
	}
	if (major < QEMU_MAJOR || (major == QEMU_MAJOR && minor < QEMU_MINOR)) {
		doctor_report(d, name, DOCTOR_ERROR, fix,
			      "%s is version %u.%u, which is too old for "
			      "vfio-user-pci with "
			      "vhost-user-test-device-pci",
			      qemu, major, minor);
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++) {
		if (has_device(devices, wanted[i]))
			continue;
		doctor_report(d, name, DOCTOR_ERROR,
			      "use a build of QEMU with it; some "
			      "distributions have devices in packages of "
			      "their own",
			      "%s, version %u.%u, was built without the "
			      "device %s",
			      qemu, major, minor, wanted[i]);
		return;
	}
	doctor_report(d, name, DOCTOR_OK, NULL, "%s, version %u.%u", qemu,
		      major, minor);
}

void doctor_qemu(struct doctor *d, const char *name)
{
	_cleanup_free_ char *emulator = doctor_domain_emulator(d);
	_cleanup_free_ char *version = NULL, *devices = NULL;
	const char *qemu = d->options->qemu;

	if (!qemu && !d->live) {
		doctor_report(d, name, DOCTOR_SKIPPED, NULL,
			      "programs of another root are not run");
		return;
	}
	if (!qemu)
		qemu = emulator ? emulator : QEMU_DEFAULT;
	version = run(d, name, qemu, "--version", NULL);
	if (!version)
		return;
	devices = run(d, name, qemu, "-device", "help");
	if (devices)
		judge(d, name, qemu, version, devices);
}
