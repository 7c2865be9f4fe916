"""A bucket of moto's S3, over HTTP, and both kinds of store on the same promises."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import boto3
import pytest

from aicfg_pipeline.store.kept import Store, open_store
from aicfg_pipeline_tests.services.conftest import REGION, aws_login, moto_url  # noqa: F401

BUCKET = "aicfg-tests"


@pytest.fixture
def s3(moto_url: str, aws_login: None) -> Any:  # noqa: F811
    """A client of an S3 that has one empty bucket."""
    session: Any = boto3.session.Session()
    client = session.client("s3", region_name=REGION, endpoint_url=moto_url)
    client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    yield client
    for each in client.list_objects_v2(Bucket=BUCKET).get("Contents", []):
        client.delete_object(Bucket=BUCKET, Key=each["Key"])
    client.delete_bucket(Bucket=BUCKET)


@pytest.fixture
def bucket(s3: Any, moto_url: str) -> Store:  # noqa: F811
    """A store below a prefix of that bucket."""
    return open_store(f"s3://{BUCKET}/some/exports", endpoint=moto_url)


@pytest.fixture(params=["folder", "bucket"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """Each kind of store."""
    if request.param == "folder":
        return open_store(str(tmp_path / "new" / "folder"))
    found: Store = request.getfixturevalue("bucket")
    return found
