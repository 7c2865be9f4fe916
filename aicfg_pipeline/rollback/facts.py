"""Catalog facts as flat values, and the differences between two sets of them. And what the live checks have in common.

Which facts are read, and which are expected, is for `structure` and `security`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from aicfg_pipeline.errors import ConnectionLostError, LockTimeoutError, PipelineError
from aicfg_pipeline.postgres.catalog import Relation
from aicfg_pipeline.rollback.checks import Check, Kind, Watch
from aicfg_pipeline.rollback.state import State
from aicfg_pipeline.spec import Pair

Facts = dict[tuple[str, str], str]
"""(object, aspect) to value: ("column id", "type") to "uuid"."""

LIVE = (State.CUT_OVER, State.ROLLED_BACK, State.NEVER_MIGRATED)
ATTEMPTS = 4
NOTHING = "nothing"
Result = TypeVar("Result")


def as_facts(rows: Iterable[Any]) -> Facts:
    """Return rows of (object, aspect, value) as facts; an absent value is no fact."""
    return {(r.object, r.aspect): r.value for r in rows if r.value is not None}


def differences(expected: Facts, found: Facts) -> list[dict[str, str]]:
    """Return every difference, each object together. An object that one side does not have is one difference."""
    lines = []
    all_wanted, all_there = _by_object(expected), _by_object(found)
    for name in dict.fromkeys((*all_wanted, *all_there)):
        wanted, there = all_wanted.get(name, {}), all_there.get(name, {})
        if not wanted or not there:
            lines.append({"what": name, "expected": _whole(wanted), "found": _whole(there)})
            continue
        lines += [
            {"what": f"{name}: {a}", "expected": wanted.get(a, NOTHING), "found": there.get(a, NOTHING)}
            for a in dict.fromkeys((*wanted, *there))
            if wanted.get(a) != there.get(a)
        ]
    return lines


def _by_object(facts: Facts) -> dict[str, dict[str, str]]:
    objects: dict[str, dict[str, str]] = {}
    for (name, aspect), value in facts.items():
        objects.setdefault(name, {})[aspect] = value
    return objects


def _whole(aspects: Mapping[str, str]) -> str:
    return "; ".join(f"{a} {v}" for a, v in aspects.items()) or NOTHING


def told(lines: list[dict[str, str]]) -> str:
    """Return differences as a sentence, the first few of them in full."""
    first = "; ".join(f"{d['what']}: expected {_short(d['expected'])}, found {_short(d['found'])}" for d in lines[:3])
    return first + (f"; and {len(lines) - 3} more" if len(lines) > 3 else "")


def _short(value: str) -> str:
    return value if len(value) <= 120 else value[:117] + "…"


# --- verdicts --------------------------------------------------------------------------------------------------


def restored(watch: Watch, pair: Pair) -> Relation | None:
    """Return the old table where it is the one in use: after a rollback, or where nothing was ever migrated."""
    state = watch.state(pair)
    if state.state in LIVE or (state.state in (State.COEXISTING, State.MISSING) and was_rolled_back(watch, pair)):
        return state.at_old_name if state.at_old_name and state.at_old_name.is_table else None
    return None


def was_rolled_back(watch: Watch, pair: Pair) -> bool:
    """Say whether the last that the ledger has of a pair is its cut-over, not a migration or an undo."""
    ends = ("cut_over", "migrate", "undo", "drop")
    last = [e.step for e in watch.ledger.entries if e.pair == pair.old and e.step in ends and e.outcome == "done"]
    return bool(last) and last[-1] in ("cut_over", "drop")


def nothing_yet(watch: Watch, pair: Pair, name: str, kind: Kind = "old") -> Check:
    """Return the verdict of a check that has nothing to look at in this state."""
    state = watch.state(pair)
    return Check(name, pair.old, kind, True, f"There is nothing to check yet ({state.state}: {state.because}).")


def compared(
    name: str, pair: Pair, expected: Facts, found: Facts, *, what: str, facts: Mapping[str, Any] | None = None
) -> Check:
    """Return the verdict of a comparison of facts."""
    lines = differences(expected, found)
    seen = {"facts_compared": len(expected.keys() | found.keys()), "differences": lines, **(facts or {})}
    if lines:
        return Check(
            name, pair.old, "old", False, f"{what} differ from {pair.old_ddl.path}: {told(lines)}.", facts=seen
        )
    same = f"{what} are as {pair.old_ddl.path} makes them ({seen['facts_compared']} facts)."
    return Check(name, pair.old, "old", True, same, facts=seen)


def checked(name: str, pair: Pair, kind: Kind, work: Callable[[], Check]) -> Check:
    """Run a check again where a lock was not to be had; one that can't be carried out has failed, and says why."""
    try:
        return patiently(work)
    except ConnectionLostError:
        raise
    except PipelineError as error:
        return Check(name, pair.old, kind, False, f"This could not be checked: {' '.join(error.found.split())}")


def patiently(work: Callable[[], Result]) -> Result:
    """Run something that only reads, again where someone else's DDL held its lock for too long."""
    for _ in range(ATTEMPTS - 1):
        try:
            return work()
        except LockTimeoutError:
            continue
    return work()
