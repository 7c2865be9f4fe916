"""All that is read out of DDL and SQL expressions: statements, keys, triggers, columns. Pure; loading files is `load`'s."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import sqlglot
from sqlglot import exp
from sqlglot.dialects import postgres
from sqlglot.errors import SqlglotError
from sqlglot.tokens import Token, TokenType

from aicfg_pipeline.errors import SpecError
from aicfg_pipeline.spec.blocks import Block, identifier, load_blocks, tokens
from aicfg_pipeline.spec.inline_keys import lifted
from aicfg_pipeline.spec.model import Ddl, ForeignKey, Pair
from aicfg_pipeline.spec.places import Around, resolve

TABLE_BLOCKS = ("table", "indexes", "foreign_keys", "validate", "triggers", "row_level_security", "grants", "comments")


VIEW_BLOCKS = ("view", "security_invoker", "grants", "comments")


_REQUIRED_TABLE_BLOCKS = ("table", "indexes")


_REQUIRED_VIEW_BLOCKS = ("view",)


_FORBIDDEN_IN_EXPRESSIONS = (exp.Query, exp.DDL, exp.DML, exp.Command, exp.AggFunc, exp.Window)


def _parsed(text: str) -> list[Any]:
    """Parse SQL text. Raises `SqlglotError`, also where the parser itself stumbles over what it was given."""
    try:
        return [s for s in sqlglot.parse(text, read="postgres") if s is not None]
    except SqlglotError:
        raise
    except Exception as error:  # a text that no one foresaw, from a file that people edit
        raise SqlglotError(f"{type(error).__name__}: {error}") from None


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _parsed_expression(text: str) -> exp.Expression:
    statements = _parsed(f"SELECT {text}")
    if len(statements) != 1 or not isinstance(statements[0], exp.Select):
        raise SqlglotError("it is more than one expression")
    select = statements[0]
    if len(select.expressions) != 1 or any(select.args.get(part) for part in ("from_", "from", "where", "joins")):
        raise SqlglotError("it is not a single expression")
    expression: exp.Expression = select.expressions[0]
    return expression


def expression_complaint(text: str) -> str | None:
    """Say what is wrong with an expression of `back` or `forth`, or None."""
    try:
        expression = _parsed_expression(text)
    except SqlglotError as error:
        return f"{text!r} can't be read as SQL: {_first_line(error)}"
    if "--" in text or "/*" in text:
        return f"{text!r} holds a comment"
    for kind in _FORBIDDEN_IN_EXPRESSIONS:
        if expression.find(kind):
            return (
                f"{text!r} holds a {kind.__name__.lower()}; only an expression over the columns of one row may be used"
            )
    return None


_FORBIDDEN_IN_QUERIES = (exp.DDL, exp.DML, exp.Command, exp.Into, exp.Lock)


def query_complaint(text: str) -> str | None:
    """Say why a text is not one harmless SELECT of one column, or None."""
    try:
        statements = _parsed(text)
    except SqlglotError as error:
        return f"{text!r} can't be read as SQL: {_first_line(error)}"
    if len(statements) != 1 or not isinstance(statements[0], exp.Select) or len(statements[0].expressions) != 1:
        return f"{text!r} is not a single SELECT of one column"
    forbidden = [k for k in _FORBIDDEN_IN_QUERIES if any(n is not statements[0] for n in statements[0].find_all(k))]
    return f"{text!r} does more than read" if forbidden else None


def expression_columns(text: str) -> frozenset[str]:
    """Return the columns that an expression of `back` or `forth` reads, folded as PostgreSQL folds them."""
    columns = _parsed_expression(text).find_all(exp.Column)
    return frozenset(c.name if c.this.quoted else c.name.lower() for c in columns)


def bare_column(text: str) -> str | None:
    """Return the column that an expression is, folded as PostgreSQL folds it; None where it is more than a name."""
    expression = _parsed_expression(text)
    if not isinstance(expression, exp.Column) or expression.args.get("table"):
        return None
    return folded(expression.this)


def folded(identifier: Any) -> str:
    """Return an identifier's name, folded as PostgreSQL folds it."""
    if not isinstance(identifier, exp.Identifier):
        return ""
    return identifier.name if identifier.args.get("quoted") else identifier.name.lower()


def read_ddl(folder: Path, path: str, kind: str, around: Around, complaints: list[str]) -> Ddl:
    """Read one DDL file and add what is wrong with it to `complaints`. Its statements run wherever the search path says."""
    known, required = (
        (TABLE_BLOCKS, _REQUIRED_TABLE_BLOCKS) if kind == "TABLE" else (VIEW_BLOCKS, _REQUIRED_VIEW_BLOCKS)
    )
    try:
        blocks = load_blocks(folder / path, path)
    except SpecError as error:
        complaints += error.complaints or (error.found,)
        return Ddl(path, {})
    if kind == "TABLE":
        blocks = lifted(blocks, around)
    complaints += [f"{path}: block {n} is not known (known: {', '.join(known)})" for n in blocks if n not in known]
    complaints += [f"{path}: block {n} is missing" for n in required if n not in blocks]
    complaints += [f"{path}: {c}" for c in _creation_complaints(blocks.get(kind.lower()), kind, around)]
    keys = blocks.get("foreign_keys")
    parsed = [_foreign_key(path, s, complaints) for s in keys.statements if not _is_comment(s)] if keys else []
    of_known = {n: b for n, b in blocks.items() if n in known}
    return Ddl(path, resolve(path, of_known, known, around, complaints), tuple(k for k in parsed if k))


def _is_comment(statement: str) -> bool:
    return statement[:7].upper() == "COMMENT"


def _creation_complaints(block: Block | None, kind: str, around: Around) -> list[str]:
    """Say what is wrong with the block that makes a table or view: it makes this one, once, and an ordinary one."""
    if block is None:
        return []
    complaints, made, name = [], 0, around.relation
    for statement in block.statements:
        words = tokens(statement)
        head = [t.text.upper() for t in words[:4]]
        if head[:2] != ["CREATE", kind]:
            continue
        made += 1
        said = [identifier(w) for w in words[2:5]]
        if said != [around.schema, ".", name] and (said[:1] != [name] or said[1:2] == ["."]):
            complaints.append(
                f"block {block.name}: it must make {name}, under this very name; with the schema {around.schema} or none"
            )
        if kind == "TABLE" and {"PARTITION", "INHERITS"} & set(_top_level_words(words)):
            complaints.append(
                f"block {block.name}: {name} is partitioned or inherits; only ordinary tables are supported"
            )
    if made != 1:
        complaints.append(f"block {block.name}: it holds {made} statements CREATE {kind}, expected one")
    return complaints


def _top_level_words(words: Sequence[Token]) -> list[str]:
    """Return the words outside all brackets, in upper case."""
    depth, found = 0, []
    for token in words:
        depth += {"(": 1, ")": -1}.get(token.text, 0) if token.token_type in _BRACKETS else 0
        if depth == 0:
            found += [] if token.token_type == TokenType.IDENTIFIER else token.text.upper().split()
    return found


_BRACKETS = {TokenType.L_PAREN, TokenType.R_PAREN}


def _foreign_key(path: str, statement: str, complaints: list[str]) -> ForeignKey | None:
    shape = "ALTER TABLE ONLY t ADD CONSTRAINT name FOREIGN KEY (column) REFERENCES schema.table(column) … NOT VALID"
    short = " ".join(statement.split())[:80]
    try:
        tree = next(iter(_parsed(statement)))
    except (SqlglotError, StopIteration):
        complaints.append(f"{path}: foreign_keys: {short!r} can't be read (expected: {shape})")
        return None
    key, constraint = tree.find(exp.ForeignKey), tree.find(exp.Constraint)
    target = key.args.get("reference").find(exp.Table) if key and key.args.get("reference") else None
    schema_node = key.args["reference"].find(exp.Schema) if key and key.args.get("reference") else None
    if key is None or constraint is None or target is None or schema_node is None or not target.args.get("db"):
        complaints.append(f"{path}: foreign_keys: {short!r} is not of the form: {shape}")
        return None
    if not " ".join(statement.upper().split()).endswith("NOT VALID"):
        complaints.append(
            f"{path}: foreign_keys: {folded(constraint.this)} must end in NOT VALID (the block `validate` validates it)"
        )
    return ForeignKey(
        name=folded(constraint.this),
        columns=tuple(folded(c) for c in key.expressions),
        references=(folded(target.args["db"]), folded(target.this)),
        target_columns=tuple(folded(c) for c in schema_node.expressions),
        options=_options(key.args["reference"].args.get("options") or ()),
    )


def redirected(statement: str, there: Collection[tuple[str, str]], schema: str) -> str:
    """Return a statement whose REFERENCES names one of these tables (schema, name) with that table in another schema."""
    words = tokens(statement)
    for place, token in enumerate(words[:-3]):
        owner, dot, table = words[place + 1 : place + 4]
        named = token.text.upper() == "REFERENCES" and dot.token_type == TokenType.DOT
        if named and (identifier(owner), identifier(table)) in there:
            return statement[: owner.start] + schema + statement[owner.end + 1 :]
    return statement


_DEFAULT_OPTIONS = {
    "ON DELETE NO ACTION",
    "ON UPDATE NO ACTION",
    "MATCH SIMPLE",
    "NOT DEFERRABLE",
    "INITIALLY IMMEDIATE",
}


def trigger_names(table_ddl: Ddl) -> tuple[str, ...]:
    """Return the names of the triggers that a DDL file makes."""
    block = table_ddl.blocks.get("triggers")
    return tuple(n for s in (block.statements if block else ()) if (n := _trigger_name(s)))


def _trigger_name(statement: str) -> str | None:
    """Return the name in CREATE [OR REPLACE] [CONSTRAINT] TRIGGER name, or None for other statements."""
    words = tokens(statement)
    for place, token in enumerate(words[:4]):
        if token.text.upper() == "TRIGGER" and words[0].text.upper() == "CREATE" and len(words) > place + 1:
            return identifier(words[place + 1])
    return None


def _options(words: Sequence[object]) -> frozenset[str]:
    return frozenset(str(w).upper() for w in words) - _DEFAULT_OPTIONS


Function = tuple[str, str]
"""Schema and name of a trigger's function."""


def trigger_functions(pair: Pair, schema: str, *, new: bool = False) -> list[tuple[Function, str]]:
    """Return the functions that the block `triggers` of the old (or new) file makes, each with its statement."""
    return functions_made(pair.new_ddl if new else pair.old_ddl, schema)


def functions_made(table_ddl: Ddl, schema: str) -> list[tuple[Function, str]]:
    """Return the functions that the block `triggers` of a file makes, each with its statement."""
    block = table_ddl.blocks.get("triggers")
    statements = block.statements if block else ()
    return [
        ((identifier(name[0]) if len(name) == 2 else schema, identifier(name[-1])), statement)
        for statement in statements
        if (name := list(function_name_tokens(statement)))
    ]


def with_functions_in(ddl: Ddl, schema: str) -> Ddl:
    """Return a file whose block `triggers` names the schema of its functions: `schema` where the file names none.

    The table is made in another schema and moves; a function stays where it was made.
    """
    block = ddl.blocks.get("triggers")
    if block is None:
        return ddl
    named = replace(block, statements=tuple(_with_schema(s, schema) for s in block.statements))
    return replace(ddl, blocks={**ddl.blocks, block.name: named})


def _with_schema(statement: str, schema: str) -> str:
    name = list(function_name_tokens(statement))
    if len(name) != 1:
        return statement
    quoted = '"' + schema.replace('"', '""') + '"'
    return f"{statement[: name[0].start]}{quoted}.{statement[name[0].start :]}"


def function_body(statement: str) -> str | None:
    """Return the text between the quotes in CREATE FUNCTION … AS '…'; None where it has none."""
    words = postgres.Postgres().tokenize(statement)
    quoted = (TokenType.HEREDOC_STRING, TokenType.STRING, TokenType.RAW_STRING)
    for word, after in pairwise(words):
        if word.text.upper() == "AS" and after.token_type in quoted:
            return after.text
    return None


def function_name_tokens(statement: str) -> Iterator[Token]:
    """Yield the tokens of the name in CREATE [OR REPLACE] FUNCTION [schema.]name; nothing for other statements."""
    tokens = postgres.Postgres().tokenize(statement)
    words = [t.text.upper() for t in tokens[:4]]
    start = (
        4 if words == ["CREATE", "OR", "REPLACE", "FUNCTION"] else 2 if words[:2] == ["CREATE", "FUNCTION"] else None
    )
    if start is None:
        return
    for token in tokens[start:]:
        if token.token_type == TokenType.L_PAREN:
            return
        if token.token_type != TokenType.DOT:
            yield token
