"""SQL files as named, described blocks: `-- name: WORD -- what it is for`, then statements up to the next name.

Pure text handling, used by the spec (the migration's DDL files) and by `postgres.statements` (the engine's own
SQL). Nothing here talks to a server and nothing here builds SQL.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from sqlglot.dialects import postgres
from sqlglot.errors import SqlglotError
from sqlglot.tokens import Token, TokenType

from aicfg_pipeline.errors import SpecError

_HEADER = re.compile(r"^-- name: (?P<name>\w+)(?: -- (?P<description>.+))?[ \t]*$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """One named block: its text, and the same text cut into statements (without the semicolons), each with its line.

    Where the text names the schema of what the file makes, the statements leave it out (`spec.places`).
    """

    name: str
    description: str
    sql: str
    statements: tuple[str, ...]
    lines: tuple[int, ...] = ()


def tokens(text: str) -> list[Token]:
    """Cut SQL text into tokens. Raises `SqlglotError` where it can't be read (an open quote, say)."""
    try:
        return postgres.Postgres().tokenize(text)
    except SqlglotError:
        raise
    except Exception as error:  # a text that the tokenizer's makers did not foresee
        raise SqlglotError(f"{type(error).__name__}: {error}") from None


def identifier(token: Token) -> str:
    """Return the name that a token stands for, folded as PostgreSQL folds it."""
    return token.text if token.token_type == TokenType.IDENTIFIER else token.text.lower()


def split_statements(text: str) -> tuple[str, ...]:
    """Cut SQL text at its semicolons, minding quotes, dollar quotes and comments.

    Raises `SqlglotError` where the text can't be read as SQL tokens (an open quote, say).
    """
    statements, start = [], None
    end = 0
    for token in tokens(text):
        if token.token_type == TokenType.SEMICOLON:
            if start is not None:
                statements.append(text[start:end])
            start = None
            continue
        start = token.start if start is None else start
        end = token.end + 1
    if start is not None:
        statements.append(text[start:end])
    return tuple(statements)


def parse_blocks(text: str, where: str) -> Mapping[str, Block]:
    """Return the named blocks of `text` in their order. Raises `SpecError` naming every mistake."""
    headers = list(_HEADER.finditer(text))
    complaints: list[str] = []
    blocks: dict[str, Block] = {}
    for header, following in zip_longest(headers, headers[1:]):
        name = header["name"]
        whole = text[header.end() : following.start() if following else len(text)]
        body = whole.strip()
        try:
            statements = split_statements(body)
        except SqlglotError as error:
            complaints.append(f"{where}: block {name}: {(str(error).splitlines() or ['it is not SQL'])[0]}")
            continue
        if name in blocks:
            complaints.append(f"{where}: block {name} is there twice")
        if not header["description"]:
            complaints.append(f"{where}: block {name} has no description (-- name: {name} -- what it is for)")
        if not statements:
            complaints.append(f"{where}: block {name} holds no statement")
        first = text.count("\n", 0, header.end() + len(whole) - len(whole.lstrip())) + 1
        blocks[name] = Block(name, header["description"] or "", body, statements, _lines(body, statements, first))
    if not headers:
        complaints.append(f"{where}: holds no block (a line `-- name: table -- what it is for`)")
    if complaints:
        raise SpecError(f"{where} can't be used.", complaints=complaints)
    return blocks


def _lines(body: str, statements: tuple[str, ...], first: int) -> tuple[int, ...]:
    found, place = [], 0
    for statement in statements:
        place = body.index(statement, place)
        found.append(first + body.count("\n", 0, place))
        place += len(statement)
    return tuple(found)


def load_blocks(path: Path, where: str | None = None) -> Mapping[str, Block]:
    """Read and parse one SQL file. Raises `SpecError` where it is missing, not UTF-8 or malformed."""
    where = where or path.name
    try:
        text = path.read_bytes().decode("utf-8").replace("\r\n", "\n")  # a \r by itself stands in a literal
    except FileNotFoundError:
        raise SpecError(f"{where}: no such file.", expected=f"an SQL file at {path}") from None
    except (OSError, ValueError) as error:  # ValueError: not UTF-8, or a path with a zero byte
        raise SpecError(f"{where}: can't be read: {error}") from None
    return parse_blocks(text, where)
