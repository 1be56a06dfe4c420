// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * session.c: which messages there are, and in which order a client may send
 * them.
 *
 * Owns the connection of one client and what it negotiated. A message is
 * received whole (message.c), held against the table below, handled (info.c,
 * region.c, irq.c, dma.c), and answered before the next one is looked at.
 *
 * Invariants: every command that does not waive its reply is answered exactly
 * once, with an error and nothing else if it was refused; a client that does
 * not read its replies is not read from either; a handler sees only messages
 * within the bounds of the table. When the session ends, the device stops
 * before the memory that it could reach goes.
 *
 * Locks: none; one event loop.
 *
 * In a request's way: not at all. But a message that changes the memory
 * layout has effects on mappings before its reply goes out (vm.h).
 */
#include "vfio_user/session.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "device/device.h"
#include "lib/cleanup.h"
#include "lib/crash.h"
#include "lib/durable.h"
#include "lib/keeper.h"
#include "lib/log.h"
#include "lib/macros.h"
#include "vfio_user/session_impl.h"
#include "vfio_user/vfio_user.h"
#include "vm.h"

#define REGION_WRITE_MAX (sizeof(struct vfio_user_region_access) + VFU_XFER_MAX)

struct command {
	const char *name;
	vfu_handler_fn *handler;
	size_t size_min; /* of the body, bytes */
	size_t size_max;
	unsigned int fds_max;
};

static vfu_handler_fn negotiate;
static vfu_handler_fn reset;

/*
 * The requests for information may be longer than we know: a later revision
 * may have added fields at their ends.
 */
static const struct command commands[VFIO_USER_COMMANDS] = {
	[VFIO_USER_VERSION] = { "VERSION", negotiate,
				sizeof(struct vfio_user_version), 65536, 0 },
	[VFIO_USER_DMA_MAP] = { "DMA_MAP", vfu_dma_map,
				sizeof(struct vfio_user_dma_map),
				sizeof(struct vfio_user_dma_map), 1 },
	[VFIO_USER_DMA_UNMAP] = { "DMA_UNMAP", vfu_dma_unmap,
				  sizeof(struct vfio_user_dma_unmap),
				  sizeof(struct vfio_user_dma_unmap), 0 },
	[VFIO_USER_DEVICE_GET_INFO] = { "DEVICE_GET_INFO", vfu_get_info,
					sizeof(struct vfio_user_device_info),
					4096, 0 },
	[VFIO_USER_DEVICE_GET_REGION_INFO] = { "DEVICE_GET_REGION_INFO",
					       vfu_get_region_info,
					       sizeof(struct vfio_region_info),
					       4096, 0 },
	[VFIO_USER_DEVICE_GET_REGION_IO_FDS] = { "DEVICE_GET_REGION_IO_FDS",
						 vfu_get_region_io_fds,
						 sizeof(struct vfio_user_region_io_fds),
						 4096, 0 },
	[VFIO_USER_DEVICE_GET_IRQ_INFO] = { "DEVICE_GET_IRQ_INFO",
					    vfu_get_irq_info,
					    sizeof(struct vfio_irq_info), 4096,
					    0 },
	[VFIO_USER_DEVICE_SET_IRQS] = { "DEVICE_SET_IRQS", vfu_set_irqs,
					sizeof(struct vfio_user_irq_set), 65536,
					VFU_FDS_MAX },
	[VFIO_USER_REGION_READ] = { "REGION_READ", vfu_region_read,
				    sizeof(struct vfio_user_region_access),
				    sizeof(struct vfio_user_region_access), 0 },
	[VFIO_USER_REGION_WRITE] = { "REGION_WRITE", vfu_region_write,
				     sizeof(struct vfio_user_region_access),
				     REGION_WRITE_MAX, 0 },
	[VFIO_USER_DEVICE_RESET] = { "DEVICE_RESET", reset, 0, 0, 0 },
	[VFIO_USER_REGION_WRITE_MULTI] = { "REGION_WRITE_MULTI",
					   vfu_region_write_multi,
					   sizeof(struct vfio_user_region_write_multi),
					   REGION_WRITE_MAX, 0 },
};

static const struct command *find_command(uint16_t number)
{
	if (number >= ARRAY_SIZE(commands) || !commands[number].handler)
		return NULL;
	return &commands[number];
}

/* All but the channel. NULL: no memory. */
static struct vfu_session *make(struct device *dev, struct vm *vm,
				uint32_t endpoint,
				struct vfio_user_stats *stats,
				struct vfu_state *state)
{
	static uintptr_t sources; /* one loop: sessions are made by it alone */
	struct vfu_session *session = calloc(1, sizeof(*session));

	if (!session)
		return NULL;
	session->source = (const void *)++sources;
	session->s = state ? state : &session->own;
	session->dev = dev;
	session->vm = vm;
	session->endpoint = endpoint;
	session->stats = stats;
	return session;
}

int vfu_session_new(int fd, struct device *dev, struct vm *vm,
		    uint32_t endpoint, struct vfio_user_stats *stats,
		    struct vfu_session **ret)
{
	struct vfu_session *session = make(dev, vm, endpoint, stats, NULL);

	if (!session)
		return -ENOMEM;
	vfu_channel_init(&session->channel, fd);
	*ret = session;
	return 0;
}

int vfu_session_new_kept(int fd, struct device *dev, struct vm *vm,
			 uint32_t endpoint, struct vfio_user_stats *stats,
			 struct vfu_state *state, const struct vfu_room *room,
			 struct vfu_session **ret)
{
	struct vfu_session *session = make(dev, vm, endpoint, stats, state);

	if (!session)
		return -ENOMEM;
	memset(state, 0, sizeof(*state));
	session->keeper = room->keeper;
	vfu_channel_init_kept(&session->channel, fd, room);
	durable_store(&state->connection,
		      keeper_put(room->keeper, KEEPER_CLIENT, fd));
	crash_point("vfu-connected");
	*ret = session;
	return 0;
}

/* What was written over a message that has been executed. */
static void finish_message(struct vfu_session *session)
{
	struct vfu_state *s = session->s;

	s->writes_begun = 0;
	s->writes_done = 0;
	durable_store(&s->phase, (uint32_t)VFU_IDLE);
}

int vfu_session_resume(int fd, struct device *dev, struct vm *vm,
		       uint32_t endpoint, struct vfio_user_stats *stats,
		       struct vfu_state *state, const struct vfu_room *room,
		       struct vfu_session **ret)
{
	struct vfu_session *session;
	bool executed;
	int r;

	if (state->phase > VFU_EXECUTED)
		return -EUCLEAN;
	session = make(dev, vm, endpoint, stats, state);
	if (!session)
		return -ENOMEM;
	session->keeper = room->keeper;
	executed = state->phase == VFU_EXECUTED ||
		   (state->phase == VFU_EXECUTING && state->wire.out_size > 0);
	r = vfu_channel_resume(&session->channel, fd, room, executed);
	if (r < 0) {
		free(session);
		return r;
	}
	session->again = state->phase == VFU_EXECUTING && !executed;
	/* it is over for who refuses VERSION, and that is done again */
	if (session->again)
		state->over = false;
	if (executed)
		finish_message(session);
	if (state->wire.out_size > 0 && state->wire.out_region > 0)
		session->channel.out_fd =
			device_mmap_fd(dev, state->wire.out_region - 1);
	*ret = session;
	return 0;
}

void vfu_session_free(struct vfu_session *session)
{
	uint64_t id;

	if (!session)
		return;
	if (session->s->negotiated) {
		device_quiesce(session->dev);
		vm_endpoint_remove(session->vm, session->endpoint);
		(void)vm_memory_drop(session->vm, session->source);
	}
	crash_point("vfu-closing");
	vfu_dma_drop(session);
	vfu_dma_done(&session->dma);
	session->s->negotiated = false;
	vfu_channel_done(&session->channel);
	/* Last of all: who goes on finds the connection closed, and does this. */
	id = session->s->connection;
	durable_store(&session->s->connection, (uint64_t)0);
	keeper_drop(session->keeper, id);
	free(session);
}

void *vfu_reply_payload(struct vfu_session *session, struct vfu_reply *reply,
			size_t size)
{
	reply->size = size;
	return vfu_channel_payload(&session->channel, size);
}

/* Whatever goes wrong here is said to the client, and is the end. */
static int negotiate(struct vfu_session *session, struct vfu_message *msg,
		     struct vfu_reply *reply)
{
	char text[VFU_CAPABILITIES_TEXT_MAX];
	struct vfio_user_version version;
	struct vfu_capabilities client;
	uint8_t *payload;
	size_t len;
	int r;

	session->s->over = true;
	memcpy(&version, msg->body, sizeof(version));
	if (version.major != VFIO_USER_MAJOR) {
		log_ratelimited(LOG_ERR,
				"vfio-user: the client speaks version %u.%u, "
				"we speak %d.%d",
				version.major, version.minor, VFIO_USER_MAJOR,
				VFIO_USER_MINOR);
		return EPROTONOSUPPORT;
	}
	version.minor = min(version.minor, (uint16_t)VFIO_USER_MINOR);
	r = vfu_capabilities_parse(msg->body + sizeof(version),
				   msg->size - sizeof(version), &client);
	if (r)
		return r;
	len = vfu_capabilities_format(&client, text);
	payload = vfu_reply_payload(session, reply, sizeof(version) + len);
	if (!payload)
		return -ENOMEM;
	memcpy(payload, &version, sizeof(version));
	memcpy(payload + sizeof(version), text, len);

	r = vm_endpoint_add(session->vm, session->endpoint);
	crash_point("vfu-endpoint");
	if (r == -EEXIST && session->again)
		r = 0;
	if (r < 0) {
		log_ratelimited(LOG_ERR, "cannot add %s as endpoint %u: %s",
				device_name(session->dev), session->endpoint,
				strerror(-r));
		return r;
	}
	session->s->client = client;
	session->s->over = false;
	durable_store(&session->s->negotiated, (uint8_t) true);
	return 0;
}

/*
 * A VM that reboots resets its devices before it announces its memory anew.
 * The device first: what it still does must not run into mappings that go.
 */
static int reset(struct vfu_session *session, struct vfu_message *msg,
		 struct vfu_reply *reply)
{
	int r;

	(void)msg;
	(void)reply;
	session->stats->resets++;
	session->s->told_denied = false;
	r = device_reset(session->dev);
	vm_endpoint_reset(session->vm, session->endpoint);
	return r;
}

/* Whether the message is one that may be handled: 0 or a positive errno. */
static int check(const struct vfu_session *session,
		 const struct vfu_message *msg, const struct command *command)
{
	if (!command)
		return EOPNOTSUPP;
	if (msg->fds_lost || msg->nfds > command->fds_max)
		return EINVAL;
	if (msg->size < command->size_min || msg->size > command->size_max)
		return EINVAL;
	if (msg->header.flags & ~(VFIO_USER_F_TYPE_MASK | VFIO_USER_F_NO_REPLY))
		return EINVAL;
	/* VERSION comes first, and once. (It may have been executed before.) */
	if ((command->handler == negotiate) == session->s->negotiated &&
	    !(command->handler == negotiate && session->again))
		return EPROTO;
	return 0;
}

/* 0 or a positive errno: what the client is to be told. */
static int handle(struct vfu_session *session, struct vfu_message *msg,
		  struct vfu_reply *reply)
{
	const struct command *command = find_command(msg->header.command);
	int r = check(session, msg, command);

	if (!r)
		r = command->handler(session, msg, reply);
	if (!r)
		return 0;
	session->stats->errors++;
	log_ratelimited(LOG_WARNING,
			"vfio-user: %s (%u, %zu bytes, %u fds) of endpoint %u "
			"%s: %s",
			command ? command->name : "command",
			msg->header.command, msg->size, msg->nfds,
			session->endpoint, r > 0 ? "refused" : "failed",
			strerror(abs(r)));
	return abs(r);
}

static int handle_and_reply(struct vfu_session *session,
			    struct vfu_message *msg)
{
	struct vfio_user_header header = {
		.id = msg->header.id,
		.command = msg->header.command,
		.flags = VFIO_USER_F_TYPE_REPLY,
	};
	bool no_reply = msg->header.flags & VFIO_USER_F_NO_REPLY;
	struct vfu_reply reply = { .fd = -1 };
	int r;

	session->stats->messages++;
	durable_store(&session->s->phase, (uint32_t)VFU_EXECUTING);
	crash_point("vfu-message");
	r = handle(session, msg, &reply);
	crash_point("vfu-executed");
	if (r) {
		header.flags |= VFIO_USER_F_ERROR;
		header.error = (uint32_t)r;
		reply = (struct vfu_reply){ .fd = -1 };
	}
	r = no_reply ? 0 :
		       vfu_channel_put(&session->channel, &header, reply.size,
				       reply.fd, reply.region);
	durable_store(&session->s->phase, (uint32_t)VFU_EXECUTED);
	session->again = false;
	crash_point("vfu-answer");
	vfu_channel_release(&session->channel);
	crash_point("vfu-message-done");
	finish_message(session);
	if (r < 0)
		return r;
	return vfu_channel_flush(&session->channel);
}

int vfu_session_run(struct vfu_session *session, unsigned int budget)
{
	int r = vfu_channel_flush(&session->channel);

	while (r == VFU_OK && !session->s->over && budget-- > 0) {
		struct vfu_message *msg;

		r = vfu_channel_receive(&session->channel, &msg);
		if (r == VFU_OK)
			r = handle_and_reply(session, msg);
	}
	if (r == VFU_OK && session->s->over)
		return VFU_CLOSED;
	return r;
}

bool vfu_session_sending(const struct vfu_session *session)
{
	return vfu_channel_sending(&session->channel);
}
