"""When a rollback is advised: each reason by itself, blips, counting over time, and what far from usual means."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from aicfg_pipeline.runbook.checks import Reading, judge, read_services
from aicfg_pipeline.runbook.reasons import History, Reasons, integrity_problems, weigh
from aicfg_pipeline.services.logs import LogReport
from aicfg_pipeline.services.probes import ProbeKind, ProbeResult
from aicfg_pipeline.services.settings import ServicesSettings, WatchSettings
from aicfg_pipeline_tests.services.servers import QuietHandler, serving
from aicfg_pipeline_tests.tools.migration import running
from aicfg_pipeline_tests.tools.servers import Database

NOW = datetime(2026, 1, 15, 3, 0, tzinfo=UTC)
SERVICES = ServicesSettings.load(
    {
        "endpoints": {"base_url": "https://api.example.com", "probes": [{"name": "prompts", "path": "/p"}]},
        "logs": {"log_groups": ["/aws/lambda/f"]},
    }
)


def probe(kind: ProbeKind = "ok", ms: float = 50.0) -> ProbeResult:
    return ProbeResult(
        "prompts", "GET", "https://api.example.com/p", kind == "ok", kind, f"it was {kind}", 200, ms, 1, ""
    )


def logs(errors: int = 0, missing: int = 0) -> LogReport:
    tables = {"ai_cfg_sys_rag": missing} if missing else {}
    return LogReport(("g",), "", "", errors, errors, missing, 0, tables, (), False, 0.0, ())


def reading(
    *, at: datetime = NOW, kind: ProbeKind = "ok", ms: float = 50.0, errors: int = 0, missing: int = 0
) -> Reading:
    return Reading(at=at, restored=False, probes=(probe(kind, ms),), logs=logs(errors, missing))


def seen(weighed: Reasons) -> dict[str, int]:
    return {c.name: c.facts["consecutive"] for c in weighed.checks if c.facts["consecutive"]}


@pytest.mark.parametrize(
    ("given", "integrity", "reason"),
    [
        ({"kind": "server_error"}, [], "endpoints_answer"),
        ({"kind": "unauthorized"}, [], "endpoints_answer"),
        ({"errors": 3, "missing": 2}, [], "logs_name_no_missing_table"),
        ({}, ["sys_rag: more_than_one_row: 2"], "data_is_intact"),
        ({"kind": "value"}, [], "behaves_as_usual"),
        ({"kind": "shape"}, [], "behaves_as_usual"),
        ({}, [], None),
    ],
)
def test_each_reason_has_its_own_evidence(given: dict[str, Any], integrity: list[str], reason: str | None) -> None:
    weighed = weigh(reading(**given), History(), SERVICES, integrity)
    assert seen(weighed) == ({reason: 1} if reason else {})
    assert weighed.advised == (), "once is no advice"


def looks(*kinds: ProbeKind, minutes: float = 5) -> list[Reasons]:
    made: list[Reasons] = []
    history = History()
    for number, kind in enumerate(kinds):
        weighed = weigh(reading(at=NOW + timedelta(minutes=minutes * number), kind=kind), history, SERVICES, [])
        history = History(weighed.counts, weighed.counted_at)
        made.append(weighed)
    return made


def test_failures_in_a_row_are_advice_and_a_blip_is_not() -> None:
    assert [w.advised for w in looks("down", "down", "ok", "down", "down", "down")] == [
        (), (), (), (), (), ("endpoints_answer",),
    ]  # fmt: skip


def test_advice_never_says_more_looks_than_there_were() -> None:
    """15.10"""
    told = [{c.name: c.summary for c in w.checks}["endpoints_answer"] for w in looks("down", "down", "down")]
    assert "Seen in 1 look of 3 in a row: it may pass." in told[0]
    assert "Seen in 2 looks of 3 in a row: it may pass." in told[1]
    assert "Seen in 3 looks in a row: a rollback is advised" in told[2]
    once = SERVICES.model_copy(update={"watch": WatchSettings(consecutive=1)})
    (found, *_) = weigh(reading(kind="down"), History(), once, None).checks
    assert "in a row" not in found.summary


def test_looks_close_together_count_once() -> None:
    assert looks("down", "down", "down", "down", minutes=0.2)[-1].counts["endpoints_answer"] == 1


def test_a_look_that_did_not_read_the_rows_leaves_their_count_alone() -> None:
    history = History({"data_is_intact": 2}, NOW - timedelta(minutes=5))
    weighed = weigh(reading(), history, SERVICES, None)
    assert weighed.counts["data_is_intact"] == 2
    assert "data_is_intact" not in [c.name for c in weighed.checks]


def test_far_from_usual_needs_a_history_and_a_floor() -> None:
    usual = History(latencies={"prompts": [50.0] * 12}, errors=[0.0] * 12)
    assert "behaves_as_usual" in seen(weigh(reading(ms=2000), usual, SERVICES, []))
    assert "behaves_as_usual" in seen(weigh(reading(errors=9), usual, SERVICES, []))
    assert not seen(weigh(reading(ms=400), usual, SERVICES, []))
    few = History(latencies={"prompts": [50.0] * 3})
    assert not seen(weigh(reading(ms=2000), few, SERVICES, []))


def test_every_verdict_is_a_warning() -> None:
    weighed = weigh(reading(kind="down", missing=1, errors=1), History(), SERVICES, ["x"])
    assert {c.severity for c in weighed.checks} == {"WARN"}
    assert {c.severity for c in judge(reading(kind="down", errors=1), SERVICES)} == {"WARN"}


def test_rows_that_break_a_rule_of_the_old_table_are_found(migrated_database: Database) -> None:
    with running(migrated_database.url) as run:
        assert integrity_problems(run.session, run.migration) == []
        with migrated_database.admin() as admin:
            admin.execute("ALTER TABLE ai_cfg_org_prompts DROP CONSTRAINT ai_cfg_org_prompts_citation_style_check")
            admin.execute("UPDATE ai_cfg_org_prompts SET citation_style = 'loud'")
        (found,) = integrity_problems(run.session, run.migration)
    assert found.startswith("org_prompt_engineering: violates_check")


@pytest.mark.parametrize(
    ("model", "column", "kind"),
    [
        ("text-embedding-3-small", "default_embedding_model", "ok"),
        ("another", "default_embedding_model", "value"),
        ("text-embedding-3-small", "no_such_column", None),
    ],
)
def test_what_an_endpoint_returns_is_compared_with_the_database(
    migrated_database: Database, model: str, column: str, kind: str | None
) -> None:
    class Handler(QuietHandler):
        def do_GET(self) -> None:
            self.answer(200, b'{"model": "%s"}' % model.encode(), content_type="application/json")

    with serving(Handler) as url, running(migrated_database.url) as run:
        columns = {"$.model": {"table": "sys_rag", "column": column}}
        probe = {"name": "a", "path": "/a", "columns": columns}
        services = ServicesSettings.load({"endpoints": {"base_url": url, "token_variable": None, "probes": [probe]}})
        found = read_services(run.session, run.migration, services, attempts=1)
    if kind is None:
        assert "no_such_column" in found.complaints["endpoints"]
        assert not judge(found, services)[0].passed
    else:
        assert found.probes is not None
        assert found.probes[0].kind == kind
