"""Hazards of access: who may do less or more once the old table is back, with the statement that mends it.

What the old table will grant is found by making it from its file in a scratch schema and asking the server; what each
role may do today counts under either name, because the code that uses the new name goes back to the old one too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress

from psycopg import sql

from aicfg_pipeline.errors import DatabaseError
from aicfg_pipeline.postgres import catalog
from aicfg_pipeline.postgres.catalog import Relation
from aicfg_pipeline.postgres.session import Session
from aicfg_pipeline.postgres.statements import columns as listed
from aicfg_pipeline.postgres.statements import comma, engine, ident, text
from aicfg_pipeline.rollback import own
from aicfg_pipeline.rollback.hazards.hazard import Hazard, Subject
from aicfg_pipeline.rollback.state import TO_ROLL_BACK, PairState
from aicfg_pipeline.rollback.tables import access, grants
from aicfg_pipeline.rollback.tables.access import EVERYONE, GRANT_OPTION, Change, Doing
from aicfg_pipeline.rollback.tables.scratch import scratch_table
from aicfg_pipeline.spec.model import Migration, Pair

NO_SUCH_THING, NOT_ALLOWED = "42704", "42501"
_OLD, _NEW, _VIEW = "old name", "new name", "view"


def find(subject: Subject) -> Iterator[Hazard]:
    """Look at every pair that would be rolled back."""
    for state in subject.look.in_state(*TO_ROLL_BACK):
        if state.new_table.is_owner:
            yield from of_pair(subject.session, subject.migration, state)


def of_pair(session: Session, migration: Migration, state: PairState) -> list[Hazard]:
    """Return whose access changes at one pair. And tell whether the old table can be made as it was."""
    found: list[Hazard] = []
    scratch = scratch_table(session, migration, state.pair.old_ddl, state.pair.old)
    with suppress(DatabaseError), scratch as made:  # a table that can't be made is told by the hazards of the rows
        try:
            found = _changes(session, state, made)
        except DatabaseError as error:
            found = [_not_made(state.pair, error)]
            raise
    return found


def _not_made(pair: Pair, error: DatabaseError) -> Hazard:
    known = {NO_SUCH_THING: "missing_role", NOT_ALLOWED: "not_owner"}
    code = known.get(getattr(error, "sqlstate", ""), "access_changes")
    found = f"The privileges of {pair.old} can't be made, so nobody knows who may do what afterwards: {error.found}"
    return Hazard(
        code, found, f"Mend the block grants of {pair.old_ddl.path}, or connect as a role that may.", pair.old
    )


def _changes(session: Session, state: PairState, made: Relation) -> list[Hazard]:
    pair = state.pair
    before = may_today(session, state)
    owner = own.on_behalf_of(session, state.new_table.owner)
    session.script([*grants.given(owner, made.schema, made.name), own.close_to_others(made.schema, [made.name])])
    session.script(grants.own_grants(session, pair.old_ddl, made.schema, made, state.live_tables))
    after = access.through_table(access.access_matrix(session, {_OLD: made}), _OLD)
    columns = {c.name for c in catalog.columns(session, made.oid)}
    sequences = {s.column: s.name for s in session.all(engine("sequences_of"), {"oid": made.oid})}
    # what has no place in the old table is told by the hazards of the rows
    places = {"table": {""}, "column": columns, "sequence": set(sequences)}
    before = frozenset(d for d in before if d.part in places[d.kind])
    return [_hazard(session, pair, c, sequences) for c in access.changes(session, before, after)]


def may_today(session: Session, state: PairState) -> frozenset[Doing]:
    """Return what each role may do with the rows of a pair, through the old name or the new one."""
    at_old = state.at_old_name
    there = {_NEW: state.new_table, **({_OLD: at_old} if at_old else {})}
    matrix = access.access_matrix(session, there)
    found = access.through_table(matrix, _NEW)
    if at_old is None:
        return found
    if at_old.is_view:
        return found | access.through_view(session, matrix, at_old, _OLD, _NEW)
    return found | access.through_table(matrix, _OLD)


def lost_by_undo(session: Session, migration: Migration, state: PairState) -> list[Hazard]:
    """Return who may do something with the old table only since the cut-over, and would not under the new names.

    What the file itself grants was told by the rollback's plan, and goes as it came.
    """
    pair, view = state.pair, state.private_old
    given: frozenset[Doing] = frozenset()
    scratch = scratch_table(session, migration, pair.old_ddl, pair.old)
    with (
        suppress(DatabaseError),
        scratch as made,
    ):  # where the file can't be run any more, all that would be lost is told
        owner = own.on_behalf_of(session, state.old_table.owner)
        session.script([*grants.given(owner, made.schema, made.name), own.close_to_others(made.schema, [made.name])])
        session.script(grants.own_grants(session, pair.old_ddl, made.schema, made, [state.parked]))
        given = access.through_table(access.access_matrix(session, {_OLD: made}), _OLD)
    there = {_OLD: state.old_table, _NEW: state.parked, **({_VIEW: view} if view and view.is_view else {})}
    matrix = access.access_matrix(session, there)
    after = access.through_table(matrix, _NEW)
    if _VIEW in there and view is not None:
        after |= access.through_view(session, matrix, view, _VIEW, _NEW)
    columns = {c.name for c in catalog.columns(session, state.parked.oid)}
    sequences = {s.column: s.name for s in session.all(engine("sequences_of"), {"oid": state.parked.oid})}
    places = {"table": {""}, "column": columns, "sequence": set(sequences)}
    since = frozenset(d for d in access.through_table(matrix, _OLD) if d not in given and d.part in places[d.kind])
    lost = [c for c in access.changes(session, since, after) if c.lost]
    return [_lost_by_undo(session, pair, c, sequences) for c in lost]


def _lost_by_undo(session: Session, pair: Pair, change: Change, sequences: Mapping[str, str]) -> Hazard:
    who = "everyone (PUBLIC)" if change.role == EVERYONE else change.role
    names = [pair.new, pair.old] if pair.view_ddl else [pair.new]
    mends = [m.as_string(session.connection) for n in names for m in mending(pair, change, sequences, table=n)]
    return Hazard(
        "access_changes",
        f"{who} may {_in_words(change.doings)} on {pair.old} only since the rollback, and may not after the undo.",
        f"Accept it: the access is lost; or accept it and give it again after the undo: {' '.join(f'{m};' for m in mends)}",
        pair.old,
        {
            "role": "PUBLIC" if change.role == EVERYONE else change.role,
            "change": "narrowed",
            "members": list(change.members),
            "privileges": [[d.kind, d.part, d.privilege] for d in change.doings],
            "mend": [f"{m};" for m in mends],
        },
    )


# --- in words --------------------------------------------------------------------------------------------------


def _hazard(session: Session, pair: Pair, change: Change, sequences: Mapping[str, str]) -> Hazard:
    who = "everyone (PUBLIC)" if change.role == EVERYONE else change.role
    members = f" So for its members: {', '.join(change.members)}." if change.members and change.role != EVERYONE else ""
    what = _in_words(change.doings)
    mends = [f"{m.as_string(session.connection)};" for m in mending(pair, change, sequences)]
    if change.lost:
        found = (
            f"{who} may {what} today and may not after the rollback: {pair.old_ddl.path} does not grant it.{members}"
        )
        remedy = f"Add to the block grants of {pair.old_ddl.path}: {' '.join(mends)} Or accept it: the access is lost."
    else:
        found = f"{who} may {what} after the rollback and may not today: {pair.old_ddl.path} grants it.{members}"
        remedy = (
            f"Take it out of the block grants of {pair.old_ddl.path}, or add there: {' '.join(mends)}"
            " Or accept it: the access is given."
        )
    facts = {
        "role": "PUBLIC" if change.role == EVERYONE else change.role,
        "change": "narrowed" if change.lost else "widened",
        "members": list(change.members),
        "privileges": [[d.kind, d.part, d.privilege] for d in change.doings],
        "mend": mends,
    }
    return Hazard("access_changes", found, remedy, pair.old, facts)


def _in_words(doings: tuple[Doing, ...]) -> str:
    said = []
    for doing in doings:
        privilege = doing.privilege.replace(GRANT_OPTION, " (and grant it)")
        place = {"column": f" on column {doing.part}", "sequence": f" on the sequence of {doing.part}"}
        said.append(privilege + place.get(doing.kind, ""))
    return ", ".join(said)


# --- what mends it ---------------------------------------------------------------------------------------------


def mending(pair: Pair, change: Change, sequences: Mapping[str, str], table: str | None = None) -> list[sql.Composable]:
    """Return the statements that leave things as they are today, to be written into the old table's file.

    `table` is another relation that is to grant it.
    """
    role = text("PUBLIC") if change.role == EVERYONE else ident(change.role)
    option_too = {(d.kind, d.part, d.privilege.removesuffix(GRANT_OPTION)) for d in change.doings if _grants(d)}
    plain = {(d.kind, d.part, d.privilege) for d in change.doings if not _grants(d)}
    statements: list[sql.Composable] = []
    for with_option in (False, True):
        # who gets the option gets the privilege along; who loses the privilege loses the option along
        wanted = (
            option_too - (set() if change.lost else plain)
            if with_option
            else plain - (option_too if change.lost else set())
        )
        block = "grant" if change.lost else "revoke_option" if with_option else "revoke"
        option = {"option": text(" WITH GRANT OPTION" if with_option else "")} if change.lost else {}
        for thing, privileges in _by_thing(table or pair.old, wanted, sequences):
            statements.append(engine(block, privileges=privileges, thing=thing, role=role, **option))
    return statements


def _grants(doing: Doing) -> bool:
    return doing.privilege.endswith(GRANT_OPTION)


def _by_thing(
    table: str, wanted: set[tuple[str, str, str]], sequences: Mapping[str, str]
) -> Iterator[tuple[sql.Composable, sql.Composable]]:
    """Yield each thing with the privileges on it: the table with those on its columns, then the sequences."""
    on_table = [text(p) for kind, _, p in sorted(wanted) if kind == "table"]
    by_privilege: dict[str, list[str]] = {}
    for kind, part, privilege in sorted(wanted):
        if kind == "column":
            by_privilege.setdefault(privilege, []).append(part)
    on_columns = [sql.SQL("{} ({})").format(text(p), listed(c)) for p, c in by_privilege.items()]
    if on_table or on_columns:
        yield ident(table), comma([*on_table, *on_columns])
    for column, name in sequences.items():
        on_sequence = [text(p) for kind, part, p in sorted(wanted) if kind == "sequence" and part == column]
        if on_sequence:
            yield sql.SQL("SEQUENCE {}").format(ident(name)), comma(on_sequence)
