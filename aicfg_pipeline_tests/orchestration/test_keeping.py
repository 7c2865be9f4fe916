"""Exports go to the store that is named, and a store that would lose them is refused before anything is touched."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from aicfg_pipeline_tests.store.conftest import BUCKET
from aicfg_pipeline_tests.tools.jobs import confirmed, execute
from aicfg_pipeline_tests.tools.servers import Database

NOW = {"before_retention_ends": True}


def parked(database: Database) -> list[tuple[Any, ...]]:
    """Return the tables of the private schema and what the ledger says, asked of the server."""
    tables = database.query(
        "SELECT relname FROM pg_class WHERE relnamespace = 'aicfg_rollback'::regnamespace ORDER BY 1"
    )
    return [*tables, *database.query("SELECT max(id) FROM aicfg_rollback.ledger")]


def test_exports_go_to_the_bucket_and_none_to_the_disk(
    cut_over_database: Database,
    s3: Any,
    moto_url: str,
    tmp_path: Path,
) -> None:
    login = {k: v for k, v in os.environ.items() if k.startswith("AWS_")}
    environment = {
        **login,
        "AWS_ENDPOINT_URL_S3": moto_url,
        "AICFG_STORE": f"s3://{BUCKET}/prod",
        "AICFG_STORE_IS_DURABLE": "0",
    }
    config = confirmed(cut_over_database.name, **NOW)
    done = execute("drop_new_tables", home=tmp_path, url=cut_over_database.url, config=config, **environment)
    assert done.status == 0, done.output
    kept = [o["Key"] for o in s3.list_objects_v2(Bucket=BUCKET)["Contents"]]
    exports = [k for k in kept if k.startswith("prod/exports/")]
    assert sorted(k.split(".", 1)[1] for k in exports) == ["copy.gz"] * 2 + ["json"] * 2 + ["load.sql"] * 2
    assert list(tmp_path.rglob("*.copy.gz")) == []
    reports = [k.removeprefix("prod/reports/") for k in kept if k.startswith("prod/reports/")]
    assert [Path(r).suffix for r in sorted(reports)] == [".html", ".json"]
    # another worker, with an empty disk, finds them
    looked = execute("verify", home=tmp_path / "other", url=cut_over_database.url, **environment)
    assert f"compared with {min(reports, key=len).rsplit('.', 1)[0]}" in looked.output


@pytest.mark.parametrize("dry_run", [False, True])
@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="no folder in memory on this machine")
def test_a_drop_is_refused_where_its_exports_would_not_last(
    cut_over_database: Database, tmp_path: Path, dry_run: bool
) -> None:
    before = parked(cut_over_database)
    config = confirmed(cut_over_database.name, dry_run=dry_run, **NOW)
    environment = {"AICFG_STORE": "/dev/shm/aicfg-not-made", "AICFG_STORE_IS_DURABLE": "0"}
    done = execute("drop_new_tables", home=tmp_path, url=cut_over_database.url, config=config, **environment)
    assert done.status == 1
    assert "is in memory, which goes when the machine or the container stops" in " ".join(done.output.split())
    assert parked(cut_over_database) == before
    assert not Path("/dev/shm/aicfg-not-made").exists()


def test_a_bucket_that_is_not_there_is_told_before_a_rollback_that_drops(
    migrated_database: Database,
    aws_login: None,
    moto_url: str,
    tmp_path: Path,
) -> None:
    login = {k: v for k, v in os.environ.items() if k.startswith("AWS_")}
    before, config = parked(migrated_database), confirmed(migrated_database.name, retain_days=0)
    environment = {**login, "AWS_ENDPOINT_URL_S3": moto_url, "AICFG_STORE": "s3://no-such-bucket"}
    done = execute("rollback", home=tmp_path, url=migrated_database.url, config=config, **environment)
    assert done.status == 1
    assert "Reports can't be written to s3://no-such-bucket/reports" in " ".join(done.output.split())
    assert parked(migrated_database) == before
