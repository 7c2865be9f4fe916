"""A TCP proxy between a client and the server that delays, cuts and half-closes connections when it is told to.

It knows nothing of PostgreSQL. `cut` resets every connection there is; `cut_after` does so once that many more bytes
have passed, so that a connection breaks in the middle of a message or of a COMMIT; `delay` holds each piece back;
`half_close` ends one direction only: one side is told that the other has gone, and the other waits for an answer.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from types import TracebackType

_RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closing sends a reset and not an end


class TcpProxy:
    """Context manager: listens on 127.0.0.1:`port` and passes everything on to `target_port` there."""

    def __init__(self, target_port: int) -> None:
        self.target_port = target_port
        self.delay = 0.0
        self._left: int | None = None
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._guard = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])

    def __enter__(self) -> TcpProxy:
        threading.Thread(target=self._accept, daemon=True, name="tcp proxy").start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # accept() does not notice a mere close()
        self._listener.close()
        self.cut()

    # --- what it does to connections ---

    def cut(self) -> int:
        """Reset every connection, both sides; return how many there were."""
        with self._guard:
            pairs, self._pairs, self._left = self._pairs, [], None
        for pair in pairs:
            for side in pair:
                _reset(side)
        return len(pairs)

    def cut_after(self, size: int) -> None:
        """Reset every connection once `size` more bytes have passed, counted over all of them."""
        self._left = size

    def half_close(self, *, to_server: bool) -> int:
        """End one direction of every connection; the other end hears nothing. Return how many there were."""
        with self._guard:
            pairs = list(self._pairs)
        for client, server in pairs:
            with contextlib.suppress(OSError):
                (server if to_server else client).shutdown(socket.SHUT_WR)
        return len(pairs)

    def heal(self) -> None:
        """Be an ordinary proxy again."""
        self.delay, self._left = 0.0, None

    # --- how ---

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self.target_port), timeout=5)
            except OSError:
                _reset(client)
                continue
            server.settimeout(None)
            for side in (client, server):
                side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._guard:
                self._pairs.append((client, server))
            for source, target in ((client, server), (server, client)):
                threading.Thread(target=self._pump, args=(source, target, (client, server)), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket, pair: tuple[socket.socket, socket.socket]) -> None:
        try:
            while data := source.recv(65536):
                if self.delay:
                    time.sleep(self.delay)
                target.sendall(self._allowed(data))
            target.shutdown(socket.SHUT_WR)
        except OSError:
            self._forget(pair)

    def _allowed(self, data: bytes) -> bytes:
        """Count down to the cut; the piece in which it falls passes in part, or not at all."""
        with self._guard:
            if self._left is None:
                return data
            if len(data) < self._left:
                self._left -= len(data)
                return data
        self.cut()
        raise OSError("cut")

    def _forget(self, pair: tuple[socket.socket, socket.socket]) -> None:
        with self._guard:
            if pair in self._pairs:
                self._pairs.remove(pair)
        for side in pair:
            with contextlib.suppress(OSError):
                side.close()


def _reset(side: socket.socket) -> None:
    with contextlib.suppress(OSError):
        side.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        side.shutdown(socket.SHUT_RDWR)  # wakes the thread that reads from it
    with contextlib.suppress(OSError):
        side.close()
