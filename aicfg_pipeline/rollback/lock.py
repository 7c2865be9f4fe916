"""The run lock: one run at a time on a database, and the poolers behind which it does not hold."""

from __future__ import annotations

import re
import time
from typing import Any

from aicfg_pipeline.errors import AlreadyRunningError, HazardError
from aicfg_pipeline.postgres.session import Session, observer
from aicfg_pipeline.postgres.statements import engine

GRACE_TRIES, GRACE_PAUSE = 4, 0.15
"""A backend whose client has just ended needs a moment to give its lock back; a run under way keeps it longer."""


RUN_LOCK = {"class": 0x41494346, "key": 0x47524C42}  # "AICF", "GRLB": any two integers, as long as they never change


OTHERS = (
    3  # connections that are opened beside ours to find out about a pooler, one after another: two at a time are all
)


def take_run_lock(session: Session) -> None:
    """Take the run lock for as long as the session lives. Raises `AlreadyRunningError` naming who has it.

    Raises `HazardError` behind a transaction pooler: the lock would stay on a server connection that others use.
    """
    behind = behind_pooler(session)
    if behind:
        raise HazardError(
            f"pooled_connection: {behind}",
            codes=["pooled_connection"],
            remedy=DIRECT_CONNECTION,
        )
    if not session.pinned:  # a pooler that keeps one server connection for each client's whole session
        session.pin(session.scalar(engine("backend_pid")))
    for _ in range(GRACE_TRIES):
        if session.scalar(engine("take_session_lock"), RUN_LOCK):
            return
        time.sleep(GRACE_PAUSE)
    holder = session.one(engine("lock_holder"), RUN_LOCK)
    found, remedy = told_of_holder(holder) if holder else ("Another run works on this database.", "Run again.")
    raise AlreadyRunningError(found, expected="one run at a time", remedy=remedy)


def application_name(job: str, run_id: str, migration: str) -> str:
    """Return how a run's session calls itself, so that whoever it keeps waiting reads which run that is, and of what."""
    return f"aicfg_pipeline {job} {run_id[:8]} {migration}"


_OF_A_RUN = re.compile(r"aicfg_pipeline (?P<job>\S+) (?P<run>\S+) (?P<migration>.+)")


def at_work_on(application: str) -> str:
    """Return at which migration and job a session of ours works; empty where its name does not say so."""
    named = _OF_A_RUN.fullmatch(application)
    return f" at the migration {named['migration']} (job {named['job']})" if named else ""


def told_of_holder(holder: Any) -> tuple[str, str]:
    """Return who has the run lock and what to do about it. It need be no run: whoever may connect can take the lock."""
    who = f"pid {holder.pid} as {holder.role} ({holder.application or 'no application name'}), since {holder.since}"
    if holder.one_of_ours:
        return (
            f"Another run works on this database{at_work_on(holder.application)}: {who}.",
            "Wait for it to end, or end it in the Dagster UI (or pg_terminate_backend of that pid), then run again.",
        )
    return (
        f"The run lock is held by a session that is no run of this pipeline, by application name and role: {who}.",
        f"End it as a superuser, with pg_terminate_backend({holder.pid}), and find out what it is. To keep it away, take"
        f" CONNECT on this database from {holder.role}. Then run again.",
    )


def release_run_lock(session: Session) -> None:
    """Give the run lock back."""
    if not (session.connection.closed or session.connection.broken):
        session.scalar(engine("release_session_lock"), RUN_LOCK)


DIRECT_CONNECTION = "Use the direct connection (on Supabase port 5432, not the pooler's 6543) in AICFG_DATABASE_URL."


def behind_pooler(session: Session, *, thorough: bool = False) -> str | None:
    """Say what tells of a pooler in transaction mode between us and the server, or None.

    A server connection of our own is never in somebody else's transaction, and never another one from one statement
    to the next. Where the backend is the one that greeted us nothing stands in between, as far as poolers are known:
    that costs one query, and more are asked only if this has to be `thorough`.
    """
    first = session.scalar(engine("backend_pid"))
    if first == session.connection.info.backend_pid and not thorough:
        return None
    for _ in range(OTHERS):
        with observer(session) as other, other.transaction(read_only=True):
            shared = other.scalar(engine("backend_pid"))
            second = first if shared == first else session.scalar(engine("backend_pid"))
            if shared == first or second != first:
                backends = f"pid {first}" if shared == first else f"pids {first} and {second}"
                return (
                    f"Two transactions of one connection do not run in one backend of their own ({backends}): a pooler"
                    " in transaction mode stands in between, where locks and settings of a session silently do not"
                    " hold."
                )
    return None
