"""A message arrives, or the caller is told why not; it never raises and never shows the URL."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from aicfg_pipeline.services.webhook import WebhookService
from aicfg_pipeline_tests.services.servers import QuietHandler, serving


@dataclass
class Hook:
    url: str = ""
    answers: list[int] = field(default_factory=list)
    got: list[dict[str, str]] = field(default_factory=list)


@pytest.fixture
def hook() -> Iterator[Hook]:
    hook = Hook()

    class Handler(QuietHandler):
        def do_POST(self) -> None:
            hook.got.append(json.loads(self.body()))
            status = hook.answers.pop(0) if hook.answers else 200
            self.answer(status, f"said of {self.path}".encode())

    with serving(Handler) as url:
        hook.url = f"{url}/services/T000/B000/sEcReTpArT"
        yield hook


def test_the_text_is_posted_as_slack_takes_it(hook: Hook) -> None:
    posted = WebhookService(hook.url).post("rolled back")
    assert hook.got == [{"text": "rolled back"}]
    assert (posted.ok, posted.status, posted.attempts) == (True, 200, 1)


def test_a_busy_webhook_is_asked_again(hook: Hook) -> None:
    hook.answers = [503, 429, 200]
    posted = WebhookService(hook.url, backoff_seconds=0.01).post("x")
    assert (posted.ok, posted.attempts) == (True, 3)


def test_a_refusal_is_not_repeated_and_told_without_the_url(hook: Hook) -> None:
    hook.answers = [404]
    posted = WebhookService(hook.url).post("x")
    assert (posted.ok, posted.status, posted.attempts) == (False, 404, 1)
    assert posted.reason == "the webhook answered 404: said of /***"


def test_a_webhook_that_is_down_does_not_raise() -> None:
    posted = WebhookService("http://127.0.0.1:9/services/sEcReT", attempts=2, backoff_seconds=0.01).post("x")
    assert (posted.ok, posted.status, posted.attempts) == (False, None, 2)
    assert "sEcReT" not in posted.reason


@pytest.mark.parametrize("url", ["", "not a url", "ftp://x/y", "http://[::1", "http://\x00/secret-part"])
def test_a_url_that_is_none_does_not_raise(url: str) -> None:
    posted = WebhookService(url, attempts=1).post("x")
    assert posted.ok is False
    assert "secret-part" not in posted.reason


def test_secrets_in_the_text_are_masked_and_a_long_text_is_cut(hook: Hook) -> None:
    service = WebhookService(hook.url, secrets=["hunter2"])
    service.post(f"{hook.url} hunter2 " + "x" * 9000)
    (got,) = hook.got
    assert got["text"].startswith("*** *** xxx")
    assert len(got["text"]) == 4000


def test_the_url_is_not_in_the_representation(hook: Hook) -> None:
    assert repr(WebhookService(hook.url)) == "WebhookService(***)"
