"""The wiring of the services: what is not configured is shown, what can't be used stops the plan, what fails later
starts the services again and says what is where.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import AFTER, BEFORE, Quick, RunJob, confirm, failure_of
from dagster import DagsterInstance, ExecuteInProcessResult

from aicfg_pipeline.errors import ConfigError
from aicfg_pipeline.orchestration.services import load_services
from aicfg_pipeline.services.repository import Repository
from aicfg_pipeline_tests.services.servers import QuietHandler, serving
from aicfg_pipeline_tests.tools.servers import Database

PROBE = {"name": "a", "path": "/a"}


def rollback(quick: Quick, run_job: RunJob, **settings: Any) -> ExecuteInProcessResult:
    return run_job("rollback", quick.environment(), confirm(quick.database, **settings))


def untouched(quick: Quick) -> bool:
    steps = {row[0] for row in quick.database.query("SELECT step FROM aicfg_rollback.ledger")}
    return quick.state == BEFORE and not steps & {"run", "services", "copy_back", "cut_over"}


# --- settings --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "can't be read"),
        ("lambdas: [", "is not YAML: line 1"),
        ("- a", "holds no mapping"),
        ("deploy: {}\nlambdas: {function_names: []}\nnonsense: 1", "deploy.directory"),
    ],
)
def test_a_settings_file_that_cant_be_used_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None, said: str
) -> None:
    file = tmp_path / "services.yaml"
    if text is not None:
        file.write_text(text)
    monkeypatch.setenv("AICFG_SERVICES", str(file))
    with pytest.raises(ConfigError) as caught:
        load_services()
    assert said in str(caught.value)
    if "nonsense" in (text or ""):
        assert "nonsense" in str(caught.value)
        assert "function_names" in str(caught.value)


def test_a_mistake_names_file_line_column_and_the_nearest_right_key_and_is_found_before_the_plan(
    migrated_database: Database, tmp_path: Path, run_job: RunJob
) -> None:
    """15.16"""
    file = tmp_path / "services.yaml"
    file.write_text(
        "lambda:\n  function_names: [f]\nendpoints:\n  base_url: https://x\n  probes:\n    - name: a\n      pth: /a\n"
        "watch: {consecutive: 0, spacing: 1}\n"
    )
    variables = {"AICFG_DATABASE_URL": migrated_database.url, "AICFG_SERVICES": str(file)}
    done = run_job("rollback", variables, confirm(migrated_database))
    told = failure_of(done)
    for complaint in (
        "services.yaml:1:1: lambda: there is no such key; did you mean lambdas?",
        "services.yaml:7:7: endpoints.probes.0.pth: there is no such key; did you mean path?",
        "services.yaml:6:7: endpoints.probes.0.path: Field required",
        "services.yaml:8:9: watch.consecutive: Input should be greater than 0",
        "services.yaml:8:25: watch.spacing: there is no such key; did you mean spacing_seconds?",
    ):
        assert complaint in told
    assert not [e for e in done.all_events if "plan " in (e.message or "") and e.is_asset_observation]
    file.write_text("watch: {consecutive: 2}\nwatch: {consecutive: 3}\n")
    assert "services.yaml:2:1: watch: it stands here twice" in failure_of(run_job("verify", variables))
    assert run_job("abandon", variables, confirm(migrated_database)).success, "what needs no service goes on"


def test_an_empty_variable_is_a_mistake_and_an_empty_file_is_nothing_configured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AICFG_SERVICES", " ")
    with pytest.raises(ConfigError):
        load_services()
    file = tmp_path / "services.yaml"
    file.write_text("# nothing yet\n")
    monkeypatch.setenv("AICFG_SERVICES", str(file))
    assert load_services().lambdas is None


def test_nothing_configured_is_shown_with_commands_and_each_op_says_so(
    migrated_database: Database,
    tmp_path: Path,
    run_job: RunJob,
    instance: DagsterInstance,
    capfd: pytest.CaptureFixture[str],
) -> None:
    variables = {"AICFG_DATABASE_URL": migrated_database.url, "AICFG_HOME": str(tmp_path)}
    done = run_job("rollback", variables, confirm(migrated_database))
    assert done.success
    output = "".join(capfd.readouterr())
    assert "The database is rolled back. 4 steps are yours now." in output
    logged = [e.user_message for e in instance.all_logs(done.run_id)]
    for words in ("git mv archive/006", "./scripts/deploy-lambda.sh", "filter-log"):
        assert words in output
    for op, service in {
        "stop_services": "lambdas",
        "revert_code": "repository",
        "redeploy": "deploy",
        "start_services": "lambdas",
    }.items():
        assert f"{op}: {service} is not configured, so nothing was done here: do it by hand" in logged


def test_everything_that_cant_be_used_is_named_at_once_before_anything_is_touched(
    quick: Quick, run_job: RunJob
) -> None:
    quick.configure(
        lambdas={"function_names": ["ai-config-handler", "no-such-function"]},
        repository={"commit": "no-such-commit"},
        deploy={"command": "./scripts/no-such-script.sh"},
        logs={"region": "eu-central-1", "endpoint_url": quick.aws.url, "log_groups": ["/no/such/group"]},
        endpoints={"base_url": "http://127.0.0.1:1", "token_variable": "NO_SUCH_TOKEN", "probes": [PROBE]},
    )
    done = rollback(quick, run_job)
    assert not done.success
    told = failure_of(done)
    for name in ("no-such-function", "no-such-commit", "no-such-script.sh", "/no/such/group", "NO_SUCH_TOKEN"):
        assert name in told
    assert "5 of the configured services" in told
    assert untouched(quick)


def test_a_working_copy_with_local_changes_stops_the_plan(quick: Quick, run_job: RunJob) -> None:
    (quick.project.toolkit / quick.settings["repository"]["code_paths"][0]).write_text("changed\n")
    told = failure_of(rollback(quick, run_job))
    assert "has local changes" in told
    quick.project._git("checkout", "--quiet", "--", ".")
    assert untouched(quick)


def test_a_token_that_is_refused_stops_the_plan_and_an_endpoint_that_fails_does_not(
    quick: Quick, run_job: RunJob
) -> None:
    class Handler(QuietHandler):
        status = 401

        def do_GET(self) -> None:
            self.answer(self.status, b"{}", content_type="application/json")

    with serving(Handler) as url:
        quick.configure(endpoints={"base_url": url, "token_variable": None, "attempts": 1, "probes": [PROBE]})
        assert "the endpoints can't be asked" in failure_of(rollback(quick, run_job))
        assert untouched(quick)
        Handler.status = 500
        done = rollback(quick, run_job)
        told = failure_of(done)
        assert "endpoints: a: server_error" in told, "the gate after, not the plan"
        assert [e.step_key for e in done.all_events if e.is_step_failure] == ["verify"]
        assert "The services" not in told, "they run already"
        assert "Where things are" in told
        assert quick.state == AFTER
        Handler.status = 200
        assert rollback(quick, run_job).success


def test_functions_that_are_configured_to_be_left_running_are(quick: Quick, run_job: RunJob) -> None:
    quick.configure(lambdas={"stop": False})
    assert rollback(quick, run_job).success
    assert quick.state == AFTER
    steps = [r[0] for r in quick.database.query("SELECT outcome FROM aicfg_rollback.ledger WHERE step = 'services'")]
    assert steps == []


# --- failures --------------------------------------------------------------------------------------------------


def test_a_deploy_that_fails_leaves_the_services_running_the_database_undoable_and_says_so(
    quick: Quick, run_job: RunJob
) -> None:
    good = quick.script.read_text()
    quick.script.write_text("#!/bin/sh\necho building\necho no space left >&2\nexit 3\n")
    done = rollback(quick, run_job)
    told = failure_of(done)
    for words in (
        "exit status 3",
        "no space left",
        "The services were started again as they were before: ai-config-handler with reserved concurrency 5.",
        "sys_rag is cut_over",
        "the code has the old names on branch aicfg-rollback",
        "may be half done",
        "-j rollback",
        "-j undo_rollback",
    ):
        assert words in told
    assert quick.state == {**AFTER, "deployed": []}
    quick.script.write_text(good)
    assert rollback(quick, run_job).success
    assert quick.state == AFTER


def test_a_gate_that_fails_before_the_cut_over_starts_the_services_again(
    quick: Quick, run_job: RunJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    from aicfg_pipeline.rollback.steps import compare

    compare_all = compare.compare

    def spoiled(run: Any) -> Any:
        run.session.execute("UPDATE aicfg_rollback.sys_rag SET backup_retention_days = 1")
        return compare_all(run)

    monkeypatch.setattr(compare, "compare", spoiled)
    told = failure_of(rollback(quick, run_job))
    assert "started again as they were before" in told
    assert "Where things are" not in told, "nothing has changed for anyone"
    assert quick.state == BEFORE


@pytest.mark.parametrize("error", [RuntimeError("a bug"), KeyboardInterrupt()], ids=["bug", "interrupt"])
def test_whatever_ends_a_later_step_starts_the_services_again(
    quick: Quick, run_job: RunJob, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    from aicfg_pipeline.rollback.steps import cut_over

    def ends(run: Any) -> Any:
        assert quick.aws.concurrency("ai-config-handler") == 0
        raise error

    monkeypatch.setattr(cut_over, "cut_over", ends)
    with contextlib.suppress(type(error)):
        assert not rollback(quick, run_job).success
    assert quick.state == BEFORE


def test_a_run_that_ends_between_two_steps_starts_the_services_again(
    quick: Quick, run_job: RunJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dagster import DagsterInstance

    handle = DagsterInstance.handle_new_event

    def handling(self: Any, event: Any, **options: Any) -> Any:
        handle(self, event, **options)
        seen = event.dagster_event
        if seen is not None and seen.is_step_success and seen.step_key == "stop_services":
            assert quick.aws.concurrency("ai-config-handler") == 0
            raise RuntimeError("the event log is full")

    monkeypatch.setattr(DagsterInstance, "handle_new_event", handling)
    with contextlib.suppress(RuntimeError):
        assert not rollback(quick, run_job).success
    assert quick.state == BEFORE


def test_a_function_that_is_deleted_meanwhile_is_named_and_the_next_run_goes_on(
    quick: Quick, run_job: RunJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick.aws.function("other", concurrency=2)
    quick.configure(lambdas={"function_names": ["ai-config-handler", "other"]})

    def deleting(*_: Any) -> Any:
        quick.aws.client("lambda").delete_function(FunctionName="other")
        return ()

    monkeypatch.setattr(Repository, "references", deleting)
    told = failure_of(rollback(quick, run_job))
    assert "other" in told
    assert quick.state["concurrency"] == 5
    monkeypatch.setattr(Repository, "references", lambda *_: ())
    quick.configure(lambdas={"function_names": ["ai-config-handler"]})
    assert rollback(quick, run_job).success
    assert quick.state["concurrency"] == 5


def test_a_commit_that_still_names_a_new_table_is_refused_after_the_cut_over_and_can_be_undone(
    quick: Quick, run_job: RunJob
) -> None:
    quick.configure(repository={"commit": "migrated"})
    quick.project._git("checkout", "--quiet", "main")
    told = failure_of(rollback(quick, run_job))
    assert "lambda_function.py" in told
    assert quick.state["concurrency"] == 5
    assert run_job("undo_rollback", quick.environment(), confirm(quick.database)).success
    assert quick.database.exists("public.ai_cfg_sys_rag") == "r"
    assert quick.state == BEFORE


def test_no_secret_of_the_services_is_shown(
    quick: Quick, run_job: RunJob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    secret = "tok-5d2f9c-very-secret"
    quick.script.write_text(f'#!/bin/sh\necho "using $AICFG_API_TOKEN"\n{quick.script.read_text()[10:]}')
    monkeypatch.setenv("AICFG_API_TOKEN", secret)
    assert rollback(quick, run_job).success
    output = "".join(capfd.readouterr())
    assert "using ***" in output
    assert secret not in output
    files = [f for f in (tmp_path / "home").rglob("*") if f.is_file()]
    assert files
    assert not [f for f in files if secret.encode() in f.read_bytes()]
    assert not quick.database.query("SELECT 1 FROM aicfg_rollback.ledger WHERE facts::text LIKE %s", (f"%{secret}%",))


def test_the_settings_file_of_the_demo_has_no_secret(quick: Quick) -> None:
    text = quick.project.services_file.read_text()
    token = str(quick.project._facts["token"])
    assert token not in text
    assert yaml.safe_load(text)["repository"]["commit"] == "before-migration"
    assert os.stat(quick.project._kept).st_mode & 0o077 == 0
