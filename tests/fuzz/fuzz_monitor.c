// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Fuzzes QEMU's answers on its monitor as pvdmactl reads them:
 * host/pvdmactl/monitor.c. The input is two answers with a NUL between them, of
 * a QEMU that may have been taken over. A port that is chosen is one that QEMU
 * named; what is not understood is an error.
 */
#include "lib/log.h"
#include "pvdmactl/monitor.h"
#include "tests/fuzz/support/input.h"

struct qemu {
	const char *answers[2];
	unsigned int asked;
};

static int command(void *userdata, const char *json, char **ret)
{
	struct qemu *qemu = userdata;

	(void)json;
	*ret = strdup(qemu->answers[qemu->asked++ % 2]);
	return *ret ? 0 : -ENOMEM;
}

static void ask(struct qemu *qemu)
{
	const struct monitor monitor = {
		.command = command,
		.userdata = qemu,
	};
	char *port = NULL;
	int r;

	qemu->asked = 0;
	r = monitor_free_port(&monitor, &port);
	fuzz_must(r <= 0 && (r == 0 || !port), "an error and a port");
	fuzz_must(qemu->asked <= 2, "asked too often");
	free(port);
	for (int i = 0; i < 2; i++) {
		r = monitor_has_device(&monitor, "pvdma-0000-fe-01.0");
		fuzz_must(r <= 1, "neither yes nor no");
	}
	(void)monitor_do(&monitor, "do something", "{}");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, data + size };
	char *text = fuzz_string(&in);
	size_t len = strlen(text);
	struct qemu qemu = {
		.answers = { text, len < size ? text + len + 1 : "" },
	};

	log_set_max_level(-1);
	ask(&qemu);
	free(text);
	return 0;
}
