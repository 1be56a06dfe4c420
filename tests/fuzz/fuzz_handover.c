// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Fuzzes the handover as the agent takes it: host/lib/handover.c, and
 * config_take_handover(). The input is a byte that says which descriptors come
 * along (support/fds.h), one that says whether the service hangs up instead of
 * sending, and the settings. All or nothing: after an error no descriptor has
 * come, and after success each is in its place.
 */
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "config.h"
#include "lib/handover.h"
#include "lib/log.h"
#include "tests/fuzz/support/fds.h"
#include "tests/fuzz/support/input.h"

/* What handover_receive() is to connect to; -Wl,--wrap calls us. */
static int other_end;

int __wrap_socket_connect_seqpacket(const char *path);

int __wrap_socket_connect_seqpacket(const char *path)
{
	(void)path;
	return other_end;
}

/* What the service would have done before the agent asks. */
static unsigned int serve(struct fuzz_input *in)
{
	uint8_t fds = fuzz_u8(in), how = fuzz_u8(in);
	size_t size = (size_t)(in->end - in->at);
	const uint8_t *p = fuzz_bytes(in, &size);
	unsigned int expected = fds & 15;
	int ends[2], room = 2 * HANDOVER_TEXT_MAX;

	fuzz_must(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) ==
			  0,
		  "no sockets");
	(void)setsockopt(ends[1], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	other_end = ends[0];
	if (how % 16 != 1)
		fuzz_fds_send(ends[1], p, size, fds);
	close(ends[1]);
	return expected == 15 ? FUZZ_FDS_MANY : expected;
}

/* Closes what has come; how many there were, without a gap. */
static unsigned int close_places(void)
{
	unsigned int n = 0;

	while (close(HANDOVER_FD_BASE + (int)n) == 0)
		n++;
	for (int i = (int)n; i < HANDOVER_FDS_MAX; i++)
		fuzz_must(fcntl(HANDOVER_FD_BASE + i, F_GETFD) < 0, "a gap");
	return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, data + size };
	unsigned int before, expected, come;
	struct agent_config config;
	static bool open;
	int r;

	if (!open) {
		log_set_max_level(-1);
		fuzz_fds_open(4096, NULL);
		/* whatever we inherited */
		(void)close_range(HANDOVER_FD_BASE,
				  HANDOVER_FD_BASE + HANDOVER_FDS_MAX, 0);
		open = true;
	}
	before = fuzz_fds_count();
	expected = serve(&in);
	config_init(&config);
	r = config_take_handover(&config, "handover");
	if (r == 0)
		(void)config_finish(&config);
	config_done(&config);
	come = close_places();
	fuzz_must(come == 0 || come == expected, "some of the descriptors");
	fuzz_must(r != 0 || come == expected, "not all of the descriptors");
	fuzz_must(fuzz_fds_count() == before, "a descriptor leaks");
	return 0;
}
