# SPDX-License-Identifier: GPL-2.0-or-later
"""handin.py [FD=PATH]... -- COMMAND...: runs a command with descriptors open.

PATH is a file, opened to read and write, or "listen:PATH", a stream socket that
listens there with mode 0666. What a service manager does for the agent.
"""

import os
import socket
import sys


def main(argv):
    split = argv.index("--")
    for text in argv[:split]:
        number, _, path = text.partition("=")
        if path.startswith("listen:"):
            listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            listener.bind(path[7:])
            os.chmod(path[7:], 0o666)
            listener.listen(1)
            fd = listener.detach()
        else:
            fd = os.open(path, os.O_RDWR)
        os.dup2(fd, int(number), inheritable=True)
        os.close(fd)
    os.execvp(argv[split + 1], argv[split + 1:])


if __name__ == "__main__":
    main(sys.argv[1:])
