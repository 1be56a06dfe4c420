# SPDX-License-Identifier: GPL-2.0-or-later
"""qmp.py SOCKET JSON: one command to a QEMU monitor; prints what it returns.

Exit status 1 and the error on stderr if QEMU refuses.
"""

import json
import socket
import sys


def main() -> int:
    """Greet, negotiate, ask, and skip events until the answer comes."""
    path, command = sys.argv[1:3]
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(60)
        sock.connect(path)
        stream = sock.makefile("rw")
        stream.readline()
        for request in ('{"execute": "qmp_capabilities"}', command):
            stream.write(request + "\n")
            stream.flush()
            while True:
                answer = json.loads(stream.readline())
                if "return" in answer or "error" in answer:
                    break
    if "error" in answer:
        print(json.dumps(answer["error"]), file=sys.stderr)
        return 1
    print(json.dumps(answer["return"]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
