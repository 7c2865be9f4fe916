"""The migration as data: `migration.yaml` and the DDL files beside it, read and checked as frozen dataclasses.

Pure: no server is asked anything here, and no name of a table of any migration is written here. What the database
really looks like is for `postgres.catalog`; whether the two agree is for `rollback.plan`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import sqlglot
from pydantic import ValidationError
from sqlglot import exp

from aicfg_pipeline import environment
from aicfg_pipeline.errors import SpecError
from aicfg_pipeline.spec.columns import changed_at_of, columns_of, primary_key_of
from aicfg_pipeline.spec.ddl import (
    expression_columns,
    folded,
    read_ddl,
    with_functions_in,
)
from aicfg_pipeline.spec.document import Document, Place, nearest, read_document
from aicfg_pipeline.spec.model import Ddl, Migration, Outside, Pair, Persona, shortened
from aicfg_pipeline.spec.places import Around
from aicfg_pipeline.spec.said import MigrationFile, OutsideFile, PairFile, PersonaFile, RequiresFile, Strict


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
    document = read_document(folder / "migration.yaml")
    said = _in_full(document)
    try:
        read = MigrationFile.model_validate(said)
    except ValidationError as error:
        raise SpecError(
            f"{folder / 'migration.yaml'} can't be used.",
            complaints=[*document.doubles(), *_complaints(document, error.errors())],
            remedy="Mend the lines named above; docs/migration.schema.json has every key.",
        ) from None
    complaints: list[str] = document.doubles()
    pairs = [_pair(folder, document, read, place, complaints) for place in range(len(read.pairs))]
    required_tables = [
        _qualified(t, read.schema_, document, ("requires", "tables", n), complaints)
        for n, t in enumerate(read.requires.tables)
    ]
    complaints += _duplicates(document, read)
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


def _in_full(document: Document) -> dict[Any, Any]:
    """Return what the file says, with pairs in their short form (`old: new`, or `old: {new: ..., ...}`) written out."""
    pairs = document.said.get("pairs")
    if not isinstance(pairs, dict):
        return document.said
    marks: dict[Place, tuple[int, int]] = dict(document.marks)
    for number, old in enumerate(pairs):
        here: Place = ("pairs", str(old))
        document.names["pairs", number] = f"pairs.{old}"
        for place, mark in document.marks.items():
            if place[:2] == here:
                marks[("pairs", number, *place[2:])] = mark
        marks["pairs", number, "old"] = marks.get(("pairs", number), (1, 1))
    document.marks = marks
    full = [{"old": old, **(said if isinstance(said, dict) else {"new": said})} for old, said in pairs.items()]
    return {**document.said, "pairs": full}


_MODELS: dict[str, type[Strict]] = {
    "requires": RequiresFile,
    "personas": PersonaFile,
    "pairs": PairFile,
    "outside": OutsideFile,
}


def _complaints(document: Document, errors: Sequence[Any]) -> list[str]:
    """Say each mistake once: a list whose entries can't be used is not also too short."""
    places = [e["loc"] for e in errors]
    return [
        document.complaint(e["loc"], _why(e))
        for e in errors
        if not (e["type"] == "too_short" and any(p[: len(e["loc"])] == e["loc"] != p for p in places))
    ]


def _why(error: Mapping[str, Any]) -> str:
    if error["type"] == "extra_forbidden":
        place = error["loc"]
        model = _MODELS.get(str(place[0]), MigrationFile) if len(place) > 1 else MigrationFile
        known = [field.alias or name for name, field in model.model_fields.items()]
        return f"there is no such key; {nearest(str(place[-1]), known)}"
    return str(error["msg"]).removeprefix("Value error, ")


def _qualified(name: str, schema: str, document: Document, place: Place, complaints: list[str]) -> tuple[str, str]:
    """Read `table` or `schema.table` (quotes allowed)."""
    try:
        table = sqlglot.parse_one(name, read="postgres", into=exp.Table)
    except Exception:  # whatever the parser stumbles over, it is no name
        complaints.append(document.complaint(place, f"{name!r} is not a table's name"))
        return (schema, name)
    return (folded(table.args.get("db")) or schema, folded(table.this) or name)


def _pair(folder: Path, document: Document, whole: MigrationFile, place: int, complaints: list[str]) -> Pair:
    """Read a pair's files. What migration.yaml does not say: files by their tables' names, the key from the old file."""
    read, olds = whole.pairs[place], [p.old for p in whole.pairs]
    at_old = Around(
        whole.schema_,
        read.old,
        earlier=frozenset(olds[:place]),
        later=frozenset(olds[place + 1 :]),
        leaving=frozenset(p.new for p in whole.pairs),
    )
    at_new = Around(whole.schema_, read.new)
    old_path, new_path = read.old_sql or f"old/{read.old}.sql", read.new_sql or f"new/{read.new}.sql"
    view_path = read.view_sql
    if "view_sql" not in read.model_fields_set and _is_file(folder / "views" / f"{read.old}.sql"):
        view_path = f"views/{read.old}.sql"
    before = len(complaints)
    old_ddl = with_functions_in(read_ddl(folder, old_path, "TABLE", at_old, complaints), whole.schema_)
    new_ddl = with_functions_in(read_ddl(folder, new_path, "TABLE", at_new, complaints), whole.schema_)
    view_ddl = read_ddl(folder, view_path, "VIEW", Around(whole.schema_, read.old), complaints) if view_path else None
    key = read.key or primary_key_of(old_ddl) or ()
    if len(complaints) == before:
        complaints += _unfit(document, place, read, old_ddl, new_ddl)
        if not key:
            why = f"{old_path} makes no primary key: say by which columns a row is known"
            complaints.append(document.complaint(("pairs", place, "key"), why))
    return Pair(
        old=read.old,
        new=read.new,
        key=key,
        changed_at=read.changed_at if "changed_at" in read.model_fields_set else changed_at_of(old_ddl, new_ddl),
        single_row=read.single_row,
        back=dict(read.back),
        forth=dict(read.forth),
        keep=read.keep,
        way=read.way,
        old_ddl=old_ddl,
        new_ddl=new_ddl,
        view_ddl=view_ddl,
    )


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that no file can have
        return False


def _unfit(document: Document, place: int, read: PairFile, old: Ddl, new: Ddl) -> Iterator[str]:
    """Say of each expression which columns it reads that its table does not have, by the files."""
    for said, of, to in (("back", new, old), ("forth", old, new)):
        there, filled = columns_of(of), columns_of(to)
        for column, expression in getattr(read, said).items():
            at: Place = ("pairs", place, said, column)
            missing = sorted(expression_columns(expression) - there.keys()) if there else []
            for name in missing:
                why = f"it reads {name}, which {of.path} does not have; {nearest(name, list(there or ()))}"
                yield document.complaint(at, why)
            if filled and column not in filled:
                yield document.complaint(at, f"{to.path} has no such column; {nearest(column, list(filled))}")


def _duplicates(document: Document, read: MigrationFile) -> Iterator[str]:
    names: list[str] = []
    for number, persona in enumerate(read.personas):
        if persona.name in names:
            yield document.complaint(("personas", number), f"{persona.name} is named twice")
        names.append(persona.name)
    ours = {"ledger", *(shortened(f, p.old) for p in read.pairs for f in ("change_log_", "before_undo_"))}
    seen: set[str] = set()
    for number, pair in enumerate(read.pairs):
        for side, name in (("old", pair.old), ("new", pair.new)):
            if name in seen and not (side == "new" and pair.new == pair.old):
                yield document.complaint(("pairs", number, side), f"{name} is named twice")
            if name in ours:
                why = f"{name} is a name that the pipeline needs in its private schema"
                yield document.complaint(("pairs", number, side), why)
            seen.add(name)
        for column in (c for c in pair.keep if c not in pair.forth):
            yield document.complaint(("pairs", number, "keep"), f"keep names {column}, which forth does not fill")
