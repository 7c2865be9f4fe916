"""Comparing two sides again after one comparison has proven them: only what was written since.

A row that nobody has written since the snapshot of a comparison has a transaction number from before it, on both sides, and
is what was compared. So what is left to prove is that these are the relations that were compared, that the rows with a later
number and the keys of the change log agree, and that there are as many rows as there should be. Whoever finds anything wrong
compares all of it. Comparing all is `comparison`'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from psycopg import sql

from aicfg_pipeline.postgres import fingerprint
from aicfg_pipeline.postgres.equality import keys_equal
from aicfg_pipeline.postgres.fingerprint import Differences, Fingerprint
from aicfg_pipeline.postgres.session import Session
from aicfg_pipeline.postgres.statements import columns, engine, private
from aicfg_pipeline.rollback.ledger import Entry
from aicfg_pipeline.rollback.state import PairState
from aicfg_pipeline.rollback.tables.comparison import Comparison, Since, comparing, parked_sides
from aicfg_pipeline.rollback.tables.sources import back_way

PROVEN = ("proven", "relied_on")
FACT = "compared"
"""Under this name the ledger has the relations of a comparison, and from which transaction on rows are later than it."""


def relations_compared(session: Session, state: PairState) -> dict[str, Any]:
    """Return what the ledger keeps of a comparison of a shadow with its new table. In the comparison's own snapshot."""
    assert state.shadow is not None
    old, new = _known_by(session, state.shadow.oid, state.new_table.oid)
    return {FACT: {"old": old, "new": new, "horizon": session.one(engine("seen_all_before")).horizon}}


def _known_by(session: Session, *oids: int) -> list[str | None]:
    found = {r.oid: r.known_by for r in session.all(engine("as_compared"), {"oids": list(oids)})}
    return [found.get(oid) for oid in oids]


def compare_since(session: Session, state: PairState, proof: Entry | None) -> Comparison | None:
    """Compare old and parked table, given the comparison before the swap.

    Returns None where it can't be relied on, or where anything is not as it should be: then all has to be compared.
    """
    known: Mapping[str, Any] = proof.facts.get(FACT) or {} if proof else {}
    if (
        proof is None
        or proof.outcome not in PROVEN
        or not known
        or state.superseded
        or (state.private_old and state.private_old.is_table)
    ):
        return None
    if not _keys_are_the_same(session, state):
        return None
    with comparing(session, state):
        if _known_by(session, state.old_table.oid, state.parked.oid) != [known["old"], known["new"]]:
            return None
        if not session.one(engine("near_enough"), {"horizon": known["horizon"]}).near_enough:
            return None
        found = _compared(session, state, proof, str(known["horizon"]))
    seen = found.differences
    adds_up = found.after.rows == found.before.rows - seen.missing + seen.extra
    return found if adds_up and not seen.unexplained else None


def _keys_are_the_same(session: Session, state: PairState) -> bool:
    way = back_way(session, state.pair, state.old_table, state.parked)
    have, wanted = ({c.name: c.base_type for c in side} for side in (way.have, way.wanted))
    return all(k in way.mapping.plain and have[k] == wanted[k] for k in state.pair.key)


def _compared(session: Session, state: PairState, proof: Entry, horizon: str) -> Comparison:
    pair, (source, target) = state.pair, parked_sides(session, state)
    proven_at = str(proof.facts.get("proven_at") or proof.at.isoformat())
    log, written = private(pair.change_log), sql.Identifier("written")
    before, after = sql.Identifier("before"), sql.Identifier("after")
    both = {"target": target, "table": source.tables[0], "log": log, "horizon": _as_xid(horizon)}
    there = session.one(engine("written_since", **both), note=True)
    if not there.written:  # both sides are to the last row what was summed up before the swap
        checksum = proof.facts["after"]["checksum"]
        sides = Fingerprint(there.rows_before, checksum), Fingerprint(there.rows_after, checksum)
        return Comparison(*sides, Differences(0, 0), Since(proven_at, 0))
    query = engine(
        "compare_since",
        **both,
        most=sql.Literal(there.written),
        written=written,
        target_keys=columns(pair.key, "target"),
        table_keys=columns(pair.key, "live"),
        log_keys=columns(pair.key, "entry"),
        source_columns=columns(source.columns, "source"),
        source_of_written=source.of_keys(written),
        target_columns=columns(source.columns, "target"),
        target_is_wanted=keys_equal(pair.key, "wanted", "target"),
        differences=fingerprint.differences_query(before, after, source.columns, pair.key, log=log),
    )
    row = session.one(query, note=True)
    sides = Fingerprint(there.rows_before, None), Fingerprint(there.rows_after, None)
    return Comparison(*sides, fingerprint.read_differences(row), Since(proven_at, row.looked_at))


def _as_xid(horizon: str) -> sql.Composable:
    return engine("as_xid", horizon=sql.Literal(horizon))
