// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * edu: lets QEMU's "edu" device do one DMA to memory of this process
 *
 * usage: edu 0000:00:05.0 [at|above ADDRESS]
 *
 * Runs in the guest. The device has a DMA engine with registers and no
 * driver: what a device does that nobody looks after. It is told to write a
 * page of ours, and then to read it; with "above", one that lies there.
 *
 * Prints "reached" when the write changed the page, and "blocked" when it did
 * not. Exit status 0 in both cases, 1 where the device cannot be used. Whether
 * the read got through is seen by the host alone.
 *
 * With "at" it copies 64 bytes at that address to half a page behind them, and
 * says nothing: it is the host, and the owner of the memory, who see what came
 * of it.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "../modules/edudma/edu_regs.h"

#define BAR_SIZE (1 << 20)
#define BYTES	 64u
#define PAGE	 4096u
#define WAIT_MS	 30000

static volatile uint8_t *bar;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void reg_write(unsigned int reg, uint64_t value)
{
	*(volatile uint64_t *)(bar + reg) = value;
}

static uint64_t reg_read(unsigned int reg)
{
	return *(volatile uint64_t *)(bar + reg);
}

static void open_device(const char *bdf)
{
	char path[256];
	uint16_t command = 0x0006; /* memory decoding, bus master */
	int fd;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/config", bdf);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0 || pwrite(fd, &command, 2, 4) != 2)
		die(path);
	close(fd);
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/resource0", bdf);
	fd = open(path, O_RDWR | O_SYNC | O_CLOEXEC);
	bar = fd < 0 ? MAP_FAILED :
		       mmap(NULL, BAR_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
			    fd, 0);
	if (bar == MAP_FAILED)
		die(path);
	if ((*(volatile uint32_t *)(bar + EDU_ID) & 0xff) != 0xed) {
		fputs("edu: this is not the device\n", stderr);
		exit(1);
	}
}

/* Where a page of ours is in the machine's memory. */
static uint64_t physical(const void *page)
{
	uint64_t entry = 0;
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

	if (fd < 0 ||
	    pread(fd, &entry, 8, (off_t)((uintptr_t)page / PAGE * 8)) != 8)
		die("/proc/self/pagemap");
	close(fd);
	if (!(entry >> 63) || !(entry << 9)) {
		fputs("edu: the page has no known address\n", stderr);
		exit(1);
	}
	return (entry & ((1ull << 55) - 1)) * PAGE;
}

static void transfer(uint64_t from, uint64_t to, unsigned int command)
{
	struct timespec ms = { .tv_nsec = 1000000 };

	reg_write(EDU_DMA_SRC, from);
	reg_write(EDU_DMA_DST, to);
	reg_write(EDU_DMA_COUNT, BYTES);
	reg_write(EDU_DMA_CMD, command | EDU_CMD_START);
	for (int i = 0; i < WAIT_MS; i++) {
		if (!(reg_read(EDU_DMA_CMD) & EDU_CMD_START))
			return;
		nanosleep(&ms, NULL);
	}
	fputs("edu: the transfer does not end\n", stderr);
	exit(1);
}

static int touch_page(uint64_t above)
{
	uint8_t *page;
	uint64_t at;
	int changed = 0;

	page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED | MAP_POPULATE, -1,
		    0);
	if (page == MAP_FAILED)
		die("mmap");
	/* The device's own buffer has never held this. */
	memset(page, 0x5a, PAGE);
	at = physical(page);
	if (at < above) {
		fprintf(stderr, "edu: the page is at %#llx\n",
			(unsigned long long)at);
		return 1;
	}
	transfer(EDU_BUFFER, at, EDU_CMD_TO_MEMORY);
	for (unsigned int i = 0; i < BYTES; i++)
		changed |= *(volatile uint8_t *)(page + i) != 0x5a;
	transfer(at, EDU_BUFFER, 0);
	puts(changed ? "reached" : "blocked");
	return 0;
}

int main(int argc, char **argv)
{
	uint64_t at = 0;

	if (argc != 2 && argc != 4) {
		fputs("usage: edu BDF [at|above ADDRESS]\n", stderr);
		return 2;
	}
	open_device(argv[1]);
	if (argc == 4)
		at = strtoull(argv[3], NULL, 0);
	if (argc == 2 || strcmp(argv[2], "above") == 0)
		return touch_page(at);
	transfer(at, EDU_BUFFER, 0);
	transfer(EDU_BUFFER, at + PAGE / 2, EDU_CMD_TO_MEMORY);
	return 0;
}
