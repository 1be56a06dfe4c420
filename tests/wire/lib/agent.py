# SPDX-License-Identifier: GPL-2.0-or-later
"""Starts and stops the agent for black-box tests.

    with Agent() as agent:
        client = agent.vfio_user()

The agent runs in a folder of its own below $TMPDIR, with its sockets there.
Leaving the block ends it with SIGTERM and holds it to a clean end: status 0,
and no finding of a sanitizer.
"""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
BINARY = Path(os.environ.get("PVDMA_AGENT", ROOT / "build/asan/bin/pvdma-agent"))
# Put behind all other options.
ARGS = os.environ.get("PVDMA_AGENT_ARGS", "").split()

# Starting is quick, but a loaded machine is not.
START_TIMEOUT = 30
STOP_TIMEOUT = 30


class AgentError(AssertionError):
    """The agent did not start, or did not end as it should."""


class Agent:
    """One running agent.

    devices: what follows "null" in each --device, e.g. ["endpoint=3"]; one
    device by default. vhost: whether to ask for the vhost-user socket. args:
    further arguments. expect: the exit status that stop() wants to see.
    """

    def __init__(self, name="test", quota="16M", iommu="null", devices=("",), vhost=True,
                 args=(), expect=0):
        if not BINARY.exists():
            raise unittest.SkipTest(f"there is no agent at {BINARY}")
        self.dir = Path(tempfile.mkdtemp(prefix="pvdma-wire-"))
        self.expect = expect
        self.vfio_sockets = [str(self.dir / f"vfio{i}.sock") for i in range(len(devices))]
        self.vhost_socket = str(self.dir / "vhost.sock")
        self.control_socket = str(self.dir / "control.sock")
        self.command = [str(BINARY), "--name", name, "--quota", quota, "--iommu", iommu]
        for path, options in zip(self.vfio_sockets, devices):
            self.command += ["--device", ",".join(
                filter(None, ["null", f"socket={path}", options]))]
        if vhost:
            self.command += ["--vhost-socket", self.vhost_socket]
        self.command += ["--control", self.control_socket, *args, *ARGS]
        self.process = None
        self._stderr_path = self.dir / "stderr"

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.cleanup()
            raise
        return self

    def __exit__(self, kind, value, traceback):
        try:
            self.stop(check=kind is None)
        finally:
            if kind is not None:
                print("\n".join("# agent: " + line for line in self.stderr().splitlines()[-40:]))
            self.cleanup()

    def start(self, wait=True):
        """Starts the agent; waits until its sockets are there."""
        with open(self._stderr_path, "ab") as stderr:
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=stderr, stderr=stderr)
        if wait:
            self._wait_for_sockets()

    def _wait_for_sockets(self):
        wanted = list(self.vfio_sockets)
        if "--vhost-socket" in self.command:
            wanted.append(self.vhost_socket)
        wanted.append(self.control_socket)
        deadline = time.monotonic() + START_TIMEOUT
        while not all(os.path.exists(path) for path in wanted):
            if self.process.poll() is not None:
                raise AgentError(f"the agent ended with {self.process.returncode}:\n"
                                 f"{self.stderr()}")
            if time.monotonic() > deadline:
                self.kill()
                raise AgentError(f"no sockets after {START_TIMEOUT} s:\n{self.stderr()}")
            time.sleep(0.01)

    def stop(self, check=True):
        """Ends the agent; with check, raises AgentError if it was not well."""
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                self.kill()
                raise AgentError("the agent did not end on SIGTERM:\n" + self.stderr()) from None
        status = self.process.returncode
        self.process = None
        if not check:
            return
        text = self.stderr()
        for finding in ("AddressSanitizer", "LeakSanitizer", "runtime error:"):
            if finding in text:
                raise AgentError(f"a sanitizer found something:\n{text}")
        if status != self.expect:
            raise AgentError(f"the agent ended with {status}, not {self.expect}:\n{text}")

    def wait(self, timeout=START_TIMEOUT):
        """Waits for the agent to end by itself; returns its status."""
        return self.process.wait(timeout)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def cleanup(self):
        if self.process is not None and self.process.poll() is None:
            self.kill()
        shutil.rmtree(self.dir, ignore_errors=True)

    def stderr(self):
        """What the agent has logged so far."""
        try:
            return self._stderr_path.read_text(errors="replace")
        except FileNotFoundError:
            return ""

    def fd_count(self):
        """How many descriptors the agent has open."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def cpu_seconds(self):
        """Processor time that the agent has used so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def connect(self, path):
        """A connected stream socket."""
        deadline = time.monotonic() + 5
        while True:
            s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            s.settimeout(20)
            try:
                s.connect(path)
                return s
            except ConnectionRefusedError:
                # Bound already, but not listening yet.
                s.close()
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)

    def vfio_user(self, index=0, negotiate=True):
        """A vfio-user client of the device number index."""
        from lib.vfio_user import Client  # only who needs it depends on it

        client = Client(self.connect(self.vfio_sockets[index]))
        if negotiate:
            client.version()
        return client
