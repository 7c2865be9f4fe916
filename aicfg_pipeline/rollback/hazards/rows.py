"""Hazards in the rows: what the old table's columns, checks, keys and references would refuse.

What the old table asks for is found by making it from its DDL file in a transaction that is rolled back; every rule
is counted in one scan of the live rows, which are not locked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from psycopg import sql

from aicfg_pipeline.errors import DatabaseError
from aicfg_pipeline.postgres import catalog
from aicfg_pipeline.postgres.catalog import Column, Relation
from aicfg_pipeline.postgres.equality import absent, keys_equal, present
from aicfg_pipeline.postgres.session import Session
from aicfg_pipeline.postgres.statements import columns, comma, engine, ident, text
from aicfg_pipeline.postgres.wording import counted
from aicfg_pipeline.rollback.hazards import columns as columns_
from aicfg_pipeline.rollback.hazards import exclusion, types
from aicfg_pipeline.rollback.hazards.hazard import Hazard, Subject
from aicfg_pipeline.rollback.state import TO_ROLL_BACK, PairState
from aicfg_pipeline.rollback.tables.counting import sample_keys, tally
from aicfg_pipeline.rollback.tables.foreign_keys import refers_to_nothing
from aicfg_pipeline.rollback.tables.mapping import Source, constant
from aicfg_pipeline.rollback.tables.scratch import scratch_tables
from aicfg_pipeline.rollback.tables.sources import back_source, back_way, superseded_way
from aicfg_pipeline.spec.model import ForeignKey, Pair

Name = tuple[str, str]
"""Schema and name of a table."""


@dataclass(frozen=True)
class _Rule:
    """One rule of the old table: rows for which `broken` is true are refused."""

    code: str
    name: str
    broken: sql.Composable
    remedy: str


def find(subject: Subject) -> Iterator[Hazard]:
    """Look at the rows of every pair that would be copied back."""
    for state in subject.look.in_state(*TO_ROLL_BACK):
        read = [r for r in (state.at_new_name, state.superseded) if r is not None]
        # else every number below would be of the visible rows only, or there would be none
        if not any(r.hides_rows or not r.is_owner for r in read):
            yield from of_pair(subject, state)


def of_pair(subject: Subject, state: PairState) -> Iterator[Hazard]:
    """Look at the rows of one pair."""
    found: list[Hazard] = []
    pair = state.pair
    coming = {(subject.migration.schema, s.pair.old): s for s in subject.look.in_state(*TO_ROLL_BACK)}
    targets = {k.references: coming[k.references] for k in pair.old_ddl.foreign_keys if k.references in coming}
    files = {p.old: p.old_ddl for p in (pair, *(s.pair for s in targets.values()))}
    try:
        with scratch_tables(subject.session, subject.migration, files, "indexes") as made:
            old = made[pair.old]
            found += of_columns(subject.session, state, old)
            found += _not_unique(subject.session, pair, {t: made[s.pair.old] for t, s in targets.items()})
            if not any(h.facts.get("unreadable") for h in found):
                found += _rows(subject.session, state, old, targets)
    except DatabaseError as error:
        found.append(
            Hazard(
                "type_mismatch",
                f"The rows of {pair.new} can't be read as rows of {pair.old}: {error.found}",
                f"Mend {pair.old_ddl.path}, the expressions in migration.yaml, or the value that the server names.",
                pair.old,
            )
        )
    yield from found


def of_columns(session: Session, state: PairState, old: Relation) -> Iterator[Hazard]:
    """Look at columns and types of every live table of a pair, on their way into `old`."""
    new = back_way(session, state.pair, old, state.new_table)
    ways, filled = [new], frozenset[str]()
    if state.superseded:
        ways.append(superseded_way(session, state.pair, old, state.superseded))
        filled = frozenset(n for w in ways for n in w.mapping.expressions)
    for way in ways:
        yield from columns_.of_way(session, way, filled=filled)
    for way in ways:
        yield from types.of_way(session, way)


def _not_unique(session: Session, pair: Pair, targets: Mapping[Name, Relation]) -> Iterator[Hazard]:
    """A key to an old table that comes back with this one, or to this one: what is unique there says its file."""
    for key in (k for k in pair.old_ddl.foreign_keys if k.references in targets):
        oid = targets[key.references].oid
        if sorted(key.target_columns) not in [
            sorted(r.columns) for r in session.all(engine("unique_column_sets"), {"oid": oid})
        ]:
            name = f"{'.'.join(key.references)}({', '.join(key.target_columns)})"
            yield Hazard(
                "missing_reference",
                f"{name}, which {key.name} refers to, is not unique in its file.",
                "Add the unique constraint to the file, or mend the foreign key.",
                pair.old,
            )


def _rows(session: Session, state: PairState, old: Relation, targets: Mapping[Name, PairState]) -> Iterator[Hazard]:
    pair = state.pair
    source = back_source(session, pair, old, state.new_table, state.superseded)
    wanted = {c.name: c for c in catalog.with_expressions(session, old.oid, catalog.columns(session, old.oid))}
    whole = completed(source, wanted.values())
    # fails at once where a type can't be assigned; copies nothing
    session.execute(
        engine("copy_nothing", target=ident(old.schema, old.name), columns=columns(source.columns), source=source.query)
    )
    rules = [
        *_not_null_rules(source, wanted),
        *_check_rules(session, old, whole),
        *_reference_rules(session, pair, source, targets),
    ]
    for rule, count in zip(rules, tally(session, whole.query, [r.broken for r in rules]), strict=True):
        if count:
            yield _broken(session, pair, whole, rule, count)
    yield from _uniqueness(session, pair, whole, old)
    yield from exclusion.find(session, pair, whole, old)
    if state.superseded:
        yield from _conflicts(session, state, old)


def completed(source: Source, wanted: Iterable[Column]) -> Source:
    """Return rows with what the table itself adds: plain defaults, NULL, and generated columns made from these.

    What only the insert itself will know (a sequence, the time) is no column of the rows, nor what is made from it.
    """
    without = [c for c in wanted if c.name not in source.columns]
    added = {c.name: _added(c) for c in without if not c.generated}
    made = {c.name: text(f"({c.expression})") for c in without if c.generated and c.expression}
    if None in added.values():
        made = {}
    query, columns_ = source.query, list(source.columns)
    for block, place, given in (
        ("with_defaults", "defaults", {n: e for n, e in added.items() if e is not None}),
        ("with_generated", "generated", made),
    ):
        if given:
            listed = comma(sql.SQL("{} AS {}").format(e, ident(n)) for n, e in given.items())
            query = engine(block, source=query, **{place: listed})
            columns_ += given
    return replace(source, query=query, columns=tuple(columns_))


def _added(column: Column) -> sql.Composable | None:
    """Return what a column holds that nothing fills; None where only the insert itself knows it."""
    if column.has_default and constant(column) is None:
        return None
    return sql.SQL("CAST({} AS {})").format(constant(column) or sql.SQL("NULL"), text(column.base_type))


def _broken(session: Session, pair: Pair, source: Source, rule: _Rule, count: int) -> Hazard:
    keys = sample_keys(session, pair.key, source.query, rule.broken)
    shown = ", ".join(str(k) for k in keys)
    return Hazard(
        rule.code,
        f"{counted(count, 'row')} of {pair.new} break{'s' if count == 1 else ''} {rule.name} of {pair.old}, for example {shown}.",
        rule.remedy,
        pair.old,
        {"rule": rule.name, "rows": count, "keys": keys, "since": _since(session, pair, source, rule)},
    )


def _since(session: Session, pair: Pair, source: Source, rule: _Rule) -> str | None:
    """When the first of these rows was changed last: a rollback has not been possible at least since then."""
    if pair.changed_at is None or pair.changed_at not in source.columns:
        return None
    column = ident("source", pair.changed_at)
    earliest = session.scalar(engine("earliest", column=column, source=source.query, broken=rule.broken))
    return str(earliest) if earliest is not None else None


def _not_null_rules(source: Source, wanted: dict[str, Column]) -> Iterator[_Rule]:
    for name in source.columns:
        if wanted[name].not_null:
            yield _Rule(
                "violates_not_null",
                f"NOT NULL of {name}",
                absent(ident("source", name)),
                "Give these rows a value, or an expression with a default in migration.yaml (back).",
            )


def _check_rules(session: Session, old: Relation, source: Source) -> Iterator[_Rule]:
    for row in session.all(engine("constraints"), {"oid": old.oid}):
        if row.kind == "c" and set(row.reads) <= set(source.columns):
            yield _Rule(
                "violates_check",
                f"CHECK {row.name}",
                sql.SQL("({}) IS FALSE").format(text(row.expression)),
                "Correct these rows in the new table first; the old table would refuse them.",
            )


def _reference_rules(
    session: Session, pair: Pair, source: Source, targets: Mapping[Name, PairState]
) -> Iterator[_Rule]:
    there = catalog.relations(session, {k.references for k in pair.old_ddl.foreign_keys})
    for key in pair.old_ddl.foreign_keys:
        if key.references in targets:
            yield from _between_rules(session, key, source, targets[key.references])
            continue
        referred = there.get(key.references)
        if referred is None or referred.hides_rows or not set(key.columns) <= set(source.columns):
            continue  # reported as missing_reference, as rls_hides_rows or as a column that nothing fills
        if not session.one(engine("privileges_on"), {"oid": referred.oid}).may_select:
            continue
        broken = refers_to_nothing(
            "source", key.columns, ident(*key.references), key.target_columns, referred.own_equality
        )
        yield _reference_rule(key, broken)


def _reference_rule(key: ForeignKey, broken: sql.Composable) -> _Rule:
    remedy = f"Correct these rows, or restore the rows of {'.'.join(key.references)} that they refer to."
    return _Rule("violates_foreign_key", f"foreign key {key.name}", broken, remedy)


def _between_rules(session: Session, key: ForeignKey, source: Source, target: PairState) -> Iterator[_Rule]:
    """A key to a table that comes back, too: a row that any of its live tables has will be there."""
    if not set(key.columns) <= set(source.columns):
        return
    for live in target.live_tables:
        if not set(key.target_columns) <= {c.name for c in catalog.columns(session, live.oid)}:
            return  # filled by an expression: the key itself will tell
    nothing = [
        refers_to_nothing("source", key.columns, ident(r.schema, r.name), key.target_columns, r.own_equality)
        for r in target.live_tables
    ]
    yield _reference_rule(key, sql.SQL("({})").format(sql.SQL(" AND ").join(nothing)))


# --- uniqueness and conflicts ----------------------------------------------------------------------------------


def _uniqueness(session: Session, pair: Pair, source: Source, old: Relation) -> Iterator[Hazard]:
    total = tally(session, source.query, [text("true")])[0] if pair.single_row else 0
    if total > 1:
        keys = sample_keys(session, pair.key, source.query, text("true"))
        yield Hazard(
            "more_than_one_row",
            f"{pair.old} may hold one row, and there are {total}: {', '.join(str(k) for k in keys)}.",
            "Decide which one is right and delete the others.",
            pair.old,
            {"rows": total, "keys": keys},
        )
    for row in session.all(engine("constraints"), {"oid": old.oid}):
        if row.kind == "c" or (pair.single_row and [c.strip("()") for c in row.columns] == ["true"]):
            continue
        if not set(row.reads) <= set(source.columns):
            continue  # what the insert itself will fill
        yield from _duplicates(session, pair, source, row)


def _duplicates(session: Session, pair: Pair, source: Source, row: Any) -> Iterator[Hazard]:
    """One unique constraint or index; `row` is the catalog's: expressions of an index, its predicate, its NULLs."""
    aliases = [f"aicfg_part_{i}" for i in range(len(row.columns))]
    values = [text(p) if row.kind == "i" else ident(p) for p in row.columns]
    filled = present(*map(ident, aliases))
    rows = (
        source.query if row.predicate is None else engine("rows_where", source=source.query, broken=text(row.predicate))
    )
    given = {
        "expressions": comma(sql.SQL("{} AS {}").format(v, ident(a)) for v, a in zip(values, aliases, strict=True)),
        "names": columns(aliases),
        "not_null": text("true") if row.nulls_are_equal else filled,
        "source": rows,
    }
    found = session.one(engine("duplicates", **given))
    if found.groups:
        keys = session.all(engine("duplicate_keys", keys=columns(pair.key), **given))
        yield Hazard(
            "violates_unique",
            f"{found.groups:,} values of {row.name} occur more than once, for example in"
            f" {', '.join(str(r.key) for r in keys)}.",
            "Make them unique in the new table first; the old table would refuse them.",
            pair.old,
            {"rule": row.name, "groups": found.groups, "keys": [r.key for r in keys]},
        )


def _conflicts(session: Session, state: PairState, old: Relation) -> Iterator[Hazard]:
    """Both tables are there: what the merge would do, by kind."""
    pair, superseded = state.pair, state.superseded
    assert superseded is not None
    new_rows = back_way(session, pair, old, state.new_table).rows
    old_rows = superseded_way(session, pair, old, superseded).rows
    both = [c for c in new_rows.columns if c in old_rows.columns]
    key = pair.key[0]
    later, earlier = ident("older", pair.changed_at or key), ident("newer", pair.changed_at or key)
    by_time = pair.changed_at in both
    rows = session.all(
        engine(
            "merge_kinds",
            old_absent=absent(ident("older", key)),
            new_absent=absent(ident("newer", key)),
            new_columns=columns(both, "newer"),
            old_columns=columns(both, "older"),
            old_is_later=engine("later_than", left=later, right=earlier) if by_time else text("false"),
            new_is_later=engine("later_than", left=earlier, right=later) if by_time else text("true"),
            any_keys=comma(sql.SQL("coalesce({}, {})").format(ident("newer", k), ident("older", k)) for k in pair.key),
            new_rows=new_rows.query,
            old_rows=old_rows.query,
            keys_equal=keys_equal(pair.key, "newer", "older"),
        )
    )
    kinds = {r.kind: r.rows for r in rows}
    told = "; ".join(f"{_KINDS[r.kind]}: {r.rows:,} (for example {r.sample[0]})" for r in rows)
    if set(kinds) - {"same"}:
        yield Hazard(
            "coexisting_conflict",
            f"{pair.old} still stands beside {pair.new}, and they differ. {told}.",
            "Accept it to have them merged by key: the later version of a row wins, a row of one side is kept, and the"
            " superseded old table is parked, not dropped.",
            pair.old,
            {"kinds": kinds, "samples": {r.kind: list(r.sample) for r in rows}},
        )


_KINDS = {
    "only_in_new": "only in the new table, kept",
    "only_in_old": "only in the old table, kept",
    "same": "the same in both",
    "old_is_later": "the old table's version is later and wins",
    "new_is_later": "the new table's version is later and wins",
    "same_time": "changed at the same time, the new table's version wins",
}
