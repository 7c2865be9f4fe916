"""The target's roles and who may do what with its database, made in a copy. No role of a copy has a password."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import sql

from aicfg_pipeline.errors import DatabaseError
from aicfg_pipeline.postgres.session import Session
from aicfg_pipeline.postgres.statements import engine, ident

_WORDS = ("superuser", "inherit", "createrole", "createdb", "bypassrls")


@dataclass(frozen=True)
class Roles:
    """The roles of a server with their memberships, and the rights on one database of it."""

    roles: Sequence[Any]
    members: Sequence[Any]
    rights: Sequence[Any]


def read_roles(target: Session) -> Roles:
    """Read them of the target."""
    return Roles(*(target.all(engine(name)) for name in ("roles", "memberships", "database_rights")))


def make_roles(copy: Session, wanted: Roles, login: str) -> list[str]:
    """Make every role that the copy lacks, as a superuser of it; `login` may log in. Returns their names."""
    missing = _missing(copy, wanted)
    for role in missing:
        copy.execute(engine("make_role", role=ident(role.name), attributes=_attributes(role, login)))
    _join(copy, wanted, missing)
    return [r.name for r in missing]


def make_what_can_be_made(copy: Session, wanted: Roles) -> tuple[list[str], list[str]]:
    """Make the roles that a copy of somebody's own lacks, as whoever we are there. Returns those made, and those not."""
    made, refused = [], []
    for role in _missing(copy, wanted):
        try:
            copy.execute(engine("make_role", role=ident(role.name), attributes=sql.SQL("NOLOGIN")))
            made.append(role)
        except DatabaseError:
            refused.append(role.name)
    _join(copy, wanted, made, only_if_may=True)
    return [r.name for r in made], refused


def make_database(copy: Session, wanted: Roles, name: str) -> None:
    """Make the database of a copy, with the owner and the rights of the target's."""
    owner = wanted.rights[0].owner
    copy.execute(engine("make_database", name=ident(name), owner=ident(owner)))
    copy.execute(engine("nobody_may", name=ident(name)))
    for right in wanted.rights:
        grantee = ident(right.grantee) if right.grantee else sql.SQL("PUBLIC")
        if right.grantee != owner:
            privilege = sql.SQL(right.privilege)
            copy.execute(engine("may", name=ident(name), privilege=privilege, grantee=grantee))


def _missing(copy: Session, wanted: Roles) -> list[Any]:
    there = {r.name for r in copy.all(engine("roles_there"), {"names": [r.name for r in wanted.roles]})}
    return [r for r in wanted.roles if r.name not in there]


def _attributes(role: Any, login: str) -> sql.Composable:
    words = [word.upper() if getattr(role, word) else f"NO{word.upper()}" for word in _WORDS]
    return sql.SQL(" ".join(["LOGIN" if role.name == login else "NOLOGIN", *words]))


def _join(copy: Session, wanted: Roles, made: Sequence[Any], *, only_if_may: bool = False) -> None:
    new = {r.name for r in made}
    for each in wanted.members:
        if not {each.role, each.member} & new:
            continue
        try:
            copy.execute(
                engine("make_member", role=ident(each.role), member=ident(each.member), options=_options(copy, each))
            )
        except DatabaseError:
            if not only_if_may:
                raise


def _options(copy: Session, member: Any) -> sql.Composable:
    """How a membership is meant has words of its own from 16 on."""
    if copy.version < 160_000:
        return sql.SQL("WITH ADMIN OPTION" if member.admin else "")
    words = (("ADMIN", member.admin), ("INHERIT", member.inherit), ("SET", member.set))
    return sql.SQL("WITH " + ", ".join(f"{word} {str(value).upper()}" for word, value in words))
