"""Any run config whatever ends in a plan or in a complaint that a person can read, and changes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from dagster import DagsterInstance, DagsterInvalidConfigError, ExecuteInProcessResult
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from aicfg_pipeline.orchestration.config import flat_run_config
from aicfg_pipeline.orchestration.loading import told as refused_told
from aicfg_pipeline_tests.tools.planning import unchanged
from aicfg_pipeline_tests.tools.servers import Database

FIELDS = (
    "confirm_database",
    "reason",
    "dry_run",
    "accept_hazards",
    "retain_days",
    "terminate_blockers",
    "before_retention_ends",
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20)
ANYTHING = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=2)
)
WELL_TYPED = st.fixed_dictionaries(
    {},
    optional={
        "confirm_database": st.text(max_size=20),
        "dry_run": st.booleans(),
        "accept_hazards": st.lists(
            st.text(max_size=12) | st.sampled_from(["dependents", "unmapped_column"]), max_size=3
        ),
        "retain_days": st.integers(-5, 400),
        "terminate_blockers": st.booleans(),
    },
)
WILD = st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=8), ANYTHING, max_size=4)


@pytest.fixture
def instance() -> Any:
    with DagsterInstance.ephemeral() as made:
        yield made


def complaints(config: dict[str, Any]) -> list[str]:
    """What Dagster's own look at a run config says, in the launchpad as on the command line."""
    with pytest.raises(DagsterInvalidConfigError) as caught:
        flat_run_config("rollback").resolve_from_unvalidated_config(config)
    return [refused_told(e.message) for e in caught.value.errors]


def test_where_a_database_is_configured_nothing_is_launched_before_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """15.9: left out, empty, or spaces."""
    monkeypatch.setenv("AICFG_DATABASE_URL", "postgresql://u@db.example.com/app")
    told = (
        "not_confirmed: confirm_database is missing; if app@db.example.com:5432 is the database you mean, set"
        " confirm_database: app@db.example.com:5432"
    )
    assert [complaints(c) for c in ({}, {"confirm_database": ""}, {"confirm_database": " "})] == [[told]] * 3
    for job in ("plan", "verify"):  # these only read
        assert flat_run_config(job).resolve_from_unvalidated_config({})
    for named in ("demo", ""):
        monkeypatch.setenv("AICFG_DATABASE_URL", named)
        assert flat_run_config("rollback").resolve_from_unvalidated_config({})


@pytest.mark.parametrize("days", [-1, 366, 10**30])
def test_a_number_out_of_bounds_is_refused_before_the_launch(days: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AICFG_DATABASE_URL", "demo")
    assert complaints({"retain_days": days}) == [
        f"retain_days is {days}: a number of days from 0 (drop at the end of this run) to 365"
    ]


def test_an_unknown_hazard_is_refused_before_the_launch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AICFG_DATABASE_URL", "demo")
    (told,) = complaints({"accept_hazards": ["violates_check"]})
    assert "not in enum type HazardCode" in told


def test_never_a_traceback(
    migrated_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, instance: DagsterInstance
) -> None:
    from aicfg_pipeline.definitions import defs

    monkeypatch.setenv("AICFG_DATABASE_URL", migrated_database.url)
    monkeypatch.setenv("AICFG_HOME", str(tmp_path))
    rollback, endings = defs.get_job_def("rollback"), set()

    # a config that would be acted on is one that confirms: these never do, or only to have a look
    @settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(st.one_of(WILD, WELL_TYPED), st.booleans())
    @example({"accept_hazards": ["\x00", "'; DROP TABLE auth.users; --", "{}", "%s"], "retain_days": 365}, True)
    @example({"accept_hazards": ["dependents"]}, True)
    @example({"retain_days": 10**30}, True)
    @example({}, False)
    def run(config: dict[str, Any], look: bool) -> None:
        if look:
            config = {**config, "confirm_database": migrated_database.name, "dry_run": True}
        try:
            done = rollback.execute_in_process(instance=instance, run_config=config, raise_on_error=False)
        except DagsterInvalidConfigError:
            endings.add("invalid")
        else:
            judge(done)

    def judge(done: ExecuteInProcessResult) -> None:
        endings.add("done" if done.success else "refused")
        for event in done.all_events:
            if event.is_step_failure:
                failed = event.event_specific_data.error  # type: ignore[union-attr]
                assert failed.cls_name in ("bad_config", "hazards")
                assert not failed.stack

    with unchanged(migrated_database):
        run()
    assert endings == {"invalid", "done", "refused"}
