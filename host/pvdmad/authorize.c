// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * authorize.c - who may call what: polkit's decisions
 *
 * Root may do everything, and so may the user that the service itself runs as,
 * who is another only in tests. All others are polkit's to judge; where that
 * does not run, they may do nothing.
 *
 * Owns: the calls that wait for polkit. Locks: none; one event loop.
 */
#include "authorize.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/log.h"

/* Somebody may have to type a password. */
#define POLKIT_USEC	   120000000
#define POLKIT_INTERACTIVE 1
/*
 * Calls that wait for an answer, at most: of all, and of one user. Each is kept
 * until then, however long it is.
 */
#define PENDING_MAX  32
#define PENDING_USER 4

struct pending {
	struct pending *next;
	uid_t uid;
	sd_bus_message *call;
	sd_bus_message_handler_t fn;
	void *userdata;
	const char *action;
};

static struct pending *all_pending;

/* The sender's user; -1 if it is not known. */
static uid_t sender_of(sd_bus_message *m)
{
	_cleanup_(sd_bus_creds_unrefp) sd_bus_creds *creds = NULL;
	uid_t uid;

	if (sd_bus_query_sender_creds(m, SD_BUS_CREDS_EUID, &creds) < 0 ||
	    sd_bus_creds_get_euid(creds, &uid) < 0)
		return (uid_t)-1;
	return uid;
}

/* True if the user needs nobody's permission. */
static bool is_trusted(uid_t uid)
{
	return uid != (uid_t)-1 && (uid == 0 || uid == geteuid());
}

bool authorize_is_trusted(sd_bus_message *m)
{
	return is_trusted(sender_of(m));
}

/* Is there room for one question more of this user? */
static bool may_ask(uid_t uid)
{
	unsigned int all = 0, of_user = 0;

	for (const struct pending *p = all_pending; p; p = p->next) {
		all++;
		of_user += p->uid == uid;
	}
	return all < PENDING_MAX && of_user < PENDING_USER;
}

static void refuse(sd_bus_message *call, const char *action, const char *why)
{
	log_ratelimited(LOG_NOTICE, "%s refused to %s: %s", action,
			sd_bus_message_get_sender(call), why);
	(void)sd_bus_reply_method_errorf(call, SD_BUS_ERROR_ACCESS_DENIED,
					 "not allowed (%s): %s", action, why);
}

static int run(sd_bus_message *call, sd_bus_message_handler_t fn,
	       void *userdata)
{
	_cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
	int r = fn(call, userdata, &error);

	if (sd_bus_error_is_set(&error))
		return sd_bus_reply_method_error(call, &error);
	if (r < 0)
		return sd_bus_reply_method_errno(call, r, NULL);
	return 0;
}

static int on_decision(sd_bus_message *m, void *userdata,
		       sd_bus_error *ret_error)
{
	struct pending *pending = userdata;
	const sd_bus_error *error = sd_bus_message_get_error(m);
	int allowed = false, challenge = false;

	(void)ret_error;
	if (error)
		refuse(pending->call, pending->action,
		       "polkit cannot be asked; root may do it");
	else if (sd_bus_message_enter_container(m, 'r', "bba{ss}") < 0 ||
		 sd_bus_message_read(m, "bb", &allowed, &challenge) < 0)
		refuse(pending->call, pending->action,
		       "polkit's answer is not understood");
	else if (allowed)
		(void)run(pending->call, pending->fn, pending->userdata);
	else
		refuse(pending->call, pending->action,
		       challenge ? "it takes the password of an administrator" :
				   "polkit's rules say no");
	return 0;
}

static void pending_free(void *userdata)
{
	struct pending *pending = userdata, **link = &all_pending;

	while (*link != pending)
		link = &(*link)->next;
	*link = pending->next;
	sd_bus_message_unref(pending->call);
	free(pending);
}

static int ask(sd_bus_message *m, const struct pending *what, uint32_t flags)
{
	_cleanup_(sd_bus_message_unrefp) sd_bus_message *q = NULL;
	sd_bus *bus = sd_bus_message_get_bus(m);
	struct pending *pending = malloc(sizeof(*pending));
	sd_bus_slot *slot = NULL;
	int r;

	if (!pending)
		return -ENOMEM;
	*pending = *what;
	pending->next = all_pending;
	all_pending = pending;
	sd_bus_message_ref(pending->call);
	r = sd_bus_message_new_method_call(
		bus, &q, "org.freedesktop.PolicyKit1",
		"/org/freedesktop/PolicyKit1/Authority",
		"org.freedesktop.PolicyKit1.Authority", "CheckAuthorization");
	if (r >= 0)
		r = sd_bus_message_append(q, "(sa{sv})sa{ss}us",
					  "system-bus-name", 1, "name", "s",
					  sd_bus_message_get_sender(m),
					  pending->action, 0, flags, "");
	if (r >= 0)
		r = sd_bus_call_async(bus, &slot, q, on_decision, pending,
				      POLKIT_USEC);
	if (r < 0) {
		pending_free(pending);
		return r;
	}
	/* The slot lives as long as the call, and takes the rest along. */
	(void)sd_bus_slot_set_destroy_callback(slot, pending_free);
	(void)sd_bus_slot_set_floating(slot, 1);
	sd_bus_slot_unref(slot);
	return 0;
}

int authorize(sd_bus_message *m, const char *action,
	      sd_bus_message_handler_t fn, void *userdata,
	      sd_bus_error *ret_error)
{
	const struct pending what = {
		.uid = sender_of(m),
		.call = m,
		.fn = fn,
		.userdata = userdata,
		.action = action,
	};
	int r;

	if (is_trusted(what.uid)) {
		r = fn(m, userdata, ret_error);
		return r < 0 ? r : 1;
	}
	if (!may_ask(what.uid))
		return sd_bus_error_set(
			ret_error, SD_BUS_ERROR_LIMITS_EXCEEDED,
			"too many calls wait for polkit's answer; try again when they have it");
	r = ask(m, &what,
		sd_bus_message_get_allow_interactive_authorization(m) > 0 ?
			POLKIT_INTERACTIVE :
			0);
	return r < 0 ? r : 1;
}

int authorize_method(sd_bus_message *m, const struct authorize_method *methods,
		     size_t num, void *userdata, sd_bus_error *ret_error)
{
	const char *member = sd_bus_message_get_member(m);

	for (size_t i = 0; i < num; i++)
		if (strcmp(methods[i].member, member) == 0)
			return authorize(m, methods[i].action, methods[i].fn,
					 userdata, ret_error);
	return 0;
}
