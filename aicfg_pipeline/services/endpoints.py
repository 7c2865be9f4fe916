"""HTTP probes: does an endpoint answer, in time, with the JSON that is expected, and with the values it should hold?

Each way of not doing so is told apart (`Kind`), because each has another person to wake. Where the expected values come
from (a row of the database) is the caller's; so is what a failing probe means for the run.
"""

from __future__ import annotations

import json
import math
import re
import ssl
import string
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal
from urllib.parse import quote, urlsplit
from uuid import UUID

import httpx
import tenacity

from aicfg_pipeline import environment
from aicfg_pipeline.errors import ConfigError, redact

Kind = Literal[
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
# What another try within the same minute will not change.
_FINAL: frozenset[str] = frozenset({"ok", "tls", "redirect", "unauthorized", "forbidden"})
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_LONGEST_BODY = 5_000_000
_PATH_STEP = re.compile(r"\.?(?P<name>[^.\[\]'\"]+)|\[(?P<index>-?\d+)\]|\[(?P<mark>['\"])(?P<quoted>.+?)(?P=mark)\]")

TokenProvider = Callable[[], str | None]


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
    kind: Kind
    reason: str
    status: int | None
    latency_ms: float | None
    attempts: int
    body_sample: str


@dataclass(frozen=True)
class _Answer:
    status: int
    latency_ms: float
    body: bytes
    content_type: str
    location: str


@dataclass(frozen=True)
class _Verdict:
    kind: Kind
    reason: str
    answer: _Answer | None = None


class EndpointService:
    """The API behind one base URL, asked with one bearer token."""

    def __init__(
        self,
        base_url: str,
        *,
        token: TokenProvider | str | None = None,
        placeholders: Mapping[str, str] | None = None,
        timeout_seconds: float = 10.0,
        attempts: int = 5,
        backoff_seconds: float = 1.0,
        max_backoff_seconds: float = 15.0,
        verify: bool | str = True,
    ) -> None:
        """Take `token` as a function, or as the *name* of an environment variable, never as the token itself.

        `verify` is True, False or the path of a file with the certificates to trust.
        """
        self.base_url = _checked_base(base_url)
        self._token_source = token
        self._placeholders = dict(placeholders or {})
        self._timeout = timeout_seconds
        self._attempts = max(1, attempts)
        self._backoff = backoff_seconds
        self._max_backoff = max_backoff_seconds
        self._verify = _trust(verify)

    def probe(
        self, probe: Probe, *, expected: Mapping[str, Any] | None = None, attempts: int | None = None
    ) -> ProbeResult:
        """Ask once and, where another try may help, again with growing pauses: a deploy takes a while to settle.

        `expected` adds to the values of the probe: JSON path → value. Returns the last answer; only a configuration
        that can't be used raises.
        """
        url = self._url(probe)
        token = self._token()
        wanted = {**probe.values, **(expected or {})}
        for path in (*probe.required, *wanted):
            _steps(path)
        retrying = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(attempts or self._attempts),
            wait=tenacity.wait_exponential_jitter(initial=self._backoff, max=self._max_backoff, jitter=self._backoff),
            retry=tenacity.retry_if_result(lambda verdict: verdict.kind not in _FINAL),
            retry_error_callback=_last_verdict,
        )
        verdict: _Verdict = retrying(self._once, probe, url, token, wanted)
        tries = int(retrying.statistics.get("attempt_number", 1))
        return self._result(probe, url, token, verdict, tries)

    def probe_all(
        self, probes: Sequence[Probe], *, expected: Mapping[str, Mapping[str, Any]] | None = None
    ) -> tuple[ProbeResult, ...]:
        """Ask every probe, whatever the others say. `expected` is by the probe's name."""
        return tuple(self.probe(probe, expected=(expected or {}).get(probe.name)) for probe in probes)

    def _once(self, probe: Probe, url: str, token: str | None, wanted: Mapping[str, Any]) -> _Verdict:
        try:
            answer = self._ask(probe.method, url, token)
        except httpx.TimeoutException as error:
            if isinstance(error, httpx.ConnectTimeout):
                return _Verdict("down", f"no connection within {self._timeout:g} s")
            return _Verdict("slow", f"no complete answer within {self._timeout:g} s")
        except httpx.TransportError as error:
            return _transport_verdict(error)
        except httpx.DecodingError as error:
            return _Verdict("not_json", f"the answer can't be decoded: {_shortened(str(error), 200)}")
        verdict = _judge_status(probe, answer)
        if verdict is None and probe.expect_json:
            verdict = _judge_body(probe, answer, wanted)
        if verdict is None and probe.max_latency_ms is not None and answer.latency_ms > probe.max_latency_ms:
            reason = f"answered after {answer.latency_ms:.0f} ms, allowed are {probe.max_latency_ms:.0f} ms"
            verdict = _Verdict("slow", reason, answer)
        return verdict or _Verdict("ok", f"answered {answer.status} in {answer.latency_ms:.0f} ms", answer)

    def _ask(self, method: str, url: str, token: str | None) -> _Answer:
        headers = {"Accept": "application/json", "Cache-Control": "no-cache"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        began = time.monotonic()
        with (
            httpx.Client(verify=self._verify, timeout=self._timeout, follow_redirects=False) as client,
            client.stream(method, url, headers=headers) as response,
        ):
            body = b""
            for chunk in response.iter_bytes():
                body += chunk
                # httpx limits each read, not their sum: a server that drips would hold us for ever.
                if time.monotonic() - began > self._timeout:
                    raise httpx.ReadTimeout("the answer came too slowly")
                if len(body) > _LONGEST_BODY:
                    break
            latency_ms = round((time.monotonic() - began) * 1000, 1)
            location, content_type = response.headers.get("location", ""), response.headers.get("content-type", "")
        if token:
            # A server may echo what it was sent. Gone before anything is cut to length, or half of it would stay.
            body = redact(body.decode("utf-8", errors="surrogateescape"), (token,)).encode(errors="surrogateescape")
            location = redact(location, (token,))
        return _Answer(response.status_code, latency_ms, body, content_type, location)

    def _url(self, probe: Probe) -> str:
        """Fill the placeholders of the path in; refuse a path that needs one that is not configured."""
        parts = []
        missing = []
        try:
            parsed = list(string.Formatter().parse(probe.path))
        except ValueError as error:
            raise ConfigError(f"the path of probe {probe.name!r} can't be read: {error}") from error
        for text, name, _spec, _conversion in parsed:
            parts.append(text)
            if name is None:
                continue
            value = str(self._placeholders.get(name, ""))
            if not value:
                missing.append("{" + name + "}")
            parts.append(quote(value, safe=""))
        if missing:
            raise ConfigError(
                f"probe {probe.name!r} needs a value for {', '.join(missing)} in its path {probe.path!r}",
                remedy="add it to the configured placeholders",
            )
        url = self.base_url + "/" + "".join(parts).lstrip("/")
        try:
            httpx.URL(url)
        except httpx.InvalidURL as error:
            raise ConfigError(f"the path of probe {probe.name!r} can't be part of a URL: {error}") from error
        return url

    def _token(self) -> str | None:
        if self._token_source is None:
            return None
        if callable(self._token_source):
            what, token = "the token provider", self._token_source()
        else:
            what, token = f"the environment variable {self._token_source}", environment.named(self._token_source)
        token = (token or "").strip()
        if not token:
            raise ConfigError(
                f"{what} holds no bearer token",
                expected="a token for the endpoints",
                remedy="set it, or configure the probes without a token",
            )
        if not token.isascii() or not token.isprintable() or " " in token:
            raise ConfigError(
                f"what {what} holds can't be a bearer token: it has spaces or unprintable characters",
                expected="the bare token, without `Bearer` in front",
                remedy="set it again",
            )
        return token

    def _result(self, probe: Probe, url: str, token: str | None, verdict: _Verdict, tries: int) -> ProbeResult:
        secrets = (token,) if token else ()
        answer = verdict.answer
        ok = verdict.kind == "ok"
        sample = "" if ok or answer is None else _shortened(answer.body.decode("utf-8", errors="replace"), 300)
        after = f" (after {tries} tries)" if tries > 1 else ""
        return ProbeResult(
            name=probe.name,
            method=probe.method,
            url=redact(url, secrets),
            ok=ok,
            kind=verdict.kind,
            reason=redact(verdict.reason + after, secrets),
            status=answer.status if answer else None,
            latency_ms=answer.latency_ms if answer else None,
            attempts=tries,
            body_sample=redact(sample, secrets),
        )


def json_at(document: Any, path: str) -> Any:
    """Return what stands at `path` in parsed JSON: `$.a.b[0]`, `a.b.0` or `$['a b']`; `$` is all of it.

    Raises `LookupError` where there is nothing, `ConfigError` for a path that is none.
    """
    found = document
    for step in _steps(path):
        if isinstance(found, list):
            index = int(step) if re.fullmatch(r"-?\d+", str(step)) else None
            if index is None or not -len(found) <= index < len(found):
                raise LookupError(path)
            found = found[index]
        elif isinstance(found, dict) and str(step) in found:
            found = found[str(step)]
        else:
            raise LookupError(path)
    return found


def same_value(found: Any, expected: Any) -> bool:
    """Tell whether a value of an answer is the expected one, which may be as a database driver gives it.

    UUIDs, exact numbers and times are compared by what they mean, not by how JSON has to write them.
    """
    if isinstance(expected, bool) or isinstance(found, bool):
        return found is expected
    if isinstance(expected, Decimal | int | float) and isinstance(found, int | float):
        return _same_number(found, expected)
    if isinstance(expected, Decimal) and isinstance(found, str):
        return found == str(expected)
    if isinstance(expected, UUID):
        return isinstance(found, str) and found.lower() == str(expected)
    if isinstance(expected, datetime | date):
        return _same_time(found, expected)
    if isinstance(expected, list | tuple) and isinstance(found, list):
        return len(found) == len(expected) and all(map(same_value, found, expected))
    if isinstance(expected, Mapping) and isinstance(found, dict):
        return found.keys() == expected.keys() and all(same_value(found[key], expected[key]) for key in found)
    return bool(found == expected)


def _same_number(found: float, expected: Decimal | float) -> bool:
    if isinstance(found, float) and not math.isfinite(found):
        return False
    return Decimal(str(found)) == Decimal(str(expected))


def _same_time(found: Any, expected: date) -> bool:
    try:
        if isinstance(expected, datetime):
            return datetime.fromisoformat(found) == expected
        return date.fromisoformat(found) == expected
    except (TypeError, ValueError):
        return False


def _steps(path: str) -> tuple[str, ...]:
    rest = path.removeprefix("$")
    steps: list[str] = []
    while rest:
        match = _PATH_STEP.match(rest)
        if match is None:
            raise ConfigError(f"{path!r} is not a JSON path", expected="one like $.items[0].name")
        steps.append(match["name"] or match["index"] or match["quoted"])
        rest = rest[match.end() :]
    return tuple(steps)


def _judge_status(probe: Probe, answer: _Answer) -> _Verdict | None:
    """Return what the status says against the answer; None if it is the expected one."""
    status = answer.status
    if status == probe.expected_status:
        return None
    phrase = f"{status} {httpx.codes.get_reason_phrase(status)}".strip()
    if 300 <= status < 400:
        return _Verdict("redirect", f"answered {phrase} to {_origin(answer.location)}, which is not followed", answer)
    if status == 401:
        return _Verdict("unauthorized", f"answered {phrase}: the token is wrong or has expired", answer)
    if status == 403:
        # API Gateway says this of a route that it does not have, whatever the token.
        gateway = b"Missing Authentication Token" in answer.body
        why = "API Gateway has no such route" if gateway else "the token is not allowed to do this"
        return _Verdict("forbidden", f"answered {phrase}: {why}", answer)
    kind: Kind = "server_error" if status >= 500 else "status"
    return _Verdict(kind, f"answered {phrase}, expected {probe.expected_status}", answer)


def _judge_body(probe: Probe, answer: _Answer, wanted: Mapping[str, Any]) -> _Verdict | None:
    """Return what is wrong with the body; None if it is JSON with everything in it."""
    try:
        document = json.loads(answer.body)
    except (ValueError, RecursionError):
        reason = f"answered {answer.status}, but not with JSON ({answer.content_type or 'no content type'})"
        return _Verdict("not_json", reason, answer)
    missing = [path for path in dict.fromkeys((*probe.required, *wanted)) if not _has(document, path)]
    if missing:
        return _Verdict("shape", f"the answer has nothing at {', '.join(missing)}", answer)
    differing = [
        f"{path} is {_shown(json_at(document, path))}, expected {_shown(value)}"
        for path, value in wanted.items()
        if not same_value(json_at(document, path), value)
    ]
    if differing:
        return _Verdict("value", "; ".join(differing), answer)
    return None


def _transport_verdict(error: httpx.TransportError) -> _Verdict:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return _Verdict("tls", f"no secure connection: {_shortened(str(error) or str(cause), 200)}")
        cause = cause.__cause__ or cause.__context__
    if "SSL" in str(error) or "certificate" in str(error).lower():
        return _Verdict("tls", f"no secure connection: {_shortened(str(error), 200)}")
    return _Verdict("down", f"no answer: {_shortened(str(error), 200) or type(error).__name__}")


def _last_verdict(state: tenacity.RetryCallState) -> _Verdict:
    assert state.outcome is not None
    verdict: _Verdict = state.outcome.result()
    return verdict


def _checked_base(base_url: str) -> str:
    text = base_url.strip().rstrip("/")
    try:
        parts = urlsplit(text)
        host, user = parts.hostname, parts.username
        httpx.URL(text)
    except (ValueError, httpx.InvalidURL):
        parts, host, user = urlsplit(""), None, None
    complaints = []
    if parts.scheme not in ("http", "https") or not host:
        complaints.append("it does not begin with https:// and a host")
    if user is not None:
        complaints.append("it holds a login; the token belongs into the environment")
    if parts.query or parts.fragment:
        complaints.append("it has a query or a fragment")
    if parts.scheme == "http" and host and host not in _LOOPBACK:
        complaints.append("it is not encrypted, and the token would be sent in clear")
    if complaints:
        raise ConfigError(
            "the base URL of the endpoints can't be used",
            complaints=complaints,
            expected="https://api.example.com, or http:// on this machine only",
        )
    return text


def _trust(verify: bool | str) -> bool | ssl.SSLContext:
    if isinstance(verify, bool):
        return verify
    try:
        return ssl.create_default_context(cafile=verify)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f"the certificates in {verify!r} can't be read: {error}", remedy="name a file in PEM format"
        ) from error


def _has(document: Any, path: str) -> bool:
    try:
        json_at(document, path)
    except LookupError:
        return False
    return True


def _origin(location: str) -> str:
    """Return where a redirect leads without its query, which may hold a login ticket."""
    return _shortened(location.split("?")[0].split("#")[0], 200) or "nowhere"


def _shown(value: Any) -> str:
    return _shortened(json.dumps(value, default=str, ensure_ascii=False), 60)


def _shortened(text: str, length: int) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= length else flat[: length - 1] + "…"
