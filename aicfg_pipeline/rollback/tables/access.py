"""Who may do what: the access matrix, asked of the server, and what of it a rollback changes.

Every role of the cluster is in it, and PUBLIC. What to say about a change is `hazards`' business; making grants is `ddl`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from aicfg_pipeline.postgres.catalog import Relation
from aicfg_pipeline.postgres.session import Session
from aicfg_pipeline.postgres.statements import engine

MAINTAIN_SINCE = 170_000
GRANT_OPTION = " WITH GRANT OPTION"
EVERYONE = "public"
"""As the server's own functions call PUBLIC."""

_THROUGH_VIEWS = ("SELECT", "INSERT", "UPDATE", "DELETE")
"""What a privilege on a view lets someone do with the rows below it."""


@dataclass(frozen=True, order=True)
class Right:
    """One thing that a role may do. `label` says with which relation, `part` with which column, sequence or function.

    `kind` is table, column, sequence, function or owner. The sequence of a column bears the column's name.
    """

    kind: str
    label: str
    part: str
    role: str
    privilege: str


Matrix = frozenset[Right]


def access_matrix(session: Session, relations: Mapping[str, Relation]) -> Matrix:
    """Return what every role may do with these relations, by label. One statement; asks for no lock on them."""
    of_tables = ["SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER"]
    if session.version >= MAINTAIN_SINCE:
        of_tables.append("MAINTAIN")
    given = {"oids": [r.oid for r in relations.values()], "labels": list(relations), "of_tables": of_tables}
    return frozenset(Right(**r._asdict()) for r in session.all(engine("access_matrix"), given))


# --- the same rights under one name ----------------------------------------------------------------------------


@dataclass(frozen=True, order=True)
class Doing:
    """What someone does with the rows of a pair, whatever the name: `kind`, `part` and `privilege` as in `Right`."""

    role: str
    kind: str
    part: str
    privilege: str


def through_table(matrix: Matrix, label: str) -> frozenset[Doing]:
    """Return what the privileges of a table itself come to."""
    kinds = ("table", "column", "sequence")
    return frozenset(_doing(r) for r in matrix if r.label == label and r.kind in kinds)


def through_view(session: Session, matrix: Matrix, view: Relation, label: str, below: str) -> frozenset[Doing]:
    """Return what the privileges of a view let do with the table below it, whose label is `below`."""
    reads = session.one(engine("view_reads_as"), {"oid": view.oid})
    direct = through_table(matrix, below)
    found = []
    for right in matrix:
        privilege = right.privilege.removesuffix(GRANT_OPTION)
        if right.label != label or right.kind not in ("table", "column") or privilege not in _THROUGH_VIEWS:
            continue
        who = right.role if reads.invoker else reads.owner
        needed = (Doing(who, "table", "", privilege), Doing(who, "column", right.part, privilege))
        if any(n in direct for n in needed):
            found.append(_doing(right))
    return frozenset(found)


def _doing(right: Right) -> Doing:
    return Doing(right.role, right.kind, right.part, right.privilege)


# --- what changes ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Change:
    """What one role may do less or more. `members` are the roles that it changes for because they inherit it."""

    role: str
    lost: bool
    doings: tuple[Doing, ...]
    members: tuple[str, ...]


def changes(session: Session, before: frozenset[Doing], after: frozenset[Doing]) -> list[Change]:
    """Return what changes, for the roles that it has to be mended for: their members follow.

    A right on the whole table is one on each column; sequences are compared where the column had one.
    """
    lost = [d for d in before if not _has(after, d) and not _whole(before, d)]
    numbered = {d.part for d in before if d.kind == "sequence"}
    more = [d for d in after if not _has(before, d) and not _whole(after, d)]
    more = [d for d in more if d.kind != "sequence" or d.part in numbered]
    inherits = _inheriting(session, {d.role for d in (*lost, *more)})
    return [
        *_by_role(lost, inherits, lost=True),
        *_by_role(more, inherits, lost=False),
    ]


def _has(doings: frozenset[Doing], wanted: Doing) -> bool:
    return wanted in doings or _whole(doings, wanted)


def _whole(doings: frozenset[Doing], wanted: Doing) -> bool:
    """Say whether a right on a column is one on the whole table anyway."""
    return wanted.kind == "column" and Doing(wanted.role, "table", "", wanted.privilege) in doings


def _inheriting(session: Session, roles: Iterable[str]) -> Callable[[str, str], bool]:
    named = sorted(r for r in roles if r != EVERYONE)
    rows = session.all(engine("who_inherits"), {"roles": named}) if named else []
    pairs = {(r.member, r.role) for r in rows}
    return lambda member, role: role == EVERYONE != member or (member, role) in pairs


def _by_role(doings: Iterable[Doing], inherits: Callable[[str, str], bool], *, lost: bool) -> list[Change]:
    by_thing: dict[tuple[str, str, str], set[str]] = {}
    for doing in doings:
        by_thing.setdefault((doing.kind, doing.part, doing.privilege), set()).add(doing.role)
    roots: dict[str, list[Doing]] = {}
    members: dict[str, set[str]] = {}
    for thing, roles in sorted(by_thing.items()):
        for role in sorted(roles):
            above = [r for r in roles if r != role and inherits(role, r)]
            if not above:
                roots.setdefault(role, []).append(Doing(role, *thing))
            for other in above:
                members.setdefault(other, set()).add(role)
    return [Change(r, lost, tuple(d), tuple(sorted(members.get(r, ())))) for r, d in sorted(roots.items())]
