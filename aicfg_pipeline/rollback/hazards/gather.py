"""Gathers all hazards in one go: a person wants every complaint before the first attempt to mend one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal

from aicfg_pipeline.errors import LockTimeoutError
from aicfg_pipeline.rollback.hazards import (
    access,
    along,
    dropping,
    files,
    forward,
    instant,
    names,
    rows,
    server,
    shared,
    surroundings,
    undoing,
    visibility,
)
from aicfg_pipeline.rollback.hazards.hazard import ACCEPTABLE, Hazard, Subject
from aicfg_pipeline.rollback.tables.way import Decision, decide

_NO_SCRATCH = frozenset(
    {"unsupported_version", "unsupported_encoding", "replica", "pooled_connection", "missing_right"}
)

Job = Literal["rollback", "prepare", "undo_rollback", "drop_new_tables", "migrate", "abandon"]


def find_hazards(subject: Subject, job: Job = "rollback") -> list[Hazard]:
    """Return every hazard of a job. Those of the rows are looked for last, and not where the server could not be asked."""
    found = [*server.find(subject)]
    if job == "undo_rollback":
        return [*found, *_unless_locked_out(subject, "What was written since can't be read", undoing.find)]
    if job == "drop_new_tables":
        return [*found, *_unless_locked_out(subject, "Who refers to the parked tables can't be read", dropping.find)]
    if job == "migrate" and not any(_stops_scratch(h) for h in found):
        return [*found, *_unless_locked_out(subject, "The old tables can't be read", forward.find)]
    if job == "abandon" or job == "migrate":
        return found
    decision = Decision()
    if not any(_stops_scratch(h) for h in found):
        try:
            decision = decide(subject.session, subject.migration, subject.look)
        except LockTimeoutError:
            found.append(server.locked_out(subject, "What the tables are made of can't be read"))
    found += instant.refused(subject, decision)
    around = _unless_locked_out(subject, "What is around the tables can't be read", surroundings.find)
    found += (h for h in around if not (decision.instant and h.code == "dependents"))
    found += _unless_locked_out(subject, "What is shared with other tables can't be read", shared.find)
    if not any(_stops_scratch(h) for h in found):
        found += _unless_locked_out(subject, "The names that will be needed can't be read", names.find)
        read = (lambda s: instant.find(s, decision)) if decision.instant else _of_copying
        found += _unless_locked_out(subject, "The rows can't be read", read)
        found += _unless_locked_out(subject, "Who may do what can't be read", access.find)
        # where a table can't be made or its rows can't be copied, that is told already
        if not any(h.blocks(tuple(ACCEPTABLE)) for h in found):
            found += _unless_locked_out(subject, "The old tables can't be made", files.find)
        if not any(h.blocks(tuple(ACCEPTABLE)) for h in found):
            found += _unless_locked_out(subject, "Who sees which rows can't be read", visibility.find)
    return found


def _unless_locked_out(subject: Subject, what: str, find: Callable[[Subject], Iterator[Hazard]]) -> Iterator[Hazard]:
    try:
        yield from find(subject)
    except LockTimeoutError:
        yield server.locked_out(subject, what)


def _of_copying(subject: Subject) -> Iterator[Hazard]:
    """Another table takes the place: its rows are another's, and what refers to the one has to go along to the other."""
    yield from along.find(subject)
    yield from rows.find(subject)


def _stops_scratch(hazard: Hazard) -> bool:
    return hazard.code in _NO_SCRATCH or (hazard.code == "not_owner" and hazard.pair is None)
