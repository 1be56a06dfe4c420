#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Scrapes pvdmactl's metrics as Prometheus does, from a socket of systemd's.

  scrape.py scrape ADDRESS PORT UNITS   one GET; UNITS is a pattern of the units that answer
  scrape.py check FILE                  judges a file of the textfile collector

While the request is not sent yet, whoever waits for it is looked at: it must
be nobody in particular, without capabilities. What comes is held to the text format
that it says it is in, and printed. Errors are one line on stderr.
"""

import pwd
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

SECONDS = 300
USER = "pvdma-metrics"
ACCEPT = "application/openmetrics-text;version=1.0.0"
LABEL = r'[a-z_]+="(?:[^"\\\n]|\\[\\"n])*"'
SAMPLE = re.compile(rf"(\w+)(?:\{{{LABEL}(?:,{LABEL})*\}})? (-?[0-9.]+(?:e[+-]?\d+)?)")
META = re.compile(r"# (TYPE|HELP|UNIT) (\w+) (\S.*)")


def judge(text, openmetrics):
    """Every sample is of the family that was declared last before it."""
    lines = text.split("\n")
    if lines.pop() != "":
        raise SystemExit("it does not end with a newline")
    if openmetrics and lines.pop() != "# EOF":
        raise SystemExit("it does not end with # EOF")
    families = set()
    sample_name = ""
    samples = 0
    for line in lines:
        if meta := META.fullmatch(line):
            if meta[1] == "TYPE":
                name, kind = meta[2], meta[3]
                if name in families:
                    raise SystemExit(f"{name} is declared twice")
                families.add(name)
                suffix = {"counter": "_total" if openmetrics else "", "info": "_info"}.get(kind, "")
                sample_name = name + suffix
            continue
        sample = SAMPLE.fullmatch(line)
        if not sample or sample[1] != sample_name:
            raise SystemExit(f"no sample of the family before it: {line}")
        samples += 1
    if not samples:
        raise SystemExit("there are no samples")


def waiting(pattern):
    """The process that waits for our request."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        out = subprocess.run(["systemctl", "show", "--property=MainPID", "--value", pattern],
                             check=True, capture_output=True, text=True).stdout
        pids = [int(word) for word in out.split() if word != "0"]
        if len(pids) > 1:
            raise SystemExit(f"{len(pids)} units {pattern}, for one connection")
        if pids:
            status = Path(f"/proc/{pids[0]}/status").read_text()
            # systemd's own child, up to its execve
            if re.search(r"(?m)^Name:\tpvdmactl$", status):
                return status
        time.sleep(0.1)
    raise SystemExit(f"no unit {pattern} serves the connection")


def scrape(address, port, pattern):
    with socket.create_connection((address, port), timeout=SECONDS) as link:
        status = waiting(pattern)
        uids = re.search(r"(?m)^Uid:\t(.*)$", status)[1].split()
        if any(int(uid) != pwd.getpwnam(USER).pw_uid for uid in uids):
            raise SystemExit(f"user {uids[0]} serves it, which is not {USER}")
        for name in ("CapEff", "CapPrm", "CapBnd"):
            if int(re.search(rf"(?m)^{name}:\t(.*)$", status)[1], 16):
                raise SystemExit(f"who serves it has capabilities: {name}")
        link.sendall(f"GET /metrics HTTP/1.1\r\nHost: l1\r\nAccept: {ACCEPT}\r\n\r\n".encode())
        answer = b""
        while part := link.recv(1 << 16):
            answer += part
    head, _, body = answer.decode().partition("\r\n\r\n")
    if not re.match(r"HTTP/1\.[01] 200 ", head):
        raise SystemExit(f"the answer is: {head.splitlines()[:1]}")
    if "application/openmetrics-text; version=1.0.0" not in head:
        raise SystemExit(f"not the format that was asked for: {head!r}")
    judge(body, True)
    print(body, end="")


def main(argv):
    if len(argv) == 4 and argv[0] == "scrape":
        scrape(argv[1], int(argv[2]), argv[3])
    elif len(argv) == 2 and argv[0] == "check":
        judge(Path(argv[1]).read_text(encoding="utf-8"), False)
    else:
        raise SystemExit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
