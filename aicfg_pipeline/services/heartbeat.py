"""A sign of life: a GET to a URL of a monitor that tells people when none has come for a while.

Nothing is sent along, and nothing here raises: what went wrong is returned. When a sign is due is the caller's.
"""

from __future__ import annotations

import httpx

from aicfg_pipeline.errors import redact

TIMEOUT_SECONDS = 5.0


def beat(url: str, *, timeout_seconds: float = TIMEOUT_SECONDS) -> str | None:
    """Call the URL once; return why it was not taken, or None. The URL is a secret: who has it can feign life."""
    secrets = (url.strip(), url.strip().split("://", 1)[-1].partition("/")[2])
    try:
        answer = httpx.get(url.strip(), timeout=timeout_seconds, follow_redirects=False)
    except Exception as error:  # no answer, or a URL that is none: nothing may escape from here
        return redact(f"the heartbeat could not be sent: {type(error).__name__}: {error}", secrets)
    return None if answer.is_success else f"the heartbeat was answered with {answer.status_code}"
