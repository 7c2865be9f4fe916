"""One message to a chat: a JSON `{"text": …}` posted to a webhook, as Slack and those like it take it.

Telling people must never be the reason that a rollback fails: nothing here raises, what went wrong is returned.
What the message says is the caller's.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

import httpx

from aicfg_pipeline.errors import redact

_LONGEST_TEXT = 4_000


@dataclass(frozen=True)
class Posted:
    """Whether the message arrived, and if not, why not."""

    ok: bool
    reason: str
    status: int | None
    attempts: int


class WebhookService:
    """One webhook. Its URL is a secret: who has it can post."""

    def __init__(
        self,
        url: str,
        *,
        timeout_seconds: float = 5.0,
        attempts: int = 3,
        backoff_seconds: float = 0.5,
        secrets: Iterable[str] = (),
    ) -> None:
        self._url = url.strip()
        self._timeout = timeout_seconds
        self._attempts = max(1, attempts)
        self._backoff = backoff_seconds
        path = self._url.split("://", 1)[-1].partition("/")[2]
        self._secrets = (self._url, path, *secrets)

    def __repr__(self) -> str:
        return "WebhookService(***)"

    def post(self, text: str) -> Posted:
        """Post `text` without its secrets; try again where that may help (no answer, 429, 5xx)."""
        clean = redact(text, self._secrets)
        if len(clean) > _LONGEST_TEXT:
            clean = clean[: _LONGEST_TEXT - 1] + "…"
        result = Posted(False, "not tried", None, 0)
        for attempt in range(1, self._attempts + 1):
            result, wait = self._once(clean, attempt)
            if result.ok or wait is None or attempt == self._attempts:
                break
            time.sleep(wait)
        return result

    def _once(self, text: str, attempt: int) -> tuple[Posted, float | None]:
        """Try once. Returns what came of it, and the seconds to wait before another try (None: it would not help)."""
        pause = self._backoff * 2 ** (attempt - 1)
        try:
            answer = httpx.post(self._url, json={"text": text}, timeout=self._timeout, follow_redirects=False)
        except httpx.TransportError as error:
            reason = f"the webhook did not answer: {type(error).__name__}: {error}"
            return Posted(False, redact(reason, self._secrets), None, attempt), pause
        except Exception as error:  # a URL that is none, text that can't be encoded: nothing may escape from here
            reason = f"the message could not be sent: {type(error).__name__}: {error}"
            return Posted(False, redact(reason, self._secrets), None, attempt), None
        if answer.is_success:
            return Posted(True, "posted", answer.status_code, attempt), None
        said = redact(" ".join(answer.text.split())[:200], self._secrets)
        failed = Posted(False, f"the webhook answered {answer.status_code}: {said}", answer.status_code, attempt)
        if answer.status_code == 429 or answer.is_server_error:
            return failed, max(pause, _retry_after(answer, self._timeout))
        return failed, None


def _retry_after(answer: httpx.Response, longest: float) -> float:
    try:
        return min(float(answer.headers["retry-after"]), longest)
    except (KeyError, ValueError):
        return 0.0
