"""The migration as data: `migration.yaml` and the DDL files beside it, read and checked as frozen dataclasses.

Pure: no server is asked anything here, and no name of a table of any migration is written here. What the database
really looks like is for `postgres.catalog`; whether the two agree is for `rollback.plan`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

import sqlglot
import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator
from sqlglot import exp

from aicfg_pipeline import environment
from aicfg_pipeline.errors import SpecError
from aicfg_pipeline.spec.ddl import expression_complaint, folded, query_complaint, read_ddl, with_functions_in
from aicfg_pipeline.spec.model import MAX_NAME_BYTES, PRIVATE_SCHEMA, Migration, Outside, Pair, Persona, shortened
from aicfg_pipeline.spec.places import Around


def _short_enough(name: str) -> str:
    if len(name.encode()) > MAX_NAME_BYTES:
        raise ValueError(f"{name!r} is longer than the {MAX_NAME_BYTES} bytes that PostgreSQL keeps of a name")
    if "\x00" in name:
        raise ValueError("a name can't hold a zero byte")
    return name


Name = Annotated[str, StringConstraints(min_length=1)]


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
        complaint = query_complaint(self.claim) if self.claim else None
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
    view_sql: Name | None = None
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
            complaint = expression_complaint(text)
            if complaint:
                complaints.append(f"expression of {column}: {complaint}")
        if self.old == self.new:
            complaints.append(f"old and new table have one name: {self.old}")
        if complaints:
            raise ValueError("; ".join(complaints))
        return self


class _OutsideFile(_Strict):
    repository: Name | None = None
    functions: tuple[Name, ...] = ()
    code: tuple[Name, ...] = ()
    schema_files: Name | None = None
    restored: dict[Name, Name] = {}
    removed: tuple[Name, ...] = ()
    infrastructure: Name | None = None
    deploy: Name | None = None
    endpoints: tuple[Name, ...] = ()


class _MigrationFile(_Strict):
    name: Name
    applied: date | None = None
    schema_: Name = Field(default="public", alias="schema")
    view_lifetime_days: int = Field(default=7, ge=0, le=3650)
    requires: _RequiresFile = _RequiresFile()
    personas: tuple[_PersonaFile, ...] = ()
    outside: _OutsideFile = _OutsideFile()
    pairs: tuple[_PairFile, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _usable_schema(self) -> _MigrationFile:
        _short_enough(self.schema_)
        for role in self.requires.roles:
            _short_enough(role)
        if self.schema_ == PRIVATE_SCHEMA or self.schema_.startswith("pg_"):
            raise ValueError(f"schema: {self.schema_} is not a schema for a migration's tables")
        return self


# --- loading ---------------------------------------------------------------------------------------------------


def default_folder() -> Path:
    """Return the migration's folder: `AICFG_MIGRATION_DIR`, else the `sql` that came with the package."""
    named = environment.MIGRATION_DIR.value()
    return Path(named) if named else bundled_sql()


def bundled_sql() -> Path:
    """Return the `sql` folder: beside the package in a checkout, inside it in a wheel."""
    inside = Path(__file__).parents[1] / "_sql"
    return inside if inside.is_dir() else Path(__file__).parents[2] / "sql"


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
    pairs = [_pair(folder, read, p, complaints) for p in read.pairs]
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
        outside=Outside(**read.outside.model_dump()),
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
    return (folded(table.args.get("db")) or schema, folded(table.this) or name)


def _pair(folder: Path, whole: _MigrationFile, read: _PairFile, complaints: list[str]) -> Pair:
    olds, place = [p.old for p in whole.pairs], whole.pairs.index(read)
    at_old = Around(
        whole.schema_,
        read.old,
        earlier=frozenset(olds[:place]),
        later=frozenset(olds[place + 1 :]),
        leaving=frozenset(p.new for p in whole.pairs),
    )
    at_new = Around(whole.schema_, read.new)
    return Pair(
        old=read.old,
        new=read.new,
        key=read.key,
        changed_at=read.changed_at,
        single_row=read.single_row,
        back=dict(read.back),
        forth=dict(read.forth),
        keep=read.keep,
        old_ddl=with_functions_in(read_ddl(folder, read.old_sql, "TABLE", at_old, complaints), whole.schema_),
        new_ddl=with_functions_in(read_ddl(folder, read.new_sql, "TABLE", at_new, complaints), whole.schema_),
        view_ddl=read_ddl(folder, read.view_sql, "VIEW", Around(whole.schema_, read.old), complaints)
        if read.view_sql
        else None,
    )


def _duplicates(read: _MigrationFile) -> list[str]:
    complaints, seen = [], set()
    names = [p.name for p in read.personas]
    complaints += [f"personas: {n} is named twice" for n in sorted({n for n in names if names.count(n) > 1})]
    for name in [n for p in read.pairs for n in (p.old, p.new)]:
        if name in seen:
            complaints.append(f"pairs: {name} is named twice")
        seen.add(name)
    ours = {"ledger", *(shortened(f, p.old) for p in read.pairs for f in ("change_log_", "before_undo_"))}
    taken = [n for p in read.pairs for n in (p.old, p.new) if n in ours]
    complaints += [f"pairs: {n} is a name that the pipeline needs in its private schema" for n in taken]
    for pair in read.pairs:
        unknown = [c for c in pair.keep if c not in pair.forth]
        complaints += [f"pairs: {pair.old}: keep names {c}, which forth does not fill" for c in unknown]
    return complaints
