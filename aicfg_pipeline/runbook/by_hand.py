"""What is left to a person because no service is configured for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aicfg_pipeline.rollback.run import Run
from aicfg_pipeline.services.settings import ServicesSettings
from aicfg_pipeline.spec.model import Migration

Facts = dict[str, Any]
"""What a step outside the database did, as plain values for the ledger."""


def names_of(migration: Migration) -> dict[str, str]:
    """Return old → new table name."""
    return {pair.old: pair.new for pair in migration.pairs}


def by_hand(run: Run, services: ServicesSettings, service: str) -> Facts:
    """Say that a service is not configured, with the command for a person."""
    step = next(s for s in services.manual_steps(names_of(run.migration)) if s.service == service)
    return {"configured": False, "not_configured": service, "do_by_hand": f"{step.title}\n{step.command}"}


def manual_lines(services: ServicesSettings, migration: Migration, *, only: Sequence[str] = ()) -> list[str]:
    """Return what is left to a person, a line each."""
    steps = services.manual_steps(names_of(migration))
    return [f"{s.service} is not configured: do it by hand (runbook step {s.runbook_step}). {s.title}" for s in steps
            if not only or s.service in only]  # fmt: skip
