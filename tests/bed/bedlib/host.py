# SPDX-License-Identifier: GPL-2.0-or-later
"""A run on this machine itself, with devices of its own: `bed host`.

The script finds what it finds in L1: the bed's root file system, with this machine's
modules, /dev, /proc and /sys, in a mount namespace of its own (host/enter.sh), and
guests' kernels. Guests, and whatever they are given, are as in L1; but nothing is emulated.

A device that is in use is never touched: pvdmactl doctor, the same judge as for
pvdmad's users, says so; nobody may have opened a disk of it, and a VFIO group that somebody has
opened is busy. Whatever happens to the script, each device has its old driver, and driver_override,
in the end, and no process of the script's is left. One that is interrupted has time to tidy up.
"""

import ctypes
import json
import os
import re
import signal
import stat
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from bedlib import images, roots, run
from bedlib.config import BED, TOP, BedError, progress, read_modules, tool
from bedlib.run import die_with_parent, end_child

PR_SET_CHILD_SUBREAPER = 36
PCI = Path("/sys/bus/pci")
VFIO = "vfio-pci"
DOCTOR = TOP / "build/bin/pvdmactl"
# What doctor looks at that has to be right for a guest with these devices.
CHECKS = ("iommu", "interrupt remapping", "devices", "kvm")
ADDRESS = re.compile(r"([0-9a-f]{4}:)?[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]")
END_SECONDS = 10
# between the last word and the end
LEAVE_SECONDS = 1
# for what a script does at its end: guests stop, a disk is wiped
TIDY_SECONDS = 150


@dataclass
class Device:
    """A PCI device: its address, who drives it now, who would, what was to."""
    bdf: str
    bound: str  # "" for nobody
    driver: str
    override: str  # "" for none

    def put_back(self) -> None:
        """The driver that it had, or none."""
        folder = PCI / "devices" / self.bdf
        try:
            if _driver(self.bdf) != self.bound:
                if (folder / "driver").exists():
                    (folder / "driver/unbind").write_text(self.bdf)
                if self.bound:
                    (folder / "driver_override").write_text(self.bound)
                    (PCI / "drivers_probe").write_text(self.bdf)
        finally:
            (folder / "driver_override").write_text(self.override + "\n")
        progress(f"{self.bdf} is back with {_driver(self.bdf) or 'no driver'}")


def _driver(bdf: str) -> str:
    link = PCI / "devices" / bdf / "driver"
    return link.resolve().name if link.exists() else ""


def _driver_for(bdf: str) -> str:
    """The module that this machine's kernel has for a device."""
    alias = (PCI / "devices" / bdf / "modalias").read_text().strip()
    found = subprocess.run([tool("modprobe"), "-R", alias], capture_output=True, text=True, check=False)
    names = [name for name in found.stdout.split() if name.replace("_", "-") != VFIO]
    if not names:
        raise BedError(f"this machine's kernel has no driver for {bdf}")
    return names[0]


def _judge(addresses: list[str]) -> None:
    """What pvdmactl doctor says against it is an error."""
    if not DOCTOR.exists():
        raise BedError(f"{DOCTOR} is missing: make build/bin/pvdmactl")
    argv = [str(DOCTOR), "--json", "doctor", *(word for bdf in addresses for word in ("--device", bdf))]
    found = subprocess.run(argv, capture_output=True, text=True, check=False)
    try:
        checks = json.loads(found.stdout)["checks"]
    except (ValueError, KeyError):
        raise BedError(f"pvdmactl doctor ended with status {found.returncode}: {found.stderr}") from None
    wrong = [f"{check['detail']}" + (f"\n     {check['fix']}" if check["fix"] else "")
             for check in checks if check["name"] in CHECKS and check["state"] == "error"]
    if wrong:
        raise BedError("\n     ".join(wrong))


def _not_busy(bdf: str) -> None:
    """A VFIO group can be opened once at a time."""
    group = (PCI / "devices" / bdf / "iommu_group").resolve().name
    try:
        os.close(os.open(f"/dev/vfio/{group}", os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        raise BedError(f"{bdf} has {VFIO}, and somebody uses it: /dev/vfio/{group}: {error.strerror}") from None


def _not_open(bdf: str) -> None:
    """No process has a disk of the device: neither doctor's mounts nor an exclusive claim tell of
    a VM that has it as a block device."""
    numbers = {}
    for path in Path("/sys/class/block").iterdir():
        if f"/{bdf}/" in f"{path.resolve()}/":
            major, minor = (path / "dev").read_text().split(":")
            numbers[os.makedev(int(major), int(minor))] = path.name
    for path in Path("/proc").glob("[0-9]*/fd/*") if numbers else ():
        try:
            status = path.stat()
            if stat.S_ISBLK(status.st_mode) and status.st_rdev in numbers:
                owner = path.parent.parent
                raise BedError(f"{bdf}: the process {owner.name} ({(owner / 'comm').read_text().strip()}) "
                               f"has its disk {numbers[status.st_rdev]} open")
        except OSError:
            pass  # closed, or ended


def _override(bdf: str) -> str:
    text = (PCI / "devices" / bdf / "driver_override").read_text().strip()
    return "" if text == "(null)" else text


def _devices(addresses: list[str]) -> list[Device]:
    """The devices, none of which is in use, or BedError."""
    for text in addresses:
        if not ADDRESS.fullmatch(text):
            raise BedError(f"--device {text}: not a PCI address, such as 0000:03:00.0 (lspci -D lists them)")
    full = [text if text.count(":") == 2 else f"0000:{text}" for text in addresses]
    if len(set(full)) < len(full):
        raise BedError("a device is named twice")
    subprocess.run([tool("modprobe"), VFIO], check=True)
    _judge(full)
    known = [name.replace("-", "_") for name in read_modules(BED / "modules.guest")[1]]
    devices = []
    for bdf in full:
        bound = _driver(bdf)
        if bound == VFIO:
            _not_busy(bdf)
        _not_open(bdf)
        driver = bound if bound not in ("", VFIO) else _driver_for(bdf)
        if driver.replace("-", "_") not in known:
            raise BedError(f"guests have no driver {driver} for {bdf}: add it to {BED / 'modules.guest'}")
        devices.append(Device(bdf, bound, driver, _override(bdf)))
    return devices


def _rows(devices: list[Device]) -> list[str]:
    """As devices.py writes them: index role driver slot place net."""
    rows: list[str] = []
    for index, device in enumerate(devices):
        before = [other.driver for other in devices[:index]].count(device.driver)
        role = f"{device.driver}.{before}" if before else device.driver
        rows.append(f"{index} {role} {device.driver} {device.bdf} here -")
    return rows


def _descendants() -> list[int]:
    """Processes below this one, those whose own parents have ended among them."""
    parents: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            pass
    below = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in below and pid not in below}:
        below |= more
    return sorted(below - {os.getpid()})


def _end_all() -> None:
    """Kill and reap what the script has left; a device is given back when nobody has it."""
    end = time.monotonic() + END_SECONDS
    while pids := _descendants():
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            pass
        if time.monotonic() > end:
            raise BedError(f"processes do not end: {pids}")
        time.sleep(run.POLL_SECONDS)


def _end_script(child: "subprocess.Popen[bytes]") -> None:
    """Nothing interrupts what comes now; a script that still runs has time to tidy up."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    try:
        child.wait(LEAVE_SECONDS)
    except subprocess.TimeoutExpired:
        progress("the script tidies up")
        child.terminate()
        try:
            child.wait(TIDY_SECONDS)
        except subprocess.TimeoutExpired:
            progress(f"it did not end within {TIDY_SECONDS} s")
    end_child(child)


class Run(run.Run):
    """Prepares, runs and judges one script on this machine."""

    machine = "the script"
    logs = ("l0/host.log", "script.log")

    def environment(self) -> dict[str, str]:
        return super().environment() | {
            "BED_HOST": "1", "BED_L1_KERNEL": os.uname().release, "BED_L1_INIT": "none", "BED_L1_ROOT": "host"}

    def _argv(self) -> list[str]:
        binds = {"top": TOP, "out": self.out, "disk": images.disk()}
        binds |= {f"guest/{version}": images.guest(version) for version in self.options.guest_kernels}
        return [tool("unshare"), "-m", "--propagation", "private", "--", "bash", str(BED / "host/enter.sh"),
                str(roots.root()), str(self.scratch), *(f"{name}={path}" for name, path in binds.items())]

    def run(self) -> int:
        """Judge the devices, run the script, put them back: its status."""
        if os.geteuid() != 0:
            raise BedError("bed host takes devices from this machine and gives them to guests: run it as root")
        devices = _devices(self.options.device)
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1)
        with self.stack:
            self.tell(_rows(devices))
            log = self.stack.enter_context((self.out / "l0/host.log").open("wb"))
            for device in devices:
                self.stack.callback(device.put_back)
            self.stack.callback(_end_all)
            child = subprocess.Popen(self._argv(), preexec_fn=die_with_parent, start_new_session=True,
                                     stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            self.stack.callback(_end_script, child)
            progress(f"on this machine, with {' '.join(device.bdf for device in devices)}; logs in {self.out}")
            return self.follow(child)
