"""Counting the rows that break a rule, in one scan for many rules, and naming a few of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from psycopg import sql

from aicfg_pipeline.postgres.session import Session
from aicfg_pipeline.postgres.statements import columns, comma, engine, ident

MOST_RULES = 1_000
"""In one scan: a query has at most 1,664 result columns."""


def tally(session: Session, source: sql.Composable, broken: Sequence[sql.Composable]) -> list[int]:
    """Return for each condition how many rows of a FROM item meet it. The conditions call the item `source`."""
    counts: list[int] = []
    for start in range(0, len(broken), MOST_RULES):
        part = enumerate(broken[start : start + MOST_RULES])
        tallies = comma(engine("tally_one", broken=b, name=ident(f"rule_{i}")) for i, b in part)
        counts += session.one(engine("tally", tallies=tallies, source=source))
    return counts


def sample_keys(
    session: Session, key: Sequence[str], source: sql.Composable, broken: sql.Composable
) -> list[list[Any]]:
    """Return a few keys of the rows of a FROM item that meet a condition."""
    rows = session.all(engine("sample_keys", keys=columns(key, "source"), source=source, broken=broken))
    return [r.key for r in rows]
