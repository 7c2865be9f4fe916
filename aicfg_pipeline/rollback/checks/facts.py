"""Catalog facts as flat values, the differences between two sets of them, and the verdict on these.

Which facts are read, and which are expected, is for `structure` and `security`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from aicfg_pipeline.postgres.wording import counted
from aicfg_pipeline.rollback.checks.check import Verdict, failed, passed
from aicfg_pipeline.spec.model import Pair

CatalogFacts = dict[tuple[str, str], str]
"""(object, aspect) to value: ("column id", "type") to "uuid"."""

NOTHING = "nothing"


def as_facts(rows: Iterable[Any]) -> CatalogFacts:
    """Return rows of (object, aspect, value) as facts; an absent value is no fact."""
    return {(r.object, r.aspect): r.value for r in rows if r.value is not None}


def as_plain(facts: CatalogFacts) -> dict[str, dict[str, str]]:
    """Return facts as nested plain values, for the ledger: object to aspect to value."""
    return _by_object(facts)


def from_plain(plain: Mapping[str, Mapping[str, str]]) -> CatalogFacts:
    """Return facts as the ledger has them."""
    return {(name, aspect): value for name, aspects in plain.items() for aspect, value in aspects.items()}


def differences(expected: CatalogFacts, found: CatalogFacts) -> list[dict[str, str]]:
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


def _by_object(facts: CatalogFacts) -> dict[str, dict[str, str]]:
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


def compared(
    pair: Pair, expected: CatalogFacts, found: CatalogFacts, *, what: str, facts: Mapping[str, Any] | None = None
) -> Verdict:
    """Return the verdict of a comparison of facts."""
    lines = differences(expected, found)
    seen = {"facts_compared": len(expected.keys() | found.keys()), "differences": lines, **(facts or {})}
    if lines:
        return failed(f"{what} differ from {pair.old_ddl.path}: {told(lines)}.", seen)
    return passed(f"{what} are as {pair.old_ddl.path} makes them ({counted(seen['facts_compared'], 'fact')}).", seen)
