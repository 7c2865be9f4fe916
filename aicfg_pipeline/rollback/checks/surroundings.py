"""What is around a table and decides who sees and does what with it: functions, roles, other ways to its rows.

Before a cut-over this is remembered in the ledger (`remember`); afterwards the checks here compare it with what is there.
Privileges and policies of the table itself are `security`'s, the new table itself is `kept`'s.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import wraps
from typing import Any

from aicfg_pipeline.postgres.catalog import Relation
from aicfg_pipeline.postgres.session import Session
from aicfg_pipeline.postgres.statements import engine
from aicfg_pipeline.postgres.wording import counted
from aicfg_pipeline.rollback.checks.check import Severity, Verdict, check, failed, not_applicable, nothing_yet, passed
from aicfg_pipeline.rollback.checks.facts import CatalogFacts, as_facts, as_plain, differences, from_plain, told
from aicfg_pipeline.rollback.checks.inspection import Inspection, restored
from aicfg_pipeline.rollback.checks.security import watched_roles
from aicfg_pipeline.rollback.state import UNDOABLE, PairState, State
from aicfg_pipeline.spec.ddl import trigger_functions
from aicfg_pipeline.spec.model import PRIVATE_SCHEMA, Migration, Pair, is_private

FACT = "remembered"
"""Under this name the ledger's row of a cut-over has what was around the tables before it."""

Before = Mapping[str, Any]
"""That, as the ledger has it."""

KEPT_BY_REPLACING = ("owner", "who may call it")
"""What CREATE OR REPLACE FUNCTION leaves as it was. What it replaces is `structure`'s to compare, with the file."""


def remember(session: Session, migration: Migration, state: PairState) -> dict[str, Any]:
    """Return what is around a pair's tables, as plain values. Asks for no lock on them, and belongs outside the swap."""
    pair, new = state.pair, state.new_table
    made = [r for r in (state.shadow, new) if r is not None]
    with session.transaction(snapshot=True, read_only=True):
        calls = called(session, [r.oid for r in made])
        log = function_facts(session, named(session, [(session.private_schema, pair.change_log)]))
        facts = {
            "new_oid": new.oid,
            "functions": as_plain(calls | log | _replaced(session, migration, pair, new.owner)),
            "roles": as_plain(role_facts(session, migration, made)),
            "readers": as_plain(reader_facts(session, pair, new)),
            "sequences": as_plain(sequence_facts(session, state.shadow or new)),
        }
    return facts


def _replaced(session: Session, migration: Migration, pair: Pair, owner: str) -> CatalogFacts:
    """Read what the swap leaves of functions that the file's triggers replace, or gives those that are not there yet."""
    functions = [f for f, _ in trigger_functions(pair, migration.schema)]
    given = {"schemas": [s for s, _ in functions], "names": [n for _, n in functions], "owner": owner}
    there = function_facts(session, named(session, functions)) | as_facts(
        session.all(engine("functions_to_come"), given)
    )
    return {(name, aspect): value for (name, aspect), value in there.items() if aspect in KEPT_BY_REPLACING}


# --- reading ---------------------------------------------------------------------------------------------------


def called(session: Session, oids: Sequence[int]) -> CatalogFacts:
    """Read the facts of every function that these tables' policies, triggers and expressions call."""
    found = [r.oid for r in session.all(engine("called_functions"), {"oids": list(oids)})]
    return function_facts(session, found)


def named(session: Session, functions: Iterable[tuple[str, str]]) -> list[int]:
    """Return those of these functions without arguments that exist."""
    names = list(functions)
    given = {"schemas": [s for s, _ in names], "names": [n for _, n in names]}
    return [r.oid for r in session.all(engine("functions_named"), given)]


def function_facts(session: Session, oids: Sequence[int]) -> CatalogFacts:
    """Read what functions do and for whom."""
    return as_facts(session.all(engine("function_surroundings"), {"oids": list(oids)}))


def role_facts(session: Session, migration: Migration, tables: Sequence[Relation]) -> CatalogFacts:
    """Read what the roles may that policies, grants and personas name, and who is a member of them."""
    given = {"roles": watched_roles(migration), "oids": [t.oid for t in tables]}
    return as_facts(session.all(engine("role_facts"), given))


def reader_facts(session: Session, pair: Pair, table: Relation) -> CatalogFacts:
    """Read which views and functions show a table's rows to others, past its row level security."""
    patterns = [rf"\m{re.escape(name)}\M" for name in (pair.old, pair.new)]
    return as_facts(session.all(engine("readers"), {"oids": [table.oid], "patterns": patterns}))


def sequence_facts(session: Session, table: Relation) -> CatalogFacts:
    """Read whose the sequences of a table's columns are, and who may draw numbers."""
    return as_facts(session.all(engine("sequence_surroundings"), {"oid": table.oid}))


# --- the checks ------------------------------------------------------------------------------------------------


def remembered(inspection: Inspection, pair: Pair) -> Mapping[str, Any] | None:
    """Return what was remembered before the last cut-over, or None."""
    swap = inspection.ledger.last("cut_over", pair=pair.old, outcome="done")
    return swap.facts.get(FACT) if swap else None


def severity(inspection: Inspection, pair: Pair) -> Severity:
    """After the drop the old table is in ordinary use: what changes around it then is told and stops nothing."""
    return "ERROR" if inspection.state(pair).state in UNDOABLE else "WARN"


def of_private_functions(session: Session) -> str:
    """Return how facts of functions in the private schema begin."""
    return f"function {session.private_schema}."


NOT_REMEMBERED = "What was around the table before was not remembered, so there is nothing to compare with."


def judged(
    inspection: Inspection, pair: Pair, expected: CatalogFacts, found: CatalogFacts, what: str, *, aside: Any = None
) -> Verdict:
    """Return the verdict of a comparison of what is around the table with what was before."""
    lines = differences(expected, found)
    facts = {"facts_compared": len(expected.keys() | found.keys()), "differences": lines, **(aside or {})}
    if lines:
        return failed(
            f"{what} are not what they were at the cut-over: {told(lines)}.", facts, severity=severity(inspection, pair)
        )
    if not expected:
        return not_applicable(f"There were no {what[0].lower()}{what[1:]}.", facts)
    return passed(f"{what} are what they were at the cut-over ({counted(facts['facts_compared'], 'fact')}).", facts)


def with_before(
    judge: Callable[[Inspection, Pair, Relation, Before], Verdict],
) -> Callable[[Inspection, Pair], Verdict]:
    """Make a check of a restored table and what was remembered before its cut-over; without either it does not apply."""

    @wraps(judge)
    def judged_if_there(inspection: Inspection, pair: Pair) -> Verdict:
        table, before = restored(inspection, pair), remembered(inspection, pair)
        if table is None:
            return nothing_yet(inspection, pair)
        return not_applicable(NOT_REMEMBERED) if before is None else judge(inspection, pair, table, before)

    return judged_if_there


@check("functions")
@with_before
def functions(inspection: Inspection, pair: Pair, table: Relation, before: Before) -> Verdict:
    """Functions that policies, triggers and expressions call are what they were: text, owner, who may call them."""
    expected = from_plain(before["functions"])
    if inspection.state(pair).state != State.CUT_OVER:  # the change log's function is gone with the drop
        log = of_private_functions(inspection.session)
        expected = {k: v for k, v in expected.items() if not k[0].startswith(log)}
    made = [f for f, _ in trigger_functions(pair, inspection.migration.schema)]
    with inspection.session.transaction(read_only=True):
        found = _again(inspection.session, expected)
        mine = function_facts(inspection.session, named(inspection.session, made))
    for (name, aspect), value in mine.items():
        if aspect == "owner" and value == table.owner:  # whoever ran the cut-over: the table's owner is as good
            expected[name, aspect] = value
    return judged(inspection, pair, expected, found, "Functions that policies and triggers call")


def _again(session: Session, expected: CatalogFacts) -> CatalogFacts:
    """Read the same facts of the same functions as they are now."""
    signatures = list(dict.fromkeys(name.removeprefix("function ") for name, _ in expected))
    there = [r.oid for r in session.all(engine("functions_by_signature"), {"signatures": signatures})]
    partly = {name for name, _ in expected if (name, "body") not in expected}
    found = function_facts(session, there)
    return {k: v for k, v in found.items() if k[0] not in partly or k in expected}


@check("roles")
@with_before
def roles(inspection: Inspection, pair: Pair, table: Relation, before: Before) -> Verdict:
    """The roles that policies, grants and personas name may what they might, and have the members that they had."""
    expected = from_plain(before["roles"])
    with inspection.session.transaction(read_only=True):
        found = role_facts(inspection.session, inspection.migration, [table])
    known = {name for name, _ in expected}
    found = {k: v for k, v in found.items() if k[0] in known}  # a role more is the grants' and policies' to report
    expected = {k: v for k, v in expected.items() if k[0] in {name for name, _ in found}}
    return judged(inspection, pair, expected, found, "Roles and their members")


@check("readers")
def readers(inspection: Inspection, pair: Pair) -> Verdict:
    """No view or function shows the table's rows to others, past row level security, that did not do so before."""
    table, before = restored(inspection, pair), remembered(inspection, pair)
    if table is None:
        return nothing_yet(inspection, pair)
    with inspection.session.transaction(read_only=True):
        if not inspection.session.scalar(engine("row_level_security_is_on"), {"oid": table.oid}):
            return not_applicable("The table has no row level security to go past.")
        found = reader_facts(inspection.session, pair, table)
    if before is None:
        return not_applicable(NOT_REMEMBERED)
    expected = from_plain(before["readers"])
    more = [line for line in differences(expected, found) if line["found"] != "nothing" and not _parked(line["what"])]
    facts = {"readers": as_plain(found), "differences": more}
    if more:
        names = "; ".join(f"{line['what']} ({line['found']})" for line in more[:3])
        return failed(
            f"Rows can be read past row level security in a way that was not there before: {names}.",
            facts,
            severity=severity(inspection, pair),
        )
    return passed(
        f"No view and no SECURITY DEFINER function shows the rows to others that did not before ({len(as_plain(found))} do).",
        facts,
    )


def _parked(reader: str) -> bool:
    """Say whether it is the view of a table that was renamed in place: parked where nobody but us may go."""
    return is_private(reader.removeprefix("view ").split(".")[0])


@check("sequences")
@with_before
def sequences(inspection: Inspection, pair: Pair, table: Relation, before: Before) -> Verdict:
    """The sequences of the table's columns belong to whom they did, and the same roles may draw numbers."""
    with inspection.session.transaction(read_only=True):
        found = sequence_facts(inspection.session, table)
    return judged(inspection, pair, from_plain(before["sequences"]), found, "Sequences of the table's columns")


@check("private_schema")
def private_schema(inspection: Inspection, pair: Pair) -> Verdict:
    """Nobody but the pipeline's own role may use the private schema, the ledger, the change logs and their functions."""
    given = {"logs": [p.change_log for p in inspection.migration.pairs]}
    with inspection.session.transaction(read_only=True):
        others = inspection.session.all(engine("others_in_private_schema"), given)
        owners = {r.what: r.owner for r in inspection.session.all(engine("owners_in_private_schema"), given)}
    if not owners:
        return not_applicable("There is no private schema.")
    mine = owners.get(f"{PRIVATE_SCHEMA}.ledger", next(iter(owners.values())))
    wrong = [
        *(f"{r.who} may {r.privileges} on {r.what}" for r in others),
        *(f"{what} belongs to {owner} and not to {mine}" for what, owner in owners.items() if owner != mine),
    ]
    facts = {"found": wrong, "owner": mine}
    schemas = [what for what in owners if what.startswith("the schema ")]
    closed = all(owners[s] == mine for s in schemas) and not any(r.what in schemas for r in others)
    if wrong and closed and set(owners.values()) == {mine}:
        told = f"The private schema is closed, but what is in it is granted to others: {'; '.join(wrong)}."
        return failed(told, facts, severity="WARN")
    if wrong:
        return failed(f"The private schema is open to others: {'; '.join(wrong)}.", facts)
    return passed(f"Only {mine} may use the private schema and what is in it.", facts)
