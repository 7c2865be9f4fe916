"""What keeps values and secrets out of a report: redaction of every text, small facts, SQL without values.

Every text of a report passes through `redacted`, whatever it was before. Deciding which fact to show does not belong
here, only whether it may be.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from sqlglot.errors import SqlglotError

from aicfg_pipeline.errors import redact
from aicfg_pipeline.evidence.facts import SafeFacts, Scalar, Statement, StatementKind
from aicfg_pipeline.spec.blocks import split_statements

CATALOG_CHECKS = {
    "structure",
    "row_level_security",
    "grants",
    "references",
    "functions",
    "roles",
    "readers",
    "sequences",
    "private_schema",
    "new_table_kept",
    "new_tables_gone",
    "views_gone",
    "nothing_left",
    "log_size",
    "view_security",
    "view_lifetime",
    "api_schema_cache",
    "lambda_deployed",
    "schema_files",
}
"""Checks whose facts come from the catalog or from files: no data values. Of others only harmless names are kept."""

MASK = "***"
_TOKENS = re.compile(
    r"(?i:bearer\s+)(?P<bearer>[^\s\"',;]{6,})"
    r"|(?P<jwt>\beyJ[\w-]{6,800}\.[\w-]+\.[\w-]*)"
    r"|(?P<aws>\b(?:AKIA|ASIA)[0-9A-Z]{16}\b)"
)
_VARIABLE = re.compile(r"(?i:\bauthorization: bearer )(\$[A-Z][A-Z0-9_]*)\b")
_VARIABLE_SHOWN = "Authorization: Bearer {}"
"""The name of an environment variable in a command is no secret, and the command has to stay usable."""
_SECRET_NAME = re.compile(r"(?i)passw(?:or)?d|\bpwd\b|secret|token|authorization|api[_-]?key|credential")
_SECRET_IN_SQL = re.compile(r"(?i)\b(?P<head>password\s+)(?P<secret>E?'(?:[^'\\]|\\.|'')*')")


def clean_text(text: str, secrets: Iterable[str] = ()) -> str:
    """Return `text` without anything that looks like a secret or is one of `secrets`, and printable."""
    shown = "".join(c if c.isprintable() or c in "\n\t" else "�" for c in text)
    pieces = _VARIABLE.split(shown)
    for place, piece in enumerate(pieces):
        pieces[place] = _VARIABLE_SHOWN.format(piece) if place % 2 else _without_secrets(piece, secrets)
    return "".join(pieces)


def _without_secrets(text: str, secrets: Iterable[str]) -> str:
    found = [m[m.lastgroup] for m in _TOKENS.finditer(text) if m.lastgroup]
    return _SECRET_IN_SQL.sub(rf"\g<head>'{MASK}'", redact(text, [*secrets, *found]))


def redacted(value: Any, secrets: Iterable[str] = ()) -> Any:
    """Return plain data (of `model_dump`) with every text in it, names included, cleaned."""
    known = tuple(secrets)
    if isinstance(value, str):
        return clean_text(value, known)
    if isinstance(value, Mapping):
        return {
            clean_text(str(k), known): MASK if _is_secret(str(k), v) else redacted(v, known) for k, v in value.items()
        }
    if isinstance(value, list | tuple):
        return [redacted(v, known) for v in value]
    return value


def _is_secret(name: str, value: Any) -> bool:
    return isinstance(value, str) and bool(_SECRET_NAME.search(name))


# --- small facts -----------------------------------------------------------------------------------------------

_SAFE_TEXT = re.compile(
    r"(?i)(^|[._])(checksums?|at|since|until|columns?|keys?|kinds?|names?|outcome|state|status|codes?|path|method|types?"
    r"|because|table|tables|role|roles|file|files|sha256|log_groups?)([._]|$)|_at$|checksum"
)
_NOISE = {"identity", "shadow_oid", "before", "after", "sample", "blockers", "query"}
LONGEST_TEXT, MOST_ITEMS = 400, 60


def small_facts(facts: Mapping[str, Any], *, texts: bool) -> SafeFacts:
    """Return the facts that are small and hold no data value; `texts` false keeps text only under harmless names.

    Mappings are flattened (`merged.newer: 3`); tables, samples and everything deeper is left out.
    """
    kept: SafeFacts = {}
    for name, value in _flat(facts):
        if _scalar(value):
            if _may_show(name, value, texts):
                kept[name] = _short(value)
            continue
        if texts and name == "differences" and isinstance(value, list):
            value = [_difference(v) for v in value]
        if isinstance(value, list | tuple) and value and all(_scalar(v) for v in value):
            shown = [_short(v) for v in value if _may_show(name, v, texts)]
            if shown:
                more = len(shown) - MOST_ITEMS
                kept[name] = [*shown[:MOST_ITEMS], f"and {more} more"] if more > 0 else shown
    return kept


def _difference(line: Any) -> Scalar:
    """One line of `rollback.facts.differences` as text."""
    if not isinstance(line, Mapping) or not {"what", "expected", "found"} <= set(line):
        return None
    return f"{line['what']}: expected {line['expected']}, found {line['found']}"


def _flat(facts: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    for name, value in facts.items():
        if name in _NOISE or str(name).startswith("dagster/"):
            continue
        if name == "differences" and isinstance(value, Mapping):
            continue  # the counts have facts of their own
        if isinstance(value, Mapping):
            yield from ((f"{name}.{k}", v) for k, v in value.items())
        else:
            yield str(name), value


def _scalar(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | float | str)


def _may_show(name: str, value: Any, texts: bool) -> bool:
    return texts or not isinstance(value, str) or bool(_SAFE_TEXT.search(name))


def _short(value: Scalar) -> Scalar:
    if isinstance(value, str) and len(value) > LONGEST_TEXT:
        return value[:LONGEST_TEXT] + "…"
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > 2**53:
        return str(value)  # beyond what JSON readers keep exact
    return value


# --- statements ------------------------------------------------------------------------------------------------

_LEDGER = re.compile(r'\s*INSERT INTO "?aicfg_rollback"?\."?ledger"?\b', re.IGNORECASE)
_LEDGER_SHOWN = "INSERT INTO aicfg_rollback.ledger (…) VALUES (…)"
_WRITES_ROWS = re.compile(r"(?i)^\s*(?:INSERT|UPDATE|DELETE|MERGE|COPY|VALUES|CALL|EXECUTE)\b")
_WITH_WRITE = re.compile(r"(?i)^\s*WITH\b.*\b(?:INSERT\s+INTO|UPDATE|DELETE\s+FROM|MERGE\s+INTO)\b", re.DOTALL)
_LITERAL = re.compile(
    r"(?P<name>\"(?:[^\"]|\"\")*\")|\b[eE]'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'|\$(?P<tag>\w*)\$.*?\$(?P=tag)\$",
    re.DOTALL,
)
_HOUSEKEEPING = re.compile(
    r"(?i)^\s*(?:BEGIN|COMMIT|ROLLBACK|SET\s|RESET\s|SELECT (?:pg_catalog\.)?(?:pg_(?:try_)?advisory_|set_config\()|INSERT INTO"
    r" \"?aicfg_rollback\"?\.\"?ledger)"
)
_READS = re.compile(r"(?i)^\s*(?:SELECT|WITH|TABLE|SHOW)\b")


def clean_statement(sql: str, ms: float | None) -> Statement:
    """Return a recorded statement (or script) as it may be shown: no values, no rows of the ledger."""
    parts = [_without_values(p) for p in _parts(sql)]
    return Statement(sql=";\n".join(parts) or "(empty)", ms=ms, kind=_kind(parts))


def _parts(sql: str) -> tuple[str, ...]:
    if _LEDGER.match(sql) and ";" not in sql:
        return (sql,)
    try:
        return split_statements(sql)
    except (SqlglotError, ValueError):
        return (sql,)


def _without_values(sql: str) -> str:
    if _LEDGER.match(sql):
        return _LEDGER_SHOWN
    if _WRITES_ROWS.match(sql) or _WITH_WRITE.match(sql):
        return _LITERAL.sub(lambda m: m[0] if m["name"] else "'…'", sql)
    return sql


def _kind(parts: list[str]) -> StatementKind:
    if all(_HOUSEKEEPING.match(p) for p in parts):
        return "housekeeping"
    if all(_HOUSEKEEPING.match(p) or (_READS.match(p) and not _WITH_WRITE.match(p)) for p in parts):
        return "read"
    return "work"
