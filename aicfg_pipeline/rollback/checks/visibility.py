"""Who sees how many rows and who may write, tried as each persona of migration.yaml.

Everything happens in a transaction that only reads and is left behind. What the policies and grants say is compared
in `security`; here it is what they come to, with the users, roles and functions that there really are.
"""

from __future__ import annotations

from typing import Any

from psycopg import sql

from aicfg_pipeline.errors import ConnectionLostError, DatabaseError
from aicfg_pipeline.postgres.catalog import Relation
from aicfg_pipeline.postgres.session import Session
from aicfg_pipeline.postgres.statements import engine, ident, text
from aicfg_pipeline.rollback.checks.check import Verdict, check, failed, not_applicable, nothing_yet, passed
from aicfg_pipeline.rollback.checks.inspection import Inspection, restored
from aicfg_pipeline.rollback.state import TO_ROLL_BACK
from aicfg_pipeline.spec.model import Migration, Pair, Persona

Seen = dict[str, Any]
NO_USER = "there is no such user"
RECORDED_BY = ("cut_over", "compare", "plan")
FACT = "visible_rows"
"""Under this name the ledger has what the personas saw of the new table before the cut-over."""


def visible_rows_facts(session: Session, migration: Migration, pair: Pair, relation: Relation) -> dict[str, Seen]:
    """Return by persona how many rows are seen and may be updated, in one snapshot. Cheap: one count for each."""
    path = (migration.schema, "extensions")
    with session.transaction(snapshot=True, read_only=True, search_path=path, settings={"row_security": "on"}):
        whole = session.scalar(engine("count_rows", table=ident(relation.schema, relation.name)))
        return {p.name: _tried(session, p, relation, int(whole)) for p in migration.personas}


def _tried(session: Session, persona: Persona, relation: Relation, whole: int) -> Seen:
    claim = session.scalar(text(persona.claim)) if persona.claim else None
    if persona.claim and claim is None:
        return {"role": persona.role, "tried": False, "because": NO_USER}
    session.execute(engine("persona_begins"))
    try:
        role, id_ = sql.Literal(persona.role), sql.Literal(None if claim is None else str(claim))
        session.execute(engine("persona_claims", id=id_, role=role))
        session.execute(engine("become", role=ident(persona.role)))
        seen = _seen(session, relation)
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


def _seen(session: Session, relation: Relation) -> Seen:
    may = session.one(engine("privileges_of"), {"oid": relation.oid})
    words = ("select", "insert", "update", "delete")
    facts: Seen = {"privileges": [w.upper() for w in words if getattr(may, f"may_{w}")], "seen": 0, "updatable": 0}
    if may.may_select:
        updatable = _updatable(session, relation, filtered=may.filtered) if may.may_update else sql.SQL("false")
        query = engine("visible_rows", updatable=updatable, table=ident(relation.schema, relation.name))
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


# --- the checks ------------------------------------------------------------------------------------------------


@check("visible_rows")
def visible_rows(inspection: Inspection, pair: Pair) -> Verdict:
    """The same people see and may change the same share of the rows as before the cut-over."""
    table = restored(inspection, pair)
    if table is None:
        return nothing_yet(inspection, pair)
    after = visible_rows_facts(inspection.session, inspection.migration, pair, table)
    before = _recorded(inspection, pair)
    facts = {"before": before, "after": after}
    if not after:
        return not_applicable("The migration names no persona, so nobody's rows are counted.", facts)
    if before is None:
        return not_applicable(f"Nobody noted who saw what before; now: {_told(after)}.", facts)
    if not any(seen["tried"] for seen in after.values()):
        return not_applicable(f"No persona could be tried: {_told(after)}.", facts)
    changed = _changed(before, after)
    if changed:
        return failed(f"{'; '.join(changed)}.", facts)
    return passed(f"As before: {_told(after)}.", facts)


def _recorded(inspection: Inspection, pair: Pair) -> dict[str, Seen] | None:
    """Return what was seen of the new table before the last cut-over."""
    for entry in reversed(inspection.ledger.entries):
        if entry.pair == pair.old and entry.step in RECORDED_BY and FACT in entry.facts:
            return dict(entry.facts[FACT])
    return None


def _changed(before: dict[str, Seen], after: dict[str, Seen]) -> list[str]:
    """Name each persona who sees or may change another share of the rows than before."""
    changed = []
    for name, now in after.items():
        then = before.get(name)
        if not then or not then.get("tried") or now["because"] == NO_USER:
            continue
        if not now["tried"]:
            changed.append(f"{name} could be tried before and can't now: {now['because']}")
            continue
        if not then["rows"] or not now["rows"]:
            continue
        for share, word in (("sees", "saw"), ("updates", "might update")):
            if then[share] != now[share]:
                changed.append(f"{name} ({now['role']}) {word} {then[share]} of the rows before and {now[share]} now")
    return changed


def _told(seen: dict[str, Seen]) -> str:
    return ", ".join(
        f"{name} {s['seen']} of {s['rows']} rows" if s["tried"] else f"{name} not tried ({s['because']})"
        for name, s in seen.items()
    )


@check("view_visible_rows", asset="view", severity="WARN")
def view_visible_rows(inspection: Inspection, pair: Pair) -> Verdict:
    """Nobody sees more rows through the view than in the new table itself. Reported; it never blocks."""
    state = inspection.state(pair)
    view = state.at_old_name
    if state.state not in TO_ROLL_BACK or view is None or not view.is_view:
        return not_applicable(f"There is no view ({state.state}).")
    through = visible_rows_facts(inspection.session, inspection.migration, pair, view)
    directly = visible_rows_facts(inspection.session, inspection.migration, pair, state.new_table)
    facts = {"through_the_view": through, "in_the_table": directly}
    if not through:
        return not_applicable("The migration names no persona, so nobody's rows are counted.", facts)
    more = [
        f"{name} ({s['role']}) sees {s['seen']} rows through the view and {directly[name].get('seen', 0)} in the table"
        for name, s in through.items()
        if s["tried"] and s["sees"] != directly[name].get("sees") and s["seen"] > directly[name].get("seen", 0)
    ]
    if more:
        summary = f"The view bypasses row level security. A rollback is advised because {'; '.join(more)}."
        return failed(summary, facts)
    return passed(f"Nobody sees more through the view than in the table: {_told(through)}.", facts)
