"""Files: their names, that none is overwritten or left half written, and that JSON follows the published schema."""

from __future__ import annotations

import json
import os
from pathlib import Path

import jsonschema
import pytest

from aicfg_pipeline.errors import ConfigError, ExportError
from aicfg_pipeline.evidence import read, write
from aicfg_pipeline.evidence.schema import schema, text
from aicfg_pipeline.evidence.write import name_of
from aicfg_pipeline_tests.evidence.samples import sample
from aicfg_pipeline_tests.evidence.test_render import variants

PUBLISHED = Path(__file__).parents[2] / "docs" / "evidence.schema.json"


def test_names(tmp_path):
    page, facts = write(sample(), tmp_path / "new" / "folder")
    assert (page.name, facts.name) == (
        "rollback-20261122T160102Z-3f0c1d2e.html",
        "rollback-20261122T160102Z-3f0c1d2e.json",
    )
    assert f'href="{facts.name}"' in page.read_text()


@pytest.mark.parametrize(("run", "ending"), [("../../etc/passwd", "etcpassw"), ("", "run"), ("é/é", "run")])
def test_a_run_id_is_never_a_path(run, ending):
    assert name_of(sample(run_id=run, entries=[])) == f"rollback-20261122T160102Z-{ending}"


def test_never_overwrites(tmp_path):
    names = [path.name for _ in range(3) for path in write(sample(), tmp_path)]
    stem = "rollback-20261122T160102Z-3f0c1d2e"
    assert names == [f"{stem}{n}.{kind}" for n in ("", "-2", "-3") for kind in ("html", "json")]


@pytest.mark.parametrize("taken", ["html", "json"])
def test_a_name_is_taken_for_both_files_or_neither(tmp_path, taken):
    other = tmp_path / f"rollback-20261122T160102Z-3f0c1d2e.{taken}"
    other.write_text("someone else's")
    page, facts = write(sample(), tmp_path)
    assert (page.stem, facts.stem) == ("rollback-20261122T160102Z-3f0c1d2e-2",) * 2
    assert other.read_text() == "someone else's"
    assert len(list(tmp_path.iterdir())) == 3


def test_works_without_links(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    paths = [*write(sample(), tmp_path), *write(sample(), tmp_path)]
    assert len(set(paths)) == 4
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(p.name for p in paths)


def test_a_full_disk_leaves_nothing_half_written(tmp_path, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ExportError) as caught:
        write(sample(), tmp_path)
    assert "No space left on device" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_a_file(tmp_path):
    (tmp_path / "reports").write_text("")
    with pytest.raises(ExportError, match="can't be written"):
        write(sample(), tmp_path / "reports")


@pytest.mark.parametrize("name", variants())
def test_json_follows_the_schema_and_reads_back(name, tmp_path):
    evidence = variants()[name]
    _, facts = write(evidence, tmp_path)
    jsonschema.Draft202012Validator(schema(), format_checker=jsonschema.FormatChecker()).validate(
        json.loads(facts.read_text())
    )
    assert read(facts) == evidence


def test_schema_is_valid_and_published():
    jsonschema.Draft202012Validator.check_schema(schema())
    assert PUBLISHED.read_text() == text(), "run: python -m aicfg_pipeline.evidence.schema > docs/evidence.schema.json"


def test_schema_refuses_what_is_not_evidence():
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"format_version": 2}, schema())


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "is not evidence"),
        ("{}", "is not evidence"),
        ('{"format_version": 2}', "format_version"),
        ("[1]", "evidence"),
    ],
)
def test_reading_something_else(tmp_path, content, says):
    path = tmp_path / "x.json"
    path.write_text(content)
    with pytest.raises(ConfigError, match=says):
        read(path)


def test_reading_nothing(tmp_path):
    with pytest.raises(ConfigError, match="can't be read"):
        read(tmp_path / "missing.json")
