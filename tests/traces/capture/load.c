// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * load.c: what a guest does while its DMA mappings are traced
 *
 * One static program. The verbs that use a disk take the path of a file that
 * exists already; those that use a network talk to "load serve" on another
 * machine. All choices come from a fixed seed, so that two captures differ
 * only by what kernel and device make of them.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define NET_CHUNK 65536

static void die(const char *what)
{
	fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
	exit(1);
}

static unsigned long number(const char *text)
{
	char *end;
	unsigned long v = strtoul(text, &end, 0);

	if (end == text || *end || !v) {
		fprintf(stderr, "load: '%s' is not a positive number\n", text);
		exit(2);
	}
	return v;
}

/* xorshift64 (Marsaglia, JSS 2003) */
static uint64_t rnd(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* 80% of the answers lie in the first fifth of [0, n). */
static uint64_t skewed(uint64_t *state, uint64_t n)
{
	uint64_t hot = n / 5 ? n / 5 : 1;

	return rnd(state) % 10 < 8 ? rnd(state) % hot : rnd(state) % n;
}

static int open_file(const char *path, int flags, uint64_t *ret_size)
{
	int fd = open(path, flags | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st))
		die(path);
	*ret_size = (uint64_t)st.st_size;
	return fd;
}

static void *pages(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	if (p == MAP_FAILED)
		die("mmap");
	return p;
}

/* direct FILE CHUNK BUFFERS PASSES: the whole file, O_DIRECT */
static int direct(char **argv)
{
	size_t chunk = number(argv[1]);
	unsigned long buffers = number(argv[2]), passes = number(argv[3]);
	uint64_t size, turn = 0;
	int fd = open_file(argv[0], O_RDONLY | O_DIRECT, &size);
	char *buf = pages(chunk * buffers);

	while (passes--)
		for (uint64_t at = 0; at + chunk <= size; at += chunk)
			if (pread(fd, buf + chunk * (turn++ % buffers), chunk,
				  (off_t)at) < 0)
				die("pread");
	return 0;
}

static int children(unsigned long n)
{
	int status, failed = 0;

	while (n--)
		if (wait(&status) < 0 || status)
			failed = 1;
	return failed;
}

/*
 * Asynchronous I/O with a queue that fills and drains, as benchmarks and
 * databases do it: a request takes the buffer that was given back last.
 */
#define AIO_DEPTH 256u

struct aio {
	aio_context_t ctx;
	int fd;
	uint64_t blocks; /* of the file */
	uint64_t seed;
	char *bufs[AIO_DEPTH]; /* the free ones: a stack */
	unsigned int n_free;
	unsigned int under_way;
};

static void aio_submit(struct aio *aio, unsigned int n)
{
	struct iocb cbs[AIO_DEPTH], *list[AIO_DEPTH];

	for (unsigned int i = 0; i < n; i++) {
		char *buf = aio->bufs[--aio->n_free];

		cbs[i] = (struct iocb){
			.aio_data = (uintptr_t)buf,
			.aio_lio_opcode = rnd(&aio->seed) % 4 ? IOCB_CMD_PREAD :
								IOCB_CMD_PWRITE,
			.aio_fildes = (uint32_t)aio->fd,
			.aio_buf = (uintptr_t)buf,
			.aio_nbytes = 4096,
			.aio_offset =
				(int64_t)(rnd(&aio->seed) % aio->blocks * 4096),
		};
		list[i] = &cbs[i];
	}
	if (syscall(SYS_io_submit, aio->ctx, (long)n, list) != (long)n)
		die("io_submit");
	aio->under_way += n;
}

static void aio_reap(struct aio *aio, unsigned int least)
{
	struct io_event events[AIO_DEPTH];
	long n = syscall(SYS_io_getevents, aio->ctx, (long)least,
			 (long)AIO_DEPTH, events, NULL);

	if (n < (long)least)
		die("io_getevents");
	for (long i = 0; i < n; i++) {
		if (events[i].res != 4096)
			die("4 KiB");
		aio->bufs[aio->n_free++] = (char *)(uintptr_t)events[i].data;
	}
	aio->under_way -= (unsigned int)n;
}

static void random_child(const char *path, unsigned long ops,
			 unsigned int depth, uint64_t seed)
{
	struct aio aio = { .seed = seed, .n_free = depth };
	uint64_t size;
	char *buf = pages(4096ul * depth);

	aio.fd = open_file(path, O_RDWR | O_DIRECT, &size);
	aio.blocks = size / 4096;
	for (unsigned int i = 0; i < depth; i++)
		aio.bufs[i] = buf + 4096ul * i;
	if (syscall(SYS_io_setup, AIO_DEPTH, &aio.ctx))
		die("io_setup");
	while (ops) {
		unsigned int n = (unsigned int)(1 + rnd(&aio.seed) % 16);

		if (n > ops)
			n = (unsigned int)ops;
		if (n > aio.n_free)
			n = aio.n_free;
		aio_submit(&aio, n);
		ops -= n;
		/* mostly one at a time; now and then the queue runs empty */
		if (rnd(&aio.seed) % 24 == 0)
			aio_reap(&aio, aio.under_way);
		else if (aio.n_free < 16 && aio.under_way >= 16)
			aio_reap(&aio, 16);
		else
			aio_reap(&aio, 1);
	}
	aio_reap(&aio, aio.under_way);
	_exit(0);
}

/* random FILE PROCESSES OPS DEPTH: 4 KiB, three reads a write, O_DIRECT */
static int random_io(char **argv)
{
	unsigned long n = number(argv[1]), ops = number(argv[2]);
	unsigned long depth = number(argv[3]);

	if (depth < 16 || depth > AIO_DEPTH) {
		fputs("load: a depth from 16 to 256\n", stderr);
		return 2;
	}
	for (unsigned long i = 0; i < n; i++)
		if (!fork())
			random_child(argv[0], ops, (unsigned int)depth, i + 1);
	return children(n);
}

/*
 * A database in the manner of those that do their own caching: pages of 8 KiB
 * read and written with O_DIRECT through a pool of frames, a log appended and
 * flushed at each commit, and a checkpoint from time to time.
 */
#define DB_PAGE	  8192
#define DB_FRAMES 768

struct db {
	int data, log;
	uint64_t pages; /* of the data file */
	uint64_t seed;
	char *pool;		   /* DB_FRAMES pages */
	char *record;		   /* of the log */
	uint64_t frame[DB_FRAMES]; /* page + 1; 0: free */
	uint8_t used[DB_FRAMES], dirty[DB_FRAMES];
	unsigned int hand;
};

static void db_write_back(struct db *db, unsigned int f)
{
	if (db->dirty[f] &&
	    pwrite(db->data, db->pool + (size_t)f * DB_PAGE, DB_PAGE,
		   (off_t)((db->frame[f] - 1) * DB_PAGE)) != DB_PAGE)
		die("write of a page");
	db->dirty[f] = 0;
}

static unsigned int db_get(struct db *db, uint64_t page)
{
	unsigned int f;

	for (f = 0; f < DB_FRAMES; f++)
		if (db->frame[f] == page + 1) {
			db->used[f] = 1;
			return f;
		}
	while (db->used[db->hand]) {
		db->used[db->hand] = 0;
		db->hand = (db->hand + 1) % DB_FRAMES;
	}
	f = db->hand;
	db_write_back(db, f);
	if (pread(db->data, db->pool + (size_t)f * DB_PAGE, DB_PAGE,
		  (off_t)(page * DB_PAGE)) != DB_PAGE)
		die("read of a page");
	db->frame[f] = page + 1;
	db->used[f] = 1;
	return f;
}

static void db_commit(struct db *db)
{
	size_t size = 512 + rnd(&db->seed) % 12 * 1024;

	if (write(db->log, db->record, size) != (ssize_t)size ||
	    fdatasync(db->log))
		die("log");
}

/* db DATA-FILE LOG-FILE TRANSACTIONS */
static int database(char **argv)
{
	struct db db = { .seed = 7,
			 .pool = pages(DB_FRAMES * DB_PAGE),
			 .record = pages(65536) };
	unsigned long n = number(argv[2]);
	uint64_t size;

	db.data = open_file(argv[0], O_RDWR | O_DIRECT, &size);
	db.log = open(argv[1], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (db.log < 0)
		die(argv[1]);
	db.pages = size / DB_PAGE;
	for (unsigned long t = 1; t <= n; t++) {
		for (int i = 0; i < 4; i++) {
			unsigned int f =
				db_get(&db, skewed(&db.seed, db.pages));
			if (i < 2)
				db.dirty[f] = 1;
		}
		db_commit(&db);
		if (t % 100)
			continue;
		for (unsigned int f = 0; f < DB_FRAMES; f++)
			db_write_back(&db, f);
		if (fdatasync(db.data))
			die("checkpoint");
	}
	return 0;
}

/* --- TCP: a request is two numbers, how much follows and how much to answer */

struct ask {
	uint32_t put;
	uint32_t get;
};

static int transfer(int fd, char *buf, uint64_t len, int out)
{
	while (len) {
		size_t want = len < NET_CHUNK ? (size_t)len : NET_CHUNK;
		ssize_t n = out ? write(fd, buf, want) : read(fd, buf, want);

		if (n <= 0)
			return -1;
		len -= (size_t)n;
	}
	return 0;
}

static void serve_one(int fd)
{
	char *buf = pages(NET_CHUNK);
	struct ask ask;

	while (!transfer(fd, (char *)&ask, sizeof(ask), 0) &&
	       !transfer(fd, buf, ask.put, 0) && !transfer(fd, buf, ask.get, 1))
		;
	_exit(0);
}

/* serve PORT: on the loopback */
static int serve(char **argv)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
				   .sin_addr = { htonl(INADDR_LOOPBACK) } };
	int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), conn;

	signal(SIGCHLD, SIG_IGN);
	sin.sin_port = htons((uint16_t)number(argv[0]));
	if (fd < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) ||
	    bind(fd, (struct sockaddr *)&sin, sizeof(sin)) || listen(fd, 16))
		die("serve");
	while ((conn = accept(fd, NULL, NULL)) >= 0) {
		if (!fork())
			serve_one(conn);
		close(conn);
	}
	die("accept");
	return 1;
}

static int connect_to(char **argv)
{
	struct sockaddr_in sin = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	sin.sin_port = htons((uint16_t)number(argv[1]));
	if (inet_pton(AF_INET, argv[0], &sin.sin_addr) != 1 || fd < 0 ||
	    connect(fd, (struct sockaddr *)&sin, sizeof(sin)))
		die(argv[0]);
	return fd;
}

/* stream HOST PORT PUT GET: bytes in one exchange; 0 is spelled "none" */
static int stream(char **argv)
{
	struct ask ask = {
		.put = strcmp(argv[2], "none") ? (uint32_t)number(argv[2]) : 0,
		.get = strcmp(argv[3], "none") ? (uint32_t)number(argv[3]) : 0,
	};
	int fd = connect_to(argv);
	char *buf = pages(NET_CHUNK);

	if (transfer(fd, (char *)&ask, sizeof(ask), 1) ||
	    transfer(fd, buf, ask.put, 1) || transfer(fd, buf, ask.get, 0))
		die("stream");
	return 0;
}

static void rr_child(char **argv, unsigned long n, uint64_t seed)
{
	int fd = connect_to(argv);
	char *buf = pages(NET_CHUNK);

	while (n--) {
		struct ask ask = {
			.put = (uint32_t)(64 + rnd(&seed) % 700),
			.get = (uint32_t)(200 +
					  rnd(&seed) % 4 * (rnd(&seed) % 4000)),
		};

		if (transfer(fd, (char *)&ask, sizeof(ask), 1) ||
		    transfer(fd, buf, ask.put, 1) ||
		    transfer(fd, buf, ask.get, 0))
			die("exchange");
	}
	_exit(0);
}

/* rr HOST PORT CONNECTIONS EXCHANGES: small requests, small answers */
static int rr(char **argv)
{
	unsigned long n = number(argv[2]), each = number(argv[3]);

	for (unsigned long i = 0; i < n; i++)
		if (!fork())
			rr_child(argv, each, i + 11);
	return children(n);
}

/* sendfile HOST PORT FILE: a file straight from the page cache */
static int send_file(char **argv)
{
	uint64_t size;
	int fd = connect_to(argv), in = open_file(argv[2], O_RDONLY, &size);
	struct ask ask = { .put = (uint32_t)size };

	if (transfer(fd, (char *)&ask, sizeof(ask), 1))
		die("sendfile");
	while (size) {
		ssize_t n = sendfile(fd, in, NULL, size);

		if (n <= 0)
			die("sendfile");
		size -= (uint64_t)n;
	}
	return 0;
}

static const struct verb {
	const char *name;
	int args;
	int (*run)(char **argv);
} verbs[] = {
	{ "direct", 4, direct },      { "random", 4, random_io },
	{ "db", 3, database },	      { "serve", 1, serve },
	{ "stream", 4, stream },      { "rr", 4, rr },
	{ "sendfile", 3, send_file },
};

int main(int argc, char **argv)
{
	for (size_t i = 0; i < sizeof(verbs) / sizeof(*verbs); i++)
		if (argc == verbs[i].args + 2 &&
		    !strcmp(argv[1], verbs[i].name))
			return verbs[i].run(argv + 2);
	fputs("load: see the comments in load.c for verbs and arguments\n",
	      stderr);
	return 2;
}
