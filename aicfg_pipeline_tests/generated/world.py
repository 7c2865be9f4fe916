"""A database and its migration as plain data. Small values mean little: an empty tuple, None, false."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from aicfg_pipeline_tests.generated.values import KINDS

MAX_BYTES = 63


def q(*names: str) -> str:
    """Return a name as SQL."""
    return ".".join('"' + n.replace('"', '""') + '"' for n in names)


def named(*parts: str) -> str:
    """Return a name made of parts; one that PostgreSQL would cut is made short here, and stays one of its own."""
    whole = "_".join(parts)
    if len(whole.encode()) <= MAX_BYTES:
        return whole
    mark = "_" + hashlib.sha256(whole.encode()).hexdigest()[:6]
    return whole.encode()[: MAX_BYTES - len(mark)].decode(errors="ignore") + mark


def new_name(old: str) -> str:
    """Return what the migration calls a table."""
    return f"cfg_{old}"


def beside_values(statement: str) -> str:
    """Return a name or a text as it stands in a statement that has values."""
    return statement.replace("%", "%%")


@dataclass(frozen=True)
class Reference:
    """A foreign key of one column."""

    table: tuple[str, str]
    column: str
    on_delete: str = ""
    deferred: bool = False
    old: bool = True  # the old table has it
    valid: bool = True  # on the new table
    between: bool = False  # to another pair: `table` is its old one

    def target(self, side: str) -> tuple[str, str]:
        """The table that the old or new table's key refers to."""
        return (self.table[0], new_name(self.table[1])) if self.between and side == "new" else self.table


@dataclass(frozen=True)
class Column:
    """One column: its kind in the old and in the new table, None where that table does not have it."""

    name: str
    old: str | None
    new: str | None
    values: tuple[str, ...] = ()  # drawn from these only
    not_null: bool = False
    old_default: str = ""
    new_default: str = ""
    identity: str = ""  # serial, ALWAYS, BY DEFAULT
    generated: str = ""  # expression
    unique: bool = False
    check: str = ""  # expression, on both sides
    old_check: str = ""  # only the old table asks for it
    comment: str = ""
    reference: Reference | None = None

    @property
    def kind(self) -> str:
        """The kind that its values are drawn from: the new table's, if that has it."""
        return self.new or self.old or ""

    @property
    def key_kind(self) -> str:
        """The kind that a key's values are drawn from: the narrower one, so that they fit into both tables."""
        return "varchar(12)" if "varchar(12)" in (self.old, self.new) else self.kind

    def type(self, side: str) -> str:
        """Its type in the old or new table."""
        return KINDS[getattr(self, side)].type


@dataclass(frozen=True)
class Index:
    """An index that is no constraint's. `on` is what stands in the brackets."""

    name: str
    on: str
    method: str = "btree"
    unique: bool = False
    where: str = ""
    needs: tuple[str, ...] = ()  # columns


@dataclass(frozen=True)
class Trigger:
    """A trigger that both files make, with a function of the pair's own, or one shared with other tables."""

    name: str
    when: str = "BEFORE UPDATE"
    each: str = "ROW"
    shared: bool = False


@dataclass(frozen=True)
class Policy:
    """A policy of row level security."""

    name: str
    command: str = "ALL"
    roles: tuple[str, ...] = ()
    using: str = "true"


@dataclass(frozen=True)
class Grant:
    """Privileges for one role ("" is PUBLIC), on the whole or on a column."""

    role: str
    privileges: str
    column: str = ""
    option: bool = False


@dataclass(frozen=True)
class Pair:
    """One old and one new table, and the view between them."""

    old: str
    new: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    new_order: tuple[int, ...] = ()  # the new table's order of `columns`
    shape: str = "view"  # none, view, renamed, coexisting
    rows: tuple[tuple[str | None, ...], ...] = ()  # of `columns`, of the new table
    old_rows: tuple[tuple[str | None, ...], ...] = ()  # of a coexisting old table
    back: tuple[tuple[str, str], ...] = ()
    forth: tuple[tuple[str, str], ...] = ()
    keep: tuple[str, ...] = ()
    changed_at: str = ""
    indexes: tuple[Index, ...] = ()
    excluded: tuple[str, ...] = ()  # columns of ranges that must not overlap
    triggers: tuple[Trigger, ...] = ()
    rls: bool = False
    forced: bool = False
    policies: tuple[Policy, ...] = ()
    old_grants: tuple[Grant, ...] = ()
    new_grants: tuple[Grant, ...] = ()
    view_grants: tuple[Grant, ...] = ()
    invoker: bool = False
    file_invoker: bool = False
    comment: str = ""
    fillfactor: int = 0
    extra_indexes: tuple[Index, ...] = ()  # of the new table only, in no file
    statistics: tuple[str, ...] = ()  # the same: columns of extended statistics
    file_statistics: tuple[str, ...] = ()  # the same in both files
    identity: str = ""  # replica identity, in both files
    new_identity: str = ""  # the new table's own, in no file
    owner: str = ""  # "" is the world's

    def side(self, side: str) -> tuple[Column, ...]:
        """The columns of the old or new table, in its order."""
        columns = self.columns
        if side == "new" and len(self.new_order) == len(columns):
            columns = tuple(self.columns[i] for i in self.new_order)
        return tuple(c for c in columns if getattr(c, side) is not None)

    def column(self, name: str) -> Column:
        """The column of that name."""
        return next(c for c in self.columns if c.name == name)

    def table(self, side: str) -> str:
        """The name of the old or new table."""
        return self.old if side == "old" else self.new


@dataclass(frozen=True)
class Dependent:
    """Something outside that refers to the new table or the old name: view, matview, function, key, policy."""

    kind: str
    pair: int
    on_view: bool = False


@dataclass(frozen=True)
class World:
    """A whole database."""

    pairs: tuple[Pair, ...]
    owner: str = "gen_keeper"
    runner: str = "owner"  # owner, member, superuser
    default_privileges: tuple[str, ...] = ()  # what stands behind ALTER DEFAULT PRIVILEGES
    database_settings: tuple[tuple[str, str], ...] = ()
    role_settings: tuple[tuple[str, str], ...] = ()
    dependents: tuple[Dependent, ...] = ()
    later: tuple[Dependent, ...] = ()  # made on the old table after the cut-over
    publication: str = ""  # table, columns, filter, schema, all
    accept: bool = True
    writes: tuple[int, ...] = field(default=())  # numbers that decide the writer's writes
