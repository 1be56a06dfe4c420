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

int vfu_session_new(int fd, struct device *dev, struct vm *vm,
		    uint32_t endpoint, struct vfio_user_stats *stats,
		    struct vfu_session **ret)
{
	struct vfu_session *session = calloc(1, sizeof(*session));

	if (!session)
		return -ENOMEM;
	session->dev = dev;
	session->vm = vm;
	session->endpoint = endpoint;
	session->stats = stats;
	vfu_channel_init(&session->channel, fd);
	*ret = session;
	return 0;
}

void vfu_session_free(struct vfu_session *session)
{
	if (!session)
		return;
	if (session->negotiated) {
		device_quiesce(session->dev);
		vm_endpoint_remove(session->vm, session->endpoint);
		vm_memory_drop(session->vm, session);
	}
	vfu_dma_done(&session->dma);
	vfu_channel_done(&session->channel);
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

	session->over = true;
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
	if (r < 0) {
		log_ratelimited(LOG_ERR, "cannot add %s as endpoint %u: %s",
				device_name(session->dev), session->endpoint,
				strerror(-r));
		return r;
	}
	session->client = client;
	session->negotiated = true;
	session->over = false;
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
	session->told_denied = false;
	r = device_reset(session->dev);
	vm_device_reset(session->vm);
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
	/* VERSION comes first, and once. */
	if ((command->handler == negotiate) == session->negotiated)
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
	r = handle(session, msg, &reply);
	vfu_channel_release(&session->channel);
	if (no_reply)
		return VFU_OK;
	if (r) {
		header.flags |= VFIO_USER_F_ERROR;
		header.error = (uint32_t)r;
		reply = (struct vfu_reply){ .fd = -1 };
	}
	return vfu_channel_send(&session->channel, &header, reply.size,
				reply.fd);
}

int vfu_session_run(struct vfu_session *session, unsigned int budget)
{
	int r = vfu_channel_flush(&session->channel);

	while (r == VFU_OK && !session->over && budget-- > 0) {
		struct vfu_message *msg;

		r = vfu_channel_receive(&session->channel, &msg);
		if (r == VFU_OK)
			r = handle_and_reply(session, msg);
	}
	if (r == VFU_OK && session->over)
		return VFU_CLOSED;
	return r;
}

bool vfu_session_sending(const struct vfu_session *session)
{
	return vfu_channel_sending(&session->channel);
}
