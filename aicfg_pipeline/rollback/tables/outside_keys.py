"""Foreign keys of tables outside that refer to a pair's table: moved to the table that takes its place, both ways.

Each is made again as it was, `NOT VALID`, in the transaction of the swap, and validated later where it was valid. Whose
table it is and whether what it refers to has a counterpart decides whether that can be; if not, a hazard says why.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import sql

from aicfg_pipeline.errors import DatabaseError, GateError
from aicfg_pipeline.postgres.session import Session
from aicfg_pipeline.postgres.statements import engine, ident, text
from aicfg_pipeline.rollback.ledger import Ledger
from aicfg_pipeline.rollback.run import Run
from aicfg_pipeline.rollback.tables.counterparts import counterparts
from aicfg_pipeline.rollback.tables.foreign_keys import VIOLATED, last_swap
from aicfg_pipeline.rollback.tables.sources import Way
from aicfg_pipeline.rollback.work import Work, begun, carry_out
from aicfg_pipeline.spec.model import Pair

FACT = "outside_keys"
"""Under this name the ledger's row of a swap has the keys that were moved, as they were before it."""

UNENFORCED = ("NOT VALID", "NOT ENFORCED")


@dataclass(frozen=True)
class OutsideKey:
    """One key. `label` is its name as `dependents` has it; `why_not` says why it can't be made again elsewhere, or None."""

    pair: Pair
    name: str
    label: str
    schema: str
    table: str
    table_oid: int
    head: str
    ref_columns: tuple[str, ...]
    tail: str
    definition: str
    comment: str | None
    held: bool
    why_not: str | None
    to: sql.Composable

    @property
    def statements(self) -> list[sql.Composable]:
        """Return what takes the key off and puts it on again, on the table that takes the other's place."""
        table, constraint = ident(self.schema, self.table), ident(self.name)
        said = [] if self.comment is None else [sql.Literal(self.comment)]
        later = "" if self.tail.endswith(UNENFORCED) else " NOT VALID"
        definition = sql.SQL("{}{}{}").format(text(self.head), self.to, text(self.tail + later))
        return [
            engine("drop_constraint", table=table, constraint=constraint),
            engine("add_constraint", table=table, constraint=constraint, definition=definition),
            *(engine("comment_constraint", table=table, constraint=constraint, said=s) for s in said),
        ]

    @property
    def facts(self) -> dict[str, Any]:
        """What the ledger says of it."""
        table = [self.schema, self.table]
        return {"table": table, "name": self.name, "definition": self.definition, "held": self.held}

    def validating(self, step: str) -> Work:
        """Return what validates the key: it reads both tables, and nobody waits for that."""
        valid = engine("validate_constraint", table=ident(self.schema, self.table), constraint=ident(self.name))
        does = f"prove a foreign key of {self.schema}.{self.table} for the rows that are there"
        return Work(step, self.pair.old, does, then=[valid], outcome="validated")


def find_outside_keys(
    session: Session, book: Ledger, way: Way, place: tuple[str, str], ours: Sequence[int]
) -> list[OutsideKey]:
    """Return the keys of tables outside that refer to the way's source, as they will refer to its target.

    `place` is where the target will be when they are put on: schema and name. `ours` are the tables that go along.
    """
    same = counterparts(way)
    there = session.all(engine("outside_keys"), {"oids": [way.source.oid], "ours": list(ours)})
    unique = [list(r.columns) for r in session.all(engine("referable"), {"oid": way.target.oid})] if there else []
    owed = _owed(book, way.pair)
    found = []
    for row in there:
        columns = tuple(same.get(c, "") for c in row.ref_columns)
        found.append(
            OutsideKey(
                way.pair, row.name, row.label, row.schema, row.table, row.table_oid, row.head, columns, row.tail or "",
                row.definition, row.comment, row.validated or (row.schema, row.table, row.name) in owed,
                row.why_not or _unfit(row.ref_columns, columns, unique, way),
                sql.SQL("{}({})").format(ident(*place), sql.SQL(", ").join(ident(c) for c in columns)),
            )
        )  # fmt: skip
    return found


def _unfit(ref_columns: Sequence[str], columns: Sequence[str], unique: Sequence[list[str]], way: Way) -> str | None:
    """Say why the key could not refer to these columns of the target, or None."""
    without = [c for c, there in zip(ref_columns, columns, strict=True) if not there]
    if without:
        return f"{', '.join(without)} of {way.of} has no column of {way.to} with the same values and the same type"
    if sorted(columns) not in unique:
        return f"{', '.join(columns)} of {way.to} is not unique"
    return None


def _owed(book: Ledger, pair: Pair) -> set[tuple[str, str, str]]:
    """Return those keys that the last swap has moved and that were valid before it: they count as valid until validated."""
    swap = last_swap(book, pair)
    if swap is None:
        return set()
    done = {
        (*e.facts["of"], name)
        for e in book.entries
        if e.id > swap.id and e.pair == pair.old and e.outcome == "validated" and "of" in e.facts
        for name in e.facts["foreign_keys"]
    }
    return {(*k["table"], k["name"]) for k in swap.facts.get(FACT, ()) if k["held"]} - done


def locks(keys: Iterable[OutsideKey]) -> list[sql.Composable]:
    """Return what locks the tables of keys, each once, in the order of their numbers."""
    tables = {k.table_oid: ident(k.schema, k.table) for k in keys}
    return [engine("lock_outside", table=tables[oid]) for oid in sorted(tables)]


def facts(keys: Iterable[OutsideKey], pair: Pair) -> dict[str, Any]:
    """Return what the ledger's row of a swap says of the keys of one pair; nothing where there are none."""
    mine = [k.facts for k in keys if k.pair.old == pair.old]
    return {FACT: mine} if mine else {}


def must_be_the_same(planned: Sequence[OutsideKey], now: Sequence[OutsideKey]) -> None:
    """Raise `GateError` where keys have come, gone or changed since they were looked at."""
    before, after = ({(k.schema, k.table, k.name, k.definition) for k in keys} for keys in (planned, now))
    if before != after:
        named = sorted(f"{name} of {schema}.{table}" for schema, table, name, _ in before ^ after)
        raise GateError(
            f"Foreign keys that refer to the tables have changed since this run began: {', '.join(named)}. Nothing has changed.",
            remedy="Run the same job again: it looks anew.",
        )


def validate_all(run: Run, step: str, keys: Iterable[OutsideKey]) -> list[str]:
    """Validate keys that were valid before they were moved; return their names. Raises `GateError` where one does not hold."""
    done = []
    for key in (k for k in keys if k.held):
        work = key.validating(step)

        def validate(work: Work = work, key: OutsideKey = key) -> None:
            with begun(run, work) as session:
                carry_out(session, work.then)
                run.record(
                    step, "validated", pair=key.pair.old, facts={"foreign_keys": [key.name], "of": key.facts["table"]}
                )

        try:
            run.with_locks(validate, what=f"{key.table}: validating {key.name}", oids=[key.table_oid])
        except DatabaseError as error:
            if getattr(error, "sqlstate", None) != VIOLATED:
                raise
            raise GateError(
                f"Everything is kept and in use, but {key.schema}.{key.table} has rows that refer to nothing by {key.name}.",
                expected="every row to refer to one that is there; new writes are held to that already",
                remedy="Mend or delete these rows and run the same job again: it validates.",
            ) from error
        done.append(key.name)
    return done


def waiting(session: Session, book: Ledger, pair: Pair, oid: int, ours: Sequence[int]) -> list[OutsideKey]:
    """Return the keys on a table in use that a swap has moved there and that are still to be validated."""
    owed = _owed(book, pair)
    return [
        OutsideKey(
            pair, r.name, r.label, r.schema, r.table, r.table_oid, r.head, tuple(r.ref_columns), r.tail or "",
            r.definition, r.comment, True, r.why_not, text(""),
        )
        for r in session.all(engine("outside_keys"), {"oids": [oid], "ours": list(ours)})
        if not r.validated and (r.schema, r.table, r.name) in owed
    ]  # fmt: skip


def locks_ahead(session: Session, oids: Sequence[int]) -> list[sql.Composable]:
    """Return what locks the tables outside that refer to these ones and whose keys this role can move."""
    found = session.all(engine("outside_keys"), {"oids": list(oids), "ours": list(oids)})
    tables = {r.table_oid: ident(r.schema, r.table) for r in found if r.why_not is None}
    return [engine("lock_outside", table=tables[oid]) for oid in sorted(tables)]
