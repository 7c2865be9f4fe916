"""When two plans are the same although their databases are not: the migration's files, and every statement in order.

Not looked at: which database it is, services, which hazards are accepted, and settings that no statement shows.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from aicfg_pipeline.rollback.hazards import Job
from aicfg_pipeline.rollback.steps.plan import ASKED, Plan

MOST_LINES = 40
OF_THE_CONNECTION = frozenset(
    {"unreachable", "not_confirmed", "pooled_connection", "already_running", "long_transaction", "replica",
     "too_few_connections", "not_encrypted"}
)  # fmt: skip
"""Hazards of the server and the moment: a copy has its own."""


def what_is_done(meaning: Sequence[str], job: Job = "rollback") -> tuple[str, ...]:
    """Return the lines of a plan's meaning that are the same wherever it is done."""
    elsewhere = ("database ", "hazards accepted: ", "service", *(f"{name}: " for name in ASKED[job]))
    return tuple(line for line in meaning if not line.startswith(elsewhere))


def difference(one: Sequence[str], other: Sequence[str]) -> list[str]:
    """Say line by line what differs: what only the first has begins with -, what only the second has with +."""
    lines = [
        " ".join(line.split())
        for line in difflib.unified_diff(one, other, lineterm="", n=0)
        if not line.startswith(("---", "+++", "@@"))
    ]
    more = len(lines) - MOST_LINES
    return [*lines[:MOST_LINES], *([f"and {more} more lines"] if more > 0 else [])]


def other_hazards(target: Plan, copy: Plan) -> list[str]:
    """Say which hazards only one of the two has: the rows of a copy may be others."""
    one, two = ({(h.code, h.pair) for h in plan.hazards if h.code not in OF_THE_CONNECTION} for plan in (target, copy))
    only_there = [f"hazard {_told(h)} is found on the target, not in the copy" for h in sorted(one - two, key=str)]
    return only_there + [
        f"hazard {_told(h)} is found in the copy, not on the target" for h in sorted(two - one, key=str)
    ]


def _told(hazard: tuple[str, str | None]) -> str:
    code, pair = hazard
    return f"{code} ({pair})" if pair else code
