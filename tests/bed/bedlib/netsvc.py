# SPDX-License-Identifier: GPL-2.0-or-later
"""The peer that guests' NICs talk to: a small HTTP server on this machine's
loopback, which user-mode networking shows to guests as their gateway.

    GET  /stream?bytes=N&seed=S   N bytes: a sequence of 8-byte little-endian words,
                                  word i being (S << 40) + i
    GET  /sum?bytes=N&seed=S      the sha256 of that stream, as text
    POST /sum                     the sha256 of the body, as text

It lives in threads of the driver and ends with it.
"""

import hashlib
import struct
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Iterator
from urllib.parse import parse_qs, urlsplit

CHUNK_WORDS = 1 << 15
MAX_BYTES = 1 << 32


def stream(count: int, seed: int) -> Iterator[bytes]:
    """The stream in chunks."""
    base = seed << 40
    word = 0
    while count > 0:
        data = struct.pack(f"<{CHUNK_WORDS}Q",
                           *range(base + word, base + word + CHUNK_WORDS))
        yield data[:count]
        count -= len(data)
        word += CHUNK_WORDS


class Handler(BaseHTTPRequestHandler):
    """One connection."""
    protocol_version = "HTTP/1.0"
    timeout = 120

    def log_message(self, *_: object) -> None:
        """The guests' own verdicts tell what happened."""

    def _text(self, status: int, text: str) -> None:
        data = (text + "\n").encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self) -> None:
        """Serve the stream or its checksum."""
        url = urlsplit(self.path)
        query = parse_qs(url.query)
        try:
            count = int(query.get("bytes", ["0"])[0])
            seed = int(query.get("seed", ["0"])[0])
            if not 0 <= count <= MAX_BYTES or not 0 <= seed < 1 << 23:
                raise ValueError
        except ValueError:
            self._text(400, "bytes is 0 to 2^32, seed below 2^23")
            return
        if url.path == "/sum":
            digest = hashlib.sha256()
            for data in stream(count, seed):
                digest.update(data)
            self._text(200, digest.hexdigest())
        elif url.path == "/stream":
            self.send_response(200)
            self.send_header("Content-Type", "application/octet-stream")
            self.send_header("Content-Length", str(count))
            self.end_headers()
            try:
                for data in stream(count, seed):
                    self.wfile.write(data)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True
        else:
            self._text(404, "no such thing here")

    def do_POST(self) -> None:
        """Answer the body's checksum."""
        try:
            left = int(self.headers.get("Content-Length", ""))
            if not 0 <= left <= MAX_BYTES:
                raise ValueError
        except ValueError:
            self._text(411, "a Content-Length of 0 to 2^32 is needed")
            return
        digest = hashlib.sha256()
        while left:
            data = self.rfile.read(min(left, 1 << 16))
            if not data:
                self.close_connection = True
                return
            digest.update(data)
            left -= len(data)
        self._text(200, digest.hexdigest())


def start() -> int:
    """Start the server in the background; its port on 127.0.0.1."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]
