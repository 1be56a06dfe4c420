// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * dispatch.c - what each message of the vhost-user front-end does
 *
 * Owns: nothing; acts on the session in struct vhost.
 *
 * Invariant: a handler sees a message whose payload has the size and whose
 * descriptors have the number that the table below asks for. A message that is
 * refused changed nothing. Descriptors that a handler did not take are closed
 * by whoever received the message.
 *
 * Locks: none; one event loop. In a request's way: not at all, after the queues
 * were set up.
 */
#include <errno.h>
#include <linux/virtio_config.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "vhost/backend.h"
#include "vm.h"
#include "lib/log.h"
#include "lib/macros.h"

#define BIT(n) (1ULL << (n))

#define PROTOCOL_FEATURES                          \
	(BIT(VHOST_USER_PROTOCOL_F_MQ) |           \
	 BIT(VHOST_USER_PROTOCOL_F_REPLY_ACK) |    \
	 BIT(VHOST_USER_PROTOCOL_F_BACKEND_REQ) |  \
	 BIT(VHOST_USER_PROTOCOL_F_CONFIG) |       \
	 BIT(VHOST_USER_PROTOCOL_F_RESET_DEVICE) | \
	 BIT(VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS))

static int refuse(struct reply *reply, int verdict, const char *why)
{
	reply->why = why;
	return verdict;
}

static int answer_u64(struct reply *reply, uint64_t value)
{
	reply->wanted = true;
	reply->body.u64 = value;
	reply->size = sizeof(value);
	return 0;
}

static uint64_t features_offered(const struct vhost *vhost)
{
	return BIT(VIRTIO_F_VERSION_1) | BIT(VHOST_USER_F_PROTOCOL_FEATURES) |
	       vm_features(vhost->vm);
}

static struct queue *find_queue(struct vhost *vhost, uint64_t index)
{
	return index < vhost->num_queues ? &vhost->queues[index] : NULL;
}

static void memory_changed(struct vhost *vhost)
{
	for (unsigned int i = 0; i < vhost->num_queues; i++)
		queue_memory_changed(&vhost->queues[i]);
}

static int do_get_features(struct vhost *vhost, struct message *msg,
			   struct reply *reply)
{
	(void)msg;
	return answer_u64(reply, features_offered(vhost));
}

static int do_set_features(struct vhost *vhost, struct message *msg,
			   struct reply *reply)
{
	uint64_t features = msg->body.u64;

	if (features & ~features_offered(vhost))
		return refuse(reply, EINVAL, "features that were not offered");
	if (!(features & BIT(VIRTIO_F_VERSION_1)))
		return refuse(reply, EINVAL,
			      "VIRTIO_F_VERSION_1 is required: the guest's "
			      "driver is a legacy one");
	vhost->s->features = features;
	vm_set_features(vhost->vm, features & vm_features(vhost->vm));
	/* Without protocol features there is no message to enable a queue. */
	if (!(features & BIT(VHOST_USER_F_PROTOCOL_FEATURES)))
		for (unsigned int i = 0; i < vhost->num_queues; i++)
			queue_set_enabled(&vhost->queues[i], true);
	return 0;
}

static int do_get_protocol_features(struct vhost *vhost, struct message *msg,
				    struct reply *reply)
{
	(void)vhost;
	(void)msg;
	return answer_u64(reply, PROTOCOL_FEATURES);
}

static int do_set_protocol_features(struct vhost *vhost, struct message *msg,
				    struct reply *reply)
{
	if (msg->body.u64 & ~PROTOCOL_FEATURES)
		return refuse(reply, EINVAL, "features that were not offered");
	vhost->s->protocol_features = msg->body.u64;
	return 0;
}

static int do_nothing(struct vhost *vhost, struct message *msg,
		      struct reply *reply)
{
	(void)vhost;
	(void)msg;
	(void)reply;
	return 0;
}

static int do_get_queue_num(struct vhost *vhost, struct message *msg,
			    struct reply *reply)
{
	(void)msg;
	return answer_u64(reply, vhost->num_queues);
}

static int do_get_max_mem_slots(struct vhost *vhost, struct message *msg,
				struct reply *reply)
{
	(void)vhost;
	(void)msg;
	return answer_u64(reply, REGIONS_MAX);
}

static const char *region_why(int r)
{
	switch (r) {
	case EINVAL:
		return "a region is empty, not aligned to 4 KiB, beyond the "
		       "end of its file, or cannot be mapped";
	case EEXIST:
		return "regions overlap";
	case ENOSPC:
		return "too many regions";
	case ENOENT:
		return "there is no such region";
	default:
		return NULL;
	}
}

static int do_set_mem_table(struct vhost *vhost, struct message *msg,
			    struct reply *reply)
{
	const struct vhost_user_mem_table *table = &msg->body.table;
	struct regions mem = { 0 };
	uint32_t count;
	int r = 0;

	if (msg->head.size < VHOST_USER_MEM_TABLE_HEAD)
		return refuse(reply, EINVAL, "payload too short");
	count = table->count;
	if (count > VHOST_USER_FDS_MAX)
		return refuse(reply, EINVAL, "too many regions");
	if (msg->head.size <
	    VHOST_USER_MEM_TABLE_HEAD + count * sizeof(table->regions[0]))
		return refuse(reply, EINVAL, "payload too short");
	if (message_num_fds(msg) != count)
		return refuse(reply, EINVAL,
			      "not as many file descriptors as regions");
	for (uint32_t i = 0; r == 0 && i < count; i++)
		r = regions_add(&mem, &table->regions[i], message_fd(msg, i));
	if (r) {
		regions_clear(&mem);
		return refuse(reply, r, region_why(r));
	}
	kept_set_table(vhost, table, msg);
	regions_clear(&vhost->mem);
	vhost->mem = mem;
	memory_changed(vhost);
	return 0;
}

static int do_add_mem_reg(struct vhost *vhost, struct message *msg,
			  struct reply *reply)
{
	const struct vhost_user_region *region = &msg->body.mem_reg.region;
	int fd = message_fd(msg, 0), r;

	/* It was added, and then we were killed. */
	if (vhost->again && kept_has(vhost, region))
		return 0;
	r = regions_add(&vhost->mem, region, fd);
	if (r)
		return refuse(reply, r, region_why(r));
	kept_add(vhost, region, fd);
	memory_changed(vhost);
	return 0;
}

static int do_rem_mem_reg(struct vhost *vhost, struct message *msg,
			  struct reply *reply)
{
	const struct vhost_user_region *region = &msg->body.mem_reg.region;
	int r = regions_remove(&vhost->mem, region);

	/* It was removed, and then we were killed. */
	if (r == ENOENT && vhost->again)
		return 0;
	if (r)
		return refuse(reply, r, region_why(r));
	kept_remove(vhost, region);
	memory_changed(vhost);
	return 0;
}

static int do_set_vring_num(struct vhost *vhost, struct message *msg,
			    struct reply *reply)
{
	struct queue *q = find_queue(vhost, msg->body.state.index);

	if (!q)
		return refuse(reply, EINVAL, "no such queue");
	if (q->started)
		return refuse(reply, EBUSY, "the queue is running");
	if (virtq_set_size(&q->ring, msg->body.state.num))
		return refuse(reply, EINVAL,
			      "a queue's size is a power of two up to 1024");
	(void)virtq_resolve(&q->ring, &vhost->mem);
	queue_note(q);
	return 0;
}

static int do_set_vring_addr(struct vhost *vhost, struct message *msg,
			     struct reply *reply)
{
	const struct vhost_user_vring_addr *addr = &msg->body.addr;
	struct queue *q = find_queue(vhost, addr->index);
	struct virtq ring;

	if (!q)
		return refuse(reply, EINVAL, "no such queue");
	if (addr->flags != 0)
		return refuse(reply, EINVAL, "logging was not offered");
	ring = q->ring;
	ring.desc_user = addr->desc;
	ring.avail_user = addr->avail;
	ring.used_user = addr->used;
	if (!virtq_resolve(&ring, &vhost->mem)) {
		if (vhost->mem.count == 0)
			unshared_no_memory(vhost);
		return refuse(reply, EINVAL,
			      "the ring is not aligned or not within one "
			      "region of guest memory");
	}
	q->ring = ring;
	queue_note(q);
	return 0;
}

static int do_set_vring_base(struct vhost *vhost, struct message *msg,
			     struct reply *reply)
{
	struct queue *q = find_queue(vhost, msg->body.state.index);

	if (!q)
		return refuse(reply, EINVAL, "no such queue");
	if (q->started)
		return refuse(reply, EBUSY, "the queue is running");
	if (msg->body.state.num > UINT16_MAX)
		return refuse(reply, EINVAL, "a ring index has 16 bits");
	q->ring.last_avail = (uint16_t)msg->body.state.num;
	queue_note(q);
	return 0;
}

static int do_get_vring_base(struct vhost *vhost, struct message *msg,
			     struct reply *reply)
{
	struct queue *q = find_queue(vhost, msg->body.state.index);

	if (!q)
		return refuse(reply, EINVAL, "no such queue");
	queue_stop(q);
	reply->wanted = true;
	reply->body.state = (struct vhost_user_vring_state){
		.index = q->index,
		.num = q->ring.last_avail,
	};
	reply->size = sizeof(reply->body.state);
	return 0;
}

/*
 * What SET_VRING_KICK, _CALL and _ERR have in common: *@ret_q, and *@ret_fd
 * taken out of @msg (-EBADF: none).
 */
static int take_vring_fd(struct vhost *vhost, struct message *msg,
			 struct reply *reply, struct queue **ret_q, int *ret_fd,
			 uint64_t *ret_id)
{
	bool no_fd = msg->body.u64 & VHOST_USER_VRING_NOFD;
	struct queue *q;

	if (msg->body.u64 &
	    ~(uint64_t)(VHOST_USER_VRING_INDEX | VHOST_USER_VRING_NOFD))
		return refuse(reply, EINVAL, "unknown flags");
	q = find_queue(vhost, msg->body.u64 & VHOST_USER_VRING_INDEX);
	if (!q)
		return refuse(reply, EINVAL, "no such queue");
	if (message_num_fds(msg) != (no_fd ? 0 : 1))
		return refuse(reply, EINVAL,
			      no_fd ? "a file descriptor with the flag that "
				      "there is none" :
				      "no file descriptor");
	*ret_fd = message_take_fd(msg, 0, ret_id);
	*ret_q = q;
	return 0;
}

static int do_set_vring_kick(struct vhost *vhost, struct message *msg,
			     struct reply *reply)
{
	struct queue *q;
	uint64_t id;
	int fd, r;

	r = take_vring_fd(vhost, msg, reply, &q, &fd, &id);
	if (r)
		return r;
	if (fd < 0)
		return refuse(reply, EINVAL, "polling was not offered");
	r = queue_start(q, fd, id);
	if (r == 0)
		return 0;
	message_put_back_fd(msg, 0, fd);
	return refuse(reply, r,
		      "the ring is not set up, or the descriptor cannot be "
		      "polled");
}

static int do_set_vring_call(struct vhost *vhost, struct message *msg,
			     struct reply *reply)
{
	struct queue *q;
	uint64_t id;
	int fd, r;

	r = take_vring_fd(vhost, msg, reply, &q, &fd, &id);
	if (r == 0)
		queue_set_call(q, fd, id);
	return r;
}

static int do_set_vring_err(struct vhost *vhost, struct message *msg,
			    struct reply *reply)
{
	struct queue *q;
	uint64_t id;
	int fd, r;

	r = take_vring_fd(vhost, msg, reply, &q, &fd, &id);
	if (r == 0)
		queue_set_err(q, fd, id);
	return r;
}

static int do_set_vring_enable(struct vhost *vhost, struct message *msg,
			       struct reply *reply)
{
	struct queue *q = find_queue(vhost, msg->body.state.index);

	if (!q)
		return refuse(reply, EINVAL, "no such queue");
	if (msg->body.state.num > 1)
		return refuse(reply, EINVAL, "neither 0 nor 1");
	queue_set_enabled(q, msg->body.state.num == 1);
	return 0;
}

static int do_set_backend_req_fd(struct vhost *vhost, struct message *msg,
				 struct reply *reply)
{
	socklen_t len = sizeof(int);
	uint64_t id;
	int fd, type, r;

	if (getsockopt(message_fd(msg, 0), SOL_SOCKET, SO_TYPE, &type, &len) <
		    0 ||
	    type != SOCK_STREAM)
		return refuse(reply, EINVAL, "not a stream socket");
	fd = message_take_fd(msg, 0, &id);
	r = backend_set_channel(vhost, fd, id);
	if (r < 0)
		message_put_back_fd(msg, 0, fd);
	return r;
}

/*
 * The driver reads field by field, QEMU fetches all of it each time. Beyond our
 * fields there are zeros, as far as QEMU's config_size may reach.
 */
static int do_get_config(struct vhost *vhost, struct message *msg,
			 struct reply *reply)
{
	const struct vhost_user_config *asked = &msg->body.config;
	uint8_t space[VHOST_USER_CONFIG_MAX] = { 0 };
	struct virtio_pvdma_config config;
	struct vhost_user_config *answer = &reply->body.config;

	reply->wanted = true;
	reply->size = 0; /* which means an error */
	if (msg->head.size < VHOST_USER_CONFIG_HEAD)
		return refuse(reply, EINVAL, "payload too short");
	if (asked->size > VHOST_USER_CONFIG_MAX ||
	    asked->offset > VHOST_USER_CONFIG_MAX - asked->size ||
	    msg->head.size != VHOST_USER_CONFIG_HEAD + asked->size)
		return refuse(reply, EINVAL, "beyond the configuration space");
	vm_config_read(vhost->vm, &config);
	memcpy(space, &config, sizeof(config));
	*answer = (struct vhost_user_config){
		.offset = asked->offset,
		.size = asked->size,
	};
	memcpy(answer->data, space + asked->offset, asked->size);
	reply->size = VHOST_USER_CONFIG_HEAD + asked->size;
	return 0;
}

static int do_set_config(struct vhost *vhost, struct message *msg,
			 struct reply *reply)
{
	(void)vhost;
	(void)msg;
	return refuse(reply, EPERM, "the configuration space is read-only");
}

static int do_reset_device(struct vhost *vhost, struct message *msg,
			   struct reply *reply)
{
	(void)msg;
	(void)reply;
	for (unsigned int i = 0; i < vhost->num_queues; i++) {
		queue_stop(&vhost->queues[i]);
		queue_set_enabled(&vhost->queues[i], false);
		vhost->queues[i].ring.last_avail = 0;
		queue_note(&vhost->queues[i]);
	}
	/* With the queues stopped, this is the reset of the whole device. */
	vm_device_reset(vhost->vm);
	return 0;
}

#define SIZE_ANY UINT32_MAX

struct handler {
	int (*fn)(struct vhost *vhost, struct message *msg,
		  struct reply *reply);
	uint32_t size; /* of the payload, or SIZE_ANY: fn looks */
	uint8_t fds_min;
	uint8_t fds_max;
	bool answers; /* the front-end waits for its answer */
};

#define STATE  sizeof(struct vhost_user_vring_state)
#define ADDR   sizeof(struct vhost_user_vring_addr)
#define REGION sizeof(struct vhost_user_mem_reg)

static const struct handler handlers[] = {
	[VHOST_USER_GET_FEATURES] = { do_get_features, 0, 0, 0, true },
	[VHOST_USER_SET_FEATURES] = { do_set_features, 8, 0, 0, false },
	[VHOST_USER_SET_OWNER] = { do_nothing, 0, 0, 0, false },
	[VHOST_USER_RESET_OWNER] = { do_nothing, 0, 0, 0, false },
	[VHOST_USER_SET_MEM_TABLE] = { do_set_mem_table, SIZE_ANY, 0,
				       VHOST_USER_FDS_MAX, false },
	[VHOST_USER_SET_VRING_NUM] = { do_set_vring_num, STATE, 0, 0, false },
	[VHOST_USER_SET_VRING_ADDR] = { do_set_vring_addr, ADDR, 0, 0, false },
	[VHOST_USER_SET_VRING_BASE] = { do_set_vring_base, STATE, 0, 0, false },
	[VHOST_USER_GET_VRING_BASE] = { do_get_vring_base, STATE, 0, 0, true },
	[VHOST_USER_SET_VRING_KICK] = { do_set_vring_kick, 8, 0, 1, false },
	[VHOST_USER_SET_VRING_CALL] = { do_set_vring_call, 8, 0, 1, false },
	[VHOST_USER_SET_VRING_ERR] = { do_set_vring_err, 8, 0, 1, false },
	[VHOST_USER_GET_PROTOCOL_FEATURES] = { do_get_protocol_features, 0, 0,
					       0, true },
	[VHOST_USER_SET_PROTOCOL_FEATURES] = { do_set_protocol_features, 8, 0,
					       0, false },
	[VHOST_USER_GET_QUEUE_NUM] = { do_get_queue_num, 0, 0, 0, true },
	[VHOST_USER_SET_VRING_ENABLE] = { do_set_vring_enable, STATE, 0, 0,
					  false },
	[VHOST_USER_SET_BACKEND_REQ_FD] = { do_set_backend_req_fd, 0, 1, 1,
					    false },
	[VHOST_USER_GET_CONFIG] = { do_get_config, SIZE_ANY, 0, 0, true },
	[VHOST_USER_SET_CONFIG] = { do_set_config, SIZE_ANY, 0, 0, false },
	[VHOST_USER_RESET_DEVICE] = { do_reset_device, 0, 0, 0, false },
	[VHOST_USER_GET_MAX_MEM_SLOTS] = { do_get_max_mem_slots, 0, 0, 0,
					   true },
	[VHOST_USER_ADD_MEM_REG] = { do_add_mem_reg, REGION, 1, 1, false },
	/* Some front-ends send the descriptor again; it is not used. */
	[VHOST_USER_REM_MEM_REG] = { do_rem_mem_reg, REGION, 0, 1, false },
};

/* Checks what all messages of a kind have in common. */
static int check_shape(const struct handler *h, const struct message *msg,
		       struct reply *reply)
{
	if (h->size != SIZE_ANY && msg->head.size != h->size)
		return refuse(reply, EINVAL, "wrong payload size");
	if (message_num_fds(msg) < h->fds_min)
		return refuse(reply, EINVAL, "no file descriptor");
	if (message_num_fds(msg) > h->fds_max)
		return refuse(reply, EINVAL, "unexpected file descriptors");
	return 0;
}

int dispatch_message(struct vhost *vhost, struct message *msg,
		     struct reply *reply)
{
	const struct handler *h;
	int r;

	*reply = (struct reply){ 0 };
	if (msg->head.request >= ARRAY_SIZE(handlers) ||
	    !handlers[msg->head.request].fn)
		return refuse(reply, EOPNOTSUPP, "not supported");
	h = &handlers[msg->head.request];
	r = check_shape(h, msg, reply);
	if (r == 0)
		r = h->fn(vhost, msg, reply);
	reply->fatal = r && h->answers && !reply->wanted;
	return r;
}
