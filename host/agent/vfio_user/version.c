// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * version.c: the capabilities in a VERSION message.
 *
 * Owns the defaults of the protocol and the limits that we announce. Names
 * that we do not know are ignored, as the protocol demands; names that we know
 * must have a value that makes sense, because a client whose limits were
 * guessed wrong fails much later and far from the cause.
 *
 * Locks: none. In a request's way: not at all; once a connection.
 */
#include "vfio_user/version.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/log.h"
#include "vfio_user/json.h"
#include "vfio_user/message.h"

#define DEFAULT_MSG_FDS	  1
#define DEFAULT_XFER_SIZE (1024u * 1024u)

/* Regions that a client may have announced at once; the protocol's default. */
#define DMA_MAPS_MAX 65535
#define PAGE_SIZES   4096

static int bad_value(const struct json_name *name)
{
	log_ratelimited(LOG_WARNING,
			"vfio-user: the client's capability %.*s makes no "
			"sense",
			(int)name->len, name->text);
	return EINVAL;
}

static int take_capability(const struct json_name *path, unsigned int depth,
			   const struct json_value *value, void *userdata)
{
	struct vfu_capabilities *caps = userdata;

	if (!json_name_is(&path[0], "capabilities"))
		return 0;
	if (depth == 1)
		return value->type == JSON_OBJECT ? 0 : bad_value(&path[0]);
	if (depth != 2)
		return 0;

	if (json_name_is(&path[1], "max_msg_fds")) {
		if (value->type != JSON_INTEGER)
			return bad_value(&path[1]);
		caps->max_msg_fds = value->integer;
	} else if (json_name_is(&path[1], "max_data_xfer_size")) {
		if (value->type != JSON_INTEGER || value->integer == 0)
			return bad_value(&path[1]);
		caps->max_data_xfer_size = value->integer;
	} else if (json_name_is(&path[1], "write_multiple")) {
		if (value->type != JSON_BOOL)
			return bad_value(&path[1]);
		caps->write_multiple = value->boolean;
	}
	return 0;
}

int vfu_capabilities_parse(const void *data, size_t size,
			   struct vfu_capabilities *ret)
{
	struct vfu_capabilities caps = {
		.max_msg_fds = DEFAULT_MSG_FDS,
		.max_data_xfer_size = DEFAULT_XFER_SIZE,
	};
	const char *text = data;

	if (size > 0) {
		/* One NUL, at the end. */
		if (memchr(text, '\0', size) != text + size - 1)
			return EINVAL;
		if (json_read(text, size - 1, take_capability, &caps) != 0)
			return EINVAL;
	}
	*ret = caps;
	return 0;
}

size_t vfu_capabilities_format(const struct vfu_capabilities *client,
			       char buf[static VFU_CAPABILITIES_TEXT_MAX])
{
	int n = snprintf(buf, VFU_CAPABILITIES_TEXT_MAX,
			 "{\"capabilities\":{\"max_msg_fds\":%d,"
			 "\"max_data_xfer_size\":%u,\"max_dma_maps\":%d,"
			 "\"pgsizes\":%d%s}}",
			 VFU_FDS_MAX, VFU_XFER_MAX, DMA_MAPS_MAX, PAGE_SIZES,
			 client->write_multiple ? ",\"write_multiple\":true" :
						  "");

	assert(n > 0 && n < VFU_CAPABILITIES_TEXT_MAX);
	return (size_t)n + 1;
}
