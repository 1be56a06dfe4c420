/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * stream.h - bytes over a stream socket, each counted exactly once
 *
 * How many bytes of a message went, or came, must be known to whoever goes on
 * after a kill. So the kernel counts them: sendmmsg() and recvmmsg() write the
 * number into memory before they return, and a kill is not acted on within them
 * as long as they do not sleep. Counter and buffer lie in memory that outlives the
 * process.
 */
#ifndef PVDMA_LIB_STREAM_H
#define PVDMA_LIB_STREAM_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

/* Zero is a position of 0. Pointers in it are those of the last call. */
struct stream_count {
	uint32_t active; /* which of the two cells is right */
	uint32_t reserved;
	struct stream_cell {
		uint64_t before;   /* bytes of earlier calls */
		struct mmsghdr of; /* msg_len: bytes of the last call */
	} cells[2];
};

/* Bytes so far. */
uint64_t stream_done(const struct stream_count *count);
/* By one store: 0, or any other number. */
void stream_set(struct stream_count *count, uint64_t done);

/*
 * As sendmsg() and recvmsg() without waiting; what went or came is in the count
 * when they return, or when the process is killed. Bytes, or a negative errno; 0:
 * the end of the stream.
 */
ssize_t stream_send(int fd, struct stream_count *count,
		    const struct msghdr *msg);
ssize_t stream_receive(int fd, struct stream_count *count, struct msghdr *msg);

#define STREAM_FDS_MAX 16

struct keeper;

/*
 * A message on its way in, with the descriptors that came along. It lies where the
 * bytes lie; what is of this process alone is filled in by stream_in_init() or
 * stream_in_resume().
 */
struct stream_in {
	struct stream_count count;
	struct {
		uint64_t id; /* in the keeper; 0: not kept */
		uint64_t at; /* came behind so many bytes */
	} kept[STREAM_FDS_MAX];
	uint32_t num;  /* of them */
	uint32_t max;  /* a message may have */
	uint32_t lost; /* more came, and were closed */
	uint32_t reserved;
	/* of this process */
	struct keeper *keeper;
	int fds[STREAM_FDS_MAX]; /* owned; -EBADF: taken */
	uint8_t taken[STREAM_FDS_MAX];
};

void stream_in_init(struct stream_in *in, struct keeper *keeper, uint32_t max);
/* Of another process: what is of this one, and nothing else. */
void stream_in_begin(struct stream_in *in, struct keeper *keeper);
/* Has its descriptors again. 0, or -EBADF where one is missing; logged. */
int stream_in_resume(struct stream_in *in, struct keeper *keeper);
/*
 * Nobody needs this message any more, but who has taken descriptors: what no one
 * claims is swept.
 */
void stream_in_forget(struct stream_in *in, struct keeper *keeper);
/* Closes and takes out what was not taken, and is ready for the next message. */
void stream_in_done(struct stream_in *in);

/* One read of at most @size bytes to @to. As stream_receive(). */
ssize_t stream_in_read(int fd, struct stream_in *in, void *to, size_t size);

/*
 * The caller owns the @i-th descriptor and its id; -EBADF: there is none. Whoever
 * goes on after a kill can take it once more, under the same id.
 */
int stream_in_take(struct stream_in *in, uint32_t i, uint64_t *ret_id);
/*
 * The caller has no use for the one that it took. It stays kept until
 * stream_in_done(): the message may be handled once more.
 */
void stream_in_put_back(struct stream_in *in, uint32_t i, int fd);

#endif
