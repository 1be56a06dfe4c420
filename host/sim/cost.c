// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * cost.c - what requests and mappings cost, in microseconds
 *
 * Owns the default model. Locks: none.
 */
#include "host/sim/cost.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/lib/cleanup.h"
#include "host/lib/log.h"
#include "host/lib/parse.h"

/*
 * VFIO type1 with an emulated VT-d, pages present; all values on the scale of
 * that emulation, where everything takes some ten times as long as on a real
 * machine. Only their ratios matter.
 */
const struct cost_model cost_default = {
	.round_trip_us = 80,
	.retry_us = 1000,
	.failure_us = 100000,
	.copy_us_per_kib = 1,
	.sizes = {
		{ 4096, 17, 15 },
		{ 65536, 64, 42 },
		{ 2097152, 1204, 842 },
	},
	.n_sizes = 3,
};

static double interpolate(uint64_t bytes, const struct cost_size *a,
			  const struct cost_size *b, double va, double vb)
{
	double at = log((double)bytes / (double)a->bytes) /
		    log((double)b->bytes / (double)a->bytes);

	return va * pow(vb / va, at);
}

static double look_up(const struct cost_model *model, uint64_t bytes, bool map)
{
	const struct cost_size *s = model->sizes;
	size_t n = model->n_sizes, i = 0;
	double last = map ? s[n - 1].map_us : s[n - 1].unmap_us;

	if (bytes <= s[0].bytes)
		return map ? s[0].map_us : s[0].unmap_us;
	if (bytes >= s[n - 1].bytes)
		return last * (double)bytes / (double)s[n - 1].bytes;
	while (s[i + 1].bytes < bytes)
		i++;
	return interpolate(bytes, &s[i], &s[i + 1],
			   map ? s[i].map_us : s[i].unmap_us,
			   map ? s[i + 1].map_us : s[i + 1].unmap_us);
}

double cost_map(const struct cost_model *model, uint64_t bytes)
{
	return look_up(model, bytes, true);
}

double cost_unmap(const struct cost_model *model, uint64_t bytes)
{
	return look_up(model, bytes, false);
}

static bool get_us(const char *word, double *ret)
{
	char *end;
	double v;

	if (!word)
		return false;
	v = strtod(word, &end);
	/* also false for NaN */
	if (end == word || *end || !(v > 0 && v < 1e12))
		return false;
	*ret = v;
	return true;
}

/* "size BYTES MAP_US UNMAP_US", behind the first word. NULL: fine. */
static const char *take_size(struct cost_model *model, char **rest)
{
	const char *bytes = strtok_r(NULL, " \t", rest);
	struct cost_size *s = &model->sizes[model->n_sizes];

	if (model->n_sizes == COST_SIZES_MAX)
		return "there are too many sizes";
	if (!bytes || parse_size(bytes, &s->bytes) || s->bytes == 0)
		return "the size is not one";
	if (model->n_sizes && s[-1].bytes >= s->bytes)
		return "sizes must rise";
	if (!get_us(strtok_r(NULL, " \t", rest), &s->map_us) ||
	    !get_us(strtok_r(NULL, " \t", rest), &s->unmap_us))
		return "a size needs two positive numbers, map and unmap";
	model->n_sizes++;
	return NULL;
}

static const char *take_line(struct cost_model *model, char *line)
{
	const char *error = NULL;
	double *value = NULL;
	char *rest = NULL, *word;

	line[strcspn(line, "#\r\n")] = '\0';
	word = strtok_r(line, " \t", &rest);
	if (!word)
		return NULL;
	if (!strcmp(word, "round_trip"))
		value = &model->round_trip_us;
	else if (!strcmp(word, "retry"))
		value = &model->retry_us;
	else if (!strcmp(word, "failure"))
		value = &model->failure_us;
	else if (!strcmp(word, "copy"))
		value = &model->copy_us_per_kib;
	else if (!strcmp(word, "size"))
		error = take_size(model, &rest);
	else
		return "the first word is none of round_trip, retry, failure, "
		       "copy, size";
	if (value && !get_us(strtok_r(NULL, " \t", &rest), value))
		return "a positive number of microseconds is missing";
	if (!error && strtok_r(NULL, " \t", &rest))
		return "there is something behind the last number";
	return error;
}

int cost_load(const char *path, struct cost_model *ret)
{
	struct cost_model model = cost_default;
	_cleanup_fclose_ FILE *file = fopen(path, "re");
	_cleanup_free_ char *line = NULL;
	size_t size = 0, n = 0;

	if (!file)
		return log_err_errno(errno, "cannot open %s", path);
	model.n_sizes = 0;
	while (getline(&line, &size, file) >= 0) {
		const char *error = take_line(&model, line);

		n++;
		if (error) {
			log_err("%s, line %zu: %s", path, n, error);
			return -EINVAL;
		}
	}
	if (ferror(file))
		return log_err_errno(EIO, "cannot read %s", path);
	if (model.n_sizes == 0) {
		memcpy(model.sizes, cost_default.sizes, sizeof(model.sizes));
		model.n_sizes = cost_default.n_sizes;
	}
	*ret = model;
	return 0;
}
