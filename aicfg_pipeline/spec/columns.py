"""What a table's DDL file says of its columns and its primary key: the source of migration.yaml's defaults.

Where the text does not say it plainly (`LIKE`, say), nothing is known, and nothing is concluded from it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from sqlglot.errors import SqlglotError
from sqlglot.tokens import Token, TokenType

from aicfg_pipeline.spec.blocks import identifier, tokens
from aicfg_pipeline.spec.model import Ddl

_CONSTRAINTS = ("CONSTRAINT", "PRIMARY", "UNIQUE", "FOREIGN", "EXCLUDE", "CHECK", "LIKE", "NOT")
CHANGED_AT = "updated_at"
"""The column that tells which of two versions of a row is the later one, where migration.yaml does not say it."""


def columns_of(ddl: Ddl) -> Mapping[str, str] | None:
    """Return the columns that a table's file makes, with the first word of their type; None where it can't be told."""
    columns: dict[str, str] = {}
    for part in _parts(ddl):
        first = _word(part[0])
        if first == "LIKE":
            return None
        if first not in _CONSTRAINTS and len(part) > 1:
            columns[identifier(part[0])] = identifier(part[1])
    return columns or None


def primary_key_of(ddl: Ddl) -> tuple[str, ...] | None:
    """Return the columns of the primary key that a table's file makes; None where it makes none."""
    for part in _parts(ddl):
        named = _key(part)
        if named is not None:
            return named or (identifier(part[0]),)
    for statement in ddl.blocks["indexes"].statements if "indexes" in ddl.blocks else ():
        words = _tokens(statement)
        if words and _word(words[0]) == "ALTER" and (named := _key(words)):
            return named
    return None


def changed_at_of(*files: Ddl) -> str | None:
    """Return `updated_at` where every file has it as a timestamp: of two versions of a row the later one wins."""
    there = [columns_of(f) or {} for f in files]
    return CHANGED_AT if all(c.get(CHANGED_AT, "").startswith("timestamp") for c in there) else None


def _key(words: Sequence[Token]) -> tuple[str, ...] | None:
    """Return the columns in brackets after PRIMARY KEY; none where it stands behind a column; None where it does not."""
    for place, token in enumerate(words):
        if _word(token) == "PRIMARY":
            rest = words[place + 1 :]
            rest = rest[1:] if rest and _word(rest[0]) == "KEY" else rest
            if not rest or rest[0].token_type != TokenType.L_PAREN:
                return ()
            end = next((n for n, t in enumerate(rest) if t.token_type == TokenType.R_PAREN), len(rest))
            return tuple(identifier(t) for t in rest[1:end] if t.token_type != TokenType.COMMA)
    return None


def _parts(ddl: Ddl) -> Iterator[list[Token]]:
    """Yield what stands between the commas of the file's CREATE TABLE."""
    for statement in ddl.blocks["table"].statements if "table" in ddl.blocks else ():
        words = _tokens(statement)
        if [_word(t) for t in words[:2]] == ["CREATE", "TABLE"]:
            yield from (p for p in _between(words) if p)


def _between(words: Sequence[Token]) -> list[list[Token]]:
    parts: list[list[Token]] = [[]]
    depth = 0
    for token in words:
        depth -= token.token_type == TokenType.R_PAREN
        if depth == 0 and token.token_type == TokenType.R_PAREN:
            return parts
        if depth == 1 and token.token_type == TokenType.COMMA:
            parts.append([])
        elif depth >= 1:
            parts[-1].append(token)
        depth += token.token_type == TokenType.L_PAREN
    return parts


def _word(token: Token) -> str:
    """Return the first word of a token in upper case (one may be several: PRIMARY KEY); of a quoted name none."""
    return "" if token.token_type == TokenType.IDENTIFIER else (token.text.upper().split() or [""])[0]


def _tokens(statement: str) -> list[Token]:
    try:
        return tokens(statement)
    except SqlglotError:
        return []
