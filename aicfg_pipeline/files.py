"""Files that only this user may read, in folders that only this user may enter."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TextIO

OWNER_ONLY_FILE, OWNER_ONLY_FOLDER = 0o600, 0o700


def make_private_folder(folder: Path) -> None:
    """Make a folder, and those above it that are missing. One that is there already is left as it is."""
    missing = [f for f in (folder, *folder.parents) if not f.exists()]
    for each in reversed(missing):
        each.mkdir(mode=OWNER_ONLY_FOLDER, exist_ok=True)
    if not folder.is_dir():
        folder.mkdir(exist_ok=True)  # raises what is wrong


def new_private_file(path: Path) -> TextIO:
    """Open a new text file that is private from its first byte on. Raises `FileExistsError`."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY_FILE)
    return open(descriptor, "w", encoding="utf-8", newline="\n")
