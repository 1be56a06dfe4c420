// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * top.c - pvdmactl top: what VMs do now, over and over
 *
 * Owns: two looks at all VMs, of which it shows the difference; and the terminal
 * while it shows them in place.
 *
 * Invariant: the terminal is as it was when this ends, also by a signal.
 *
 * Locks: none. In a request's way: not.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "columns.h"
#include "lib/cleanup.h"
#include "lib/clock.h"
#include "lib/log.h"
#include "lib/parse.h"
#include "verbs.h"
#include "vms.h"

#define INTERVAL_USEC 2000000
#define LEAST_USEC    100000

/* Another screen, without a cursor, and lines that are cut and not wrapped. */
#define SCREEN_ENTER "\033[?1049h\033[?25l\033[?7l"
#define SCREEN_LEAVE "\033[?7h\033[?25h\033[?1049l"
#define SCREEN_HOME  "\033[H"
#define SCREEN_EOL   "\033[K"
#define SCREEN_REST  "\033[J"

static volatile sig_atomic_t ended, suspended;

struct look {
	uint64_t ns; /* when */
	json_object *host;
	json_object *vms;
};

struct screen {
	bool live; /* shown in place */
	bool keys; /* the terminal's settings were changed */
	struct termios before;
};

static void on_signal(int signal)
{
	if (signal == SIGTSTP)
		suspended = 1;
	else
		ended = 1;
}

static void look_done(struct look *look)
{
	json_object_put(look->host);
	json_object_put(look->vms);
	*look = (struct look){ 0 };
}

static int look_take(struct ctl *ctl, struct look *ret)
{
	int r;

	*ret = (struct look){ .ns = clock_ns() };
	r = vms_host(ctl, &ret->host);
	if (r == 0)
		r = vms_list_stats(ctl, &ret->vms);
	if (r != 0)
		look_done(ret);
	return r;
}

static json_object *find(json_object *vms, const char *name)
{
	for (size_t i = 0; i < vms_length(vms); i++) {
		json_object *vm = json_object_array_get_idx(vms, i);

		if (strcmp(vms_text(vm, "name"), name) == 0)
			return vm;
	}
	return NULL;
}

/* A counter's growth a second; 0 for a VM that was not there before. */
static double rate(const struct look *before, const struct look *now,
		   json_object *vm, const char *path)
{
	json_object *old = find(before->vms, vms_text(vm, "name"));
	uint64_t from = vms_u64(old, path), to = vms_u64(vm, path);
	uint64_t ns = now->ns - before->ns;

	if (!vms_at(old, path) || to < from || ns == 0)
		return 0;
	return (double)(to - from) * 1e9 / (double)ns;
}

/* What is shown as a rate, and what it is called in JSON. */
static const struct {
	const char *name;
	const char *head;
	const char *path;
} rates[] = {
	{ "requests", ">REQ/S", "stats.vm.requests" },
	{ "maps", ">MAP/S", "stats.vm.map_requests" },
	{ "waited", ">WAIT/S", "stats.vm.map_waited_evictions" },
	{ "copies", ">COPY/S", "stats.vm.copies" },
	{ "evictions", ">EVICT/S", "stats.vm.evictions" },
	{ "failed", ">FAIL/S", "stats.vm.failed_requests" },
};
#define NUM_RATES (sizeof(rates) / sizeof(rates[0]))

/* --- for people --- */

static void print_host(const struct look *now, const char *eol, FILE *out)
{
	char budget[COLUMNS_SIZE_MAX], assigned[COLUMNS_SIZE_MAX];
	char mapped[COLUMNS_SIZE_MAX];
	uint64_t bytes = vms_u64(now->host, "budget");

	fprintf(out, "budget %s, assigned %s, mapped %s; %zu VMs%s\n%s\n",
		bytes ? columns_size(bytes, budget) : "no limit",
		columns_size(vms_u64(now->host, "assigned"), assigned),
		columns_size(vms_u64(now->host, "mapped"), mapped),
		vms_length(now->vms), eol, eol);
}

static void print_text(const struct look *before, const struct look *now,
		       const char *eol, FILE *out)
{
	const char *heads[6 + NUM_RATES + 1] = { "NAME",    "STATE", ">QUOTA",
						 ">MAPPED", ">USED", ">PEAK" };
	struct columns c;

	for (size_t k = 0; k < NUM_RATES; k++)
		heads[6 + k] = rates[k].head;
	columns_init(&c, heads);
	for (size_t i = 0; i < vms_length(now->vms); i++) {
		json_object *vm = json_object_array_get_idx(now->vms, i);
		uint64_t quota = vms_u64(vm, "quota");
		uint64_t mapped = vms_u64(vm, "stats.vm.mapped_bytes");

		columns_add(&c, "%s", vms_text(vm, "name"));
		columns_add(&c, "%s", vms_text(vm, "state"));
		columns_add_size(&c, quota);
		columns_add_size(&c, mapped);
		columns_add(&c, "%u%%", columns_percent(mapped, quota));
		columns_add_size(&c, vms_u64(vm, "stats.vm.mapped_peak"));
		for (size_t k = 0; k < NUM_RATES; k++)
			columns_add(&c, "%.1f",
				    rate(before, now, vm, rates[k].path));
	}
	print_host(now, eol, out);
	(void)columns_print(&c, eol, out);
	columns_done(&c);
}

/* --- for programs --- */

static int print_json(struct ctl *ctl, const struct look *before,
		      const struct look *now)
{
	json_object *all = json_object_get(now->host);

	for (size_t i = 0; i < vms_length(now->vms); i++) {
		json_object *vm = json_object_array_get_idx(now->vms, i);
		json_object *values = json_object_new_object();

		for (size_t k = 0; k < NUM_RATES; k++)
			json_object_object_add(
				values, rates[k].name,
				json_object_new_double(
					rate(before, now, vm, rates[k].path)));
		json_object_object_add(vm, "rates", values);
	}
	json_object_object_add(
		all, "interval",
		json_object_new_double((double)(now->ns - before->ns) / 1e9));
	json_object_object_add(all, "vms", json_object_get(now->vms));
	return ctl_print_json(ctl, all, true);
}

/* --- the terminal --- */

/* What was ignored stays so: nohup is somebody's wish. */
static void watch_signal(int signal)
{
	const struct sigaction action = { .sa_handler = on_signal };
	struct sigaction before;

	if (sigaction(signal, NULL, &before) == 0 &&
	    before.sa_handler != SIG_IGN)
		(void)sigaction(signal, &action, NULL);
}

static void watch_signals(const struct screen *screen)
{
	watch_signal(SIGINT);
	watch_signal(SIGTERM);
	watch_signal(SIGHUP);
	watch_signal(SIGQUIT);
	if (screen->live)
		watch_signal(SIGTSTP);
}

static void screen_enter(struct screen *screen)
{
	struct termios keys;

	if (!screen->live)
		return;
	if (tcgetattr(STDIN_FILENO, &screen->before) == 0) {
		keys = screen->before;
		keys.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
		screen->keys = tcsetattr(STDIN_FILENO, TCSANOW, &keys) == 0;
	}
	printf(SCREEN_ENTER);
}

static void screen_leave(const struct screen *screen)
{
	if (!screen->live)
		return;
	if (screen->keys)
		(void)tcsetattr(STDIN_FILENO, TCSANOW, &screen->before);
	printf(SCREEN_LEAVE);
	(void)fflush(stdout);
}

/* Ctrl-Z: the shell gets the terminal as it had it, until it gives it back. */
static void screen_suspend(struct screen *screen)
{
	suspended = 0;
	screen_leave(screen);
	/* where no shell is that could wake us the kernel does not stop us */
	(void)signal(SIGTSTP, SIG_DFL);
	(void)raise(SIGTSTP);
	watch_signal(SIGTSTP);
	screen_enter(screen);
}

/* Waits; false: there was enough of it. */
static bool screen_wait(struct screen *screen, uint64_t usec)
{
	struct pollfd fd = { .fd = screen->keys ? STDIN_FILENO : -1,
			     .events = POLLIN };
	char key;

	if (poll(&fd, 1, (int)(usec / 1000)) > 0 &&
	    (read(STDIN_FILENO, &key, 1) <= 0 || key == 'q'))
		return false;
	if (suspended)
		screen_suspend(screen);
	return !ended;
}

/* As much of @text as the terminal has lines, so that nothing scrolls away. */
static void print_lines(const char *text)
{
	struct winsize size = { 0 };
	size_t rows = SIZE_MAX;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 1)
		rows = size.ws_row - 1u;
	while (*text && rows-- > 0) {
		size_t n = strcspn(text, "\n");

		n += text[n] == '\n';
		(void)fwrite(text, 1, n, stdout);
		text += n;
	}
}

static int show_in_place(const struct look *before, const struct look *now)
{
	_cleanup_free_ char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return CTL_FAILED;
	print_text(before, now, SCREEN_EOL, f);
	if (fclose(f) != 0)
		return CTL_FAILED;
	printf(SCREEN_HOME);
	print_lines(text);
	printf(SCREEN_REST);
	return CTL_OK;
}

static int show(struct ctl *ctl, const struct screen *screen,
		const struct look *before, const struct look *now)
{
	if (ctl->json)
		return print_json(ctl, before, now);
	if (!screen->live)
		print_text(before, now, "", stdout);
	else if (show_in_place(before, now) != CTL_OK)
		return CTL_FAILED;
	return fflush(stdout) == 0 && !ferror(stdout) ? CTL_OK : CTL_FAILED;
}

static int loop(struct ctl *ctl, struct screen *screen, bool once,
		uint64_t usec)
{
	struct look before, now;
	int r = look_take(ctl, &before);

	if (r != 0)
		return r;
	/* At once, with no rates yet, where somebody waits for the first. */
	if (screen->live)
		r = show(ctl, screen, &before, &before);
	while (r == 0 && screen_wait(screen, usec)) {
		r = look_take(ctl, &now);
		if (r != 0)
			break;
		r = show(ctl, screen, &before, &now);
		look_done(&before);
		before = now;
		if (once)
			break;
	}
	look_done(&before);
	return r;
}

int top_run(struct ctl *ctl, const struct verb_args *args)
{
	const char *interval = verbs_option(args, "interval");
	bool once = verbs_option(args, "once") != NULL;
	uint64_t usec = once ? INTERVAL_USEC / 2 : INTERVAL_USEC;
	struct screen screen = {
		.live = !once && !ctl->json && columns_in_place(stdout),
	};
	int r;

	if (interval && (parse_duration(interval, &usec) < 0 ||
			 usec < LEAST_USEC || usec > 3600000000)) {
		log_err("interval %s: expected a time from 100ms to 60min",
			interval);
		return CTL_USAGE;
	}
	r = ctl_connect(ctl);
	if (r != 0)
		return r;
	watch_signals(&screen);
	screen_enter(&screen);
	r = loop(ctl, &screen, once, usec);
	screen_leave(&screen);
	if (r != 0 && screen.live)
		log_err("%s", log_last_error()); /* it went with the screen */
	return r;
}
