"""Whose a row of the ledger is where several migrations share a database, and where each of them keeps what it makes.

The first migration of a database has the private schema itself, every further one a schema of its own beside it, named after
the migration: shadows and parked tables bear their final names, and those of two migrations may be the same. The ledger is
one, and knows of each row which migration it is about. One of before does not: such rows are the migration's whose pairs
they name. Nothing here asks the database.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from aicfg_pipeline.errors import ConfigError
from aicfg_pipeline.spec.model import PRIVATE_SCHEMA, Migration


@dataclass(frozen=True)
class Entry:
    """One row of the ledger. `pair` is the old table's name, or None where the row is about the whole run.

    `migration` is None in a row of before, and `place` is the private schema of the row's migration.
    """

    id: int
    at: datetime
    run_id: str
    step: str
    outcome: str
    pair: str | None
    plan_hash: str | None
    facts: Mapping[str, Any]
    statements: list[Mapping[str, Any]]
    actor: str
    backend: int
    application: str
    migration: str | None = None
    place: str = PRIVATE_SCHEMA


@dataclass(frozen=True)
class Shared:
    """The rows of a ledger, told apart: `mine`, those of before that are mine as well, and those of other migrations."""

    mine: tuple[Entry, ...]
    of_before: tuple[int, ...] = ()
    others: tuple[Entry, ...] = ()
    place: str = PRIVATE_SCHEMA


@dataclass(frozen=True)
class Other:
    """Another migration as the ledger has it: its private schema, and its pairs (old name to new) as a run began."""

    name: str
    place: str
    schema: str | None = None
    pairs: Mapping[str, str] = field(default_factory=dict)


def tell_apart(rows: Sequence[Entry], migration: Migration) -> Shared:
    """Say which rows are this migration's. Raises `ConfigError` where another migration bears its name there."""
    named = [e for e in rows if e.migration == migration.name]
    _must_be_the_same(named, migration)
    before = _of_before([e for e in rows if e.migration is None], migration)
    ids = {e.id for e in (*named, *before)}
    mine, others = tuple(e for e in rows if e.id in ids), tuple(e for e in rows if e.id not in ids)
    place = PRIVATE_SCHEMA if before or not others else migration.own_schema
    return Shared(mine, tuple(e.id for e in before), others, named[-1].place if named else place)


def _of_before(rows: Sequence[Entry], migration: Migration) -> list[Entry]:
    """Return those rows without a name that are about this migration: runs that name a pair of it, or none at all."""
    pairs_of = {run_id: {e.pair for e in rows if e.run_id == run_id} - {None} for run_id in {e.run_id for e in rows}}
    every = set().union(*pairs_of.values())
    ours = {p.old for p in migration.pairs}
    if (every and not every & ours) or _went_elsewhere(rows, migration):
        return []
    return [e for e in rows if not pairs_of[e.run_id] or pairs_of[e.run_id] & ours]


def _went_elsewhere(rows: Iterable[Entry], migration: Migration) -> bool:
    """Say whether a table of one of our old names was rolled back from another new one."""
    news = {p.old: p.new for p in migration.pairs}
    return any(
        e.pair in news and str(e.facts.get("new_table", news[e.pair])) != news[e.pair]
        for e in rows
        if e.pair is not None
    )


def _must_be_the_same(rows: Sequence[Entry], migration: Migration) -> None:
    """Raise `ConfigError` where the rows of this name are about tables of which this migration has none."""
    was = began_with(rows)
    old = {e.pair for e in rows if e.pair is not None} | set(was.pairs if was else ())
    elsewhere = was is not None and was.schema not in (None, migration.schema)
    if elsewhere or (old and not old & {p.old for p in migration.pairs}):
        where = f"{was.schema}." if was and was.schema else ""
        ours = ", ".join(f"{migration.schema}.{p.old}" for p in migration.pairs)
        raise ConfigError(
            f"The ledger of this database knows another migration by the name {migration.name}: that of"
            f" {', '.join(f'{where}{name}' for name in sorted(old))}. Nothing was touched.",
            expected=f"a name of its own for the migration of {ours}",
            remedy=f"Give one of the two another name (name: in {migration.folder / 'migration.yaml'}); the one that"
            " the ledger knows has to keep its own.",
        )


def began_with(rows: Sequence[Entry]) -> Other | None:
    """Return what the newest run of some rows has said of its migration as it began, or None."""
    for entry in reversed(rows):
        if entry.step == "run" and "pairs" in entry.facts:
            schema = str(entry.facts["schema"]) if "schema" in entry.facts else None
            return Other(entry.migration or "", entry.place, schema, dict(entry.facts["pairs"]))
    return None


def others_in(entries: Collection[Entry]) -> dict[str, Other]:
    """Return the other migrations that a ledger has rows of, by name."""
    found = {}
    for name in dict.fromkeys(e.migration for e in entries if e.migration is not None):
        rows = [e for e in entries if e.migration == name]
        found[name] = began_with(rows) or Other(name, rows[-1].place)
    return found
