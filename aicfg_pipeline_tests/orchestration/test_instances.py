"""Several migrations in one code location, as components: each under its prefix, and no two of one name."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from dagster import Definitions
from dagster.components.core.component_tree import ComponentTree

import aicfg_pipeline
from aicfg_pipeline.definitions import defs as alone
from aicfg_pipeline.spec import load as spec
from aicfg_pipeline_tests.rollback.beside.two import COLUMNS, NEW, OLD, make_both
from aicfg_pipeline_tests.tools.folders import write_folder
from aicfg_pipeline_tests.tools.forking import run_module
from aicfg_pipeline_tests.tools.servers import Database

HAS_DG = Path(sys.executable).with_name("dg").exists()
PROJECT = """\
[project]
name = "{name}"
version = "0.1"

[tool.dg]
directory_type = "project"

[tool.dg.project]
root_module = "{name}"
registry_modules = ["aicfg_pipeline"]
"""
DEFINITIONS = """\
from pathlib import Path

from dagster import definitions, load_from_defs_folder


@definitions
def defs():
    return load_from_defs_folder(path_within_project=Path(__file__).parent)
"""


def write_project(folder: Path, name: str, **instances: dict[str, Any]) -> Path:
    """Write a project of Dagster's with an instance for each name; `migration_name` is the migration's own."""
    package = folder / "src" / name
    (package / "defs").mkdir(parents=True)
    (folder / "pyproject.toml").write_text(PROJECT.format(name=name))
    (package / "__init__.py").touch()
    (package / "defs" / "__init__.py").touch()
    (package / "definitions.py").write_text(DEFINITIONS)
    for at, attributes in instances.items():
        own = attributes.pop("migration_name", at)
        write_folder(package / "defs" / at / "migration", OLD, NEW, COLUMNS, name=own, schema=at)
        said = {"type": "aicfg_pipeline.RenameRollback", "attributes": {"migration": "migration", **attributes}}
        (package / "defs" / at / "defs.yaml").write_text(yaml.safe_dump(said))
    return folder


def loaded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Definitions:
    """Load the definitions as a code location does."""
    monkeypatch.syspath_prepend(str(folder / "src"))
    return ComponentTree.for_project(folder).build_defs()


def jobs_of(definitions: Definitions) -> set[str]:
    return {j.name for j in definitions.get_repository_def().get_all_jobs()} - {"__ASSET_JOB"}


def test_names_of_each_begin_with_its_prefix_and_those_of_a_single_one_do_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_project(tmp_path, "prefixed", one={"prefix": "first"}, two={})
    repository = loaded(folder, monkeypatch).get_repository_def()
    single = jobs_of(alone)
    assert jobs_of(loaded(folder, monkeypatch)) == single | {f"first_{name}" for name in single}
    keys = {key.to_user_string() for key in repository.asset_graph.get_all_asset_keys()}
    assert {"first/old/thing", "first/new/item", "old/thing", "new/item", "first/verification", "verification"} <= keys
    sensors = {s.name for s in repository.sensor_defs}
    assert {s for s in sensors if s.startswith("first_")} == {f"first_{s}" for s in sensors if "first_" not in s}


def test_all_that_collides_is_told_at_once_when_the_code_location_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    same = {"prefix": "same", "migration_name": "twice"}
    folder = write_project(tmp_path, "colliding", one=dict(same), two=dict(same), three={"prefix": "other"})
    with pytest.raises(Exception) as caught:
        loaded(folder, monkeypatch)
    told = _whole(caught.value)
    for complaint in ("the migration's name twice", "the prefix same"):
        assert complaint in told
    assert "the prefix other" not in told


def test_a_prefix_that_makes_the_name_of_anothers_job_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_project(tmp_path, "undone", one={}, two={"prefix": "undo"})
    with pytest.raises(Exception) as caught:
        loaded(folder, monkeypatch)
    assert "the name undo_rollback: " in _whole(caught.value)


@pytest.mark.parametrize(
    ("attributes", "complaint"),
    [
        ({"prefix": "With space"}, "lower case letters"),
        ({"database_url_variable": "postgresql://u:s3cret@h/d"}, "the name of an environment variable"),
    ],
)
def test_attributes_that_cant_be_used_are_told_and_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, attributes: dict[str, Any], complaint: str
) -> None:
    folder = write_project(tmp_path, f"wrong_{len(complaint)}", one=attributes)
    with pytest.raises(Exception) as caught:
        loaded(folder, monkeypatch)
    told = _whole(caught.value)
    assert complaint in told
    assert "s3cret" not in told.replace(str(attributes), "")


def _whole(error: BaseException | None) -> str:
    told = []
    while error is not None:
        told.append(str(error))
        error = error.__cause__ or error.__context__
    return "\n".join(told)


def test_an_instance_without_a_database_is_told_when_a_job_is_launched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_project(tmp_path, "unnamed", one={"prefix": "one", "database_url_variable": "NOWHERE_URL"})
    job = loaded(folder, monkeypatch).resolve_job_def("one_plan")
    assert job.tags["target"] == "none: NOWHERE_URL is not set"
    monkeypatch.setenv("AICFG_HOME", str(tmp_path / "home"))
    result = job.execute_in_process(raise_on_error=False)
    assert not result.success
    (failure,) = [e.step_failure_data.error for e in result.all_events if e.is_step_failure]
    assert "NOWHERE_URL is not set" in str(failure)


@pytest.mark.slow
@pytest.mark.skipif(not HAS_DG, reason="dg is not installed here (make setup installs it)")
def test_dg_and_dagster_roll_both_back_in_one_database(plain_database: Database, tmp_path: Path) -> None:
    """Two components, one database: `dg check defs`, `dg list defs`, `dg launch` for one, `dagster job execute` for the other."""
    at = {"database_url_variable": "BOTH_URL"}
    folder = write_project(tmp_path / "p", "rolls", one={"prefix": "one", **at}, two={"prefix": "two", **at})
    two = {name: spec.load(folder / "src" / "rolls" / "defs" / name / "migration") for name in ("one", "two")}
    make_both(plain_database, two)
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("AICFG_", "DAGSTER_"))} | {
        "BOTH_URL": plain_database.url,
        "AICFG_HOME": str(tmp_path / "home"),
        "PYTHONPATH": os.pathsep.join([str(folder / "src"), str(Path(aicfg_pipeline.__file__).parents[1])]),
    }

    def dg(*words: str) -> str:
        program = Path(sys.executable).with_name("dg")
        done = subprocess.run(
            [program, *words], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert "loaded successfully" in dg("check", "defs")
    listed = json.loads(dg("list", "defs", "--json"))
    assert {"one_rollback", "two_rollback"} <= {job["name"] for job in listed["jobs"]}
    asked = {"confirm_database": plain_database.name}
    launched = dg("launch", "--job", "one_rollback", "--config-json", json.dumps(asked))
    assert "-j one_undo_rollback" in launched
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(asked))
    words = [
        "-d",
        str(folder / "src"),
        "-m",
        "rolls.definitions",
        "-j",
        "two_rollback",
        "-c",
        str(tmp_path / "run.yaml"),
    ]
    status, output = run_module("dagster", "job", "execute", *words, environment=environment)
    assert status == 0, output
    assert "-m rolls.definitions -j two_undo_rollback" in output
    for name in two:
        rows = plain_database.query(f"SELECT body FROM {name}.{OLD} ORDER BY id")
        assert rows == [(f"{name} {n}",) for n in range(1, 4)]
    parked = "SELECT n.nspname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE relname = %s"
    assert sorted(plain_database.query(parked, [NEW])) == [("aicfg_rollback",), ("aicfg_rollback_of_two",)]
