/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * progress.h - a bar on the terminal for what takes long
 */
#ifndef PVDMA_SIM_PROGRESS_H
#define PVDMA_SIM_PROGRESS_H

#include <stdbool.h>

struct progress {
	bool on;	  /* stderr is a terminal, and asked for */
	unsigned int at;  /* steps begun */
	unsigned int all; /* 0: not known */
	const char *what;
	double drawn; /* when, in seconds */
};

/* @all steps follow. Nothing is drawn before half a second has passed. */
void progress_start(struct progress *progress, unsigned int all);

/* Begins a step. @userdata is the struct progress. */
void progress_step(void *userdata);

/* Wipes the bar. */
void progress_end(struct progress *progress);

#endif
