"""Breaks the engine's connection after a chosen statement, and draws the portrait by which two end states are compared.

Every statement of a writing transaction counts, each alone, also those that the engine sends together in one script.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import psycopg
from psycopg import sql

from aicfg_pipeline.embedded.cluster import SUPERUSER
from aicfg_pipeline.errors import ConnectionLostError
from aicfg_pipeline.postgres.session import Query, Session
from aicfg_pipeline.rollback.run import Run
from aicfg_pipeline_tests.tools.servers import Database

_EXECUTE, _CLEAR = Session.execute, Run.clear_autovacuum


@dataclass
class Counter:
    """Counts the statements of writing transactions; at `kill_after` the connection's backend is ended."""

    kill: Callable[[int], None]
    kill_after: int | None = None
    inject: Callable[[str], None] = lambda text: None
    before_locks: Callable[[], None] = lambda: None
    seen: list[str] = field(default_factory=list)
    writing: bool = False
    killed: bool = False

    def execute(self, session: Session, query: Query, params: Any = None, **kwargs: Any) -> psycopg.Cursor[Any]:
        composed = sql.SQL(query) if isinstance(query, str) else query  # type: ignore[arg-type]
        text = " ".join(composed.as_string(session.connection).split())
        if self._beside(session):
            return _EXECUTE(session, query, params, **kwargs)
        if self.kill_after == 0 and not self.seen:
            self._end(session)
        self.inject(text)
        cursor = _EXECUTE(session, query, params, **kwargs)
        if "pg_try_advisory_xact_lock" in text:
            self.writing = True
        if self._counts(text):
            self.seen.append(text)
            if len(self.seen) == self.kill_after:
                self._end(session)
        if text in ("COMMIT", "ROLLBACK"):
            self.writing = False
        return cursor

    def _beside(self, session: Session) -> bool:
        """Whether it is a session from which the run only looks on: those are left in peace."""
        if not hasattr(session, "_beside"):
            session._beside = "observer" in session.connection.info.get_parameters()["application_name"]  # type: ignore[attr-defined]
        return bool(session._beside)  # type: ignore[attr-defined]

    def _counts(self, text: str) -> bool:
        if text.startswith("VACUUM"):
            return True
        return self.writing and not text.startswith(("SET LOCAL", "SELECT", "BEGIN"))

    def _end(self, session: Session) -> None:
        self.writing, self.killed = False, True
        self.kill(session.connection.info.backend_pid)


def _script(session: Session, statements: Sequence[sql.Composable], **kwargs: Any) -> None:
    """Each statement alone and in order; settings that follow each other, which nobody would miss, go together."""
    for are_settings, group in groupby(statements, lambda s: s.as_string(session.connection).startswith("SET LOCAL")):
        if are_settings:
            _EXECUTE(session, sql.SQL(";\n").join(group), **kwargs)
            continue
        for statement in group:
            session.execute(statement, **kwargs)


@contextmanager
def counting(database: Database, monkeypatch: Any, **options: Any) -> Iterator[Counter]:
    """Count (and kill) while the block runs. `before_locks` is called before a swap asks for its locks."""

    def kill(pid: int) -> None:
        with psycopg.connect(database.cluster.url(SUPERUSER, "postgres"), autocommit=True) as admin:
            assert admin.execute("SELECT pg_terminate_backend(%s, 10000)", (pid,)).fetchone() == (True,)

    counter = Counter(kill, **options)
    with monkeypatch.context() as patch:
        patch.setattr(Session, "execute", lambda self, *args, **kwargs: counter.execute(self, *args, **kwargs))
        patch.setattr(Session, "script", _script)
        patch.setattr(Run, "clear_autovacuum", lambda self, *args: (counter.before_locks(), _CLEAR(self, *args)))
        yield counter


@contextmanager
def survived() -> Iterator[None]:
    """The block may end because its connection was broken, and for no other reason."""
    with suppress(ConnectionLostError):
        yield


# --- what a database looks like, definitions and rows, fast ----------------------------------------------------

_PORTRAIT = """
WITH here AS (SELECT c.*, n.nspname, format('%I.%I', n.nspname, c.relname) AS name
              FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
              WHERE n.nspname IN ('public', 'auth', 'aicfg_rollback', 'aicfg_rollback_swap'))
SELECT 'relation' AS kind, name, concat_ws(' ', relkind, relrowsecurity, relforcerowsecurity, reloptions::text,
       (SELECT string_agg(a::text, ',' ORDER BY a::text) FROM unnest(relacl) a),
       obj_description(oid, 'pg_class')) AS what
FROM here
UNION ALL
SELECT 'column', name || '.' || attname, concat_ws(' ', format_type(atttypid, atttypmod), attnotnull, attnum,
       pg_get_expr(d.adbin, d.adrelid), col_description(attrelid, attnum))
FROM here JOIN pg_attribute a ON attrelid = here.oid AND attnum > 0 AND NOT attisdropped
LEFT JOIN pg_attrdef d ON d.adrelid = attrelid AND d.adnum = attnum
UNION ALL
SELECT 'constraint', name || '.' || conname, concat_ws(' ', pg_get_constraintdef(k.oid), convalidated)
FROM here JOIN pg_constraint k ON conrelid = here.oid
UNION ALL
SELECT 'index', name, pg_get_indexdef(oid) FROM here WHERE relkind = 'i'
UNION ALL
SELECT 'trigger', name || '.' || tgname, concat_ws(' ', pg_get_triggerdef(t.oid), tgenabled)
FROM here JOIN pg_trigger t ON tgrelid = here.oid AND NOT tgisinternal
UNION ALL
SELECT 'policy', name || '.' || polname, concat_ws(' ', pg_get_expr(polqual, polrelid),
       pg_get_expr(polwithcheck, polrelid), polroles::text, polcmd)
FROM here JOIN pg_policy ON polrelid = here.oid
UNION ALL
SELECT 'view', name, pg_get_viewdef(oid) FROM here WHERE relkind = 'v'
UNION ALL
SELECT 'published', name, concat_ws(' ', b.pubname, relreplident) FROM here JOIN pg_publication_rel r ON r.prrelid = here.oid
JOIN pg_publication b ON b.oid = r.prpubid
UNION ALL
SELECT 'function', p.oid::regprocedure::text, prosrc FROM pg_proc p JOIN pg_namespace n ON n.oid = pronamespace
WHERE n.nspname IN ('public', 'aicfg_rollback')
ORDER BY 1, 2, 3
"""


def portrait(database: Database, *, exact: bool = False) -> dict[str, Any]:
    """Every definition and every row, of ours and of the surroundings.

    Of change logs the keys, of the ledger only that it is there; `exact` is with all of both but times and numbers.
    """
    with psycopg.connect(database.admin_url, options="-c search_path=pg_catalog -c TimeZone=UTC") as connection:
        definitions = [tuple(r) for r in connection.execute(_PORTRAIT).fetchall()]
        rows: dict[str, Any] = {}
        for kind, name, what in definitions:
            if kind == "relation" and what.startswith("r ") and (exact or not name.endswith(".ledger")):
                rows[name] = _rows(connection, name, exact)
        return {"definitions": definitions, "rows": rows}


def _rows(connection: psycopg.Connection, name: str, exact: bool) -> list[str]:
    what = "row_::text"
    if name.endswith(".ledger"):
        what = "concat_ws(' ', step, outcome, pair)"
    elif "change_log_" in name and exact:
        what = "(to_jsonb(row_) - 'aicfg_seq')::text"
    elif "change_log_" in name:
        what = "DISTINCT (to_jsonb(row_) - 'aicfg_seq' - 'aicfg_replayed')::text"
    query = f"SELECT {what} FROM {name} AS row_ ORDER BY 1"
    return [r[0] for r in connection.execute(query).fetchall()]  # type: ignore[arg-type]


def differing(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Return what only one of two portraits has, as lines for a person."""
    lines = [f"- {d}" for d in one["definitions"] if d not in other["definitions"]]
    lines += [f"+ {d}" for d in other["definitions"] if d not in one["definitions"]]
    for name in sorted(one["rows"].keys() | other["rows"].keys()):
        before, after = one["rows"].get(name, []), other["rows"].get(name, [])
        lines += [f"- {name}: {r[:300]}" for r in before if r not in after]
        lines += [f"+ {name}: {r[:300]}" for r in after if r not in before]
        if not lines and len(before) != len(after):
            lines.append(f"{name}: {len(before)} and {len(after)} rows")
    return lines
