"""migration.yaml in its short form, its defaults, its mistakes with line and column, and the schema that editors go by."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from aicfg_pipeline.errors import SpecError
from aicfg_pipeline.spec import load as spec
from aicfg_pipeline.spec import schema
from aicfg_pipeline_tests.tools.folders import VIEW, table_file

PUBLISHED = Path(__file__).parents[2] / "docs" / "migration.schema.json"
COLUMNS = "id bigint NOT NULL, tenant text NOT NULL, said text, updated_at timestamp with time zone"
SHORT = "name: short\npairs:\n  profiles: user_profiles\n"


def write(folder: Path, text: str, *, view: bool = True, columns: str = COLUMNS, key: str = "tenant, id") -> Path:
    for place, name in (("old", "profiles"), ("new", "user_profiles")):
        (folder / place).mkdir(parents=True, exist_ok=True)
        (folder / place / f"{name}.sql").write_text(table_file(name, columns, key))
    if view:
        (folder / "views").mkdir(exist_ok=True)
        (folder / "views" / "profiles.sql").write_text(VIEW.format(old="profiles", new="user_profiles"))
    (folder / "migration.yaml").write_text(text)
    return folder


def complaints(folder: Path, text: str) -> tuple[str, ...]:
    write(folder, text)
    with pytest.raises(SpecError) as caught:
        spec.load(folder)
    return caught.value.complaints


# --- what is enough --------------------------------------------------------------------------------------------


def test_old_and_new_name_are_enough_for_a_pair(tmp_path: Path) -> None:
    pair = spec.load(write(tmp_path, SHORT)).pairs[0]
    assert (pair.old, pair.new, pair.key, pair.changed_at) == (
        "profiles",
        "user_profiles",
        ("tenant", "id"),
        "updated_at",
    )
    assert pair.view_ddl is not None
    assert [d.path for d in (pair.old_ddl, pair.new_ddl, pair.view_ddl)] == [
        "old/profiles.sql", "new/user_profiles.sql", "views/profiles.sql",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "pairs: {profiles: {new: user_profiles, back: {said: upper(said)}}}",
        "pairs: [{old: profiles, new: user_profiles, back: {said: upper(said)}}]",
        "pairs: [{old: profiles, new: user_profiles, key: [tenant, id], back: {said: upper(said)}}]",
    ],
)
def test_each_form_says_the_same(tmp_path: Path, text: str) -> None:
    pair = spec.load(write(tmp_path, f"name: short\n{text}\n")).pairs[0]
    assert (pair.new, pair.key, dict(pair.back)) == ("user_profiles", ("tenant", "id"), {"said": "upper(said)"})


@pytest.mark.parametrize(
    ("columns", "key", "found"),
    [
        ("id int PRIMARY KEY, said text", "said", ("id",)),
        ("a int, b int, CONSTRAINT k PRIMARY KEY (b, a)", "a", ("b", "a")),
        ('"Odd ""Id""" int, said text', '"Odd ""Id"""', ('Odd "Id"',)),
    ],
)
def test_key_is_the_old_files_primary_key(tmp_path: Path, columns: str, key: str, found: tuple[str, ...]) -> None:
    assert spec.load(write(tmp_path, SHORT, columns=columns, key=key)).pairs[0].key == found


def test_no_view_and_no_later_version_where_nothing_tells_of_them(tmp_path: Path) -> None:
    pair = spec.load(write(tmp_path, SHORT, view=False, columns="id int, updated_at text", key="id")).pairs[0]
    assert (pair.view_ddl, pair.changed_at) == (None, None)


def test_null_says_that_there_is_none(tmp_path: Path) -> None:
    text = "name: short\npairs: {profiles: {new: user_profiles, view_sql: null, changed_at: null}}\n"
    pair = spec.load(write(tmp_path, text)).pairs[0]
    assert (pair.view_ddl, pair.changed_at) == (None, None)


# --- mistakes --------------------------------------------------------------------------------------------------


def test_every_mistake_has_file_line_and_column_and_the_key_that_was_meant(tmp_path: Path) -> None:
    text = (
        "nam: short\n"
        "view_lifetime_days: soon\n"
        "requires:\n  role: [anon]\n"
        "pairs:\n"
        "  profiles:\n"
        "    new: user_profiles\n"
        "    chnaged_at: updated_at\n"
    )
    assert complaints(tmp_path, text) == (
        "migration.yaml:1:1: name: Field required",
        "migration.yaml:2:1: view_lifetime_days: Input should be a valid integer, unable to parse string as an integer",
        "migration.yaml:4:3: requires.role: there is no such key; did you mean roles?",
        "migration.yaml:8:5: pairs.profiles.chnaged_at: there is no such key; did you mean changed_at?",
        "migration.yaml:1:1: nam: there is no such key; did you mean name?",
    )


def test_column_that_is_nowhere_is_told_with_the_one_that_was_meant(tmp_path: Path) -> None:
    text = "name: x\npairs:\n  profiles:\n    new: user_profiles\n    back:\n      said: lower(sayd)\n      sai: said\n"
    assert complaints(tmp_path, text) == (
        "migration.yaml:6:7: pairs.profiles.back.said: it reads sayd, which new/user_profiles.sql does not have;"
        " did you mean said?",
        "migration.yaml:7:7: pairs.profiles.back.sai: old/profiles.sql has no such column; did you mean said?",
    )


def test_table_that_is_named_twice_is_told_in_either_form(tmp_path: Path) -> None:
    """YAML itself would take the second one, and say nothing of the first."""
    twice = "name: x\npairs:\n  profiles: user_profiles\n  profiles: user_profiles\n"
    assert complaints(tmp_path, twice) == (
        "migration.yaml:4:3: pairs.profiles: it stands here twice; YAML would silently take the last one",
    )
    text = "name: x\npairs:\n- {old: profiles, new: user_profiles}\n- {old: other, new: user_profiles}\n"
    assert "migration.yaml:4:16: pairs.1.new: user_profiles is named twice" in complaints(tmp_path, text)


def test_file_without_a_primary_key_asks_for_the_key(tmp_path: Path) -> None:
    write(tmp_path, SHORT)
    old = tmp_path / "old" / "profiles.sql"
    old.write_text(re.sub(r"ADD PRIMARY KEY", "ADD UNIQUE", old.read_text()))
    with pytest.raises(SpecError) as caught:
        spec.load(tmp_path)
    assert caught.value.complaints == (
        "migration.yaml:3:3: pairs.profiles.key: old/profiles.sql makes no primary key: say by which columns a row is known",
    )


def test_what_is_not_yaml_is_told_with_line_and_column(tmp_path: Path) -> None:
    write(tmp_path, "name: x\npairs: [a\n")
    with pytest.raises(SpecError, match=r"migration\.yaml:3:1 is not readable YAML"):
        spec.load(tmp_path)


# --- the schema ------------------------------------------------------------------------------------------------


def test_the_published_schema_is_the_models() -> None:
    want = "run: python -m aicfg_pipeline.spec.schema > docs/migration.schema.json"
    assert PUBLISHED.read_text() == schema.text(), want


def test_the_projects_own_migration_names_the_schema_and_follows_it() -> None:
    file = spec.bundled_sql() / "migration.yaml"
    named = re.match(r"# yaml-language-server: \$schema=(\S+)\n", file.read_text())
    assert named is not None
    assert (file.parent / named[1]).resolve() == PUBLISHED
    jsonschema.validate(as_json(file.read_text()), schema.schema(), cls=jsonschema.Draft202012Validator)


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        (SHORT, True),
        ("name: x\npairs: {profiles: {new: user_profiles, key: id}}", True),
        ("name: x\npairs: [{old: a, new: b}]", True),
        ("name: x\npairs: {profiles: {back: {said: said}}}", False),
        ("name: x\npairs: {profiles: {new: b, kee: id}}", False),
        ("name: x\npairs: {}", False),
        ("pairs: {profiles: user_profiles}", False),
    ],
)
def test_the_schema_knows_both_forms(text: str, valid: bool) -> None:
    found = jsonschema.Draft202012Validator(schema.schema()).is_valid(as_json(text))
    assert found is valid


def as_json(text: str) -> Any:
    """The file as an editor sees it: dates are texts."""
    return yaml.load(text, yaml.BaseLoader) if "view_lifetime" not in text else {
        **yaml.safe_load(text), "applied": str(yaml.safe_load(text)["applied"])}  # fmt: skip
