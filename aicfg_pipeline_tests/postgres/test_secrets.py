"""No piece of a password is shown, whatever characters it has and wherever they take the URL apart (B9)."""

from __future__ import annotations

import psycopg
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from aicfg_pipeline.errors import UnreachableError, redact
from aicfg_pipeline.postgres.address import over_network, parts_of, secrets_of, shown, target_name
from aicfg_pipeline.postgres.session import connect

LETTERS = "QXZJ7"  # in nothing that is said anyway
PASSWORDS = st.text(LETTERS + "@/:#?%&=[]+ !$,;'\"\\\\", min_size=3, max_size=14)
URLS = (
    "postgresql://u:{}@db.example.com:5432/app",
    "postgresql://u:{}@db.example.com/app?sslmode=require",
    "postgres://u:{}@/app?host=db.example.com",
    "host=db.example.com dbname=app user=u password={}",
)


def pieces(password: str) -> set[str]:
    """Every three characters of it, but for those that are mostly marks and stand in any sentence."""
    threes = {password[n : n + 3] for n in range(len(password) - 2)}
    return {t for t in threes if sum(c in LETTERS for c in t) >= 2}


def complaints(url: str) -> list[str]:
    """What libpq and the server say of a URL: each part of it may be in there, and the URL itself."""
    parts = parts_of(url) or {}
    said = [
        f'invalid port number: "{parts.get("port")}"',
        f'could not translate host name "{parts.get("host")}" to address',
    ]
    said += [f'FATAL:  database "{parts.get("dbname")}" does not exist', f"connection to {url} failed"]
    return [*said, f'FATAL:  password authentication failed for user "{parts.get("user")}"']


@settings(max_examples=400, deadline=None)
@given(PASSWORDS, st.sampled_from(URLS))
@example("777/QXZ", URLS[0])
@example("QXZ?JJJ", URLS[0])
@example("Q@XZJ/777", URLS[1])
@example("QX ZJJJ", URLS[0])
def test_no_piece_of_a_password_is_shown(password: str, form: str) -> None:
    url = form.format(password)
    told = [shown(url), target_name(url), *(redact(line, secrets_of(url)) for line in complaints(url) if parts_of(url))]
    assert not [(piece, line) for piece in pieces(password) for line in told if piece in line]


@pytest.mark.parametrize("password", ["777/QXZ", "QXZ?JJJ", "Q@XZJ/777", "QX ZJJJ", "QXZ%ZZJ", "QXZ]JJJ"])
@pytest.mark.parametrize("form", URLS)
def test_an_error_of_connecting_shows_none_either(form: str, password: str, monkeypatch: pytest.MonkeyPatch) -> None:
    url = form.format(password)

    def fails(*_: object, **__: object) -> None:
        raise psycopg.OperationalError("; ".join(complaints(url)))

    monkeypatch.setattr(psycopg, "connect", fails)
    with pytest.raises(UnreachableError) as caught:
        connect(url)
    assert not [p for p in pieces(password) if p in str(caught.value)]


@pytest.mark.parametrize(
    ("host", "address", "leaves"),
    [
        ("/run/postgresql", "", False),
        ("@abstract", "", False),
        ("", "", False),
        ("localhost", "127.0.0.1", False),
        ("localhost", "", False),
        ("127.0.0.8", "", False),
        ("::1", "", False),
        ("db.example.com", "", True),
        ("db.example.com", "10.0.0.7", True),
        ("192.168.1.4", "", True),
        ("localhost", "192.168.1.4", True),
    ],
)
def test_what_leaves_this_machine(host: str, address: str, leaves: bool) -> None:
    assert over_network(host, address) is leaves
