// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Fuzzes what an agent answers, as the service and the operator's command read
 * it: host/pvdmad/agent_link.c, the curve (balance.c) and what is divided by it
 * (budget.c), and the counters as metrics (host/pvdmactl/metrics_table.c).
 *
 * The input is a list of steps, each a byte that says what is done (modulo the
 * number of kinds) and its arguments; 16-bit numbers are little-endian:
 *
 *	ASK	the service has a question more; from 128 on, its answer makes
 *		it ask another one
 *	SAY	size (16 bits), bytes: the agent says something
 *	LINE	likewise, and ends the line
 *	CURVE	ASK, and a LINE
 *	CLOSE	the agent goes
 *
 * Each question is answered once, with words or with an object; a quota that
 * comes of a curve is within its bounds, and their sum within the budget.
 */
#include <sys/socket.h>
#include <unistd.h>

#include "lib/log.h"
#include "lib/socket.h"
#include "pvdmactl/metrics.h"
#include "pvdmad/agent_link.h"
#include "pvdmad/balance.h"
#include "pvdmad/budget.h"
#include "tests/fuzz/support/fds.h"
#include "tests/fuzz/support/input.h"

#define BUDGET	   (UINT64_C(1) << 30)
#define VM_MAX	   (UINT64_C(3) << 28)
#define ASKED_MAX  1000
#define COPIES_MAX 20 /* questions that an answer leads to */

enum step { STEP_ASK, STEP_SAY, STEP_LINE, STEP_CURVE, STEP_CLOSE, STEPS };

static struct {
	sd_event *event;
	FILE *nowhere;
} world;

static struct {
	struct fuzz_input in;
	struct agent_link *link;
	int peer;
	bool lost;
	bool again[ASKED_MAX]; /* the answer leads to a question */
	unsigned int answers[ASKED_MAX];
	unsigned int asked, copies;
} s;

/* What agent_link_new() is to connect to; -Wl,--wrap calls us. */
static int other_end;

int __wrap_socket_connect_now(const char *path);

int __wrap_socket_connect_now(const char *path)
{
	(void)path;
	return other_end;
}

static void ask(bool again);

/* Two VMs, of which one knows nothing, the other what the agent said. */
static void divide(json_object *answer)
{
	struct budget_vm vms[2] = {
		{ .min = 4096, .max = VM_MAX, .weight = 100, .quota = 1 << 20 },
		{ .min = 4096, .max = VM_MAX, .weight = 7, .quota = 1 << 20 },
	};
	uint64_t quotas[2];

	(void)balance_read_curve(answer, &vms[0]);
	fuzz_must(vms[0].n_points <= BUDGET_POINTS_MAX, "points");
	fuzz_must(budget_divide(BUDGET, vms, 2, quotas, NULL) == 0, "divide");
	fuzz_must(quotas[0] <= VM_MAX && quotas[1] <= VM_MAX, "above its max");
	fuzz_must(quotas[1] >= 4096, "the other is below its min");
	fuzz_must(quotas[0] + quotas[1] <= BUDGET, "above the budget");
}

static void write_metrics(json_object *answer)
{
	json_object *host = json_object_new_object();
	json_object *vms = json_object_new_array();
	json_object *vm = json_object_new_object();

	json_object_object_add(vm, "name", json_object_new_string("fuzz"));
	json_object_object_add(vm, "stats", json_object_get(answer));
	(void)json_object_array_add(vms, vm);
	metrics_write(host, vms, METRICS_OPENMETRICS, world.nowhere);
	json_object_put(vms);
	json_object_put(host);
}

/* What goes on over the bus must be UTF-8. */
static void check_text(const char *text)
{
	json_tokener *tokener = json_tokener_new();
	json_object *quoted;
	size_t len = strlen(text);
	char *buf = malloc(len + 3);

	fuzz_must(tokener && buf, "no memory");
	/* of what there may be in a string, JSON minds these */
	buf[0] = '"';
	for (size_t i = 0; i < len; i++)
		buf[i + 1] = strchr("\"\\", text[i]) ||
					     (uint8_t)text[i] < 0x20 ?
				     ' ' :
				     text[i];
	buf[len + 1] = '"';
	json_tokener_set_flags(tokener, JSON_TOKENER_VALIDATE_UTF8);
	quoted = json_tokener_parse_ex(tokener, buf, (int)len + 2);
	fuzz_must(quoted != NULL, "words that are not UTF-8");
	json_object_put(quoted);
	json_tokener_free(tokener);
	free(buf);
}

static void on_answer(void *userdata, const char *error, json_object *answer,
		      const char *json)
{
	unsigned int *count = userdata;

	fuzz_must(++*count == 1, "answered twice");
	fuzz_must(error ? !answer && !json : answer && json,
		  "neither words nor an object");
	if (s.again[count - s.answers] && s.copies++ < COPIES_MAX)
		ask(true);
	if (error) {
		check_text(error);
		return;
	}
	check_text(json);
	fuzz_must(json_object_is_type(answer, json_type_object), "its type");
	divide(answer);
	write_metrics(answer);
}

static void ask(bool again)
{
	unsigned int n = s.asked;

	if (n == ASKED_MAX || s.lost || !s.link)
		return;
	s.again[n] = again;
	if (agent_link_ask(s.link, "curve", on_answer, &s.answers[n]) == 0)
		s.asked++;
}

static void on_lost(void *userdata)
{
	(void)userdata;
	s.lost = true;
}

static void connect_agent(void)
{
	int ends[2];

	fuzz_must(socketpair(AF_UNIX,
			     SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0,
			     ends) == 0,
		  "no sockets");
	other_end = ends[0];
	s.peer = ends[1];
	s.lost = false;
	fuzz_must(agent_link_new(world.event, "agent", on_lost, NULL,
				 &s.link) == 0,
		  "no link");
}

static void hang_up(void)
{
	struct agent_link *link = s.link;

	/* Those who are told that nothing comes must not ask again. */
	s.link = NULL;
	agent_link_free(link);
	close(s.peer);
	for (unsigned int i = 0; i < s.asked; i++)
		fuzz_must(s.answers[i] == 1, "a question without an answer");
	s.asked = 0;
	s.copies = 0;
	memset(s.answers, 0, sizeof(s.answers));
}

static void say(bool line)
{
	size_t size = fuzz_u16(&s.in);
	const uint8_t *p = fuzz_bytes(&s.in, &size);

	(void)send(s.peer, p, size, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (line)
		(void)send(s.peer, "\n", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void step(void)
{
	uint8_t kind = fuzz_u8(&s.in);

	switch ((enum step)(kind % STEPS)) {
	case STEP_ASK:
		ask(kind >= 128);
		break;
	case STEP_SAY:
		say(false);
		break;
	case STEP_CURVE:
		ask(false);
		say(true);
		break;
	case STEP_LINE:
		say(true);
		break;
	case STEP_CLOSE:
	case STEPS:
		(void)shutdown(s.peer, SHUT_RDWR);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned int before;

	if (!world.event) {
		log_set_max_level(-1);
		fuzz_must(sd_event_new(&world.event) >= 0, "no event loop");
		world.nowhere = fopen("/dev/null", "we");
		fuzz_must(world.nowhere != NULL, "no /dev/null");
		/* with the first timer the event loop gets a descriptor */
		connect_agent();
		hang_up();
	}
	before = fuzz_fds_count();
	s.in = (struct fuzz_input){ data, data + size };
	connect_agent();
	while (fuzz_more(&s.in)) {
		step();
		while (!s.lost && sd_event_run(world.event, 0) > 0)
			;
		(void)fuzz_fds_drain(s.peer);
		if (!s.lost)
			continue;
		hang_up();
		connect_agent();
	}
	hang_up();
	fuzz_must(fuzz_fds_count() == before, "a descriptor leaks");
	return 0;
}
