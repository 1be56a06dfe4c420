// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Fuzzes a domain's XML: host/pvdmactl/domain_*.c, xml_text.c, metadata.c,
 * qemu_args.c. The input is the XML. Whatever it says, attach and detach give
 * back the same text, or an error.
 */
#include "lib/log.h"
#include "pvdmactl/domain_xml.h"
#include "tests/fuzz/support/input.h"

static const struct pci_address device = { .bus = 0xfe, .device = 1 };

/* The promises of the metadata's parser. */
static void check(const struct metadata *vm)
{
	fuzz_must(vm->num_devices <= METADATA_DEVICES_MAX, "devices");
	for (size_t i = 0; i < vm->num_devices; i++)
		fuzz_must(metadata_find_device(vm, &vm->devices[i]) == (int)i,
			  "a device twice");
	fuzz_must(!vm->values[METADATA_NAME] ||
			  metadata_name_valid(vm->values[METADATA_NAME]),
		  "name");
	fuzz_must(metadata_number(vm, METADATA_QUEUES, 2) <= 64, "queues");
	fuzz_must(metadata_number(vm, METADATA_SPARE_PORTS, 1) <= 16, "ports");
}

/* An edited domain can be read, and what was put in be taken out. */
static void check_edit(struct domain_xml *domain, const char *before,
		       bool strange)
{
	struct domain_xml *again = NULL;

	fuzz_must(domain_xml_new(domain_xml_text(domain), &again) == 0,
		  "what was written cannot be read");
	fuzz_must(domain_xml_metadata(again) != NULL, "no metadata");
	fuzz_must(domain_xml_memory_shared(again), "private memory");
	if (domain_xml_detach(again, &device) == 0 && !strange)
		fuzz_must(strcmp(domain_xml_text(again), before) == 0,
			  "detach does not undo attach");
	domain_xml_free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct metadata changes = { 0 };
	struct domain_xml *domain;
	struct fuzz_input in = { data, data + size };
	char *text = fuzz_string(&in);
	bool strange;

	log_set_max_level(-1);
	/* with what says that we have been there, anything may be undone */
	strange = strstr(text, "before") || strstr(text, "pvdma-") ||
		  strstr(text, "absent");
	if (domain_xml_new(text, &domain) < 0) {
		free(text);
		return 0;
	}
	if (domain_xml_metadata(domain)) {
		check(domain_xml_metadata(domain));
		free(domain_xml_metadata_text(domain));
		/* one that keeps its other devices keeps its arguments */
		strange |= domain_xml_metadata(domain)->num_devices > 0;
	}
	(void)domain_xml_check(domain, &device);
	fuzz_must(metadata_set(&changes, "fuzz", METADATA_QUOTA, "1M") == 0,
		  "quota");
	fuzz_must(metadata_set(&changes, "fuzz", METADATA_NAME, "a") == 0,
		  "name");
	if (domain_xml_attach(domain, &device, &changes) == 0)
		check_edit(domain, text, strange);
	domain_xml_free(domain);
	metadata_done(&changes);
	free(text);
	return 0;
}
