"""Shared by the services' tests: an AWS over real HTTP emptied for each test, and git without own settings."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
from moto.server import ThreadedMotoServer

from aicfg_pipeline.services.aws import AwsTarget
from aicfg_pipeline_tests.services.servers import AwsProxy, aws_proxy

REGION = "eu-central-1"
SECRET_KEY = "very-secret-access-key-0123456789"


@pytest.fixture(scope="session")
def moto_url() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@dataclass
class Aws:
    """A fresh AWS account."""

    url: str
    role: str
    clients: dict[str, Any] = field(default_factory=dict)

    @property
    def target(self) -> AwsTarget:
        return AwsTarget(region=REGION, endpoint_url=self.url)

    def client(self, service: str) -> Any:
        if service not in self.clients:  # making one takes longer than most tests
            session: Any = boto3.session.Session()
            self.clients[service] = session.client(service, region_name=REGION, endpoint_url=self.url)
        return self.clients[service]

    def function(self, name: str, *, concurrency: int | None = None, timeout: int = 3) -> None:
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr("lambda_function.py", "def lambda_handler(event, context):\n    return 1\n")
        self.client("lambda").create_function(
            FunctionName=name,
            Runtime="python3.12",
            Role=self.role,
            Handler="lambda_function.lambda_handler",
            Timeout=timeout,
            Code={"ZipFile": packed.getvalue()},
        )
        if concurrency is not None:
            self.client("lambda").put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=concurrency)

    def event_source(self, function: str, queue: str, *, enabled: bool = True) -> str:
        sqs = self.client("sqs")
        url = sqs.create_queue(QueueName=queue)["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        made = self.client("lambda").create_event_source_mapping(
            FunctionName=function, EventSourceArn=arn, Enabled=enabled
        )
        return str(made["UUID"])

    def concurrency(self, function: str) -> int | None:
        found = self.client("lambda").get_function_concurrency(FunctionName=function)
        return found.get("ReservedConcurrentExecutions")

    def source_state(self, uuid: str) -> str:
        return str(self.client("lambda").get_event_source_mapping(UUID=uuid)["State"])


@pytest.fixture
def aws_login(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIATESTTESTTESTTEST")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "no-aws-config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "no-aws-credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def aws(moto_url: str, aws_login: None) -> Iterator[Aws]:
    httpx.post(f"{moto_url}/moto-api/reset", timeout=20)
    iam = boto3.client("iam", region_name=REGION, endpoint_url=moto_url)
    role = iam.create_role(RoleName="lambda", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    yield Aws(moto_url, role)
    httpx.post(f"{moto_url}/moto-api/reset-auth", content="inf", timeout=20)


@pytest.fixture
def proxy(aws: Aws) -> Iterator[AwsProxy]:
    with aws_proxy(aws.url) as running:
        yield running


@pytest.fixture(autouse=True)
def own_git_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("HOME", str(tmp_path))
