"""A probe of an endpoint, its answer, and the verdict on it.

Every way of not being right is told apart (`ProbeKind`), because each has another person to wake.
Nothing is sent here: `endpoints` asks.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import httpx

from aicfg_pipeline.services.json_values import has_path, json_at, same_value

ProbeKind = Literal[
    "ok",  # everything as expected
    "down",  # no connection, or it broke
    "tls",  # a connection, but no certificate to trust
    "slow",  # no answer within the timeout, or a right one after the latency limit
    "redirect",  # sent elsewhere; not followed, since the token must not go there
    "unauthorized",  # 401: the token is refused
    "forbidden",  # 403: the token is known and not allowed
    "server_error",  # 5xx
    "status",  # any other status that is not the expected one
    "not_json",  # the expected status with something that is not JSON, such as an error page
    "shape",  # JSON without what must be in it
    "value",  # a value that differs from the expected one
]


@dataclass(frozen=True)
class Probe:
    """One question to an endpoint. `required` are JSON paths that must be there, `values` what must be at some."""

    name: str
    path: str
    method: str = "GET"
    expected_status: int = 200
    expect_json: bool = True
    required: tuple[str, ...] = ()
    values: Mapping[str, Any] = field(default_factory=dict)
    max_latency_ms: float | None = None


@dataclass(frozen=True)
class ProbeResult:
    """What became of a probe. `reason` says it in one line; nothing here ever holds the token."""

    name: str
    method: str
    url: str
    ok: bool
    kind: ProbeKind
    reason: str
    status: int | None
    latency_ms: float | None
    attempts: int
    body_sample: str


@dataclass(frozen=True)
class Answer:
    """What an endpoint sent, with the token taken out."""

    status: int
    latency_ms: float
    body: bytes
    content_type: str
    location: str


@dataclass(frozen=True)
class Verdict:
    """What is thought of one answer, or of there being none."""

    kind: ProbeKind
    reason: str
    answer: Answer | None = None


def judge_status(probe: Probe, answer: Answer) -> Verdict | None:
    """Return what the status says against the answer; None if it is the expected one."""
    status = answer.status
    if status == probe.expected_status:
        return None
    phrase = f"{status} {httpx.codes.get_reason_phrase(status)}".strip()
    if 300 <= status < 400:
        return Verdict("redirect", f"answered {phrase} to {_origin(answer.location)}, which is not followed", answer)
    if status == 401:
        return Verdict("unauthorized", f"answered {phrase}: the token is wrong or has expired", answer)
    if status == 403:
        # API Gateway says this of a route that it does not have, whatever the token.
        gateway = b"Missing Authentication Token" in answer.body
        why = "API Gateway has no such route" if gateway else "the token is not allowed to do this"
        return Verdict("forbidden", f"answered {phrase}: {why}", answer)
    kind: ProbeKind = "server_error" if status >= 500 else "status"
    return Verdict(kind, f"answered {phrase}, expected {probe.expected_status}", answer)


def judge_body(probe: Probe, answer: Answer, wanted: Mapping[str, Any]) -> Verdict | None:
    """Return what is wrong with the body; None if it is JSON with everything in it."""
    try:
        document = json.loads(answer.body)
    except (ValueError, RecursionError):
        reason = f"answered {answer.status}, but not with JSON ({answer.content_type or 'no content type'})"
        return Verdict("not_json", reason, answer)
    missing = [path for path in dict.fromkeys((*probe.required, *wanted)) if not has_path(document, path)]
    if missing:
        return Verdict("shape", f"the answer has nothing at {', '.join(missing)}", answer)
    differing = [
        f"{path} is {_shown(json_at(document, path))}, expected {_shown(value)}"
        for path, value in wanted.items()
        if not same_value(json_at(document, path), value)
    ]
    if differing:
        return Verdict("value", "; ".join(differing), answer)
    return None


def transport_verdict(error: httpx.TransportError) -> Verdict:
    """Return what a broken connection means: no trust, or nobody there."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return Verdict("tls", f"no secure connection: {in_short(str(error) or str(cause), 200)}")
        cause = cause.__cause__ or cause.__context__
    if "SSL" in str(error) or "certificate" in str(error).lower():
        return Verdict("tls", f"no secure connection: {in_short(str(error), 200)}")
    return Verdict("down", f"no answer: {in_short(str(error), 200) or type(error).__name__}")


def _origin(location: str) -> str:
    """Return where a redirect leads without its query, which may hold a login ticket."""
    return in_short(location.split("?")[0].split("#")[0], 200) or "nowhere"


def _shown(value: Any) -> str:
    return in_short(json.dumps(value, default=str, ensure_ascii=False), 60)


def in_short(text: str, length: int) -> str:
    """Return a text on one line, cut to `length`."""
    flat = " ".join(text.split())
    return flat if len(flat) <= length else flat[: length - 1] + "…"
