// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * agent_link.c - the service's end of an agent's control socket
 *
 * Theory of operation. Commands go out as lines, answers come back as lines, in
 * order. The agent looks at one command at a time, so the commands wait here,
 * not in the socket.
 *
 * Owns: the connection, and the questions that are open.
 *
 * Invariant: each question has its callback called once. The agent is not
 * trusted: an answer is at most ANSWER_MAX bytes and comes within ANSWER_USEC,
 * or the link is lost.
 *
 * Locks: none; one event loop. In a request's way: not.
 */
#include "agent_link.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "lib/cleanup.h"
#include "lib/log.h"
#include "lib/socket.h"

#define ANSWER_MAX    (1 << 20)
#define ANSWER_USEC   10000000
#define QUESTIONS_MAX 64
#define COMMAND_MAX   256
#define ACCURACY_USEC 100000

struct question {
	struct question *next;
	char command[COMMAND_MAX];
	int fds[AGENT_LINK_FDS]; /* that go along; ours */
	size_t num_fds;
	agent_link_fn fn;
	void *userdata;
};

struct agent_link {
	int fd;
	sd_event_source *io;
	sd_event_source *timeout;
	agent_link_lost_fn lost;
	void *userdata;
	struct question *first; /* has been sent */
	struct question **end;
	unsigned int num_questions;
	bool answering; /* an answer is being handed out; the next goes then */
	char *line;	/* of the answer, as far as it has come */
	size_t len;
	size_t size;
};

static void question_free(struct question *q)
{
	close_fds(q->fds, q->num_fds);
	free(q);
}

/* Takes the first question out of the queue. */
static struct question *pop(struct agent_link *link)
{
	struct question *q = link->first;

	link->first = q->next;
	if (!link->first)
		link->end = &link->first;
	link->num_questions--;
	return q;
}

/* Sends a line and its descriptors, which the socket's buffer takes whole. */
static int send_question(int fd, const struct question *q)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(AGENT_LINK_FDS * sizeof(int))];
	} space = { 0 };
	struct iovec iov = {
		.iov_base = (char *)q->command,
		.iov_len = strlen(q->command),
	};
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;

	if (q->num_fds > 0) {
		struct cmsghdr *cmsg = &space.header;

		msg.msg_control = space.bytes;
		msg.msg_controllen = CMSG_SPACE(q->num_fds * sizeof(int));
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(q->num_fds * sizeof(int));
		memcpy(CMSG_DATA(cmsg), q->fds, q->num_fds * sizeof(int));
	}
	n = sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n < 0)
		return -errno;
	return n == (ssize_t)iov.iov_len ? 0 : -EIO;
}

/* Sends the first question, if there is one. */
static int send_first(struct agent_link *link)
{
	int r;

	if (!link->first) {
		(void)sd_event_source_set_enabled(link->timeout, SD_EVENT_OFF);
		return 0;
	}
	r = send_question(link->fd, link->first);
	if (r < 0)
		return r;
	(void)sd_event_source_set_time_relative(link->timeout, ANSWER_USEC);
	(void)sd_event_source_set_enabled(link->timeout, SD_EVENT_ONESHOT);
	return 0;
}

/*
 * The object that @line is, all of it, or NULL. It is UTF-8, since it, or words
 * of it, may go on over the bus, which takes nothing else.
 */
static json_object *parse_object(const char *line, size_t len)
{
	json_tokener *tokener = json_tokener_new();
	json_object *object;

	if (!tokener)
		return NULL;
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT |
						JSON_TOKENER_VALIDATE_UTF8);
	object = json_tokener_parse_ex(tokener, line, (int)len);
	json_tokener_free(tokener);
	if (json_object_is_type(object, json_type_object))
		return object;
	json_object_put(object);
	return NULL;
}

/* @line ends with a NUL behind its @len bytes. */
static void answer_first(struct agent_link *link, const char *line, size_t len)
{
	static const char nonsense[] = "the agent's answer is not understood";
	struct question *q = pop(link);
	json_object *answer = parse_object(line, len), *error;

	if (!answer)
		q->fn(q->userdata, nonsense, NULL, NULL);
	else if (!json_object_object_get_ex(answer, "error", &error))
		q->fn(q->userdata, NULL, answer, line);
	else if (json_object_is_type(error, json_type_string))
		q->fn(q->userdata, json_object_get_string(error), NULL, NULL);
	else
		q->fn(q->userdata, nonsense, NULL, NULL);
	json_object_put(answer);
	question_free(q);
}

static void lose(struct agent_link *link, const char *why)
{
	log_debug("an agent's control socket: %s", why);
	(void)sd_event_source_set_enabled(link->io, SD_EVENT_OFF);
	(void)sd_event_source_set_enabled(link->timeout, SD_EVENT_OFF);
	link->lost(link->userdata);
}

static int on_timeout(sd_event_source *s, uint64_t usec, void *userdata)
{
	(void)s;
	(void)usec;
	lose(userdata, "no answer in time");
	return 0;
}

/* Room for one byte more than is there. */
static int make_room(struct agent_link *link)
{
	size_t size = link->size ? 2 * link->size : 4096;
	char *line;

	if (link->len + 1 < link->size)
		return 0;
	if (size > ANSWER_MAX)
		return -EMSGSIZE;
	line = realloc(link->line, size);
	if (!line)
		return -ENOMEM;
	link->line = line;
	link->size = size;
	return 0;
}

/*
 * The answer is whole when its newline has come; nothing comes behind it, for
 * the next question has not been asked.
 */
static int on_input(sd_event_source *s, int fd, uint32_t revents,
		    void *userdata)
{
	struct agent_link *link = userdata;
	ssize_t n;

	(void)s;
	(void)revents;
	if (make_room(link) < 0) {
		lose(link, "the answer is too long");
		return 0;
	}
	n = recv(fd, link->line + link->len, link->size - 1 - link->len,
		 MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0) {
		lose(link, n == 0 ? "closed" : strerror(errno));
		return 0;
	}
	link->len += (size_t)n;
	if (link->line[link->len - 1] != '\n')
		return 0;
	if (!link->first) {
		lose(link, "an answer to no question");
		return 0;
	}
	link->line[--link->len] = '\0';
	link->answering = true;
	answer_first(link, link->line, link->len);
	link->len = 0;
	link->answering = false;
	if (send_first(link) < 0)
		lose(link, "cannot be written to");
	return 0;
}

int agent_link_ask_fds(struct agent_link *link, const char *command,
		       const int *fds, size_t num_fds, agent_link_fn fn,
		       void *userdata)
{
	struct question *q;
	bool idle = !link->first && !link->answering;
	int n, r;

	if (link->num_questions >= QUESTIONS_MAX)
		return -EAGAIN;
	q = calloc(1, sizeof(*q));
	if (!q)
		return -ENOMEM;
	n = snprintf(q->command, sizeof(q->command), "%s\n", command);
	if (n < 0 || (size_t)n >= sizeof(q->command) ||
	    num_fds > AGENT_LINK_FDS) {
		question_free(q);
		return -E2BIG;
	}
	for (size_t i = 0; i < num_fds; i++) {
		q->fds[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 0);
		if (q->fds[i] < 0) {
			r = -errno;
			question_free(q);
			return r;
		}
		q->num_fds++;
	}
	q->fn = fn;
	q->userdata = userdata;
	*link->end = q;
	link->end = &q->next;
	link->num_questions++;
	if (!idle)
		return 0;
	r = send_first(link);
	if (r < 0)
		question_free(pop(link));
	return r;
}

unsigned int agent_link_waiting(const struct agent_link *link)
{
	return link->num_questions;
}

int agent_link_ask(struct agent_link *link, const char *command,
		   agent_link_fn fn, void *userdata)
{
	return agent_link_ask_fds(link, command, NULL, 0, fn, userdata);
}

int agent_link_new(sd_event *event, const char *path, agent_link_lost_fn lost,
		   void *userdata, struct agent_link **ret)
{
	struct agent_link *link = calloc(1, sizeof(*link));
	int r;

	if (!link)
		return log_err_errno(ENOMEM, "cannot connect to %s", path);
	link->end = &link->first;
	link->lost = lost;
	link->userdata = userdata;
	link->fd = socket_connect_now(path);
	r = link->fd;
	if (r >= 0)
		r = sd_event_add_io(event, &link->io, link->fd, EPOLLIN,
				    on_input, link);
	if (r >= 0)
		r = sd_event_add_time_relative(event, &link->timeout,
					       CLOCK_MONOTONIC, ANSWER_USEC,
					       ACCURACY_USEC, on_timeout, link);
	if (r >= 0)
		r = sd_event_source_set_enabled(link->timeout, SD_EVENT_OFF);
	if (r < 0) {
		agent_link_free(link);
		/* as often as somebody wants something of it */
		log_ratelimited(LOG_ERR, "cannot connect to %s: %s", path,
				strerror(-r));
		return r;
	}
	*ret = link;
	return 0;
}

void agent_link_free(struct agent_link *link)
{
	if (!link)
		return;
	sd_event_source_disable_unref(link->io);
	sd_event_source_disable_unref(link->timeout);
	close_fd(link->fd);
	while (link->first) {
		struct question *q = pop(link);

		q->fn(q->userdata, "the agent is gone", NULL, NULL);
		question_free(q);
	}
	free(link->line);
	free(link);
}
