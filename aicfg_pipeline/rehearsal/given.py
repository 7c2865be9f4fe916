"""A copy that somebody gives (`AICFG_REHEARSAL_URL`): never the target itself, and with the roles that the target has."""

from __future__ import annotations

import secrets
from collections.abc import Callable

from aicfg_pipeline.environment import REHEARSAL_URL
from aicfg_pipeline.errors import ConfigError, UnreachableError
from aicfg_pipeline.postgres.session import Session, connect
from aicfg_pipeline.postgres.statements import engine
from aicfg_pipeline.rehearsal.copy import Copy
from aicfg_pipeline.rehearsal.roles import make_what_can_be_made, read_roles


def given_copy(target: Session, url: str, say: Callable[[str], None]) -> Copy:
    """Return the copy at a URL, once it is sure not to be the target. Raises `ConfigError`."""
    try:
        copy = connect(url, "aicfg_pipeline rehearsal")
    except UnreachableError as error:
        raise ConfigError(
            error.found.replace("AICFG_DATABASE_URL", REHEARSAL_URL.name),
            expected=f"{REHEARSAL_URL.name}: the URL of a copy of the target",
            remedy=f"Correct {REHEARSAL_URL.name}, or unset it: then the copy is made here.",
        ) from None
    try:
        must_be_another(target, copy)
        made, refused = make_what_can_be_made(copy, read_roles(target))
        if made:
            say(f"roles made in the copy: {', '.join(made)}")
        notes = [f"role {name} is not there, and could not be made" for name in refused]
        have = {e.name for e in copy.all(engine("extensions"))}
        notes += [f"extension {e.name} is not there" for e in target.all(engine("extensions")) if e.name not in have]
        return Copy(url, copy.target, tuple(notes))
    finally:
        copy.close()


def must_be_another(target: Session, copy: Session) -> None:
    """Refuse the target itself, whatever name or pooler leads to it. Raises `ConfigError`.

    A restored backup and a branch may have the target's identifier: then it is asked which server this very one is.
    """
    one, other = (s.one(engine("identity")) for s in (target, copy))
    if (one.system_identifier, one.database) != (other.system_identifier, other.database):
        return
    if _same_server(target, copy):
        raise ConfigError(
            f"{REHEARSAL_URL.name} is the target itself: database {one.database} on server {one.system_identifier}."
            " Nothing was touched.",
            expected="a copy of the target, which the rehearsal may roll back",
            remedy=f"Set {REHEARSAL_URL.name} to a copy, or unset it: then the copy is made here.",
        )


def _same_server(target: Session, copy: Session) -> bool:
    started = {s.scalar(engine("server_started")) for s in (target, copy)}
    key = {"class": 0x41494346, "key": secrets.randbelow(2**31)}
    with target.transaction(read_only=True):
        target.execute(engine("hold_for_this_transaction"), key)
        return len(started) == 1 or bool(copy.scalar(engine("sees_the_lock"), key))
