"""Reading the catalog: what is dear is asked only where there is something to find."""

from __future__ import annotations

import psycopg
import pytest

from aicfg_pipeline.postgres import catalog
from aicfg_pipeline.postgres.session import connect
from aicfg_pipeline.rollback.state import look
from aicfg_pipeline.spec import load as spec
from aicfg_pipeline_tests.tools.servers import Database

DEMO = [("public", name) for name in ("ai_cfg_sys_rag", "ai_cfg_org_prompts", "sys_rag", "org_prompt_engineering")]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What is sent to a server from here on."""
    statements: list[object] = []
    execute = psycopg.Connection.execute

    def noting(self: psycopg.Connection, query: object, *rest: object, **options: object) -> object:
        statements.append(query)
        return execute(self, query, *rest, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(psycopg.Connection, "execute", noting)
    return statements


OWN_CLASS = """
CREATE OPERATOR CLASS public.mood_ops DEFAULT FOR TYPE public.mood USING btree AS
    OPERATOR 1 < (anyenum, anyenum), OPERATOR 2 <= (anyenum, anyenum), OPERATOR 3 = (anyenum, anyenum),
    OPERATOR 4 >= (anyenum, anyenum), OPERATOR 5 > (anyenum, anyenum), FUNCTION 1 enum_cmp(anyenum, anyenum)
"""


def test_operators_of_a_type_are_asked_only_where_a_type_has_its_own(
    migrated_database: Database, asked: list[object]
) -> None:
    """Asked of every table it took nine tenths of each look (`relations` is read some eighty times in a rollback)."""
    migrated_database.execute("CREATE TYPE public.mood AS ENUM ('ok'); CREATE TABLE public.moods (id public.mood)")
    session = connect(migrated_database.url)
    every = [*DEMO, ("public", "moods")]
    asked.clear()
    found = catalog.relations(session, every)
    assert (len(asked), [r.own_equality for r in found.values()]) == (1, [{}] * 5)
    migrated_database.admin().execute(OWN_CLASS)
    asked.clear()
    assert (len(catalog.relations(session, DEMO)), len(asked)) == (4, 1)
    assert (len(catalog.relations(session, every)), len(asked)) == (5, 3)
    session.close()


def test_a_look_is_three_questions_however_many_pairs_there_are(
    cut_over_database: Database, asked: list[object]
) -> None:
    """It is taken some forty times in a rollback and its undo: what is there, whether it is ours, and the ledger."""
    session, migration = connect(cut_over_database.url), spec.load()
    asked.clear()
    assert set(look(session, migration).summary.values()) == {"cut_over"}
    assert len(asked) == 3
    session.close()
