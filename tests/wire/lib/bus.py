# SPDX-License-Identifier: GPL-2.0-or-later
"""A message bus of its own, with a service manager and a polkit to test against.

    with Host() as host:
        vm = host.start_vm("vm1", quota="16M", iommu="null", devices=["null"])

Host runs dbus-daemon, pvdmad (from $PVDMA_BUILD/asan/bin), and, in a thread of
this process, org.freedesktop.systemd1 as far as pvdmad uses it: units
pvdma-agent@NAME.service are real agents, started as children of this process.

The bindings come with the distribution's own python.
"""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

try:
    import dbus
except ImportError:
    if sys.executable == "/usr/bin/python3":
        raise
    os.execv("/usr/bin/python3", ["/usr/bin/python3", *sys.orig_argv[1:]])

import dbus.lowlevel
import dbus.mainloop.glib
import dbus.service
from gi.repository import GLib

from lib.agent import Agent
from lib.store import place_fds

ROOT = Path(__file__).resolve().parents[3]
BUILD = Path(os.environ.get("PVDMA_BUILD", ROOT / "build")) / "asan/bin"
TIMEOUT = 60

CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
 <type>system</type>
 <listen>unix:path={path}</listen>
 <auth>EXTERNAL</auth>
 <policy context="default">
  <allow user="*"/><allow own="*"/>
  <allow send_type="method_call"/><allow send_type="signal"/>
  <allow send_requested_reply="true" send_type="method_return"/>
  <allow send_requested_reply="true" send_type="error"/>
  <allow receive_type="method_call"/><allow receive_type="method_return"/>
  <allow receive_type="error"/><allow receive_type="signal"/>
 </policy>
</busconfig>
"""

SYSTEMD = "org.freedesktop.systemd1"
UNITS = "/org/freedesktop/systemd1/unit"
PROPERTIES = "org.freedesktop.DBus.Properties"


def encode(name):
    """As sd_bus_path_encode(3)."""
    return "".join(c if c.isalnum() and not (i == 0 and c.isdigit()) else f"_{ord(c):02x}"
                   for i, c in enumerate(name))


def wait_for(condition, what, timeout=TIMEOUT):
    """Returns the first true value of condition()."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {timeout} s for {what}")
        time.sleep(0.02)


class Unit:
    """One unit and its process."""

    def __init__(self, name):
        self.name = name
        self.active = "inactive"
        self.result = "success"
        self.status = ""
        self.process = None
        self.notify = None
        self.job = None
        self.dir = None
        self.store = []     # (name, descriptor) that are kept for the next process


class Systemd(dbus.service.FallbackObject):
    """org.freedesktop.systemd1, as far as pvdmad sees it."""

    def __init__(self, bus, handover, log):
        super().__init__(bus, "/org/freedesktop/systemd1")
        self.bus = bus
        self.handover = handover
        self.log = log
        self.units = {}
        self.jobs = 0
        self.keeps = False  # descriptors, and starts again what was killed
        self.waits = False  # before it does the latter
        self.others = {}    # what else has a unit: its name, once a function is through, by pid
        self.command = [str(BUILD / "pvdma-agent"), f"--handover={handover}"]
        GLib.timeout_add(20, self._poll)

    def unit(self, name):
        return self.units.setdefault(name, Unit(name))

    # --- methods ---

    @dbus.service.method(SYSTEMD + ".Manager")
    def Subscribe(self):
        pass

    @dbus.service.method(SYSTEMD + ".Manager", in_signature="s")
    def ResetFailedUnit(self, name):
        self.unit(name).active = "inactive"

    def _job(self):
        self.jobs += 1
        return dbus.ObjectPath(f"/org/freedesktop/systemd1/job/{self.jobs}")

    @dbus.service.method(SYSTEMD + ".Manager", in_signature="ss", out_signature="o")
    def StartUnit(self, name, _mode):
        unit = self.unit(name)
        unit.dir = tempfile.mkdtemp(prefix="pvdma-unit-")
        path = unit.dir + "/notify"
        unit.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        unit.notify.bind(path)
        unit.notify.setblocking(False)
        unit.status = ""
        unit.job = self._job()
        self._spawn(unit)
        self._set(unit, "activating")
        return unit.job

    def _spawn(self, unit):
        fds = [fd for _, fd in unit.store]
        env = {**os.environ, "NOTIFY_SOCKET": unit.dir + "/notify"}
        if self.keeps:
            env["FDSTORE"] = "1000"
        if fds:
            env["LISTEN_FDS"] = str(len(fds))
            env["LISTEN_FDNAMES"] = ":".join(name for name, _ in unit.store)

        unit.process = subprocess.Popen(  # pylint: disable=subprocess-popen-preexec-fn
            ["sh", "-c", 'LISTEN_PID=$$ exec "$@"', "sh", *self.command], stderr=self.log,
            env=env, close_fds=False, preexec_fn=lambda: place_fds(fds))

    @dbus.service.method(SYSTEMD + ".Manager", in_signature="ss", out_signature="o")
    def StopUnit(self, name, _mode):
        unit = self.unit(name)
        job = self._job()
        if unit.process is None:
            GLib.idle_add(lambda: self.JobRemoved(self.jobs, job, name, "done") and False)
            return job
        unit.job = job
        self._set(unit, "deactivating")
        unit.process.send_signal(signal.SIGTERM)
        return job

    @dbus.service.method(SYSTEMD + ".Manager", in_signature="u", out_signature="o")
    def GetUnitByPID(self, pid):
        for unit in self.units.values():
            if unit.process is not None and unit.process.pid == pid:
                return dbus.ObjectPath(f"{UNITS}/{encode(unit.name)}")
        if pid in self.others:
            name, before = self.others[pid]
            before()
            return dbus.ObjectPath(f"{UNITS}/{encode(name)}")
        raise dbus.DBusException("no such unit", name=SYSTEMD + ".NoUnitForPID")

    def _of_path(self, path):
        for unit in self.units.values():
            if path == f"/unit/{encode(unit.name)}" or path == f"{UNITS}/{encode(unit.name)}":
                return unit
        return Unit("none")

    @dbus.service.method(PROPERTIES, in_signature="s", out_signature="a{sv}",
                         rel_path_keyword="rel")
    def GetAll(self, _interface, rel=None):
        unit = self._of_path(rel)
        pid = unit.process.pid if unit.process else 0
        return {"ActiveState": unit.active, "Result": unit.result, "StatusText": unit.status,
                "MainPID": dbus.UInt32(pid), "Other": dbus.Array([], signature="(st)")}

    @dbus.service.method(PROPERTIES, in_signature="ss", out_signature="v",
                         rel_path_keyword="rel")
    def Get(self, interface, name, rel=None):
        return self.GetAll(interface, rel=rel)[name]

    @dbus.service.signal(SYSTEMD + ".Manager", signature="uoss")
    def JobRemoved(self, number, job, unit, result):
        return True

    # --- processes ---

    def _set(self, unit, active):
        unit.active = active
        message = dbus.lowlevel.SignalMessage(f"{UNITS}/{encode(unit.name)}", PROPERTIES,
                                              "PropertiesChanged")
        message.append(SYSTEMD + ".Unit", {"ActiveState": active},
                       dbus.Array([], signature="s"), signature="sa{sv}as")
        self.bus.send_message(message)

    def _done(self, unit, result):
        if unit.job:
            self.JobRemoved(self.jobs, unit.job, unit.name, result)
            unit.job = None

    @staticmethod
    def _keep(unit, lines, fds):
        fields = dict(line.split("=", 1) for line in lines if "=" in line)
        if "FDSTORE" in fields:
            unit.store += [(fields["FDNAME"], fd) for fd in fds]
        if "FDSTOREREMOVE" in fields:
            for name, fd in unit.store:
                if name == fields["FDNAME"]:
                    os.close(fd)
            unit.store = [kept for kept in unit.store if kept[0] != fields["FDNAME"]]

    def _listen(self, unit):
        while True:
            try:
                data, fds, _, _ = socket.recv_fds(unit.notify, 65536, 8)
            except BlockingIOError:
                return
            lines = data.decode(errors="replace").split("\n")
            self._keep(unit, lines, fds)
            for line in lines:
                if line.startswith("STATUS="):
                    unit.status = line.removeprefix("STATUS=")
                if line == "READY=1":
                    self._set(unit, "active")
                    self._done(unit, "done")

    def _poll(self):
        for unit in list(self.units.values()):
            if unit.process is None and unit.active == "activating" and not self.waits:
                self._spawn(unit)
            if unit.process is None:
                continue
            status = unit.process.poll()
            self._listen(unit)
            if status is None:
                continue
            if self.keeps and status < 0 and unit.active == "active":
                unit.process = None
                self._set(unit, "failed")
                self._set(unit, "activating")
                continue
            wanted = unit.active == "deactivating"
            starting = unit.active == "activating"
            unit.process = None
            unit.notify.close()
            unit.result = "success" if status == 0 else "exit-code" if status > 0 else "signal"
            self._set(unit, "inactive" if wanted or status == 0 else "failed")
            self._done(unit, "failed" if starting else "done")
        return True


class Polkit(dbus.service.Object):
    """Allows what is in `allowed`, to everybody; but while it is `silent`, answers are put off."""

    def __init__(self, bus):
        super().__init__(bus, "/org/freedesktop/PolicyKit1/Authority")
        self.allowed = {"org.pvdma1.inspect"}
        self.asked = []
        self.silent = False
        self.put_off = []

    @dbus.service.method("org.freedesktop.PolicyKit1.Authority", in_signature="(sa{sv})sa{ss}us",
                         out_signature="(bba{ss})", async_callbacks=("reply", "error"))
    def CheckAuthorization(self, subject, action, _details, _flags, _id, reply, error):
        del error
        self.asked.append((subject[0], str(action)))
        self.put_off.append((str(action), reply))
        if not self.silent:
            self.answer()

    def answer(self):
        """All that were put off."""
        while self.put_off:
            action, reply = self.put_off.pop()
            allowed = action in self.allowed
            reply((allowed, not allowed, dbus.Dictionary({}, signature="ss")))


class Host:
    """The bus, and all that is on it."""

    def __init__(self, config="", args=()):
        self.dir = Path(tempfile.mkdtemp(prefix="pvdma-host-"))
        self.dir.chmod(0o755)
        self.address = f"unix:path={self.dir}/bus"
        self.runtime = self.dir / "run"
        self.runtime.mkdir()
        self.config = self.dir / "pvdmad.conf"
        self.config.write_text(config)
        self.args = list(args)
        self.log = self.dir / "log"
        self.service = None
        self.daemon = None
        self.loop = None
        self.thread = None

    # --- life ---

    def __enter__(self):
        (self.dir / "bus.conf").write_text(CONFIG.format(path=self.dir / "bus"))
        self.daemon = subprocess.Popen(["dbus-daemon", f"--config-file={self.dir}/bus.conf",
                                        "--nofork", "--nopidfile"])
        try:
            wait_for(self._bus_listens, "the bus")
        except BaseException:
            self.daemon.kill()
            raise
        (self.dir / "bus").chmod(0o777)
        self._start_peers()
        self.start()
        return self

    def _bus_listens(self):
        """Its socket has a name before it can be connected to."""
        with socket.socket(socket.AF_UNIX) as client:
            return client.connect_ex(str(self.dir / "bus")) == 0

    def __exit__(self, kind, value, traceback):
        try:
            if self.service:
                self.stop()
        finally:
            self.systemd.keeps = False
            for unit in list(self.systemd.units.values()):
                if unit.process:
                    unit.process.kill()
            self.loop.quit()
            self.thread.join()
            self.daemon.terminate()
            self.daemon.wait()
            if kind is not None:
                print("\n".join("# " + line for line in self.log_text().splitlines()[-60:]))
            subprocess.run(["rm", "-rf", str(self.dir)], check=False)

    def _start_peers(self):
        loop = dbus.mainloop.glib.DBusGMainLoop()
        bus = dbus.bus.BusConnection(self.address, mainloop=loop)
        # No BusName objects: they would give the names back when nobody runs the loop.
        for name in (SYSTEMD, "org.freedesktop.PolicyKit1"):
            bus.request_name(name)
        self._stderr = self.log.open("ab")
        self.systemd = Systemd(bus, self.runtime / "handover", self._stderr)
        self.polkit = Polkit(bus)
        self.loop = GLib.MainLoop()
        self.thread = threading.Thread(target=self.loop.run, daemon=True)
        self.thread.start()

    def start(self):
        """Starts pvdmad and waits for its name."""
        self.service = subprocess.Popen(
            [str(BUILD / "pvdmad"), "--config", str(self.config), "--bus", self.address,
             "--runtime-dir", str(self.runtime), "--log-level", "debug", *self.args],
            stderr=self._stderr)
        self.bus = dbus.bus.BusConnection(self.address)

        def ready():
            if self.service.poll() is not None:
                raise AssertionError(f"pvdmad ended: {self.log_text()}")
            return self.bus.name_has_owner("org.pvdma1")
        wait_for(ready, "org.pvdma1")

    def stop(self, kill=False):
        """Ends pvdmad, and holds it to a clean end."""
        service, self.service = self.service, None
        if kill:
            service.kill()
            service.wait()
            return
        service.terminate()
        status = service.wait(TIMEOUT)
        if status != 0:
            raise AssertionError(f"pvdmad ended with status {status}: {self.log_text()[-4000:]}")

    def log_text(self):
        return self.log.read_text(errors="replace")

    # --- calls ---

    def manager(self):
        obj = self.bus.get_object("org.pvdma1", "/org/pvdma1", introspect=False)
        return dbus.Interface(obj, "org.pvdma1.Manager")

    def vm(self, name):
        obj = self.bus.get_object("org.pvdma1", "/org/pvdma1/vm/" + encode(name),
                                  introspect=False)
        return dbus.Interface(obj, "org.pvdma1.VM")

    def get(self, path, interface, name):
        obj = self.bus.get_object("org.pvdma1", path, introspect=False)
        return obj.Get(interface, name, dbus_interface=PROPERTIES)

    def vm_get(self, name, what):
        return self.get("/org/pvdma1/vm/" + encode(name), "org.pvdma1.VM", what)

    def start_vm(self, name, devices=("null",), **settings):
        settings.setdefault("iommu", "null")
        values = {key.replace("_", "-"): value for key, value in settings.items()}
        values["devices"] = dbus.Array(devices, signature="s")
        return self.manager().StartVM(name, dbus.Dictionary(values, signature="sv"),
                                      timeout=TIMEOUT)

    def pid(self, name):
        unit = self.systemd.units[f"pvdma-agent@{name}.service"]
        return unit.process.pid


class Sockets(Agent):
    """The sockets of a VM that runs, for Guest of vhost_user.py."""

    def __init__(self, host, name):  # pylint: disable=super-init-not-called
        self.vhost_socket = str(host.vm_get(name, "Socket"))
        self.vfio_sockets = [str(d[2]) for d in host.vm_get(name, "Devices")]
