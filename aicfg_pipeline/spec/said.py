"""The keys of migration.yaml, each with its form, its default and what it is for: what editors and the published schema show.

What a pair's files say, and which defaults come from them, is `load`'s.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

from aicfg_pipeline.spec.ddl import bare_column, expression_complaint, query_complaint
from aicfg_pipeline.spec.model import MAX_NAME_BYTES, PRIVATE_SCHEMA, Way


def _short_enough(name: str) -> str:
    if len(name.encode()) > MAX_NAME_BYTES:
        raise ValueError(f"{name!r} is longer than the {MAX_NAME_BYTES} bytes that PostgreSQL keeps of a name")
    if "\x00" in name:
        raise ValueError("a name can't hold a zero byte")
    return name


Name = Annotated[str, StringConstraints(min_length=1)]


class Strict(BaseModel):
    """What has these keys and no others."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)


class RequiresFile(Strict):
    """What has to be there before anything is touched."""

    roles: tuple[Name, ...] = Field(default=(), description="Roles, by name.")
    tables: tuple[Name, ...] = Field(
        default=(), description="Tables (schema.table), besides those that foreign keys name."
    )
    functions: tuple[Name, ...] = Field(default=(), description="Functions as a call: auth.uid().")


class PersonaFile(Strict):
    """As whom `verify` tries what can be seen."""

    name: Name = Field(description="What the reports call it.")
    role: Name = Field(description="The database role.")
    claim: Name | None = Field(
        default=None, description="A query for the id of such a user, which the claims then carry."
    )

    @model_validator(mode="after")
    def _role_and_query(self) -> PersonaFile:
        _short_enough(self.role)
        complaint = query_complaint(self.claim) if self.claim else None
        if complaint:
            raise ValueError(f"claim: {complaint}")
        return self


class PairFile(Strict):
    """One old and one new table."""

    old: Name = Field(description="The old table.")
    new: Name = Field(description="The new table.")
    key: tuple[Name, ...] | None = Field(
        default=None,
        min_length=1,
        description="The columns by which a row is known. Default: the old file's primary key.",
    )
    changed_at: Name | None = Field(
        default=None,
        description="Of two versions of a row the one with the later value here wins; null: the new table's."
        " Default: updated_at, where both files have it as a timestamp.",
    )
    single_row: bool = Field(default=False, description="Whether the table has one row at most.")
    old_sql: Name | None = Field(default=None, description="The old table's DDL file. Default: old/OLD.sql.")
    new_sql: Name | None = Field(default=None, description="The new table's DDL file. Default: new/NEW.sql.")
    view_sql: Name | None = Field(
        default=None,
        description="The file of the view at the old name; null: there is none. Default: views/OLD.sql where that is.",
    )
    back: dict[Name, Name] = Field(
        default={},
        description="Old column: expression over the new table's columns. Columns of one name map by themselves.",
    )
    forth: dict[Name, Name] = Field(default={}, description="New column: expression over the old table's columns.")
    keep: tuple[Name, ...] = Field(
        default=(), description="New columns that a parked row keeps on undo: the old table has no place for them."
    )

    way: Way = Field(
        default="auto",
        description="copy: the rows are copied; instant: the table is renamed where it is, or the run is refused; auto:"
        " instant where that will do for every pair, else copy.",
    )

    @field_validator("key", "keep", mode="before")
    @classmethod
    def _one_is_a_list(cls, given: Any) -> Any:
        return [given] if isinstance(given, str) else given

    @model_validator(mode="after")
    def _names_and_expressions(self) -> PairFile:
        complaints = []
        names = (self.old, self.new, *(self.key or ()), *(n for n in (self.changed_at,) if n), *self.back, *self.forth)
        for name in dict.fromkeys(names):
            try:
                _short_enough(name)
            except ValueError as error:
                complaints.append(str(error))
        key = self.key or ()
        complaints += [f"key names {k} twice" for k in dict.fromkeys(key) if key.count(k) > 1]
        for column, text in [*self.back.items(), *self.forth.items()]:
            complaint = expression_complaint(text)
            if complaint:
                complaints.append(f"expression of {column}: {complaint}")
        if self.old == self.new:
            complaints += self._in_place()
        if complaints:
            raise ValueError("; ".join(complaints))
        return self

    def _in_place(self) -> list[str]:
        """Say what is wrong with a pair of one table, of which only columns have other names: it is told by these."""
        if any(expression_complaint(e) for e in (*self.back.values(), *self.forth.values())):
            return []
        complaints = []
        if not any(bare_column(expression) not in (None, column) for column, expression in self.back.items()):
            complaints.append(f"old and new table have one name, {self.old}, and back names no column that was renamed")
        more = [c for c, e in (*self.back.items(), *self.forth.items()) if bare_column(e) is None]
        complaints += [f"{self.old} is renamed in place, and {c} is filled from more than another column" for c in more]
        if self.view_sql:
            complaints.append(f"old and new table have one name, {self.old}, so no view can have the old one")
        if self.way == "copy":
            complaints.append(f"old and new table have one name, {self.old}: it is renamed in place, never copied")
        return complaints


class OutsideFile(Strict):
    """What was changed outside the database: fills in the commands that a person is told."""

    repository: Name | None = Field(default=None, description="The repository's folder.")
    functions: tuple[Name, ...] = Field(default=(), description="Lambda functions to stop and start.")
    code: tuple[Name, ...] = Field(default=(), description="Files whose code knows the new names.")
    schema_files: Name | None = Field(default=None, description="The folder of schema files in the repository.")
    restored: dict[Name, Name] = Field(default={}, description="Archived file: file in use, under schema_files.")
    removed: tuple[Name, ...] = Field(default=(), description="Files under schema_files that came with the migration.")
    infrastructure: Name | None = Field(
        default=None, description="A folder of infrastructure code that names the tables."
    )
    deploy: Name | None = Field(default=None, description="The command that deploys.")
    endpoints: tuple[Name, ...] = Field(default=(), description="Endpoints that read the tables.")


class MigrationFile(Strict):
    """A migration that renamed tables, as data."""

    name: Name = Field(description="The migration's name: the ledger knows it by this one.")
    applied: date | None = Field(default=None, description="The day on which the migration was applied.")
    schema_: Name = Field(default="public", alias="schema", description="The schema of the tables.")
    view_lifetime_days: int = Field(default=7, ge=0, le=3650, description="So many days the views were meant to stay.")
    requires: RequiresFile = RequiresFile()
    personas: tuple[PersonaFile, ...] = ()
    outside: OutsideFile = OutsideFile()
    pairs: tuple[PairFile, ...] = Field(min_length=1, description="The renamed tables; short form: `old: new` a line.")

    @model_validator(mode="after")
    def _usable_schema(self) -> MigrationFile:
        _short_enough(self.schema_)
        for role in self.requires.roles:
            _short_enough(role)
        if self.schema_ == PRIVATE_SCHEMA or self.schema_.startswith("pg_"):
            raise ValueError(f"schema: {self.schema_} is not a schema for a migration's tables")
        return self
