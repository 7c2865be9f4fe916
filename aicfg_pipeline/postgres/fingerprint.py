"""Row counts, checksums and exact row-by-row comparison of two row sources.

A checksum is `sum(hash_record_extended(row, 0)::numeric)` (PostgreSQL 14+): a sum, not an XOR, because pairs cancel
in an XOR, and always together with the count. The exact comparison is by binary image (`*<>`), so that values that
are merely equal (1.0 and 1.00, a case-insensitive text) count as different. What a difference *means* is decided
by the caller.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from psycopg import sql

from aicfg_pipeline.postgres.session import Session
from aicfg_pipeline.postgres.statements import columns, engine, keys_equal

SAMPLE = 50


@dataclass(frozen=True)
class Fingerprint:
    """Row count and checksum of a row source; the checksum is a decimal integer as text."""

    rows: int
    checksum: str

    def __str__(self) -> str:
        return f"{self.rows:,} rows, checksum {self.checksum}"


@dataclass(frozen=True)
class Differences:
    """Rows that differ between two sources; `unexplained` ones have no key in the change log."""

    differences: int
    unexplained: int
    sample: list[dict[str, Any]] = field(default_factory=list)


def take(session: Session, source: sql.Composable, names: Sequence[str], *, hashable: bool) -> Fingerprint:
    """Fingerprint a FROM item over the named columns; `hashable` false goes through the row's pinned text."""
    block = "fingerprint" if hashable else "fingerprint_by_text"
    row = session.one(engine(block, columns=columns(names, "side"), source=source))
    return Fingerprint(row.rows, row.checksum)


def differences(
    session: Session,
    source: sql.Composable,
    target: sql.Composable,
    names: Sequence[str],
    key: Sequence[str],
    *,
    log: sql.Composable | None = None,
    sample: int = SAMPLE,
) -> Differences:
    """Compare two FROM items row by row. A difference whose key is in `log` is explained."""
    any_keys = sql.SQL(", ").join(
        sql.SQL("coalesce({}, {}) AS {}").format(
            sql.Identifier("source", k), sql.Identifier("target", k), sql.Identifier(k)
        )
        for k in key
    )
    explained: sql.Composable = sql.SQL("false")
    if log is not None:
        explained = engine("explained_by_log", log=log, keys_equal=keys_equal(key, "logged", "different"))
    row = session.one(
        engine(
            "count_differences",
            any_keys=any_keys,
            keys=columns(key),
            keys_equal=keys_equal(key, "source", "target"),
            source=source,
            target=target,
            source_columns=columns(names, "source"),
            target_columns=columns(names, "target"),
            source_absent=sql.SQL("{} IS NULL").format(sql.Identifier("source", key[0])),
            target_absent=sql.SQL("{} IS NULL").format(sql.Identifier("target", key[0])),
            explained=explained,
        ),
        {"sample": sample},
    )
    return Differences(row.differences, row.unexplained, list(row.sample))
