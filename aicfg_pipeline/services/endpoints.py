"""HTTP probes: does an endpoint answer, in time, with the JSON that is expected, and with the values it should hold?

What counts as which failure is in `probes`. Where the expected values come
from (a row of the database) is the caller's; so is what a failing probe means for the run.
"""

from __future__ import annotations

import ssl
import string
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
import tenacity

from aicfg_pipeline import environment
from aicfg_pipeline.errors import ConfigError, redact
from aicfg_pipeline.services.json_values import path_steps
from aicfg_pipeline.services.probes import (
    Answer,
    Probe,
    ProbeResult,
    Verdict,
    in_short,
    judge_body,
    judge_status,
    transport_verdict,
)

# What another try within the same minute will not change.
_FINAL: frozenset[str] = frozenset({"ok", "tls", "redirect", "unauthorized", "forbidden"})
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_LONGEST_BODY = 5_000_000

TokenProvider = Callable[[], str | None]


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
            path_steps(path)
        retrying = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(attempts or self._attempts),
            wait=tenacity.wait_exponential_jitter(initial=self._backoff, max=self._max_backoff, jitter=self._backoff),
            retry=tenacity.retry_if_result(lambda verdict: verdict.kind not in _FINAL),
            retry_error_callback=_last_verdict,
        )
        verdict: Verdict = retrying(self._once, probe, url, token, wanted)
        tries = int(retrying.statistics.get("attempt_number", 1))
        return self._result(probe, url, token, verdict, tries)

    def probe_all(
        self, probes: Sequence[Probe], *, expected: Mapping[str, Mapping[str, Any]] | None = None
    ) -> tuple[ProbeResult, ...]:
        """Ask every probe, whatever the others say. `expected` is by the probe's name."""
        return tuple(self.probe(probe, expected=(expected or {}).get(probe.name)) for probe in probes)

    def _once(self, probe: Probe, url: str, token: str | None, wanted: Mapping[str, Any]) -> Verdict:
        try:
            answer = self._ask(probe.method, url, token)
        except httpx.TimeoutException as error:
            if isinstance(error, httpx.ConnectTimeout):
                return Verdict("down", f"no connection within {self._timeout:g} s")
            return Verdict("slow", f"no complete answer within {self._timeout:g} s")
        except httpx.TransportError as error:
            return transport_verdict(error)
        except httpx.DecodingError as error:
            return Verdict("not_json", f"the answer can't be decoded: {in_short(str(error), 200)}")
        verdict = judge_status(probe, answer)
        if verdict is None and probe.expect_json:
            verdict = judge_body(probe, answer, wanted)
        if verdict is None and probe.max_latency_ms is not None and answer.latency_ms > probe.max_latency_ms:
            reason = f"answered after {answer.latency_ms:.0f} ms, allowed are {probe.max_latency_ms:.0f} ms"
            verdict = Verdict("slow", reason, answer)
        return verdict or Verdict("ok", f"answered {answer.status} in {answer.latency_ms:.0f} ms", answer)

    def _ask(self, method: str, url: str, token: str | None) -> Answer:
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
        return Answer(response.status_code, latency_ms, body, content_type, location)

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

    def _result(self, probe: Probe, url: str, token: str | None, verdict: Verdict, tries: int) -> ProbeResult:
        secrets = (token,) if token else ()
        answer = verdict.answer
        ok = verdict.kind == "ok"
        sample = "" if ok or answer is None else in_short(answer.body.decode("utf-8", errors="replace"), 300)
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


def _last_verdict(state: tenacity.RetryCallState) -> Verdict:
    assert state.outcome is not None
    verdict: Verdict = state.outcome.result()
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
