// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * parse.c: see parse.h.
 *
 * Owns nothing and keeps no state. strtoull() and sscanf() are not used: both
 * accept blanks and signs that an option must not have, and one reports
 * overflow through errno alone.
 */
#include "parse.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "macros.h"

/* The value of digit @c in @base, or -1. */
static int digit_value(char c, unsigned int base)
{
	int v = -1;

	if (c >= '0' && c <= '9')
		v = c - '0';
	else if (c >= 'a' && c <= 'f')
		v = c - 'a' + 10;
	else if (c >= 'A' && c <= 'F')
		v = c - 'A' + 10;
	return v < (int)base ? v : -1;
}

/*
 * Reads digits of @base at *@s and moves *@s behind them. -EINVAL when there
 * are none, -ERANGE on overflow (all digits are consumed then, too).
 */
static int take_digits(const char **s, unsigned int base, uint64_t *ret)
{
	const char *p = *s;
	bool overflow = false;
	uint64_t v = 0;
	int d;

	for (; (d = digit_value(*p, base)) >= 0; p++) {
		if (__builtin_mul_overflow(v, (uint64_t)base, &v) ||
		    __builtin_add_overflow(v, (uint64_t)d, &v))
			overflow = true;
	}
	if (p == *s)
		return -EINVAL;
	*s = p;
	if (overflow)
		return -ERANGE;
	*ret = v;
	return 0;
}

/* take_digits() with the base that the string names. */
static int take_number(const char **s, uint64_t *ret)
{
	if ((*s)[0] == '0' && ((*s)[1] == 'x' || (*s)[1] == 'X')) {
		*s += 2;
		return take_digits(s, 16, ret);
	}
	return take_digits(s, 10, ret);
}

int parse_uint(const char *s, uint64_t min, uint64_t max, uint64_t *ret)
{
	uint64_t v = 0;
	int r;

	if (*s == '\0')
		return -ENODATA;
	r = take_number(&s, &v);
	if (r == -EINVAL || *s != '\0')
		return -EINVAL;
	if (r < 0)
		return r;
	if (v < min || v > max)
		return -ERANGE;
	*ret = v;
	return 0;
}

int parse_u32(const char *s, uint32_t *ret)
{
	uint64_t v;
	int r = parse_uint(s, 0, UINT32_MAX, &v);

	if (r < 0)
		return r;
	*ret = (uint32_t)v;
	return 0;
}

/*
 * The power of two that a size's suffix stands for, or -EINVAL. A bare "B" or
 * "KB" is refused: whether the latter means 1000 or 1024 is anyone's guess.
 */
static int suffix_shift(const char *s)
{
	static const char letters[] = "kmgt";
	const char *found;

	if (*s == '\0')
		return 0;
	found = strchr(letters, *s | 0x20);
	if (!found || *found == '\0')
		return -EINVAL;
	if (s[1] != '\0' && strcmp(s + 1, "iB") != 0)
		return -EINVAL;
	return 10 * (int)(found - letters + 1);
}

int parse_size(const char *s, uint64_t *ret)
{
	uint64_t v = 0;
	int r, shift;

	if (*s == '\0')
		return -ENODATA;
	r = take_number(&s, &v);
	if (r == -EINVAL)
		return r;
	shift = suffix_shift(s);
	if (shift < 0)
		return shift;
	if (r < 0)
		return r;
	if (v > UINT64_MAX >> shift)
		return -ERANGE;
	*ret = v << shift;
	return 0;
}

int parse_duration(const char *s, uint64_t *ret)
{
	static const struct {
		const char *unit;
		uint64_t usec;
	} units[] = { { "ms", 1000 }, { "s", 1000000 }, { "min", 60000000 } };
	uint64_t v = 0;
	int r;

	if (*s == '\0')
		return -ENODATA;
	r = take_digits(&s, 10, &v);
	if (r == -EINVAL)
		return r;
	if (r == 0 && v == 0 && *s == '\0') {
		*ret = 0;
		return 0;
	}
	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		if (strcmp(s, units[i].unit) != 0)
			continue;
		if (r < 0 || v > UINT64_MAX / units[i].usec)
			return -ERANGE;
		*ret = v * units[i].usec;
		return 0;
	}
	return -EINVAL;
}

int parse_bool(const char *s, bool *ret)
{
	static const struct {
		const char *word;
		bool value;
	} words[] = {
		{ "yes", true },    { "on", true },  { "true", true },
		{ "1", true },	    { "no", false }, { "off", false },
		{ "false", false }, { "0", false },
	};

	if (*s == '\0')
		return -ENODATA;
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (strcmp(s, words[i].word) == 0) {
			*ret = words[i].value;
			return 0;
		}
	}
	return -EINVAL;
}

/* Reads hexadecimal digits up to and with the character @end. */
static int take_hex_field(const char **s, char end, uint64_t max, uint64_t *ret)
{
	uint64_t v = 0;
	int r = take_digits(s, 16, &v);

	if (r == -EINVAL || **s != end)
		return -EINVAL;
	if (r < 0 || v > max)
		return -ERANGE;
	if (end != '\0')
		(*s)++;
	*ret = v;
	return 0;
}

int parse_pci_address(const char *s, struct pci_address *ret)
{
	uint64_t domain = 0, bus, device, function;
	const char *colon;
	int r;

	if (*s == '\0')
		return -ENODATA;
	colon = strchr(s, ':');
	if (colon && strchr(colon + 1, ':')) {
		r = take_hex_field(&s, ':', UINT32_MAX, &domain);
		if (r < 0)
			return r;
	}
	r = take_hex_field(&s, ':', 0xff, &bus);
	if (r < 0)
		return r;
	r = take_hex_field(&s, '.', 0x1f, &device);
	if (r < 0)
		return r;
	r = take_hex_field(&s, '\0', 7, &function);
	if (r < 0)
		return r;
	*ret = (struct pci_address){
		.domain = (uint32_t)domain,
		.bus = (uint8_t)bus,
		.device = (uint8_t)device,
		.function = (uint8_t)function,
	};
	return 0;
}

void format_pci_address(const struct pci_address *addr,
			char buf[static PCI_ADDRESS_TEXT_MAX])
{
	(void)snprintf(buf, PCI_ADDRESS_TEXT_MAX, "%04x:%02x:%02x.%x",
		       addr->domain, addr->bus, addr->device & 0x1fU,
		       addr->function & 7U);
}

const char *parse_strerror(int r)
{
	switch (r) {
	case 0:
		return "is valid";
	case -ENODATA:
		return "is empty";
	case -EINVAL:
		return "is not of the expected form";
	case -ERANGE:
		return "is out of range";
	default:
		return strerror(-r);
	}
}
