"""The tables and views of a schema, and which of them are pairs: a view that only gives a table its old name, or a rename
that a person names. What is written of a pair is `folder`'s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from aicfg_pipeline.errors import ConfigError
from aicfg_pipeline.postgres.session import Session
from aicfg_pipeline.postgres.statements import engine
from aicfg_pipeline.postgres.wording import counted
from aicfg_pipeline.spec.document import nearest
from aicfg_pipeline.spec.model import MAX_NAME_BYTES


@dataclass(frozen=True)
class Found:
    """A table or view as it is found: columns with their types, and the key's columns."""

    oid: int
    name: str
    kind: str
    columns: Mapping[str, str]
    key: tuple[str, ...]
    single_row: bool
    unfit: str | None
    definition: str | None
    reads: tuple[int, ...]

    @property
    def is_view(self) -> bool:
        """A plain view."""
        return self.kind == "v"


@dataclass(frozen=True)
class FoundPair:
    """An old name and the new table; what has the old name now, if anything has, and which column is called how there."""

    old: str
    new: Found
    at_old: Found | None
    shown: Mapping[str, str] = field(default_factory=dict)
    """Of a view: its column to the table's."""


@dataclass(frozen=True)
class Pairs:
    """The pairs, and for each view that is none, why."""

    pairs: tuple[FoundPair, ...]
    none: Mapping[str, str]


def relations(session: Session, schema: str) -> dict[str, Found]:
    """Return the tables and views of a schema by name."""
    rows = session.all(engine("inspected_relations"), {"schema": schema})
    return {
        r.name: Found(
            r.oid, r.name, r.kind, dict(zip(r.columns, r.types, strict=True)), tuple(r.key), r.single_row, r.unfit,
            r.definition, tuple(r.reads),
        )
        for r in rows
    }  # fmt: skip


def find_pairs(found: Mapping[str, Found], schema: str, renames: Sequence[str]) -> Pairs:
    """Return the pairs of a schema. Raises `ConfigError` with every complaint about renames, and where there is no pair."""
    pairs, complaints = _named(found, schema, renames)
    taken = {p.new.name for p in pairs} | {p.old for p in pairs}
    none: dict[str, str] = {}
    by_table: dict[str, list[FoundPair]] = {}
    for view in (f for f in found.values() if f.is_view and f.name not in taken):
        pair = _of_view(found, view)
        if isinstance(pair, str):
            none[view.name] = pair
        elif pair.new.name in taken:
            none[view.name] = f"its table {pair.new.name} is in another pair"
        else:
            by_table.setdefault(pair.new.name, []).append(pair)
    for table, several in by_table.items():
        if len(several) > 1:
            views = ", ".join(p.old for p in several)
            complaints.append(
                f"{table} has several views of all its columns: {views}; name the old one: --rename OLD:{table}"
            )
        pairs += several
    if complaints:
        raise ConfigError(f"The pairs of schema {schema} can't be told. Nothing was written.", complaints=complaints)
    if not pairs:
        raise ConfigError(
            f"No pair was found in schema {schema}. Nothing was written.",
            complaints=[f"view {name}: {why}" for name, why in none.items()],
            expected="a view that shows every column of one table and nothing else, or a rename that you name",
            remedy="Name the old and the new table: --rename old_name:new_name",
        )
    return Pairs(tuple(pairs), none)


def _named(found: Mapping[str, Found], schema: str, renames: Sequence[str]) -> tuple[list[FoundPair], list[str]]:
    pairs: list[FoundPair] = []
    complaints: list[str] = []
    seen: set[str] = set()
    for rename in renames:
        old, colon, new = rename.partition(":")
        said = f"--rename {rename}"
        if not (old and colon and new) or old == new:
            complaints.append(f"{said}: it has to be the old and the new name, with a colon between")
            continue
        complaints += [
            f"{said}: {n} is longer than the {MAX_NAME_BYTES} bytes that PostgreSQL keeps of a name"
            for n in (old, new)
            if len(n.encode()) > MAX_NAME_BYTES
        ]
        complaints += [f"{said}: {n} is named twice" for n in (old, new) if n in seen]
        seen |= {old, new}
        pair = _as_named(found, schema, old, new)
        if isinstance(pair, str):
            complaints.append(f"{said}: {pair}")
        else:
            pairs.append(pair)
    return pairs, complaints


def _as_named(found: Mapping[str, Found], schema: str, old: str, new: str) -> FoundPair | str:
    table, at_old = found.get(new), found.get(old)
    tables = [f.name for f in found.values() if not f.is_view]
    if table is None or table.is_view:
        return f"there is no table {schema}.{new}; {nearest(new, tables)}"
    if why := _unfit(table):
        return f"{new} can't be taken back: {why}"
    if at_old is None or not at_old.is_view:
        return FoundPair(old, table, at_old)
    pair = _of_view(found, at_old, whole=False)
    if isinstance(pair, str):
        return f"{old} is a view, and {pair}"
    return pair if pair.new.name == new else f"{old} is a view of {pair.new.name}, not of {new}"


def _unfit(table: Found) -> str | None:
    return table.unfit or (None if table.key else "it has no primary key, so its rows can't be told apart")


def _of_view(found: Mapping[str, Found], view: Found, *, whole: bool = True) -> FoundPair | str:
    """Return the pair that a view makes with its table, or why it makes none."""
    table = next((f for f in found.values() if (f.oid,) == view.reads), None)
    if len(view.reads) != 1:
        return f"it reads {counted(len(view.reads), 'table')}, so it joins or is no table's other name"
    if table is None or table.is_view:
        return "what it reads is no table of this schema"
    shown = _shown(view)
    if isinstance(shown, str):
        return shown
    if why := _unfit(table):
        return f"its table {table.name} can't be taken back: {why}"
    missing = [c for c in table.columns if c not in shown.values()]
    if missing and whole:
        say = f"--rename {view.name}:{table.name}"
        return f"it does not show {', '.join(missing)} of {table.name}; if it is its old name, say so: {say}"
    return FoundPair(view.name, table, view, shown)


def _shown(view: Found) -> dict[str, str] | str:
    """Return by the view's columns those of the table, where it shows nothing else; or why it does more."""
    try:
        query = sqlglot.parse_one((view.definition or "").rstrip("; \n"), read="postgres")
    except SqlglotError:
        return "its query is not understood"
    if not isinstance(query, exp.Select):
        return "it is more than one SELECT"
    if query.args.get("joins") or query.args.get("laterals"):
        return "it joins"
    kept = {"expressions", "from", "from_", "kind", "hint"}
    more = [name for name, value in query.args.items() if value and name not in kept]
    if more:
        return f"it does not show every row as it is ({', '.join(m.rstrip('_').upper() for m in more)})"
    bare = [e.this if isinstance(e, exp.Alias) else e for e in query.expressions]
    computed = [n for n, e in zip(view.columns, bare, strict=False) if not isinstance(e, exp.Column)]
    if computed or len(bare) != len(view.columns):
        return f"it computes {', '.join(computed) or 'a column'}"
    return dict(zip(view.columns, (e.name for e in bare), strict=True))
