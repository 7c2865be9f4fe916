"""A folder of this machine as a store: files that only their owner may read, flushed to the disk before they have a name."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from aicfg_pipeline.files import OWNER_ONLY_FILE, make_private_folder


@dataclass(frozen=True)
class Folder:
    """A folder. It is made when the first file is written."""

    path: Path

    @property
    def name(self) -> str:
        """The path."""
        return str(self.path)

    def location(self, file: str) -> str:
        """Return the file's path."""
        return str(self.path / file)

    @contextmanager
    def writer(self, file: str) -> Iterator[BinaryIO]:
        """Open a new file under another name; it gets its own when it is whole, and only if that is free."""
        make_private_folder(self.path)
        place = self.path / file
        if place.exists():
            raise FileExistsError(None, "a file of that name is there", str(place))
        draft = self.path / f".{file}.{secrets.token_hex(6)}"
        try:
            with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY_FILE), "wb") as out:
                yield out
                out.flush()
                os.fsync(out.fileno())
            _give_name(draft, place)
        finally:
            draft.unlink(missing_ok=True)

    @contextmanager
    def reader(self, file: str) -> Iterator[BinaryIO]:
        """Open a file to read."""
        with open(self.path / file, "rb") as lines:
            yield lines

    def size(self, file: str) -> int:
        """Return its bytes."""
        return (self.path / file).stat().st_size

    def names(self, ending: str) -> list[str]:
        """Return the names with that ending, the newest first."""
        found = [p for p in self.path.glob(f"*{ending}") if not p.name.startswith(".")]
        return [p.name for p in sorted(found, key=lambda p: p.stat().st_mtime_ns, reverse=True)]

    def remove(self, file: str) -> None:
        """Remove a file, if it is there."""
        (self.path / file).unlink(missing_ok=True)


def _give_name(draft: Path, place: Path) -> None:
    try:
        os.link(draft, place)
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        os.close(os.open(place, os.O_CREAT | os.O_EXCL | os.O_WRONLY, OWNER_ONLY_FILE))
        os.replace(draft, place)
