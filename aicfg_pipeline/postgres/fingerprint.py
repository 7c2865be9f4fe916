"""Row counts, checksums and exact row-by-row comparison of two row sources.

A checksum is the sum of `hash_record_extended` of the rows (PostgreSQL 14+), each hashed once more: a row's hash is
linear in those of its columns, so that a plain sum would not notice two rows that exchange a value. A sum, not an XOR,
because pairs cancel in an XOR, and always together with the count. The exact comparison is by binary image (`*<>`), so
that values that are merely equal (1.0 and 1.00, a case-insensitive text) count as different. What a difference *means*
is decided by the caller.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from psycopg import sql

from aicfg_pipeline.postgres.equality import absent, keys_equal
from aicfg_pipeline.postgres.session import Session
from aicfg_pipeline.postgres.statements import Statement, columns, comma, engine
from aicfg_pipeline.postgres.wording import counted

SAMPLE = 50


@dataclass(frozen=True)
class Fingerprint:
    """Row count and checksum of a row source; the checksum is a decimal integer as text, None where it was not summed up."""

    rows: int
    checksum: str | None

    def __str__(self) -> str:
        return f"{counted(self.rows, 'row')}, checksum {self.checksum}"


@dataclass(frozen=True)
class Differences:
    """Rows that differ between two sources; `unexplained` ones have no key in the change log.

    `missing` rows are in the source only, `extra` ones in the target only; the rest are in both and `changed`.
    """

    differences: int
    unexplained: int
    sample: list[dict[str, Any]] = field(default_factory=list)
    missing: int = 0
    extra: int = 0
    unexplained_missing: int = 0
    unexplained_extra: int = 0

    @property
    def unexplained_changed(self) -> int:
        """Rows that both sides have, with other values, and nothing explains it."""
        return self.unexplained - self.unexplained_missing - self.unexplained_extra


@dataclass(frozen=True)
class CommonSums:
    """Checksums of the rows that both sides have and nothing explains, and in how many of them a column differs."""

    before: str
    after: str
    columns: dict[str, int]


def take(session: Session, source: sql.Composable, names: Sequence[str], *, hashable: bool) -> Fingerprint:
    """Fingerprint a FROM item over the named columns; `hashable` false goes through the row's pinned text."""
    row = session.one(fingerprint_query(source, names, hashable=hashable), note=True)
    return Fingerprint(row.rows, row.checksum)


def fingerprint_query(source: sql.Composable, names: Sequence[str], *, hashable: bool) -> Statement:
    """Return the query for row count and checksum of a FROM item."""
    block = "fingerprint" if hashable else "fingerprint_by_text"
    return engine(block, columns=columns(names, "side"), source=source)


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
    row = session.one(differences_query(source, target, names, key, log=log, sample=sample), note=True)
    return read_differences(row)


def read_differences(row: Any) -> Differences:
    """Return what the query for differences has found."""
    return Differences(
        row.differences,
        row.unexplained,
        list(row.sample),
        missing=row.missing,
        extra=row.extra,
        unexplained_missing=row.unexplained_missing,
        unexplained_extra=row.unexplained_extra,
    )


def differences_query(
    source: sql.Composable,
    target: sql.Composable,
    names: Sequence[str],
    key: Sequence[str],
    *,
    log: sql.Composable | None = None,
    sample: int = SAMPLE,
) -> Statement:
    """Return the query for the number of rows that differ, by kind, and how many of them the log explains."""
    return engine(
        "count_differences",
        sample=sql.Literal(sample),
        log=log if log is not None else engine("no_log", keys=columns(key), table=source),
        entry_keys=columns(key, "entry"),
        entry_is_wanted=keys_equal(key, "entry", "wanted"),
        different_is_known=keys_equal(key, "different", "known"),
        is_known=sql.Identifier("known", key[0]),
        **_joined(source, target, names, key, None),  # it joins with the log by itself
    )


def different_keys(
    source: sql.Composable, target: sql.Composable, names: Sequence[str], key: Sequence[str]
) -> sql.Composed:
    """Return the query for the keys of the rows that differ, in the key's own types."""
    parts = _joined(source, target, names, key, None)
    wanted = ("any_keys", "source", "target", "keys_equal", "source_columns", "target_columns")
    return engine("different_keys", **{n: parts[n] for n in (*wanted, "source_absent", "target_absent")})


def _joined(
    source: sql.Composable,
    target: sql.Composable,
    names: Sequence[str],
    key: Sequence[str],
    log: sql.Composable | None,
) -> dict[str, sql.Composable]:
    """Return what every comparison of two sides is filled with."""
    explained: sql.Composable = sql.SQL("false")
    if log is not None:
        explained = engine("explained_by_log", log=log, keys_equal=keys_equal(key, "logged", "different"))
    return {
        "any_keys": _any_keys(key),
        "keys": columns(key),
        "keys_equal": keys_equal(key, "source", "target"),
        "source": source,
        "target": target,
        "source_columns": columns(names, "source"),
        "target_columns": columns(names, "target"),
        "source_absent": absent(sql.Identifier("source", key[0])),
        "target_absent": absent(sql.Identifier("target", key[0])),
        "explained": explained,
    }


def _any_keys(key: Sequence[str]) -> sql.Composed:
    return comma(
        sql.SQL("coalesce({}, {}) AS {}").format(
            sql.Identifier("source", k), sql.Identifier("target", k), sql.Identifier(k)
        )
        for k in key
    )


def common_sums(
    session: Session,
    source: sql.Composable,
    target: sql.Composable,
    names: Sequence[str],
    key: Sequence[str],
    *,
    hashable: bool,
    log: sql.Composable | None = None,
) -> CommonSums:
    """Checksum the rows that both sides have, and count for each column the rows in which it differs."""
    parts = _joined(source, target, names, key, log)
    hash_ = "hash_of_row" if hashable else "hash_of_row_text"
    counts = comma(
        engine(
            "rows_with_other_value",
            source=sql.Identifier("source", n),
            target=sql.Identifier("target", n),
        )
        for n in names
    )
    query = engine(
        "sums_of_common_rows",
        source_hash=engine(hash_, columns=parts["source_columns"]),
        target_hash=engine(hash_, columns=parts["target_columns"]),
        counts=counts,
        source=source,
        target=target,
        keys_equal=parts["keys_equal"],
        keys=_any_keys(key),
        explained=parts["explained"],
    )
    row = session.one(query)
    return CommonSums(row.before, row.after, {n: c for n, c in zip(names, row.counts, strict=True) if c})


def different_rows(
    source: sql.Composable,
    target: sql.Composable,
    names: Sequence[str],
    key: Sequence[str],
    *,
    log: sql.Composable | None = None,
) -> sql.Composed:
    """Return the query for the rows that differ and nothing explains: kind, key, before, after, changed, as arrays."""

    def texts(side: str) -> sql.Composed:
        return comma(sql.SQL("CAST({} AS text)").format(sql.Identifier(side, n)) for n in names)

    changed = comma(
        sql.SQL("pg_catalog.record_image_ne(ROW({}), ROW({}))").format(
            sql.Identifier("source", n), sql.Identifier("target", n)
        )
        for n in names
    )
    return engine(
        "different_rows",
        key_texts=comma(sql.SQL("CAST({} AS text)").format(sql.Identifier("different", k)) for k in key),
        source_texts=texts("source"),
        target_texts=texts("target"),
        changed=changed,
        **_joined(source, target, names, key, log),
    )
