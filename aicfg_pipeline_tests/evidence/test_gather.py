"""Ledger rows and checks become evidence, by value; nothing that is missing is made up."""

from __future__ import annotations

from datetime import timedelta

import pytest

from aicfg_pipeline.evidence import Known, gather
from aicfg_pipeline.evidence.facts import Comparison, Database, DifferingKey, ExportFile, Hazard, Side
from aicfg_pipeline.evidence.verdict import verdict
from aicfg_pipeline.postgres.statements import engine
from aicfg_pipeline.rollback import ledger
from aicfg_pipeline.rollback.checks.check import Check
from aicfg_pipeline.rollback.hazards import Hazard as PlanHazard
from aicfg_pipeline.rollback.ledger import Ledger
from aicfg_pipeline.rollback.steps import compare, copy_back, cut_over, verify
from aicfg_pipeline.runbook.by_hand import manual_steps
from aicfg_pipeline.services.settings import ServicesSettings
from aicfg_pipeline.spec import load as spec
from aicfg_pipeline_tests.evidence.samples import (
    IDENTITY,
    NONE,
    RUN,
    SIDES,
    START,
    data_checks,
    entry,
    rolled_back,
    sample,
)
from aicfg_pipeline_tests.tools.migration import running
from aicfg_pipeline_tests.tools.servers import Database as Target

OLD = "org_prompt_engineering"


def one_pair(**more: object):
    known = {"kind": "rollback", "run_id": RUN, "database": IDENTITY, "checks": data_checks(), "ended": START}
    return gather(more.pop("entries", rolled_back()), Known(**{**known, **more}))


def test_database_is_told_apart():
    assert one_pair().database == Database(
        name="app",
        server_address="10.0.0.7",
        server_port=5432,
        server_version="PostgreSQL 18.2",
        system_identifier="7571234567890123456",
        role="postgres",
        target="app@10.0.0.7:5432",
    )


def test_pair_before_and_after():
    [pair] = one_pair(states_before={OLD: "migrated"}).pairs
    assert (pair.old, pair.new, pair.state_before, pair.state_after) == (
        OLD,
        "ai_cfg_org_prompts",
        "migrated",
        "cut_over",
    )
    assert pair.before == Side(rows=400, checksum="-41")
    assert pair.after == Side(rows=401, checksum="17")
    assert (pair.differences, pair.unexplained) == (1, 0)
    assert (pair.keys_replayed, pair.keys_written_since, pair.locks_held_ms) == (7, 1, 4.7)
    assert [c.when for c in pair.comparisons] == ["before_cut_over", "after_cut_over"]


def test_timeline_takes_the_longest_known_time():
    steps = one_pair().timeline
    assert [(s.step, s.outcome) for s in steps][1] == ("copy_back", "copied")
    copied, swapped = steps[1], steps[4]
    assert copied.seconds == 0.95
    assert copied.started == copied.at - timedelta(seconds=0.95)
    assert copied.facts == {"rows": 400, "copy_seconds": 0.95}
    assert (swapped.seconds, swapped.locks_held_ms) == (0.0047, 4.7)


def test_verdict_who_plan_and_way_back():
    evidence = one_pair(who="ada", command="run the job {}".format)
    assert evidence.outcome == "succeeded"
    assert evidence.verdict == (
        "The rollback succeeded: org_prompt_engineering is a table again, 400 rows compared and the one that"
        " differs was written since; locks were held for 4.7 ms."
    )
    assert (evidence.who, evidence.plan_hash, evidence.locks_held_ms) == ("ada", "c0ffee", 4.7)
    assert evidence.way_back.possible
    assert evidence.way_back.until == START + timedelta(days=7)
    assert evidence.way_back.command == "run the job undo_rollback"


def test_rows_of_other_runs_are_left_out_of_a_ledger_but_kept_in_a_list():
    other = entry(9, "settle", "validated", OLD, run_id="another-run")
    book = Ledger((*rolled_back(), other))
    assert len(gather(book, Known("rollback", RUN, IDENTITY)).timeline) == 6
    assert len(gather(book.entries, Known("rollback", RUN, IDENTITY)).timeline) == 7


def test_nothing_known_at_all():
    evidence = gather([], Known("rollback", "r", None))
    assert (evidence.outcome, evidence.pairs, evidence.timeline) == ("nothing_to_do", [], [])
    assert evidence.database == Database(name="?")
    assert evidence.verdict == "There was nothing to do: no table was looked at."
    assert not evidence.way_back.possible


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {"before": None, "after": 3, "differences": "many"},
        {"before": {"rows": "four"}, "after": {}, "differences": []},
        {"locks_held_ms": "soon", "retain_until": "never", "entries": -1, "seconds": float("nan")},
        {"locks_held_ms": True, "keys_replayed": None, "state": None, "retain_until": 12},
        {"differences": {"differences": None, "sample": [{"kind": "missing"}, 3, {"key": None}]}},
    ],
)
@pytest.mark.parametrize("step", ["compare", "cut_over", "drop", "copy_back", "undo", "something_new"])
def test_odd_facts_are_left_out(step, facts):
    evidence = one_pair(entries=[entry(1, step, "done", OLD, facts=facts)], checks=())
    [pair] = evidence.pairs
    assert (pair.before, pair.after, pair.locks_held_ms) == (None, None, None)


def test_unexplained_keys_are_shown_without_values():
    sample_rows = [{"key": ["a1"], "kind": "changed", "before": "private words", "after": "other words"}]
    facts = {**SIDES, "differences": {"differences": 1, "unexplained": 1, "sample": sample_rows}}
    evidence = one_pair(entries=[entry(1, "compare", "refuted", OLD, facts=facts)], checks=(), error="gate failed")
    [comparison] = evidence.pairs[0].comparisons
    assert comparison == Comparison(
        when="before_cut_over",
        at=START + timedelta(seconds=1),
        before=Side(rows=400, checksum="-41"),
        after=Side(rows=400, checksum="-41"),
        differences=1,
        unexplained=1,
        sample=[DifferingKey(key=["a1"], kind="changed")],
    )
    assert "words" not in evidence.model_dump_json()


def test_drop():
    exports = [{"file": "/x/a.csv.gz", "table": "a", "rows": 400, "sha256": "ff"}, {"rows": 1}, "odd"]
    dropped = entry(1, "drop", "done", OLD, facts={**SIDES, "differences": NONE, "exports": exports})
    evidence = one_pair(kind="drop", entries=[dropped], checks=data_checks())
    assert evidence.verdict == (
        "The drop of the new tables succeeded: org_prompt_engineering is gone, all 400 rows proven equal;"
        " the ledger stays."
    )
    assert [c.when for c in evidence.pairs[0].comparisons] == ["at_drop"]
    assert evidence.pairs[0].state_after == "rolled_back"
    assert not evidence.way_back.possible
    assert evidence.exports == [ExportFile(file="/x/a.csv.gz", table="a", rows=400, sha256="ff")]


def test_a_run_that_goes_on_knows_the_retention_of_the_one_before():
    book = Ledger((*rolled_back(), entry(9, "run", "started", run_id="next")))
    evidence = gather(book, Known("rollback", "next", IDENTITY, states_after={OLD: "cut_over"}))
    assert (evidence.outcome, evidence.way_back.until) == ("nothing_to_do", START + timedelta(days=7))


def test_undo():
    proven = entry(1, "undo", "proven", OLD, facts={**SIDES, "differences": NONE})
    undone = entry(2, "undo", "done", OLD, facts={**SIDES, "differences": NONE, "locks_held_ms": 3.0})
    evidence = one_pair(kind="undo", entries=[proven, undone], checks=(), migration=spec.load())
    assert evidence.verdict == (
        "The undo of the rollback succeeded: ai_cfg_sys_rag and ai_cfg_org_prompts are in use again;"
        " locks were held for 3.0 ms."
    )
    assert evidence.checklist == []
    assert [c.when for c in evidence.pairs[1].comparisons] == ["at_undo"]
    assert evidence.pairs[1].state_after == "migrated"


@pytest.mark.parametrize(
    ("more", "outcome"),
    [
        ({"error": "the deploy failed"}, "failed"),
        ({"error": "hazards", "entries": []}, "refused"),
        ({"hazards": [{"code": "replica", "found": "it is one", "blocks": True}], "entries": []}, "refused"),
        ({"checks": data_checks(passed=False)}, "failed"),
        ({"entries": []}, "nothing_to_do"),
        ({"entries": [], "outcome": "succeeded"}, "succeeded"),
        ({}, "succeeded"),
    ],
)
def test_outcomes(more, outcome):
    assert one_pair(**more).outcome == outcome


@pytest.mark.parametrize(
    "known", [{"before": None}, {"unexplained": 1}, {"unexplained": None}], ids=["no rows", "one differs", "not looked"]
)
def test_rows_are_proven_equal_only_where_they_were_compared_and_none_differs(known):
    proven = one_pair().pairs[0].model_copy(update={"differences": 0})
    assert "proven equal" in verdict("rollback", "succeeded", [proven], None)
    assert "proven equal" not in verdict("rollback", "succeeded", [proven.model_copy(update=known)], None)


def test_failure_after_the_cut_over_names_both_ways_on():
    evidence = one_pair(error="the deploy failed")
    assert evidence.verdict == "The rollback did not finish: org_prompt_engineering is cut over."
    assert "run the same job again, or undo" in evidence.way_back.text


def test_hazards_of_any_shape():
    class Found:
        code, found, accepted, blocks, remedy, more = "dependents", "a view", False, True, "recreate it", 3

    evidence = one_pair(hazards=[Found(), {"code": "replica", "found": "is one"}], accepted=["dependents"])
    real = PlanHazard("replica", "it is one", "connect to the primary", pair=OLD)
    assert one_pair(hazards=[real], accepted=["replica"], entries=[]).outcome == "refused"
    assert one_pair(hazards=[real], accepted=["replica"]).hazards == [
        Hazard(code="replica", found="it is one", pair=OLD, blocks=True, remedy="connect to the primary")
    ]
    assert evidence.hazards == [
        Hazard(code="dependents", found="a view", accepted=True, blocks=True, remedy="recreate it"),
        Hazard(code="replica", found="is one"),
    ]


def test_a4_the_word_succeeded_is_kept_for_when_nothing_is_open():
    """A4: a report that says succeeded while code and deploy are nobody's was green while the service was down."""
    open_ = one_pair(by_hand=manual_steps(ServicesSettings(), spec.load()))
    assert open_.outcome == "steps_open"
    assert open_.verdict.startswith(
        "The database is rolled back. 4 steps are yours now: org_prompt_engineering is a table"
    )
    assert "succeeded" not in open_.verdict
    assert [s.service for s in open_.open_steps] == ["repository", "deploy", "endpoints", "logs"]
    told = one_pair(by_hand=[{"service": "webhook", "title": "tell", "open": False}])
    assert (told.outcome, told.open_steps) == ("succeeded", [])
    failed = one_pair(by_hand=manual_steps(ServicesSettings(), spec.load()), error="gate")
    assert (failed.outcome, failed.open_steps) == ("failed", [])


def test_who_launched_it_why_and_how_is_told():
    evidence = one_pair(who="ada@laptop", reason="endpoint down", settings={"retain_days": 0, "accept_hazards": ["x"]})
    assert (evidence.who, evidence.reason) == ("ada@laptop", "endpoint down")
    assert evidence.settings == {"retain_days": 0, "accept_hazards": ["x"]}


def test_steps_left_to_a_person():
    steps = manual_steps(ServicesSettings(), spec.load())
    evidence = one_pair(by_hand=steps)
    assert [h.service for h in evidence.by_hand] == [s.service for s in steps]
    endpoint = next(h for h in evidence.by_hand if h.service == "endpoints")
    assert endpoint.command == next(s.command for s in steps if s.service == "endpoints")


def test_data_checks_show_no_text_values():
    facts = {"custom_prompt": "private words", "rows_before": 3, "columns": ["a"], "table": [{"x": "private words"}]}
    check = Check("rows", OLD, "old", "failed", "2 rows differ.", facts=facts)
    evidence = one_pair(checks=[check])
    assert evidence.checks[0].facts == {"rows_before": 3, "columns": ["a"]}
    assert "private words" not in evidence.model_dump_json()


def test_catalog_checks_show_their_differences():
    lines = [{"what": "column a: default", "expected": "1", "found": "2"}]
    check = Check("structure", OLD, "old", "failed", "1 difference.", facts={"differences": lines, "facts_compared": 9})
    assert one_pair(checks=[check]).checks[0].facts == {
        "differences": ["column a: default: expected 1, found 2"],
        "facts_compared": 9,
    }


def test_assets_are_named_as_dagster_names_them():
    checks = [Check("c", OLD, kind, "passed", "") for kind in ("old", "new", "view")]
    assert [c.asset for c in sample(checks=checks).checks] == [
        f"old/{OLD}",
        "new/ai_cfg_org_prompts",
        f"view/{OLD}",
    ]


def test_real_run(migrated_database: Target):
    with running(migrated_database.url, run_id=RUN) as run:
        with run.writing() as session:
            session.script(ledger.prepare_statements(session, run.migration))
        before = run.look().summary
        for pair in run.migration.pairs:
            copy_back.copy_back(run, pair.old)
        compare.compare(run)
        cut_over.cut_over(run)
        look = run.look()
        known = Known(
            "rollback",
            RUN,
            run.session.one(engine("identity")),
            migration=run.migration,
            checks=verify.run_checks(run.session, run.migration, [(OLD, "checksum"), (OLD, "row_count")]),
            states_before=before,
            states_after=look.summary,
        )
        evidence = gather(ledger.read(run.session, run.migration, statements=True), known)
    assert evidence.outcome == "succeeded"
    assert evidence.database.name == migrated_database.url.rsplit("/", 1)[-1].split("?")[0]
    assert {p.state_after for p in evidence.pairs} == {"cut_over"}
    assert all(p.before == p.after and p.unexplained == 0 and p.before for p in evidence.pairs)
    assert evidence.locks_held_ms is not None
    assert 0 < evidence.locks_held_ms < 5000
    assert {"copy_back", "compare", "cut_over", "settle"} <= {s.step for s in evidence.timeline}
    assert any("CREATE TABLE" in s.sql for _, s in evidence.statements)
    assert not any("INSERT INTO aicfg_rollback.ledger (run_id" in s.sql for _, s in evidence.statements)
