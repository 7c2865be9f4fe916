"""The folder of one rehearsal on this machine. It holds rows, so only this user may enter, and it does not outlive its run.

What a killed rehearsal has left is found by its lock, which the system has let go of, and taken away.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from aicfg_pipeline.embedded.cluster import Cluster
from aicfg_pipeline.embedded.programs import wheel_binaries
from aicfg_pipeline.errors import ConfigError, PipelineError
from aicfg_pipeline.files import OWNER_ONLY_FILE, make_private_folder

FOLDER = "rehearsal"
LOCK = "lock"
SERVER = "postgres"
"""Where in a place the server of a copy has its data."""


@contextmanager
def place(home: Path) -> Iterator[Path]:
    """Yield a folder of its own, and take it away at the end with the server in it. Raises `ConfigError`."""
    folder = Path(home) / FOLDER / secrets.token_hex(6)
    try:
        make_private_folder(folder)
        handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, OWNER_ONLY_FILE)
    except OSError as error:
        raise ConfigError(
            f"{folder} can't be made: {error.strerror or type(error).__name__}.",
            expected="a folder that this process may write to",
            remedy="Set AICFG_HOME to such a folder.",
        ) from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield folder
    finally:
        _take_away(folder)
        os.close(handle)


def remove_leftovers(home: Path) -> list[Path]:
    """Take away what killed rehearsals have left, server and rows. Returns the folders that are gone."""
    gone = []
    for folder in sorted((Path(home) / FOLDER).glob("*")):
        with suppress(OSError):
            handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, OWNER_ONLY_FILE)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)  # a living rehearsal holds it
                _take_away(folder)
                gone.append(folder)
            finally:
                os.close(handle)
    return gone


def _take_away(folder: Path) -> None:
    data = folder / SERVER
    if data.exists():
        with suppress(PipelineError):  # a server that can't be stopped loses its files all the same
            Cluster(_any_programs(), data).stop("immediate")
    shutil.rmtree(folder, ignore_errors=True)


def _any_programs() -> Path:
    """pg_ctl stops a server of any version."""
    return max(wheel_binaries().items())[1]
