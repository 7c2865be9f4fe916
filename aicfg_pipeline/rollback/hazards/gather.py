"""Gathers all hazards in one go: a person wants every complaint before the first attempt to mend one."""

from __future__ import annotations

from aicfg_pipeline.rollback.hazards import rows, server, surroundings
from aicfg_pipeline.rollback.hazards.hazard import Hazard, Subject

_NO_SCRATCH = frozenset({"unsupported_version", "replica", "pooled_connection"})


def find_hazards(subject: Subject) -> list[Hazard]:
    """Return every hazard. Those of the rows are looked for last, and not where the server could not be asked."""
    found = [*server.find(subject), *surroundings.find(subject)]
    if not any(_stops_scratch(h) for h in found):
        found += rows.find(subject)
    return found


def _stops_scratch(hazard: Hazard) -> bool:
    return hazard.code in _NO_SCRATCH or (hazard.code == "not_owner" and hazard.pair is None)
