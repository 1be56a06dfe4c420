// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * metrics_table.c - which metrics there are, and how they are written
 *
 * Owns: the table: names, types, units and words. docs/operations.md says what to
 * make of them.
 *
 * Invariant: a family's samples stand together, below its head; a name ends in
 * its unit, and a counter's sample in _total.
 *
 * Locks: none. In a request's way: not.
 */
#include "metrics.h"

#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#include "lib/macros.h"
#include "vms.h"

#define PREFIX "pvdma_"

enum scope {
	SCOPE_HOST,
	SCOPE_VM,
	SCOPE_DEVICE,
};

enum type {
	GAUGE,
	COUNTER,
};

struct family {
	enum scope scope;
	enum type type;
	const char *name;
	const char *unit; /* that the name ends in; NULL: none */
	const char *path; /* in what vms.h gets; of a device: in its stats */
	const char *help;
};

static const struct family families[] = {
	{ SCOPE_HOST, GAUGE, "budget_bytes", "bytes", "budget",
	  "What all VMs together may pin; 0 for no limit." },
	{ SCOPE_HOST, GAUGE, "assigned_bytes", "bytes", "assigned",
	  "The sum of the quotas of all VMs." },
	{ SCOPE_HOST, GAUGE, "mapped_bytes", "bytes", "mapped",
	  "What all VMs had pinned when the service asked last." },

	{ SCOPE_VM, GAUGE, "vm_quota_bytes", "bytes", "quota",
	  "What the devices of the VM may have mapped." },
	{ SCOPE_VM, GAUGE, "vm_min_bytes", "bytes", "min",
	  "The quota that the VM is sure of." },
	{ SCOPE_VM, GAUGE, "vm_max_bytes", "bytes", "max",
	  "The quota that the VM never gets more than." },
	{ SCOPE_VM, GAUGE, "vm_weight", NULL, "weight",
	  "The share of the VM in what is divided." },
	{ SCOPE_VM, GAUGE, "vm_mapped_bytes", "bytes", "stats.vm.mapped_bytes",
	  "What is mapped for the devices of the VM." },
	{ SCOPE_VM, GAUGE, "vm_mapped_peak_bytes", "bytes",
	  "stats.vm.mapped_peak", "The most that was mapped at one time." },
	{ SCOPE_VM, GAUGE, "vm_over_quota_bytes", "bytes",
	  "stats.vm.over_quota_bytes",
	  "What is mapped above a quota that was lowered." },
	{ SCOPE_VM, GAUGE, "vm_extents", NULL, "stats.vm.extents",
	  "Ranges of memory that are mapped." },
	{ SCOPE_VM, GAUGE, "vm_entries", NULL, "stats.vm.entries",
	  "Mappings of the IOMMU container in use." },
	{ SCOPE_VM, GAUGE, "vm_entries_limit", NULL, "stats.vm.entries_max",
	  "Mappings that the IOMMU container takes; 0 for not known." },
	{ SCOPE_VM, GAUGE, "vm_leaves", NULL, "stats.vm.leaves",
	  "Pages of the tracking table that the driver has registered." },
	{ SCOPE_VM, COUNTER, "vm_requests", NULL, "stats.vm.requests",
	  "Requests of the driver." },
	{ SCOPE_VM, COUNTER, "vm_map_requests", NULL, "stats.vm.map_requests",
	  "Requests to map memory: misses." },
	{ SCOPE_VM, COUNTER, "vm_map_granules", NULL, "stats.vm.map_granules",
	  "Granules that were mapped for such requests." },
	{ SCOPE_VM, COUNTER, "vm_map_waited_evictions", NULL,
	  "stats.vm.map_waited_evictions",
	  "Requests to map that waited for others to be evicted." },
	{ SCOPE_VM, COUNTER, "vm_failed_requests", NULL,
	  "stats.vm.failed_requests", "Requests that were refused or failed." },
	{ SCOPE_VM, COUNTER, "vm_failed_quota", NULL, "stats.vm.failed_quota",
	  "Requests refused because all of the quota is in use." },
	{ SCOPE_VM, COUNTER, "vm_failed_limit", NULL, "stats.vm.failed_limit",
	  "Requests that failed by a limit of the host." },
	{ SCOPE_VM, COUNTER, "vm_evictions", NULL, "stats.vm.evictions",
	  "Ranges that were unmapped to make room." },
	{ SCOPE_VM, COUNTER, "vm_evicted_bytes", "bytes",
	  "stats.vm.evicted_bytes", "Bytes that were unmapped to make room." },
	{ SCOPE_VM, COUNTER, "vm_evict_busy", NULL, "stats.vm.evict_busy",
	  "Ranges that were in use when they were to be evicted." },
	{ SCOPE_VM, COUNTER, "vm_revoked_bytes", "bytes",
	  "stats.vm.revoked_bytes",
	  "Bytes that were unmapped while they were in use." },
	{ SCOPE_VM, COUNTER, "vm_iommu_maps", NULL, "stats.vm.iommu_maps",
	  "Calls of the IOMMU to map." },
	{ SCOPE_VM, COUNTER, "vm_iommu_unmaps", NULL, "stats.vm.iommu_unmaps",
	  "Calls of the IOMMU to unmap." },
	{ SCOPE_VM, COUNTER, "vm_ahead_granules", NULL,
	  "stats.vm.ahead_granules", "Granules mapped before anybody asked." },
	{ SCOPE_VM, COUNTER, "vm_ahead_used", NULL, "stats.vm.ahead_used",
	  "Granules mapped ahead that turned out to be used." },
	{ SCOPE_VM, COUNTER, "vm_hints", NULL, "stats.vm.hints",
	  "Ranges that the driver copied and would like to be mapped." },
	{ SCOPE_VM, COUNTER, "vm_copies", NULL, "stats.vm.copies",
	  "Copies that drivers made for want of a mapping, as far as they tell." },
	{ SCOPE_VM, COUNTER, "vm_hints_dropped", NULL, "stats.vm.hints_dropped",
	  "Hints that came to nothing, for want of room." },
	{ SCOPE_VM, COUNTER, "vm_resets", NULL, "stats.vm.resets",
	  "Starts of drivers, and resets of the VM." },
	{ SCOPE_VM, COUNTER, "vm_kicks", NULL, "stats.vhost.kicks",
	  "Times that the driver woke the agent." },
	{ SCOPE_VM, COUNTER, "vm_broken_queues", NULL,
	  "stats.vhost.broken_queues",
	  "Times that a queue was stopped because its ring was malformed." },
	{ SCOPE_VM, GAUGE, "vm_locked_bytes", "bytes", "stats.process.locked",
	  "What the kernel counts as locked by the agent (VmLck)." },
	{ SCOPE_VM, GAUGE, "vm_locked_limit_bytes", "bytes",
	  "stats.process.limit",
	  "The limit of locked memory of the agent; absent for none." },
	{ SCOPE_VM, GAUGE, "vm_private_bytes", "bytes", "stats.process.private",
	  "Memory that the agent itself takes." },

	{ SCOPE_DEVICE, COUNTER, "device_connections", NULL,
	  "vfio_user.connections", "Connections of VMMs to the device." },
	{ SCOPE_DEVICE, COUNTER, "device_region_reads", NULL,
	  "vfio_user.region_reads",
	  "Reads of the device that QEMU could not do by itself." },
	{ SCOPE_DEVICE, COUNTER, "device_region_writes", NULL,
	  "vfio_user.region_writes",
	  "Writes to the device that QEMU could not do by itself." },
	{ SCOPE_DEVICE, COUNTER, "device_resets", NULL, "vfio_user.resets",
	  "Resets of the device." },
	{ SCOPE_DEVICE, COUNTER, "device_errors", NULL, "vfio_user.errors",
	  "Messages about the device that were answered by an error." },
};

static const char *const states[] = { "starting", "running", "stopping",
				      "failed" };

/* As the text formats want values of labels. */
static void write_escaped(FILE *out, const char *text)
{
	for (; *text; text++) {
		if (*text == '\n')
			(void)fputs("\\n", out);
		else if (*text == '"' || *text == '\\')
			fprintf(out, "\\%c", *text);
		else
			(void)fputc(*text, out);
	}
}

static void write_label(FILE *out, const char *before, const char *name,
			const char *value)
{
	fprintf(out, "%s%s=\"", before, name);
	write_escaped(out, value);
	(void)fputc('"', out);
}

static void write_head(FILE *out, enum metrics_format format, const char *name,
		       const char *type, const char *suffix, const char *unit,
		       const char *help)
{
	/* The older form knows no family apart from its samples. */
	if (format == METRICS_OPENMETRICS)
		suffix = "";
	fprintf(out, "# TYPE " PREFIX "%s%s %s\n", name, suffix, type);
	if (unit && format == METRICS_OPENMETRICS)
		fprintf(out, "# UNIT " PREFIX "%s %s\n", name, unit);
	fprintf(out, "# HELP " PREFIX "%s%s %s\n", name, suffix, help);
}

static void write_number(FILE *out, json_object *value)
{
	fprintf(out, " %" PRIu64 "\n", json_object_get_uint64(value));
}

static void write_name(FILE *out, const struct family *f)
{
	fprintf(out, PREFIX "%s%s", f->name,
		f->type == COUNTER ? "_total" : "");
}

static void write_device(FILE *out, const struct family *f, json_object *vm,
			 json_object *device)
{
	json_object *value = vms_at(device, f->path);

	if (!value)
		return;
	write_name(out, f);
	write_label(out, "{", "vm", vms_text(vm, "name"));
	write_label(out, ",", "device", vms_text(device, "name"));
	write_label(out, ",", "endpoint", vms_text(device, "endpoint"));
	fprintf(out, "}");
	write_number(out, value);
}

static void write_vm(FILE *out, const struct family *f, json_object *vm)
{
	json_object *value = vms_at(vm, f->path), *devices;

	if (f->scope == SCOPE_VM) {
		/* -1 is how the agent says that there is no limit. */
		if (!value || json_object_get_int64(value) < 0)
			return;
		write_name(out, f);
		write_label(out, "{", "vm", vms_text(vm, "name"));
		fprintf(out, "}");
		write_number(out, value);
		return;
	}
	devices = vms_at(vm, "stats.devices");
	for (size_t i = 0; i < vms_length(devices); i++)
		write_device(out, f, vm, json_object_array_get_idx(devices, i));
}

static void write_family(FILE *out, const struct family *f, json_object *host,
			 json_object *vms, enum metrics_format format)
{
	write_head(out, format, f->name,
		   f->type == COUNTER ? "counter" : "gauge",
		   f->type == COUNTER ? "_total" : "", f->unit, f->help);
	if (f->scope == SCOPE_HOST) {
		write_name(out, f);
		write_number(out, vms_at(host, f->path));
		return;
	}
	for (size_t i = 0; i < vms_length(vms); i++)
		write_vm(out, f, json_object_array_get_idx(vms, i));
}

static void write_build(FILE *out, json_object *host,
			enum metrics_format format)
{
	bool open = format == METRICS_OPENMETRICS;

	write_head(out, format, "build", open ? "info" : "gauge", "_info", NULL,
		   "The service's version.");
	fprintf(out, PREFIX "build_info");
	write_label(out, "{", "version", vms_text(host, "version"));
	fprintf(out, "} 1\n");
}

static void write_states(FILE *out, json_object *vms,
			 enum metrics_format format)
{
	write_head(out, format, "vm_state", "gauge", "", NULL,
		   "1 for the state that the VM is in.");
	for (size_t i = 0; i < vms_length(vms); i++) {
		json_object *vm = json_object_array_get_idx(vms, i);

		for (size_t k = 0; k < ARRAY_SIZE(states); k++) {
			fprintf(out, PREFIX "vm_state");
			write_label(out, "{", "vm", vms_text(vm, "name"));
			write_label(out, ",", "state", states[k]);
			fprintf(out, "} %d\n",
				strcmp(states[k], vms_text(vm, "state")) == 0);
		}
	}
}

void metrics_write(json_object *host, json_object *vms,
		   enum metrics_format format, FILE *out)
{
	write_build(out, host, format);
	write_states(out, vms, format);
	for (size_t i = 0; i < ARRAY_SIZE(families); i++)
		write_family(out, &families[i], host, vms, format);
	if (format == METRICS_OPENMETRICS)
		fprintf(out, "# EOF\n");
}
