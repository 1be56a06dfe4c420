// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * config.c - the agent's options: names, values, and what they mean together
 *
 * Owns: the table of options, which is the same for the command line, for the
 * configuration file and for --help.
 *
 * Invariant: after config_finish() all values are within their bounds, and no
 * path, descriptor, device or endpoint is used twice.
 *
 * Locks: none. In a request's way: not.
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "config_device.h"
#include "lib/cleanup.h"
#include "lib/handover.h"
#include "lib/log.h"
#include "lib/macros.h"
#include "lib/owner.h"
#include "lib/parse.h"
#include "policy/policy.h"
#include "strategy.h"

#define QUEUES_MAX  64
#define RANGES_MAX  4096
#define POLL_MAX_US 1000000

struct option {
	const char *key;
	const char *arg;
	/* 0, -EINVAL, -ERANGE, -ENODATA; *@why may say more. */
	int (*set)(struct agent_config *config, const char *value,
		   const char **why);
	const char *expected;
	bool repeats;
};

static int replace_string(char **to, const char *value)
{
	char *copy;

	if (*value == '\0')
		return -ENODATA;
	copy = strdup(value);
	if (!copy)
		return -ENOMEM;
	free(*to);
	*to = copy;
	return 0;
}

/* The index of @value in a list of @n words. */
static int parse_word(const char *value, const char *const *words, size_t n,
		      size_t *ret)
{
	for (size_t i = 0; i < n; i++) {
		if (strcmp(value, words[i]) == 0) {
			*ret = i;
			return 0;
		}
	}
	return -EINVAL;
}

static int set_name(struct agent_config *config, const char *value,
		    const char **why)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz"
				      "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789-_.";

	(void)why;
	if (strlen(value) > 64 || value[strspn(value, allowed)] != '\0')
		return -EINVAL;
	return replace_string(&config->name, value);
}

static int set_quota(struct agent_config *config, const char *value,
		     const char **why)
{
	int r = parse_size(value, &config->vm.quota);

	(void)why;
	if (r == 0)
		config->has_quota = true;
	return r;
}

static int set_granule(struct agent_config *config, const char *value,
		       const char **why)
{
	uint64_t size;
	int r = parse_size(value, &size);

	(void)why;
	if (r < 0)
		return r;
	if (!is_power_of_2(size))
		return -EINVAL;
	if (size < 1ULL << VIRTIO_PVDMA_GRANULE_SHIFT_MIN ||
	    size > 1ULL << VIRTIO_PVDMA_GRANULE_SHIFT_MAX)
		return -ERANGE;
	config->vm.granule_shift = (uint8_t)__builtin_ctzll(size);
	return 0;
}

static int set_strategy(struct agent_config *config, const char *value,
			const char **why)
{
	(void)why;
	return strategy_parse(value, &config->vm.strategy);
}

static int set_fallback(struct agent_config *config, const char *value,
			const char **why)
{
	static const char *const words[] = {
		[VM_FALLBACK_DENY] = "deny",
		[VM_FALLBACK_DIRECT] = "direct",
	};
	size_t i;

	(void)why;
	if (parse_word(value, words, ARRAY_SIZE(words), &i) < 0)
		return -EINVAL;
	config->vm.fallback = (enum vm_fallback)i;
	return 0;
}

static int set_ahead(struct agent_config *config, const char *value,
		     const char **why)
{
	static const char *const words[] = { "off", "on" };
	size_t i;

	(void)why;
	if (parse_word(value, words, ARRAY_SIZE(words), &i) < 0)
		return -EINVAL;
	config->vm.ahead = i == 1;
	return 0;
}

static int set_sandbox(struct agent_config *config, const char *value,
		       const char **why)
{
	static const char *const words[] = {
		[CONFIG_SANDBOX_OFF] = "off",
		[CONFIG_SANDBOX_ON] = "on",
		[CONFIG_SANDBOX_KILL] = "kill",
	};
	size_t i;

	(void)why;
	if (parse_word(value, words, ARRAY_SIZE(words), &i) < 0)
		return -EINVAL;
	config->sandbox = (enum config_sandbox)i;
	return 0;
}

static int set_poll(struct agent_config *config, const char *value,
		    const char **why)
{
	uint32_t us;
	int r = parse_u32(value, &us);

	(void)why;
	if (r < 0)
		return r;
	if (us > POLL_MAX_US)
		return -ERANGE;
	config->poll_us = us;
	return 0;
}

static int set_enforce(struct agent_config *config, const char *value,
		       const char **why)
{
	static const char *const words[] = {
		[VM_ENFORCE_WAIT] = "wait",
		[VM_ENFORCE_REVOKE] = "revoke",
	};
	size_t i;

	(void)why;
	if (parse_word(value, words, ARRAY_SIZE(words), &i) < 0)
		return -EINVAL;
	config->vm.enforce = (enum vm_enforce)i;
	return 0;
}

static int set_enforce_deadline(struct agent_config *config, const char *value,
				const char **why)
{
	uint64_t usec;
	int r = parse_duration(value, &usec);

	(void)why;
	if (r < 0)
		return r;
	if (usec > CONFIG_DEADLINE_MAX_USEC)
		return -ERANGE;
	config->vm.enforce_usec = usec;
	return 0;
}

static int set_policy(struct agent_config *config, const char *value,
		      const char **why)
{
	(void)why;
	for (const char *const *name = policy_names(); *name; name++)
		if (strcmp(value, *name) == 0)
			return replace_string(&config->policy, value);
	return -EINVAL;
}

static int set_iommu(struct agent_config *config, const char *value,
		     const char **why)
{
	return config_parse_iommu(config, value, why);
}

static int set_device(struct agent_config *config, const char *value,
		      const char **why)
{
	return config_add_device(config, value, why);
}

static int set_path(struct config_socket *socket, const char *value,
		    const char **why)
{
	int r = config_check_path(value, why);

	return r < 0 ? r : replace_string(&socket->path, value);
}

static int set_vhost_socket(struct agent_config *config, const char *value,
			    const char **why)
{
	return set_path(&config->vhost, value, why);
}

static int set_vhost_fd(struct agent_config *config, const char *value,
			const char **why)
{
	return config_parse_fd(value, &config->vhost.fd, why);
}

static int set_control(struct agent_config *config, const char *value,
		       const char **why)
{
	return set_path(&config->control, value, why);
}

static int set_control_fd(struct agent_config *config, const char *value,
			  const char **why)
{
	return config_parse_fd(value, &config->control.fd, why);
}

static int set_container_fd(struct agent_config *config, const char *value,
			    const char **why)
{
	return config_parse_fd(value, &config->container_fd, why);
}

static int set_u16(uint16_t *to, const char *value, uint16_t max)
{
	uint64_t v;
	int r = parse_uint(value, 1, max, &v);

	if (r == 0)
		*to = (uint16_t)v;
	return r;
}

static int set_queues(struct agent_config *config, const char *value,
		      const char **why)
{
	(void)why;
	return set_u16(&config->vm.num_queues, value, QUEUES_MAX);
}

static int set_max_ranges(struct agent_config *config, const char *value,
			  const char **why)
{
	(void)why;
	return set_u16(&config->vm.max_ranges, value, RANGES_MAX);
}

static int set_socket_mode(struct agent_config *config, const char *value,
			   const char **why)
{
	char *end;
	unsigned long mode;

	(void)why;
	if (*value < '0' || *value > '7')
		return -EINVAL;
	mode = strtoul(value, &end, 8);
	if (*end != '\0')
		return -EINVAL;
	if (mode > 0777)
		return -ERANGE;
	config->socket_mode = (mode_t)mode;
	return 0;
}

static int set_socket_owner(struct agent_config *config, const char *value,
			    const char **why)
{
	return owner_parse(value, &config->socket_uid, &config->socket_gid,
			   why);
}

static int set_log_level(struct agent_config *config, const char *value,
			 const char **why)
{
	(void)why;
	return log_level_from_string(value, &config->log_level);
}

static const struct option options[] = {
	{ "name", "NAME", set_name,
	  "the VM's name: up to 64 letters, digits, '-', '_', '.'", false },
	{ "quota", "SIZE", set_quota,
	  "bytes that may be mapped at once, such as 256M; 0: nothing", false },
	{ "granule", "SIZE", set_granule,
	  "unit of mapping, a power of two from 4K (default) to 2M", false },
	{ "strategy", "NAME", set_strategy,
	  "single-use, shared, deferred, on-demand (default), persistent or direct-map",
	  false },
	{ "fallback", "NAME", set_fallback,
	  "without a guest driver: deny (default) or direct", false },
	{ "enforce", "NAME", set_enforce,
	  "what is held above a lowered quota: wait (default) or revoke",
	  false },
	{ "enforce-deadline", "TIME", set_enforce_deadline,
	  "time to give it up, such as 2s, up to 60min (default 500ms)",
	  false },
	{ "ahead", "WHETHER", set_ahead,
	  "map what is probably asked for next: on (default) or off", false },
	{ "poll", "MICROSECONDS", set_poll,
	  "look for requests before waiting for a kick, up to 1000000 (default 200; 0: never)",
	  false },
	{ "policy", "NAME", set_policy,
	  "who is evicted: reuse (default), clock or slru", false },
	{ "iommu", "SPEC", set_iommu,
	  "type1 (default) or null[,entries=N][,bytes=SIZE]", false },
	{ "device", "SPEC", set_device,
	  "BDF|null,socket=PATH|fd=N[,endpoint=N][,group-fd=N][,device-fd=N]",
	  true },
	{ "vhost-socket", "PATH", set_vhost_socket,
	  "where the vhost-user backend listens, up to 107 bytes", false },
	{ "vhost-fd", "N", set_vhost_fd,
	  "the same as an open descriptor: a stream socket", false },
	{ "container-fd", "N", set_container_fd,
	  "an open VFIO container (default: /dev/vfio/vfio)", false },
	{ "control", "PATH", set_control,
	  "where the control socket listens, up to 107 bytes", false },
	{ "control-fd", "N", set_control_fd,
	  "the same as an open descriptor: a listening socket", false },
	{ "queues", "N", set_queues,
	  "request queues, 1 to 64 (default 2); as QEMU's num_vqs", false },
	{ "max-ranges", "N", set_max_ranges,
	  "items of one request, 1 to 4096 (default 256)", false },
	{ "socket-mode", "MODE", set_socket_mode,
	  "permissions of the sockets for QEMU, octal (default 0600)", false },
	{ "socket-owner", "USER", set_socket_owner,
	  "their owner: USER, USER:GROUP or :GROUP", false },
	{ "sandbox", "WHETHER", set_sandbox,
	  "refuse itself the system calls that it does not need to serve: on (default), kill (end if one is made) or off",
	  false },
	{ "log-level", "LEVEL", set_log_level,
	  "err, warning, notice, info (default) or debug", false },
};

static const struct option *find_option(const char *key)
{
	for (size_t i = 0; i < ARRAY_SIZE(options); i++)
		if (strcmp(options[i].key, key) == 0)
			return &options[i];
	return NULL;
}

void config_init(struct agent_config *config)
{
	*config = (struct agent_config){
		.vm = {
			.granule_shift = VIRTIO_PVDMA_GRANULE_SHIFT_MIN,
			.strategy = VIRTIO_PVDMA_S_ON_DEMAND,
			.fallback = VM_FALLBACK_DENY,
			.enforce = VM_ENFORCE_WAIT,
			.enforce_usec = 500000,
			.ahead = true,
			.num_queues = 2,
			.max_ranges = 256,
		},
		.poll_us = 200,
		.sandbox = CONFIG_SANDBOX_ON,
		.iommu = CONFIG_IOMMU_TYPE1,
		.vhost.fd = -EBADF,
		.control.fd = -EBADF,
		.container_fd = -EBADF,
		.socket_mode = 0600,
		.socket_uid = (uid_t)-1,
		.socket_gid = (gid_t)-1,
		.log_level = LOG_INFO,
	};
}

void config_done(struct agent_config *config)
{
	for (size_t i = 0; i < config->num_devices; i++) {
		free(config->devices[i].bdf);
		free(config->devices[i].socket.path);
	}
	free(config->devices);
	free(config->name);
	free(config->handover);
	free(config->policy);
	free(config->vhost.path);
	free(config->control.path);
	config_init(config);
}

int config_set(struct agent_config *config, const struct settings_place *place,
	       const char *key, const char *value)
{
	const struct option *option = find_option(key);
	const char *why = NULL;
	char where[SETTINGS_PLACE_MAX];
	int r;

	if (!option) {
		log_err("%s: %s=%s: there is no option of this name; --help "
			"lists them",
			settings_place_text(place, where, sizeof(where)), key,
			value);
		return -ENOENT;
	}
	r = option->set(config, value, &why);
	if (r == -ENOMEM)
		return log_err_errno(r, "cannot keep the configuration");
	if (r < 0) {
		log_err("%s: %s=%s: %s; expected %s",
			settings_place_text(place, where, sizeof(where)), key,
			value, why ? why : parse_strerror(r), option->expected);
		return -EINVAL;
	}
	return 0;
}

static int set_from_file(void *userdata, const struct settings_place *place,
			 const char *key, const char *value)
{
	return config_set(userdata, place, key, value);
}

static bool key_repeats(const char *key)
{
	const struct option *option = find_option(key);

	return option && option->repeats;
}

int config_load(struct agent_config *config, const char *path)
{
	const struct settings_reader reader = {
		.set = set_from_file,
		.repeats = key_repeats,
		.userdata = config,
	};

	return settings_load(&reader, path);
}

int config_take_handover(struct agent_config *config, const char *path)
{
	const struct settings_reader reader = {
		.set = set_from_file,
		.repeats = key_repeats,
		.userdata = config,
	};
	_cleanup_free_ char *text = NULL;
	_cleanup_fclose_ FILE *f = NULL;
	int r = replace_string(&config->handover, path);

	if (r == 0)
		r = handover_receive(path, &text);
	if (r < 0)
		return r;
	f = fmemopen(text, strlen(text), "r");
	if (!f)
		return log_err_errno(errno, "cannot read the handover");
	return settings_load_stream(&reader, f, "handover");
}

int config_finish(struct agent_config *config)
{
	static const struct settings_place nowhere = { 0 };
	int r = 0;

	if (!config->name &&
	    (r = config_set(config, &nowhere, "name", "pvdma")) < 0)
		return r;
	if (!config->policy &&
	    (r = config_set(config, &nowhere, "policy", policy_names()[0])) < 0)
		return r;
	config->vm.policy = config->policy;
	if (!config->has_quota) {
		log_err("quota is not set: give the bytes that may be mapped "
			"at once, such as quota=256M");
		r = -EINVAL;
	}
	if (config_finish_sockets(config) < 0)
		r = -EINVAL;
	if (config_finish_devices(config) < 0)
		r = -EINVAL;
	return r;
}

void config_help(FILE *out)
{
	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		int n = fprintf(out, "  --%s %s", options[i].key,
				options[i].arg);

		fprintf(out, "%*s%s%s\n", n < 23 ? 23 - n : 1, "",
			options[i].expected,
			options[i].repeats ? " (repeatable)" : "");
	}
}
