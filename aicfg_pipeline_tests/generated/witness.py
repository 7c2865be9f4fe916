"""What there is, as the server's own catalog, `has_*_privilege` and pg_dump tell it. Nothing here is the pipeline's."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psycopg

from aicfg_pipeline_tests.generated.world import Pair, q

PINNED = " ".join(
    f"-c {name}={value}"
    for name, value in {
        "TimeZone": "UTC", "DateStyle": "ISO,MDY", "IntervalStyle": "postgres", "extra_float_digits": "1", "bytea_output": "hex",
        "array_nulls": "on", "search_path": "pg_catalog", "row_security": "off", "statement_timeout": "60s",
        "lock_timeout": "30s",
        "default_transaction_isolation": "read\\ committed", "transform_null_equals": "off", "quote_all_identifiers": "off",
        "standard_conforming_strings": "on", "check_function_bodies": "on", "xmloption": "content",
        "idle_in_transaction_session_timeout": "0", "client_min_messages": "warning", "session_replication_role": "origin",
        "default_transaction_read_only": "off", "default_transaction_deferrable": "off",
    }.items()
)  # fmt: skip


ASKED = {
    block.split(" -- ")[0]: block.split("\n", 1)[1].strip()
    for block in (Path(__file__).with_suffix(".sql")).read_text(encoding="utf-8").split("-- name: ")[1:]
}


def connect(url: str) -> psycopg.Connection:
    """Connect as the test does: whatever role and database say, a value has one text."""
    return psycopg.connect(url, autocommit=True, options=PINNED, client_encoding="utf8")


def shape(connection: psycopg.Connection, name: str, schema: str = "public") -> dict[str, Any] | None:
    """Return everything the catalog says of a table or view, by name; None where it is not there."""
    connection.execute("SET search_path = pg_catalog")
    found = connection.execute(ASKED["shape"], (q(schema, name),)).fetchone()
    return json.loads(found[0]) if found else None


def access(connection: psycopg.Connection, names: Sequence[str], schema: str = "public") -> set[tuple[str, ...]]:
    """Return the access matrix: who may do what with these tables and views, effectively."""
    there = [
        q(schema, n)
        for n in names
        if connection.execute("SELECT to_regclass(%s)", (q(schema, n),)).fetchone() != (None,)
    ]
    return {tuple(map(str, row)) for row in connection.execute(ASKED["access"], {"tables": there})}


def sequence_access(connection: psycopg.Connection, name: str, schema: str = "public") -> set[tuple[str, ...]]:
    """Return who may do what with the sequences of a table's serial columns, by column."""
    return {tuple(map(str, row)) for row in connection.execute(ASKED["sequences"], (q(schema, name),))}


def open_private(connection: psycopg.Connection) -> list[tuple[str, ...]]:
    """Return who besides their owner may do something with the schema, the ledger or a change log."""
    return connection.execute(ASKED["private"]).fetchall()


def around(connection: psycopg.Connection) -> dict[str, Any]:
    """Return everything that is not in the private schema and no row: names, owners, rights, bodies."""
    connection.execute("SET search_path = pg_catalog")
    return json.loads(connection.execute(ASKED["around"]).fetchone()[0])  # type: ignore[index]


Rows = dict[tuple[str | None, ...], dict[str, str | None]]
"""Rows by key, each value as text."""


def rows(
    connection: psycopg.Connection, pair: Pair, side: str, *, schema: str = "public", name: str | None = None
) -> Rows:
    """Return the rows of a table."""
    return read(
        connection,
        pair,
        q(schema, name or pair.table(side)),
        {c.name: q(c.name) for c in pair.side(side)},
        {k: q(k) for k in pair.key},
    )


def read(connection: psycopg.Connection, pair: Pair, table: str, picked: dict[str, str], keys: dict[str, str]) -> Rows:
    """Return rows as text: `picked` and `keys` are expressions by column."""
    expressions = ", ".join(f"({e})::text" for e in (*keys.values(), *picked.values()))
    found: Rows = {}
    for row in connection.execute(f"SELECT {expressions} FROM {table}"):  # type: ignore[call-overload]
        key = tuple(row[: len(keys)])
        assert key not in found, f"two rows of one key in {table}"
        found[key] = dict(zip(picked, row[len(keys) :], strict=True))
    return found
