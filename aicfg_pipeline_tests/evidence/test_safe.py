"""What may be shown: secrets, values and the ledger's own rows may not."""

from __future__ import annotations

import pytest

from aicfg_pipeline.evidence.safe import clean_statement, clean_text, redacted, small_facts


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://u:hunter2@h/db", "postgresql://u:***@h/db"),
        ("password=hunter2 host=h", "password=*** host=h"),
        ("sent Bearer abcdef123456", "sent Bearer ***"),
        ("AKIAIOSFODNN7EXAMPLE was used", "*** was used"),
        ("ALTER ROLE x PASSWORD 'hunter2'", "ALTER ROLE x PASSWORD '***'"),
        (
            'curl -H "Authorization: Bearer $TOKEN" "$API_URL/PATH"',
            'curl -H "Authorization: Bearer $TOKEN" "$API_URL/PATH"',
        ),
        ("zero\x00byte and \x1b[31m", "zero�byte and �[31m"),
    ],
)
def test_text(text, shown):
    assert clean_text(text) == shown


def test_named_secrets_and_secret_names():
    given = {"a": ["my-pass"], "my-pass": 1, "api_key": "anything", "token": 12, "deep": {"Password": "x"}}
    assert redacted(given, ["my-pass"]) == {
        "a": ["***"],
        "***": 1,
        "api_key": "***",
        "token": 12,
        "deep": {"Password": "***"},
    }


@pytest.mark.parametrize(
    ("sql", "shown", "kind"),
    [
        ("BEGIN ISOLATION LEVEL READ COMMITTED", "BEGIN ISOLATION LEVEL READ COMMITTED", "housekeeping"),
        ("SET LOCAL a TO 'x'; SET LOCAL b TO 'y'", "SET LOCAL a TO 'x';\nSET LOCAL b TO 'y'", "housekeeping"),
        ("SELECT 1", "SELECT 1", "read"),
        ("CREATE TABLE t (a text DEFAULT 'x')", "CREATE TABLE t (a text DEFAULT 'x')", "work"),
        ("INSERT INTO t VALUES ('a''b', E'c\\'d', $$e$$)", "INSERT INTO t VALUES ('…', '…', '…')", "work"),
        ("UPDATE \"it's\" SET a = 'b'", "UPDATE \"it's\" SET a = '…'", "work"),
        ("WITH x AS (SELECT 'k') DELETE FROM t", "WITH x AS (SELECT '…') DELETE FROM t", "work"),
        (
            "INSERT INTO aicfg_rollback.ledger (run_id) VALUES ('r;s')",
            "INSERT INTO aicfg_rollback.ledger (…) VALUES (…)",
            "housekeeping",
        ),
        (
            "ALTER TABLE a SET SCHEMA b; INSERT INTO aicfg_rollback.ledger (f) VALUES (E'[{\\\"sql\\\"}]')",
            "ALTER TABLE a SET SCHEMA b;\nINSERT INTO aicfg_rollback.ledger (…) VALUES (…)",
            "work",
        ),
        ("SELECT 'open quote", "SELECT 'open quote", "read"),
        ("", "(empty)", "housekeeping"),
    ],
)
def test_statement(sql, shown, kind):
    made = clean_statement(sql, 1.5)
    assert (made.sql, made.kind, made.ms) == (shown, kind, 1.5)


def test_functions_are_not_cut_at_their_semicolons():
    text = (
        "CREATE FUNCTION f() RETURNS trigger AS $body$ BEGIN a; b; END $body$; REVOKE ALL ON FUNCTION f() FROM PUBLIC"
    )
    assert clean_statement(text, None).sql.count(";\n") == 1


def test_small_facts():
    facts = {
        "rows": 3,
        "big": 2**60,
        "merged": {"newer": 2, "deep": {"x": 1}},
        "note": "words",
        "checksum_before": "17",
        "dagster/row_count": 3,
        "identity": {"x": 1},
        "names": ["n"] * 70,
        "empty": [],
        "rows_shown": [{"a": 1}],
    }
    kept = small_facts(facts, texts=False)
    assert {k: v for k, v in kept.items() if k != "names"} == {
        "rows": 3,
        "big": str(2**60),
        "merged.newer": 2,
        "checksum_before": "17",
    }
    assert kept["names"] == [*["n"] * 60, "and 10 more"]
    assert small_facts({"note": "w" * 500}, texts=True) == {"note": "w" * 400 + "…"}
