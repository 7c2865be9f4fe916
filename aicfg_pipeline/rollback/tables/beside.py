"""What a renaming in place needs built before its swap, beside those who read and write: indexes, checks for a NOT NULL.

A run that was ended goes on from there: what is half built is taken away and built again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from psycopg import sql

from aicfg_pipeline.postgres.catalog import Relation
from aicfg_pipeline.postgres.session import Session
from aicfg_pipeline.postgres.statements import engine, ident
from aicfg_pipeline.rollback.run import Run, at_work, index_progress
from aicfg_pipeline.rollback.tables.change import Ahead
from aicfg_pipeline.rollback.work import Work, begun, carry_out
from aicfg_pipeline.spec.model import Pair

STEP = "build_beside"


def works(session: Session, pair: Pair, table: Relation, wanted: Sequence[Ahead]) -> Iterator[Work]:
    """Yield what builds what is not there yet, and takes away what can't be used."""
    there = left(session, table)
    usable = {(r.kind, r.name): r.said for r in there if r.usable}
    ready = [a for a in wanted if usable.get((a.kind, a.name)) == _said(a)]
    kept = {(a.kind, a.name) for a in ready}
    for row in there:
        if (row.kind, row.name) not in kept:
            yield taking_away(pair, table, row)
    for ahead in wanted:
        if ahead not in ready:
            yield from _building(pair, ident(table.schema, table.name), ahead)


def build(run: Run, pair: Pair, table: Relation, wanted: Sequence[Ahead]) -> list[str]:
    """Build what is missing. Returns the names of what was built."""
    done = list(works(run.session, pair, table, wanted))
    for work in done:
        _carried_out(run, pair, table, work)
    return [a.name for a in wanted] if done else []


def take_away(run: Run, pair: Pair, table: Relation) -> list[str]:
    """Take away all that was built for a swap that is given up. Returns its names."""
    there = left(run.session, table)
    for row in there:
        _carried_out(run, pair, table, taking_away(pair, table, row))
    return [r.name for r in there]


def left(session: Session, table: Relation) -> list[Any]:
    """Return what of ours is on a table, built for a swap that has not come."""
    return session.all(engine("half_built"), {"oid": table.oid})


def taking_away(pair: Pair, table: Relation, row: Any) -> Work:
    """Return what takes one such thing away."""
    does = "what was built for a swap goes"
    if row.kind == "index":
        off = engine("drop_index_beside", index=ident(table.schema, row.name))
        return Work(STEP, pair.old, does, then=[off], alone=True)
    place = {"table": ident(table.schema, table.name), "constraint": ident(row.name)}
    return Work(STEP, pair.old, does, then=[engine("drop_constraint", **place)], outcome="taken_away")


def _said(ahead: Ahead) -> str:
    return "" if ahead.kind == "check" else ("UNIQUE" if ahead.unique else "") + ahead.ending


def _building(pair: Pair, table: sql.Identifier, ahead: Ahead) -> Iterator[Work]:
    if ahead.kind == "index":
        block = "unique_index_beside" if ahead.unique else "index_beside"
        made = engine(block, index=ident(ahead.name), table=table, ending=sql.SQL(ahead.ending))
        yield Work(STEP, pair.old, "build an index beside those who read and write", then=[made], alone=True)
        return
    place = {"table": table, "constraint": ident(ahead.name)}
    check = engine("not_null_by_check", **place, column=ident(ahead.column))
    yield Work(STEP, pair.old, "what will prove the NOT NULL", then=[check], outcome="checked")
    valid = engine("validate_constraint", **place)
    yield Work(STEP, pair.old, "prove it for the rows that are there", then=[valid], outcome="validated")


def _carried_out(run: Run, pair: Pair, table: Relation, work: Work) -> None:
    if work.alone:
        with at_work(run, f"{pair.old}: {work.does}", index_progress(run)):
            carry_out(run.session, work.then)
        return

    def in_transaction() -> None:
        with begun(run, work) as session:
            carry_out(session, work.then)
            run.record(STEP, str(work.outcome), pair=pair.old)

    run.with_locks(in_transaction, what=f"{pair.old}: {work.does}", oids=[table.oid])
