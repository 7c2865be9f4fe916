"""What every store can do: keep a file whole or not at all, give it back, and try whether it can be written.

A store raises `OSError` alone, as files do, so that whoever writes need not know what kind it is.
"""

from __future__ import annotations

import secrets
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO, Protocol

from aicfg_pipeline.errors import ConfigError
from aicfg_pipeline.store.bucket import KINDS, Bucket
from aicfg_pipeline.store.folder import Folder

PROBE = b"aicfg_pipeline has tried whether it may write here.\n"


class Store(Protocol):
    """A place for files. Names have no folders in them; what is kept is private, and never overwritten."""

    @property
    def name(self) -> str:
        """What a person calls the place: a path, or a URL without secrets."""
        ...

    def location(self, file: str) -> str:
        """Return where a file is, as a person would name it to a program that reads it."""
        ...

    def writer(self, file: str) -> AbstractContextManager[BinaryIO]:
        """Open a new file. It is there when this ends, and not there where anything failed. Raises `OSError`."""
        ...

    def reader(self, file: str) -> AbstractContextManager[BinaryIO]:
        """Open a file to read it from its beginning. Raises `OSError`."""
        ...

    def size(self, file: str) -> int:
        """Return a file's bytes. Raises `OSError`."""
        ...

    def names(self, ending: str) -> list[str]:
        """Return the names with that ending, the file written last first. Raises `OSError`."""
        ...

    def remove(self, file: str) -> None:
        """Remove a file. Nothing happens where it is not there. Raises `OSError`."""
        ...


def open_store(where: str, *, endpoint: str | None = None) -> Store:
    """Return the store of a name: a folder, or a bucket's URL. `endpoint` is another S3 than AWS's own.

    Raises `ConfigError` for a URL of another kind. Whether it can be written to is not tried here.
    """
    if where.startswith(KINDS):
        return Bucket(where, endpoint=endpoint)
    if "://" in where:
        raise ConfigError(
            f"AICFG_STORE names {where.split('://', 1)[0]}://, which is no kind of store.",
            expected=f"a folder, or a URL that begins with {', '.join(KINDS)}",
        )
    return Folder(Path(where).resolve())


def put(store: Store, file: str, text: str) -> None:
    """Keep a text. Raises `FileExistsError` where the name is taken, `OSError` where it can't be kept."""
    with store.writer(file) as out:
        out.write(text.encode())


def take(store: Store, file: str) -> bytes:
    """Return a whole file. Raises `OSError`."""
    with store.reader(file) as lines:
        return lines.read()


def try_writing(store: Store) -> None:
    """Write a small file, read it back and remove it. Raises `OSError` where any of that is not possible."""
    file = f"aicfg-probe-{secrets.token_hex(6)}"
    try:
        put(store, file, PROBE.decode())
        if take(store, file) != PROBE:
            raise OSError(None, "what was written does not read back")
    finally:
        store.remove(file)
