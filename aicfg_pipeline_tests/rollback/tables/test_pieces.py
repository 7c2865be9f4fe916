"""A copy in pieces is the table, whatever its rows do between two pieces; and it goes on after the last one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from aicfg_pipeline.errors import GateError
from aicfg_pipeline.rollback import lifecycle
from aicfg_pipeline.rollback.run import Run
from aicfg_pipeline.rollback.steps import copy_back as step
from aicfg_pipeline.rollback.steps.compare import compare
from aicfg_pipeline.rollback.steps.copy_back import copy_back
from aicfg_pipeline.rollback.tables import pieces
from aicfg_pipeline_tests.rollback.steps.test_plan_is_what_runs import agree, executed, last_row, planned
from aicfg_pipeline_tests.tools.migration import roll_back, running
from aicfg_pipeline_tests.tools.servers import Database

OLD, NEW = "org_prompt_engineering", "ai_cfg_org_prompts"
MANY = (
    "INSERT INTO orgs (id, name) SELECT md5('more ' || n)::uuid, 'more ' || n FROM generate_series(1, 200) AS n;"
    f" INSERT INTO {NEW} (id, org_id, custom_system_prompt)"
    " SELECT md5('row ' || n)::uuid, md5('more ' || n)::uuid, repeat('x', 400) FROM generate_series(1, 200) AS n"
)
SAME = "id, org_id, custom_system_prompt, response_tone, citation_style"
PIECES = "SELECT count(*) FROM aicfg_rollback.ledger WHERE outcome = 'copied_piece'"


class Killed(BaseException):
    """As if the process had ended."""


@pytest.fixture
def large(migrated_database: Database, monkeypatch: pytest.MonkeyPatch) -> Database:
    """240 rows on a dozen pages, of which each is a piece."""
    monkeypatch.setattr(pieces, "PIECE_PAGES", 1)
    migrated_database.execute(MANY)
    return migrated_database


@contextmanager
def between(monkeypatch: pytest.MonkeyPatch, at: int, do: Callable[[], object]) -> Iterator[None]:
    """Do something after so many pieces."""
    piece, count = step._piece, 0

    def and_then(run: Run, *rest: object) -> object:
        nonlocal count
        count += 1
        if count == at + 1:
            do()
        return piece(run, *rest)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(step, "_piece", and_then)
        yield


def copied(database: Database) -> None:
    with running(database.url) as run:
        lifecycle.begin(run, "rollback")
        for pair in run.migration.pairs:
            copy_back(run, pair.old)


def both_agree(database: Database) -> None:
    live, shadow = (database.query(f"SELECT {SAME} FROM {t} ORDER BY id") for t in (NEW, f"aicfg_rollback.{OLD}"))
    assert live == shadow
    with running(database.url) as run:
        lifecycle.begin(run, "rollback")
        compare(run)


def page(which: str) -> str:
    """The rows of the first or of the last page."""
    order = {"first": "min", "last": "max"}[which]
    of = "(ctid::text::point)[0]"
    return f"{of} = (SELECT {order}({of}) FROM {NEW})"


def row(n: int) -> str:
    return f"md5('row {n}')::uuid"


MEANWHILE = {
    "rows move to later pages": f"UPDATE {NEW} SET response_tone = 'casual' WHERE {page('first')}",
    "rows move to earlier pages": (
        f"DELETE FROM {NEW} WHERE {page('first')}",
        f"VACUUM {NEW}",
        f"UPDATE {NEW} SET response_tone = 'casual' WHERE {page('last')}",
    ),
    "rows come and go": (
        f"DELETE FROM {NEW} WHERE id IN ({row(1)}, {row(199)})",
        f"INSERT INTO {NEW} (org_id) SELECT id FROM orgs WHERE name IN ('more 1', 'more 199')",
    ),
    "keys change": f"UPDATE {NEW} SET id = gen_random_uuid() WHERE id IN ({row(2)}, {row(198)})",
    "keys change hands": (
        f"UPDATE {NEW} SET id = md5('aside')::uuid WHERE id = {row(3)}",
        f"UPDATE {NEW} SET id = {row(3)} WHERE id = {row(197)}",
        f"UPDATE {NEW} SET id = {row(197)} WHERE id = md5('aside')::uuid",
    ),
    "a unique value changes hands": (
        "INSERT INTO orgs (id, name) VALUES (md5('spare')::uuid, 'spare')",
        f"UPDATE {NEW} SET org_id = md5('spare')::uuid WHERE id = {row(4)}",
        f"UPDATE {NEW} SET org_id = md5('more 4')::uuid WHERE id = {row(196)}",
        f"UPDATE {NEW} SET org_id = md5('more 196')::uuid WHERE id = {row(4)}",
    ),
    "the table is emptied and filled": (f"TRUNCATE {NEW}", f"INSERT INTO {NEW} (org_id) SELECT id FROM orgs LIMIT 5"),
}


@pytest.mark.parametrize("what", MEANWHILE)
def test_the_copy_is_the_table_whatever_its_rows_do_between_two_pieces(
    large: Database, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    said = MEANWHILE[what]
    statements = (said,) if isinstance(said, str) else said

    def write() -> None:
        for statement in statements:
            large.execute(statement)

    with between(monkeypatch, 4, write):
        copied(large)
    assert large.query(PIECES)[0][0] >= 3
    both_agree(large)


def test_rows_that_no_log_has_seen_moving_stop_the_copy(large: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    with between(monkeypatch, 4, lambda: large.execute(f"VACUUM FULL {NEW}")), pytest.raises(GateError, match="anew"):
        copied(large)
    in_use = f"SELECT relkind FROM pg_class WHERE oid IN ('public.{OLD}'::regclass, 'public.{NEW}'::regclass)"
    assert sorted(large.query(in_use)) == [("r",), ("v",)]
    copied(large)
    both_agree(large)


@pytest.mark.two_versions
def test_a_copy_that_was_killed_goes_on_after_its_last_piece(large: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    def die() -> None:
        raise Killed

    with between(monkeypatch, 5, die), pytest.raises(Killed):
        copied(large)
    before = large.query("SELECT id, facts FROM aicfg_rollback.ledger WHERE outcome = 'copied_piece' ORDER BY id")
    large.execute(f"UPDATE {NEW} SET response_tone = 'technical'")
    copied(large)
    after = large.query("SELECT id, facts FROM aicfg_rollback.ledger WHERE outcome = 'copied_piece' ORDER BY id")
    assert (len(before), after[:4]) == (4, before)  # the first of five was all of sys_rag
    assert [facts["first"] for _, facts in after] == list(range(1, len(after) + 1))
    both_agree(large)


def test_a_table_that_is_written_anew_while_its_copy_is_dead_is_copied_anew(
    large: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die() -> None:
        raise Killed

    with between(monkeypatch, 5, die), pytest.raises(Killed):
        copied(large)
    large.execute(f"VACUUM FULL {NEW}")
    copied(large)
    assert large.query("SELECT count(*) FROM aicfg_rollback.ledger WHERE outcome = 'discarded'") == [(1,)]
    both_agree(large)


def test_the_pieces_are_those_of_the_plan(large: Database) -> None:
    with running(large.url) as run:
        wanted, since = planned(run, "rollback"), last_row(large)
        roll_back(run)
    ran = executed(large, since)
    (copy,) = {s for s in ran if s.startswith("INSERT") and "aicfg.piece_from" in s and NEW in s}
    assert ran.count(copy) > 8
    whole = large.query("SELECT statements FROM aicfg_rollback.ledger WHERE outcome = 'copied_piece' ORDER BY id")
    for (piece,) in whole:  # each transaction goes like the one that the plan shows
        at = next(i for i in range(len(ran)) if ran[i : i + len(piece)] == [s["sql"] for s in piece])
        del ran[at : at + len(piece)]
    agree(wanted, ran)


def test_a_publication_of_all_tables_does_not_stop_the_replay(large: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """It publishes the shadow, too; and the server refuses to delete from a published table without a key."""
    large.admin().execute("CREATE PUBLICATION everything FOR ALL TABLES")
    change = f"UPDATE {NEW} SET response_tone = 'casual'; DELETE FROM {NEW} WHERE id = md5('row 7')::uuid"
    with between(monkeypatch, 0, lambda: large.execute(change)):
        copied(large)
    both_agree(large)
    assert large.query(PIECES) == [(0,)]
