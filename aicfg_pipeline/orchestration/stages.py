"""The ops of a run with their beginnings and ends, as Dagster has noted them, by the clock of the database's server.

The ledger is written by the server's clock, the events of Dagster by this machine's: a report draws both on one axis.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from dagster import DagsterInstance

from aicfg_pipeline.evidence.facts import Stage
from aicfg_pipeline.postgres.session import Session
from aicfg_pipeline.runbook.remembered import Clock


def stages_of(instance: DagsterInstance, run_id: str, session: Session | None = None) -> list[Stage]:
    """Return the ops that have begun, in that order. One that has not ended is at work until now."""
    now = datetime.now(UTC)
    ahead = timedelta(seconds=Clock.of(session, now).ahead if session else 0.0)
    found = []
    for stats in instance.get_run_step_stats(run_id):
        if stats.start_time is None:
            continue
        began = datetime.fromtimestamp(stats.start_time, UTC)
        ended = datetime.fromtimestamp(stats.end_time, UTC) if stats.end_time is not None else now
        found.append(Stage(name=stats.step_key, started=began + ahead, ended=max(began, ended) + ahead))
    return sorted(found, key=lambda s: s.started)
