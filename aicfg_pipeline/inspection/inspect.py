"""From a live database to a migration's folder: one transaction that only reads, then files that are new.

The old table's file comes from a database that still has it, from the old table itself where it stands beside the new one or is
kept aside, else from the new one with its names mapped back, which is marked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from aicfg_pipeline.errors import ConfigError, UnreachableError
from aicfg_pipeline.inspection import ddl, folder
from aicfg_pipeline.inspection.ddl import Statements
from aicfg_pipeline.inspection.folder import Described
from aicfg_pipeline.inspection.mapping import Guess, guess
from aicfg_pipeline.inspection.relations import Found, FoundPair, find_pairs, relations
from aicfg_pipeline.postgres.session import Session, connect
from aicfg_pipeline.postgres.statements import engine


@dataclass(frozen=True)
class Inspected:
    """What was written, and what a person has to know of it: guesses, what is open, and views that are no pairs."""

    files: tuple[str, ...]
    pairs: tuple[Described, ...]
    inferred: tuple[str, ...]
    open: tuple[str, ...]
    none: Mapping[str, str]


def inspect(
    session: Session,
    schema: str,
    renames: Sequence[str],
    out: Path,
    *,
    name: str | None = None,
    before: str | None = None,
) -> Inspected:
    """Read a database and write the folder `out`. Raises `ConfigError` and `UnreachableError`; nothing is written then."""
    if out.exists() or out.is_symlink():
        raise ConfigError(f"{out} is there already. Nothing was written.", remedy="Name another one: --out FOLDER")
    with session.transaction(snapshot=True, read_only=True):
        found = relations(session, schema)
        pairs = find_pairs(found, schema, renames)
        known = _before(before, schema, [p.old for p in pairs.pairs]) if before else {}
        described = _described(
            session, schema, pairs.pairs, {**_kept_aside(session, schema, pairs.pairs, found), **known}
        )
        oids = [p.new.oid for p in pairs.pairs]
        roles = {r.name: r.by_policy for r in session.all(engine("inspected_roles"), {"oids": oids})}
    texts = folder.files(name or out.resolve().name, schema, described, roles)
    complaints = folder.write(out, texts)
    inferred = [f"{p.old}: {note}" for p in described for note in p.columns.notes]
    inferred += [f"old/{p.old}.sql is {p.old_from}" for p in described if p.old_is_inferred]
    left = [f"{p.old}: {note}" for p in described for note in p.columns.open]
    left += [f"mend it: {c}" for c in complaints]
    left += ["the day of the migration (applied)", "what was changed outside the database (outside), if anything"]
    return Inspected(tuple(texts), tuple(described), tuple(inferred), tuple(left), pairs.none)


Known = Mapping[str, tuple[Found, Statements, str]]
"""By old name: the old table, what makes it, and where that is from."""


def _before(url: str, schema: str, names: Sequence[str]) -> Known:
    """Return the old tables of a database that still has them, with their statements."""
    try:
        session = connect(url, "aicfg_pipeline inspect")
    except UnreachableError as error:
        raise UnreachableError(
            error.found.replace("AICFG_DATABASE_URL", "--before"),
            expected=error.expected,
            remedy="Check the URL of --before, and that the server runs.",
        ) from None
    try:
        with session.transaction(snapshot=True, read_only=True):
            there = {n: f for n, f in relations(session, schema).items() if n in names and not f.is_view}
            missing = [n for n in names if n not in there]
            if missing:
                raise ConfigError(
                    f"The database of --before ({session.target}) does not have every old table. Nothing was written.",
                    complaints=[f"there is no table {schema}.{n}" for n in missing],
                    expected="a database from before the migration: a branch, a restored backup",
                )
            made = ddl.table_statements(session, [f.oid for f in there.values()])
            return {n: (f, made[f.oid], "from the database of --before") for n, f in there.items()}
    finally:
        session.close()


ASIDE = "_old"
"""What is put behind the name of an old table that is kept aside."""


def _kept_aside(session: Session, schema: str, pairs: Sequence[FoundPair], found: Mapping[str, Found]) -> Known:
    """Return the old tables that are kept under another name (`profiles_old`), with their statements under their own."""
    aside = {p.old: found[p.old + ASIDE] for p in pairs if _is_aside(found, p)}
    made = ddl.table_statements(session, [f.oid for f in aside.values()])
    own = {(schema, f.name): old for old, f in aside.items()}
    return {
        old: (f, _under_names(session, f, own, made[f.oid], schema), f"from {f.name}, which is kept aside")
        for old, f in aside.items()
    }


def _is_aside(found: Mapping[str, Found], pair: FoundPair) -> bool:
    table, at_old = found.get(pair.old + ASIDE), pair.at_old
    return (
        table is not None and not table.is_view and table.name != pair.new.name and (at_old is None or at_old.is_view)
    )


def _described(session: Session, schema: str, pairs: Sequence[FoundPair], known: Known) -> list[Described]:
    beside = [p.at_old for p in pairs if p.at_old is not None and not p.at_old.is_view]
    tables = ddl.table_statements(session, [*(p.new.oid for p in pairs), *(f.oid for f in beside)])
    views = ddl.view_statements(session, [p.at_old.oid for p in pairs if p.at_old is not None and p.at_old.is_view])
    back = {(schema, p.new.name): p.old for p in pairs}
    described = []
    for pair in pairs:
        columns, inferred = Guess(), False
        if pair.old in known:
            old, statements, told = known[pair.old]
            columns = guess(old.columns, pair.new.columns)
        elif pair.at_old is not None and not pair.at_old.is_view:
            statements, told = tables[pair.at_old.oid], "from the table itself, which stands beside the new one"
            columns = guess(pair.at_old.columns, pair.new.columns)
        else:
            statements = _under_names(session, pair.new, back, tables[pair.new.oid], schema)
            told, inferred = f"{pair.new.name} as it is now, with the names mapped back", True
            columns = _called_otherwise(pair)
        view = views[pair.at_old.oid] if pair.at_old is not None and pair.at_old.is_view else None
        described.append(
            Described(
                pair.old,
                pair.new.name,
                pair.new.single_row,
                statements,
                tables[pair.new.oid],
                view,
                told,
                inferred,
                columns,
            )
        )
    return described


def _under_names(
    session: Session, table: Found, back: Mapping[tuple[str, str], str], statements: Statements, schema: str
) -> Statements:
    names = [r.name for r in session.all(engine("inspected_names"), {"oid": table.oid})]
    return ddl.under_other_names(statements, ddl.renaming(back, (schema, table.name), names))


def _called_otherwise(pair: FoundPair) -> Guess:
    """Columns that the view calls otherwise were perhaps called so in the old table: nobody can know."""
    other = [
        f"the view calls {c} {n}: rename it in the old file, and say it in back and forth"
        for n, c in pair.shown.items()
        if n != c
    ]
    return Guess(open=tuple(other))
