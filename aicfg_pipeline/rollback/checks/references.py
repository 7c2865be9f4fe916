"""The check of what the old table refers to, and of what still refers to a parked or dropped table.

Which foreign keys there should be is `structure`'s; here it is whether they hold.
"""

from __future__ import annotations

import re
from typing import Any

from aicfg_pipeline.postgres import catalog
from aicfg_pipeline.postgres.catalog import Relation
from aicfg_pipeline.postgres.statements import columns, engine, ident
from aicfg_pipeline.postgres.wording import counted
from aicfg_pipeline.rollback.checks.check import Verdict, check, failed, nothing_yet, passed
from aicfg_pipeline.rollback.checks.inspection import Inspection, restored
from aicfg_pipeline.rollback.tables import outside_keys
from aicfg_pipeline.rollback.tables.dependents import find_dependents, find_mentions
from aicfg_pipeline.rollback.tables.foreign_keys import refers_to_nothing
from aicfg_pipeline.spec.model import ForeignKey, Pair


@check("references")
def references(inspection: Inspection, pair: Pair) -> Verdict:
    """Every foreign key is validated, no row refers to nothing, and nothing else refers to a parked table."""
    table = restored(inspection, pair)
    if table is None:
        return nothing_yet(inspection, pair)
    return _references(inspection, pair, table)


def _references(inspection: Inspection, pair: Pair, table: Relation) -> Verdict:
    search_path = (inspection.migration.schema, "extensions")
    with inspection.session.transaction(snapshot=True, read_only=True, search_path=search_path):
        keys = catalog.foreign_keys(inspection.session, table.oid)
        unvalidated = [k.name for k in keys if not k.validated]
        unvalidated += _not_validated_outside(inspection, pair, table)
        # the server has proven these for every row, in this very run
        proven = {k.name for k in keys if k.validated} if inspection.just_proven else set()
        looked_at = [k for k in pair.old_ddl.foreign_keys if k.name not in proven]
        orphans = [o for k in looked_at if (o := _orphans(inspection, pair, table, k))]
        pointing = _pointing_at_parked(inspection, pair)
        mentions = _mentions(inspection, pair)
        still_on = _keys_still_on(inspection, pair)
    wrong = [
        *(f"{name} is not validated" for name in unvalidated),
        *(
            f"{counted(o['rows'], 'row')} without a counterpart by {o['foreign_key']} (keys {', '.join(o['keys'])})"
            for o in orphans
        ),
        *(f"{p} refers to a parked table and reads stale rows" for p in pointing),
    ]
    facts = {
        "not_validated": unvalidated,
        "orphans": orphans,
        "pointing_at_parked": pointing,
        "functions_that_name_the_new_table": mentions,
    }
    hint = f" The text of {', '.join(mentions)} names {pair.new}, which is not there any more." if mentions else ""
    if wrong:
        known = _accepted(inspection, pair) and not unvalidated and not orphans
        told = f"{'; '.join(wrong)}.{' The operator accepted that; the drop waits for it.' if known else ''}{hint}"
        return failed(told, facts, severity="WARN" if known else None)
    if still_on:
        told = f"Open: {'; '.join(still_on)}. The next run of the job rollback takes them off.{hint}"
        return failed(told, {**facts, "parked_keys_still_on": still_on}, severity="WARN")
    held = f"{len(pair.old_ddl.foreign_keys)} foreign keys hold; nothing refers to a parked table."
    return passed(held + hint, facts)


def _not_validated_outside(inspection: Inspection, pair: Pair, table: Relation) -> list[str]:
    """Keys of tables outside that the cut-over has moved here, and that were valid before."""
    ours = [
        r.oid for s in inspection.look.pairs for r in (s.at_old_name, s.private_old, s.private_new) if r is not None
    ]
    waiting = outside_keys.waiting(inspection.session, inspection.ledger, pair, table.oid, ours)
    return [f"{key.name} of {key.schema}.{key.table}" for key in waiting]


def _keys_still_on(inspection: Inspection, pair: Pair) -> list[str]:
    """Foreign keys that a cut-over could not take off parked tables, because somebody held what they refer to."""
    state = inspection.state(pair)
    return [
        f"{key.name} of {relation} still refers to {key.ref_schema}.{key.ref_table}, and may refuse a deletion there"
        for relation in (state.private_new, state.private_old)
        if relation is not None and relation.is_table
        for key in catalog.foreign_keys(inspection.session, relation.oid)
    ]


def _accepted(inspection: Inspection, pair: Pair) -> bool:
    """Whether the run that cut over was told to accept dependents: then they are known, and no reason to stop it."""
    swap = inspection.ledger.last("cut_over", pair=pair.old, outcome="done")
    begun = [e for e in inspection.ledger.of_run(swap.run_id) if e.step == "run"] if swap else []
    return any("dependents" in e.facts.get("settings", {}).get("accept_hazards", ()) for e in begun)


def _orphans(inspection: Inspection, pair: Pair, table: Relation, key: ForeignKey) -> dict[str, Any] | None:
    """Count the rows that refer to nothing, whatever the constraint says, even where it is gone."""
    there = {c.name for c in catalog.columns(inspection.session, table.oid)}
    target = catalog.relations(inspection.session, [key.references]).get(key.references)
    if target is None or not there.issuperset((*key.columns, *pair.key)):
        return None  # the missing column or foreign key is structure's to report
    row = inspection.session.one(
        engine(
            "count_orphans",
            keys=columns(pair.key, "referring"),
            table=ident(table.schema, table.name),
            refers_to_nothing=refers_to_nothing(
                "referring", key.columns, ident(*key.references), key.target_columns, target.own_equality
            ),
        )
    )
    return {"foreign_key": key.name, "rows": row.rows, "keys": list(row.keys)} if row.rows else None


def _pointing_at_parked(inspection: Inspection, pair: Pair) -> list[str]:
    state = inspection.state(pair)
    parked = [r.oid for s in inspection.look.pairs for r in (s.private_new, s.private_old) if r is not None]
    if not any((state.private_new, state.private_old)):
        return []
    mine = [r.oid for r in (state.private_new, state.private_old) if r is not None]
    others = [
        f"the {d.kind} {d.name}"
        for d in find_dependents(inspection.session, mine)
        if not _ours(d.kind, d.name, inspection)
    ]
    users = inspection.session.all(engine("row_type_users"), {"oids": [o for o in parked if o in mine]})
    return [*others, *(f"the {u.kind} {u.name}" for u in users)]


def _ours(kind: str, name: str, inspection: Inspection) -> bool:
    """A view of another pair that is parked too is not somebody else's."""
    return kind == "view" and any(
        s.private_old is not None
        and s.private_old.is_view
        and name.endswith(f".{s.pair.old}")
        and name.startswith(f"{inspection.session.private_schema}.")
        for s in inspection.look.pairs
    )


def _mentions(inspection: Inspection, pair: Pair) -> list[str]:
    """Return the functions whose text names the new table. Text proves nothing, so that it is only told."""
    if inspection.state(pair).at_new_name is not None:
        return []
    pattern = rf"\m{re.escape(pair.new)}\M"
    return find_mentions(inspection.session, [pattern])
