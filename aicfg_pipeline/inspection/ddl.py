"""What makes a table or a view, from the catalogs, in the blocks of a migration's file.

One way on every server, and an exact one: a table that is made from it is the same as the one that it was read from. What is
left out, because a file can't make it, is for `relations` to say (rules, inheritance). Which table is read is not decided here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from psycopg import sql
from sqlglot.dialects import postgres
from sqlglot.tokens import Token, TokenType

from aicfg_pipeline.postgres.session import Session
from aicfg_pipeline.postgres.statements import engine
from aicfg_pipeline.spec.blocks import identifier, tokens
from aicfg_pipeline.spec.ddl import TABLE_BLOCKS, VIEW_BLOCKS
from aicfg_pipeline.spec.grammar import TEXTS
from aicfg_pipeline.spec.model import MAX_NAME_BYTES

Statements = Mapping[str, Sequence[str]]
"""Block to its statements, in the order in which they are run."""

WHY = {
    "table": "columns, defaults and checks; nothing that has to be kept up while rows come in",
    "indexes": "primary key, unique constraints and indexes, built once the rows are in",
    "foreign_keys": "made without a scan; the next block validates them without a lock that blocks anyone",
    "validate": "the foreign keys hold for the rows that are there",
    "triggers": "what runs when rows are written",
    "row_level_security": "who sees and may change which rows",
    "grants": "exact, whatever the default privileges of this project are",
    "comments": "what it is for",
    "view": "the old name, as a view on the new table",
    "security_invoker": "server 15 and later: readers pass the new table's row level security",
}


def table_statements(session: Session, oids: Sequence[int]) -> dict[int, Statements]:
    """Return by table what makes it. Needs a transaction with nothing but pg_catalog in the search path."""
    return _in_blocks(session, "table_statements", oids, TABLE_BLOCKS)


def view_statements(session: Session, oids: Sequence[int]) -> dict[int, Statements]:
    """Return by view what makes it."""
    return _in_blocks(session, "view_statements", oids, VIEW_BLOCKS)


def _in_blocks(session: Session, query: str, oids: Sequence[int], blocks: Sequence[str]) -> dict[int, Statements]:
    made: dict[int, dict[str, list[str]]] = {oid: {} for oid in oids}
    for row in session.all(engine(query), {"oids": list(oids)}) if oids else ():
        made[row.oid].setdefault(row.block, []).append(row.statement)
    return {oid: {b: found[b] for b in blocks if b in found} for oid, found in made.items()}


# --- under other names -----------------------------------------------------------------------------------------

_SIMPLE = re.compile(r"[a-z_][a-z0-9_]*")


@dataclass(frozen=True)
class Renaming:
    """Tables that get another name in a text: schema and name to the name. Names of what belongs to a table follow."""

    tables: Mapping[tuple[str, str], str]
    others: Mapping[str, str]
    """Constraints, indexes, sequences, triggers, functions and policies of the table: name to the name that it gets."""

    def of(self, statement: str) -> str:
        """Return a statement under the other names. Texts and functions' bodies stay."""
        words = tokens(statement)
        cuts: list[tuple[int, int, str]] = []
        for place, word in enumerate(words):
            new = self._text(word) if word.token_type in TEXTS else self._name(words, place)
            if new is not None:
                cuts.append((word.start, word.end + 1, new))
        for start, end, new in reversed(cuts):
            statement = statement[:start] + new + statement[end:]
        return statement

    def _name(self, words: Sequence[Token], place: int) -> str | None:
        name = identifier(words[place])
        before = words[place - 1].token_type if place else None
        after = words[place + 1].token_type if place + 1 < len(words) else None
        if before == TokenType.DOT:
            schema = identifier(words[place - 2]) if place > 1 else ""
            if (schema, name) in self.tables:
                return _quoted(self.tables[schema, name])
        elif after == TokenType.DOT and name in {n for _, n in self.tables}:
            return _quoted(next(new for (_, n), new in self.tables.items() if n == name))
        return _quoted(self.others[name]) if name in self.others else None

    def _text(self, word: Token) -> str | None:
        """A sequence that a default names stands in a text: nextval('public.t_id_seq'::regclass)."""
        if word.token_type != TokenType.STRING:
            return None
        for schema in {s for s, _ in self.tables}:
            for name, new in self.others.items():
                if word.text == sql.Identifier(schema, name).as_string(None) or word.text == f"{schema}.{name}":
                    return sql.Literal(f"{_quoted(schema)}.{_quoted(new)}").as_string(None)
        return None


def renaming(tables: Mapping[tuple[str, str], str], table: tuple[str, str], names: Sequence[str]) -> Renaming:
    """Return how what belongs to `table` is called under its other name: the table's name in theirs is exchanged.

    A name that would be longer than a name may be stays.
    """
    old, new = table[1], tables[table]
    mapped = {name: name.replace(old, new) for name in names if old in name}
    return Renaming(tables, {n: m for n, m in mapped.items() if n != m and len(m.encode()) <= MAX_NAME_BYTES})


def under_other_names(statements: Statements, renamed: Renaming) -> dict[str, list[str]]:
    """Return statements under other names."""
    return {block: [renamed.of(s) for s in found] for block, found in statements.items()}


def _quoted(name: str) -> str:
    plain = _SIMPLE.fullmatch(name) and name.upper() not in postgres.Postgres.Tokenizer.KEYWORDS
    return name if plain else sql.Identifier(name).as_string(None)


# --- as a file -------------------------------------------------------------------------------------------------


def file_text(title: Sequence[str], statements: Statements) -> str:
    """Return a file of the migration: its title as comments, then each block with what it is for."""
    lines = [f"-- {line}" if line else "--" for line in title]
    for block, found in statements.items():
        lines += ["", f"-- name: {block} -- {WHY[block]}", *(f"{s};" for s in found)]
    return "\n".join(lines) + "\n"
