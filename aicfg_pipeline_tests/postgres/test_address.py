"""The target's name: what a person calls the database, and what confirms it (A2)."""

from __future__ import annotations

import pytest

from aicfg_pipeline.postgres.address import confirms, target_name
from aicfg_pipeline.postgres.session import connect
from aicfg_pipeline_tests.tools.servers import Database

REF = "abcdefghijklmnopqrst"


@pytest.mark.parametrize(
    ("url", "name"),
    [
        (f"postgresql://postgres.{REF}:x@aws-0-eu-central-1.pooler.supabase.com:5432/postgres", REF),
        (f"postgresql://postgres.{REF}:x@aws-0-eu-central-1.pooler.supabase.com:6543/postgres", REF),
        (f"postgresql://reporter.{REF}:x@aws-0-eu-central-1.pooler.supabase.com:5432/postgres", REF),
        (f"postgresql://postgres:x@db.{REF}.supabase.co:5432/postgres", REF),
        (f"postgresql://postgres:x@DB.{REF}.SUPABASE.CO/postgres", REF),
        (f"host=db.{REF}.supabase.co user=postgres dbname=postgres password=x", REF),
        (f"postgresql://postgres:x@db.{REF}.supabase.co:5432/other", f"other@{REF}"),
        ("postgresql://postgres:x@db.example.com:5432/postgres", "postgres@db.example.com:5432"),
        (f"postgresql://me.{REF}:x@db.example.com/app", "app@db.example.com:5432"),
        ("postgresql://u:x@127.0.0.1:54322/app", "app@127.0.0.1:54322"),
        ("postgresql://u@/app?host=/run/postgresql", "app@local"),
        ("postgresql://u@/app", "app@local"),
        ("postgresql://u@h", "u@h:5432"),
        ("not a url", "?"),
    ],
)
def test_a_target_has_one_name(url: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PGHOST", raising=False)
    assert target_name(url) == name


def test_what_the_url_leaves_to_the_environment_is_part_of_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOST", "elsewhere.example.com")
    monkeypatch.setenv("PGPORT", "6000")
    assert target_name("postgresql://u@/app") == "app@elsewhere.example.com:6000"
    assert target_name("postgresql://u@here.example.com:5432/app") == "app@here.example.com:5432"


@pytest.mark.parametrize("password", ["pa@ssword", "pass/wo@rd", "a@b@cdef", "p@ss/w@rd", "x/y@zzz"])
def test_a_password_that_was_not_escaped_shows_no_piece_of_itself(password: str) -> None:
    name = target_name(f"postgresql://u:{password}@db.example.com:5432/app")
    pieces = [p for p in password.replace("@", "/").split("/") if len(p) > 1]
    assert not any(piece in name for piece in pieces), name


@pytest.mark.parametrize(
    ("named", "target", "database", "confirmed"),
    [
        (REF, REF, "postgres", True),
        ("postgres", REF, "postgres", False),
        ("postgres", "postgres@db.example.com:5432", "postgres", False),
        ("postgres@db.example.com:5432", "postgres@db.example.com:5432", "postgres", True),
        ("app", "app@db.example.com:5432", "app", True),
        ("app@db.example.com:5432", "app@db.example.com:5432", "app", True),
        ("app@staging.example.com:5432", "app@db.example.com:5432", "app", False),
        (None, "app@db.example.com:5432", "app", False),
        ("", "app@db.example.com:5432", "app", False),
    ],
)
def test_the_targets_name_confirms_it_and_the_databases_name_only_where_that_says_anything(
    named: str | None, target: str, database: str, confirmed: bool
) -> None:
    assert confirms(named, target, database) is confirmed


def test_a_session_knows_the_name_of_what_it_is_connected_to(migrated_database: Database) -> None:
    for url, name in (
        (migrated_database.url, f"{migrated_database.name}@local"),
        (
            migrated_database.tcp_url,
            f"{migrated_database.name}@127.0.0.1:{migrated_database.cluster.tcp_port}",
        ),
    ):
        session = connect(url)
        assert session.target == name == target_name(url)
        session.close()
        assert session.target == name
