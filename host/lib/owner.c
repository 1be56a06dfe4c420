// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * owner.c - the owner of a file, as people write it
 *
 * Owns: nothing. Locks: none (getpwnam() is for one thread). In a request's way:
 * not.
 */
#include "owner.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/parse.h"

static int find_user(const char *name, uid_t *ret)
{
	const struct passwd *pw;
	uint32_t uid;

	if (parse_u32(name, &uid) == 0 && uid != UINT32_MAX) {
		*ret = (uid_t)uid;
		return 0;
	}
	pw = getpwnam(name);
	if (!pw)
		return -EINVAL;
	*ret = pw->pw_uid;
	return 0;
}

static int find_group(const char *name, gid_t *ret)
{
	const struct group *gr;
	uint32_t gid;

	if (parse_u32(name, &gid) == 0 && gid != UINT32_MAX) {
		*ret = (gid_t)gid;
		return 0;
	}
	gr = getgrnam(name);
	if (!gr)
		return -EINVAL;
	*ret = gr->gr_gid;
	return 0;
}

int owner_parse(const char *text, uid_t *ret_uid, gid_t *ret_gid,
		const char **why)
{
	_cleanup_free_ char *user = strdup(text);
	uid_t uid = (uid_t)-1;
	gid_t gid = (gid_t)-1;
	char *group;

	if (!user)
		return -ENOMEM;
	group = strchr(user, ':');
	if (group)
		*group++ = '\0';
	if (*user == '\0' && !group)
		return -ENODATA;
	if (*user != '\0' && find_user(user, &uid) < 0) {
		*why = "there is no such user";
		return -EINVAL;
	}
	if (group && find_group(group, &gid) < 0) {
		*why = "there is no such group";
		return -EINVAL;
	}
	*ret_uid = uid;
	*ret_gid = gid;
	return 0;
}
