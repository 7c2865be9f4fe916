"""Foreign keys that a file declares inside CREATE TABLE, as the statements that put them on later.

A table is made before its rows are there, and before the tables that it refers to may be; its keys come after all of them.
Pure text handling; whether a statement may stand in its block is `places`' to say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sqlglot.tokens import Token, TokenType

from aicfg_pipeline.spec.blocks import Block, identifier, tokens
from aicfg_pipeline.spec.grammar import TEXTS
from aicfg_pipeline.spec.places import Around, object_name

_ACTIONS = ("NO ACTION", "RESTRICT", "CASCADE", "SET NULL", "SET DEFAULT")
_WORDS = ("MATCH SIMPLE", "MATCH FULL", "NOT DEFERRABLE", "DEFERRABLE", "INITIALLY DEFERRED", "INITIALLY IMMEDIATE")
_OPTIONS = [o.split() for o in (*_WORDS, *(f"ON {event} {a}" for event in ("DELETE", "UPDATE") for a in _ACTIONS))]
_DEPTH = {TokenType.L_PAREN: 1, TokenType.R_PAREN: -1}


@dataclass(frozen=True)
class _Word:
    """One word of a statement: in upper case, or empty where it is a quoted name or a text."""

    upper: str
    token: Token


def lifted(blocks: Mapping[str, Block], around: Around) -> dict[str, Block]:
    """Return the blocks with every key inside CREATE TABLE as a statement of `foreign_keys`, and of `validate`."""
    table = blocks.get("table")
    if table is None:
        return dict(blocks)
    statements, keys, lines = list[str](), list[tuple[str, str]](), list[int]()
    for statement, line in zip(table.statements, table.lines, strict=True):
        rest, found = _split(statement, around)
        statements.append(rest)
        keys += found
        lines += [line] * len(found)
    if not keys:
        return dict(blocks)
    made = {"foreign_keys": [k for k, _ in keys], "validate": [v for _, v in keys]}
    more = {name: _longer(name, blocks.get(name), added, lines) for name, added in made.items()}
    return {**blocks, "table": replace(table, statements=tuple(statements)), **more}


def _longer(name: str, block: Block | None, statements: Sequence[str], lines: Sequence[int]) -> Block:
    there = block or Block(name, "keys that stand inside CREATE TABLE", "", ())
    return replace(there, statements=(*there.statements, *statements), lines=(*there.lines, *lines))


def _split(statement: str, around: Around) -> tuple[str, list[tuple[str, str]]]:
    """Return a statement without its foreign keys, and for each key what puts it on and what validates it."""
    words = _words(statement)
    if [w.upper for w in words[:2]] != ["CREATE", "TABLE"]:
        return statement, []
    cuts, keys = list[tuple[int, int]](), list[tuple[str, str]]()
    for first, last in _parts(words):
        part = words[first:last]
        start = 2 if part[0].upper == "CONSTRAINT" else 0
        if [w.upper for w in part[start : start + 2]] == ["FOREIGN", "KEY"]:
            cuts.append(_with_comma(words, first, last))
            keys.append(_key(statement, around, part[start:], identifier(part[1].token) if start else None))
            continue
        for at, named in _references(part):
            end = _end(part, at)
            cuts.append((part[at - 2 if named else at].token.start, part[end - 1].token.end + 1))
            column = _quoted(identifier(part[0].token))
            name = identifier(part[at - 1].token) if named else None
            keys.append(_key(statement, around, part[at:end], name, column))
    for begin, end in sorted(cuts, reverse=True):
        statement = statement[:begin].rstrip() + statement[end:]
    return statement, keys


def _words(statement: str) -> list[_Word]:
    """Return the words; one token may be several of them (PRIMARY KEY)."""
    found = []
    for token in tokens(statement):
        plain = token.token_type not in (*TEXTS, TokenType.IDENTIFIER)
        found += [_Word(upper, token) for upper in (token.text.upper().split() if plain else [""])]
    return found


def _parts(words: Sequence[_Word]) -> list[tuple[int, int]]:
    """Return where the columns and constraints between the brackets begin and end."""
    depth, start, found = 0, 0, list[tuple[int, int]]()
    for place, word in enumerate(words):
        change = _DEPTH.get(word.token.token_type, 0)
        if (depth, change) == (0, 1):
            start = place + 1
        ends = (depth, change) == (1, -1)
        if ends or (depth == 1 and word.token.token_type == TokenType.COMMA):
            found += [(start, place)] if place > start else []
            start = place + 1
        if ends:
            return found
        depth += change
    return []


def _with_comma(words: Sequence[_Word], first: int, last: int) -> tuple[int, int]:
    """Return the text's places of a part, with the comma before it; where there is none, with the one after it."""
    if words[first - 1].token.token_type == TokenType.COMMA:
        return words[first - 1].token.start, words[last - 1].token.end + 1
    after = words[last].token
    return words[first].token.start, after.end + 1 if after.token_type == TokenType.COMMA else after.start


def _references(part: Sequence[_Word]) -> list[tuple[int, bool]]:
    """Return where a column's definition refers to other tables, and whether that constraint has a name."""
    depth, found = 0, list[tuple[int, bool]]()
    for place, word in enumerate(part):
        if depth == 0 and place > 0 and word.upper == "REFERENCES":
            found.append((place, place > 2 and part[place - 2].upper == "CONSTRAINT"))
        depth += _DEPTH.get(word.token.token_type, 0)
    return found


def _end(part: Sequence[_Word], at: int) -> int:
    """Return where the words that belong to REFERENCES end: the table, its columns, the options."""
    place = at + 2
    while place + 1 < len(part) and part[place].token.token_type == TokenType.DOT:
        place += 2
    place = _past_brackets(part, place)
    while option := next((o for o in _OPTIONS if [w.upper for w in part[place : place + len(o)]] == o), None):
        place = _past_brackets(part, place + len(option))
    return place


def _past_brackets(part: Sequence[_Word], place: int) -> int:
    if place < len(part) and part[place].token.token_type == TokenType.L_PAREN:
        return next(n for n in range(place, len(part)) if part[n].token.token_type == TokenType.R_PAREN) + 1
    return place


def _key(
    statement: str, around: Around, words: Sequence[_Word], name: str | None, column: str | None = None
) -> tuple[str, str]:
    """Return what puts a key on and what validates it; a key without a name has the one that the server would give it."""
    at = next((n for n, w in enumerate(words) if w.upper == "REFERENCES"), 0)
    of = [f"{column}"] if column else [_quoted(identifier(w.token)) for w in _between(words[:at])]
    said = statement[words[at].token.end + 1 : words[-1].token.end + 1].strip()
    if at + 2 >= len(words) or words[at + 2].token.token_type != TokenType.DOT:
        said = f"{_quoted(around.schema)}.{said}"
    joined = "_".join(c[1:-1].replace('""', '"') for c in of)
    called, table = _quoted(name or object_name(around.relation, joined, "fkey")), _quoted(around.relation)
    put_on = (
        f"ALTER TABLE ONLY {table} ADD CONSTRAINT {called} FOREIGN KEY ({', '.join(of)}) REFERENCES {said} NOT VALID"
    )
    return put_on, f"ALTER TABLE {table} VALIDATE CONSTRAINT {called}"


def _between(words: Sequence[_Word]) -> list[_Word]:
    """Return the names between the brackets after FOREIGN KEY."""
    no_names = (*_DEPTH, TokenType.COMMA)
    return [w for w in words[2:] if w.token.token_type not in no_names]


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
