"""A local HTTP server that misbehaves as it is told, for the tests of downloading."""

from __future__ import annotations

import hashlib
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Answer:
    """How one request is answered.

    Attributes:
        ranges: Range is obeyed.
        if_range: If-Range is obeyed.
        cut: the connection is closed after so many bytes of the body; None = never.
        reset: it is cut with RST, not with FIN.
        stall: seconds of silence after `cut` bytes (or before the head, without a cut).
        status: an error without a file.
        length: Content-Length is sent.
        chunked: the body is sent in chunks.
        longest: bytes that a 206 brings at most.
        shift: added to the first byte of a 206.
        extra: bytes sent behind the end of the body.
        content: what is served instead of the file.
        tag, date: ETag and Last-Modified.
        headers: more of them.
        to: redirected there.
        wait: called when `cut` bytes have been sent.
    """

    ranges: bool = True
    if_range: bool = True
    cut: int | None = None
    reset: bool = False
    stall: float = 0.0
    status: int = 200
    length: bool = True
    chunked: bool = False
    longest: int | None = None
    shift: int = 0
    extra: bytes = b""
    content: bytes | None = None
    tag: str = ""
    date: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    to: str = ""
    wait: Callable[[], None] | None = None


class Server(ThreadingHTTPServer):
    """Serves `files` (path -> bytes), by `script` first and then by `usual`.

    Attributes:
        script: answers of the next requests, used up one by one.
        usual: the answer when the script is empty; or a function of the request's number.
        seen: (path, headers) of each request.
    """

    daemon_threads = True

    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = files
        self.script: list[Answer] = []
        self.usual: Answer | Callable[[int], Answer] = Answer()
        self.seen: list[tuple[str, dict[str, str]]] = []
        self.leaving = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def ranges(self) -> list[str]:
        """The Range header of each request, "" where there was none."""
        return [headers.get("Range", "") for _, headers in self.seen]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that leave early are what the tests are about."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        server = self.server
        server.seen.append((self.path, dict(self.headers)))
        if server.script:
            answer = server.script.pop(0)
        else:
            usual = server.usual
            answer = usual(len(server.seen)) if callable(usual) else usual
        if answer.stall and answer.cut is None:
            server.leaving.wait(answer.stall)
        if answer.to:
            self.head(302, {"Location": answer.to, "Content-Length": "0"})
            return
        content = server.files.get(self.path) if answer.content is None else answer.content
        if answer.status != 200 or content is None:
            status = answer.status if answer.status != 200 else 404
            self.head(status, {"Content-Length": "0", **answer.headers})
            return
        self.send_file(answer, content)

    def send_file(self, answer: Answer, content: bytes) -> None:
        headers = dict(answer.headers)
        headers |= {"ETag": answer.tag} if answer.tag else {}
        headers |= {"Last-Modified": answer.date} if answer.date else {}
        status, body = 200, content
        span = re.match(r"bytes=(\d+)-", self.headers.get("Range", ""))
        wanted = self.headers.get("If-Range", "")
        fresh = not answer.if_range or not wanted or wanted in (answer.tag, answer.date)
        if span and answer.ranges and fresh:
            start = int(span[1]) + answer.shift
            if start >= len(content):
                headers |= {"Content-Range": f"bytes */{len(content)}", "Content-Length": "0"}
                self.head(416, headers)
                return
            body = content[start:][: answer.longest]
            stop = start + len(body) - 1
            headers = {"Content-Range": f"bytes {start}-{stop}/{len(content)}", **headers}
            status = 206
        if answer.length and not answer.chunked:
            headers["Content-Length"] = str(len(body))
        if answer.chunked:
            headers["Transfer-Encoding"] = "chunked"
        self.head(status, headers)
        self.send_body(answer, body)

    def send_body(self, answer: Answer, body: bytes) -> None:
        whole = answer.cut is None or answer.cut >= len(body)
        sent = body if whole else body[: answer.cut]
        self.wfile.write(f"{len(body):x}\r\n".encode() + sent if answer.chunked else sent)
        self.wfile.flush()
        if whole:
            self.wfile.write(b"\r\n0\r\n\r\n" if answer.chunked else answer.extra)
            self.close_connection = not answer.length or bool(answer.extra)
            return
        if answer.wait:
            answer.wait()
        if answer.stall:
            self.server.leaving.wait(answer.stall)
        if answer.reset:
            time.sleep(0.02)  # RST also destroys what the client has not read yet
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.connection.close()
        self.close_connection = True

    def head(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()


@contextmanager
def serving(files: dict[str, bytes]) -> Iterator[Server]:
    """A server in a thread, gone at the end of the block."""
    with Server(files) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.leaving.set()
            server.shutdown()
            thread.join()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
