// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * trace_text.c - one line of what the kernel's events/dma tracepoints print
 *
 * A line is: task, "[cpu]", flags (not in perf's and not in all of trace-cmd's),
 * seconds, ":", the event's name, ":", the device, then fields KEY=VALUE. The
 * task's name may hold anything, so the part that can be told for sure is
 * looked for: "[digits]" with a time and the name of an event behind it. Fields
 * are taken by name, in any order; unknown ones are passed over. Numbers of
 * single fields are bare hexadecimal, as the kernel's format says; those in
 * braces are what their prefix says, for the kernel and trace-cmd differ.
 *
 * Owns nothing but what the caller lends. Locks: none.
 */
#include "host/sim/trace_text.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "host/lib/macros.h"

#define ARRAY_MAX TRACE_SEGMENTS_MAX

/* NVM Express, NVM Command Set: opcodes of commands without data */
#define NVME_FLUSH	  0u
#define NVME_WRITE_ZEROES 8u

static const struct event_name {
	const char *name;
	enum text_event event;
	bool mmio;
} event_names[] = {
	{ "dma_map_page", TEXT_MAP, false },
	{ "dma_map_phys", TEXT_MAP, false },
	{ "dma_map_resource", TEXT_MAP, true },
	{ "dma_unmap_page", TEXT_UNMAP, false },
	{ "dma_unmap_phys", TEXT_UNMAP, false },
	{ "dma_unmap_resource", TEXT_UNMAP, true },
	{ "dma_map_sg", TEXT_MAP_SG, false },
	{ "dma_unmap_sg", TEXT_UNMAP_SG, false },
	{ "dma_alloc", TEXT_ALLOC, false },
	{ "dma_free", TEXT_FREE, false },
	{ "dma_alloc_pages", TEXT_ALLOC_PAGES, false },
	{ "dma_free_pages", TEXT_FREE_PAGES, false },
	{ "dma_alloc_sgt", TEXT_ALLOC_PAGES, false },
	{ "dma_free_sgt", TEXT_FREE_PAGES, false },
	{ "nvme_setup_cmd", TEXT_COMMAND, false },
	{ "nvme_complete_rq", TEXT_COMMAND_END, false },
};

static const char *skip_blanks(const char *s)
{
	while (*s == ' ' || *s == '\t')
		s++;
	return s;
}

/* Digits of @base at @s: where they end, or NULL (none, or too many). */
static const char *get_digits(const char *s, unsigned int base, uint64_t *ret)
{
	const char *start = s;
	uint64_t v = 0;

	for (;; s++) {
		unsigned int digit;

		if (*s >= '0' && *s <= '9')
			digit = (unsigned int)(*s - '0');
		else if (base == 16 && isxdigit((unsigned char)*s))
			digit = (unsigned int)(tolower((unsigned char)*s) -
					       'a' + 10);
		else
			break;
		if (__builtin_mul_overflow(v, base, &v) ||
		    __builtin_add_overflow(v, digit, &v))
			return NULL;
	}
	*ret = v;
	return s == start ? NULL : s;
}

/* Seconds with at most nine decimals, and the colon behind them. */
static const char *get_time(const char *s, uint64_t *ret_ns)
{
	uint64_t seconds, part = 0, scale = UINT64_C(1000000000);

	s = get_digits(s, 10, &seconds);
	if (!s || *s != '.' || seconds > UINT64_MAX / scale - 1)
		return NULL;
	for (s++; *s >= '0' && *s <= '9' && scale > 1; s++) {
		scale /= 10;
		part += (uint64_t)(*s - '0') * scale;
	}
	if (*s != ':' || scale == UINT64_C(1000000000))
		return NULL;
	*ret_ns = seconds * UINT64_C(1000000000) + part;
	return s + 1;
}

/* "dma_map_sg:", or perf's "dma:dma_map_sg:" */
static const char *get_event(const char *s, const struct event_name **ret)
{
	size_t n;

	s = skip_blanks(s);
	if (!strncmp(s, "dma:", 4))
		s += 4;
	else if (!strncmp(s, "nvme:", 5))
		s += 5;
	n = strspn(s, "abcdefghijklmnopqrstuvwxyz_");
	if (s[n] != ':')
		return NULL;
	for (size_t i = 0; i < ARRAY_SIZE(event_names); i++) {
		const struct event_name *e = &event_names[i];

		if (strlen(e->name) == n && !memcmp(e->name, s, n)) {
			*ret = e;
			return s + n + 1;
		}
	}
	return NULL;
}

/* "task-12 [", "task 12 [", "task-12 (   12) [": the number before @s. */
static uint64_t get_pid(const char *start, const char *s)
{
	uint64_t pid;

	while (s > start && s[-1] == ' ')
		s--;
	if (s > start && s[-1] == ')') {
		while (s > start && *s != '(')
			s--;
		while (s > start && s[-1] == ' ')
			s--;
	}
	while (s > start && s[-1] >= '0' && s[-1] <= '9')
		s--;
	return get_digits(s, 10, &pid) ? pid : 0;
}

/* From "[" on: the CPU, flags perhaps, time and event. */
static const char *get_prefix(const char *s, struct text_line *line,
			      const struct event_name **ret)
{
	const char *next;
	uint64_t cpu;

	s = get_digits(s + 1, 10, &cpu);
	if (!s || *s != ']' || cpu > UINT32_MAX)
		return NULL;
	line->cpu = (uint32_t)cpu;
	s = skip_blanks(s + 1);
	next = get_time(s, &line->time_ns);
	if (!next) {
		s = skip_blanks(s + strcspn(s, " \t"));
		next = get_time(s, &line->time_ns);
	}
	return next ? get_event(next, ret) : NULL;
}

static int array_add(struct text_array *a, uint64_t item)
{
	if (a->n == a->max) {
		size_t max = 2 * a->max + 64;
		uint64_t *bigger = reallocarray(a->items, max, sizeof(item));

		if (!bigger)
			return -ENOMEM;
		a->items = bigger;
		a->max = max;
	}
	a->items[a->n++] = item;
	return 0;
}

/* "{0x1000,0x2000}", "{4096 8192}"; @s is behind the "{". */
static int get_array(const char *s, struct text_array *a, const char **ret_end)
{
	uint64_t item;
	int r = 0;

	a->n = 0;
	*ret_end = NULL;
	for (;; s++) {
		while (*s == ' ' || *s == ',')
			s++;
		if (*s == '}')
			break;
		if (s[0] == '0' && s[1] == 'x')
			s = get_digits(s + 2, 16, &item);
		else
			s = get_digits(s, 10, &item);
		if (!s || a->n == ARRAY_MAX || !memchr(" ,}", *s, 3))
			return 0;
		r = array_add(a, item);
		if (r)
			return r;
		if (*s == '}')
			break;
	}
	*ret_end = s + 1;
	return 0;
}

/* What has been seen of a line's fields. */
struct fields {
	bool dir, dma_addr, phys_addr, size, nents, sizes, phys_addrs;
};

static bool is(const char *key, size_t n, const char *name)
{
	return strlen(name) == n && !memcmp(key, name, n);
}

static bool set_dir(const char *value, size_t n, struct text_line *line)
{
	if (is(value, n, "BIDIRECTIONAL"))
		line->dir = TRACE_BIDIRECTIONAL;
	else if (is(value, n, "TO_DEVICE"))
		line->dir = TRACE_TO_DEVICE;
	else if (is(value, n, "FROM_DEVICE"))
		line->dir = TRACE_FROM_DEVICE;
	else
		return false;
	return true;
}

static bool contains(const char *value, size_t n, const char *word)
{
	return memmem(value, n, word, strlen(word)) != NULL;
}

static bool is_null(const char *value, size_t n)
{
	return is(value, n, "(null)") || strspn(value, "0x") >= n;
}

/*
 * Coherent memory has no direction of its own: kernels have printed none (6.12
 * before .48), and whatever was in memory (up to 6.17).
 */
static bool is_coherent(enum text_event event)
{
	return event == TEXT_ALLOC || event == TEXT_FREE ||
	       event == TEXT_ALLOC_PAGES || event == TEXT_FREE_PAGES;
}

/* A field whose value is not in braces. NULL, or what is wrong with it. */
static const char *set_field(const char *key, size_t n, const char *value,
			     size_t len, struct text_line *line,
			     struct fields *seen)
{
	const char *end = value + len;

	if (is(key, n, "dir")) {
		seen->dir = set_dir(value, len, line) ||
			    is_coherent(line->event);
		return seen->dir ? NULL : "the direction is not known";
	}
	if (is(key, n, "dma_addr")) {
		seen->dma_addr = get_digits(value, 16, &line->dma_addr) == end;
		return seen->dma_addr ? NULL : "dma_addr is no number";
	}
	if (is(key, n, "phys_addr")) {
		seen->phys_addr = get_digits(value, 16, &line->phys_addr) ==
				  end;
		return seen->phys_addr ? NULL : "phys_addr is no number";
	}
	if (is(key, n, "size")) {
		seen->size = get_digits(value, 10, &line->size) == end;
		return seen->size ? NULL : "size is no number";
	}
	if (is(key, n, "nents")) {
		const char *slash = memchr(value, '/', len);

		seen->nents = slash &&
			      get_digits(slash + 1, 10, &line->nents) == end;
		return seen->nents ? NULL : "nents is not of the form 1/1";
	}
	if (is(key, n, "ents")) {
		const char *slash = memchr(value, '/', len);

		if (!slash || get_digits(slash + 1, 10, &line->ents) != end)
			return "ents is not of the form 1/1";
	}
	if (is(key, n, "virt_addr") && is_null(value, len))
		line->failed = true;
	if (is(key, n, "attrs") && contains(value, len, "MMIO"))
		line->mmio = true;
	if (is(key, n, "attrs") && contains(value, len, "SKIP_CPU_SYNC"))
		line->pool = true;
	return NULL;
}

/* All fields from @s on. *@ret_error stays NULL if all is well. */
static int get_fields(const char *s, struct text_line *line,
		      struct fields *seen, const char **ret_error)
{
	for (s = skip_blanks(s); *s; s = skip_blanks(s)) {
		size_t word = strcspn(s, " \t"), n = strcspn(s, " \t=");
		struct text_array other = { 0 }, *array = &other;
		bool *mark = NULL;
		const char *end;
		int r;

		if (is(s, word, "[TRUNCATED]"))
			line->truncated = true;
		if (s[n] != '=' || s[n + 1] != '{') {
			if (s[n] == '=')
				*ret_error = set_field(s, n, s + n + 1,
						       word - n - 1, line,
						       seen);
			if (*ret_error)
				return 0;
			s += word;
			continue;
		}
		if (is(s, n, "sizes")) {
			array = &line->sizes;
			mark = &seen->sizes;
		} else if (is(s, n, "phys_addrs")) {
			array = &line->phys_addrs;
			mark = &seen->phys_addrs;
		}
		r = get_array(s + n + 2, array, &end);
		free(other.items);
		if (r)
			return r;
		if (!end) {
			*ret_error = "a list in braces is malformed";
			return 0;
		}
		if (mark)
			*mark = true;
		s = end;
	}
	return 0;
}

static const char *missing(enum text_event event, const struct fields *seen)
{
	bool sg = event == TEXT_MAP_SG || event == TEXT_UNMAP_SG;

	if (!seen->dir && !is_coherent(event))
		return "dir= is missing";
	if (!sg && !seen->dma_addr)
		return "dma_addr= is missing";
	if (!sg && !seen->size)
		return "size= is missing";
	if (event == TEXT_MAP && !seen->phys_addr)
		return "phys_addr= is missing";
	if (sg && !seen->phys_addrs)
		return "phys_addrs= is missing";
	if (event == TEXT_MAP_SG && !seen->sizes)
		return "sizes= is missing";
	return NULL;
}

static bool get_pair(const char *s, const char *key, uint32_t *ret)
{
	uint64_t v;

	s = strstr(s, key);
	if (!s || !get_digits(s + strlen(key), 10, &v) || v > UINT32_MAX)
		return false;
	*ret = (uint32_t)v;
	return true;
}

/* Has the command no data? */
static bool is_empty(const char *s)
{
	uint32_t opcode;

	if (strstr(s, "nvme_cmd_flush") || strstr(s, "nvme_cmd_write_zeroes"))
		return true;
	return get_pair(s, " opcode=", &opcode) &&
	       (opcode == NVME_FLUSH || opcode == NVME_WRITE_ZEROES);
}

/*
 * "nvme0: disk=nvme0n1, qid=1, cmdid=7, ..., cmd=(nvme_cmd_read ...)"; or the
 * fields as they are, since trace-cmd and perf do not know the kernel's functions
 * that print them: "[FAILED TO PARSE] disk=... ctrl_id=0 qid=1 opcode=2 ... cid=7"
 */
static int parse_command(const char *s, struct text_line *line,
			 const char **ret_error)
{
	bool raw = get_pair(s, " ctrl_id=", &line->command.ctrl);

	if ((!raw && !get_pair(s, "nvme", &line->command.ctrl)) ||
	    !get_pair(s, " qid=", &line->command.queue) ||
	    !get_pair(s, raw ? " cid=" : " cmdid=", &line->command.id)) {
		*ret_error = "nvmeN: or ctrl_id=, qid=, or cmdid= or cid= is "
			     "missing";
		return TEXT_WRONG;
	}
	return is_empty(s) ? TEXT_OTHER : TEXT_EVENT;
}

static int parse_event(const char *s, const struct event_name *name,
		       struct text_line *line, const char **ret_error)
{
	struct fields seen = { 0 };
	size_t n;
	int r;

	line->event = name->event;
	line->mmio = name->mmio;
	line->failed = line->truncated = line->pool = false;
	line->dir = TRACE_BIDIRECTIONAL;
	line->ents = 0;
	*ret_error = NULL;
	if (name->event == TEXT_COMMAND || name->event == TEXT_COMMAND_END)
		return parse_command(s, line, ret_error);
	s = skip_blanks(s);
	n = strcspn(s, " \t");
	if (n == 0) {
		*ret_error = "the device is missing";
		return TEXT_WRONG;
	}
	memset(line->device, 0, sizeof(line->device));
	memcpy(line->device, s, min(n, sizeof(line->device) - 1));
	r = get_fields(s + n, line, &seen, ret_error);
	if (r)
		return r;
	if (!*ret_error)
		*ret_error = missing(line->event, &seen);
	/* kernels before 2026 do not print it, nor cut the list */
	if (line->event == TEXT_MAP_SG && !seen.nents)
		line->nents = line->phys_addrs.n;
	if (!*ret_error && line->event == TEXT_MAP &&
	    line->dma_addr == UINT64_MAX)
		line->failed = true;
	return *ret_error ? TEXT_WRONG : TEXT_EVENT;
}

/*
 * "CPU:1 [LOST 5 EVENTS]" (tracefs), "CPU:1 [5 EVENTS DROPPED]" (trace-cmd),
 * both also without the number, and the head line of tracefs, "#
 * entries-in-buffer/entries-written: 10/15", whose difference was overwritten.
 */
static bool parse_lost(const char *s, uint64_t *ret)
{
	static const char written[] = "entries-in-buffer/entries-written:";
	const char *bracket, *at = strstr(s, written);
	uint64_t in_buffer, all;

	if (s[0] == '#' && at) {
		at = get_digits(skip_blanks(at + strlen(written)), 10,
				&in_buffer);
		if (!at || *at != '/' || !get_digits(at + 1, 10, &all) ||
		    all <= in_buffer)
			return false;
		*ret = all - in_buffer;
		return true;
	}
	if (strncmp(s, "CPU:", 4))
		return false;
	bracket = strchr(s, '[');
	if (!bracket || !strstr(bracket, "EVENTS") ||
	    (!strstr(bracket, "LOST") && !strstr(bracket, "DROPPED")))
		return false;
	bracket += strcspn(bracket, "0123456789");
	if (!get_digits(bracket, 10, ret) || *ret == 0)
		*ret = 1;
	return true;
}

int text_parse(const char *text, struct text_line *line, uint64_t *ret_lost,
	       const char **ret_error)
{
	const struct event_name *name = NULL;

	if (parse_lost(text, ret_lost))
		return TEXT_LOST;
	if (text[0] == '#')
		return TEXT_OTHER;
	for (const char *s = strchr(text, '['); s; s = strchr(s + 1, '[')) {
		const char *rest = get_prefix(s, line, &name);

		if (!rest)
			continue;
		line->pid = get_pid(text, s);
		return parse_event(rest, name, line, ret_error);
	}
	for (const char *s = strstr(text, ": "); s; s = strstr(s + 2, ": "))
		if (get_event(s + 2, &name)) {
			*ret_error = "before the event there is no [CPU] with "
				     "a time in seconds";
			return TEXT_WRONG;
		}
	return TEXT_OTHER;
}

void text_line_done(struct text_line *line)
{
	free(line->sizes.items);
	free(line->phys_addrs.items);
	line->sizes = line->phys_addrs = (struct text_array){ 0 };
}
