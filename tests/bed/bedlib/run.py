# SPDX-License-Identifier: GPL-2.0-or-later
"""One run of a script: what it is told, and what is heard from it.

The machine that it runs on is an emulated one (l0.py), or this one (host.py). Files of a
run, in its artifacts directory (the script sees it as /bed/out):
    run/           what is told: env.sh, args, devices, the script
    l0/            logs of what runs beside the script's machine
    events         the channel of verdicts (below)
    script.log     the script's output, a channel of its own too
    verdicts.jsonl, results.jsonl   the events, for programs

The driver follows both channels: files that somebody appends to. A line of `events` is
tab-separated:
    V pass|fail|skip NAME REASON      a verdict
    R KEY VALUE                       a result
    P TEXT                            progress
    S STATUS                          the script's exit status; the run is over
"""

import ctypes
import json
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

from bedlib.config import TOP, progress

PR_SET_PDEATHSIG = 1
POLL_SECONDS = 0.05
# A script is ended this long before the driver's own time-out, to save logs.
GRACE_SECONDS = 30
TAIL_LINES = 25
TIMEOUT_STATUS = 124
LOST_STATUS = 125


@dataclass(kw_only=True)
class Options:
    """What the command line asks of any run."""
    guest_kernels: list[str]
    guest_mem: str
    device: list[str]
    timeout: int
    artifacts: Path
    env: dict[str, str]
    service: dict[str, str]
    script: "Path | None" = None
    args: list[str] = field(default_factory=list)


def die_with_parent() -> None:
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
    """Tells, follows and judges one script; a subclass has its machine."""

    machine = "the script's machine"  # in messages
    logs: tuple[str, ...] = ("script.log",)  # whose ends say why there was none

    def __init__(self, options: Options):
        self.options = options
        self.out = options.artifacts
        self.status: "int | None" = None
        self.failed = 0
        self.stack = ExitStack()
        self.scratch = Path(self.stack.enter_context(tempfile.TemporaryDirectory(prefix="bed.")))
        self.ports: dict[str, int] = {}

    def tell(self, table: "list[str]") -> None:
        """Write what the script's machine reads (a row for each device), start the services."""
        options = self.options
        for sub in ("run", "l0"):
            (self.out / sub).mkdir(parents=True, exist_ok=True)
        for name in ("events", "verdicts.jsonl", "results.jsonl", *self.logs):
            (self.out / name).write_text("")
        (self.out / "run/devices").write_text("".join(row + "\n" for row in table))
        for name, command in options.service.items():
            self.ports[name] = self._start_service(name, command)
        if options.script:
            shutil.copyfile(options.script, self.out / "run/script")
        (self.out / "run/args").write_text("".join(f"{arg}\0" for arg in options.args))
        values = self.environment() | options.env
        (self.out / "run/env.sh").write_text(
            "".join(f"export {name}={shlex.quote(value)}\n" for name, value in values.items()))

    def _start_service(self, name: str, command: str) -> int:
        """Run a service's command with a free port in place of {port}."""
        port = free_port()
        log = self.stack.enter_context((self.out / "l0" / f"service-{name}.log").open("wb"))
        child = subprocess.Popen(["/bin/sh", "-c", "exec " + command.replace("{port}", str(port))],
                                 stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                 preexec_fn=die_with_parent)
        self.stack.callback(end_child, child)
        return port

    def environment(self) -> dict[str, str]:
        """What the script finds in its own."""
        options = self.options
        values = {
            "BED_LIB": "/bed/lib/l1.sh", "BED_TOP": "/bed/top", "BED_OUT": "/bed/out",
            "BED_DISK_SUMS": "/bed/disk.sums",
            "BED_GUEST_KERNELS": " ".join(options.guest_kernels),
            "BED_GUEST_KERNEL": options.guest_kernels[0],
            "BED_GUEST_MEM": options.guest_mem,
            "BED_SECONDS": str(max(options.timeout - GRACE_SECONDS, 10)),
        }
        script = options.script.resolve() if options.script else None
        if script and script.is_relative_to(TOP):
            values["BED_SCRIPT_DIR"] = f"/bed/top/{script.parent.relative_to(TOP)}"
        values |= {f"BED_PORT_{name.upper()}": str(port) for name, port in self.ports.items()}
        return values

    def follow(self, child: "subprocess.Popen[bytes]") -> int:
        """Read both channels until the script has ended; its status (README.md has ours)."""
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
                why = f"{self.machine} ended early (status {child.returncode})"
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
        for name in self.logs:
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


def end_child(child: "subprocess.Popen[bytes]") -> None:
    """End a child process and reap it."""
    if child.poll() is None:
        child.kill()
    child.wait()


def free_port() -> int:
    """A TCP port of the loopback that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
