// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * bench_svg.c - the results of --bench as a drawing: cost over quota
 *
 * A panel for each trace, side by side; both axes logarithmic, for costs span
 * orders of magnitude. No program but a browser is needed to see it.
 */
#include <inttypes.h>
#include <math.h>

#include "host/sim/bench.h"

#define COLUMNS 4u
#define WIDTH	300u /* of a panel, in pixels */
#define HEIGHT	220u
#define LEFT	52u /* margins of a panel */
#define RIGHT	12u
#define TOP	34u
#define BOTTOM	28u
#define HEAD	40u /* of the whole drawing */

static const struct line {
	const char *name;
	const char *colour;
	int width;
} lines[] = {
	{ "4K", "#9ecae1", 1 },	 { "16K", "#6baed6", 1 },
	{ "64K", "#4292c6", 1 }, { "256K", "#2171b5", 1 },
	{ "2M", "#084594", 1 },	 { "engine", "#d94801", 3 },
};

#define LINES (sizeof(lines) / sizeof(*lines))

static double cost_ms(const struct bench_point *p, unsigned int line)
{
	double us = line < BENCH_SIZES ? p->fixed[line].cost_us :
					 p->engine.cost_us;

	return fmax(us, 1) / 1000;
}

struct panel {
	const struct bench_trace *trace;
	double left, top;   /* of the area of curves */
	double low, high;   /* costs, logarithms */
	double first, last; /* quotas, logarithms */
};

static double x_of(const struct panel *p, double pct)
{
	double span = p->last > p->first ? p->last - p->first : 1;

	return p->left + (log(pct) - p->first) / span * (WIDTH - LEFT - RIGHT);
}

static double y_of(const struct panel *p, double ms)
{
	return p->top + (p->high - log10(ms)) / (p->high - p->low) *
				(HEIGHT - TOP - BOTTOM);
}

static void set_range(struct panel *panel)
{
	const struct bench_trace *t = panel->trace;

	panel->low = INFINITY;
	panel->high = -INFINITY;
	for (unsigned int k = 0; k < t->n_points; k++)
		for (unsigned int line = 0; line < LINES; line++) {
			double v = log10(cost_ms(&t->points[k], line));

			panel->low = fmin(panel->low, v);
			panel->high = fmax(panel->high, v);
		}
	panel->low = floor(panel->low);
	panel->high = fmax(ceil(panel->high), panel->low + 1);
	panel->first = log(t->points[0].quota_pct);
	panel->last = log(t->points[t->n_points - 1].quota_pct);
}

static void draw_axes(FILE *out, const struct panel *p)
{
	double right = p->left + WIDTH - LEFT - RIGHT;
	double bottom = p->top + HEIGHT - TOP - BOTTOM;
	int low = (int)p->low, high = (int)p->high;

	for (int power = low; power <= high; power++) {
		double value = pow(10, power), y = y_of(p, value);

		fprintf(out,
			"<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" "
			"stroke=\"#ddd\"/><text x=\"%.1f\" y=\"%.1f\" "
			"text-anchor=\"end\">%g</text>\n",
			p->left, y, right, y, p->left - 4, y + 4, value);
	}
	for (unsigned int k = 0; k < p->trace->n_points; k++) {
		unsigned int pct = p->trace->points[k].quota_pct;

		fprintf(out,
			"<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">"
			"%u%%</text>\n",
			x_of(p, pct), bottom + 15, pct);
	}
}

static void draw_panel(FILE *out, const struct bench_trace *t, unsigned int at)
{
	unsigned int column = at % COLUMNS, row = at / COLUMNS;
	struct panel p = {
		.trace = t,
		.left = column * WIDTH + LEFT,
		.top = HEAD + row * HEIGHT + TOP,
	};

	set_range(&p);
	/* names come from file names: only what is harmless is shown */
	fprintf(out, "<text x=\"%.1f\" y=\"%.1f\" font-weight=\"bold\">",
		p.left, p.top - 16);
	for (const char *c = t->name; *c; c++)
		fputc(*c > 0x20 && *c < 0x7f && *c != '<' && *c != '&' ? *c :
									 '_',
		      out);
	fprintf(out, "</text><text x=\"%.1f\" y=\"%.1f\">%.1f MiB</text>\n",
		p.left, p.top - 4, (double)t->working_set / 1048576);
	draw_axes(out, &p);
	for (unsigned int line = 0; line < LINES; line++) {
		fprintf(out,
			"<polyline fill=\"none\" stroke=\"%s\" "
			"stroke-width=\"%d\" points=\"",
			lines[line].colour, lines[line].width);
		for (unsigned int k = 0; k < t->n_points; k++)
			fprintf(out, "%.1f,%.1f ",
				x_of(&p, t->points[k].quota_pct),
				y_of(&p, cost_ms(&t->points[k], line)));
		fputs("\"/>\n", out);
	}
}

void bench_print_svg(FILE *out, const struct bench_trace *traces,
		     unsigned int n)
{
	unsigned int rows = (n + COLUMNS - 1) / COLUMNS;

	fprintf(out,
		"<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%u\" "
		"height=\"%u\" font-family=\"sans-serif\" font-size=\"11\">\n"
		"<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n"
		"<text x=\"%u\" y=\"18\" font-size=\"13\">Modelled cost in ms "
		"over the quota as a share of the 4 KiB working set</text>\n",
		COLUMNS * WIDTH, HEAD + rows * HEIGHT, LEFT);
	for (unsigned int line = 0; line < LINES; line++)
		fprintf(out,
			"<line x1=\"%u\" y1=\"30\" x2=\"%u\" y2=\"30\" "
			"stroke=\"%s\" stroke-width=\"%d\"/>"
			"<text x=\"%u\" y=\"34\">%s%s</text>\n",
			LEFT + line * 100, LEFT + line * 100 + 20,
			lines[line].colour, lines[line].width,
			LEFT + line * 100 + 25, lines[line].name,
			line < BENCH_SIZES ? ", CLOCK" : "");
	for (unsigned int i = 0; i < n; i++)
		if (traces[i].n_points)
			draw_panel(out, &traces[i], i);
	fputs("</svg>\n", out);
}
