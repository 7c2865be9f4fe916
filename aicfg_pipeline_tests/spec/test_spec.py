"""migration.yaml and its files: all mistakes named at once, nothing but SpecError for what can't be used; odd names."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aicfg_pipeline.errors import PipelineError, SpecError
from aicfg_pipeline.spec import load as spec
from aicfg_pipeline_tests.tools.folders import make_old, quoted, write_folder
from aicfg_pipeline_tests.tools.migration import migrate_forward, roll_back, running
from aicfg_pipeline_tests.tools.planning import planned
from aicfg_pipeline_tests.tools.servers import Database

SIMPLE = "id integer NOT NULL, said text"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the migration that came with the project."""
    shutil.copytree(spec.bundled_sql(), tmp_path / "sql")
    return tmp_path / "sql"


def complaints(folder: Path) -> tuple[str, ...]:
    with pytest.raises(SpecError) as caught:
        spec.load(folder)
    return caught.value.complaints


def said(folder: Path) -> dict[str, Any]:
    return dict(yaml.safe_load((folder / "migration.yaml").read_text()))


def say(folder: Path, content: object) -> None:
    (folder / "migration.yaml").write_text(yaml.safe_dump(content, allow_unicode=True))


# --- what came with the project --------------------------------------------------------------------------------


def test_the_projects_own_migration_is_read_as_it_is_written() -> None:
    migration = spec.load()
    assert [(p.old, p.new, p.key, p.single_row) for p in migration.pairs] == [
        ("sys_rag", "ai_cfg_sys_rag", ("id",), True),
        ("org_prompt_engineering", "ai_cfg_org_prompts", ("id",), False),
    ]
    assert dict(migration.pairs[1].back) == {"configured_by": "coalesce(updated_by, created_by)"}
    assert [str(k) for k in migration.pairs[1].old_ddl.foreign_keys] == [
        "(configured_by) REFERENCES auth.users (id)",
        "(org_id) REFERENCES public.orgs (id) ON DELETE CASCADE",
    ]


def test_edited_file_is_read_again(folder: Path) -> None:
    first = spec.load(folder).digest
    file = folder / "old/sys_rag.sql"
    file.write_text(file.read_text().replace("DEFAULT 2000", "DEFAULT 3000"))
    assert spec.load(folder).digest != first


# --- mistakes, all at once -------------------------------------------------------------------------------------


def test_every_mistake_of_the_yaml_is_named_at_once(folder: Path) -> None:
    content = said(folder)
    content |= {"shema": "x", "view_lifetime_days": "soon", "applied": "yesterday"}
    del content["name"]
    content["pairs"][0] |= {"key": [], "single_row": "perhaps", "kee": 1}
    del content["pairs"][0]["new"]
    content["pairs"][1]["back"] = {"configured_by": "coalesce("}
    say(folder, content)
    named = {c.split(": ")[1] for c in complaints(folder)}
    assert named == {
        "name",
        "applied",
        "view_lifetime_days",
        "shema",
        "pairs.0.new",
        "pairs.0.key",
        "pairs.0.single_row",
        "pairs.0.kee",
        "pairs.1",
    }


def test_every_mistake_of_the_files_is_named_at_once(folder: Path) -> None:
    (folder / "old/sys_rag.sql").unlink()
    (folder / "views/sys_rag.sql").write_text("")
    (folder / "new/ai_cfg_sys_rag.sql").write_bytes(b"-- name: table -- \xff\nCREATE TABLE x ();")
    old = folder / "old/org_prompt_engineering.sql"
    text = old.read_text().replace("REFERENCES auth.users(id) NOT VALID", "REFERENCES auth.users(id)")
    text = text.replace("-- name: validate --", "-- name: validte --").replace("public.orgs(id) ON", "orgs(id) ON")
    old.write_text(text)
    (folder / "new/ai_cfg_org_prompts.sql").write_text("-- name: indexes\nSELECT 'open;\n")
    content = said(folder)
    content["requires"]["tables"] = ["a b c"]
    say(folder, content)
    found = complaints(folder)
    starts = (
        "old/sys_rag.sql: no such file.",
        "new/ai_cfg_sys_rag.sql: can't be read:",
        "views/sys_rag.sql: holds no block",
        "old/org_prompt_engineering.sql: block validte is not known (known: table,",
        "old/org_prompt_engineering.sql: foreign_keys: org_prompt_engineering_configured_by_fkey must end in NOT VALID",
        "old/org_prompt_engineering.sql: foreign_keys: 'ALTER TABLE ONLY org_prompt_engineering ADD CONSTRAINT",
        "new/ai_cfg_org_prompts.sql: block indexes: ",
        ": requires.tables.0: 'a b c' is not a table's name",
    )
    assert [s for s in starts if not any(s in c for c in found)] == []
    assert len(found) == len(starts)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "holds NoneType"),
        (b"- a\n- b\n", "holds list"),
        (b"just a text", "holds str"),
        (b"a: [1, 2", "is not readable YAML"),
        (b"a: 1\n\tb: 2", "is not readable YAML"),
        (b"name: \xff\xfe", "is not readable YAML"),
        (b"name: \x00", "is not readable YAML"),
        (b"applied: 2026-99-99", "is not readable YAML"),
        (b"a: &x [*x]", "can't be used"),
        (b"? [a, b]\n: c", "is not readable YAML"),
        (b"a: !!python/object/apply:os.system ['true']", "is not readable YAML"),
        (b"a: " + b"[" * 5000, "is not readable YAML"),
        (b"1: 2\n2.5: x\n", "can't be used"),
        (b"name: x\npairs: []", "can't be used"),
        (b"name: x\npairs: {}", "can't be used"),
        (b"name: x\npairs: [1, null, a]", "can't be used"),
    ],
)
def test_yaml_that_is_no_migration(folder: Path, content: bytes, told: str) -> None:
    (folder / "migration.yaml").write_bytes(content)
    with pytest.raises(SpecError) as caught:
        spec.load(folder)
    assert told in caught.value.found


@pytest.mark.parametrize("place", ["nowhere", "migration.yaml", ""])
def test_folder_that_is_none(tmp_path: Path, place: str) -> None:
    (tmp_path / "migration.yaml").mkdir()
    with pytest.raises(SpecError):
        spec.load(tmp_path / place)


LONG = "x" * 64


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"old": LONG}, "pairs.0: 'xxx"),
        ({"new": "ä" * 32}, "is longer than the 63 bytes"),
        ({"key": ["id", "id"]}, "pairs.0: key names id twice"),
        ({"key": [LONG]}, "is longer than the 63 bytes"),
        ({"changed_at": LONG}, "is longer than the 63 bytes"),
        ({"back": {LONG: "1"}}, "is longer than the 63 bytes"),
        ({"old": "ai_cfg_sys_rag"}, "old and new table have one name, ai_cfg_sys_rag"),
        ({"old": "org_prompt_engineering"}, "pairs.1.old: org_prompt_engineering is named twice"),
        ({"new": "ai_cfg_org_prompts"}, "pairs.1.new: ai_cfg_org_prompts is named twice"),
        ({"old": "ledger"}, "pairs.0.old: ledger is a name that the pipeline needs in its private schema"),
        ({"new": "change_log_sys_rag"}, "pairs.0.new: change_log_sys_rag is a name that the pipeline needs"),
        ({"keep": ["id"]}, "pairs.0.keep: keep names id, which forth does not fill"),
        ({"old_sql": "../../../etc/passwd"}, "../../../etc/passwd: "),
        ({"old_sql": "a\x00b"}, "can't be read: embedded null byte"),
        ({"old_sql": "x" * 5000}, "can't be read"),
        ({"old_sql": "old"}, "old: can't be read"),
        ({"old": ""}, "pairs.0.old: String should have at least 1 character"),
        ({"old": 7}, "pairs.0.old: Input should be a valid string"),
    ],
)
def test_pair_that_can_not_be_used(folder: Path, change: dict[str, Any], told: str) -> None:
    content = said(folder)
    content["pairs"][0] |= change
    say(folder, content)
    assert any(told in c for c in complaints(folder))


@pytest.mark.parametrize("schema", ["aicfg_rollback", "pg_catalog", "pg_temp", LONG])
def test_schema_that_is_not_for_tables(folder: Path, schema: str) -> None:
    say(folder, said(folder) | {"schema": schema})
    assert any("schema" in c or "63 bytes" in c for c in complaints(folder))


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ("CREATE TABLE other (id int);", "it must make thing, under this very name; with the schema public or none"),
        ("CREATE TABLE else_where.thing (id int);", "it changes else_where.thing, which this file does not make"),
        ("CREATE TABLE IF NOT EXISTS thing (id int);", "it must make thing, under this very name"),
        ("CREATE TYPE m AS ENUM ('a'); CREATE TABLE thing (m m);", "would stay in the private schema"),
        ("CREATE SEQUENCE s; CREATE TABLE thing (id int);", "CREATE SEQUENCE s … would stay in the private schema"),
        ("CREATE UNLOGGED TABLE thing (id int);", "would stay in the private schema"),
        ("SELECT 1;", "it holds 0 statements CREATE TABLE, expected one"),
        ("CREATE TABLE thing (id int) PARTITION BY HASH (id);", "only ordinary tables are supported"),
        ("CREATE TABLE thing () INHERITS (parent);", "only ordinary tables are supported"),
        ("CREATE TABLE thing PARTITION OF parent DEFAULT;", "only ordinary tables are supported"),
    ],
)
def test_table_block_that_makes_something_else(tmp_path: Path, table: str, told: str) -> None:
    write_folder(tmp_path, "thing", "new_thing", SIMPLE)
    (tmp_path / "old.sql").write_text(f"-- name: table -- x\n{table}\n\n-- name: indexes -- x\nSELECT 1;\n")
    assert any(told in c for c in complaints(tmp_path))


def test_column_of_the_name_partition_is_no_partitioned_table(tmp_path: Path) -> None:
    write_folder(tmp_path, "thing", "new_thing", 'id integer, "PARTITION" text, inherits_ text, "INHERITS" text')
    assert spec.load(tmp_path).pairs[0].old == "thing"


@pytest.mark.parametrize(
    "text",
    [
        "coalesce(",
        "a, b",
        "a; DROP TABLE users",
        "a FROM users",
        "(SELECT password FROM users LIMIT 1)",
        "a -- comment",
        "a /* comment */",
        "count(*)",
        "sum(a) OVER ()",
        "1) FROM x; DELETE FROM y; --",
        "DELETE FROM x",
        "a WHERE true",
        "'open",
        "$$open",
        "a UNION SELECT b",
        "",
        " ",
        "(" * 3000,
    ],
)
def test_text_that_is_not_an_expression_over_one_row(folder: Path, text: str) -> None:
    content = said(folder)
    content["pairs"][1]["back"] = {"configured_by": text}
    say(folder, content)
    assert len(complaints(folder)) == 1


@pytest.mark.parametrize(
    "text",
    [
        "created_by",
        "coalesce(updated_by, created_by)",
        "created_by::text || 'x;y'",
        "CASE WHEN include_page_numbers THEN 1 END",
        '"updated_by"',
        "length(citation_style) % 2",
        "to_jsonb(created_by)->>'x'",
    ],
)
def test_expression_over_one_row(folder: Path, text: str) -> None:
    content = said(folder)
    content["pairs"][1]["back"] = {"configured_by": text}
    say(folder, content)
    assert spec.load(folder).pairs[1].back["configured_by"] == text


@pytest.mark.parametrize(
    "claim",
    ["DELETE FROM x", "SELECT 1; SELECT 2", "SELECT a, b FROM c", "SELECT a INTO b", "SELECT a FOR UPDATE", "x"],
)
def test_claim_that_does_more_than_read_one_value(folder: Path, claim: str) -> None:
    say(folder, said(folder) | {"personas": [{"name": "x", "role": "anon", "claim": claim}]})
    assert len(complaints(folder)) == 1


# --- fuzz ------------------------------------------------------------------------------------------------------

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.dates() | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
KEYS = ("name", "applied", "schema", "view_lifetime_days", "requires", "personas", "pairs")
PAIR_KEYS = ("old", "new", "key", "changed_at", "single_row", "old_sql", "new_sql", "view_sql", "back", "forth", "keep")
SQL_TEXT = st.lists(
    st.sampled_from(
        ["SELECT", "(", ")", "'", '"', "$$", ";", ",", "::", "a", "FROM", "CASE", "WHEN", "--", "/*", "\\", "E'", "1",
         "%s", "{", "}", "é", "\x00", "\ud800", "CREATE TABLE", "sys_rag", "NOT VALID", "REFERENCES", "FOREIGN KEY",
         "PARTITION"]
    ),
    max_size=8,
).map(" ".join)  # fmt: skip
FUZZ = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def only_spec_errors(folder: Path) -> None:
    try:
        spec._load.cache_clear()
        spec.load(folder)
    except SpecError as error:
        assert error.found  # noqa: PT017 - success is right, too


@FUZZ
@given(text=st.text() | st.binary())
def test_any_text_is_a_migration_or_a_spec_error(tmp_path: Path, text: str | bytes) -> None:
    data = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    (tmp_path / "migration.yaml").write_bytes(data)
    only_spec_errors(tmp_path)


@FUZZ
@given(
    top=st.dictionaries(st.sampled_from(KEYS), ANYTHING, max_size=3),
    pair=st.dictionaries(st.sampled_from(PAIR_KEYS), ANYTHING | SQL_TEXT, max_size=3),
    expression=SQL_TEXT | st.text(),
)
def test_any_structure_is_a_migration_or_a_spec_error(
    tmp_path: Path, top: dict[str, object], pair: dict[str, object], expression: str
) -> None:
    if not (tmp_path / "old").exists():
        shutil.copytree(spec.bundled_sql(), tmp_path, dirs_exist_ok=True)
    content = said(spec.bundled_sql())
    content["pairs"][1]["back"] = {"configured_by": expression}
    content["pairs"][0] |= pair
    (tmp_path / "migration.yaml").write_text(yaml.dump({**content, **top}), "utf-8", "surrogatepass")
    only_spec_errors(tmp_path)


@FUZZ
@given(text=SQL_TEXT | st.text(), block=st.sampled_from(["table", "foreign_keys", "triggers", "view"]))
def test_any_sql_text_is_a_file_or_a_spec_error(tmp_path: Path, text: str, block: str) -> None:
    if not (tmp_path / "old").exists():
        shutil.copytree(spec.bundled_sql(), tmp_path, dirs_exist_ok=True)
    body = f"-- name: indexes -- x\nSELECT 1;\n-- name: {block} -- x\n{text}".encode("utf-8", "surrogatepass")
    for file in ("old/sys_rag.sql", "views/sys_rag.sql"):
        (tmp_path / file).write_bytes(body)
    only_spec_errors(tmp_path)


# --- odd names, on a real server -------------------------------------------------------------------------------

ODD_NAMES = [
    ("select", "table"),
    ("Upper Case", "lower case"),
    ('quo"te', "apos'trophe"),
    ("semi; DROP TABLE x; --", "per%cent %s %(x)s"),
    ("brace {} {0} {name}", "back\\slash"),
    ("größe", "表 🙂"),
    ("x" * 63, "y" * 63),
    ("ä" * 31, "dot.ted"),
    ("$dollar$", "new\nline"),
    (" leading", "trailing "),
]


@pytest.fixture
def plain_database(empty_database: Database) -> Database:
    """A database with nothing in it that `postgres` may make tables in."""
    empty_database.admin().execute(
        f"ALTER DATABASE {empty_database.name} OWNER TO postgres; ALTER SCHEMA public OWNER TO postgres"
    )
    return empty_database


@pytest.mark.parametrize(("old", "new"), ODD_NAMES, ids=[str(i) for i in range(len(ODD_NAMES))])
def test_odd_names_go_forward_and_back(
    plain_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str
) -> None:
    """The names are those of tables and of their key columns; an expression has a percent sign and a brace in it."""
    key = old[:30]
    columns = f"{quoted(key)} integer NOT NULL, {quoted(new[:30])} text, note text"
    changed = columns.replace("note text", "note_2 text")
    pair = {"back": {"note": "note_2 || '%s {}'"}, "forth": {"note_2": "replace(note, '%s {}', '')"}}
    write_folder(tmp_path, old, new, columns, new_columns=changed, key=key, pair=pair)
    monkeypatch.setenv("AICFG_MIGRATION_DIR", str(tmp_path))
    make_old(plain_database.connect(), spec.load())
    rows = [(1, "a", "n%s {}"), (2, None, "%s {}")]
    connection = plain_database.connect()
    for row in rows:
        connection.execute(f"INSERT INTO {quoted(old)}".replace("%", "%%") + " VALUES (%s, %s, %s)", row)
    before = plain_database.fingerprints(("public",))
    migrate_forward(plain_database.url)
    assert planned(plain_database.url).hazards == ()
    with running(plain_database.url) as run:
        roll_back(run)
    assert plain_database.query(f"SELECT * FROM {quoted(old)} ORDER BY 1") == rows
    assert plain_database.fingerprints(("public",)) == before


DROP = "; DROP TABLE victim; "
INJECTIONS = [f'x"{DROP}--', f"x'{DROP}--", f"x){DROP}--", f"$${DROP}$$"]


@pytest.mark.parametrize("text", INJECTIONS)
def test_injected_names_are_only_names(
    plain_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """Through what a person can set and the server is asked with: roles, tables, functions, schema, confirmation."""
    plain_database.execute("CREATE TABLE victim (id int)")
    requires = {"roles": [text], "functions": [text], "tables": [quoted(text)]}
    write_folder(tmp_path, "thing", "new_thing", SIMPLE, requires=requires)
    monkeypatch.setenv("AICFG_MIGRATION_DIR", str(tmp_path))
    make_old(plain_database.connect(), spec.load())
    try:
        migrate_forward(plain_database.url)
        found = planned(plain_database.url, confirm_database=text, accept_hazards=(text,))
        assert {"missing_role", "not_confirmed", "missing_reference"} == {h.code for h in found.hazards}
    except PipelineError as error:  # a function's name that the server can't read as one
        assert "victim" in str(error)  # noqa: PT017 - either is right
    assert plain_database.exists("victim") == "r"


@pytest.mark.parametrize("text", INJECTIONS[:3])  # the fourth is a text in dollar quotes, as harmless as any
def test_injected_expressions_are_refused_when_the_file_is_read(tmp_path: Path, text: str) -> None:
    write_folder(tmp_path, "thing", "new_thing", SIMPLE, pair={"back": {"said": text}})
    assert len(complaints(tmp_path)) == 1
