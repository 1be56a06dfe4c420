# SPDX-License-Identifier: GPL-2.0-or-later
"""What systemd is to an agent: its store of descriptors, and who starts it again.

    with KeptAgent() as agent:
        ...
        agent.kill()
        agent.resume()

The store takes what the agent sends to NOTIFY_SOCKET, and hands all of it to the next
process, by name. As systemd's, it has each open file once, under its first name.
"""

import array
import os
import signal
import socket
import struct
import subprocess
import threading
import time

from lib.agent import Agent, AgentError, ROOT, START_TIMEOUT
from lib.files import same_file

CRASH_BINARY = os.environ.get("PVDMA_CRASH_AGENT", str(ROOT / "build/crash/bin/pvdma-agent"))
FDS_MAX = 4096


def place_fds(fds):
    """In a child: descriptors from 3 on, as a service manager has them."""
    high = [os.dup2(os.dup(fd), 1000 + i, inheritable=True) for i, fd in enumerate(fds)]
    for i, fd in enumerate(high):
        os.dup2(fd, 3 + i, inheritable=True)
    os.closerange(3 + len(fds), 3000)


class FdStore:
    """The descriptors, by name; and how often the agent said that it is ready."""

    def __init__(self, path, most=FDS_MAX):
        self.path = path
        self.most = most
        self.fds = []       # (name, descriptor), in their order
        self.ready = 0
        self.status = ""
        self._syncs = 0
        self._changed = threading.Condition()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.bind(path)
        self._thread = threading.Thread(target=self._receive, daemon=True)
        self._thread.start()

    def close(self):
        self._send("END=1")
        self._thread.join(START_TIMEOUT)
        self._socket.close()
        self.clear()

    def clear(self):
        for _, fd in self.fds:
            os.close(fd)
        self.fds = []

    def names(self):
        return [name for name, _ in self.fds]

    def get(self, prefix):
        """The descriptors whose names begin so."""
        return [fd for name, fd in self.fds if name.startswith(prefix)]

    def _send(self, text):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            s.sendto(text.encode(), self.path)

    def sync(self):
        """Waits until all that was sent before has been looked at."""
        with self._changed:
            wanted = self._syncs + 1
        self._send("SYNC=1")
        with self._changed:
            assert self._changed.wait_for(lambda: self._syncs >= wanted, START_TIMEOUT)

    def wait_ready(self, count, process):
        """Waits for the count-th READY=1; False if the process ended before."""
        deadline = time.monotonic() + START_TIMEOUT
        with self._changed:
            while self.ready < count:
                if process.poll() is not None or time.monotonic() > deadline:
                    return False
                self._changed.wait(0.05)
        return True

    def _receive(self):
        while True:
            data, control, _, _ = self._socket.recvmsg(65536, socket.CMSG_SPACE(16 * 4))
            fds = array.array("i")
            for level, kind, value in control:
                if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                    fds.frombytes(value[:len(value) - len(value) % 4])
            with self._changed:
                lines = dict(line.split("=", 1) for line in data.decode().splitlines()
                             if "=" in line)
                self._look_at(lines, list(fds))
                self._changed.notify_all()
            if "END" in lines:
                return

    def _look_at(self, lines, fds):
        name = lines.get("FDNAME", "stored")
        if "FDSTORE" in lines and len(self.fds) < self.most:
            assert lines.get("FDPOLL") == "0", lines
            known = [fd for fd in fds if any(same_file(fd, old) for _, old in self.fds)]
            self.fds += [(name, fd) for fd in fds if fd not in known]
            fds = known
        for fd in fds:
            os.close(fd)
        if "FDSTOREREMOVE" in lines:
            for found, fd in self.fds:
                if found == name:
                    os.close(fd)
            self.fds = [(found, fd) for found, fd in self.fds if found != name]
        self.ready += "READY" in lines
        self.status = lines.get("STATUS", self.status)
        self._syncs += "SYNC" in lines


class KeptAgent(Agent):
    """An agent whose descriptors are kept, so many at most. crash: where its first process
    is killed."""

    def __init__(self, *args, crash=None, iommu="null,entries=65535", most=FDS_MAX, **kwargs):
        # With a limit it counts mappings, as the kernel does: whoever goes on compares.
        super().__init__(*args, iommu=iommu, **kwargs)
        self.command[0] = CRASH_BINARY
        self.crash = crash
        self.store = FdStore(str(self.dir / "notify"), most)
        self.starts = 0
        self.kills = 0
        self.left = None    # names that a process left in the store that ended well

    def stop(self, check=True):
        super().stop(check)
        self.store.sync()
        self.left = self.store.names()

    def cleanup(self):
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.store.close()
        super().cleanup()

    def start(self, wait=True):
        self.starts += 1
        self.store.sync()
        stored = list(self.store.fds)
        env = {k: v for k, v in os.environ.items()
               if k not in ("PVDMA_CRASH", "LISTEN_FDS", "LISTEN_FDNAMES")}
        env.update(NOTIFY_SOCKET=self.store.path, FDSTORE=str(self.store.most))
        if self.crash:
            env["PVDMA_CRASH"] = self.crash
        if stored:
            env["LISTEN_FDS"] = str(len(stored))
            env["LISTEN_FDNAMES"] = ":".join(name for name, _ in stored)
        with open(self._stderr_path, "ab") as stderr:
            self.process = subprocess.Popen(  # pylint: disable=subprocess-popen-preexec-fn
                ["sh", "-c", 'LISTEN_PID=$$ exec "$@"', "sh", *self.command],
                stdin=subprocess.DEVNULL, stdout=stderr, stderr=stderr, env=env,
                close_fds=False, preexec_fn=lambda: place_fds([fd for _, fd in stored]))
        if wait and not self.store.wait_ready(self.starts, self.process):
            status = self.process.poll()
            raise AgentError(f"the agent is not ready ({status}):\n{self.stderr()}")

    def kill(self):
        super().kill()
        self.kills += 1

    def killed(self):
        """True if the process ended by the signal of a kill."""
        return self.process.poll() == -signal.SIGKILL

    def resume(self, wait=True, crash=None):
        """The next process, after the one before was killed."""
        self.process.wait(START_TIMEOUT)
        if self.process.returncode != -signal.SIGKILL:
            raise AgentError(f"the agent ended with {self.process.returncode}:\n{self.stderr()}")
        self.crash = crash
        # READY=1 of this process, however many were killed before they said so
        self.store.sync()
        self.starts = self.store.ready
        self.start(wait)

    def mapped(self):
        """What the IOMMU maps, as (iova, bytes), sorted: not what the agent believes."""
        self.store.sync()
        fds = self.store.get("pvdma-iommu-")
        if not fds:
            return []
        data = os.pread(fds[0], os.fstat(fds[0]).st_size, 0)
        return sorted((iova, size) for iova, size, _ in struct.iter_unpack("<QQQ", data) if size)


def labels():
    """All places where the agent of the crash build can be killed."""
    done = subprocess.run([CRASH_BINARY], env={**os.environ, "PVDMA_CRASH": "list"},
                          capture_output=True, text=True, timeout=60, check=True)
    return sorted(set(done.stdout.split()))
