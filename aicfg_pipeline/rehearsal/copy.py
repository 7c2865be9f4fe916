"""The copy of a target, made in the embedded server: everything's structure, and the rows of the pairs and what they refer to.

All of it is read in one read-only snapshot of the target. What may be used as a copy instead is `given`'s.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from aicfg_pipeline.embedded.cluster import SUPERUSER, Cluster
from aicfg_pipeline.embedded.programs import wheel_binaries
from aicfg_pipeline.errors import RehearsalError, redact
from aicfg_pipeline.postgres import catalog
from aicfg_pipeline.postgres.address import secrets_of
from aicfg_pipeline.postgres.session import Session, connect
from aicfg_pipeline.postgres.statements import engine
from aicfg_pipeline.postgres.wording import counted
from aicfg_pipeline.rehearsal import programs
from aicfg_pipeline.rehearsal.place import SERVER
from aicfg_pipeline.rehearsal.roles import Roles, make_database, make_roles, read_roles
from aicfg_pipeline.rehearsal.what import Wanted, find_wanted
from aicfg_pipeline.rollback.state import look
from aicfg_pipeline.spec.model import PRIVATE_SCHEMA, Migration

DATABASE = "rehearsal"
LOCK_WAIT = "10s"
"""So long pg_dump waits for a table that somebody holds for himself."""

OF_ANOTHER_VERSION = ("transaction_timeout",)
"""Settings that pg_restore of one version sets, and a server of another does not have: nothing is lost by that."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Copy:
    """A database to rehearse on: `told` is what a person calls it, `notes` what is not there as it is on the target."""

    url: str
    told: str
    notes: tuple[str, ...] = ()


@contextmanager
def made_copy(target: Session, migration: Migration, folder: Path, say: Say) -> Iterator[Copy]:
    """Make a copy in a server of its own under `folder`, and stop that at the end. Raises `RehearsalError`, `ConfigError`."""
    major = target.version // 10_000
    bin_dir, version = programs.server_programs(major)
    dump = programs.find_pg_dump(major, tls=bool(target.connection.pgconn.ssl_in_use))
    restore = _newest_restore(dump)
    seen = look(target, migration)
    cluster = Cluster(bin_dir, folder / SERVER)
    with target.transaction(snapshot=True, read_only=True):
        snapshot, login = target.scalar(engine("export_snapshot")), target.one(engine("identity")).login
        wanted, roles = find_wanted(target, migration, seen), read_roles(target)
        _must_have_room(folder, wanted)
        say(f"copying {counted(len(wanted.with_rows), 'table')} with their rows, and the rest without")
        cluster.initialise()
        cluster.start()
        missing = _made_empty(cluster, wanted, roles, login)
        sink = cluster.url(SUPERUSER, DATABASE)
        parts = _Parts(folder, dump.path, restore, wanted, snapshot)
        complaints = parts.dump_structure(target.url)
        complaints += parts.restore_structure(sink, "pre-data")
        _must_have_tables(sink, wanted, missing, complaints)
        parts.copy_rows(target.url, sink)
    complaints += parts.restore_structure(sink, "post-data")
    _analyze(sink)
    told = f"a copy made by pg_dump, in PostgreSQL {version}"
    yield Copy(cluster.url(login, DATABASE), told, tuple(_notes(missing, complaints, wanted)))


def _newest_restore(dump: programs.Program) -> Path:
    """A dump is read by a pg_restore that is not older; the wheel's newest knows all that the wheel has servers for."""
    newest, path = max((v, b) for v, b in wheel_binaries().items())
    return path / "pg_restore" if newest >= dump.major else dump.path.with_name("pg_restore")


def _must_have_room(folder: Path, wanted: Wanted) -> None:
    free = shutil.disk_usage(folder).free
    if free < wanted.bytes_needed:
        raise RehearsalError(
            f"There is no room for the copy: it needs about {wanted.bytes_needed / 1e6:,.0f} MB, and {folder.parent} has"
            f" {free / 1e6:,.0f} MB free. Nothing was touched.",
            remedy="Set AICFG_HOME to a folder with more room, or AICFG_REHEARSAL_URL to a copy of your own.",
        )


def _made_empty(cluster: Cluster, wanted: Wanted, roles: Roles, login: str) -> list[str]:
    """Make roles and database. Returns the extensions that are not to be had here."""
    server = connect(cluster.url(SUPERUSER, "postgres"), "aicfg_pipeline rehearsal")
    try:
        make_roles(server, roles, login)
        make_database(server, roles, DATABASE)
        rows = server.all(engine("missing_extensions"), {"names": list(wanted.extensions)})
        return [r.name for r in rows]
    finally:
        server.close()


def _must_have_tables(url: str, wanted: Wanted, missing: Sequence[str], complaints: Sequence[str]) -> None:
    copy = connect(url, "aicfg_pipeline rehearsal")
    try:
        there = catalog.relations(copy, set(wanted.with_rows))
    finally:
        copy.close()
    lacking = [f"{schema}.{name} could not be made" for schema, name in wanted.with_rows if (schema, name) not in there]
    if lacking:
        raise RehearsalError(
            "The copy can't be made in the embedded server: the tables need something that it does not have.",
            complaints=[*lacking, *_not_there(missing), *complaints[:10]],
            remedy="Set AICFG_REHEARSAL_URL to a copy of your own, on a server that has it. The target was only read.",
        )


def _analyze(url: str) -> None:
    copy = connect(url, "aicfg_pipeline rehearsal")
    try:
        copy.execute(engine("analyze_everything"))
    finally:
        copy.close()


def _not_there(missing: Sequence[str]) -> list[str]:
    return [f"extension {name} is not there" for name in missing]


def _notes(missing: Sequence[str], complaints: Sequence[str], wanted: Wanted) -> Iterator[str]:
    yield from _not_there(missing)
    if wanted.left_out:
        shown = ", ".join(".".join(t) for t in wanted.left_out[:5])
        more = len(wanted.left_out) - 5
        yield f"left out, as this role may not read them: {shown}{f' and {more} more' if more > 0 else ''}"
    yield from (f"could not be made: {c}" for c in complaints[:20])


@dataclass(frozen=True)
class _Parts:
    """Dumps and restores structure and rows, each from the same snapshot."""

    folder: Path
    dump: Path
    restore: Path
    wanted: Wanted
    snapshot: str

    @property
    def _file(self) -> Path:
        return self.folder / "structure.dump"

    def dump_structure(self, source: str) -> list[str]:
        """Write the structure of everything that may be read to a file. Raises `RehearsalError`."""
        words = [
            *("--format=custom", "--schema-only", f"--snapshot={self.snapshot}", f"--lock-wait-timeout={LOCK_WAIT}"),
            *("--no-tablespaces", "--no-subscriptions", "--no-security-labels"),
            *(f"--exclude-schema={schema}" for schema in (PRIVATE_SCHEMA, f"{PRIVATE_SCHEMA}_of_*")),
            *(f"--exclude-table={programs.pattern(*t)}" for t in self.wanted.left_out),
        ]
        done = programs.run_to_file(self.dump, words, source, self._file)
        if done.returncode != 0:
            raise _no_dump(done, source)
        return []

    def restore_structure(self, sink: str, section: str) -> list[str]:
        """Make one section of it. Returns what could not be made: a first line each, which has no row in it."""
        words = [f"--section={section}", f"--use-list={self._contents()}"]
        done = programs.run_with_file(self.restore, words, sink, self._file)
        return [c for c in _errors(done) if not any(word in c for word in OF_ANOTHER_VERSION)]

    def copy_rows(self, source: str, sink: str) -> None:
        """Copy the rows, from server to server. Raises `RehearsalError`, which has no row in it."""
        tables = [f"--table={programs.pattern(*t)}" for t in self.wanted.with_rows]
        words = ["--format=custom", "--compress=0", "--data-only", f"--snapshot={self.snapshot}", *tables]
        dumped, restored = programs.run_into(
            self.dump, [*words, f"--lock-wait-timeout={LOCK_WAIT}"], source, self.restore, ["--data-only"], sink
        )
        if dumped.returncode != 0:
            raise _no_dump(dumped, source)
        wrong = [c for c in _errors(restored) if not any(word in c for word in OF_ANOTHER_VERSION)]
        if wrong:
            raise RehearsalError(
                "The rows could not be copied. What the server said may hold some of them, and is not shown.",
                complaints=sorted({c.partition(": ERROR")[0] for c in wrong})[:10],
                remedy="Set AICFG_REHEARSAL_URL to a copy of your own. The target was only read.",
            )

    def _contents(self) -> Path:
        """The table of contents, without our own triggers on the live tables."""
        path = self.folder / "contents"
        if not path.exists():
            listed = subprocess.run(
                [self.restore, "--list", self._file], capture_output=True, text=True, check=True, errors="replace"
            ).stdout
            ours = [f" TRIGGER {schema} {table} {trigger} " for schema, table, trigger in self.wanted.our_triggers]
            kept = [line for line in listed.splitlines() if not any(o in line for o in ours)]
            path.write_text("\n".join(kept) + "\n", encoding="utf-8")
        return path


def _errors(done: subprocess.CompletedProcess[str]) -> list[str]:
    """Return the first line of each complaint of pg_restore: what follows it may hold rows."""
    lines = [line.partition("error: ")[2] for line in done.stderr.splitlines() if "pg_restore: error: " in line]
    found = [" ".join(line.removeprefix("could not execute query: ").split()) for line in lines]
    return found or ([f"pg_restore ended with status {done.returncode}"] if done.returncode not in (0, 1) else [])


def _no_dump(done: subprocess.CompletedProcess[str], url: str) -> RehearsalError:
    said = [line for line in done.stderr.splitlines() if "error:" in line] or done.stderr.splitlines()[-3:]
    if any("statement timeout" in line for line in said):
        said.append(f"somebody has held a table for himself for more than {LOCK_WAIT}")
    return RehearsalError(
        "pg_dump could not read the target. Nothing was touched.",
        complaints=[redact(line, secrets_of(url)) for line in said[:10]],
        remedy="Mend what it names, or set AICFG_REHEARSAL_URL to a copy of your own.",
    )
