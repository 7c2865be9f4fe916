"""Serves the reports on this machine over HTTP, so that the Dagster UI can open one by a click: its webserver has no files.

Reports and nothing else, on 127.0.0.1, to whoever has the address: its secret part is in a file of this user only. A
browser opens no `file://` link of a page that came over HTTP. Where reports are written is not decided here.
"""

from __future__ import annotations

import re
import secrets
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from aicfg_pipeline.files import make_private_folder, new_private_file

HOST = "127.0.0.1"
_ADDRESS = re.compile(rf"http://{re.escape(HOST)}:(?P<port>\d{{1,5}})/(?P<key>[\w-]{{20,}})/")
_REPORT = re.compile(r"[A-Za-z0-9][\w-]*\.(?P<ending>html|json)")
_TYPES = {"html": "text/html; charset=utf-8", "json": "application/json"}
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def address_of(home: Path, port: int) -> str:
    """Return where this home's reports are served; the same from one start to the next, so that old links go on working.

    It is kept in a file that only this user may read. `port` is taken where none was chosen before.
    """
    file = home / "reports-address"
    with suppress(OSError):
        if (kept := file.read_text(encoding="utf-8").strip()) and _ADDRESS.fullmatch(kept):
            return kept
    return _kept(file, f"http://{HOST}:{port}/{secrets.token_urlsafe(24)}/")


def _kept(file: Path, address: str) -> str:
    make_private_folder(file.parent)
    file.unlink(missing_ok=True)
    with new_private_file(file) as made:
        made.write(address + "\n")
    return address


@contextmanager
def served(folder: Path, home: Path, port: int) -> Iterator[str]:
    """Serve the reports of a folder while within; yield the address. Another port is taken where somebody has this one."""
    address = address_of(home, port)
    parts = _ADDRESS.fullmatch(address)
    assert parts is not None
    handler = type("_Reports", (_Handler,), {"folder": folder, "key": parts["key"]})
    try:
        server = ThreadingHTTPServer((HOST, int(parts["port"])), handler)
    except OSError:
        server = ThreadingHTTPServer((HOST, _free(port)), handler)
        address = _kept(home / "reports-address", f"http://{HOST}:{server.server_port}/{parts['key']}/")
    thread = threading.Thread(target=server.serve_forever, name="reports", daemon=True)
    thread.start()
    try:
        yield address
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _free(wished: int) -> int:
    for port in range(wished, min(wished + 20, 65536)):
        with socket.socket() as probe:
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port
    return 0


class _Handler(BaseHTTPRequestHandler):
    """Answers with one report, or with 404."""

    folder: Path
    key: str
    server_version = "aicfg_pipeline"
    sys_version = ""

    def do_GET(self) -> None:
        """Send a report."""
        found = self._found()
        if found is None:
            self.send_error(404)
            return
        kind, content = found
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    do_HEAD = do_GET

    def _found(self) -> tuple[str, bytes] | None:
        parts = self.path.split("?")[0].split("/")
        if len(parts) != 3 or not secrets.compare_digest(parts[1].encode(), self.key.encode()):
            return None
        name = _REPORT.fullmatch(parts[2])
        file = self.folder / parts[2]
        if name is None or file.is_symlink() or not file.is_file():
            return None
        try:
            return _TYPES[name["ending"]], file.read_bytes()
        except OSError:
            return None

    def log_message(self, format: str, *words: object) -> None:
        """Say nothing: the terminal is Dagster's, and the address is a secret."""
