# SPDX-License-Identifier: GPL-2.0-or-later
"""keeper.py DIR COMMAND...: what systemd is to an agent, where there is none.

Keeps descriptors that the command stores (FDSTORE=1), each open file once, and starts
it again with them when it is killed. SIGTERM is passed on, and ends both; the exit status is the
command's. In DIR: "agent", the process; "starts" and "ready", how often it was started, and
ready. A label in "crash" is where the next process kills itself.
"""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "wire"))

from lib.files import same_file  # pylint: disable=wrong-import-position


class Keeper:
    def __init__(self, folder, command):
        self.folder, self.command = folder, command
        self.store = []     # (name, descriptor)
        self.starts = 0
        self.ready = 0
        self.ending = False
        self.path = os.path.join(folder, "notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.socket.settimeout(0.02)
        self.process = None

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path + ".new", "w", encoding="ascii") as f:
            f.write(f"{text}\n")
        os.rename(path + ".new", path)

    def place(self):
        """In the child: descriptors from 3 on."""
        high = [os.dup2(os.dup(fd), 1000 + i, inheritable=True)
                for i, (_, fd) in enumerate(self.store)]
        for i, fd in enumerate(high):
            os.dup2(fd, 3 + i, inheritable=True)
        os.closerange(3 + len(high), 3000)

    def start(self):
        env = {**os.environ, "NOTIFY_SOCKET": self.path, "FDSTORE": "1000"}
        label = Path(self.folder, "crash")
        if label.exists():
            env["PVDMA_CRASH"] = label.read_text(encoding="ascii").strip()
            label.unlink()
        if self.store:
            env["LISTEN_FDS"] = str(len(self.store))
            env["LISTEN_FDNAMES"] = ":".join(name for name, _ in self.store)
        self.process = subprocess.Popen(
            ["sh", "-c", 'LISTEN_PID=$$ exec "$@"', "sh", *self.command], env=env,
            close_fds=False, preexec_fn=self.place)
        self.starts += 1
        self.write("agent", self.process.pid)
        self.write("starts", self.starts)

    def receive(self):
        """Looks at one message; False: there is none."""
        try:
            data, fds, _, _ = socket.recv_fds(self.socket, 65536, 8)
        except (TimeoutError, InterruptedError):
            return False
        fields = dict(line.split("=", 1) for line in data.decode().split("\n") if "=" in line)
        for fd in fds:
            if any(same_file(fd, old) for _, old in self.store):
                os.close(fd)
            else:
                self.store.append((fields["FDNAME"], fd))
        if "FDSTOREREMOVE" in fields:
            for name, fd in self.store:
                if name == fields["FDNAME"]:
                    os.close(fd)
            self.store = [kept for kept in self.store if kept[0] != fields["FDNAME"]]
        if "READY" in fields:
            self.ready += 1
            self.write("ready", self.ready)
        return True

    def end(self, _signal, _frame):
        self.ending = True
        self.process.terminate()

    def run(self):
        self.start()
        signal.signal(signal.SIGTERM, self.end)
        while True:
            ended = self.process.poll() is not None
            # What was sent before a kill counts.
            if self.receive() or not ended:
                continue
            if self.ending or self.process.returncode != -signal.SIGKILL:
                return abs(self.process.returncode)
            self.start()


if __name__ == "__main__":
    sys.exit(Keeper(sys.argv[1], sys.argv[2:]).run())
