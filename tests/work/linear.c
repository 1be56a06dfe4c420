// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * linear.c: makes a network interface send each packet from one buffer
 *
 * QEMU's emulated e1000e and igb (hw/net/net_tx_pkt.c) lose a packet when one
 * of its fragments crosses into a page that does not follow in the memory of
 * the machine that emulates the IOMMU's host. Real NICs know no such thing. A
 * packet without fragments lies in one piece of 2 KiB at most, aligned to
 * that, and so never crosses.
 */
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "work.h"

static int feature_off(int fd, const char *interface, uint32_t command)
{
	struct ethtool_value value = { .cmd = command };
	struct ifreq request = { .ifr_data = (void *)&value };

	strncpy(request.ifr_name, interface, sizeof(request.ifr_name) - 1);
	return ioctl(fd, SIOCETHTOOL, &request);
}

/* linear INTERFACE: segmentation and scatter-gather go off. */
int net_linear(int argc, char **argv)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int r;

	(void)argc;
	/* not every driver has these to turn off; without SG there is none */
	(void)feature_off(fd, argv[0], ETHTOOL_STSO);
	(void)feature_off(fd, argv[0], ETHTOOL_SGSO);
	r = feature_off(fd, argv[0], ETHTOOL_SSG);
	if (r)
		perror("pvdma-work: linear");
	close(fd);
	return r ? 1 : 0;
}
