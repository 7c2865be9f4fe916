"""What the embedded server needs of the operating system: a user, modes, processes, a file lock.

Nothing here knows PostgreSQL.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from aicfg_pipeline.errors import ConfigError, DatabaseError

LOCK_SECONDS = 300  # someone else may be filling the demo database


@dataclass(frozen=True)
class User:
    """The OS user whom the server's processes run as."""

    uid: int
    gid: int
    name: str


def lives_in(pid: int, folder: Path) -> bool:
    """Return whether process `pid` lives and, as every process of a server does, works in its data directory."""
    if Path("/proc/self").exists():
        try:
            return Path(os.readlink(f"/proc/{pid}/cwd")) == folder
        except OSError:  # ended, a zombie, or someone else's
            return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def server_processes(folder: Path) -> list[int]:
    """Return the processes of PostgreSQL that work in `folder` (on Linux; elsewhere the server checks by itself)."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            program = Path(os.readlink(entry / "exe")).name  # a shell that someone left in there does not count
            if Path(os.readlink(entry / "cwd")) == folder and program.startswith("postgres"):
                found.append(int(entry.name))
    return found


def may_enter(folder: Path, user: User) -> bool:
    """Say whether a user may enter a folder."""
    status = folder.stat()
    if status.st_uid == user.uid:
        return bool(status.st_mode & stat.S_IXUSR)
    if status.st_gid == user.gid:
        return bool(status.st_mode & stat.S_IXGRP)
    return bool(status.st_mode & stat.S_IXOTH)


def open_path(folder: Path, user: User) -> None:
    """Let `user` walk through `folder` and all above it, by the one permission that is missing: o+x."""
    for step in (*reversed(folder.parents), folder):
        if may_enter(step, user):
            continue
        add_mode(step, stat.S_IXOTH)
        if not may_enter(step, user):
            raise ConfigError(
                f"{step} is closed to the OS user {user.name}, whom the server runs as.",
                remedy="Open it (chmod g+x), or choose another folder with AICFG_HOME.",
            )


def open_programs(folder: Path) -> None:
    """Let everyone read the wheel's programs and libraries (an install under umask 077 closes them)."""
    for path in (folder, *folder.rglob("*")):
        if path.is_symlink():
            continue
        mode = path.stat().st_mode
        wanted = stat.S_IROTH | (stat.S_IXOTH if path.is_dir() or mode & stat.S_IXUSR else 0)
        if mode & wanted != wanted:
            add_mode(path, wanted)


def add_mode(path: Path, bits: int) -> None:
    """Add permission bits to a path, where they are ours to add."""
    try:
        path.chmod(stat.S_IMODE(path.stat().st_mode) | bits)
    except OSError as error:
        raise ConfigError(
            f"The permissions of {path} could not be widened for the server's OS user: {error.strerror}.",
            remedy="Run as an ordinary user, or choose another folder with AICFG_HOME.",
        ) from error


def private_folder(folder: Path, user: User | None) -> None:
    """Make `folder` for the socket, closed to all but the server's user; refuse one that is not ours."""
    # Whoever owned the folder could put a socket of his own there and be taken for the server.
    ours = user.uid if user else os.geteuid()
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
        if user is not None:
            os.chown(folder, user.uid, user.gid)
    status = folder.lstat()
    if status.st_uid == 0 and user is not None and stat.S_ISDIR(status.st_mode):
        os.chown(folder, user.uid, user.gid)  # made by an earlier start that was killed right here
    elif not stat.S_ISDIR(status.st_mode) or status.st_uid != ours or stat.S_IMODE(status.st_mode) & 0o022:
        raise ConfigError(
            f"{folder} is not a folder that only the server's OS user may write to.",
            remedy="Remove it, or set TMPDIR to a folder of your own.",
        )


@contextlib.contextmanager
def file_lock(path: Path) -> Iterator[None]:
    """Hold `path` for one process at a time; the system lets go of it when a holder is killed."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except PermissionError as error:
        raise ConfigError(
            f"{path} belongs to another OS user.",
            remedy="Run as the user who made it, or choose another folder with AICFG_HOME.",
        ) from error
    try:
        deadline = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise DatabaseError(
                        f"Another process has been starting or filling the embedded server for {LOCK_SECONDS} s.",
                        remedy=f"See who holds {path} (`fuser {path}`), and try again when it has ended.",
                    ) from None
                time.sleep(0.05)
        yield
    finally:
        os.close(handle)
