"""A small real pooler between a test and a server: transaction mode (any free server connection) or session mode.

It speaks just enough of the protocol: it answers the client's startup itself, with a made-up process id as poolers do,
and hands each transaction to a server connection by watching ReadyForQuery. No COPY, no cancel requests. It can pass
for another server version, because a client learns that from what the startup's answer says.
"""

from __future__ import annotations

import contextlib
import queue
import socket
import struct
import threading
from collections.abc import Iterator
from typing import Literal

from aicfg_pipeline_tests.tools.servers import Database

SSL_REQUEST, GSS_REQUEST, CANCEL_REQUEST = 80877103, 80877104, 80877102
Order = Literal["lifo", "fifo"]


class _Gone(Exception):
    """The other side has closed the connection."""


def _exactly(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        part = connection.recv(count - len(data))
        if not part:
            raise _Gone
        data += part
    return data


def _message(connection: socket.socket) -> tuple[bytes, bytes]:
    """Read one message: its type, and the whole of it."""
    head = _exactly(connection, 5)
    (length,) = struct.unpack("!I", head[1:])
    return head[:1], head + _exactly(connection, length - 4)


def _made(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!I", len(body) + 4) + body


class _Backend:
    """One connection to the server, logged in; `greeting` is what the server said about itself."""

    def __init__(self, database: Database, user: str) -> None:
        cluster = database.cluster
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(str(cluster.socket_dir / f".s.PGSQL.{cluster.port}"))
        words = b"\x00".join(w.encode() for w in ("user", user, "database", database.name)) + b"\x00\x00"
        self.socket.sendall(struct.pack("!II", len(words) + 8, 196608) + words)
        self.greeting: list[bytes] = []
        while True:
            kind, whole = _message(self.socket)
            if kind == b"E":
                raise AssertionError(f"the pooler's own login failed: {whole!r}")
            if kind == b"S":
                self.greeting.append(whole)
            if kind == b"Z":
                return

    def answer(self, client: socket.socket) -> bytes:
        """Pass the server's answer on up to and with ReadyForQuery; return the transaction's status."""
        while True:
            kind, whole = _message(self.socket)
            client.sendall(whole)
            if kind == b"Z":
                return whole[5:6]


class Pooler:
    """Context manager: listens on a port of its own in front of one database. `size` server connections."""

    def __init__(
        self,
        database: Database,
        mode: Literal["transaction", "session"] = "transaction",
        *,
        size: int = 3,
        order: Order = "lifo",
        user: str = "postgres",
        server_version: str | None = None,
    ) -> None:
        self._mode, self._version = mode, server_version
        self._free: queue.Queue[_Backend] = queue.LifoQueue() if order == "lifo" else queue.Queue()
        self._backends = [_Backend(database, user) for _ in range(size)]
        for backend in self._backends:
            self._free.put(backend)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"postgresql://{user}@127.0.0.1:{self._listener.getsockname()[1]}/{database.name}"

    def __enter__(self) -> Pooler:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        for backend in self._backends:
            with contextlib.suppress(OSError):
                backend.socket.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(_Gone, OSError), client:
            if not self._greeted(client):
                return
            with self._session() as kept:
                while self._transaction(client, kept):
                    pass

    @contextlib.contextmanager
    def _session(self) -> Iterator[_Backend | None]:
        """In session mode: the server connection that this client has until it leaves."""
        if self._mode == "transaction":
            yield None
            return
        backend = self._free.get()
        try:
            yield backend
        finally:
            backend.socket.sendall(_made(b"Q", b"DISCARD ALL\x00"))
            while _message(backend.socket)[0] != b"Z":
                pass
            self._free.put(backend)

    def _greeted(self, client: socket.socket) -> bool:
        while True:
            length, code = struct.unpack("!II", _exactly(client, 8))
            _exactly(client, length - 8)
            if code == CANCEL_REQUEST:
                return False
            if code not in (SSL_REQUEST, GSS_REQUEST):
                break
            client.sendall(b"N")
        said = [self._said(line) for line in self._backends[0].greeting]
        hello = _made(b"R", struct.pack("!I", 0)) + b"".join(said)
        client.sendall(hello + _made(b"K", struct.pack("!II", 999_999, 1)) + _made(b"Z", b"I"))
        return True

    def _said(self, line: bytes) -> bytes:
        if self._version and line[5:].startswith(b"server_version\x00"):
            return _made(b"S", b"server_version\x00" + self._version.encode() + b"\x00")
        return line

    def _transaction(self, client: socket.socket, kept: _Backend | None) -> bool:
        """Serve the client until no transaction is open; False once it has left."""
        kind, whole = _message(client)
        if kind == b"X":
            return False
        backend = kept or self._free.get()
        status = b"I"
        try:
            while True:
                backend.socket.sendall(whole)
                if kind in (b"Q", b"S"):
                    status = backend.answer(client)
                    if status == b"I":
                        return True
                kind, whole = _message(client)
                if kind == b"X":
                    raise _Gone
        finally:
            if kept is None:
                if status != b"I":
                    backend.socket.sendall(_made(b"Q", b"ROLLBACK\x00"))
                    while _message(backend.socket)[0] != b"Z":
                        pass
                self._free.put(backend)
