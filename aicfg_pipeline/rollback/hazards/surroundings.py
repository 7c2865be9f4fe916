"""Hazards around the tables: something is missing or not ours, rows are hidden, others depend on the new tables."""

from __future__ import annotations

import re
from collections.abc import Iterator

from aicfg_pipeline.postgres import catalog
from aicfg_pipeline.postgres.session import Session
from aicfg_pipeline.postgres.statements import engine, ident
from aicfg_pipeline.rollback.hazards import along, beside, rights
from aicfg_pipeline.rollback.hazards.hazard import Hazard, Subject
from aicfg_pipeline.rollback.state import TO_ROLL_BACK, PairState, State
from aicfg_pipeline.rollback.tables.dependents import find_dependents
from aicfg_pipeline.spec.ddl import trigger_names
from aicfg_pipeline.spec.model import ForeignKey


def find(subject: Subject) -> Iterator[Hazard]:
    """Look at what is around the tables."""
    yield from _missing_tables(subject)
    functions = rights.functions_in_reach(subject)
    yield from _missing_requirements(subject, functions)
    yield from rights.find(subject, functions)
    yield from _open_schemas(subject)
    for state in subject.look.in_state(*TO_ROLL_BACK):
        yield from _owner(subject.session, state)
        yield from _shape(subject.session, state)
        yield from _hidden_rows(subject.session, state)
        yield from _references(subject, state)
        yield from _bypass(subject.session, state)
        if state.kept_aside and state.kept_aside.is_table:
            yield Hazard(
                "old_table_kept_aside",
                f"{state.kept_aside} is there, perhaps the old table under another name. It is left alone.",
                "Look at it after the rollback; nothing of this pipeline reads or writes it.",
                state.pair.old,
            )
    yield from _dependents(subject)


def _missing_tables(subject: Subject) -> Iterator[Hazard]:
    again = list(beside.find(subject))
    yield from again
    for state in subject.look.in_state(State.MISSING):
        if state.pair.old in {h.pair for h in again}:
            continue
        yield Hazard(
            "missing_table",
            f"{state.pair.new} is not there and {state.pair.old} is no table: {state.because}.",
            "Restore the new table (or the old one) from a backup, or point AICFG_DATABASE_URL at the right database.",
            state.pair.old,
        )


def _missing_requirements(subject: Subject, functions: list[str]) -> Iterator[Hazard]:
    session, migration = subject.session, subject.migration
    for (role,) in session.all(engine("missing_roles"), {"roles": list(migration.required_roles)}):
        yield Hazard(
            "missing_role",
            f"The role {role} does not exist.",
            "Create it (on Supabase it is always there: is this the right server?).",
        )
    there = catalog.relations(session, migration.required_tables)
    for schema, table in migration.required_tables:
        if (schema, table) not in there:
            yield Hazard("missing_reference", f"The table {schema}.{table} does not exist.", "Create or restore it.")
    for (function,) in session.all(engine("missing_functions"), {"functions": functions}):
        yield Hazard("missing_reference", f"The function {function} does not exist.", "Create or restore it.")


def _open_schemas(subject: Subject) -> Iterator[Hazard]:
    """What others put there, the migration's own expressions may call: they run as this role."""
    relations = (r for s in subject.look.pairs for r in (s.at_old_name, s.at_new_name) if r is not None)
    schemas, owners = [subject.migration.schema, "extensions"], sorted({r.owner for r in relations})
    for found in subject.session.all(engine("open_schemas"), {"schemas": schemas, "owners": owners}):
        yield Hazard(
            "open_schema",
            f"Others may create functions and operators in the schema {found.schema}: {', '.join(found.roles)}. Whoever finds"
            " one there runs it: a default, a check, a trigger, an expression of the migration. All of these run as this role.",
            f"REVOKE CREATE ON SCHEMA {found.schema} FROM {', '.join(found.roles)};",
            facts={"schema": found.schema, "roles": found.roles},
        )


def _shape(session: Session, state: PairState) -> Iterator[Hazard]:
    """A table that is not one table: moving it between schemas would move only a part of it."""
    for relation in (state.at_new_name, state.superseded):
        if relation is None:
            continue
        shape = session.one(engine("table_shape"), {"oid": relation.oid})
        if shape.kind == "p":
            found = (
                f"{relation} has the partitions {shape.names}" if shape.names else f"{relation} has no partition yet"
            )
        elif shape.children:
            found = f"{relation} has child tables whose rows show in it: {shape.names}"
        elif shape.persistence != "p":
            found = f"{relation} is not kept through a crash (unlogged or temporary)"
        else:
            continue
        yield Hazard(
            "unsupported_table",
            f"{found}. Only ordinary tables can be rolled back: a change log and a swap of schemas do not reach the"
            " parts.",
            "Bring the rows into one ordinary table first, or roll this pair back by hand.",
            state.pair.old,
            {"kind": shape.kind, "parts": shape.names},
        )


def _owner(session: Session, state: PairState) -> Iterator[Hazard]:
    for relation in (state.at_new_name, state.at_old_name):
        if relation is not None and not relation.is_owner:
            yield Hazard(
                "not_owner",
                f"{relation} belongs to {relation.owner}, and this role is not a member of it.",
                f"Connect as {relation.owner}, or: {rights.grant_owner(session, relation.owner)}",
                state.pair.old,
            )


def _hidden_rows(session: Session, state: PairState) -> Iterator[Hazard]:
    for relation in (state.at_new_name, state.superseded):
        if relation is not None and relation.hides_rows:
            yield Hazard(
                "rls_hides_rows",
                f"Row level security is active for this role on {relation}: it would copy only the rows it may see.",
                f"Connect as a role with BYPASSRLS (on Supabase: postgres), or: {rights.grant_bypass(session)}",
                state.pair.old,
            )
    referred = catalog.relations(session, {k.references for k in state.pair.old_ddl.foreign_keys})
    for relation in sorted(referred.values(), key=str):
        if relation.hides_rows:
            yield Hazard(
                "rls_hides_rows",
                f"Row level security is active for this role on {relation}, which {state.pair.old} refers to: whether"
                " every row still refers to something can't be told.",
                f"Connect as a role with BYPASSRLS (on Supabase: postgres), or: {rights.grant_bypass(session)}",
                state.pair.old,
            )


def _references(subject: Subject, state: PairState) -> Iterator[Hazard]:
    session, keys = subject.session, state.pair.old_ddl.foreign_keys
    coming = {(subject.migration.schema, s.pair.old) for s in subject.look.in_state(*TO_ROLL_BACK)}
    there = catalog.relations(session, {k.references for k in keys})
    for key in keys:
        if key.references in coming:  # an old table that comes back with this one: `rows` has made it
            continue
        relation = there.get(key.references)
        if relation is None:
            yield Hazard(
                "missing_reference",
                f"{'.'.join(key.references)}, which {key.name} refers to, does not exist.",
                "Create or restore it before the rollback.",
                state.pair.old,
            )
            continue
        yield from _reference_usable(session, state, key, relation.oid)


def _reference_usable(session: Session, state: PairState, key: ForeignKey, oid: int) -> Iterator[Hazard]:
    name = ".".join(key.references)
    have = session.one(engine("privileges_on"), {"oid": oid})
    if not (have.may_select and have.may_reference):
        yield Hazard(
            "missing_reference",
            f"This role may not SELECT from and REFERENCES {name}, which {key.name} needs.",
            rights.grant_reference(session, ident(*key.references)),
            state.pair.old,
        )
    unique = [sorted(r.columns) for r in session.all(engine("unique_column_sets"), {"oid": oid})]
    if sorted(key.target_columns) not in unique:
        yield Hazard(
            "missing_reference",
            f"{name}({', '.join(key.target_columns)}), which {key.name} refers to, is not unique or not there.",
            "Restore the referenced column and its unique constraint.",
            state.pair.old,
        )


def _bypass(session: Session, state: PairState) -> Iterator[Hazard]:
    view = state.at_old_name
    if view is None or not view.is_view:
        return
    found = session.one(engine("view_is_invoker"), {"view": view.oid, "table": state.new_table.oid})
    if found.protected and not found.invoker:
        yield Hazard(
            "view_bypasses_rls",
            f"{view} reads with its owner's rights: whoever may read the view passes by the row level security of"
            f" {state.pair.new}.",
            "The rollback ends this. Until then, on PostgreSQL 15 and later:"
            " ALTER VIEW … SET (security_invoker = true).",
            state.pair.old,
        )


_GOES_ON_READING = "refers to a new table or its view; after the cut-over it would go on reading the parked table."
_AFTERWARDS = "Point it at the old table after the rollback, or drop it before. To make it again: "


def _dependents(subject: Subject) -> Iterator[Hazard]:
    states = subject.look.in_state(*TO_ROLL_BACK)
    if not states:
        return
    oids = [r.oid for s in states for r in (s.at_old_name, s.at_new_name) if r is not None]
    patterns = [name_pattern(s.pair.new) for s in states]
    with subject.session.transaction(read_only=True) as session:  # an empty search path: every name is qualified
        for found in along.of_others(find_dependents(session, oids, patterns), [s.new_table for s in states]):
            yield _dependent(found.kind, found.name, _GOES_ON_READING, _AFTERWARDS, found.recreate)
        yield from _wide_publications(session, oids)
        yield from _other_triggers(session, states, oids)


def _dependent(kind: str, name: str, what: str, remedy: str, recreate: str) -> Hazard:
    return Hazard(
        "dependents",
        f"The {kind} {name} {what}",
        remedy + " ".join(str(recreate).split()),
        facts={"kind": kind, "name": name, "recreate": recreate},
    )


def name_pattern(table: str) -> str:
    """Return the regular expression that finds a table's name in a function's text, quoted or as it stands."""
    quoted = re.escape('"' + table.replace('"', '""') + '"')
    plain = rf"(?:^|[^\w$\"]){re.escape(table)}(?:$|[^\w$\"])"
    return f"(?:{quoted}|{plain})" if re.fullmatch(r"[^\W\d][\w$]*", table) else quoted


def _wide_publications(session: Session, oids: list[int]) -> Iterator[Hazard]:
    """A publication of the schema, or of everything, has the old table from the cut-over on, and not the new one."""
    for found in session.all(engine("wide_publications"), {"oids": oids}):
        scope = "of all tables" if found.all_tables else "of the whole schema"
        parked = " the parked table and this pipeline's own, too," if found.all_tables else ""
        yield _dependent(
            "publication",
            f"{found.name} {scope}",
            f"publishes {found.table}; from the cut-over on it publishes{parked} the old table under its old name.",
            "Tell the subscribers (they refresh their subscription). It needs no mending; as it was made: ",
            found.recreate,
        )


def _other_triggers(session: Session, states: tuple[PairState, ...], oids: list[int]) -> Iterator[Hazard]:
    known = [n for s in states for made in (s.pair.new_ddl, s.pair.old_ddl) for n in trigger_names(made)]
    for found in session.all(engine("other_triggers"), {"oids": oids, "known": known}):
        yield _dependent(
            "trigger",
            f"{found.name} on {found.table}",
            "is not made by the migration's files; it stays with the parked table and does not fire for the old one.",
            "Make it on the old table after the rollback if it is wanted there. On the new one it was: ",
            found.recreate,
        )
