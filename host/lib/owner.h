/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * owner.h - the owner of a file, as people write it
 */
#ifndef PVDMA_LIB_OWNER_H
#define PVDMA_LIB_OWNER_H

#include <sys/types.h>

/*
 * Reads "USER", "USER:GROUP" or ":GROUP", each by name or number; what is not
 * given becomes -1. 0; -ENODATA: empty; -EINVAL with words in *@why; -ENOMEM.
 * On failure the ids are untouched.
 */
int owner_parse(const char *text, uid_t *ret_uid, gid_t *ret_gid,
		const char **why);

#endif
