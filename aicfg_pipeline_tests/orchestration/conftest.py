"""For the tests of the services: a project with code in git, a deploy script that runs, an AWS over HTTP."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from dagster import DagsterInstance, ExecuteInProcessResult

from aicfg_pipeline.demo.aws import stamp_deploys
from aicfg_pipeline.demo.project import CODE, CONCURRENCY, FUNCTION, LOG_GROUP, REGION, DemoProject
from aicfg_pipeline_tests.services.conftest import SECRET_KEY, Aws, aws, aws_login, moto_url  # noqa: F401
from aicfg_pipeline_tests.store.conftest import s3  # noqa: F401
from aicfg_pipeline_tests.tools.jobs import confirmed
from aicfg_pipeline_tests.tools.servers import Database

with pytest.MonkeyPatch.context() as _unset:
    _unset.delenv("AICFG_DATABASE_URL", raising=False)  # what the launchpad asks for depends on it, once and for all
    import aicfg_pipeline.definitions  # noqa: F401

QUICK_DEPLOY = f"""#!/bin/sh
set -e
branch=$(git -C "$TOOLKIT" rev-parse --abbrev-ref HEAD)
echo "deploying $1 at $branch"
"{sys.executable}" -S - <<END
import urllib.request
url = "$AWS/2015-03-31/functions/{FUNCTION}/code"
scope = "AWS4-HMAC-SHA256 Credential=x/20260101/{REGION}/lambda/aws4_request, SignedHeaders=host, Signature=x"
headers = {{"Authorization": scope, "Content-Type": "application/json"}}
body = b'{{"ZipFile": "UEsFBgAAAAAAAAAAAAAAAAAAAAAAAA=="}}'
for attempt in range(5):
    try:
        urllib.request.urlopen(urllib.request.Request(url, body, headers, method="PUT"), timeout=5)
        break
    except TimeoutError:
        if attempt == 4:
            raise
END
echo "$branch" >> deploys.txt
"""


class Quick:
    """The demo's toolkit with a deploy script that only notes what it deploys, and a function in moto."""

    made: Path | None = None  # a project that was made before: copying it is faster than making it again

    def __init__(self, folder: Path, database: Database, account: Aws) -> None:
        self.folder, self.database, self.aws = folder, database, account
        self.project = DemoProject(folder / "project", database.url, aws_url=account.url)
        if Quick.made is not None:
            shutil.copytree(Quick.made, self.project.folder)
        self.project.make()
        self.script = self.project.infra / "scripts" / "deploy-lambda.sh"
        self.script.write_text(QUICK_DEPLOY)
        self.aws.function(FUNCTION, concurrency=CONCURRENCY)
        self.source = self.aws.event_source(FUNCTION, "documents")
        self.settings: dict[str, Any] = yaml.safe_load(self.project.services_file.read_text())
        del self.settings["endpoints"], self.settings["logs"]
        self.settings["lambdas"] |= {"drain_seconds": 0.0}
        self.settings["repository"]["branch"] = "aicfg-rollback"
        self.log = folder / "job.log"

    def configure(self, **services: Any) -> None:
        """Change settings of services (None takes one away) and write the file."""
        for name, values in services.items():
            if values is None:
                self.settings.pop(name, None)
            else:
                self.settings[name] = {**self.settings.get(name, {}), **values}
        self.project.services_file.write_text(yaml.safe_dump(self.settings))

    def environment(self) -> dict[str, str]:
        self.configure()
        return {
            "AICFG_DATABASE_URL": self.database.url,
            "AICFG_HOME": str(self.folder / "home"),
            "AICFG_SERVICES": str(self.project.services_file),
            "TOOLKIT": str(self.project.toolkit),
            "AWS": self.aws.url,
            "GIT_CONFIG_GLOBAL": os.devnull,
            "AWS_ACCESS_KEY_ID": "AKIATESTTESTTESTTEST",
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    @property
    def tail(self) -> str:
        return self.log.read_text()[-4000:]

    @property
    def state(self) -> dict[str, Any]:
        """Everything outside the database that a run may change."""
        deploys = self.project.infra / "deploys.txt"
        return {
            "concurrency": self.aws.concurrency(FUNCTION),
            "event source": self.aws.source_state(self.source),
            "branch": self.project._git("rev-parse", "--abbrev-ref", "HEAD"),
            "names": "sys_rag" if " FROM sys_rag" in (self.project.toolkit / CODE).read_text() else "ai_cfg_sys_rag",
            "deployed": deploys.read_text().split()[-1:] if deploys.exists() else [],
        }


BEFORE = {
    "concurrency": CONCURRENCY,
    "event source": "Enabled",
    "branch": "main",
    "names": "ai_cfg_sys_rag",
    "deployed": [],
}
AFTER = {
    "concurrency": CONCURRENCY,
    "event source": "Enabled",
    "branch": "aicfg-rollback",
    "names": "sys_rag",
    "deployed": ["aicfg-rollback"],
}


@pytest.fixture
def quick(
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    migrated_database: Database,
    aws: Aws,  # noqa: F811
) -> Quick:
    stamp_deploys()
    if Quick.made is None:
        folder = tmp_path_factory.mktemp("made") / "project"
        DemoProject(folder, migrated_database.url, aws_url=aws.url).make()
        Quick.made = folder
    return Quick(tmp_path, migrated_database, aws)


@pytest.fixture
def instance() -> Iterator[DagsterInstance]:
    with DagsterInstance.ephemeral() as made:
        yield made


RunJob = Callable[..., ExecuteInProcessResult]


@pytest.fixture
def run_job(instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> RunJob:
    """Run a job in this process, with the services of a project."""

    def run(name: str, environment: dict[str, str], config: dict[str, Any] | None = None) -> ExecuteInProcessResult:
        from aicfg_pipeline.definitions import defs

        for variable, value in environment.items():
            monkeypatch.setenv(variable, value)
        return defs.resolve_job_def(name).execute_in_process(instance=instance, run_config=config, raise_on_error=False)

    return run


def confirm(database: Database, **settings: Any) -> dict[str, Any]:
    return confirmed(database.name, **settings)


def failure_of(done: ExecuteInProcessResult) -> str:
    """Return what a person reads of the step that failed."""
    (failed,) = [e for e in done.all_events if e.is_step_failure]
    return str(failed.event_specific_data.error.message)  # type: ignore[union-attr]


__all__ = ["AFTER", "BEFORE", "LOG_GROUP", "REGION", "Quick", "RunJob", "confirm", "failure_of"]


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Reports and exports of jobs that run in this process stay in the test's own folder."""
    home = tmp_path / "own-home"
    monkeypatch.setenv("AICFG_HOME", str(home))
    return home
