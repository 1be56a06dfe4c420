// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * agent.c - the agent of one VM: all parts, wired to one event loop
 *
 * Owns: the VM, its devices, the servers in front of them, the backend of the
 * guest's driver, and the control socket.
 *
 * Invariant: parts are made in the order in which one needs the other (event
 * loop, IOMMU, VM, devices, servers) and go in the order that keeps the devices
 * harmless: they are reset first, and the memory goes last.
 *
 * Locks: none: one thread, one event loop. In a request's way: not.
 */
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <systemd/sd-daemon.h>
#include <time.h>

#include "agent_impl.h"
#include "device/device.h"
#include "iommu/iommu.h"
#include "iommu/null.h"
#include "lib/cleanup.h"
#include "lib/crash.h"
#include "lib/durable.h"
#include "lib/event.h"
#include "lib/log.h"
#include "price.h"
#include "sandbox.h"
#include "vfio_user/vfio_user.h"
#include "vhost/vhost.h"

#define VFIO_CONTAINER "/dev/vfio/vfio"

/* How late vm_tick() may be. */
#define TICK_ACCURACY_USEC 5000
/* How late vm_observe() may be. */
/* For so long after the curve was asked for, what it needs is looked at. */
#define OBSERVE_USEC	      30000000
#define OBSERVE_ACCURACY_USEC 10000
/* When vm_look() is called, and how late it may be. */
#define LOOK_USEC	   1000
#define LOOK_ACCURACY_USEC 100

/* --- what the VM tells us --- */

static void on_config_changed(void *userdata)
{
	struct agent *agent = userdata;

	if (agent->vhost)
		vhost_config_changed(agent->vhost);
}

static void on_work_pending(void *userdata)
{
	struct agent *agent = userdata;

	(void)sd_event_source_set_enabled(agent->work_source, SD_EVENT_ONESHOT);
}

/*
 * Where nothing is mapped ahead, there is nothing to look at. Who comes again
 * before it is time does not put it off.
 */
static void look_soon(struct agent *agent)
{
	int armed = SD_EVENT_OFF;

	if (!agent->look_source ||
	    sd_event_source_get_enabled(agent->look_source, &armed) < 0 ||
	    armed != SD_EVENT_OFF ||
	    sd_event_source_set_time_relative(agent->look_source, LOOK_USEC) <
		    0)
		return;
	(void)sd_event_source_set_enabled(agent->look_source, SD_EVENT_ONESHOT);
}

/* A piece of deferred work between other events, until all is done. */
static int on_work(sd_event_source *s, void *userdata)
{
	struct agent *agent = userdata;

	if (vm_work(agent->vm))
		(void)sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
	look_soon(agent);
	return 0;
}

static int on_look(sd_event_source *s, uint64_t usec, void *userdata)
{
	struct agent *agent = userdata;

	(void)s;
	(void)usec;
	if (vm_look(agent->vm))
		look_soon(agent);
	return 0;
}

static void on_timer(void *userdata, uint64_t when)
{
	struct agent *agent = userdata;

	(void)sd_event_source_set_enabled(agent->tick_source, SD_EVENT_OFF);
	if (when == VM_NEVER)
		return;
	(void)sd_event_source_set_time(agent->tick_source, when);
	(void)sd_event_source_set_enabled(agent->tick_source, SD_EVENT_ONESHOT);
}

static int on_tick(sd_event_source *s, uint64_t usec, void *userdata)
{
	struct agent *agent = userdata;
	uint64_t now = usec;

	(void)s;
	(void)sd_event_now(agent->event, CLOCK_MONOTONIC, &now);
	vm_tick(agent->vm, now > usec ? now : usec);
	return 0;
}

/* Only what happens while nobody asks can tell of hits. */
static int on_observe(sd_event_source *s, uint64_t usec, void *userdata)
{
	struct agent *agent = userdata;
	uint64_t now = usec;

	(void)sd_event_now(agent->event, CLOCK_MONOTONIC, &now);
	if (now >= agent->observe_until)
		return 0;
	(void)sd_event_source_set_time(s, vm_observe(agent->vm, now));
	(void)sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
	return 0;
}

void agent_observe(struct agent *agent)
{
	uint64_t now = 0;
	int armed;

	(void)sd_event_now(agent->event, CLOCK_MONOTONIC, &now);
	agent->observe_until = now + OBSERVE_USEC;
	if (sd_event_source_get_enabled(agent->observe_source, &armed) < 0 ||
	    armed != SD_EVENT_OFF)
		return;
	(void)sd_event_source_set_time(agent->observe_source, now);
	(void)sd_event_source_set_enabled(agent->observe_source,
					  SD_EVENT_ONESHOT);
}

/* --- setting up --- */

/* A timer that is not armed yet. */
static int add_timer(struct agent *agent, sd_event_source **ret,
		     uint64_t accuracy, sd_event_time_handler_t handler)
{
	int r = sd_event_add_time(agent->event, ret, CLOCK_MONOTONIC, VM_NEVER,
				  accuracy, handler, agent);

	return r < 0 ? r : sd_event_source_set_enabled(*ret, SD_EVENT_OFF);
}

/*
 * With its first timer libsystemd reads the host's id from a file, which cannot be
 * done in the sandbox. That one is for an hour; nobody waits for it.
 */
static int set_first_timer(sd_event *event)
{
	sd_event_source *timer = NULL;
	int r = sd_event_add_time_relative(event, &timer, CLOCK_MONOTONIC,
					   UINT64_C(3600000000), 1000000, NULL,
					   NULL);

	if (r >= 0)
		r = sd_event_run(event, 0);
	sd_event_source_disable_unref(timer);
	return r;
}

static int open_event(struct agent *agent)
{
	int r = event_new(&agent->event);

	if (r >= 0)
		r = set_first_timer(agent->event);
	if (r < 0)
		return r;
	r = sd_event_add_defer(agent->event, &agent->work_source, on_work,
			       agent);
	if (r < 0)
		return r;
	r = sd_event_source_set_enabled(agent->work_source, SD_EVENT_OFF);
	if (r < 0)
		return r;
	r = add_timer(agent, &agent->tick_source, TICK_ACCURACY_USEC, on_tick);
	if (r < 0)
		return r;
	r = add_timer(agent, &agent->observe_source, OBSERVE_ACCURACY_USEC,
		      on_observe);
	if (r < 0 || !agent->config->vm.ahead)
		return r;
	return add_timer(agent, &agent->look_source, LOOK_ACCURACY_USEC,
			 on_look);
}

/* Each MSI-X vector and connection takes a descriptor. */
static void raise_nofile(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
}

static int open_type1(struct agent *agent)
{
	int fd = agent->config->container_fd, r;

	if (agent->resuming) {
		fd = keeper_find(agent->keeper, KEEPER_CONTAINER, 0);
		if (fd >= 0)
			fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
		if (fd < 0) {
			log_err("the service manager has not kept the VFIO container");
			return -EBADF;
		}
	}
	/* Else pvdmad is asked for it first (agent_resume()). */
	if (!agent->resuming)
		(void)memlock_prepare(agent->config->vm.quota);
	if (fd < 0)
		fd = open(VFIO_CONTAINER, O_RDWR | O_CLOEXEC);
	else if (!agent->resuming && fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
		return log_err_errno(errno, "container-fd=%d", fd);
	if (fd < 0)
		return log_err_errno(errno,
				     "cannot open " VFIO_CONTAINER ": "
				     "is the module vfio loaded, and may this "
				     "user open it?");
	r = type1_new(fd, &agent->iommu);
	if (r < 0)
		close_fd(fd);
	else
		agent->iommu_fd = fd;
	return r;
}

/* What the null IOMMU maps goes on without us, as what a real one maps does. */
static int keep_null(struct agent *agent)
{
	int fd, r;

	if (!keeper_active(agent->keeper))
		return 0;
	if (agent->resuming) {
		fd = keeper_find(agent->keeper, KEEPER_IOMMU, 0);
		if (fd < 0)
			return log_err_errno(
				EBADF,
				"the service manager has not kept the null IOMMU");
		return null_iommu_keep(agent->iommu, fd);
	}
	fd = memfd_create("pvdma-null-iommu", MFD_CLOEXEC);
	r = fd < 0 ? -errno : null_iommu_keep(agent->iommu, fd);
	agent->iommu_fd = fd;
	return r;
}

static int open_iommu(struct agent *agent)
{
	int r;

	if (agent->config->iommu == CONFIG_IOMMU_TYPE1)
		return open_type1(agent);
	r = null_iommu_new(agent->config->null_entries,
			   agent->config->null_bytes, &agent->iommu);
	if (r < 0)
		return log_err_errno(r, "cannot make the null IOMMU");
	r = keep_null(agent);
	if (r < 0)
		return log_err_errno(r, "cannot make the null IOMMU");
	log_notice("iommu=null: nothing is mapped for real");
	return 0;
}

/* Is all there that the process before noted? 0 or -EUCLEAN, logged. */
static int check_lost(const struct kept_root *kept)
{
	if (kept->lost == 0)
		return 0;
	log_err("the agent before this one cannot be followed: %" PRIu64
		" of its descriptors had no room in the service manager's store; raise FileDescriptorStoreMax=",
		kept->lost);
	return -EUCLEAN;
}

/* The VM is there, and with it the state: from here on it is kept. */
static int keep_state(struct agent *agent)
{
	struct state *state = vm_state(agent->vm);
	bool null = agent->config->iommu == CONFIG_IOMMU_NULL;
	uint64_t id;
	int r;

	agent->kept = kept_root(state);
	keeper_count_in(agent->keeper, &agent->kept->counter,
			&agent->kept->lost);
	if (agent->resuming)
		return check_lost(agent->kept);
	kept_write_config(agent->kept, agent->config);
	crash_point("state");
	r = keeper_put_state(agent->keeper, state_fd(state));
	if (r < 0)
		return r;
	crash_point("state-kept");
	id = keeper_put(agent->keeper, null ? KEEPER_IOMMU : KEEPER_CONTAINER,
			agent->iommu_fd);
	if (null) {
		agent->kept->null_iommu = id;
		agent->iommu_fd = close_fd(agent->iommu_fd);
	} else {
		agent->kept->container = id;
	}
	return 0;
}

static int open_vm(struct agent *agent, int fd)
{
	struct vm_config config = agent->config->vm;
	const struct vm_notify notify = {
		.config_changed = on_config_changed,
		.work_pending = on_work_pending,
		.timer = on_timer,
		.userdata = agent,
	};
	int r;

	/* does not block once the system is up; if not, no harm */
	if (getrandom(&config.seed, sizeof(config.seed), GRND_NONBLOCK) !=
	    sizeof(config.seed))
		config.seed =
			(uint64_t)(uintptr_t)agent * 0x9e3779b97f4a7c15ULL;
	config.extra_size = kept_extra_size();
	config.sparse_size = kept_sparse_size();
	config.state_fd = agent->resuming ? fd : 0;
	r = vm_new(&config, agent->iommu, &notify, &agent->vm);
	if (r < 0) {
		close_fd(fd);
		iommu_free(agent->iommu);
		agent->iommu = NULL;
		return log_err_errno(r, "cannot set the VM up");
	}
	return keep_state(agent);
}

/*
 * What mapping costs here. Not before the devices: with the first group the
 * container gets its IOMMU; nor after their servers were asked for anything, which
 * those of the process before were. The quota holds already.
 */
static void measure_price(struct agent *agent)
{
	struct price price;
	uint64_t most;

	if (!agent->config->vm.ahead || agent->resuming ||
	    agent->config->iommu != CONFIG_IOMMU_TYPE1)
		return;
	price_init(&price);
	most = price_measure(&price, agent->iommu, agent->config->vm.quota);
	if (most == 0) {
		log_info(
			"ahead=on: what mapping costs here could not be measured within the quota; it is assumed");
		return;
	}
	vm_set_price(agent->vm, &price);
	log_info("mapping costs %" PRIu64 " ns for 4 KiB, %" PRIu64
		 " ns for 2 MiB (measured up to %" PRIu64 " KiB)",
		 price.map[0], price.map[PRICE_SIZES - 1], most >> 10);
}

static int open_vhost(struct agent *agent)
{
	const struct agent_config *config = agent->config;
	int fd, r;

	if (agent->resuming && agent->kept->vhost.id == 0)
		return 0;
	if (!agent->resuming && !config->vhost.path && config->vhost.fd < 0)
		return 0;
	if (agent->resuming)
		fd = kept_claim_socket(agent->keeper, &agent->kept->vhost,
				       &agent->vhost_name);
	else
		fd = agent_open_socket(agent, &config->vhost, "vhost-fd",
				       &agent->vhost_name);
	if (fd < 0)
		return fd;
	if (!agent->resuming)
		kept_put_socket(agent->keeper, &agent->kept->vhost, fd,
				&agent->vhost_name);
	r = vhost_new_kept(agent->event, fd, agent->vm,
			   vm_get_config(agent->vm)->num_queues, agent->keeper,
			   kept_vhost(vm_state(agent->vm)), &agent->vhost);
	if (r < 0) {
		close_fd(fd);
		return log_err_errno(r, "cannot serve vhost-user");
	}
	vhost_set_poll(agent->vhost, (uint64_t)config->poll_us * 1000);
	return 0;
}

/* The control socket is the operator's alone, whoever owns the others. */
static int open_control(struct agent *agent)
{
	static const struct socket_access access = {
		.mode = 0600,
		.uid = (uid_t)-1,
		.gid = (gid_t)-1,
	};
	const struct config_socket *socket = &agent->config->control;
	int fd, r;

	if (agent->resuming && agent->kept->control.id == 0)
		return 0;
	if (agent->resuming)
		fd = kept_claim_socket(agent->keeper, &agent->kept->control,
				       &agent->control_name);
	else if (socket->fd >= 0)
		fd = socket_adopt(socket->fd, "control-fd");
	else if (socket->path)
		fd = socket_listen(socket->path, &access, &agent->control_name);
	else
		return 0;
	if (fd < 0)
		return fd;
	if (!agent->resuming)
		kept_put_socket(agent->keeper, &agent->kept->control, fd,
				&agent->control_name);
	r = control_new(agent->event, fd, agent_verbs, agent_num_verbs, agent,
			&agent->control);
	if (r < 0) {
		close_fd(fd);
		return log_err_errno(r, "cannot serve the control socket");
	}
	return 0;
}

static int enter_sandbox(const struct agent *agent)
{
#ifdef __SANITIZE_ADDRESS__
	(void)agent;
	return 0; /* the sanitizer opens files at the end */
#else
	bool unlinks = agent->vhost_name.path || agent->control_name.path;

	if (agent->config->sandbox == CONFIG_SANDBOX_OFF)
		return 0;
	for (size_t i = 0; i < agent->num_devices; i++)
		unlinks |= agent->devices[i].name.path != NULL;
	return sandbox_enter(unlinks,
			     agent->config->sandbox == CONFIG_SANDBOX_KILL);
#endif
}

static int open_all(struct agent *agent, int state_fd)
{
	int r = open_event(agent);

	if (r < 0)
		log_err_errno(r, "cannot set the event loop up");
	if (r >= 0)
		r = open_iommu(agent);
	if (r < 0) {
		close_fd(state_fd);
		return r;
	}
	r = open_vm(agent, state_fd);
	if (r >= 0)
		r = agent->resuming ? devices_reopen(agent) :
				      devices_open(agent);
	if (r >= 0) {
		measure_price(agent);
		r = open_vhost(agent);
	}
	if (r >= 0)
		r = open_control(agent);
	if (r >= 0 && agent->resuming)
		r = agent_resume(agent);
	return r;
}

int agent_new(const struct agent_config *config, struct keeper *keeper,
	      int state_fd, struct agent **ret)
{
	struct agent *agent = calloc(1, sizeof(*agent));
	int r;

	if (!agent)
		return log_err_errno(ENOMEM, "cannot start");
	agent->config = config;
	agent->keeper = keeper;
	agent->resuming = state_fd >= 0;
	agent->iommu_fd = -EBADF;
	log_set_vm(config->name);
	raise_nofile();
	r = open_all(agent, state_fd);
	/* In the sandbox nothing can be opened. */
	agent->status = fopen("/proc/self/status", "re");
	if (r >= 0)
		r = enter_sandbox(agent);
	if (r < 0) {
		/* Nothing of it may go on, least of all the mappings. */
		if (state_fd >= 0)
			kept_clean_up(keeper);
		agent_free(agent);
		return r;
	}
	if (agent->resuming)
		agent_go_on(agent);
	durable_store(&agent->kept->complete, 1u);
	*ret = agent;
	return 0;
}

int agent_run(struct agent *agent)
{
	int r;

	log_info("serving VM %s: %zu device(s), quota %" PRIu64 " bytes",
		 agent->config->name, agent->num_devices,
		 agent->config->vm.quota);
	(void)sd_notifyf(0, "READY=1\nSTATUS=Serving VM %s, %zu device(s).",
			 agent->config->name, agent->num_devices);
	r = sd_event_loop(agent->event);
	(void)sd_notify(0, "STOPPING=1\nSTATUS=Resetting devices.");
	if (r < 0)
		return log_err_errno(r, "the event loop failed");
	log_info("stopping");
	return 0;
}

/* Nobody is to go on with this. */
static void forget_state(struct agent *agent)
{
	struct kept_root *kept = agent->kept;

	if (!kept)
		return;
	durable_store(&kept->complete, 0u);
	kept_drop_socket(agent->keeper, &kept->vhost);
	kept_drop_socket(agent->keeper, &kept->control);
	keeper_drop(agent->keeper, kept->container);
	keeper_drop(agent->keeper, kept->null_iommu);
}

void agent_free(struct agent *agent)
{
	if (!agent)
		return;
	for (size_t i = 0; i < agent->num_devices; i++)
		if (agent->devices[i].device)
			(void)device_reset(agent->devices[i].device);
	control_free(agent->control);
	socket_name_done(&agent->control_name);
	/* The servers take the memory back while the driver can be told. */
	devices_close(agent);
	vhost_free(agent->vhost);
	socket_name_done(&agent->vhost_name);
	forget_state(agent);
	if (!agent->vm)
		iommu_free(agent->iommu);
	vm_free(agent->vm);
	keeper_clear(agent->keeper);
	sd_event_source_disable_unref(agent->work_source);
	sd_event_source_disable_unref(agent->tick_source);
	sd_event_source_disable_unref(agent->look_source);
	sd_event_source_disable_unref(agent->trace_source);
	sd_event_source_disable_unref(agent->observe_source);
	sd_event_unref(agent->event);
	if (agent->status)
		(void)fclose(agent->status);
	free(agent);
}
