"""Reading the catalog: what is dear is asked only where there is something to find."""

from __future__ import annotations

import psycopg
import pytest

from aicfg_pipeline.postgres import catalog
from aicfg_pipeline.postgres.session import connect
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


def test_operators_of_a_type_are_asked_only_of_tables_with_types_from_elsewhere(
    migrated_database: Database, asked: list[object]
) -> None:
    """Asked of every table it took nine tenths of each look (`relations` is read some eighty times in a rollback)."""
    migrated_database.execute("CREATE TYPE public.mood AS ENUM ('ok'); CREATE TABLE public.moods (id public.mood)")
    session = connect(migrated_database.url)
    asked.clear()
    found = catalog.relations(session, DEMO)
    assert (len(asked), [r.own_equality for r in found.values()]) == (1, [{}] * 4)
    asked.clear()
    found = catalog.relations(session, [*DEMO, ("public", "moods")])
    assert (len(asked), len(found)) == (2, 5)
    session.close()
