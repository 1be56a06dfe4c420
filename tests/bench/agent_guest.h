/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * agent_guest.h - a guest, its VMM and the agent's engine in one process
 *
 * The engine is what the agent has behind its socket: vhost/, the VM and all of
 * its parts, on an event loop. The VMM's side of vhost-user and the driver's
 * side of the queues are played here, so that nothing but the agent's own
 * work lies between a kick and the answer. What cannot be ends the program.
 */
#ifndef PVDMA_TESTS_BENCH_AGENT_GUEST_H
#define PVDMA_TESTS_BENCH_AGENT_GUEST_H

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#define BENCH_QUEUES_MAX 4
#define BENCH_RANGES_MAX 64
/* Below it are the rings and requests; leaves are at the end of memory. */
#define BENCH_LOW (1024u * 1024u)

struct bench_config {
	uint64_t size;	/* of the guest's memory, bytes */
	uint64_t quota; /* bytes */
	uint8_t shift;	/* of a granule */
	uint16_t queues;
	bool ahead;
	bool null; /* the IOMMU is the null one, not one that only adds up */
};

struct bench_guest {
	sd_event *event;
	struct vm *vm;
	struct vhost *vhost;
	int fd, peer;
	int kicks[BENCH_QUEUES_MAX];
	uint8_t *mem;
	uint64_t size;
	uint8_t shift;
	uint16_t queues;
	bool work; /* vm_work() wants to run */
	uint16_t sent[BENCH_QUEUES_MAX];
};

/* Ends the program, saying what is wrong, unless @ok. */
void bench_must(bool ok, const char *what);

/* Up to queues that run, and a VM of whom no driver has been heard. */
void bench_start(struct bench_guest *g, const struct bench_config *config);
/* INIT, a leaf for all words and blocks, and endpoint 0 is attached. */
void bench_boot(struct bench_guest *g);
/* Ends it all; the books must balance. */
void bench_stop(struct bench_guest *g);

/* Granules from the first one that is no ring to the last that is no leaf. */
uint64_t bench_first(const struct bench_guest *g);
uint64_t bench_end(const struct bench_guest *g);

/* Counts words of [@first, @first + @count) up or down, as a driver does. */
void bench_hold(const struct bench_guest *g, uint64_t first, uint32_t count,
		bool up);

/*
 * Puts a request of @n ranges of @count granules, which begin at @firsts, into
 * queue @q. Nobody hears of it before bench_kick().
 */
void bench_put(struct bench_guest *g, uint16_t q, uint8_t type,
	       const uint64_t *firsts, uint16_t n, uint32_t count);
void bench_kick(const struct bench_guest *g, uint16_t q);
/* Has the agent run until all is answered. */
void bench_serve(const struct bench_guest *g);
/* The granules that the last answer in @q says were mapped; it must be OK. */
uint32_t bench_answer(const struct bench_guest *g, uint16_t q);

#endif
