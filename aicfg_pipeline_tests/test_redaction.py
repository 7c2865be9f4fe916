"""Secrets are masked however they are written, and in a time that grows with the text and not with its square (S5, S6)."""

from __future__ import annotations

import html
import json
import time
from urllib.parse import quote, quote_plus

import pytest

from aicfg_pipeline.evidence.safe import clean_text
from aicfg_pipeline.redaction import redact

SECRET = "sk/live+a&b\"c<d>'é 😀=\\x"
WRITTEN = {
    "as it is": SECRET,
    "JSON": json.dumps(SECRET)[1:-1],
    "JSON as PHP writes it": json.dumps(SECRET)[1:-1].replace("/", "\\/"),
    "JSON, unicode kept": json.dumps(SECRET, ensure_ascii=False)[1:-1],
    "JSON in JSON": json.dumps(json.dumps(SECRET))[3:-3],
    "JSON as .NET writes it": json.dumps(SECRET)[1:-1].replace("+", "\\u002B").replace("&", "\\u0026"),
    "URL": quote(SECRET, safe=""),
    "URL in lower case": quote(SECRET, safe="").replace("%2F", "%2f").replace("%C3%A9", "%c3%a9"),
    "URL, path": quote(SECRET),
    "URL, form": quote_plus(SECRET),
    "URL twice": quote(quote(SECRET, safe=""), safe=""),
    "HTML": html.escape(SECRET),
    "HTML by number": "".join(c if c.isascii() and c.isalnum() else f"&#{ord(c)};" for c in SECRET),
    "escaped for a shell": "".join(c if c.isascii() and c.isalnum() else f"\\{c}" for c in SECRET),
}


@pytest.mark.parametrize("how", WRITTEN)
def test_s6_a_secret_is_masked_however_it_is_written(how: str) -> None:
    assert redact(f"before {WRITTEN[how]} after", (SECRET,)) == "before *** after"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://u:hunter2@h/db", "postgresql://u:***@h/db"),
        ("xpostgresql+psycopg2://u:hunter2@h/db and a://b:c@d", "xpostgresql+psycopg2://u:***@h/db and a://b:***@d"),
        ("a" * 40 + "://u:hunter2@h", "a" * 40 + "://u:***@h"),
        ("https://h:8000/path and me@example.org", "https://h:8000/path and me@example.org"),
        ('{"password": "hunter2", "a": 1}', '{"password": ***, "a": 1}'),
        ('{\\"password\\":\\"hunter2\\",\\"a\\":1}', '{\\"password\\":***,\\"a\\":1}'),
    ],
)
def test_passwords_are_masked_without_being_known(text: str, shown: str) -> None:
    assert redact(text) == shown


LENGTH = 256 * 1024
NASTY = ["a", "0f", "a://", "a://b:", "a://b:c", "x@", "eyJaaaaaa-", "eyJ-", "password", "password='", "password =  ",
         "password '", "bearer ", "\\", "%25", "AKIA", "sk/", " ", "token:\"", "&#", "\\u"]  # fmt: skip


@pytest.mark.parametrize("piece", NASTY)
def test_s5_a_long_line_costs_well_under_a_second_whatever_it_says(piece: str) -> None:
    line = (piece * LENGTH)[:LENGTH]
    began = time.process_time()
    redact(line, (SECRET, "another-secret-0"))
    clean_text(line)
    assert time.process_time() - began < 0.8
