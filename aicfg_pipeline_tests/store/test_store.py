"""What is kept is whole or not there, is given back byte by byte, and is never overwritten; the same for every kind."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from aicfg_pipeline.errors import ConfigError
from aicfg_pipeline.store import durable
from aicfg_pipeline.store.durable import why_not_durable
from aicfg_pipeline.store.kept import Store, open_store, put, take, try_writing
from aicfg_pipeline_tests.store.conftest import BUCKET

PARTS = [os.urandom(1 << 20) for _ in range(11)]


def test_what_was_written_in_pieces_is_read_back_byte_by_byte(store: Store) -> None:
    with store.writer("rows") as out:
        for part in PARTS:
            out.write(part)
    assert take(store, "rows") == b"".join(PARTS)
    assert store.size("rows") == sum(map(len, PARTS))


def test_a_file_that_fails_in_the_middle_is_not_there(store: Store) -> None:
    with suppress(ZeroDivisionError), store.writer("rows") as out:
        for part in PARTS:
            out.write(part)
        1 / 0  # noqa: B018
    assert store.names("") == []


def test_a_name_that_is_taken_is_refused_and_its_file_stays(store: Store) -> None:
    put(store, "manifest.json", "first")
    with pytest.raises(FileExistsError):
        put(store, "manifest.json", "second")
    assert take(store, "manifest.json") == b"first"


def test_names_are_those_with_the_ending(store: Store) -> None:
    for file in ("a.json", "b.json", "a.copy.gz"):
        put(store, file, "x")
    assert sorted(store.names(".json")) == ["a.json", "b.json"]


def test_what_is_not_there_is_said_not_to_be_there(store: Store) -> None:
    with pytest.raises(FileNotFoundError), store.reader("none") as lines:
        lines.read()
    store.remove("none")


def test_trying_leaves_nothing(store: Store) -> None:
    try_writing(store)
    assert store.names("") == []


def test_a_bucket_that_is_not_there_can_not_be_written_to(s3: Any, moto_url: str) -> None:
    with pytest.raises(OSError, match="404"):
        try_writing(open_store("s3://no-such-bucket/x", endpoint=moto_url))


def test_the_bucket_holds_the_bytes_below_its_prefix(bucket: Store, s3: Any) -> None:
    """Asked of S3 by another client than the one that wrote."""
    put(bucket, "a.json", "{}")
    assert s3.get_object(Bucket=BUCKET, Key="some/exports/a.json")["Body"].read() == b"{}"
    assert bucket.location("a.json") == f"s3://{BUCKET}/some/exports/a.json"


@pytest.mark.parametrize("where", ["ftp://host/x", "http://host/x", "s3://", "file:///x"])
def test_a_url_that_names_no_store_is_refused(where: str) -> None:
    with pytest.raises(ConfigError, match="AICFG_STORE names"):
        open_store(where)


MOUNTS = """22 1 0:20 / / rw - overlay overlay rw,lowerdir=/x
23 22 0:21 / /dev/shm rw,nosuid - tmpfs tmpfs rw
24 22 8:1 / /data\\040here rw shared:1 - ext4 /dev/sda1 rw
"""


@pytest.mark.parametrize(
    ("folder", "reason"),
    [
        ("/home/x", "the container's own disk"),
        ("/dev/shm/x", "in memory"),
        ("/data here/exports", None),
        ("/data", "the container's own disk"),
    ],
)
def test_a_folder_of_the_container_does_not_last(
    folder: str, reason: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mountinfo").write_text(MOUNTS)
    monkeypatch.setattr(durable, "MOUNTS", tmp_path / "mountinfo")
    found = why_not_durable(Path(folder))
    assert found is None if reason is None else reason in str(found)
