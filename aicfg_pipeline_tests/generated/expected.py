"""Which refusals a world gives reason for. A hazard without one is a counterexample, as is a loss without a hazard."""

from __future__ import annotations

import re
from typing import Any

from aicfg_pipeline_tests.generated.building import goes_along, published_along
from aicfg_pipeline_tests.generated.world import Pair, World

ACCESS_CODES = frozenset({"access_changes", "grants_lost"})
INFORMATIVE = frozenset({"view_bypasses_rls", "old_table_kept_aside", "open_schema", "expression_not_used"})


def gist(error: Exception) -> str:
    """Return an error without names and numbers, so that those of one class are the same."""
    text = " ".join(str(getattr(error, "found", error)).split())
    return re.sub(r'"[^"]*"|\'[^\']*\'|\d+', "…", text)[:110]


def may_stop_fitting(world: World, error: Exception) -> bool:
    """Say whether rows that are written after the plan may be what the old table does not take, as the error says.

    A check of a column that only the old table has is broken by every row; where the plan saw no row, it saw that too late.
    """
    told = "a row does not fit" in str(error)
    return told and any(c.old_check and c.new is None for p in world.pairs for c in p.columns)


def may_be(hazard: Any, world: World, before: Any, lossless: dict[str, dict[str, bool]]) -> bool:
    """Say whether the world gives a reason for this hazard."""
    pairs = [p for p in world.pairs if hazard.pair in (None, p.old)]
    reasons = {
        "dependents": lambda p: (
            any(not goes_along(world.pairs[d.pair], d) for d in world.dependents)
            or bool(world.publication and (not published_along(world) or _whole(before)))
        ),
        "unmapped_column": _has_new_only_values(before),
        "violates_not_null": lambda p: any(
            c.old and (c.not_null or c.old_check) for c in p.columns if c.name not in p.key
        ),
        "violates_check": lambda p: any(c.old_check for c in p.columns),
        "violates_foreign_key": lambda p: any(
            c.reference
            and c.reference.old
            and (not c.reference.valid or (c.reference.between and p.shape == "renamed"))
            for c in p.columns
        ),
        "values_change": lambda p: not all(lossless[p.old].values()) or _shifts(p),
        "time_zone": _shifts,
        "shared_function": lambda p: bool(p.triggers),
        "type_mismatch": lambda p: not all(lossless[p.old].values()) or _shifts(p),
        "rls_hides_rows": lambda p: p.forced and world.runner != "superuser" and world.owner != "gen_bypass",
        "coexisting_conflict": lambda p: p.shape == "coexisting",
        "access_changes": lambda p: bool(p.view_grants or p.new_grants or p.old_grants or world.default_privileges),
        "grants_lost": lambda p: bool(p.view_grants or p.new_grants or p.old_grants or world.default_privileges),
    }
    return hazard.code in INFORMATIVE or any(reasons.get(hazard.code, lambda p: False)(p) for p in pairs)


def _whole(before: Any) -> bool:
    """Say whether a publication is one of everything: an old server can't choose, and the world's is made so there."""
    return any(everything for _, everything in before.around["publications"] or ())


TYPE_CODES = frozenset({"type_mismatch", "values_change", "time_zone"})


def must_be(world: World, before: Any, lossless: dict[str, dict[str, bool]]) -> dict[str, frozenset[str]]:
    """Return what a plan must not keep silent about, each with the codes that may say it: without them a value is lost."""
    wanted: dict[str, frozenset[str]] = {}
    for pair in world.pairs:
        if not all(lossless[pair.old].values()):
            wanted[f"values of {pair.new} that do not come back"] = TYPE_CODES
        if _has_new_only_values(before)(pair):
            wanted[f"columns of {pair.new} without a place"] = frozenset({"unmapped_column"})
    return wanted


def _has_new_only_values(before: Any) -> Any:
    def found(pair: Pair) -> bool:
        placed = {name for name, _ in pair.forth}
        names = [c.name for c in pair.columns if c.old is None and c.name not in placed]
        return any(row[n] is not None for row in (before.rows[pair.new] or {}).values() for n in names)

    return found


def _shifts(pair: Pair) -> bool:
    """A time with a zone against one without: what it comes to depends on who asks."""
    zones = ({"timestamptz", "timestamptz(0)"}, {"timestamp", "date"})
    return any(
        c.old and c.new and any(c.old in a and c.new in b for a, b in (zones, zones[::-1])) for c in pair.columns
    )


def undo_may_refuse(world: World, lossless: dict[str, dict[str, bool]], writer: Any) -> bool:
    """Say whether an undo has a reason to refuse: a key from outside, a value that does not come forth."""
    return (
        any(d.kind in ("key", "partitioned") and not goes_along(world.pairs[d.pair], d) for d in world.dependents)
        or bool(world.later)
        or not all(all(told.values()) for told in lossless.values())
        or any(c.new is None for p in world.pairs for c in p.columns)
        or any(c.old is None and c.not_null and not c.new_default for p in world.pairs for c in p.columns)
    )
