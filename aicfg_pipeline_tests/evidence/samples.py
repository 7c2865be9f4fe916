"""Ledger rows, checks and whole evidence made by hand, so that tests can compare by value."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from aicfg_pipeline.evidence.facts import Evidence
from aicfg_pipeline.evidence.gather import Known, gather
from aicfg_pipeline.rollback.checks.check import Check
from aicfg_pipeline.rollback.ledger import Entry, Ledger
from aicfg_pipeline.spec import load as spec

RUN = "3f0c1d2e-9a41-4c51-8f5e-1b2c3d4e5f60"
START = datetime(2026, 11, 22, 16, 1, 2, tzinfo=UTC)
IDENTITY = {
    "database": "app",
    "target": "app@10.0.0.7:5432",
    "role": "postgres",
    "version": "PostgreSQL 18.2 on x86_64-pc-linux-gnu, compiled by gcc",
    "server_address": "10.0.0.7",
    "server_port": 5432,
    "system_identifier": "7571234567890123456",
}
SIDES = {"before": {"rows": 400, "checksum": "-41"}, "after": {"rows": 400, "checksum": "-41"}}
NONE = {"differences": 0, "unexplained": 0, "sample": []}


def entry(number: int, step: str, outcome: str, pair: str | None = None, **more: Any) -> Entry:
    """The row `number` of the ledger, recorded `number` seconds after the start."""
    values: dict[str, Any] = {
        "id": number,
        "at": START + timedelta(seconds=number),
        "run_id": RUN,
        "step": step,
        "outcome": outcome,
        "pair": pair,
        "plan_hash": "c0ffee",
        "facts": {},
        "statements": [],
        "actor": "postgres",
        "backend": 77,
        "application": "aicfg_pipeline",
    }
    return Entry(**{**values, **more})


def rolled_back(old: str = "org_prompt_engineering") -> list[Entry]:
    """The rows that a rollback of one pair writes."""
    until = (START + timedelta(days=7)).isoformat()
    copied = [{"sql": "BEGIN", "ms": 0.1}, {"sql": "INSERT INTO x SELECT * FROM y", "ms": 900.0}]
    return [
        entry(1, "copy_back", "prepared", old, facts={"shadow_oid": 1, "identity": {"live": {}}}),
        entry(2, "copy_back", "copied", old, facts={"rows": 400, "copy_seconds": 0.95}, statements=copied),
        entry(3, "copy_back", "replayed", old, facts={"entries": 5}),
        entry(4, "compare", "proven", old, facts={**SIDES, "differences": NONE, "shadow_oid": 1}),
        entry(
            5,
            "cut_over",
            "done",
            old,
            facts={"new_table": "ai_cfg_org_prompts", "keys_replayed": 2, "locks_held_ms": 4.7, "retain_until": until},
        ),
        entry(6, "settle", "validated", old, facts={"foreign_keys": ["a_fkey", "b_fkey"]}),
    ]


def data_checks(old: str = "org_prompt_engineering", *, passed: bool = True) -> list[Check]:
    """What the checks of the data say after the cut-over."""
    facts = {
        "rows_before": 400,
        "rows_after": 401,
        "checksum_before": "-41",
        "checksum_after": "17",
        "keys_written_since": 1,
        "differing_rows": 1,
        "unexplained_rows": 0 if passed else 1,
        "differences": {"differences": 1, "unexplained": 0, "sample": []},
    }
    return [
        Check("row_count", old, "old", "passed" if passed else "failed", "400 rows before, 401 after.", facts=facts),
        Check("checksum", old, "old", "passed" if passed else "failed", "Checksums told apart.", facts=facts),
    ]


def sample(**more: Any) -> Evidence:
    """A whole rollback of both pairs that succeeded."""
    pairs = [p.old for p in spec.load().pairs]
    values: dict[str, Any] = {
        "kind": "rollback",
        "run_id": RUN,
        "database": IDENTITY,
        "migration": spec.load(),
        "checks": [c for old in pairs for c in data_checks(old)],
        "states_before": dict.fromkeys(pairs, "migrated"),
        "states_after": dict.fromkeys(pairs, "cut_over"),
        "command": "dagster job execute -m aicfg_pipeline.definitions -j {}".format,
        "started": START,
        "ended": START + timedelta(seconds=30),
    }
    entries = more.pop("entries", [e for old in pairs for e in rolled_back(old)])
    return gather(Ledger(tuple(entries)), Known(**{**values, **more}))
