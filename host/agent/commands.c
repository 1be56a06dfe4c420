// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * commands.c - what the control socket can ask of the agent
 *
 * Owns: the table of verbs. Each writes one JSON object.
 *
 * Locks: none; runs in the event loop. In a request's way: not.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "agent_impl.h"
#include "device/device.h"
#include "json_out.h"
#include "lib/log.h"
#include "lib/macros.h"
#include "lib/parse.h"
#include "stats_json.h"
#include "strategy.h"
#include "trace.h"
#include "vfio_user/vfio_user.h"
#include "vhost/vhost.h"

/* A trace that nobody asks for any longer ends. */
#define TRACE_USEC UINT64_C(60000000)

static int no_arg(const char *arg, const char **why)
{
	if (*arg == '\0')
		return 0;
	*why = "this command takes no argument";
	return -EINVAL;
}

static int cmd_ping(void *userdata, const char *arg, FILE *out,
		    const char **why)
{
	const struct agent *agent = userdata;

	if (no_arg(arg, why) < 0)
		return -EINVAL;
	fprintf(out, "{\"name\": ");
	json_out_string(out, agent->config->name);
	fprintf(out, ", \"pid\": %ld, \"version\": \"" PVDMA_VERSION "\"}",
		(long)getpid());
	return 0;
}

static void write_device_stats(const struct agent_device *dev, FILE *out)
{
	struct vfio_user_stats stats;

	vfio_user_get_stats(dev->server, &stats);
	fprintf(out, "{\"name\": ");
	json_out_string(out, device_name(dev->device));
	fprintf(out, ", \"endpoint\": %" PRIu32 ", \"vfio_user\": ",
		dev->config->endpoint);
	stats_json_vfio_user(out, &stats);
	fputc('}', out);
}

static int cmd_stats(void *userdata, const char *arg, FILE *out,
		     const char **why)
{
	const struct agent *agent = userdata;
	struct vhost_stats vhost_stats;
	struct vm_stats vm_stats;

	if (no_arg(arg, why) < 0)
		return -EINVAL;
	vm_get_stats(agent->vm, &vm_stats);
	fprintf(out, "{\"vm\": ");
	stats_json_vm(out, &vm_stats);
	if (agent->vhost) {
		vhost_get_stats(agent->vhost, &vhost_stats);
		fprintf(out, ", \"vhost\": ");
		stats_json_vhost(out, &vhost_stats);
	}
	fprintf(out, ", \"devices\": [");
	for (size_t i = 0; i < agent->num_devices; i++) {
		fputs(i == 0 ? "" : ", ", out);
		write_device_stats(&agent->devices[i], out);
	}
	fprintf(out, "], \"process\": ");
	stats_json_process(out, agent->status);
	fputc('}', out);
	return 0;
}

/* Cuts "SIZE [TIME]"; *@usec stays as it is where there is no time. */
static int parse_quota(const char *arg, uint64_t *bytes, uint64_t *usec)
{
	size_t len = strcspn(arg, " \t");
	char size[32];
	int r;

	if (len >= sizeof(size))
		return -EINVAL;
	memcpy(size, arg, len);
	size[len] = '\0';
	r = parse_size(size, bytes);
	arg += len;
	arg += strspn(arg, " \t");
	if (r < 0 || *arg == '\0')
		return r;
	r = parse_duration(arg, usec);
	return r == 0 && *usec > CONFIG_DEADLINE_MAX_USEC ? -ERANGE : r;
}

static int cmd_quota(void *userdata, const char *arg, FILE *out,
		     const char **why)
{
	struct agent *agent = userdata;
	uint64_t quota, usec = agent->config->vm.enforce_usec, limit = 0;
	struct vm_stats stats;
	int r;

	if (*arg != '\0') {
		r = parse_quota(arg, &quota, &usec);
		if (r < 0) {
			*why = "expected a size in bytes, such as 256M, and perhaps a deadline up to 60min, such as 500ms";
			return r;
		}
		if (agent->config->iommu == CONFIG_IOMMU_TYPE1)
			limit = memlock_prepare(quota);
		r = vm_set_quota_within(agent->vm, quota, usec);
		if (r < 0)
			return r;
		log_info("quota is %" PRIu64 " bytes now", quota);
	}
	vm_get_stats(agent->vm, &stats);
	fprintf(out,
		"{\"quota\": %" PRIu64 ", \"mapped_bytes\": %" PRIu64
		", \"over_quota_bytes\": %" PRIu64,
		stats.quota, stats.mapped_bytes, stats.over_quota_bytes);
	if (limit > 0)
		fprintf(out, ", \"memlock_limit\": %" PRIu64, limit);
	fputc('}', out);
	return 0;
}

static int cmd_strategy(void *userdata, const char *arg, FILE *out,
			const char **why)
{
	struct agent *agent = userdata;
	struct virtio_pvdma_config space;
	uint8_t strategy;

	if (*arg != '\0') {
		if (strategy_parse(arg, &strategy) < 0) {
			*why = "expected single-use, shared, deferred, on-demand, persistent or direct-map";
			return -EINVAL;
		}
		vm_set_strategy(agent->vm, strategy);
		log_info("the strategy is %s now", arg);
	}
	vm_config_read(agent->vm, &space);
	fprintf(out, "{\"strategy\": \"%s\"}", strategy_name(space.strategy));
	return 0;
}

static int cmd_device_add(void *userdata, const char *arg, FILE *out,
			  const char **why)
{
	struct agent *agent = userdata;
	uint32_t endpoint;
	size_t num;
	int *fds = control_fds(agent->control, &num);
	int r = devices_add(agent, arg, fds, num, why, &endpoint);

	if (r < 0)
		return r;
	fprintf(out, "{\"endpoint\": %" PRIu32 "}", endpoint);
	return 0;
}

static int cmd_device_remove(void *userdata, const char *arg, FILE *out,
			     const char **why)
{
	uint32_t endpoint;
	int r;

	if (parse_u32(arg, &endpoint) < 0) {
		*why = "expected the number of an endpoint";
		return -EINVAL;
	}
	r = devices_remove(userdata, endpoint, why);
	if (r < 0)
		return r;
	fprintf(out, "{}");
	return 0;
}

static int on_trace_end(sd_event_source *s, uint64_t usec, void *userdata)
{
	struct agent *agent = userdata;

	(void)s;
	(void)usec;
	trace_disarm(vm_trace(agent->vm));
	return 0;
}

/* It ends when it was not asked for during TRACE_USEC from now on. */
static int trace_keep(struct agent *agent)
{
	if (!agent->trace_source)
		return sd_event_add_time_relative(agent->event,
						  &agent->trace_source,
						  CLOCK_MONOTONIC, TRACE_USEC,
						  0, on_trace_end, agent);
	if (sd_event_source_set_time_relative(agent->trace_source, TRACE_USEC) <
	    0)
		return -EIO;
	return sd_event_source_set_enabled(agent->trace_source,
					   SD_EVENT_ONESHOT);
}

static int cmd_trace(void *userdata, const char *arg, FILE *out,
		     const char **why)
{
	struct agent *agent = userdata;
	struct trace *trace = vm_trace(agent->vm);
	uint64_t num = TRACE_RECORDS;
	int r;

	if (*arg != '\0' && parse_uint(arg, 1, TRACE_RECORDS, &num) < 0) {
		*why = "expected how many requests to show, 1 to 64";
		return -EINVAL;
	}
	r = trace_keep(agent);
	if (r >= 0)
		r = trace_arm(trace);
	if (r < 0)
		return r;
	trace_write(trace, num, out);
	return 0;
}

static int cmd_curve(void *userdata, const char *arg, FILE *out,
		     const char **why)
{
	struct agent *agent = userdata;
	struct vm_curve curve;

	if (no_arg(arg, why) < 0)
		return -EINVAL;
	agent_observe(agent);
	vm_get_curve(agent->vm, &curve);
	stats_json_curve(out, &curve);
	return 0;
}

static void write_socket(FILE *out, const struct config_socket *socket)
{
	fprintf(out, ", \"socket\": ");
	if (socket->path)
		json_out_string(out, socket->path);
	else if (socket->fd >= 0)
		fprintf(out, "\"fd=%d\"", socket->fd);
	else
		fprintf(out, "null");
}

static void write_device_config(FILE *out, const struct config_device *dev)
{
	fprintf(out, "{\"device\": ");
	json_out_string(out, dev->bdf ? dev->bdf : "null");
	fprintf(out, ", \"endpoint\": %" PRIu32, dev->endpoint);
	write_socket(out, &dev->socket);
	fputc('}', out);
}

static int cmd_config(void *userdata, const char *arg, FILE *out,
		      const char **why)
{
	const struct agent *agent = userdata;
	const struct agent_config *config = agent->config;
	struct virtio_pvdma_config space;

	if (no_arg(arg, why) < 0)
		return -EINVAL;
	vm_config_read(agent->vm, &space);
	fprintf(out, "{\"name\": ");
	json_out_string(out, config->name);
	fprintf(out,
		", \"quota\": %" PRIu64 ", \"granule\": %" PRIu64
		", \"strategy\": \"%s\", \"fallback\": \"%s\", \"policy\": ",
		config->vm.quota, UINT64_C(1) << config->vm.granule_shift,
		strategy_name(space.strategy),
		config->vm.fallback == VM_FALLBACK_DIRECT ? "direct" : "deny");
	json_out_string(out, config->policy);
	fprintf(out,
		", \"ahead\": \"%s\", \"enforce\": \"%s\""
		", \"enforce_deadline_ms\": %" PRIu64,
		config->vm.ahead ? "on" : "off",
		config->vm.enforce == VM_ENFORCE_REVOKE ? "revoke" : "wait",
		config->vm.enforce_usec / 1000);
	fprintf(out,
		", \"iommu\": \"%s\", \"queues\": %u, \"max_ranges\": %u"
		", \"vm_tag\": %" PRIu32 ", \"vhost\": {\"queues\": %u",
		config->iommu == CONFIG_IOMMU_NULL ? "null" : "type1",
		config->vm.num_queues, config->vm.max_ranges, vm_tag(agent->vm),
		config->vm.num_queues);
	write_socket(out, &config->vhost);
	fprintf(out, "}, \"devices\": [");
	for (size_t i = 0; i < agent->num_devices; i++) {
		fputs(i == 0 ? "" : ", ", out);
		write_device_config(out, agent->devices[i].config);
	}
	fprintf(out, "]}");
	return 0;
}

const struct control_verb agent_verbs[] = {
	{ "ping", "name, process id and version", cmd_ping },
	{ "stats", "all counters", cmd_stats },
	{ "quota",
	  "the quota and what is mapped; with SIZE [TIME], set it first, TIME being the deadline for what is held above it",
	  cmd_quota },
	{ "strategy", "the strategy; with NAME, set it first", cmd_strategy },
	{ "trace",
	  "the ways of the last [N] requests, with times; recorded from the first such command on, until a minute has passed without one",
	  cmd_trace },
	{ "device-add",
	  "ADDRESS|null[,endpoint=N]: serves one device more; its listening socket and its VFIO group come along",
	  cmd_device_add },
	{ "device-remove",
	  "ENDPOINT: lets go of a device that QEMU has unplugged",
	  cmd_device_remove },
	{ "curve", "what would be lost with more quota, and with less",
	  cmd_curve },
	{ "config",
	  "the configuration: as it was at the start, but for strategy and devices",
	  cmd_config },
};
const size_t agent_num_verbs = ARRAY_SIZE(agent_verbs);
