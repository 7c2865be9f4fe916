"""Real HTTP servers for the tests: any app behind a port, and a proxy in front of AWS that has bad days."""

from __future__ import annotations

import contextlib
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx


class QuietHandler(BaseHTTPRequestHandler):
    """A handler that does not log and can answer in one line."""

    def log_message(self, *_args: Any) -> None:
        pass

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("content-length") or 0))

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(body)


@contextlib.contextmanager
def serving(handler: type[BaseHTTPRequestHandler], context: ssl.SSLContext | None = None) -> Iterator[str]:
    """Serve on a free port; yields the base URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield f"{'https' if context else 'http'}://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


@dataclass
class AwsProxy:
    """What is between us and AWS: passes everything on, but may throttle, deny or tell the wrong time."""

    url: str = ""
    throttle: int = 0
    shift_seconds: float = 0.0
    error: tuple[int, str, str] | None = None
    requests: list[str] = field(default_factory=list)
    before: Callable[[str], None] | None = None


@contextlib.contextmanager
def aws_proxy(upstream: str) -> Iterator[AwsProxy]:
    """Serve a proxy in front of `upstream`."""
    proxy = AwsProxy()

    class Handler(QuietHandler):
        protocol_version = "HTTP/1.1"

        def _any(self) -> None:
            sent = self.body()
            proxy.requests.append(f"{self.command} {self.path}")
            if proxy.before:
                proxy.before(proxy.requests[-1])
            if proxy.throttle > 0:
                proxy.throttle -= 1
                self._error(429, "TooManyRequestsException", "Rate exceeded")
                return
            if proxy.error:
                self._error(*proxy.error)
                return
            headers = {k: v for k, v in self.headers.items() if k.lower() != "connection"}
            got = httpx.request(self.command, upstream + self.path, content=sent, headers=headers, timeout=20)
            self.send_response_only(got.status_code)
            for name, value in got.headers.items():
                if name.lower() not in ("date", "content-length", "transfer-encoding", "connection"):
                    self.send_header(name, value)
            now = datetime.now(UTC) + timedelta(seconds=proxy.shift_seconds)
            self.send_header("date", format_datetime(now, usegmt=True))
            self.send_header("content-length", str(len(got.content)))
            self.end_headers()
            self.wfile.write(got.content)

        def _error(self, status: int, code: str, message: str) -> None:
            body = b'{"__type": "%s", "message": "%s"}' % (code.encode(), message.encode())
            self.answer(status, body, x_amzn_errortype=code, content_type="application/json")

        do_GET = do_POST = do_PUT = do_DELETE = _any

    with serving(Handler) as url:
        proxy.url = url
        yield proxy
