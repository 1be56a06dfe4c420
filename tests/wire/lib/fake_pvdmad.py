# SPDX-License-Identifier: GPL-2.0-or-later
"""A service org.pvdma1 that does nothing but remember what it was asked.

Run by the system's Python, which has the bindings: fake_pvdmad.py LOG MODE, with
the bus in DBUS_SYSTEM_BUS_ADDRESS. Appends a line of JSON a call to LOG. MODE:
ok, error (calls fail), late (they are never answered), failed (VMs have).
"""

import json
import sys

import dbus
import dbus.mainloop.glib
import dbus.service
from gi.repository import GLib

MANAGER, VM = "org.pvdma1.Manager", "org.pvdma1.VM"


class Error(dbus.DBusException):
    def __init__(self, name, text):
        self._dbus_error_name = f"org.pvdma1.Error.{name}"
        super().__init__(text)


def plain(value):
    """A D-Bus value as one of JSON; the type goes with it where it matters."""
    if isinstance(value, dbus.Dictionary):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, dbus.Array):
        return [plain(v) for v in value]
    if isinstance(value, (dbus.UInt64, dbus.UInt32)):
        return [type(value).__name__, int(value)]
    return str(value)


class Vm(dbus.service.Object):
    def __init__(self, bus, name, state, settings):
        devices = [(str(a), i + 1, "", "") for i, a in enumerate(settings["devices"])]
        self.properties = {"State": state, "Domain": settings.get("domain", "none"),
                           "Devices": dbus.Array(devices, signature="(suss)")}
        super().__init__(bus, f"/org/pvdma1/vm/{name}")

    @dbus.service.method("org.freedesktop.DBus.Properties", in_signature="ss", out_signature="v")
    def Get(self, interface, name):
        assert interface == VM
        return self.properties[name]


class Manager(dbus.service.Object):
    def __init__(self, bus, log, mode):
        self.bus, self.log, self.mode, self.vms = bus, log, mode, {}
        super().__init__(bus, "/org/pvdma1")

    def note(self, *call):
        with open(self.log, "a", encoding="utf-8") as file:
            file.write(json.dumps(call) + "\n")

    def answer(self, good, bad, value=None):
        if self.mode == "error":
            bad(Error("DeviceBusy", "device 0000:01:00.0 belongs to VM other: pvdmactl stop other"))
        elif self.mode != "late":
            good(*([] if value is None else [value]))

    @dbus.service.method(MANAGER, in_signature="sa{sv}", out_signature="o",
                         async_callbacks=("good", "bad"))
    def StartVM(self, name, settings, good, bad):
        self.note("StartVM", str(name), plain(settings))
        if self.mode in ("ok", "failed"):
            self.vms[name] = Vm(self.bus, name, "failed" if self.mode == "failed" else "running",
                                settings)
        self.answer(good, bad, dbus.ObjectPath(f"/org/pvdma1/vm/{name}"))

    @dbus.service.method(MANAGER, in_signature="s", out_signature="o")
    def GetVM(self, name):
        if self.mode == "error":
            raise Error("DeviceBusy", "device 0000:01:00.0 belongs to VM other")
        if name not in self.vms:
            raise Error("NoSuchVM", f"there is no VM {name}")
        return dbus.ObjectPath(f"/org/pvdma1/vm/{name}")

    @dbus.service.method(MANAGER, in_signature="s", async_callbacks=("good", "bad"))
    def StopVM(self, name, good, bad):
        self.note("StopVM", str(name))
        vm = self.vms.pop(name, None)
        if vm:
            vm.remove_from_connection()
        elif self.mode == "ok":
            bad(Error("NoSuchVM", f"there is no VM {name}"))
            return
        self.answer(good, bad)


def main():
    dbus.mainloop.glib.DBusGMainLoop(set_as_default=True)
    bus = dbus.SystemBus()
    manager = Manager(bus, sys.argv[1], sys.argv[2])
    name = dbus.service.BusName("org.pvdma1", bus)
    print("ready", name.get_name(), manager.mode, flush=True)
    GLib.MainLoop().run()


if __name__ == "__main__":
    main()
