"""Deploy scripts that really run: their output comes as it is written, their end is certain, secrets stay inside."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

from aicfg_pipeline.errors import ConfigError, ServiceError
from aicfg_pipeline.services.deploy import DeployService, secret_values

Script = Callable[..., DeployService]


@pytest.fixture
def script(tmp_path: Path) -> Script:
    def write(text: str, *arguments: str, **options: object) -> DeployService:
        path = tmp_path / "scripts" / "deploy.sh"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text if text.startswith("#!") else f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        return DeployService(tmp_path, ["./scripts/deploy.sh", *arguments], **options)  # type: ignore[arg-type]

    return write


def ignore(_line: str) -> None:
    pass


def alive(pid: int) -> bool:
    """Whether a process still runs; one that has ended and waits to be collected does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_deploy_that_succeeds_tells_its_output_and_status(script: Script, tmp_path: Path) -> None:
    lines: list[str] = []
    done = script("echo one; echo two >&2; echo args: $1; pwd", "module-ai/handler").run(lines.append)
    assert lines == ["one", "two", "args: module-ai/handler", str(tmp_path)]
    assert (done.exit_status, done.lines, done.last_lines) == (0, 4, tuple(lines))
    assert json.loads(json.dumps(asdict(done)))["command"] == ["./scripts/deploy.sh", "module-ai/handler"]


def test_the_command_may_be_a_string_and_is_never_given_to_a_shell(script: Script, tmp_path: Path) -> None:
    script('for a in "$@"; do echo "<$a>"; done')
    lines: list[str] = []
    DeployService(tmp_path, "./scripts/deploy.sh 'a b' $HOME ; touch hacked").run(lines.append)
    assert lines == ["<a b>", "<$HOME>", "<;>", "<touch>", "<hacked>"]
    assert not (tmp_path / "hacked").exists()


def test_each_line_comes_when_it_is_written_and_not_at_the_end(script: Script) -> None:
    times: list[float] = []
    script("echo first; sleep 0.5; echo second").run(lambda _line: times.append(time.monotonic()))
    assert times[1] - times[0] > 0.3


def test_output_that_is_not_utf8_and_without_a_last_newline_is_passed_on(script: Script) -> None:
    lines: list[str] = []
    script(r"printf 'gr\374n\n\033[31mred\033[0m\n10%%\r20%%\rend'").run(lines.append)
    assert lines == ["gr\ufffdn", "red", "10%", "20%", "end"]


def test_a_failing_deploy_shows_its_last_lines_and_status(script: Script) -> None:
    with pytest.raises(ServiceError) as caught:
        script("echo building; echo 'no such bucket' >&2; exit 3").run(ignore)
    assert "failed after" in caught.value.found
    assert "(exit status 3)" in caught.value.found
    assert caught.value.complaints == ("building", "no such bucket")


def test_a_deploy_whose_tool_is_not_installed_says_so(script: Script) -> None:
    with pytest.raises(ServiceError, match="exit status 127: a command that it runs is not installed"):
        script("no-such-tool-at-all").run(ignore)


def test_a_deploy_killed_by_a_signal_names_it(script: Script) -> None:
    with pytest.raises(ServiceError, match="ended by signal SIGKILL"):
        script("kill -9 $$").run(ignore)


def test_a_hanging_deploy_is_ended_with_every_process_it_started(script: Script, tmp_path: Path) -> None:
    began = time.monotonic()
    with pytest.raises(ServiceError) as caught:
        script("sleep 60 & echo $! > child; echo waiting; wait", timeout_seconds=0.5).run(ignore)
    assert "had not ended after 0.5 s" in caught.value.found
    assert caught.value.complaints == ("waiting",)
    assert not alive(int((tmp_path / "child").read_text()))
    assert time.monotonic() - began < 15


def test_a_deploy_that_ignores_the_polite_signal_is_ended_too(
    script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aicfg_pipeline.services.deploy._GRACE_SECONDS", 0.3)
    with pytest.raises(ServiceError, match="had not ended"):
        script("trap '' TERM; echo $$ > child; while :; do sleep 1; done", timeout_seconds=0.3).run(ignore)
    assert not alive(int((tmp_path / "child").read_text()))


def test_a_deploy_that_talks_without_pause_does_not_talk_past_its_end(script: Script) -> None:
    began = time.monotonic()
    with pytest.raises(ServiceError, match="had not ended after 0"):
        script("while :; do echo again; sleep 0.01; done", timeout_seconds=0.4).run(ignore)
    assert time.monotonic() - began < 15


def test_a_server_that_the_script_leaves_running_is_not_waited_for(script: Script, tmp_path: Path) -> None:
    began = time.monotonic()
    done = script("sleep 30 & echo $! > child; echo deployed").run(ignore)
    pid = int((tmp_path / "child").read_text())
    try:
        assert (done.exit_status, done.last_lines) == (0, ("deployed",))
        assert time.monotonic() - began < 5
        assert alive(pid)
    finally:
        os.kill(pid, signal.SIGKILL)


def test_when_the_caller_fails_the_deploy_does_not_go_on_unwatched(script: Script, tmp_path: Path) -> None:
    def fail(_line: str) -> None:
        raise RuntimeError("the run was ended")

    with pytest.raises(RuntimeError, match="the run was ended"):
        script("echo $$ > child; echo x; sleep 60").run(fail)
    assert not alive(int((tmp_path / "child").read_text()))


def test_a_missing_script_is_told_apart_from_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match=r"the deploy script \./scripts/deploy-lambda\.sh does not exist in"):
        DeployService(tmp_path).check()
    with pytest.raises(ServiceError, match=r"there is no folder .*/none to deploy from"):
        DeployService(tmp_path / "none").check()
    with pytest.raises(ServiceError, match="'no-such-tool' is not on the PATH"):
        DeployService(tmp_path, "no-such-tool x").check()


def test_a_script_that_is_not_executable_is_told_with_the_mend(script: Script, tmp_path: Path) -> None:
    service = script("echo x")
    (tmp_path / "scripts/deploy.sh").chmod(0o644)
    with pytest.raises(ServiceError) as caught:
        service.run(ignore)
    assert caught.value.found.endswith("scripts/deploy.sh is not executable")
    assert caught.value.remedy.startswith("`chmod +x ")  # type: ignore[union-attr]


def test_a_script_whose_interpreter_is_missing_says_so(script: Script) -> None:
    with pytest.raises(ServiceError, match="names an interpreter that is not installed"):
        script("#!/no/such/interpreter\n").run(ignore)


def test_a_file_that_is_no_program_says_so(script: Script, tmp_path: Path) -> None:
    service = script("x")
    (tmp_path / "scripts/deploy.sh").write_bytes(b"\x00\x01\x02")
    with pytest.raises(ServiceError, match="can't be started: Exec format error"):
        service.run(ignore)


@pytest.mark.parametrize("command", ["", "   ", [], "./x 'unfinished", ["a\0b"]])
def test_a_command_that_is_none_is_a_configuration_error(tmp_path: Path, command: str) -> None:
    with pytest.raises(ConfigError, match="the deploy command"):
        DeployService(tmp_path, command)


def test_secrets_are_masked_in_output_errors_and_command(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUPABASE_SERVICE_ROLE_KEY", "environment-secret")
    monkeypatch.setenv("AICFG_DATABASE_URL", "postgresql://app:url-secret@db/app")
    monkeypatch.setenv("SOME_KEY", "true")
    lines: list[str] = []
    service = script(
        'echo "$SUPABASE_SERVICE_ROLE_KEY|url-secret|given-secret|$1|password=typed-secret|true"; exit 1',
        "given-secret",
        secrets=["given-secret"],
    )
    with pytest.raises(ServiceError) as caught:
        service.run(lines.append)
    assert lines == ["***|***|***|***|password=***"]
    for secret in ("environment-secret", "url-secret", "given-secret", "typed-secret"):
        assert secret not in str(caught.value)


def test_each_line_of_a_secret_with_several_is_masked(script: Script) -> None:
    key = "-----BEGIN KEY-----\nMIIEvQIBADANBgkq\n-----END KEY-----"
    lines: list[str] = []
    script('echo "$SIGNING_KEY"', environment={"SIGNING_KEY": key}).run(lines.append)
    assert lines == ["***", "***", "***"]


def test_what_looks_like_a_secret_by_its_name_is_one() -> None:
    environment = {
        "API_KEY": "value-1", "GITHUB_TOKEN": "value-2", "PGPASSWORD": "value-3", "MY_PASS": "value-4",
        "DB_PWD": "value-5", "PWD": "/home", "KEYBOARD": "value-6", "PATH": "/bin", "AUTHOR": "value-7", "A_TOKEN": "1",
    }  # fmt: skip
    assert set(secret_values(environment)) == {"value-1", "value-2", "value-3", "value-4", "value-5"}
