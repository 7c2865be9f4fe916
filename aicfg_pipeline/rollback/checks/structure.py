"""The check of structure: the restored table is made of what its DDL file makes, no more and no less.

What is expected is found by running the file in a scratch schema, in a transaction that is rolled back. Foreign keys
come from the file's text: making them would lock the tables they refer to. Row level security and grants are
`security`'s; whether the foreign keys hold is `references`'.
"""

from __future__ import annotations

from psycopg import sql

from aicfg_pipeline.postgres import catalog
from aicfg_pipeline.postgres.catalog import Relation
from aicfg_pipeline.postgres.session import Session
from aicfg_pipeline.postgres.statements import columns, engine, ident, private, text
from aicfg_pipeline.rollback.checks.check import Verdict, check, nothing_yet
from aicfg_pipeline.rollback.checks.facts import CatalogFacts, as_facts, compared
from aicfg_pipeline.rollback.checks.inspection import Inspection, restored
from aicfg_pipeline.rollback.state import State
from aicfg_pipeline.rollback.tables import change_log
from aicfg_pipeline.rollback.tables.publications import IDENTITY
from aicfg_pipeline.rollback.tables.sameness import as_declared
from aicfg_pipeline.rollback.tables.scratch import scratch_table
from aicfg_pipeline.spec.ddl import Function, function_name_tokens, trigger_functions
from aicfg_pipeline.spec.model import PRIVATE_SCHEMA, ForeignKey, Migration, Pair


@check("structure")
def structure(inspection: Inspection, pair: Pair) -> Verdict:
    """Columns, constraints, indexes, triggers, comments, owner and storage are as the DDL file makes them."""
    table = restored(inspection, pair)
    if table is None:
        return nothing_yet(inspection, pair)
    return _compared(inspection, pair, table)


def _compared(inspection: Inspection, pair: Pair, table: Relation) -> Verdict:
    ours = inspection.state(pair).state == State.CUT_OVER
    expected = expected_facts(inspection.session, inspection.migration, pair, ours=ours)
    functions = [name for name, _ in trigger_functions(pair, inspection.migration.schema)]
    with inspection.session.transaction(read_only=True, search_path=(inspection.migration.schema, "extensions")):
        found = table_facts(inspection.session, table, functions, ours=ours)
    owner = expected_owner(inspection, pair)
    if owner is not None:
        expected["table", "owner"], found["table", "owner"] = owner, table.owner
    expected |= _given_identity(inspection, pair)
    return compared(pair, expected, found, what="Columns, constraints, indexes and triggers")


def _given_identity(inspection: Inspection, pair: Pair) -> CatalogFacts:
    """Return the replica identity that the cut-over has brought along, where the file does not say one."""
    swap = inspection.ledger.last("cut_over", pair=pair.old, outcome="done")
    given = swap.facts.get(IDENTITY) if swap else None
    if not given:
        return {}
    kinds = {"f": "full", "n": "nothing", "i": "index"}
    facts = {("table", "replica identity"): kinds[given["kind"]]}
    return facts | ({(f"index {given['index']}", "replica identity"): "yes"} if given["kind"] == "i" else {})


def expected_owner(inspection: Inspection, pair: Pair) -> str | None:
    """Return who should own the old table: the parked table's owner, after the drop the ledger's, else nobody known.

    The ledger belongs to the role that rolled back, which made the table too. Where there is no ledger, nothing of
    ours has made the table, and its owner is as good as any.
    """
    state = inspection.state(pair)
    if state.state == State.CUT_OVER:
        return state.parked.owner
    if state.state == State.ROLLED_BACK:
        ledger = catalog.relations(inspection.session, [(PRIVATE_SCHEMA, "ledger")]).get((PRIVATE_SCHEMA, "ledger"))
        return ledger.owner if ledger else None
    return None


# --- what is there ---------------------------------------------------------------------------------------------


def table_facts(session: Session, table: Relation, functions: list[Function], *, ours: bool) -> CatalogFacts:
    """Read a table's facts; its schema has to be first in the search path. `ours` counts our triggers in."""
    ignored = [] if ours else list(change_log.TRIGGERS)
    facts = as_facts(session.all(engine("structure_facts"), {"oid": table.oid, "ignored_triggers": ignored}))
    facts |= as_facts(session.all(engine("structure_details"), {"oid": table.oid}))
    for key in found_keys(session, table):
        facts[f"foreign key {key.name}", "definition"] = str(key)
    for schema, name in functions:
        facts |= _function_facts(session, (schema, name), (schema, name))
    return facts


def found_keys(session: Session, table: Relation) -> list[ForeignKey]:
    """Return the foreign keys that a table has, in the form in which the DDL file's are read."""
    return [as_declared(r) for r in session.all(engine("foreign_key_facts"), {"oid": table.oid})]


def _function_facts(session: Session, function: Function, shown: Function) -> CatalogFacts:
    rows = session.all(engine("function_facts"), {"schema": function[0], "name": function[1]})
    return {(f"function {'.'.join(shown)}", r.aspect): r.value for r in rows if r.value is not None}


# --- what should be there --------------------------------------------------------------------------------------


def expected_facts(session: Session, migration: Migration, pair: Pair, *, ours: bool) -> CatalogFacts:
    """Find the facts by running the DDL file in a scratch schema."""
    with scratch_table(session, migration, pair.old_ddl, pair.old, "indexes", "comments") as table:
        functions = _make_triggers(session, migration, pair, table.schema)
        if ours:
            _make_our_triggers(session, pair, table)
        facts = table_facts(session, table, [], ours=ours) | functions
    for key in pair.old_ddl.foreign_keys:
        facts[f"foreign key {key.name}", "definition"] = str(key)
    return facts


def _make_triggers(session: Session, migration: Migration, pair: Pair, schema: str) -> CatalogFacts:
    """Run the block `triggers`; return the facts of the functions it makes.

    A function that is there is not replaced, because someone else may be replacing it just now: a copy is made in
    the scratch schema, read and dropped. The trigger must name the function by its own name, which therefore is made
    (and rolled back with the rest) only where it is missing.
    """
    made = {statement: function for function, statement in trigger_functions(pair, migration.schema)}
    facts: CatalogFacts = {}
    block = pair.old_ddl.blocks.get("triggers")
    for statement in block.statements if block else ():
        function = made.get(statement)
        if function is None:
            session.execute(text(statement))
            continue
        session.execute(_moved(statement, schema))
        facts |= _function_facts(session, (schema, function[1]), function)
        session.execute(engine("drop_log_function", function=ident(schema, function[1])))
        if not session.all(engine("function_facts"), {"schema": function[0], "name": function[1]}):
            session.execute(text(statement))
    return facts


def _make_our_triggers(session: Session, pair: Pair, table: Relation) -> None:
    log = private(pair.change_log)
    if not session.all(engine("function_facts"), {"schema": session.private_schema, "name": pair.change_log}):
        keys, old, new = columns(pair.key), columns(pair.key, "old"), columns(pair.key, "new")
        session.execute(engine("create_log_function", function=log, log=log, keys=keys, old_keys=old, new_keys=new))
    session.script(change_log.attach_statements(pair, ident(table.schema, table.name)))


def _moved(statement: str, schema: str) -> sql.Composable:
    """Return a CREATE FUNCTION with its name in another schema."""
    name = list(function_name_tokens(statement))
    start, rest = statement[: name[0].start], statement[name[-1].start :]
    return sql.SQL("{}{}.{}").format(text(start), ident(schema), text(rest))
