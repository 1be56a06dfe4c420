/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * session.h - one client's connection, from its VERSION to its end
 *
 * Knows no event loop: server.c calls in when the socket can be read or
 * written. Tests drive it over a socket pair.
 */
#ifndef PVDMA_AGENT_VFIO_USER_SESSION_H
#define PVDMA_AGENT_VFIO_USER_SESSION_H

#include <stdbool.h>
#include <stdint.h>

struct device;
struct vfio_user_stats;
struct vfu_session;
struct vm;

/*
 * Serves @dev to the client at @fd, a connected non-blocking stream socket
 * that is owned on success. Borrows @dev, @vm, and @stats, which it adds to.
 * 0 or -ENOMEM.
 */
int vfu_session_new(int fd, struct device *dev, struct vm *vm,
		    uint32_t endpoint, struct vfio_user_stats *stats,
		    struct vfu_session **ret);

struct keeper;
struct vfu_room;
struct vfu_state;

/*
 * The same, with what outlives the process in @state, of zeros, and @room, whose
 * wire is the state's. And: with those of the process before; the VM need not have
 * been resumed. 0 or a negative errno; then @fd stays the caller's.
 */
int vfu_session_new_kept(int fd, struct device *dev, struct vm *vm,
			 uint32_t endpoint, struct vfio_user_stats *stats,
			 struct vfu_state *state, const struct vfu_room *room,
			 struct vfu_session **ret);
int vfu_session_resume(int fd, struct device *dev, struct vm *vm,
		       uint32_t endpoint, struct vfio_user_stats *stats,
		       struct vfu_state *state, const struct vfu_room *room,
		       struct vfu_session **ret);

/*
 * Ends the connection: makes the device quiet, takes its endpoint and then
 * all memory of this client from the VM. Takes NULL.
 */
void vfu_session_free(struct vfu_session *session);

/*
 * Handles what the client sent, @budget messages at most, and sends what is
 * left to send. VFU_OK: the budget is used up, there may be more. VFU_AGAIN:
 * wait for the socket. VFU_CLOSED, VFU_BROKEN (see message.h) or a negative
 * errno: the connection is over; free the session.
 */
int vfu_session_run(struct vfu_session *session, unsigned int budget);

/* Whether the next thing to wait for is that the socket can be written. */
bool vfu_session_sending(const struct vfu_session *session);

#endif
