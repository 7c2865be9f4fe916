"""`deploy/iam-policy.json` has exactly the AWS actions that the code calls: neither one too few nor one too many.

What is called is recorded on the way: boto3's own events, and the requests that reach S3. That every call in the code was
made is held against the text of the services.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from aicfg_pipeline.services.aws import AwsTarget
from aicfg_pipeline.services.lambdas import LambdaService
from aicfg_pipeline.services.logs import LogService
from aicfg_pipeline.store.kept import open_store, put, take, try_writing
from aicfg_pipeline_tests.services.conftest import REGION, Aws, aws, aws_login, moto_url  # noqa: F401
from aicfg_pipeline_tests.store.conftest import BUCKET, s3  # noqa: F401

PROJECT = Path(__file__).parents[2]
S3_ACTIONS = {
    "PUT": "s3:PutObject",
    "POST": "s3:PutObject",
    "GET": "s3:GetObject",
    "HEAD": "s3:GetObject",
    "DELETE": "s3:DeleteObject",
}
"""By HTTP method: each part of an upload needs PutObject, HEAD needs GetObject."""
CLEANING = {"s3:AbortMultipartUpload"}
"""Asked by AWS of whoever gives up an upload."""


def action(method: str, path: str) -> str:
    """Return the action that a request to S3 needs, as AWS's list of actions has it."""
    if "list-type" in path:
        return "s3:ListBucket"
    return "s3:DeleteObject" if method == "POST" and path.endswith("?delete") else S3_ACTIONS[method]


def allowed(service: str) -> set[str]:
    """Return the actions that the file allows on a service."""
    policy = json.loads((PROJECT / "deploy" / "iam-policy.json").read_text("utf-8"))
    return {a for s in policy["Statement"] for a in s["Action"] if a.startswith(f"{service}:")}


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The actions that boto3 sends from now on, as `service:Operation`."""
    seen: set[str] = set()
    make = AwsTarget.client

    def recorded(target: AwsTarget, service: str) -> Any:
        client = make(target, service)
        client.meta.events.register(
            "before-call", lambda model, **_: seen.add(f"{model.service_model.signing_name}:{model.name}")
        )
        return client

    monkeypatch.setattr(AwsTarget, "client", recorded)
    return seen


def in_the_code() -> set[str]:
    """Return the operations that the text of the services names, in boto3's spelling."""
    text = "".join(p.read_text("utf-8") for p in (PROJECT / "aicfg_pipeline" / "services").glob("*.py"))
    names = re.findall(r"_aws\.(?!get_paginator)([a-z_]+)\(", text) + re.findall(r'get_paginator\("([a-z_]+)"\)', text)
    return {"".join(word.capitalize() for word in name.split("_")) for name in names}


def test_functions_and_logs_need_exactly_what_is_allowed(aws: Aws, called: set[str]) -> None:  # noqa: F811
    aws.function("capped", concurrency=7)
    aws.function("free")
    aws.event_source("capped", "q1")
    aws.client("logs").create_log_group(logGroupName="/aws/lambda/capped")
    target = AwsTarget(region=REGION, endpoint_url=aws.url)
    service = LambdaService(["capped", "free"], target=target, drain_seconds=0.0, poll_seconds=0.02, settle_seconds=2.0)
    remembered = service.read()
    service.stop(remembered)
    service.start(remembered)
    now = datetime.now(UTC)
    LogService(["/aws/lambda/capped"], target=target).errors_since(now - timedelta(minutes=1), until=now)
    assert {a.split(":")[1] for a in called} == in_the_code()
    assert called == allowed("lambda") | allowed("logs")


def test_the_store_needs_exactly_what_is_allowed(
    s3: Any,  # noqa: F811
    moto_url: str,  # noqa: F811
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What reached S3 is read from its server's own log."""
    caplog.set_level("INFO", logger="werkzeug")
    store = open_store(f"s3://{BUCKET}/prod", endpoint=moto_url)
    try_writing(store)
    put(store, "large", "x" * (20 << 20))
    assert len(take(store, "large")) == store.size("large")
    assert store.names("") == ["large"]
    store.remove("large")
    reached = [re.search(r"\b(PUT|POST|GET|HEAD|DELETE) (\S+)", r.getMessage()) for r in caplog.records]
    actions = [action(found[1], found[2]) for found in reached if found]
    assert set(actions) | CLEANING == allowed("s3")
