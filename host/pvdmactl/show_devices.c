// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * show_devices.c - pvdmactl devices
 *
 * Owns: nothing. Locks: none. In a request's way: not.
 */
#include <string.h>

#include "columns.h"
#include "lib/cleanup.h"
#include "lib/log.h"
#include "lib/parse.h"
#include "verbs.h"
#include "vms.h"

DEFINE_CLEANUP(message, sd_bus_message *, sd_bus_message_unref);
DEFINE_CLEANUP(json, json_object *, json_object_put);

static int unreadable(int r)
{
	log_err_errno(r, "cannot read the list of devices");
	return CTL_FAILED;
}

static json_object *device_object(const char *address, const char *text,
				  const char *driver, int32_t group,
				  const char *vm)
{
	json_object *object = json_object_new_object();

	json_object_object_add(object, "address",
			       json_object_new_string(address));
	json_object_object_add(object, "text", json_object_new_string(text));
	json_object_object_add(object, "driver",
			       json_object_new_string(driver));
	json_object_object_add(object, "group", json_object_new_int(group));
	json_object_object_add(object, "vm", json_object_new_string(vm));
	return object;
}

/* {"problem", "fix"} each. 0 or an exit status, said. */
static int get_problems(struct ctl *ctl, const char *address, json_object **ret)
{
	_cleanup_(cleanup_message) sd_bus_message *reply = NULL;
	_cleanup_(cleanup_json) json_object *list = json_object_new_array();
	const char *what, *fix;
	int r;

	r = ctl_call(ctl, NULL, "CheckDevice", "check a device", &reply, "s",
		     address);
	if (r != 0)
		return r;
	r = sd_bus_message_enter_container(reply, 'a', "(ss)");
	while (r >= 0 &&
	       (r = sd_bus_message_read(reply, "(ss)", &what, &fix)) > 0) {
		json_object *problem = json_object_new_object();

		json_object_object_add(problem, "problem",
				       json_object_new_string(what));
		json_object_object_add(problem, "fix",
				       json_object_new_string(fix));
		(void)json_object_array_add(list, problem);
	}
	if (r < 0)
		return unreadable(r);
	*ret = steal_ptr(list);
	return CTL_OK;
}

/* All devices, or the one at @only; with problems where somebody looks at them. */
static int get_devices(struct ctl *ctl, const char *only, json_object **ret)
{
	_cleanup_(cleanup_message) sd_bus_message *reply = NULL;
	_cleanup_(cleanup_json) json_object *list = json_object_new_array();
	const char *address, *text, *driver, *vm, *problem;
	int32_t group;
	int r;

	r = ctl_call(ctl, NULL, "ListDevices", "list devices", &reply, "");
	if (r != 0)
		return r;
	r = sd_bus_message_enter_container(reply, 'a', "(sssiss)");
	while (r >= 0 &&
	       (r = sd_bus_message_read(reply, "(sssiss)", &address, &text,
					&driver, &group, &vm, &problem)) > 0) {
		json_object *device, *problems = NULL;

		if (only && strcmp(only, address) != 0)
			continue;
		device = device_object(address, text, driver, group, vm);
		(void)json_object_array_add(list, device);
		if (*problem && get_problems(ctl, address, &problems) != 0)
			return CTL_FAILED;
		json_object_object_add(device, "problems",
				       problems ? problems :
						  json_object_new_array());
	}
	if (r < 0)
		return unreadable(r);
	*ret = steal_ptr(list);
	return CTL_OK;
}

static int print_list(json_object *list)
{
	static const char *const heads[] = { "ADDRESS", "DRIVER", ">GROUP",
					     "VM",	"STATE",  "DEVICE",
					     NULL };
	struct columns c;
	int r;

	columns_init(&c, heads);
	for (size_t i = 0; i < vms_length(list); i++) {
		json_object *dev = json_object_array_get_idx(list, i);
		json_object *problems = vms_at(dev, "problems");
		bool used = *vms_text(dev, "vm") != '\0';
		size_t num = vms_length(problems);

		columns_add(&c, "%s", vms_text(dev, "address"));
		columns_add(&c, "%s", vms_text(dev, "driver"));
		columns_add(&c, "%s", vms_text(dev, "group"));
		columns_add(&c, "%s", vms_text(dev, "vm"));
		columns_add(&c, "%s",
			    used     ? "assigned" :
			    num == 0 ? "free" :
				       "not free");
		columns_add(&c, "%s", vms_text(dev, "text"));
	}
	r = columns_print(&c, "", stdout);
	columns_done(&c);
	return r == 0 ? CTL_OK : CTL_FAILED;
}

static void print_problems(json_object *list)
{
	for (size_t i = 0; i < vms_length(list); i++) {
		json_object *dev = json_object_array_get_idx(list, i);
		json_object *problems = vms_at(dev, "problems");

		for (size_t k = 0; k < vms_length(problems); k++) {
			json_object *p = json_object_array_get_idx(problems, k);
			const char *fix = vms_text(p, "fix");

			printf("\n%s: %s%s%s", vms_text(dev, "address"),
			       vms_text(p, "problem"), *fix ? "\n    " : "",
			       fix);
		}
	}
	if (vms_length(list) > 0)
		printf("\n");
}

int show_devices(struct ctl *ctl, const struct verb_args *args)
{
	_cleanup_(cleanup_json) json_object *list = NULL;
	char address[PCI_ADDRESS_TEXT_MAX];
	struct pci_address parsed;
	json_object *all;
	int r;

	if (args->num_words > 0) {
		if (parse_pci_address(args->words[0], &parsed) < 0) {
			log_err("%s is no PCI address: expected one such as 0000:01:00.0",
				args->words[0]);
			return CTL_USAGE;
		}
		format_pci_address(&parsed, address);
	}
	r = get_devices(ctl, args->num_words > 0 ? address : NULL, &list);
	if (r != 0)
		return r;
	if (args->num_words > 0 && vms_length(list) == 0) {
		log_err("there is no device %s that could be assigned: pvdmactl devices lists all",
			address);
		return CTL_FAILED;
	}
	if (ctl->json) {
		all = json_object_new_object();
		json_object_object_add(all, "devices", steal_ptr(list));
		return ctl_print_json(ctl, all, false);
	}
	r = print_list(list);
	print_problems(list);
	return r;
}
