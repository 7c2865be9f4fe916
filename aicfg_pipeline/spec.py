"""The migration as data: `migration.yaml` and the DDL files beside it, read and checked as frozen dataclasses.

Pure: no server is asked anything here, and no name of a table of any migration is written here. What the database
really looks like is for `postgres.catalog`; whether the two agree is for `rollback.plan`.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

import sqlglot
import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator
from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.tokens import Token, TokenType

from aicfg_pipeline.errors import SpecError
from aicfg_pipeline.sqlfile import Block, identifier, load_blocks, tokens

PRIVATE_SCHEMA = "aicfg_rollback"
"""Everything the pipeline owns in the target database is in this one schema."""

TABLE_BLOCKS = ("table", "indexes", "foreign_keys", "validate", "triggers", "row_level_security", "grants", "comments")
VIEW_BLOCKS = ("view", "security_invoker", "grants", "comments")
_REQUIRED_TABLE_BLOCKS = ("table", "indexes")
_REQUIRED_VIEW_BLOCKS = ("view",)

MAX_NAME_BYTES = 63  # NAMEDATALEN - 1


def _short_enough(name: str) -> str:
    if len(name.encode()) > MAX_NAME_BYTES:
        raise ValueError(f"{name!r} is longer than the {MAX_NAME_BYTES} bytes that PostgreSQL keeps of a name")
    if "\x00" in name:
        raise ValueError("a name can't hold a zero byte")
    return name


Name = Annotated[str, StringConstraints(min_length=1)]


@dataclass(frozen=True)
class ForeignKey:
    """One foreign key of a DDL file: `columns` of the table refer to `references` (schema, table) `target_columns`.

    `options` is all that is said beside that and is not the default, as SQL words: `ON DELETE CASCADE`, say.
    """

    name: str
    columns: tuple[str, ...]
    references: tuple[str, str]
    target_columns: tuple[str, ...]
    options: frozenset[str] = frozenset()

    def __str__(self) -> str:
        columns, target = ", ".join(self.columns), ", ".join(self.target_columns)
        text = f"({columns}) REFERENCES {'.'.join(self.references)} ({target})"
        return " ".join([text, *sorted(self.options)])


@dataclass(frozen=True)
class Persona:
    """Someone whose view of the tables is tried: a role, and a query for the user id that the claims carry."""

    name: str
    role: str
    claim: str | None = None


@dataclass(frozen=True)
class Ddl:
    """One DDL file: its path under the migration's folder and its blocks by name."""

    path: str
    blocks: Mapping[str, Block]
    foreign_keys: tuple[ForeignKey, ...] = ()

    @property
    def digest(self) -> str:
        """SHA-256 over all blocks: two files of one digest make the same table."""
        text = "\x00".join(f"{name}\x01{block.sql}" for name, block in self.blocks.items())
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class Pair:
    """One old and one new table, and how the columns that differ are filled on the way back and forth."""

    old: str
    new: str
    key: tuple[str, ...]
    changed_at: str | None
    single_row: bool
    back: Mapping[str, str]
    forth: Mapping[str, str]
    keep: tuple[str, ...]
    old_ddl: Ddl
    new_ddl: Ddl
    view_ddl: Ddl

    @property
    def change_log(self) -> str:
        """Name of the pair's change log in the private schema; also of the function that fills it."""
        return shortened("change_log_", self.old)

    @property
    def op_suffix(self) -> str:
        """The old table's name as far as Dagster's op names allow it (letters, digits, underscore)."""
        return "".join(c if c.isascii() and (c.isalnum() or c == "_") else "_" for c in self.old)


@dataclass(frozen=True)
class Migration:
    """The whole migration: pairs in order, and what has to exist around them."""

    name: str
    applied: date | None
    schema: str
    view_lifetime_days: int
    required_roles: tuple[str, ...]
    required_tables: tuple[tuple[str, str], ...]
    required_functions: tuple[str, ...]
    pairs: tuple[Pair, ...]
    folder: Path
    personas: tuple[Persona, ...] = ()

    def pair(self, old: str) -> Pair:
        """Return the pair whose old table is `old`. Raises `KeyError`."""
        for pair in self.pairs:
            if pair.old == old:
                return pair
        raise KeyError(old)

    @property
    def digest(self) -> str:
        """SHA-256 over everything that decides what a run does."""
        facts = [
            [self.name, self.schema],
            *(
                [p.old, p.new, p.key, dict(p.back), dict(p.forth), p.keep]
                + [d.digest for d in (p.old_ddl, p.new_ddl, p.view_ddl)]
                for p in self.pairs
            ),
        ]
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def shortened(prefix: str, name: str) -> str:
    """Return `prefix + name`, cut and marked with a hash where PostgreSQL would cut it silently."""
    full = prefix + name
    if len(full.encode()) <= MAX_NAME_BYTES:
        return full
    mark = "_" + hashlib.sha256(name.encode()).hexdigest()[:8]
    room = MAX_NAME_BYTES - len(mark)
    return full.encode()[:room].decode(errors="ignore") + mark


# --- what the YAML file may say --------------------------------------------------------------------------------


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)


class _RequiresFile(_Strict):
    roles: tuple[Name, ...] = ()
    tables: tuple[Name, ...] = ()
    functions: tuple[Name, ...] = ()


class _PersonaFile(_Strict):
    name: Name
    role: Name
    claim: Name | None = None

    @model_validator(mode="after")
    def _role_and_query(self) -> _PersonaFile:
        _short_enough(self.role)
        complaint = _query_complaint(self.claim) if self.claim else None
        if complaint:
            raise ValueError(f"claim: {complaint}")
        return self


class _PairFile(_Strict):
    old: Name
    new: Name
    key: tuple[Name, ...] = Field(min_length=1)
    changed_at: Name | None = None
    single_row: bool = False
    old_sql: Name
    new_sql: Name
    view_sql: Name
    back: dict[Name, Name] = {}
    forth: dict[Name, Name] = {}
    keep: tuple[Name, ...] = ()

    @model_validator(mode="after")
    def _names_and_expressions(self) -> _PairFile:
        complaints = []
        names = (self.old, self.new, *self.key, *(n for n in (self.changed_at,) if n), *self.back, *self.forth)
        for name in dict.fromkeys(names):
            try:
                _short_enough(name)
            except ValueError as error:
                complaints.append(str(error))
        complaints += [f"key names {k} twice" for k in dict.fromkeys(self.key) if self.key.count(k) > 1]
        for column, text in [*self.back.items(), *self.forth.items()]:
            complaint = _expression_complaint(text)
            if complaint:
                complaints.append(f"expression of {column}: {complaint}")
        if self.old == self.new:
            complaints.append(f"old and new table have one name: {self.old}")
        if complaints:
            raise ValueError("; ".join(complaints))
        return self


class _MigrationFile(_Strict):
    name: Name
    applied: date | None = None
    schema_: Name = Field(default="public", alias="schema")
    view_lifetime_days: int = Field(default=7, ge=0, le=3650)
    requires: _RequiresFile = _RequiresFile()
    personas: tuple[_PersonaFile, ...] = ()
    pairs: tuple[_PairFile, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _usable_schema(self) -> _MigrationFile:
        _short_enough(self.schema_)
        for role in self.requires.roles:
            _short_enough(role)
        if self.schema_ == PRIVATE_SCHEMA or self.schema_.startswith("pg_"):
            raise ValueError(f"schema: {self.schema_} is not a schema for a migration's tables")
        return self


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
    return select.expressions[0]


def _expression_complaint(text: str) -> str | None:
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


def _query_complaint(text: str) -> str | None:
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


# --- loading ---------------------------------------------------------------------------------------------------


def default_folder() -> Path:
    """Return the migration's folder: `AICFG_MIGRATION_DIR`, else the `sql` that came with the package."""
    named = os.environ.get("AICFG_MIGRATION_DIR")
    return Path(named) if named else bundled_sql()


def bundled_sql() -> Path:
    """Return the `sql` folder: beside the package in a checkout, inside it in a wheel."""
    inside = Path(__file__).parent / "_sql"
    return inside if inside.is_dir() else Path(__file__).parent.parent / "sql"


def load(folder: Path | None = None) -> Migration:
    """Read `migration.yaml` and its DDL files from `folder`. Raises `SpecError` naming every mistake at once."""
    folder = Path(folder) if folder else default_folder()
    return _load(folder.resolve(), _signature(folder))


def _signature(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """What the cache goes by: every file's name, time and size, so that an edited file is read again."""
    files = sorted(p for p in folder.rglob("*") if p.suffix in {".sql", ".yaml"}) if folder.is_dir() else []
    return tuple((str(p), p.stat().st_mtime_ns, p.stat().st_size) for p in files)


@lru_cache(maxsize=16)
def _load(folder: Path, _files: object) -> Migration:
    raw = _read_yaml(folder / "migration.yaml")
    try:
        read = _MigrationFile.model_validate(raw)
    except ValidationError as error:
        raise SpecError(
            f"{folder / 'migration.yaml'} can't be used.",
            complaints=_complaints(error.errors()),
            remedy="Mend the lines named above; the file that came with the project shows every key.",
        ) from None
    complaints: list[str] = []
    pairs = [_pair(folder, p, complaints) for p in read.pairs]
    required_tables = [_qualified(t, read.schema_, complaints) for t in read.requires.tables]
    complaints += _duplicates(read)
    if complaints:
        raise SpecError(f"The migration in {folder} can't be used.", complaints=complaints)
    return Migration(
        name=read.name,
        applied=read.applied,
        schema=read.schema_,
        view_lifetime_days=read.view_lifetime_days,
        required_roles=read.requires.roles,
        required_tables=tuple(required_tables),
        required_functions=read.requires.functions,
        pairs=tuple(pairs),
        folder=folder,
        personas=tuple(Persona(p.name, p.role, p.claim) for p in read.personas),
    )


def _read_yaml(path: Path) -> Any:
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SpecError(
            f"{path}: no such file.",
            expected="a folder with migration.yaml and the DDL files it names",
            remedy="Set AICFG_MIGRATION_DIR to that folder, or unset it for the one that came with the project.",
        ) from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValueError, RecursionError) as error:
        raise SpecError(f"{path} is not readable YAML: {' '.join(str(error).split())}") from None
    if not isinstance(raw, dict):
        raise SpecError(f"{path} holds {type(raw).__name__}.", expected="a mapping with the keys name and pairs")
    return raw


def _complaints(errors: Sequence[Any]) -> list[str]:
    """Say each mistake once: a list whose entries can't be used is not also too short."""
    places = [e["loc"] for e in errors]
    return [
        _complaint(e)
        for e in errors
        if not (e["type"] == "too_short" and any(p[: len(e["loc"])] == e["loc"] != p for p in places))
    ]


def _complaint(error: Mapping[str, Any]) -> str:
    where = ".".join(str(part) for part in error["loc"]) or "the file"
    message = str(error["msg"]).removeprefix("Value error, ")
    return f"{where}: {message}"


def _qualified(name: str, schema: str, complaints: list[str]) -> tuple[str, str]:
    """Read `table` or `schema.table` (quotes allowed)."""
    try:
        table = sqlglot.parse_one(name, read="postgres", into=exp.Table)
    except Exception:  # whatever the parser stumbles over, it is no name
        complaints.append(f"requires.tables: {name!r} is not a table's name")
        return (schema, name)
    return (_folded(table.args.get("db")) or schema, _folded(table.this) or name)


def _folded(identifier: Any) -> str:
    if not isinstance(identifier, exp.Identifier):
        return ""
    return identifier.name if identifier.args.get("quoted") else identifier.name.lower()


def _pair(folder: Path, read: _PairFile, complaints: list[str]) -> Pair:
    return Pair(
        old=read.old,
        new=read.new,
        key=read.key,
        changed_at=read.changed_at,
        single_row=read.single_row,
        back=dict(read.back),
        forth=dict(read.forth),
        keep=read.keep,
        old_ddl=_ddl(folder, read.old_sql, "TABLE", read.old, complaints),
        new_ddl=_ddl(folder, read.new_sql, "TABLE", read.new, complaints),
        view_ddl=_ddl(folder, read.view_sql, "VIEW", read.old, complaints),
    )


def _ddl(folder: Path, path: str, kind: str, name: str, complaints: list[str]) -> Ddl:
    known, required = (
        (TABLE_BLOCKS, _REQUIRED_TABLE_BLOCKS) if kind == "TABLE" else (VIEW_BLOCKS, _REQUIRED_VIEW_BLOCKS)
    )
    try:
        blocks = load_blocks(folder / path, path)
    except SpecError as error:
        complaints += error.complaints or (error.found,)
        return Ddl(path, {})
    complaints += [f"{path}: block {n} is not known (known: {', '.join(known)})" for n in blocks if n not in known]
    complaints += [f"{path}: block {n} is missing" for n in required if n not in blocks]
    complaints += [f"{path}: {c}" for c in _creation_complaints(blocks.get(kind.lower()), kind, name)]
    keys = blocks.get("foreign_keys")
    parsed = [_foreign_key(path, s, complaints) for s in keys.statements] if keys else []
    return Ddl(path, blocks, tuple(k for k in parsed if k))


def _creation_complaints(block: Block | None, kind: str, name: str) -> list[str]:
    """Say what is wrong with the block that makes a table or view: it makes this one, and nothing that stays behind."""
    if block is None:
        return []
    complaints, made = [], 0
    for statement in block.statements:
        words = tokens(statement)
        head = [t.text.upper() for t in words[:4]]
        if head[:1] != ["CREATE"]:
            continue
        if head[1:2] != [kind]:
            complaints.append(
                f"block {block.name}: {' '.join(head[:3])} … would stay in the private schema; make it beforehand and"
                f" name it under `requires`, or in another block"
            )
            continue
        made += 1
        if len(words) < 4 or words[3].text == "." or identifier(words[2]) != name:
            complaints.append(f"block {block.name}: it must make {name}, under this very name and without a schema")
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
            f"{path}: foreign_keys: {_folded(constraint.this)} must end in NOT VALID (the block `validate` validates"
            " it)"
        )
    return ForeignKey(
        name=_folded(constraint.this),
        columns=tuple(_folded(c) for c in key.expressions),
        references=(_folded(target.args["db"]), _folded(target.this)),
        target_columns=tuple(_folded(c) for c in schema_node.expressions),
        options=_options(key.args["reference"].args.get("options") or ()),
    )


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


def _duplicates(read: _MigrationFile) -> list[str]:
    complaints, seen = [], set()
    names = [p.name for p in read.personas]
    complaints += [f"personas: {n} is named twice" for n in sorted({n for n in names if names.count(n) > 1})]
    for name in [n for p in read.pairs for n in (p.old, p.new)]:
        if name in seen:
            complaints.append(f"pairs: {name} is named twice")
        seen.add(name)
    ours = {"ledger", *(shortened("change_log_", p.old) for p in read.pairs)}
    taken = [n for p in read.pairs for n in (p.old, p.new) if n in ours]
    complaints += [f"pairs: {n} is a name that the pipeline needs in its private schema" for n in taken]
    for pair in read.pairs:
        unknown = [c for c in pair.keep if c not in pair.forth]
        complaints += [f"pairs: {pair.old}: keep names {c}, which forth does not fill" for c in unknown]
    return complaints
