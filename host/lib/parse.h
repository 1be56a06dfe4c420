/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Strings of the command line and of config files into values.
 *
 * Every function takes the whole string or refuses it: no leading or trailing
 * blanks, no sign, nothing left over. All return 0 with *@ret set, or, with
 * *@ret untouched, one of
 *
 *	-ENODATA	the string is empty
 *	-EINVAL		it is not of the form that is asked for
 *	-ERANGE		it is, but the value does not fit or is out of bounds
 *
 * parse_strerror() puts these into words for the person who wrote the string.
 */
#ifndef PVDMA_LIB_PARSE_H
#define PVDMA_LIB_PARSE_H

#include <stdbool.h>
#include <stdint.h>

/* Where a PCI function sits. */
struct pci_address {
	uint32_t domain; /* wider than 16 bits behind some host bridges */
	uint8_t bus;
	uint8_t device;	  /* 0 ... 31 */
	uint8_t function; /* 0 ... 7 */
};

/* Longest text of a struct pci_address, with its NUL. */
#define PCI_ADDRESS_TEXT_MAX sizeof("ffffffff:ff:1f.7")

/*
 * A number from @min to @max, both inclusive: decimal digits, or "0x" and
 * hexadecimal ones. A leading zero does not make it octal.
 */
int parse_uint(const char *s, uint64_t min, uint64_t max, uint64_t *ret);

/* parse_uint() from 0 to UINT32_MAX. */
int parse_u32(const char *s, uint32_t *ret);

/*
 * A number of bytes: as parse_uint(), decimal or hexadecimal, with an optional
 * suffix K, M, G or T for powers of 1024, which "iB" may follow ("256MiB").
 * Lower-case letters are accepted for the suffix.
 */
int parse_size(const char *s, uint64_t *ret);

/*
 * A time in microseconds: a decimal number with the unit "ms", "s" or "min",
 * which must be there but for 0.
 */
int parse_duration(const char *s, uint64_t *ret);

/* "yes", "on", "true", "1" or "no", "off", "false", "0". */
int parse_bool(const char *s, bool *ret);

/* "0000:03:00.0", or "03:00.0" for domain 0; all hexadecimal. */
int parse_pci_address(const char *s, struct pci_address *ret);

/* Writes @addr in its full form to @buf. */
void format_pci_address(const struct pci_address *addr,
			char buf[static PCI_ADDRESS_TEXT_MAX]);

/* Words for an error of this file's functions, such as "is empty". */
const char *parse_strerror(int r);

#endif /* PVDMA_LIB_PARSE_H */
