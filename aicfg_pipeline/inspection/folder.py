"""A migration's folder as text: migration.yaml and the files that it goes by. Written at once, and never over another one."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from aicfg_pipeline.errors import ConfigError, SpecError
from aicfg_pipeline.inspection.ddl import Statements, file_text
from aicfg_pipeline.inspection.mapping import Guess
from aicfg_pipeline.spec import load as spec

INFERRED = "INFERRED"
"""The mark of whatever nobody has said and no database has shown: a person is to read it."""


@dataclass(frozen=True)
class Described:
    """A pair with the statements of its files, and what was guessed of it."""

    old: str
    new: str
    single_row: bool
    old_statements: Statements
    new_statements: Statements
    view_statements: Statements | None
    old_from: str
    old_is_inferred: bool
    columns: Guess = field(default_factory=Guess)


def files(name: str, schema: str, pairs: Sequence[Described], roles: Mapping[str, bool]) -> dict[str, str]:
    """Return path and text of each file. `roles` are named by privileges; those that are true also by policies."""
    found = {"migration.yaml": _yaml(name, schema, pairs, roles)}
    for pair in pairs:
        title = [f"The old table {pair.old}: {pair.old_from}."]
        title += [
            f"{INFERRED}: compare it with what the table really was, before anything else."
        ] * pair.old_is_inferred
        found[_path("old", pair.old)] = file_text(title, pair.old_statements)
        found[_path("new", pair.new)] = file_text([f"{pair.new}, as the database has it."], pair.new_statements)
        if pair.view_statements is not None:
            text = file_text([f"The old name {pair.old}, as a view on {pair.new}."], pair.view_statements)
            found[_path("views", pair.old)] = text
    return found


def write(folder: Path, texts: Mapping[str, str]) -> tuple[str, ...]:
    """Write a folder that is not there yet, whole or not at all. Returns what the loader has to say against it.

    Raises `ConfigError` where it is there, or can't be written.
    """
    if folder.exists() or folder.is_symlink():
        raise ConfigError(f"{folder} is there already. Nothing was written.", remedy="Name another one: --out FOLDER")
    made = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        for path, text in texts.items():
            (made / path).parent.mkdir(exist_ok=True)
            (made / path).write_text(text, encoding="utf-8")
        complaints = _complaints(made)
        made.chmod(0o755)
        made.rename(folder)
    except OSError as error:
        raise ConfigError(
            f"{folder} can't be written: {error.strerror}.", remedy="Name another one: --out FOLDER"
        ) from None
    finally:
        if made is not None:
            shutil.rmtree(made, ignore_errors=True)
    return complaints


def _complaints(folder: Path) -> tuple[str, ...]:
    try:
        spec.load(folder)
    except SpecError as error:
        return error.complaints or (error.found,)
    return ()


_ODD = re.compile(r"[^\w.-]")


def _path(place: str, name: str) -> str:
    return f"{place}/{_ODD.sub('_', name)}.sql"


# --- migration.yaml --------------------------------------------------------------------------------------------


def _yaml(name: str, schema: str, pairs: Sequence[Described], roles: Mapping[str, bool]) -> str:
    lines = [
        "# Written by `python -m aicfg_pipeline inspect`, to be reviewed: what no database could tell is marked INFERRED.",
        f"name: {_scalar(name)}",
        "# applied: 2026-01-31      # the day of the migration, where it is known",
    ]
    lines += [] if schema == "public" else [f"schema: {_scalar(schema)}"]
    if roles:
        lines += ["", "requires:", f"  roles: {_scalar(list(roles))}"]
    seen = [role for role, by_policy in roles.items() if by_policy]
    if seen:
        lines += ["", f"personas:   # {INFERRED}: the roles that policies name; add users by `claim`"]
        lines += [f"  - {_scalar({'name': role, 'role': role})}" for role in seen]
    lines += ["", "pairs:       # old: new"]
    for pair in pairs:
        lines += _pair(pair)
    return "\n".join(lines) + "\n"


def _pair(pair: Described) -> list[str]:
    said: dict[str, Any] = {}
    if pair.single_row:
        said["single_row"] = True
    for key, place, name in (
        ("old_sql", "old", pair.old),
        ("new_sql", "new", pair.new),
        ("view_sql", "views", pair.old),
    ):
        if _path(place, name) != f"{place}/{name}.sql" and (place != "views" or pair.view_statements is not None):
            said[key] = _path(place, name)
    guessed = pair.columns
    if not said and not guessed.back and not guessed.forth:
        return [f"  {_scalar(pair.old)}: {_scalar(pair.new)}"]
    lines = [f"  {_scalar(pair.old)}:", f"    new: {_scalar(pair.new)}"]
    lines += [f"    {key}: {_scalar(value)}" for key, value in said.items()]
    for key, expressions in (("back", guessed.back), ("forth", guessed.forth)):
        if expressions:
            lines.append(f"    {key}:   # {INFERRED}")
            lines += [f"      {_scalar(column)}: {_scalar(text)}" for column, text in expressions.items()]
    if guessed.keep:
        lines.append(f"    keep: {_scalar(list(guessed.keep))}   # {INFERRED}")
    return lines


def _scalar(value: object) -> str:
    text = yaml.safe_dump(value, allow_unicode=True, width=100_000, default_flow_style=True, sort_keys=False)
    return text.removesuffix("\n").removesuffix("\n...").strip()
