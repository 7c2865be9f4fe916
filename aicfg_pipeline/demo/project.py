"""Makes the demo's project and runs it: a toolkit in git, an infra folder with the deploy script, an app, an AWS.

The code goes through three commits: old names (tag `before-migration`), new names (tag `migrated`), and one with a slip
in a table's name, which is what makes someone roll back. What the pipeline does about it is none of this module's.
"""

from __future__ import annotations

import io
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx
import psycopg
import yaml

from aicfg_pipeline.environment import everything
from aicfg_pipeline.errors import ServiceError
from aicfg_pipeline.spec import load as spec

TEMPLATE = Path(__file__).with_name("template")
FUNCTION = "ai-config-handler"
LOG_GROUP = f"/aws/lambda/{FUNCTION}"
REGION = "eu-central-1"
CONCURRENCY = 5
MODULE = "templates/_modules-core/module-ai"
CODE = f"{MODULE}/backend/lambdas/{FUNCTION}/lambda_function.py"
SCHEMA = f"{MODULE}/db/schema"
FILES = {  # old file → (its table's DDL, new file, its table's DDL)
    "006-sys-rag.sql": ("old/sys_rag.sql", "006-ai-cfg-sys-rag.sql", "new/ai_cfg_sys_rag.sql"),
    "007-org-prompt-engineering.sql": (
        "old/org_prompt_engineering.sql",
        "007-ai-cfg-org-prompts.sql",
        "new/ai_cfg_org_prompts.sql",
    ),
}
SLIP = ("ai_cfg_org_prompts", "ai_cfg_prompts")


@dataclass(frozen=True)
class Answered:
    """What an endpoint said."""

    path: str
    status: int | None
    text: str

    def __str__(self) -> str:
        return f"GET {self.path} → {self.status or 'no answer'} {self.text}"


class DemoProject:
    """The project in one folder. `aws_url` names an AWS that runs; else one of moto's is started if installed."""

    def __init__(self, folder: Path, database_url: str, *, aws_url: str | None = None) -> None:
        self.folder, self.database_url, self._given_aws = folder, database_url, aws_url
        self.toolkit, self.infra = folder / "cora-dev-toolkit", folder / "project-infra"
        self.services_file = folder / "services.yaml"
        self._kept = folder / "project.json"

    # --- making it ---

    def make(self) -> bool:
        """Make what is missing; returns whether there was nothing yet."""
        new = not self._kept.exists()
        if new:
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder.mkdir(parents=True)
            self._make_toolkit()
            shutil.copytree(TEMPLATE, self.infra, ignore=shutil.ignore_patterns("lambda_function.py", "__pycache__"))
            (self.infra / "scripts" / "deploy-lambda.sh").chmod(0o755)
            self._keep({"token": secrets.token_hex(16), "port": _free_port(), "aws_port": _free_port()})
        self._write_settings()
        return new

    def _make_toolkit(self) -> None:
        handler = (TEMPLATE / "lambda_function.py").read_text(encoding="utf-8")
        renamed = _renamed(handler)
        self.toolkit.mkdir()
        self._git("init", "--quiet", "--initial-branch=main")
        self._write(CODE, handler)
        for old, (ddl, _, _) in FILES.items():
            self._write(f"{SCHEMA}/{old}", _ddl(ddl))
        self._commit("AI config: platform settings and prompts", "before-migration")
        self._write(CODE, renamed)
        for old, (_, new, ddl) in FILES.items():
            self._write(f"{SCHEMA}/archive/{old}.old", (self.toolkit / SCHEMA / old).read_text(encoding="utf-8"))
            (self.toolkit / SCHEMA / old).unlink()
            self._write(f"{SCHEMA}/{new}", _ddl(ddl))
        self._commit("Rename the AI config tables", "migrated")
        self._write(CODE, renamed.replace(*SLIP))
        self._commit("Shorten a table's name", "broken")

    def _write(self, path: str, text: str) -> None:
        file = self.toolkit / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")

    def _commit(self, message: str, tag: str) -> None:
        self._git("add", "--all")
        self._git("commit", "--quiet", "-m", message)
        self._git("tag", tag)

    def _git(self, *words: str) -> str:
        who = ("-c", "user.name=demo", "-c", "user.email=demo@localhost", "-c", "commit.gpgsign=false")
        environment = {k: v for k, v in everything().items() if not k.startswith("GIT_") or k.startswith("GIT_CONFIG")}
        done = subprocess.run(
            ["git", *who, *words], cwd=self.toolkit, env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise ServiceError(f"git {words[0]} failed in the demo's project: {done.stderr.strip()}")
        return done.stdout.strip()

    # --- running it ---

    def start(self) -> None:
        """Start what does not run: the AWS with its function, and the app with the code that was deployed last."""
        if self.aws_url and self._given_aws is None and not _answers(self.aws_url + "/moto-api/"):
            self._start_aws()
        if self.aws_url:
            self._make_function()
        if not _answers(self.base_url + "/"):
            self.deploy()

    def deploy(self, tag: str | None = None) -> None:
        """Check out `tag` (else what is there) and run the deploy script, as a developer would."""
        if tag:
            branch = "main" if tag == "broken" else tag
            self._git("checkout", "--quiet", branch)
        command = ["./scripts/deploy-lambda.sh", f"module-ai/{FUNCTION}"]
        done = subprocess.run(
            command, cwd=self.infra, env=self.environment(), capture_output=True, text=True, timeout=120, check=False
        )
        if done.returncode:
            raise ServiceError(f"the demo's deploy failed: {done.stdout}{done.stderr}")

    def stop(self) -> None:
        """Stop the app and the AWS, if they are ours and run."""
        for file, mark in ((self.infra / "app.pid", "serve.py"), (self.folder / "aws.pid", "demo.aws")):
            _end(file, mark)

    def running(self) -> list[str]:
        """Return what of it runs in the background, by name and process id."""
        files = {"the demo's application": self.infra / "app.pid", "the demo's AWS": self.folder / "aws.pid"}
        marks = {"the demo's application": "serve.py", "the demo's AWS": "demo.aws"}
        found = {name: _pid(file, marks[name]) for name, file in files.items()}
        return [f"{name} (pid {pid})" for name, pid in found.items() if pid]

    def ask(self) -> list[Answered]:
        """Ask every endpoint once."""
        answers = []
        for probe in self._settings()["endpoints"]["probes"]:
            path = probe["path"].replace("{org_id}", self._org_id())
            try:
                headers = {"Authorization": f"Bearer {self._facts['token']}"}
                got = httpx.get(self.base_url + path, headers=headers, timeout=5)
                answers.append(Answered(path, got.status_code, " ".join(got.text.split())[:100]))
            except httpx.HTTPError as error:
                answers.append(Answered(path, None, type(error).__name__))
        return answers

    def last_error(self) -> str:
        """Return the last line of the app's log."""
        file = self.infra / "app.log"
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines() if file.exists() else []
        return lines[-1] if lines else ""

    def concurrency(self) -> int | None:
        """Return the function's reserved concurrency; None where there is no AWS."""
        if self.aws_url is None:
            return None
        found = self._client("lambda").get_function_concurrency(FunctionName=FUNCTION)
        reserved: int | None = found.get("ReservedConcurrentExecutions")
        return reserved

    @property
    def aws_url(self) -> str | None:
        """The AWS of the demo; None where moto is not installed."""
        if self._given_aws:
            return self._given_aws
        return f"http://127.0.0.1:{self._facts['aws_port']}" if find_spec("moto") and find_spec("flask") else None

    @property
    def base_url(self) -> str:
        """Where the app answers."""
        return f"http://127.0.0.1:{self._facts['port']}"

    def environment(self, base: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return the environment in which the pipeline finds the services of this project, on top of `base`."""
        given = dict(everything() if base is None else base)
        aws = {"AWS_ENDPOINT_URL": self.aws_url, "LOG_GROUP": LOG_GROUP} if self.aws_url else {}
        own = {
            "AICFG_SERVICES": str(self.services_file),
            "AICFG_API_TOKEN": str(self._facts["token"]),
            "AWS_ACCESS_KEY_ID": "demo",
            "AWS_SECRET_ACCESS_KEY": "demo-secret-key",
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            **aws,
        }
        return {**{k: v for k, v in given.items() if k not in ("AWS_PROFILE", "AWS_SESSION_TOKEN")}, **own}

    # --- settings ---

    def _write_settings(self) -> None:
        self.services_file.write_text(yaml.safe_dump(self._settings(), sort_keys=False), encoding="utf-8")
        values = {
            "TOOLKIT": str(self.toolkit),
            "PYTHON": sys.executable,
            "PORT": str(self._facts["port"]),
            "DATABASE_URL": self.database_url,
        }
        lines = [f"export {name}='{value}'" for name, value in values.items()]
        (self.infra / "project.env").write_text("\n".join(lines) + "\n", encoding="utf-8")

    def _settings(self) -> dict[str, Any]:
        aws = {"region": REGION, "endpoint_url": self.aws_url}
        services: dict[str, Any] = {}
        if self.aws_url:
            services["lambdas"] = {**aws, "function_names": [FUNCTION], "drain_seconds": 0.5}
            services["logs"] = {**aws, "log_groups": [LOG_GROUP]}
        where = {"org_id": "{org_id}"}
        return {
            **services,
            "repository": {
                "path": str(self.toolkit),
                "commit": "before-migration",
                "code_paths": [CODE],
                "moves": [{"source": f"{SCHEMA}/archive/{f}.old", "target": f"{SCHEMA}/{f}"} for f in FILES],
                "removals": [f"{SCHEMA}/{new}" for _, new, _ in FILES.values()],
            },
            "deploy": {"directory": str(self.infra), "timeout_seconds": 60},
            "endpoints": {
                "base_url": self.base_url,
                "placeholders": {"org_id": self._org_id()},
                "timeout_seconds": 5,
                "attempts": 3,
                "backoff_seconds": 0.3,
                "probes": [
                    {
                        "name": "embedding",
                        "path": "/platform/ai-config/embedding",
                        "columns": {
                            "$.default_embedding_model": {"table": "sys_rag", "column": "default_embedding_model"},
                            "$.vector_index_type": {"table": "sys_rag", "column": "vector_index_type"},
                        },
                    },
                    {
                        "name": "prompts",
                        "path": "/orgs/{org_id}/ai-config/prompts",
                        "columns": {
                            f"$.{c}": {"table": "org_prompt_engineering", "column": c, "where": where}
                            for c in ("citation_style", "org_system_prompt")
                        },
                    },
                ],
            },
        }

    def _org_id(self) -> str:
        if "org_id" not in self._facts:
            with psycopg.connect(self.database_url, autocommit=True) as connection:
                row = connection.execute("SELECT org_id FROM org_prompt_engineering ORDER BY org_id LIMIT 1").fetchone()
            self._keep({**self._facts, "org_id": str(row[0]) if row else ""})
        return str(self._facts["org_id"])

    @property
    def _facts(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = json.loads(self._kept.read_text(encoding="utf-8"))
        return found

    def _keep(self, facts: Mapping[str, Any]) -> None:
        self._kept.touch(mode=0o600)
        self._kept.write_text(json.dumps(dict(facts)), encoding="utf-8")

    # --- the AWS ---

    def _start_aws(self) -> None:
        command = [sys.executable, "-m", "aicfg_pipeline.demo.aws", str(self._facts["aws_port"])]
        with (self.folder / "aws.log").open("ab") as log:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        (self.folder / "aws.pid").write_text(str(process.pid), encoding="utf-8")
        for _ in range(300):
            if _answers(f"{self.aws_url}/moto-api/"):
                return
            time.sleep(0.1)
        raise ServiceError("the demo's AWS (moto) does not answer", remedy=f"look into {self.folder / 'aws.log'}")

    def _client(self, service: str) -> Any:
        import boto3

        return boto3.client(
            service,  # type: ignore[call-overload]
            endpoint_url=self.aws_url,
            region_name=REGION,
            aws_access_key_id="demo",
            aws_secret_access_key="demo-secret-key",  # noqa: S106 - of an AWS that is none
        )

    def _make_function(self) -> None:
        functions = self._client("lambda")
        if any(f["FunctionName"] == FUNCTION for f in functions.list_functions()["Functions"]):
            return
        role = self._client("iam").create_role(RoleName="demo-lambda", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr("lambda_function.py", (self.toolkit / CODE).read_text(encoding="utf-8"))
        functions.create_function(
            FunctionName=FUNCTION,
            Runtime="python3.12",
            Role=role,
            Handler="lambda_function.lambda_handler",
            Timeout=3,
            Code={"ZipFile": packed.getvalue()},
        )
        functions.put_function_concurrency(FunctionName=FUNCTION, ReservedConcurrentExecutions=CONCURRENCY)
        logs = self._client("logs")
        logs.create_log_group(logGroupName=LOG_GROUP)
        logs.create_log_stream(logGroupName=LOG_GROUP, logStreamName="app")


def _renamed(text: str) -> str:
    for pair in spec.load().pairs:
        text = re.sub(rf"\b{re.escape(pair.old)}\b", pair.new, text)
    return text


def _ddl(path: str) -> str:
    return (spec.bundled_sql() / path).read_text(encoding="utf-8")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(url: str) -> bool:
    try:
        httpx.get(url, timeout=2)
    except httpx.HTTPError:
        return False
    return True


def _pid(file: Path, mark: str) -> int | None:
    """Return the process of a pid file, if it is still what the file was written for."""
    try:
        pid = int(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    told = subprocess.run(
        ["ps", "-ww", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout
    return pid if mark in told else None


def _end(file: Path, mark: str) -> None:
    """End the process of a pid file, if it is still what the file was written for."""
    pid = _pid(file, mark)
    if pid:
        os.kill(pid, signal.SIGTERM)
    file.unlink(missing_ok=True)
