"""The settings that the pipeline relies on, pinned right after connecting and again in each transaction.

A role, a database or postgresql.conf may set any of them to anything. Some settings decide how a value is written as
text, how a query is understood, or when the server ends our work: we set these. The others decide how fast it goes: they
stay as they are.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import lru_cache

from psycopg import sql

from aicfg_pipeline.postgres.statements import Statement, comma, engine, ident

AS_TEXT: Mapping[str, str] = {
    "TimeZone": "UTC",
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "postgres",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "xmlbinary": "base64",
    "xmloption": "content",
    "array_nulls": "on",
    "standard_conforming_strings": "on",
    "quote_all_identifiers": "off",
}
"""What a value looks like as text, and how text is read as a value."""

PINNED: Mapping[str, str] = {
    **AS_TEXT,
    # what a query means
    "row_security": "off",  # silent filtering becomes an error
    "transform_null_equals": "off",
    "gin_fuzzy_search_limit": "0",  # any other leaves rows out
    "restrict_nonsystem_relation_kind": "",  # else a view may not be read
    "check_function_bodies": "on",
    "default_transaction_isolation": "read committed",
    "default_transaction_deferrable": "off",
    # when the server ends what we do
    "statement_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "idle_session_timeout": "0",
    "transaction_timeout": "0",
    "exit_on_error": "off",
    # what it tells besides
    "client_min_messages": "warning",
}
"""Left alone on purpose: `default_transaction_read_only` (whoever set it does not want us to write, and the plan says
so), `role` (who we are), and what is only about speed, places on disk or the words of messages."""

SAFE_PATH = ("pg_catalog", "pg_temp")
"""Where our own statements find what they name: nobody else can put anything there. Temporary tables come last,
because a schema `pg_temp` that is not named comes first."""

OUTSIDE_TRANSACTIONS: Mapping[str, str] = {**PINNED, "lock_timeout": "0", "search_path": ", ".join(SAFE_PATH)}


def local_statement(known: Collection[str], **changed: str) -> sql.Composable:
    """Return what pins everything for the rest of a transaction, in one script; it takes no snapshot.

    `known` are the settings that this server has; `changed` come on top.
    """
    return _local_script(frozenset(known), tuple(changed.items()))


@lru_cache(maxsize=64)
def _local_script(known: frozenset[str], changed: tuple[tuple[str, str], ...]) -> sql.SQL:
    """Each transaction says these twenty: the text is made once."""
    values = {name: value for name, value in PINNED.items() if name in known}
    each = [engine("set_local", name=ident(n), value=sql.Literal(v)) for n, v in {**values, **dict(changed)}.items()]
    return sql.SQL(sql.SQL(";\n").join(each).as_string(None))


def path_statement(schemas: Collection[str]) -> Statement:
    """Return what sets the search path for the rest of a transaction; temporary tables come last."""
    path = [*schemas, "pg_temp"] if schemas else SAFE_PATH
    return engine("set_local", name=ident("search_path"), value=comma(ident(s) for s in path))
