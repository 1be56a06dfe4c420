/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * crc32.h - the CRC-32 of IEEE 802.3 (reflected, polynomial 0xedb88320)
 */
#ifndef PVDMA_SIM_CRC32_H
#define PVDMA_SIM_CRC32_H

#include <stddef.h>
#include <stdint.h>

static inline uint32_t crc32(const void *buf, size_t size)
{
	const uint8_t *p = buf;
	uint32_t crc = UINT32_MAX;

	while (size--) {
		crc ^= *p++;
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
	}
	return ~crc;
}

#endif
