"""Traps for keys whose types have no operators of their own (S2): varchar, enum, array, domain. And one that has: citext.

PostgreSQL finds `=` by name, and an exact match in `public` wins over its own `text = text`, `anyenum = anyenum`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from aicfg_pipeline.postgres.session import Session
from aicfg_pipeline.postgres.statements import qualified
from aicfg_pipeline.rollback.steps import verify
from aicfg_pipeline.rollback.steps.undo import undo_rollback
from aicfg_pipeline.spec.blocks import load_blocks
from aicfg_pipeline_tests.tools import traps
from aicfg_pipeline_tests.tools.folders import set_up
from aicfg_pipeline_tests.tools.migration import drop_parked, migrate_forward, roll_back, running
from aicfg_pipeline_tests.tools.planning import planned
from aicfg_pipeline_tests.tools.servers import Database

PROJECT = Path(__file__).parents[2]
ENGINE, PACKAGE = PROJECT / "sql" / "engine", PROJECT / "aicfg_pipeline"

TYPES = """CREATE TYPE mood AS ENUM ('ok', 'sad');
CREATE DOMAIN spot AS varchar(10);
CREATE DOMAIN moment AS timestamptz;
CREATE DOMAIN five AS char(5);
CREATE TABLE person (name varchar(20) PRIMARY KEY);
INSERT INTO person VALUES ('Ada'), ('Bob'), ('Eve');
CREATE TABLE place (code varchar(20), mood mood, parts text[], spot spot, PRIMARY KEY (code, mood, parts, spot));
INSERT INTO place SELECT 'c' || i, 'ok', ARRAY['a', 'b'], 's' || i FROM generate_series(1, 20) i;"""
KEY = ["code", "mood", "parts", "spot"]
COMMON = (
    "code varchar(20) NOT NULL, mood mood NOT NULL, parts text[] NOT NULL, spot spot NOT NULL, five five, at moment"
)
REFERENCES = """
-- name: foreign_keys -- of every type of key
ALTER TABLE {table} ADD CONSTRAINT {table}_place FOREIGN KEY (code, mood, parts, spot)
    REFERENCES public.place (code, mood, parts, spot) NOT VALID;
ALTER TABLE {table} ADD CONSTRAINT {table}_person FOREIGN KEY ({person}) REFERENCES public.person (name) NOT VALID;

-- name: validate -- of every type of key
ALTER TABLE {table} VALIDATE CONSTRAINT {table}_place;
ALTER TABLE {table} VALIDATE CONSTRAINT {table}_person;
"""
INSERT = """INSERT INTO thing SELECT 'c' || i, 'ok', ARRAY['a', 'b'], 's' || i, 'x', '2026-01-01', 'Ada', i
FROM generate_series(1, 10) i"""
TRAPPED = (
    *("public.mood", "public.spot", "public.moment", "public.five", "public.mood[]"),
    *("text", "varchar", "text[]", "bpchar", "timestamptz", "numeric"),
)


@pytest.fixture
def trapped(plain_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """A migrated table with a key of four such types, a kept column with a foreign key, and traps around it."""
    set_up(
        plain_database, tmp_path / "migration", monkeypatch, f"{COMMON}, made_by varchar(20), amount numeric", INSERT,
        prelude=TYPES, key="code", new_columns=f"{COMMON}, created_by varchar(20), amount numeric(9,2)",
        old_more=REFERENCES.format(table="thing", person="made_by"),
        new_more=REFERENCES.format(table="new_thing", person="created_by"),
        pair={"key": KEY, "changed_at": "at", "back": {"made_by": "created_by"}, "forth": {"created_by": "made_by"},
              "keep": ["created_by"]},
    )  # fmt: skip
    view = tmp_path / "migration" / "view.sql"
    view.write_text(view.read_text().replace("*", f"{', '.join(KEY)}, five, at, created_by AS made_by, amount"))
    migrate_forward(plain_database.url)
    with traps.laid(plain_database, [], TRAPPED):
        yield plain_database


def write(database: Database, person: str) -> None:
    """Rows come, change and go, as the application writes them: with operators of its own choice."""
    database.execute(
        f"""SET search_path = pg_catalog;
        UPDATE public.thing SET made_by = '{person}', at = '2026-02-02' WHERE code OPERATOR(pg_catalog.=) 'c1';
        DELETE FROM public.thing WHERE code OPERATOR(pg_catalog.=) 'c2';
        INSERT INTO public.thing VALUES ('c2', 'ok', '{{a,b}}', 's2', 'y', '2026-03-03', '{person}', 2)"""
    )


@pytest.mark.two_versions
def test_s2_no_operator_in_public_is_used_for_keys_and_references(trapped: Database, tmp_path: Path) -> None:
    assert [h for h in planned(trapped.url).hazards if h.code != "open_schema"] == []
    with running(trapped.url) as run:
        roll_back(run)
    write(trapped, "Bob")
    with running(trapped.url) as run:
        undo_rollback(run)
        assert verify.failed(verify.run_checks(run.session, run.migration)) == []
    write(trapped, "Eve")
    with running(trapped.url) as run:
        roll_back(run)
        drop_parked(run, tmp_path)
    found = trapped.query("SELECT code, made_by FROM thing WHERE made_by OPERATOR(pg_catalog.<>) 'Ada' ORDER BY code")
    assert found == [("c1", "Eve"), ("c2", "Eve")]
    migrate_forward(trapped.url)


@pytest.mark.two_versions
def test_s2_coexisting_tables_are_merged_without_an_operator_in_public(trapped: Database) -> None:
    columns = f"{', '.join(KEY)}, five, at, made_by, amount"
    trapped.execute(
        f"ALTER VIEW thing RENAME TO seen; CREATE TABLE thing ({COMMON}, made_by varchar(20), amount numeric)"
    )
    trapped.execute(
        f"ALTER TABLE thing ADD PRIMARY KEY (code); INSERT INTO thing SELECT {columns} FROM seen; DROP VIEW seen"
    )
    write(trapped, "Bob")
    accepted = ["coexisting_conflict"]
    (conflict,) = [h for h in planned(trapped.url).hazards if h.code != "open_schema"]
    assert (conflict.code, conflict.facts["kinds"]) == ("coexisting_conflict", {"old_is_later": 2, "same": 8})
    with running(trapped.url, accept_hazards=accepted) as run:
        roll_back(run)
    found = trapped.query("SELECT code, made_by FROM thing WHERE made_by OPERATOR(pg_catalog.<>) 'Ada' ORDER BY code")
    assert found == [("c1", "Bob"), ("c2", "Bob")]


# --- a type with operators of its own --------------------------------------------------------------------------

CITEXT = "CREATE DOMAIN word AS citext; CREATE TABLE place (code citext PRIMARY KEY); INSERT INTO place VALUES ('Ab'), ('cd')"


@pytest.mark.every_version
def test_s2_a_key_of_citext_is_compared_as_citext(
    plain_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its own operator, which is in `public`, and none that fits better there; a key in other letters is the same key."""
    try:
        plain_database.admin().execute("CREATE EXTENSION citext SCHEMA public")
    except psycopg.errors.Error:
        pytest.skip("this server comes without citext")
    more = """
-- name: foreign_keys -- of citext
ALTER TABLE {0} ADD CONSTRAINT {0}_place FOREIGN KEY (place) REFERENCES public.place (code) NOT VALID;

-- name: validate -- of citext
ALTER TABLE {0} VALIDATE CONSTRAINT {0}_place;
"""
    set_up(
        plain_database, tmp_path / "migration", monkeypatch, "id citext NOT NULL, said text, at timestamptz, place word",
        "INSERT INTO thing VALUES ('ab', 'old', '2026-01-02', 'AB'), ('CD', 'old', '2026-01-01', 'CD')", prelude=CITEXT,
        old_more=more.format("thing"), new_more=more.format("new_thing"), pair={"changed_at": "at"},
    )  # fmt: skip
    migrate_forward(plain_database.url)
    plain_database.execute(
        "DROP VIEW thing; CREATE TABLE thing (id citext PRIMARY KEY, said text, at timestamptz, place word);"
        "INSERT INTO thing VALUES ('AB', 'older', '2026-01-01', 'ab'), ('Cd', 'newer', '2026-01-02', 'Cd')"
    )
    sent: list[str] = []
    execute = Session.execute

    def spy(self: Session, query: Any, *args: Any, **kwargs: Any) -> Any:
        sent.append(query if isinstance(query, str) else query.as_string(self.connection))
        return execute(self, query, *args, **kwargs)

    monkeypatch.setattr(Session, "execute", spy)
    with traps.laid(plain_database, [], ["public.citext", "public.word", "text"]):
        assert {h.code for h in planned(plain_database.url).hazards} == {"coexisting_conflict", "open_schema"}
        with running(plain_database.url, accept_hazards=["coexisting_conflict"]) as run:
            roll_back(run)
        assert plain_database.query("SELECT id::text, said FROM thing ORDER BY said") == [
            ("Cd", "newer"),
            ("ab", "old"),
        ]
        plain_database.execute("UPDATE thing SET id = 'aB' WHERE said OPERATOR(pg_catalog.=) 'old'")
        with running(plain_database.url) as run:
            undo_rollback(run)
        assert plain_database.query("SELECT id::text, said FROM new_thing ORDER BY said") == [
            ("Cd", "newer"),
            ("aB", "old"),
        ]
    by_another = [text for text in sent if re.search(r'"(id|code|place)" OPERATOR\(pg_catalog', text)]
    assert by_another == []


# --- the next one ----------------------------------------------------------------------------------------------

OPERATORS = (
    r"(?:=|<>|!=|<=?|>=?|\|\||[-+*/]|IS (?:NOT )?DISTINCT FROM(?! NULL)|(?:NOT )?(?:IN \(|BETWEEN|I?LIKE)|SIMILAR TO)"
)
GIVEN = r"(?<![$\\{])\{(?!private\}|migration\})\w+\}"
"""What is filled in; but not the names of the private schema and of the migration, which are literals of ours."""
BY_NAME = re.compile(
    rf"(?:{GIVEN}|CAST\({GIVEN} AS [^()]+\))\s*{OPERATORS}(?![\w>])"
    rf"|(?<!\w){OPERATORS}\s*(?:ANY \(|ALL \(|ROW\(|CAST\(|\()?{GIVEN}"
    rf"|(?:CASE\s|NULLIF\(|USING \(|NATURAL\s){GIVEN}",
    re.IGNORECASE,
)
OF_KNOWN_TYPES = {  # what these are filled with is a literal of ours, beside a column of the catalog; or said here
    *(
        "own_things",
        "own_schema",
        "close_to_others",
        "give_table",
        "give_function",
        "same_columns",
        "facts_with_lock_time",
        "take_over_ledger",
    ),
    "table_like",  # CREATE TABLE (LIKE …): no operator
    "load_script",  # a person runs it, under settings of its own
    "changes_in_value",  # of the type numeric itself; a domain over it is compared as an image
}


def test_s2_no_statement_looks_up_an_operator_for_values_of_the_migration() -> None:
    """The types of what a block is filled with are not known: there an operator is named with its schema.

    `DISTINCT`, `GROUP BY`, `ORDER BY`, `PARTITION BY` and `UNION` go by the type's operator class, not by a name.
    """
    found = {
        (name, match[0])
        for path in sorted(ENGINE.rglob("*.sql"))
        for name, block in load_blocks(path).items()
        for match in BY_NAME.finditer(qualified(block.sql))
        if name not in OF_KNOWN_TYPES
    }
    assert found == set()


def test_s2_no_operator_is_written_beside_the_engines_sql() -> None:
    """Python composes lists of parts; what compares them is in the engine's SQL. An assignment is no operator."""
    found = [
        (path.name, line.strip())
        for path in sorted(PACKAGE.rglob("*.py"))
        for line in path.read_text(encoding="utf-8").splitlines()
        if re.search(rf"SQL\(.*{OPERATORS}\s*\{{\}}", line, re.IGNORECASE)
    ]
    assert found == [
        ("forth.py", 'assignments=comma(sql.SQL("{} = {}").format(ident(c), _otherwise(forth, c)) for c in kept),'),
        ("rename_columns.py", 'sql.SQL("{}{} = {}").format(prefixed, ident(name), sql.Literal(value))'),  # an option
    ]


# --- whether there is a value ----------------------------------------------------------------------------------


def test_no_statement_asks_whether_a_value_of_the_migration_is_null_field_by_field() -> None:
    """Of a composite value whose fields are all NULL, IS NULL is true and it is one all the same, for keys and NOT NULL."""
    fields = re.compile(rf"{GIVEN}\s+IS (?:NOT )?NULL", re.IGNORECASE)
    in_sql = {
        (name, match[0])
        for path in sorted(ENGINE.rglob("*.sql"))
        for name, block in load_blocks(path).items()
        for match in fields.finditer(block.sql)
    }
    in_python = {
        (path.name, line.strip())
        for path in sorted(PACKAGE.rglob("*.py"))
        for line in path.read_text(encoding="utf-8").splitlines()
        if re.search(r"SQL\(.*\{\w*\} IS (?:NOT )?NULL", line, re.IGNORECASE)
    }
    proof = {
        ("not_null_by_check", "{column} IS NOT NULL")
    }  # stricter than NOT NULL: it fails before the swap, or it holds
    assert in_sql | in_python == proof
