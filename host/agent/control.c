// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * control.c - the control socket: a line of text in, a line of JSON out
 *
 * Theory of operation. A client sends commands, a line each, and gets one line
 * for each, in order: a JSON object; {"error": "..."} for what went wrong. An
 * answer that the client does not take is kept, and no further command of this
 * client is looked at before it is gone; so a client costs one line of input
 * and one answer, whatever it does.
 *
 * Owns: the listening socket and the clients.
 *
 * Invariant: at most CLIENTS_MAX clients, each with at most LINE_SIZE bytes of
 * input and one answer.
 *
 * Locks: none; one event loop. In a request's way: not.
 */
#include "control.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "json_out.h"
#include "lib/cleanup.h"
#include "lib/log.h"
#include "lib/macros.h"

#define CLIENTS_MAX 8
#define LINE_SIZE   256

/* When accept() fails for want of descriptors, do not try all the time. */
#define ACCEPT_INTERVAL_USEC 1000000
#define ACCEPT_BURST	     200

struct client {
	struct control *control;
	int fd; /* -EBADF: not in use */
	sd_event_source *source;
	char line[LINE_SIZE];
	size_t len;    /* bytes in `line` */
	bool too_long; /* the line is; skip to its end */
	char *answer;
	size_t answer_size;
	size_t answer_sent;
	int fds[CONTROL_FDS_MAX]; /* that came with the line */
	size_t num_fds;
};

struct control {
	sd_event *event;
	int listen_fd;
	sd_event_source *source;
	const struct control_verb *verbs;
	size_t num_verbs;
	void *userdata;
	struct client clients[CLIENTS_MAX];
	struct client *asking; /* while a verb runs: whose line it answers */
};

int *control_fds(struct control *control, size_t *ret_num)
{
	*ret_num = control->asking->num_fds;
	return control->asking->fds;
}

static void drop_fds(struct client *client)
{
	close_fds(client->fds, client->num_fds);
	client->num_fds = 0;
}

static void client_close(struct client *client)
{
	drop_fds(client);
	client->source = sd_event_source_disable_unref(client->source);
	free(client->answer);
	*client = (struct client){
		.control = client->control,
		.fd = close_fd(client->fd),
	};
}

/* --- commands --- */

static void write_help(const struct control *control, FILE *out)
{
	fprintf(out, "{\"commands\": {");
	for (size_t i = 0; i < control->num_verbs; i++) {
		json_out_string(out, control->verbs[i].name);
		fprintf(out, ": ");
		json_out_string(out, control->verbs[i].help);
		fprintf(out, ", ");
	}
	fprintf(out, "\"help\": \"this list\"}}");
}

static void write_error(FILE *out, const char *why)
{
	fprintf(out, "{\"error\": ");
	json_out_string(out, why);
	fprintf(out, "}");
}

static const struct control_verb *find_verb(const struct control *control,
					    const char *name)
{
	for (size_t i = 0; i < control->num_verbs; i++)
		if (strcmp(control->verbs[i].name, name) == 0)
			return &control->verbs[i];
	return NULL;
}

/* Cuts the first word off @line; returns what follows behind blanks. */
static char *cut_word(char *line)
{
	char *end = line + strcspn(line, " \t");

	if (*end != '\0')
		*end++ = '\0';
	return end + strspn(end, " \t");
}

static bool is_text(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!isprint((unsigned char)s[i]) && s[i] != '\t')
			return false;
	return true;
}

/* Runs the command in @line and writes its answer. */
static void run_command(struct control *control, char *line, FILE *out)
{
	const struct control_verb *verb;
	const char *why = NULL;
	char *arg = cut_word(line);
	long start = ftell(out);
	int r;

	if (strcmp(line, "help") == 0) {
		write_help(control, out);
		return;
	}
	verb = find_verb(control, line);
	if (!verb) {
		write_error(out, "unknown command; try help");
		return;
	}
	r = verb->fn(control->userdata, arg, out, &why);
	if (r == 0)
		return;
	(void)fseek(out, start, SEEK_SET);
	write_error(out, why ? why : strerror(-r));
}

/* Answers client->line. 0 or -ENOMEM. */
static int client_answer(struct client *client)
{
	FILE *out;
	size_t len = client->len;

	client->control->asking = client;
	out = open_memstream(&client->answer, &client->answer_size);
	if (!out)
		return -ENOMEM;
	while (len > 0 && isspace((unsigned char)client->line[len - 1]))
		len--;
	client->line[len] = '\0';
	if (client->too_long)
		write_error(out, "line too long");
	else if (!is_text(client->line, len))
		write_error(out, "not text");
	else
		run_command(client->control, client->line, out);
	drop_fds(client);
	fputc('\n', out);
	client->len = 0;
	client->too_long = false;
	client->answer_sent = 0;
	return fclose(out) == 0 ? 0 : -ENOMEM;
}

/* --- transport --- */

/* Sends what waits: 0 all gone, -EAGAIN, or another negative errno. */
static int client_flush(struct client *client)
{
	while (client->answer_sent < client->answer_size) {
		ssize_t n = send(client->fd,
				 client->answer + client->answer_sent,
				 client->answer_size - client->answer_sent,
				 MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		client->answer_sent += (size_t)n;
	}
	free(client->answer);
	client->answer = NULL;
	client->answer_size = 0;
	return 0;
}

/* Keeps descriptors for the line; those beyond the limit are closed. */
static void client_keep_fds(struct client *client, struct msghdr *msg)
{
	for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(msg); cmsg;
	     cmsg = CMSG_NXTHDR(msg, cmsg)) {
		size_t num;

		if (cmsg->cmsg_level != SOL_SOCKET ||
		    cmsg->cmsg_type != SCM_RIGHTS)
			continue;
		num = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < num; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(cmsg) + i * sizeof(fd),
			       sizeof(fd));
			if (client->num_fds < CONTROL_FDS_MAX)
				client->fds[client->num_fds++] = fd;
			else
				close_fd(fd);
		}
	}
}

/* Takes @take bytes, which are there, and what comes with them. 0 or -errno. */
static int client_receive(struct client *client, char *bytes, size_t take)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(CONTROL_FDS_MAX * sizeof(int))];
	} space;
	struct iovec iov = { .iov_base = bytes, .iov_len = take };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = space.bytes,
		.msg_controllen = sizeof(space.bytes),
	};
	ssize_t n;

	n = recvmsg(client->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (n < 0)
		return -errno;
	client_keep_fds(client, &msg);
	/* The kernel ends a read where descriptors begin. */
	return n == (ssize_t)take ? 0 : -EIO;
}

/*
 * Reads up to the end of one line, and no further: more waits in the socket.
 * 1: a line is complete; 0: not yet; negative errno; -ESHUTDOWN: the end.
 */
static int client_read(struct client *client)
{
	char bytes[LINE_SIZE];
	const char *newline;
	size_t take;
	ssize_t n;
	int r;

	n = recv(client->fd, bytes, sizeof(bytes), MSG_DONTWAIT | MSG_PEEK);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	if (n == 0) /* The end of input ends the last line, too. */
		return client->len > 0 || client->too_long ? 1 : -ESHUTDOWN;
	newline = memchr(bytes, '\n', (size_t)n);
	take = newline ? (size_t)(newline - bytes) + 1 : (size_t)n;
	r = client_receive(client, bytes, take);
	if (r < 0)
		return r;
	if (newline)
		take--;
	if (client->too_long || take >= sizeof(client->line) - client->len) {
		client->too_long = true;
	} else {
		memcpy(client->line + client->len, bytes, take);
		client->len += take;
	}
	return newline ? 1 : 0;
}

/* One step: sends what waits, or reads and answers. Negative: close it. */
static int client_step(struct client *client)
{
	int r;

	if (!client->answer) {
		r = client_read(client);
		if (r <= 0)
			return r;
		r = client_answer(client);
		if (r < 0)
			return r;
	}
	r = client_flush(client);
	if (r == -EAGAIN)
		return sd_event_source_set_io_events(client->source, EPOLLOUT);
	if (r < 0)
		return r;
	return sd_event_source_set_io_events(client->source, EPOLLIN);
}

static int on_client(sd_event_source *s, int fd, uint32_t revents,
		     void *userdata)
{
	struct client *client = userdata;

	(void)s;
	(void)fd;
	(void)revents;
	if (client_step(client) < 0)
		client_close(client);
	return 0;
}

static void refuse_client(int fd)
{
	static const char text[] = "{\"error\": \"too many clients\"}\n";

	(void)send(fd, text, sizeof(text) - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static int on_connect(sd_event_source *s, int listen_fd, uint32_t revents,
		      void *userdata)
{
	struct control *control = userdata;
	_cleanup_close_ int fd = -EBADF;
	struct client *client = NULL;

	(void)s;
	(void)revents;
	fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0) {
		if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
			log_ratelimited(LOG_WARNING,
					"control: cannot accept: "
					"%s",
					strerror(errno));
		return 0;
	}
	for (size_t i = 0; i < CLIENTS_MAX && !client; i++)
		if (control->clients[i].fd < 0)
			client = &control->clients[i];
	if (!client) {
		log_ratelimited(LOG_WARNING, "control: too many clients");
		refuse_client(fd);
		return 0;
	}
	if (sd_event_add_io(control->event, &client->source, fd, EPOLLIN,
			    on_client, client) < 0)
		return 0;
	client->fd = steal_fd(&fd);
	return 0;
}

int control_new(sd_event *event, int listen_fd,
		const struct control_verb *verbs, size_t num_verbs,
		void *userdata, struct control **ret)
{
	struct control *control = calloc(1, sizeof(*control));
	int r;

	if (!control)
		return -ENOMEM;
	control->event = sd_event_ref(event);
	control->listen_fd = -EBADF;
	control->verbs = verbs;
	control->num_verbs = num_verbs;
	control->userdata = userdata;
	for (size_t i = 0; i < CLIENTS_MAX; i++)
		control->clients[i] = (struct client){
			.control = control,
			.fd = -EBADF,
		};
	r = sd_event_add_io(event, &control->source, listen_fd, EPOLLIN,
			    on_connect, control);
	if (r == 0)
		r = sd_event_source_set_ratelimit(
			control->source, ACCEPT_INTERVAL_USEC, ACCEPT_BURST);
	if (r < 0) {
		control_free(control);
		return r;
	}
	control->listen_fd = listen_fd;
	*ret = control;
	return 0;
}

void control_free(struct control *control)
{
	if (!control)
		return;
	for (size_t i = 0; i < CLIENTS_MAX; i++)
		client_close(&control->clients[i]);
	sd_event_source_disable_unref(control->source);
	close_fd(control->listen_fd);
	sd_event_unref(control->event);
	free(control);
}
