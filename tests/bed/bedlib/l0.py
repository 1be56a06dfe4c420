# SPDX-License-Identifier: GPL-2.0-or-later
"""One run of the bed: L0's QEMU, and what is read from it.

Files of a run, in its artifacts directory (L1 sees it as /bed/out):
    run/           what L1 is told: env.sh, args, devices, the script
    l0/            QEMU's command line and messages, the VT-d fault trace
    events         the channel of verdicts (below), written by QEMU
    script.log     the script's output, a channel of its own too
    l1-serial.log  L1's console
    verdicts.jsonl, results.jsonl   the events, for programs

Both channels are virtio-serial ports that QEMU appends to a file; the driver
follows the files. A line of `events` is tab-separated:
    V pass|fail|skip NAME REASON      a verdict
    R KEY VALUE                       a result
    P TEXT                            progress
    S STATUS                          the script's exit status; the run is over

Lives: QEMU runs in a session of its own and is told by the kernel to die with
the driver, so that nothing survives it, however it ends.
"""

import ctypes
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from bedlib import devices, images, netsvc, roots
from bedlib.config import TOP, progress

PR_SET_PDEATHSIG = 1
POLL_SECONDS = 0.05
# L1 ends a script this long before the driver's own time-out, to save logs.
GRACE_SECONDS = 30
TAIL_LINES = 25
LOST_STATUS = 125
# what EPYC-v4 has and emulation lacks (each would be a warning)
CPU = "EPYC-v4," + ",".join(f"{name}=off" for name in (
    "fxsr-opt", "misalignsse", "osvw", "topoext", "perfctr-core", "clzero", "ibpb", "nrip-save",
    "xsavec", "xsaves"))
# L1 has a CPU more than was asked for, its first, on which no guest runs: each FXRSTOR or
# XRSTOR, of any CPU, makes the emulator (cpu_set_fpus(), to 11.1.3) read, change and write
# the first CPU's hflags2, with no lock. A VMRUN or #VMEXIT that it makes there meanwhile may
# be undone by half: a guest then runs without nested paging, in L1's memory. Interrupts of
# devices go to the other CPUs, too: from an idle one, it is a long way to who waits for them.
FIRST_CPU = 0
TIMEOUT_STATUS = 124


@dataclass
class Options:
    """What the command line asks of a run."""
    l1_kernel: str
    guest_kernels: list[str]
    l1_init: str
    l1_root: str
    device: list[str]
    guest_mem: str
    cpus: int
    l1_mem: str
    timeout: int
    artifacts: Path
    env: dict[str, str]
    qemu_arg: list[str]
    service: dict[str, str]
    script: "Path | None"
    args: list[str] = field(default_factory=list)
    shell: str = ""  # "", "l1" or "guest"
    system: "Path | None" = None  # the artifact of a guest's Debian system


def _die_with_parent() -> None:
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Follower:
    """Reads the complete lines that were appended to a file."""

    def __init__(self, path: Path):
        self._path = path
        self._at = 0
        self._rest = b""

    def lines(self, last: bool = False) -> list[str]:
        """New lines; with last, also one that lacks its newline."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._at)
                data = file.read()
        except FileNotFoundError:
            return []
        self._at += len(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        if last and self._rest:
            lines.append(self._rest)
            self._rest = b""
        return [line.decode(errors="replace").rstrip("\r") for line in lines]


class Run:
    """Prepares, runs and judges one boot of L1."""

    def __init__(self, options: Options):
        self.options = options
        self.out = options.artifacts
        self.status: "int | None" = None
        self.failed = 0
        self._stack = ExitStack()
        self._scratch = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="bed.")))
        self._ports: dict[str, int] = {}

    def prepare(self) -> list[str]:
        """Write what L1 reads, start the services; QEMU's argv."""
        options = self.options
        for sub in ("run", "l0"):
            (self.out / sub).mkdir(parents=True, exist_ok=True)
        for name in ("events", "script.log", "l1-serial.log", "verdicts.jsonl", "results.jsonl",
                     "l0/vtd_dmar_fault.log"):
            (self.out / name).write_text("")
        table = devices.build(options.device, images.disk() / "disk.raw")
        rows = "".join(device.row() + "\n" for device in table)
        (self.out / "run/devices").write_text(rows)
        self._ports["http"] = netsvc.start()
        for name, command in options.service.items():
            self._ports[name] = self._start_service(name, command)
        if options.script:
            shutil.copyfile(options.script, self.out / "run/script")
        (self.out / "run/args").write_text("".join(f"{arg}\0" for arg in options.args))
        (self.out / "run/env.sh").write_text(self._environment())
        return self._qemu(table)

    def _start_service(self, name: str, command: str) -> int:
        """Run a service's command with a free port in place of {port}."""
        port = free_port()
        log = self._stack.enter_context((self.out / "l0" / f"service-{name}.log").open("wb"))
        child = subprocess.Popen(["/bin/sh", "-c", "exec " + command.replace("{port}", str(port))],
                                 stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                 preexec_fn=_die_with_parent)
        self._stack.callback(_end, child)
        return port

    def _environment(self) -> str:
        options = self.options
        values = {
            "BED_LIB": "/bed/lib/l1.sh", "BED_TOP": "/bed/top", "BED_OUT": "/bed/out",
            "BED_DISK_SUMS": "/bed/disk.sums",
            "BED_GUEST_KERNELS": " ".join(options.guest_kernels),
            "BED_GUEST_KERNEL": options.guest_kernels[0],
            "BED_GUEST_MEM": options.guest_mem,
            "BED_L1_KERNEL": options.l1_kernel,
            "BED_L1_INIT": options.l1_init,
            "BED_L1_ROOT": options.l1_root,
            "BED_SECONDS": str(max(options.timeout - GRACE_SECONDS, 10)),
            "BED_SHELL": options.shell,
        }
        script = options.script.resolve() if options.script else None
        if script and script.is_relative_to(TOP):
            values["BED_SCRIPT_DIR"] = f"/bed/top/{script.parent.relative_to(TOP)}"
        values |= {f"BED_PORT_{name.upper()}": str(port) for name, port in self._ports.items()}
        values |= options.env
        return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in values.items())

    def _qemu(self, table: list[devices.Device]) -> list[str]:
        options = self.options
        root = roots.root()
        boot = images.l1_boot(options.l1_kernel)
        shares = {"bedtop": (TOP, True), "bedout": (self.out, False),
                  "bedcache": (images.disk(), True)}
        for version in options.guest_kernels:
            shares[f"bedg-{version}"] = (images.guest(version), True)
        guests = list(options.guest_kernels)
        if options.system:
            shares["bedg-system"] = (options.system, True)
            guests.append("system")
        init = "/sbin/init" if options.l1_init == "systemd" else "/bed/top/tests/bed/l1/init.sh"
        append = ("console=ttyS0 loglevel=4 panic=-1 intel_iommu=on mitigations=off tsc=reliable "
                  "no_timer_check random.trust_cpu=on systemd.show_status=0 "
                  "systemd.log_target=journal systemd.unified_cgroup_hierarchy=1 "
                  f"isolcpus=domain,managed_irq,{FIRST_CPU} irqaffinity=1-{options.cpus} "
                  f"net.ifnames=0 bed.init={init} bed.guests={','.join(guests)}")
        if options.l1_root == "minimal":
            append += " audit=0"  # nobody there whom AppArmor might deny something
        argv = roots.loader(root, "usr/bin/qemu-system-x86_64")
        for path in ("qemu", "seabios", "../lib/ipxe/qemu"):
            argv += ["-L", str(root / "usr/share" / path)]
        argv += [
            "-name", "bed-l1", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
            "-accel", "tcg,thread=multi,tb-size=1024", "-M", "q35", "-cpu", CPU,
            "-smp", str(options.cpus + 1), "-m", options.l1_mem,
            "-kernel", str(boot / "vmlinux"), "-initrd", str(boot / "initrd"), "-append", append,
            "-device", "intel-iommu,intremap=on,aw-bits=48",
            "-trace", "vtd_dmar_fault", "-D", str(self.out / "l0/vtd_dmar_fault.log"),
            "-qmp", f"unix:{self._scratch}/qmp,server=on,wait=off",
        ]
        if options.system:
            argv += ["-drive", f"if=none,id=system,file={options.system}/disk.raw,format=raw,snapshot=on"]
        for device in table:
            argv += device.args
        argv += ["-drive", f"if=none,id=l1,file={images.l1_image(options.l1_root)},format=raw,readonly=on",
                 "-device", "virtio-blk-pci,drive=l1"]
        for tag, (path, readonly) in shares.items():
            argv += ["-fsdev", f"local,id={tag},path={path},security_model=none,multidevs=remap"
                     + (",readonly=on" if readonly else ""),
                     "-device", f"virtio-9p-pci,fsdev={tag},mount_tag={tag}"]
        argv += ["-device", "virtio-serial-pci,id=bedserial"]
        for name, path in (("events", "events"), ("output", "script.log")):
            argv += ["-chardev", f"file,id={name},path={self.out / path},append=on",
                     "-device", f"virtserialport,bus=bedserial.0,chardev={name},name=bed.{name}"]
        serial = self.out / "l1-serial.log"
        if options.shell:
            argv += ["-chardev", f"stdio,id=console,mux=on,signal=off,logfile={serial}",
                     "-mon", "chardev=console"]
        else:
            argv += ["-chardev", f"file,id=console,path={serial}"]
        return argv + ["-serial", "chardev:console", *options.qemu_arg]

    def run(self) -> int:
        """Boot, follow, judge: the script's status (see README for ours)."""
        with self._stack:
            argv = self.prepare()
            (self.out / "l0/command").write_text(shlex.join(argv) + "\n")
            log = self._stack.enter_context((self.out / "l0/qemu.log").open("wb"))
            shell = bool(self.options.shell)
            env = os.environ | {"QEMU_MODULE_DIR": str(roots.root() / roots.LIBS / "qemu"),
                                "TMPDIR": str(self._scratch)}
            child = subprocess.Popen(
                argv, env=env, preexec_fn=_die_with_parent, start_new_session=not shell,
                stdin=None if shell else subprocess.DEVNULL, stdout=None if shell else log,
                stderr=log)
            self._stack.callback(_end, child)
            progress(f"L1 {self.options.l1_kernel} boots; logs in {self.out}")
            if shell:
                child.wait()
                return 0
            return self._follow(child)

    def _follow(self, child: "subprocess.Popen[bytes]") -> int:
        deadline = time.monotonic() + self.options.timeout
        events = Follower(self.out / "events")
        output = Follower(self.out / "script.log")
        why = ""
        while self.status is None and not why:
            ended = child.poll() is not None
            late = time.monotonic() > deadline
            self._take(output.lines(ended or late), events.lines(ended or late))
            if self.status is not None:
                break
            if ended:
                why = f"L1 ended early (QEMU's status {child.returncode})"
            elif late:
                why = f"no end after {self.options.timeout} s"
            time.sleep(POLL_SECONDS)
        self._take(output.lines(True), events.lines(True))
        if self.status is not None:
            return self.status or (1 if self.failed else 0)
        self._verdict("fail", "bed", why)
        self._explain()
        return TIMEOUT_STATUS if "no end" in why else LOST_STATUS

    def _take(self, output: list[str], events: list[str]) -> None:
        for line in output:
            print(line, flush=True)
        for line in events:
            kind, *fields = line.split("\t")
            if kind == "V" and len(fields) >= 2:
                self._verdict(fields[0], fields[1], fields[2] if len(fields) > 2 else "")
            elif kind == "R" and len(fields) == 2:
                self._append("results.jsonl", {"key": fields[0], "value": _value(fields[1])})
            elif kind == "P" and fields:
                progress(fields[0])
            elif kind == "S" and fields and fields[0].isdigit():
                self.status = int(fields[0])

    def _verdict(self, state: str, name: str, reason: str) -> None:
        self.failed += state == "fail"
        print(f"{state.upper()} {name}" + (f": {reason}" if reason else ""), flush=True)
        self._append("verdicts.jsonl", {"verdict": state, "name": name, "reason": reason})

    def _append(self, name: str, row: dict[str, object]) -> None:
        with (self.out / name).open("a") as file:
            file.write(json.dumps(row) + "\n")

    def _explain(self) -> None:
        """The last lines of the logs, for a run that did not end by itself."""
        for name in ("l0/qemu.log", "l1-serial.log", "script.log"):
            lines = (self.out / name).read_text(errors="replace").splitlines()[-TAIL_LINES:]
            if lines:
                print(f"--- last lines of {self.out / name}", file=sys.stderr)
                print("\n".join(lines), file=sys.stderr)


def _value(text: str) -> "int | float | str":
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text


def _end(child: "subprocess.Popen[bytes]") -> None:
    """End a child process and reap it."""
    if child.poll() is None:
        child.kill()
    child.wait()


def free_port() -> int:
    """A TCP port of the loopback that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
