"""What each persona of migration.yaml sees and may change: tried, as that role and with those claims.

Everything happens in a transaction that is left behind. Foretelling tries it on the old table before it is there: made from
its file in a scratch schema, with the same rows as the new table. What to say about it is the hazards' and the checks'.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from psycopg import sql

from aicfg_pipeline.errors import ConnectionLostError, DatabaseError
from aicfg_pipeline.postgres.catalog import Relation
from aicfg_pipeline.postgres.equality import keys_equal
from aicfg_pipeline.postgres.session import Session
from aicfg_pipeline.postgres.statements import columns, engine, ident, text
from aicfg_pipeline.rollback import own
from aicfg_pipeline.rollback.state import PairState
from aicfg_pipeline.rollback.tables import ddl, grants
from aicfg_pipeline.rollback.tables.scratch import scratch_table
from aicfg_pipeline.rollback.tables.sources import back_source
from aicfg_pipeline.spec.model import Migration, Persona

Seen = dict[str, Any]
NO_USER = "there is no such user"
FACT = "visible_rows"
"""Under this name the ledger has what the personas saw of the new table before the cut-over."""

FORETOLD = "visible_rows_foretold"
"""And under this one what was foretold of the old table, and accepted."""

MOST_ROWS = 10_000
"""So many rows of a table are tried; where there are more, the same ones on both tables."""

SHARES = ("none", "some", "all")
ALL_ROWS = sql.SQL("true")


def visible_rows_facts(session: Session, migration: Migration, relation: Relation) -> dict[str, Seen]:
    """Return by persona how many rows are seen and may be updated, in one snapshot. Cheap: one count for each."""
    path = (migration.schema, "extensions")
    with session.transaction(snapshot=True, read_only=True, search_path=path, settings={"row_security": "on"}):
        whole = session.scalar(engine("count_rows", table=ident(relation.schema, relation.name)))
        return {p.name: _tried(session, p, relation, int(whole)) for p in migration.personas}


def _tried(
    session: Session, persona: Persona, relation: Relation, whole: int, which: sql.Composable = ALL_ROWS
) -> Seen:
    session.execute(engine("persona_begins"))
    try:
        claim = session.scalar(text(persona.claim)) if persona.claim else None
        if persona.claim and claim is None:
            return {"role": persona.role, "tried": False, "because": NO_USER}
        role, id_ = sql.Literal(persona.role), sql.Literal(None if claim is None else str(claim))
        session.execute(engine("persona_claims", id=id_, role=role))
        session.execute(engine("become", role=ident(persona.role)))
        seen = _seen(session, relation, which)
    except ConnectionLostError:
        raise
    except DatabaseError as error:
        return {"role": persona.role, "tried": False, "because": " ".join(error.found.split())}
    finally:
        if not session.connection.closed:
            session.execute(engine("persona_ends"))
    return {
        "role": persona.role,
        "tried": True,
        "because": None,
        "rows": whole,
        **seen,
        "sees": _share(seen["seen"], whole),
        "updates": _share(seen["updatable"], whole),
    }


def _seen(session: Session, relation: Relation, which: sql.Composable) -> Seen:
    may = session.one(engine("privileges_of"), {"oid": relation.oid})
    words = ("select", "insert", "update", "delete")
    facts: Seen = {"privileges": [w.upper() for w in words if getattr(may, f"may_{w}")], "seen": 0, "updatable": 0}
    if may.may_select:
        updatable = _updatable(session, relation, filtered=may.filtered) if may.may_update else sql.SQL("false")
        query = engine("visible_rows", updatable=updatable, table=ident(relation.schema, relation.name), which=which)
        row = session.one(query)
        facts.update(seen=row.seen, updatable=row.updatable)
    return facts


def _updatable(session: Session, relation: Relation, *, filtered: bool) -> sql.Composable:
    """Return when an UPDATE would reach a row that is seen: any permissive policy and every restrictive one."""
    if not filtered:
        return sql.SQL("true")
    policies = session.all(engine("update_policies"), {"oid": relation.oid})
    terms = {
        kind: [sql.SQL("({})").format(text(p.expression or "true")) for p in policies if p.permissive == kind]
        for kind in (True, False)
    }
    if not terms[True]:
        return sql.SQL("false")
    return sql.SQL(" AND ").join([sql.SQL("({})").format(sql.SQL(" OR ").join(terms[True])), *terms[False]])


def _share(part: int, whole: int) -> str:
    """Say which share of the rows it is, in words that stay true while rows come and go."""
    if whole == 0:
        return "the table is empty"
    return "none" if part == 0 else "all" if part == whole else "some"


# --- foretelling -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Foretold:
    """What one persona sees today in the new table, and what it will see of the same rows in the old one."""

    persona: Persona
    today: Seen
    then: Seen

    @property
    def tried(self) -> bool:
        """It could be tried on both."""
        return bool(self.today["tried"] and self.then["tried"])

    @property
    def by_policies(self) -> bool:
        """Both tables grant the same, so that a difference is made by the policies. The others are `access_changes`."""
        return bool(self.today.get("privileges") == self.then.get("privileges"))

    def changes(self) -> list[tuple[str, str, str]]:
        """Return what changes: sees or updates, the share today, the share then."""
        if not self.tried or not self.today["rows"]:
            return []
        return [(k, self.today[k], self.then[k]) for k in ("sees", "updates") if self.today[k] != self.then[k]]


def foretell(session: Session, migration: Migration, state: PairState) -> list[Foretold]:
    """Try each persona on the new table and on one made from the old table's file, with the same rows, and take it back.

    Raises `DatabaseError` where the rows can't be copied or the file's statements can't be run.
    """
    if not migration.personas:
        return []
    pair = state.pair
    with scratch_table(session, migration, pair.old_ddl, pair.old, snapshot=True) as made:
        sample = _filled(session, state, made)
        _dressed(session, migration, state, made)
        whole = int(session.scalar(engine("count_rows", table=ident(made.schema, made.name))))
        session.execute(engine("set_local", name=ident("row_security"), value=sql.Literal("on")))
        of_sample = engine(
            "in_sample", sample=sample, keys_equal=keys_equal(pair.key, state.new_table.name, "aicfg_sample")
        )
        return [
            Foretold(
                p,
                _tried(session, p, state.new_table, whole, of_sample),
                _tried(session, p, made, whole),
            )
            for p in migration.personas
        ]


def _filled(session: Session, state: PairState, made: Relation) -> sql.Identifier:
    """Copy some rows as the old table would hold them; return the table that has their keys."""
    pair, sample = state.pair, ident(made.schema, "aicfg_sample")
    new = ident(state.new_table.schema, state.new_table.name)
    source = back_source(session, pair, made, state.new_table, state.superseded)
    session.execute(
        engine("sample_keys_of", sample=sample, keys=columns(pair.key), table=new, most=sql.Literal(MOST_ROWS))
    )
    session.execute(engine("open_sample", sample=sample))
    session.execute(
        engine(
            "copy_sample",
            target=ident(made.schema, made.name),
            columns=columns(source.columns),
            source=source.query,
            sample=sample,
            keys_equal=keys_equal(pair.key, "source", "sample"),
        )
    )
    return sample


def _dressed(session: Session, migration: Migration, state: PairState, made: Relation) -> None:
    """Give the table the policies and privileges of its file, and let those in who will reach it in its place."""
    file = state.pair.old_ddl
    owner = own.on_behalf_of(session, state.new_table.owner)
    ddl.run_blocks(session, file, "row_level_security")
    session.script([*grants.given(owner, made.schema, made.name), own.close_to_others(made.schema, [made.name])])
    session.script(grants.own_grants(session, file, made.schema, made, state.live_tables))
    asked = {"roles": [p.role for p in migration.personas], "schema": migration.schema}
    for row in session.all(engine("roles_that_may_use"), asked):
        session.execute(engine("open_scratch", schema=ident(made.schema), role=ident(row.role)))


def as_fact(foretold: list[Foretold]) -> dict[str, dict[str, Seen]]:
    """Return what the ledger keeps of it."""
    return {f.persona.name: {"today": f.today, "then": f.then} for f in foretold}


def direction(before: str, after: str) -> int:
    """Say whether a share widens (1), narrows (-1) or stays (0)."""
    if before not in SHARES or after not in SHARES:
        return 0
    wider = SHARES.index(after) - SHARES.index(before)
    return (wider > 0) - (wider < 0)
