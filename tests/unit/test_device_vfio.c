// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Unit tests of host/agent/device/vfio.c and vfio_irq.c against a kernel made
 * here: ioctl() is ours, and the "device" is a memfd, so that reads and writes
 * of regions are real.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <stdbool.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "device/device.h"
#include "lib/macros.h"

#define REGION_SHIFT 16
#define BAR0_SIZE    0x4000u
#define CONFIG_SIZE  4096u
#define MSI_VECTORS  32u

/* What the kernel would hold. */
static struct {
	int fd;
	bool noresize;
	bool no_reset;
	uint32_t enabled; /* vectors of MSI that are set up */
	bool has[MSI_VECTORS];
	unsigned int disables, enables, resets;
	int fail_enable;      /* errno of the next set-up of vectors */
	uint32_t region_caps; /* bytes of capabilities of BAR 0 */
	uint32_t grow; /* makes the second answer longer than the first said */
} kernel;

static uint32_t region_size(uint32_t index)
{
	if (index == VFIO_PCI_BAR0_REGION_INDEX)
		return BAR0_SIZE;
	return index == VFIO_PCI_CONFIG_REGION_INDEX ? CONFIG_SIZE : 0;
}

/* As the kernel: a short answer has the flag of capabilities and no offset. */
static int get_region_info(struct vfio_region_info *info)
{
	uint32_t caps = 0;

	if (info->index == VFIO_PCI_VGA_REGION_INDEX)
		return -EINVAL;
	info->flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
	info->size = region_size(info->index);
	info->offset = (uint64_t)info->index << REGION_SHIFT;
	info->cap_offset = 0;
	if (info->index == VFIO_PCI_BAR0_REGION_INDEX) {
		info->flags |= VFIO_REGION_INFO_FLAG_MMAP;
		caps = kernel.region_caps;
	}
	if (caps) {
		info->flags |= VFIO_REGION_INFO_FLAG_CAPS;
		if (info->argsz < sizeof(*info) + caps) {
			info->argsz = (uint32_t)sizeof(*info) + caps;
			kernel.region_caps += kernel.grow;
		} else {
			info->cap_offset = sizeof(*info);
			memset(info + 1, 0xca, caps);
		}
	}
	return 0;
}

static int get_irq_info(struct vfio_irq_info *info)
{
	if (info->index == VFIO_PCI_REQ_IRQ_INDEX)
		return -EINVAL;
	info->flags = VFIO_IRQ_INFO_EVENTFD;
	info->count = info->index == VFIO_PCI_MSI_IRQ_INDEX ? MSI_VECTORS : 1;
	if (info->index == VFIO_PCI_MSI_IRQ_INDEX && kernel.noresize)
		info->flags |= VFIO_IRQ_INFO_NORESIZE;
	return 0;
}

static int set_vectors(const struct vfio_irq_set *set)
{
	if (kernel.fail_enable) {
		int r = -kernel.fail_enable;

		kernel.fail_enable = 0;
		return r;
	}
	if (kernel.enabled == 0) {
		kernel.enabled = set->start + set->count;
		kernel.enables++;
	} else if (set->start + set->count > kernel.enabled) {
		if (kernel.noresize)
			return -EINVAL;
		kernel.enabled = set->start + set->count;
	}
	for (uint32_t i = 0; i < set->count; i++) {
		int32_t fd;

		memcpy(&fd, set->data + i * sizeof(fd), sizeof(fd));
		assert_true(fd == -1 || fd >= 0);
		kernel.has[set->start + i] = fd >= 0;
		if (fd >= 0)
			assert_int_equal(eventfd_write(fd, set->start + i + 1),
					 0);
	}
	return 0;
}

static int set_irqs(const struct vfio_irq_set *set)
{
	if (set->index != VFIO_PCI_MSI_IRQ_INDEX)
		return 0;
	if (set->flags & VFIO_IRQ_SET_DATA_EVENTFD)
		return set_vectors(set);
	if (set->count == 0) {
		kernel.enabled = 0;
		kernel.disables++;
		memset(kernel.has, 0, sizeof(kernel.has));
	}
	return 0;
}

static int answer(unsigned long request, void *arg)
{
	struct vfio_device_info *info = arg;

	switch (request) {
	case VFIO_DEVICE_GET_INFO:
		info->flags = VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_CAPS |
			      (kernel.no_reset ? 0 : VFIO_DEVICE_FLAGS_RESET);
		info->num_regions = VFIO_PCI_NUM_REGIONS;
		info->num_irqs = VFIO_PCI_NUM_IRQS;
		return 0;
	case VFIO_DEVICE_GET_REGION_INFO:
		return get_region_info(arg);
	case VFIO_DEVICE_GET_IRQ_INFO:
		return get_irq_info(arg);
	case VFIO_DEVICE_SET_IRQS:
		return set_irqs(arg);
	case VFIO_DEVICE_RESET:
		kernel.resets++;
		return 0;
	default:
		return -ENOTTY;
	}
}

/* In place of the C library's. */
int ioctl(int fd, unsigned long request, ...)
{
	va_list ap;
	void *arg;
	int r;

	va_start(ap, request);
	arg = va_arg(ap, void *);
	va_end(ap);
	assert_int_equal(fd, kernel.fd);
	r = answer(request, arg);
	if (r == 0)
		return 0;
	errno = -r;
	return -1;
}

static struct device *open_device(void)
{
	struct device *dev = NULL;

	kernel.fd = memfd_create("device", MFD_CLOEXEC);
	assert_true(kernel.fd >= 0);
	assert_int_equal(ftruncate(kernel.fd, 16 << REGION_SHIFT), 0);
	assert_int_equal(
		vfio_device_new("01:00.0", -1, kernel.fd, NULL, 7, 9, &dev), 0);
	return dev;
}

static int setup(void **state)
{
	(void)state;
	memset(&kernel, 0, sizeof(kernel));
	kernel.noresize = true;
	return 0;
}

static void test_open(void **state)
{
	struct vfio_device_info info;
	struct device *dev = open_device();

	(void)state;
	assert_string_equal(device_name(dev), "0000:01:00.0");
	device_get_info(dev, &info);
	assert_int_equal(info.flags,
			 VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_RESET);
	assert_int_equal(device_mmap_fd(dev, 0), kernel.fd);
	assert_int_equal(device_mmap_fd(dev, 1), -1);
	assert_int_equal(device_mmap_fd(dev, 99), -1);
	device_free(dev);
	/* It was the device's to close. */
	assert_int_equal(close(kernel.fd), -1);
}

static void test_bad_name(void **state)
{
	struct device *dev = NULL;

	(void)state;
	kernel.fd = memfd_create("device", MFD_CLOEXEC);
	assert_true(vfio_device_new("1:0", -1, kernel.fd, NULL, 7, 9, &dev) <
		    0);
	assert_null(dev);
	/* It stays the caller's. */
	assert_int_equal(close(kernel.fd), 0);
}

/* The kernel's capabilities are passed on whole; a cut reply says so. */
static void test_region_info(void **state)
{
	struct {
		struct vfio_region_info info;
		uint8_t caps[64];
	} buf = { 0 };
	struct device *dev;

	(void)state;
	kernel.region_caps = 40;
	dev = open_device();
	assert_int_equal(device_get_region_info(dev, 0, &buf.info, 31),
			 -EINVAL);
	assert_int_equal(device_get_region_info(dev, 0, &buf.info, 32), 0);
	assert_int_equal(buf.info.argsz, 72);
	assert_int_equal(buf.info.cap_offset, 32);
	assert_true(buf.info.flags & VFIO_REGION_INFO_FLAG_CAPS);
	assert_int_equal(buf.caps[0], 0);
	assert_int_equal(device_get_region_info(dev, 0, &buf.info, 71), 0);
	assert_int_equal(buf.caps[0], 0);
	assert_int_equal(device_get_region_info(dev, 0, &buf.info, 72), 0);
	assert_int_equal(buf.caps[0], 0xca);
	assert_int_equal(buf.caps[39], 0xca);
	assert_int_equal(buf.caps[40], 0);
	/* The kernel has no VGA region: nor have we. */
	assert_int_equal(device_get_region_info(dev, 8, &buf.info, 72),
			 -EINVAL);
	assert_int_equal(device_get_region_info(dev, 9, &buf.info, 72),
			 -EINVAL);
	device_free(dev);
}

/* A kernel whose answers keep growing is not asked for ever. */
static void test_region_info_grows(void **state)
{
	struct device *dev = NULL;

	(void)state;
	kernel.region_caps = 16;
	kernel.grow = 4096;
	kernel.fd = memfd_create("device", MFD_CLOEXEC);
	assert_int_equal(ftruncate(kernel.fd, 16 << REGION_SHIFT), 0);
	assert_int_equal(vfio_device_new("0000:01:00.0", -1, kernel.fd, NULL, 7,
					 9, &dev),
			 -E2BIG);
	assert_int_equal(close(kernel.fd), 0);
}

static void test_regions(void **state)
{
	struct device *dev = open_device();
	uint8_t buf[16] = "0123456789abcde";

	(void)state;
	assert_int_equal(device_write(dev, 0, buf, 16, BAR0_SIZE - 16), 16);
	memset(buf, 0, sizeof(buf));
	assert_int_equal(device_read(dev, 0, buf, 16, BAR0_SIZE - 16), 16);
	assert_memory_equal(buf, "0123456789abcde", 16);
	assert_int_equal(device_read(dev, 0, buf, 16, BAR0_SIZE - 15), -EINVAL);
	assert_int_equal(device_read(dev, 0, buf, 16, UINT64_MAX), -EINVAL);
	assert_int_equal(device_read(dev, 1, buf, 1, 0), -EINVAL);
	assert_int_equal(device_read(dev, 8, buf, 1, 0), -EINVAL);
	assert_int_equal(device_write(dev, 77, buf, 1, 0), -EINVAL);
	device_free(dev);
}

static void put_config(unsigned int at, uint8_t value)
{
	assert_int_equal(
		pwrite(kernel.fd, &value, 1,
		       (VFIO_PCI_CONFIG_REGION_INDEX << REGION_SHIFT) + at),
		1);
}

static uint8_t get_config(unsigned int at)
{
	uint8_t value;

	assert_int_equal(
		pread(kernel.fd, &value, 1,
		      (VFIO_PCI_CONFIG_REGION_INDEX << REGION_SHIFT) + at),
		1);
	return value;
}

/* DEV-CAP-1: shown in front of the list, and never written to the device. */
static void test_capability(void **state)
{
	struct device *dev = open_device();
	uint8_t ones[0x30], buf[PCI_CFG_SPACE_SIZE];

	(void)state;
	assert_int_equal(device_read(dev, VFIO_PCI_CONFIG_REGION_INDEX, buf,
				     sizeof(buf), 0),
			 sizeof(buf));
	assert_int_equal(buf[PCI_CAPABILITY_LIST], 0xf0);
	assert_int_equal(buf[0xf0], PCI_CAP_ID_VNDR);
	memset(ones, 0xff, sizeof(ones));
	assert_int_equal(device_write(dev, VFIO_PCI_CONFIG_REGION_INDEX, ones,
				      sizeof(ones), 0xe0),
			 sizeof(ones));
	assert_int_equal(get_config(0xef), 0xff);
	for (unsigned int i = 0xf0; i < 0x100; i++)
		assert_int_equal(get_config(i), 0);
	assert_int_equal(get_config(0x100), 0xff);
	device_free(dev);
}

static void test_quiesce(void **state)
{
	struct device *dev = open_device();

	(void)state;
	put_config(PCI_COMMAND, 0x07);
	device_quiesce(dev);
	assert_int_equal(get_config(PCI_COMMAND), 0x03);
	assert_int_equal(kernel.disables, 1);
	assert_int_equal(kernel.resets, 1);
	device_free(dev);

	kernel.no_reset = true;
	dev = open_device();
	assert_int_equal(device_reset(dev), -EOPNOTSUPP);
	put_config(PCI_COMMAND, 0x04);
	device_quiesce(dev);
	assert_int_equal(get_config(PCI_COMMAND), 0);
	assert_int_equal(kernel.resets, 1);
	device_free(dev);
}

/* --- vectors --- */

struct vectors {
	struct vfio_irq_set set;
	int32_t fds[MSI_VECTORS];
};

static int give(struct device *dev, uint32_t start, uint32_t count,
		const int *fds)
{
	struct vectors v = {
		.set = {
			.argsz = (uint32_t)(sizeof(v.set) +
					    count * sizeof(int32_t)),
			.flags = VFIO_IRQ_SET_DATA_EVENTFD |
				 VFIO_IRQ_SET_ACTION_TRIGGER,
			.index = VFIO_PCI_MSI_IRQ_INDEX,
			.start = start,
			.count = count,
		},
	};

	for (uint32_t i = 0; i < count; i++)
		v.fds[i] = fds ? fds[i] : -1;
	return device_set_irqs(dev, &v.set);
}

static int take_all(struct device *dev)
{
	const struct vfio_irq_set set = {
		.argsz = sizeof(set),
		.flags = VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER,
		.index = VFIO_PCI_MSI_IRQ_INDEX,
	};

	return device_set_irqs(dev, &set);
}

static void make_eventfds(int *fds, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		fds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		assert_true(fds[i] >= 0);
	}
}

/* What the kernel last wrote into each as it got it, 0 if it did not. */
static uint64_t drain(int fd)
{
	uint64_t v = 0;

	(void)eventfd_read(fd, &v);
	return v;
}

/* More vectors than one message can carry descriptors. */
static void test_grow(void **state)
{
	struct device *dev = open_device();
	int fds[MSI_VECTORS];

	(void)state;
	make_eventfds(fds, MSI_VECTORS);
	assert_int_equal(give(dev, 0, 16, fds), 0);
	assert_int_equal(kernel.enables, 1);
	for (uint32_t i = 0; i < 16; i++)
		assert_int_equal(drain(fds[i]), i + 1);
	/* The client closes its own as soon as it has the reply. */
	assert_int_equal(give(dev, 16, 16, fds + 16), 0);
	assert_int_equal(kernel.enabled, 32);
	assert_int_equal(kernel.disables, 1);
	assert_int_equal(kernel.enables, 2);
	for (uint32_t i = 0; i < 32; i++)
		assert_int_equal(drain(fds[i]), i + 1);
	/* Within what is set up nothing is set up anew. */
	assert_int_equal(give(dev, 4, 1, NULL), 0);
	assert_int_equal(kernel.enables, 2);
	assert_false(kernel.has[4]);
	assert_true(kernel.has[5]);
	for (uint32_t i = 0; i < MSI_VECTORS; i++)
		close(fds[i]);
	device_free(dev);
}

/* A vector that was taken back stays so when the set grows. */
static void test_grow_after_take_back(void **state)
{
	struct device *dev = open_device();
	int fds[4];

	(void)state;
	make_eventfds(fds, 4);
	assert_int_equal(give(dev, 0, 2, fds), 0);
	assert_int_equal(give(dev, 0, 1, NULL), 0);
	assert_int_equal(give(dev, 3, 1, fds + 3), 0);
	assert_false(kernel.has[0]);
	assert_true(kernel.has[1]);
	assert_false(kernel.has[2]);
	assert_true(kernel.has[3]);
	assert_int_equal(take_all(dev), 0);
	/* After that nothing of the old set comes back. */
	assert_int_equal(give(dev, 2, 1, fds), 0);
	assert_int_equal(give(dev, 3, 1, fds), 0);
	assert_false(kernel.has[1]);
	assert_true(kernel.has[2]);
	for (uint32_t i = 0; i < 4; i++)
		close(fds[i]);
	device_free(dev);
}

/* If the kernel has no more, what there was comes back. */
static void test_grow_fails(void **state)
{
	struct device *dev = open_device();
	int fds[4];

	(void)state;
	make_eventfds(fds, 4);
	assert_int_equal(give(dev, 0, 2, fds), 0);
	kernel.fail_enable = ENOSPC;
	assert_int_equal(give(dev, 2, 2, fds + 2), -ENOSPC);
	assert_int_equal(kernel.enabled, 2);
	assert_true(kernel.has[0] && kernel.has[1]);
	assert_false(kernel.has[2]);
	assert_int_equal(give(dev, 2, 2, fds + 2), 0);
	assert_int_equal(kernel.enabled, 4);
	for (uint32_t i = 0; i < 4; i++)
		close(fds[i]);
	device_free(dev);
}

static void test_bad_eventfd(void **state)
{
	struct device *dev = open_device();
	int bad = 9999;

	(void)state;
	assert_int_equal(give(dev, 0, 1, &bad), -EBADF);
	assert_int_equal(kernel.enabled, 0);
	device_free(dev);
}

/* Where the kernel can add vectors it gets what the client sent. */
static void test_resizable(void **state)
{
	struct device *dev;
	int fds[4];

	(void)state;
	kernel.noresize = false;
	dev = open_device();
	make_eventfds(fds, 4);
	assert_int_equal(give(dev, 0, 2, fds), 0);
	assert_int_equal(give(dev, 2, 2, fds + 2), 0);
	assert_int_equal(kernel.enables, 1);
	assert_int_equal(kernel.disables, 0);
	for (uint32_t i = 0; i < 4; i++)
		close(fds[i]);
	device_free(dev);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_open, setup),
		cmocka_unit_test_setup(test_bad_name, setup),
		cmocka_unit_test_setup(test_region_info, setup),
		cmocka_unit_test_setup(test_region_info_grows, setup),
		cmocka_unit_test_setup(test_regions, setup),
		cmocka_unit_test_setup(test_capability, setup),
		cmocka_unit_test_setup(test_quiesce, setup),
		cmocka_unit_test_setup(test_grow, setup),
		cmocka_unit_test_setup(test_grow_after_take_back, setup),
		cmocka_unit_test_setup(test_grow_fails, setup),
		cmocka_unit_test_setup(test_bad_eventfd, setup),
		cmocka_unit_test_setup(test_resizable, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
