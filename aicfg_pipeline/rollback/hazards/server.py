"""Hazards of the server and the connection: version, replica, pooler, confirmation, another run, who is in the way."""

from __future__ import annotations

from collections.abc import Iterator

from aicfg_pipeline.errors import UnreachableError
from aicfg_pipeline.postgres import catalog
from aicfg_pipeline.postgres.address import confirms
from aicfg_pipeline.postgres.locks import Blocker
from aicfg_pipeline.postgres.statements import engine
from aicfg_pipeline.rollback.hazards.hazard import Hazard, Subject
from aicfg_pipeline.rollback.lock import DIRECT_CONNECTION, RUN_LOCK, at_work_on, behind_pooler, told_of_holder

OLDEST_VERSION = 140_000
LONG_SECONDS = 30
CONNECTIONS = 2
"""One works, the other watches who is in its way."""


def find(subject: Subject) -> Iterator[Hazard]:
    """Look at the server and the connection."""
    identity = subject.session.one(engine("identity"))
    if subject.session.version < OLDEST_VERSION:
        yield Hazard(
            "unsupported_version",
            f"The server is PostgreSQL {subject.session.version // 10_000}.{subject.session.version % 10_000}.",
            "PostgreSQL 14 to 18 are supported (row checksums need 14).",
        )
    if identity.replica or identity.read_only:
        kind = "a replica" if identity.replica else "read-only by default"
        yield Hazard("replica", f"The server is {kind}.", "Connect to the primary, as a role that may write.")
    yield from _encoding(subject)
    yield from _confirmation(subject, identity.database)
    yield from _unencrypted(subject)
    yield from _connections(subject)
    yield from _pooled(subject)
    yield from _already_running(subject, identity.pid)
    yield from _long_transactions(subject)


def locked_out(subject: Subject, what: str) -> Hazard:
    """Return the hazard of a lock so strong that the plan itself could not look."""
    holders = catalog.blockers(subject.session, _watched(subject))
    told = "; ".join(str(b) for b in holders) or "nobody any more"
    return Hazard(
        "long_transaction",
        f"{what}: a lock was not to be had. Holding locks on these tables: {told}.",
        "End that session or wait for it, then run the plan again.",
        facts={"pids": [b.pid for b in holders]},
    )


def _encoding(subject: Subject) -> Iterator[Hazard]:
    """Only in UTF8 is every text the same on both sides, and can the ledger hold what is said of it."""
    encoding = subject.session.connection.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        yield Hazard(
            "unsupported_encoding",
            f"The database's encoding is {encoding}. Its texts may hold bytes that are not UTF-8, or the ledger's words may"
            " not be written in it.",
            "Only databases in UTF8 are supported. Bring it into one by pg_dump and restore first.",
            facts={"encoding": encoding},
        )


def _confirmation(subject: Subject, database: str) -> Iterator[Hazard]:
    named = subject.settings.confirm_database
    target = subject.session.target
    if confirms(named, target, database) or (named is None and not subject.must_confirm):
        return
    found = "confirm_database is missing" if named is None else f"confirm_database is {named!r}"
    if named == database:
        found += ", and that is the name of a database on every server"
    yield Hazard(
        "not_confirmed",
        f"{found}; the target is {target}.",
        f"If {target} is the database you mean, set confirm_database: {target} in run.yaml.",
    )


def _unencrypted(subject: Subject) -> Iterator[Hazard]:
    """Passwords, rows and commands that anybody on the way can read, and change."""
    host = subject.session.unencrypted_to
    if host is not None:
        yield Hazard(
            "not_encrypted",
            f"The connection to {host} goes over a network without TLS: whoever is on the way reads and changes what goes"
            " through it.",
            "Add sslmode=verify-full and sslrootcert=FILE to AICFG_DATABASE_URL (docs/own-database.md). Where the way is"
            " protected otherwise (a tunnel, a private network), accept it.",
            facts={"host": host},
        )


def _connections(subject: Subject) -> Iterator[Hazard]:
    """A limit on the role or the database that leaves no second connection."""
    for row in subject.session.all(engine("connection_limits")):
        if row.most - row.others < CONNECTIONS:
            yield Hazard(
                "too_few_connections",
                f"{row.what} may have {row.most} connections, and others have {row.others} of them; a run needs"
                f" {CONNECTIONS} at a time.",
                f"{row.alter} CONNECTION LIMIT {max(row.most, row.others + CONNECTIONS)}, or close other connections.",
                facts={"limit": row.most, "others": row.others, "needed": CONNECTIONS},
            )


def _pooled(subject: Subject) -> Iterator[Hazard]:
    try:
        found = behind_pooler(subject.session, thorough=True)
    except UnreachableError as error:
        if not any(_connections(subject)):  # else that has told it
            yield Hazard(
                "too_few_connections",
                f"A second connection was not to be had; a run needs {CONNECTIONS} at a time. {error.found}",
                f"Let the pooler have at least {CONNECTIONS} connections for this role and database (default_pool_size), or"
                " close others; or use the direct connection.",
                facts={"needed": CONNECTIONS},
            )
        return
    if found:
        yield Hazard("pooled_connection", found, DIRECT_CONNECTION)


def _already_running(subject: Subject, own_pid: int) -> Iterator[Hazard]:
    holder = subject.session.one(engine("lock_holder"), RUN_LOCK)
    if holder and holder.pid != own_pid and not holder.one_of_ours:
        yield Hazard("already_running", *told_of_holder(holder))
    elif holder and holder.pid != own_pid:
        yield Hazard(
            "already_running",
            f"Another run works here{at_work_on(holder.application)}: pid {holder.pid} as {holder.role}"
            f" ({holder.application}), since {holder.since}.",
            "Wait for it to end; one run at a time.",
        )


def _long_transactions(subject: Subject) -> Iterator[Hazard]:
    rows = subject.session.all(engine("long_transactions"), {"relations": _watched(subject), "seconds": LONG_SECONDS})
    for blocker in (Blocker(**r._asdict()) for r in rows):
        if subject.settings.terminate_blockers and blocker.state.startswith("idle in transaction"):
            continue
        yield Hazard(
            "long_transaction",
            f"A transaction has held a lock on these tables for more than {LONG_SECONDS} s: {blocker}.",
            "End that session or wait for it. Sessions idle in a transaction are ended for you with"
            " terminate_blockers: true.",
            facts={"pids": [blocker.pid]},
        )


def _watched(subject: Subject) -> list[int]:
    """The tables, the views and what the old tables will refer to: the cut-over locks them all."""
    pairs = subject.look.pairs
    oids = [r.oid for s in pairs for r in (s.at_old_name, s.at_new_name) if r is not None]
    references = {k.references for s in pairs for k in s.pair.old_ddl.foreign_keys}
    return oids + [r.oid for r in catalog.relations(subject.session, references).values()]
