"""The migration as frozen dataclasses. Pure: reading the files is `load`'s."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Literal

from aicfg_pipeline import environment
from aicfg_pipeline.spec.blocks import Block

PRIVATE_SCHEMA = "aicfg_rollback"
"""The ledger is in this schema, and all that is made for the first migration of a database."""

_OF_A_MIGRATION = f"{PRIVATE_SCHEMA}_of_"


def is_private(schema: str) -> bool:
    """Say whether a schema is one of those in which the pipeline keeps what it makes."""
    return schema == PRIVATE_SCHEMA or schema.startswith(_OF_A_MIGRATION)


Way = Literal["auto", "copy", "instant"]
"""How a pair is rolled back: its rows are copied, or its table is renamed where it is; `auto` renames where that will do."""


MAX_NAME_BYTES = 63  # NAMEDATALEN - 1


@dataclass(frozen=True)
class ForeignKey:
    """One foreign key of a DDL file: `columns` of the table refer to `references` (schema, table) `target_columns`.

    `options` is all that is said beside that and is not the default, as SQL words: `ON DELETE CASCADE`, say.
    """

    name: str
    columns: tuple[str, ...]
    references: tuple[str, str]
    target_columns: tuple[str, ...]
    options: frozenset[str] = frozenset()

    def __str__(self) -> str:
        columns, target = ", ".join(self.columns), ", ".join(self.target_columns)
        text = f"({columns}) REFERENCES {'.'.join(self.references)} ({target})"
        return " ".join([text, *sorted(self.options)])


@dataclass(frozen=True)
class Persona:
    """Someone whose view of the tables is tried: a role, and a query for the user id that the claims carry."""

    name: str
    role: str
    claim: str | None = None


@dataclass(frozen=True)
class Ddl:
    """One DDL file: its path under the migration's folder and its blocks by name."""

    path: str
    blocks: Mapping[str, Block]
    foreign_keys: tuple[ForeignKey, ...] = ()

    @property
    def digest(self) -> str:
        """SHA-256 over all blocks: two files of one digest make the same table."""
        text = "\x00".join(f"{name}\x01{block.sql}" for name, block in self.blocks.items())
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class Instance:
    """How a migration is set up in a code location: what its jobs and assets are called by, and what it is told by.

    No `prefix` where it is the only one. The variables are names; what they hold is read when it is asked for.
    `services_file` goes before the variable that names one. `module` is what a command line loads.
    """

    prefix: str = ""
    url_variable: str = environment.DATABASE_URL.name
    services_variable: str = environment.SERVICES.name
    services_file: str | None = None
    module: str = "aicfg_pipeline.definitions"

    def named(self, name: str) -> str:
        """Return the name that a job, an op, a sensor or a resource has in this instance."""
        return f"{self.prefix}_{name}" if self.prefix else name

    def of(self, name: str) -> str:
        """Return what a name of this instance is without its prefix."""
        return name.removeprefix(f"{self.prefix}_") if self.prefix else name

    @property
    def key(self) -> tuple[str, ...]:
        """How its assets' keys begin."""
        return (self.prefix,) if self.prefix else ()


ALONE = Instance()
"""The only migration of its code location."""


@dataclass(frozen=True)
class Pair:
    """One old and one new table, and how the columns that differ are filled on the way back and forth."""

    old: str
    new: str
    key: tuple[str, ...]
    changed_at: str | None
    single_row: bool
    back: Mapping[str, str]
    forth: Mapping[str, str]
    keep: tuple[str, ...]
    old_ddl: Ddl
    new_ddl: Ddl
    view_ddl: Ddl | None
    way: Way = "auto"
    instance: Instance = ALONE

    @property
    def in_place(self) -> bool:
        """Say whether old and new are one table, of which only columns have other names."""
        return self.old == self.new

    @property
    def change_log(self) -> str:
        """Name of the pair's change log in the private schema; also of the function that fills it."""
        return shortened("change_log_", self.old)

    @property
    def before_undo(self) -> str:
        """Name in the private schema of the parked rows as they were before an undo's replay."""
        return shortened("before_undo_", self.old)

    @property
    def op_suffix(self) -> str:
        """The old table's name as far as Dagster's op names allow it (letters, digits, underscore)."""
        return "".join(c if c.isascii() and (c.isalnum() or c == "_") else "_" for c in self.old)


@dataclass(frozen=True)
class Outside:
    """What the migration changed outside the database, for the commands that a person is told.

    `restored` are files under `schema_files`, archived → in use; `removed` are those that came with the migration.
    """

    repository: str | None = None
    functions: tuple[str, ...] = ()
    code: tuple[str, ...] = ()
    schema_files: str | None = None
    restored: Mapping[str, str] = field(default_factory=dict)
    removed: tuple[str, ...] = ()
    infrastructure: str | None = None
    deploy: str | None = None
    endpoints: tuple[str, ...] = ()


@dataclass(frozen=True)
class Migration:
    """The whole migration: pairs in order, and what has to exist around them."""

    name: str
    applied: date | None
    schema: str
    view_lifetime_days: int
    required_roles: tuple[str, ...]
    required_tables: tuple[tuple[str, str], ...]
    required_functions: tuple[str, ...]
    pairs: tuple[Pair, ...]
    folder: Path
    personas: tuple[Persona, ...] = ()
    outside: Outside = Outside()
    instance: Instance = ALONE

    def set_up(self, instance: Instance) -> Migration:
        """Return the same as one instance of a code location."""
        pairs = tuple(replace(pair, instance=instance) for pair in self.pairs)
        return replace(self, instance=instance, pairs=pairs)

    @property
    def own_schema(self) -> str:
        """The private schema for a migration that is not the first one of its database. It never has to be quoted."""
        plain = "".join(c if c.isascii() and (c.isalnum() or c == "_") else "_" for c in self.name.lower())
        marked = plain if plain == self.name else f"{plain}_{hashlib.sha256(self.name.encode()).hexdigest()[:8]}"
        return shortened(_OF_A_MIGRATION, marked)

    def pair(self, old: str) -> Pair:
        """Return the pair whose old table is `old`. Raises `KeyError`."""
        for pair in self.pairs:
            if pair.old == old:
                return pair
        raise KeyError(old)

    @property
    def digest(self) -> str:
        """SHA-256 over everything that decides what a run does."""
        facts = [
            [self.name, self.schema],
            *(
                [p.old, p.new, p.key, dict(p.back), dict(p.forth), p.keep]
                + [d.digest for d in (p.old_ddl, p.new_ddl, p.view_ddl) if d]
                + [p.way for _ in range(p.way != "auto")]
                for p in self.pairs
            ),
        ]
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def shortened(prefix: str, name: str) -> str:
    """Return `prefix + name`, cut and marked with a hash where PostgreSQL would cut it silently."""
    full = prefix + name
    if len(full.encode()) <= MAX_NAME_BYTES:
        return full
    mark = "_" + hashlib.sha256(name.encode()).hexdigest()[:8]
    room = MAX_NAME_BYTES - len(mark)
    return full.encode()[:room].decode(errors="ignore") + mark
