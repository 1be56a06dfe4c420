// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Fuzzes what is read of single words and small texts: sizes, times, numbers and
 * PCI addresses (host/lib/parse.c), options of attach (pvdmactl), a device's
 * place in an argument of QEMU's, a request of HTTP (metrics_http.c), a
 * calibration (host/sim/cost.c). The first byte says which (modulo their
 * number), the rest is the text. What is taken is within its bounds, and means
 * the same when it is written again.
 */
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "host/sim/cost.h"
#include "lib/log.h"
#include "lib/parse.h"
#include "pvdmactl/attach_options.h"
#include "pvdmactl/metrics.h"
#include "pvdmactl/qemu_args.h"
#include "tests/fuzz/support/input.h"

#define WORDS_MAX 16

/* Left alone by what fails. */
#define UNTOUCHED UINT64_C(0x5a5a5a5a5a5a5a5a)

static void number(char *text)
{
	uint64_t a = UNTOUCHED, b = UNTOUCHED;
	char again[32];
	bool yes = false;
	uint32_t u;

	if (parse_uint(text, 10, 1000000, &a) == 0)
		fuzz_must(a >= 10 && a <= 1000000, "out of bounds");
	else
		fuzz_must(a == UNTOUCHED, "a number of an error");
	if (parse_u32(text, &u) == 0)
		fuzz_must(parse_uint(text, 0, UINT32_MAX, &b) == 0 && b == u,
			  "another number");
	b = UNTOUCHED;
	if (parse_size(text, &b) == 0) {
		(void)snprintf(again, sizeof(again), "%llu",
			       (unsigned long long)b);
		fuzz_must(parse_size(again, &a) == 0 && a == b, "a size");
	} else {
		fuzz_must(b == UNTOUCHED, "a size of an error");
	}
	b = UNTOUCHED;
	if (parse_duration(text, &b) < 0)
		fuzz_must(b == UNTOUCHED, "a time of an error");
	(void)parse_bool(text, &yes);
}

static void address(char *text)
{
	struct pci_address a, b;
	char again[PCI_ADDRESS_TEXT_MAX];

	if (parse_pci_address(text, &a) < 0)
		return;
	fuzz_must(a.device <= 31 && a.function <= 7, "out of bounds");
	format_pci_address(&a, again);
	fuzz_must(parse_pci_address(again, &b) == 0, "cannot be read again");
	fuzz_must(a.domain == b.domain && a.bus == b.bus &&
			  a.device == b.device && a.function == b.function,
		  "another address");
}

/* Words with newlines between them. */
static void attach(char *text)
{
	char *argv[WORDS_MAX + 2] = { (char *)"attach" };
	struct attach_options options;
	int argc = 1;

	while (text && argc <= WORDS_MAX)
		argv[argc++] = strsep(&text, "\n");
	for (int i = 1; i < argc; i++)
		if (strncmp(argv[i], "--h", 3) == 0)
			return; /* it would be printed */
	if (attach_options_parse(argc, argv, &options) != 0)
		return;
	fuzz_must(options.domain && *options.address_text, "words");
	attach_options_done(&options);
}

static void argument(char *text)
{
	int slot = qemu_args_slot(text);

	fuzz_must(slot >= -1 && slot < 32, "the slot");
	(void)qemu_args_is_ours(text);
}

static void http(const uint8_t *data, size_t size)
{
	enum metrics_format format;
	int ends[2], status;

	fuzz_must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0,
		  "no sockets");
	(void)send(ends[1], data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
	close(ends[1]);
	status = metrics_http_read(ends[0], &format);
	fuzz_must(status == 200 || (status >= 400 && status < 500), "status");
	fuzz_must(status != 200 || metrics_content_type(format), "format");
	close(ends[0]);
}

static void calibration(const uint8_t *data, size_t size)
{
	static char path[64];
	static int fd = -1;
	struct cost_model model;

	if (fd < 0) {
		fd = memfd_create("cost", MFD_CLOEXEC);
		(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	}
	fuzz_must(ftruncate(fd, 0) == 0 &&
			  pwrite(fd, data, size, 0) == (ssize_t)size,
		  "no file");
	if (cost_load(path, &model) < 0)
		return;
	fuzz_must(model.n_sizes >= 1 && model.n_sizes <= COST_SIZES_MAX,
		  "sizes");
	for (int shift = 12; shift < 40; shift++)
		fuzz_must(cost_map(&model, 1ULL << shift) >= 0 &&
				  cost_unmap(&model, 1ULL << shift) >= 0,
			  "a cost below zero");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const readers[])(char *text) = { number, address, attach,
						       argument };
	struct fuzz_input in = { data, data + size };
	size_t which = fuzz_u8(&in) % (ARRAY_SIZE(readers) + 2);
	char *text;

	log_set_max_level(-1);
	if (which == ARRAY_SIZE(readers)) {
		http(in.at, (size_t)(in.end - in.at));
	} else if (which > ARRAY_SIZE(readers)) {
		calibration(in.at, (size_t)(in.end - in.at));
	} else {
		text = fuzz_string(&in);
		readers[which](text);
		free(text);
	}
	return 0;
}
