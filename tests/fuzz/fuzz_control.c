// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Fuzzes the agent's control socket: host/agent/control.c and commands.c, with
 * all of an agent behind them, on the null device and the null IOMMU.
 *
 * The input is a list of steps, each a byte that says what is done (modulo the
 * number of kinds) and its arguments; 16-bit numbers are little-endian:
 *
 *	SAY	client, fds (support/fds.h), size (16 bits), bytes
 *	LINE	likewise, and ends the line
 *	ADD	likewise, but with a descriptor that listens
 *	HANGUP	client
 *	DEAF	client: it takes no answers from now on
 *
 * What comes out are lines, each a JSON object; and at the end of an input no
 * descriptor is open that was not before.
 */
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <json-c/json.h>

#include "agent_impl.h"
#include "agent.h"
#include "lib/log.h"
#include "tests/fuzz/support/fds.h"
#include "tests/fuzz/support/input.h"

#define CLIENTS	   10 /* more than the agent takes */
#define TURNS_MAX  10000
#define ANSWER_MAX (1 << 20)

enum step { STEP_SAY, STEP_LINE, STEP_ADD, STEP_HANGUP, STEP_DEAF, STEPS };

struct client {
	int fd; /* -1: not connected */
	bool deaf;
	char *answer; /* as far as it has come */
	size_t len;
};

static struct {
	struct fuzz_input in;
	struct agent_config config;
	struct agent *agent;
	struct sockaddr_un addr;
	socklen_t addr_len;
	struct client clients[CLIENTS];
} s;

/* A listening socket at an address of the kernel's choice, in no file system. */
static int listener(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	s.addr.sun_family = AF_UNIX;
	s.addr_len = sizeof(s.addr);
	fuzz_must(fd >= 0 &&
			  bind(fd, (struct sockaddr *)&s.addr,
			       sizeof(sa_family_t)) == 0 &&
			  listen(fd, 20) == 0,
		  "no listening socket");
	return fd;
}

static void set(const char *key, const char *value)
{
	static const struct settings_place place;

	fuzz_must(config_set(&s.config, &place, key, value) == 0, key);
}

static void start_agent(void)
{
	char text[64];
	int fd;

	config_init(&s.config);
	set("name", "fuzz");
	set("quota", "1M");
	set("iommu", "null");
	set("ahead", "on");
	set("sandbox", "off"); /* it would be the fuzzer's */
	(void)snprintf(text, sizeof(text), "null,fd=%d", listener());
	set("device", text);
	(void)snprintf(text, sizeof(text), "%d", listener());
	set("vhost-fd", text);
	fd = listener();
	fuzz_must(getsockname(fd, (struct sockaddr *)&s.addr, &s.addr_len) == 0,
		  "no address");
	(void)snprintf(text, sizeof(text), "%d", fd);
	set("control-fd", text);
	fuzz_must(config_finish(&s.config) == 0, "the configuration");
	fuzz_must(agent_new(&s.config, NULL, -EBADF, &s.agent) == 0,
		  "no agent");
}

static void run(void)
{
	int turns = 0;

	while (sd_event_run(s.agent->event, 0) > 0)
		fuzz_must(++turns < TURNS_MAX, "a busy loop");
}

/* One line that the agent has said. */
static void check_answer(const char *line, size_t len)
{
	json_tokener *tokener = json_tokener_new();
	json_object *answer;

	fuzz_must(tokener != NULL, "no memory");
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT |
						JSON_TOKENER_VALIDATE_UTF8);
	answer = json_tokener_parse_ex(tokener, line, (int)len);
	fuzz_must(json_object_is_type(answer, json_type_object),
		  "an answer that is no object");
	json_object_put(answer);
	json_tokener_free(tokener);
}

static void hear(struct client *c)
{
	char *end;
	ssize_t n;

	if (c->fd < 0 || c->deaf)
		return;
	while ((n = recv(c->fd, c->answer + c->len, ANSWER_MAX - c->len,
			 MSG_DONTWAIT)) > 0) {
		c->len += (size_t)n;
		fuzz_must(c->len < ANSWER_MAX, "an answer without an end");
		while ((end = memchr(c->answer, '\n', c->len))) {
			size_t line = (size_t)(end - c->answer);

			check_answer(c->answer, line);
			c->len -= line + 1;
			memmove(c->answer, end + 1, c->len);
		}
		run();
	}
}

static void hang_up(struct client *c)
{
	if (c->fd < 0)
		return;
	close(c->fd);
	free(c->answer);
	*c = (struct client){ .fd = -1 };
	run();
}

static struct client *client(void)
{
	struct client *c = &s.clients[fuzz_u8(&s.in) % CLIENTS];

	if (c->fd >= 0)
		return c;
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	c->answer = malloc(ANSWER_MAX);
	fuzz_must(c->answer && c->fd >= 0 &&
			  connect(c->fd, (struct sockaddr *)&s.addr,
				  s.addr_len) == 0,
		  "cannot connect");
	run();
	return c;
}

static void say(enum step kind)
{
	static uint8_t buf[UINT16_MAX + 1];
	struct client *c = client();
	uint8_t fds = fuzz_u8(&s.in);
	size_t size = fuzz_u16(&s.in);
	const uint8_t *p = fuzz_bytes(&s.in, &size);
	struct sockaddr_un addr = s.addr;
	socklen_t addr_len = s.addr_len;

	memcpy(buf, p, size);
	if (kind != STEP_SAY)
		buf[size++] = '\n';
	if (kind == STEP_ADD) {
		fuzz_fds_send_one(c->fd, buf, size, listener());
		s.addr = addr;
		s.addr_len = addr_len;
	} else {
		fuzz_fds_send(c->fd, buf, size, fds);
	}
}

static void step(void)
{
	enum step kind = fuzz_u8(&s.in) % STEPS;

	switch (kind) {
	case STEP_SAY:
	case STEP_LINE:
	case STEP_ADD:
		say(kind);
		break;
	case STEP_DEAF:
		client()->deaf = true;
		break;
	case STEP_HANGUP:
	case STEPS:
		hang_up(&s.clients[fuzz_u8(&s.in) % CLIENTS]);
		break;
	}
	run();
	for (int i = 0; i < CLIENTS; i++)
		hear(&s.clients[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool open;
	unsigned int before;

	if (!open) {
		log_set_max_level(-1);
		fuzz_fds_open(4096, NULL);
		for (int i = 0; i < CLIENTS; i++)
			s.clients[i].fd = -1;
		open = true;
	}
	before = fuzz_fds_count();
	s.in = (struct fuzz_input){ data, data + size };
	start_agent();
	while (fuzz_more(&s.in))
		step();
	for (int i = 0; i < CLIENTS; i++)
		hang_up(&s.clients[i]);
	agent_free(s.agent);
	config_done(&s.config);
	fuzz_must(fuzz_fds_count() == before, "a descriptor leaks");
	return 0;
}
