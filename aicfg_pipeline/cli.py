"""The command line, `python -m aicfg_pipeline`: how a migration's folder comes about, and whether it fits the database.

Words, exit statuses and examples. What the commands do is `inspection`'s; jobs are launched through Dagster, the demo through
`aicfg_pipeline.local`.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from aicfg_pipeline.errors import PipelineError
from aicfg_pipeline.inspection.difference import Difference, differ
from aicfg_pipeline.inspection.inspect import Inspected
from aicfg_pipeline.inspection.inspect import inspect as inspect_database
from aicfg_pipeline.orchestration.commands import commands_for
from aicfg_pipeline.orchestration.home import target
from aicfg_pipeline.postgres.session import Session, connect
from aicfg_pipeline.spec import load as spec
from aicfg_pipeline.spec.model import ALONE

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


class _Commands(click.Group):
    """Shows what a person can mend without a traceback; the exit status is 1 then, and 2 for words that no command has."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except PipelineError as error:
            click.echo(f"{type(error).__name__} ({error.code}): {error}", err=True)
            ctx.exit(1)


@click.group(cls=_Commands, context_settings=CONTEXT)
def main() -> None:
    """Describe a table-rename migration, and see whether the description fits the database.

    The database is the one that AICFG_DATABASE_URL names (`demo`: the embedded one). Nothing here changes it. What then
    plans and rolls back are Dagster's jobs; `python -m aicfg_pipeline.local --help` has the demo and the UI.

    \b
    Example:
      export AICFG_DATABASE_URL=demo
      python -m aicfg_pipeline check
    """


@contextmanager
def _session(what: str) -> Iterator[Session]:
    session = connect(target().url, f"aicfg_pipeline {what}")
    try:
        yield session
    finally:
        session.close()


# --- check -----------------------------------------------------------------------------------------------------


@main.command()
@click.argument("folder", type=click.Path(path_type=Path), required=False)
def check(folder: Path | None) -> None:
    """Say how the database differs from a migration's FOLDER (default: AICFG_MIGRATION_DIR, else the bundled one).

    Loads the folder, and names every mistake with file, line and column. Makes its tables in a scratch schema, in a transaction
    that is rolled back, and compares them with those that are there. Exit status 0: they are the same; 1: they are not.

    \b
    Example:
      python -m aicfg_pipeline check migrations/profiles
    """
    migration = spec.load(folder)
    with _session("check") as session:
        found = differ(session, migration)
        where = session.target
    click.echo(f"Migration {migration.name}, from {migration.folder}, against {where}:")
    for difference in found:
        _tell(difference)
    differing = [d.pair.old for d in found if d.found]
    if differing:
        click.echo(f"\nThe database is not as the folder has it: {', '.join(differing)}.")
        sys.exit(1)
    click.echo(f"\nThe database is as the folder has it. Next, what a rollback would do:\n  {plan_command(folder)}")


def _tell(difference: Difference) -> None:
    click.echo(f"\n{difference.pair.old} → {difference.pair.new}: {difference.state} ({difference.because})")
    for side in difference.sides:
        click.echo(f"  {side.what}: {side.verdict}{':' if side.differences else '.'}")
        for line in side.differences:
            click.echo(f"    - {line}")


# --- inspect ---------------------------------------------------------------------------------------------------


@main.command()
@click.option(
    "--rename", "renames", multiple=True, metavar="OLD:NEW", help="A renamed table; may be given several times."
)
@click.option("--schema", default="public", show_default=True, help="The schema of the tables.")
@click.option("--before", metavar="URL", help="A database that still has the old tables: a branch, a restored backup.")
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("migration"), show_default=True, help="The folder to write."
)
@click.option("--name", help="The migration's name.  [default: the folder's]")
def inspect(renames: tuple[str, ...], schema: str, before: str | None, out: Path, name: str | None) -> None:
    """Write a migration's folder from a live database, for review. It only reads, and overwrites nothing.

    A pair is a table and a view that shows all of it and nothing else, under the old name; or what --rename names. What no
    database could tell is marked INFERRED in the files, and listed at the end.

    \b
    Example:
      python -m aicfg_pipeline inspect --rename profiles:user_profiles --out migrations/profiles
    """
    with _session("inspect") as session:
        found = inspect_database(session, schema, renames, out, name=name, before=before)
        where = session.target
    click.echo(f"Read {where}, and wrote {out}:")
    _tell_inspected(found)
    click.echo(f"\nNext, once you have read them:\n  python -m aicfg_pipeline check {shlex.quote(str(out))}")


def _tell_inspected(found: Inspected) -> None:
    for path in found.files:
        click.echo(f"  {path}")
    click.echo("\nPairs:")
    for pair in found.pairs:
        click.echo(f"  {pair.old} → {pair.new}; the old table's file is {pair.old_from}")
    lists = {
        "No pairs": [f"view {view}: {why}" for view, why in found.none.items()],
        "Inferred, to be reviewed": found.inferred,
        "Not known, yours to add": found.open,
    }
    for title, lines in lists.items():
        if lines:
            click.echo("\n".join([f"\n{title}:", *(f"  - {line}" for line in lines)]))


def plan_command(folder: Path | None) -> str:
    """Return the line that plans with a folder, as it runs in a shell."""
    return replace(commands_for(target(), ALONE), folder=folder).job("plan")
