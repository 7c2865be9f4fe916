"""Foreign keys of tables that nobody uses for the moment: taken off, remembered in the ledger, put on again, validated.

A foreign key on a parked table would refuse the deletion of a user that only a parked row refers to. When to do what
is the steps' business.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from psycopg import sql

from aicfg_pipeline.errors import DatabaseError, LockTimeoutError
from aicfg_pipeline.postgres import catalog
from aicfg_pipeline.postgres.ahead import must_be_free
from aicfg_pipeline.postgres.catalog import Relation, TableForeignKey
from aicfg_pipeline.postgres.equality import Equality, present, same
from aicfg_pipeline.postgres.statements import engine, ident, text
from aicfg_pipeline.rollback import ledger
from aicfg_pipeline.rollback.ledger import Entry, Ledger
from aicfg_pipeline.rollback.run import Run
from aicfg_pipeline.rollback.work import Work, begun, carry_out
from aicfg_pipeline.spec.model import Pair, is_private

TAKEN_OFF = "foreign_key_taken_off"
VIOLATED = "23503"
CHECK_VIOLATED = "23514"

FEW_ATTEMPTS = 8
"""So often a parked table's foreign key is tried to be taken off at once; the run goes on without, and the next tries."""


def found(run: Run, relation: Relation) -> tuple[TableForeignKey, ...]:
    """Return the foreign keys of a table, their definitions with every name qualified."""
    with run.session.transaction(read_only=True):  # nothing but pg_catalog in the search path
        return catalog.foreign_keys(run.session, relation.oid)


def facts_of(key: TableForeignKey) -> dict[str, Any]:
    """Return a foreign key as plain values: enough to make it again and to look for what it refers to."""
    return {
        "name": key.name,
        "definition": key.definition,
        "columns": key.columns,
        "references": [key.ref_schema, key.ref_table],
        "ref_columns": key.ref_columns,
    }


def refers_to_nothing(
    row: str,
    columns: Sequence[str],
    target: sql.Identifier,
    target_columns: Sequence[str],
    own: Mapping[str, Equality],
) -> sql.Composable:
    """Return in SQL whether the row of alias `row` refers to nothing. Without a value it refers to nothing wrong.

    `own` are the equalities of the target's columns, as `catalog.Relation` has them.
    """
    return engine(
        "refers_to_nothing",
        filled=present(*(ident(row, c) for c in columns)),
        target=target,
        matches=sql.SQL(" AND ").join(
            same(ident("referred", t), ident(row, c), own.get(t)) for c, t in zip(columns, target_columns, strict=True)
        ),
    )


def take_off(
    run: Run, pair: Pair, relation: Relation, *, step: str = "settle", attempts: int | None = None
) -> list[str]:
    """Take all foreign keys off a table, each in a transaction of its own: each locks the table that it refers to.

    Nobody queues for that: readers and writers of that table would have to queue behind. One whose locks are not to be had
    is left for the others' sake. Returns the names of those taken off. Raises `LockTimeoutError` at the end if one is left.
    """
    removed: list[str] = []
    left: list[LockTimeoutError] = []
    owed = _still_owed(ledger.read(run.session, run.migration, there=True), pair, relation.name)
    for key in found(run, relation):
        facts = {"table": relation.name, **facts_of(key)}
        if key.name in owed:
            facts["definition"] = key.definition.removesuffix(" NOT VALID")
        taking = taking_off(step, pair, ident(relation.schema, relation.name), key.name)

        def work(taking: Work = taking, facts: dict[str, Any] = facts, ref_oid: int = key.ref_oid) -> None:
            must_be_free(run.session, [ref_oid])
            with begun(run, taking) as session:
                carry_out(session, taking.then)
                run.record(step, TAKEN_OFF, pair=pair.old, facts=facts)

        try:
            what = f"{relation.name}: foreign key {key.name}"
            run.with_locks(work, what=what, oids=[relation.oid, key.ref_oid], attempts=attempts)
        except LockTimeoutError as error:
            left.append(error)
        else:
            removed.append(key.name)
    if left:
        raise left[0]
    return removed


def taking_off(step: str, pair: Pair, table: sql.Identifier, name: str) -> Work:
    """Return what takes one foreign key off a table."""
    off = engine("drop_constraint", table=table, constraint=ident(name))
    does = "a foreign key of a table that nobody uses must not hold up those who use the table it refers to"
    return Work(step, pair.old, does, then=[off], search_path=("pg_catalog",), bystanders=True, outcome=TAKEN_OFF)


def validating(step: str, pair: Pair, table: sql.Identifier, name: str) -> Work:
    """Return what validates one foreign key: it reads the rows, and nobody waits for that."""
    valid = engine("validate_constraint", table=table, constraint=ident(name))
    return Work(step, pair.old, "prove a foreign key for the rows that are there", then=[valid], outcome="validated")


def last_swap(book: Ledger, pair: Pair) -> Entry | None:
    """Return the newest of a pair's cut-overs, undos and migrations, or None."""
    steps = ("cut_over", "undo", "migrate")
    return next(
        (e for e in reversed(book.entries) if e.pair == pair.old and e.step in steps and e.outcome == "done"), None
    )


def taken_off(book: Ledger, pair: Pair, parked: Relation) -> list[dict[str, Any]]:
    """Return what this rollback has taken off the parked table, as the ledger has it."""
    swap = last_swap(book, pair)
    since = swap.id if swap else 0
    entries = [e for e in book.entries if e.id > since and e.pair == pair.old and e.outcome == TAKEN_OFF]
    named = {e.facts["name"]: dict(e.facts) for e in entries if e.facts["table"] == parked.name}
    return list(named.values())


def is_between(facts: Mapping[str, Any]) -> bool:
    """Say whether a key refers to a parked table: it is put on after the replay, which would cascade through it."""
    return is_private(str(facts["references"][0]))


def held_before(facts: Mapping[str, Any]) -> bool:
    """Say whether a foreign key that was taken off had been proven for every row: only then does a row break it since."""
    return not str(facts["definition"]).endswith(("NOT VALID", "NOT ENFORCED"))


def to_be_validated(book: Ledger, pair: Pair, table: str) -> set[str]:
    """Return the names of those foreign keys that were valid when they were taken off; all others stay as they are."""
    entries = [e for e in book.entries if e.pair == pair.old and e.outcome == TAKEN_OFF and e.facts["table"] == table]
    latest = {str(e.facts["name"]): e.facts for e in entries}
    return {name for name, facts in latest.items() if held_before(facts)}


def _still_owed(book: Ledger, pair: Pair, table: str) -> set[str]:
    """Return the keys that an undo has put back and was ended before it validated them: they count as valid."""
    undone = book.last("undo", pair=pair.old, outcome="done")
    settled = book.last("undo", pair=pair.old, outcome="settled")
    ended_before = undone is not None and (settled is None or settled.id < undone.id)
    return to_be_validated(book, pair, table) if ended_before else set()


def put_on_statement(table: sql.Identifier, facts: dict[str, Any]) -> sql.Composed:
    """Return what makes a foreign key again without reading the table's rows."""
    definition = str(facts["definition"])
    later = " NOT VALID" if held_before(facts) else ""
    return engine("add_constraint", table=table, constraint=ident(facts["name"]), definition=text(definition + later))


def validate(run: Run, step: str, pair: Pair, relation: Relation, name: str) -> str | None:
    """Validate one foreign key; return what is wrong where rows refer to nothing."""
    validated = validating(step, pair, ident(relation.schema, relation.name), name)

    def work() -> None:
        with begun(run, validated) as session:
            carry_out(session, validated.then)
            run.record(step, "validated", pair=pair.old, facts={"foreign_keys": [name]})

    try:
        run.with_locks(work, what=f"{relation.name}: validating {name}", oids=[relation.oid])
    except DatabaseError as error:
        if getattr(error, "sqlstate", None) in (VIOLATED, CHECK_VIOLATED):
            return error.found
        raise
    return None
