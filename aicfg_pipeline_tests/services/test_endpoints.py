"""Each way in which an endpoint can be wrong is told apart, over real HTTP and TLS, and the token is never shown."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from aicfg_pipeline.errors import ConfigError
from aicfg_pipeline.services.endpoints import EndpointService
from aicfg_pipeline.services.json_values import json_at, same_value
from aicfg_pipeline.services.probes import Probe
from aicfg_pipeline_tests.services.servers import QuietHandler, serving

TOKEN = "the-bearer-token-0123456789"
PROBE = Probe("embedding", "/platform/ai-config/embedding", required=("$.model.name",))
GOOD = {"model": {"name": "small", "size": 1536}, "items": [{"id": 1}, {"id": 2}]}


@dataclass
class Api:
    """A server that answers as told; the last way of answering stays."""

    url: str = ""
    answers: list[Callable[[QuietHandler], None]] = field(default_factory=list)
    seen: list[tuple[str, str, str | None]] = field(default_factory=list)

    def says(self, status: int, body: Any = b"", **headers: str) -> None:
        text = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.answers.append(lambda handler: handler.answer(status, text, **headers))


def handler_of(api: Api) -> type[QuietHandler]:
    class Handler(QuietHandler):
        def _any(self) -> None:
            api.seen.append((self.command, self.path, self.headers.get("authorization")))
            answer = api.answers.pop(0) if len(api.answers) > 1 else api.answers[0]
            answer(self)

        do_GET = do_POST = do_HEAD = _any

    return Handler


@pytest.fixture
def api() -> Iterator[Api]:
    api = Api()
    with serving(handler_of(api)) as url:
        api.url = url
        yield api


@pytest.fixture
def endpoints(api: Api, monkeypatch: pytest.MonkeyPatch) -> Callable[..., EndpointService]:
    monkeypatch.setenv("TEST_API_TOKEN", TOKEN)

    def make(url: str | None = None, **options: Any) -> EndpointService:
        settings = {
            "token": "TEST_API_TOKEN",
            "timeout_seconds": 2.0,
            "attempts": 1,
            "backoff_seconds": 0.01,
            **options,
        }
        return EndpointService(url or api.url, **settings)

    return make


Make = Callable[..., EndpointService]


def test_an_endpoint_that_answers_as_expected_is_ok(api: Api, endpoints: Make) -> None:
    api.says(200, GOOD)
    result = endpoints().probe(PROBE, expected={"$.model.size": 1536, "items[1].id": 2})
    assert (result.ok, result.kind, result.status, result.attempts) == (True, "ok", 200, 1)
    assert result.latency_ms is not None
    assert result.latency_ms > 0
    assert api.seen == [("GET", "/platform/ai-config/embedding", f"Bearer {TOKEN}")]
    assert json.loads(json.dumps(asdict(result)))["kind"] == "ok"


def test_placeholders_are_filled_in_and_quoted(api: Api, endpoints: Make) -> None:
    api.says(200, {})
    probe = Probe("prompts", "/orgs/{org_id}/ai-config/prompts")
    result = endpoints(placeholders={"org_id": "a/b?c"}).probe(probe)
    assert api.seen[0][1] == "/orgs/a%2Fb%3Fc/ai-config/prompts"
    assert result.url == f"{api.url}/orgs/a%2Fb%3Fc/ai-config/prompts"


@pytest.mark.parametrize("path", ["/orgs/{org_id}/x", "/orgs/{/x", "/orgs/{}/x", "/a\x00b"])
def test_a_path_that_can_not_be_filled_in_is_a_configuration_error(endpoints: Make, path: str) -> None:
    with pytest.raises(ConfigError, match="probe 'p'"):
        endpoints().probe(Probe("p", path))


def test_an_endpoint_that_is_down(endpoints: Make) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody listens
        result = endpoints(f"http://127.0.0.1:{taken.getsockname()[1]}").probe(PROBE)
    assert (result.kind, result.status, result.reason.split(":")[0]) == ("down", None, "no answer")


def test_a_connection_that_breaks_off_is_down(api: Api, endpoints: Make) -> None:
    api.answers.append(lambda handler: handler.connection.shutdown(socket.SHUT_RDWR))
    assert endpoints().probe(PROBE).kind == "down"


def test_an_endpoint_that_does_not_answer_in_time_is_slow(api: Api, endpoints: Make) -> None:
    api.answers.append(lambda _handler: time.sleep(1))
    result = endpoints(timeout_seconds=0.2).probe(PROBE)
    assert (result.kind, result.reason) == ("slow", "no complete answer within 0.2 s")


def test_an_endpoint_that_drips_its_answer_is_slow_and_does_not_hold_us(api: Api, endpoints: Make) -> None:
    def drip(handler: QuietHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        for _ in range(30):
            try:
                handler.wfile.write(b" ")
            except OSError:
                return
            time.sleep(0.1)

    api.answers.append(drip)
    began = time.monotonic()
    assert endpoints(timeout_seconds=0.4).probe(PROBE).kind == "slow"
    assert time.monotonic() - began < 2


def test_a_right_answer_after_the_latency_limit_is_slow(api: Api, endpoints: Make) -> None:
    def late(handler: QuietHandler) -> None:
        time.sleep(0.2)
        handler.answer(200, json.dumps(GOOD).encode())

    api.answers.append(late)
    result = endpoints().probe(Probe("p", "/p", max_latency_ms=50))
    assert (result.kind, result.status) == ("slow", 200)
    assert result.reason.endswith("allowed are 50 ms")


def test_a_redirect_is_not_followed_so_that_the_token_stays_here(api: Api, endpoints: Make) -> None:
    api.says(302, location=f"{api.url}/login?ticket=abc")
    result = endpoints(attempts=3).probe(PROBE)
    assert (result.kind, len(api.seen)) == ("redirect", 1)
    assert result.reason == f"answered 302 Found to {api.url}/login, which is not followed"


def test_an_error_page_with_status_200_is_not_json(api: Api, endpoints: Make) -> None:
    api.says(200, b"<html><h1>Something went wrong</h1></html>", content_type="text/html")
    result = endpoints().probe(PROBE)
    assert (result.kind, result.reason) == ("not_json", "answered 200, but not with JSON (text/html)")
    assert result.body_sample == "<html><h1>Something went wrong</h1></html>"


def test_an_answer_that_claims_to_be_packed_and_is_not(api: Api, endpoints: Make) -> None:
    api.says(200, b"not gzip", content_encoding="gzip")
    assert endpoints().probe(PROBE).kind == "not_json"


@pytest.mark.parametrize(("status", "kind"), [(401, "unauthorized"), (403, "forbidden"), (500, "server_error")])
def test_a_wrong_token_is_told_apart_from_a_failing_server(api: Api, endpoints: Make, status: int, kind: str) -> None:
    api.says(status, {"message": "no"})
    result = endpoints().probe(PROBE)
    assert (result.ok, result.kind, result.status) == (False, kind, status)


def test_a_route_that_api_gateway_does_not_have_is_not_taken_for_a_wrong_token(api: Api, endpoints: Make) -> None:
    api.says(403, {"message": "Missing Authentication Token"})
    assert endpoints().probe(PROBE).reason == "answered 403 Forbidden: API Gateway has no such route"


def test_another_status_than_the_expected_one(api: Api, endpoints: Make) -> None:
    api.says(404, {})
    result = endpoints().probe(PROBE)
    assert (result.kind, result.reason) == ("status", "answered 404 Not Found, expected 200")


def test_an_expected_error_status_is_ok(api: Api, endpoints: Make) -> None:
    api.says(401, {})
    assert endpoints().probe(Probe("closed", "/x", expected_status=401)).ok is True


def test_an_answer_without_a_body_is_ok_where_none_is_expected(api: Api, endpoints: Make) -> None:
    api.says(204)
    assert endpoints().probe(Probe("p", "/x", method="POST", expected_status=204, expect_json=False)).ok is True
    assert api.seen[0][0] == "POST"


def test_json_without_what_must_be_in_it_is_the_wrong_shape(api: Api, endpoints: Make) -> None:
    api.says(200, {"error": "boom"})
    result = endpoints().probe(PROBE, expected={"$.rows[0].id": 1})
    assert (result.kind, result.reason) == ("shape", "the answer has nothing at $.model.name, $.rows[0].id")


def test_a_value_that_differs_from_the_expected_one(api: Api, endpoints: Make) -> None:
    api.says(200, GOOD)
    result = endpoints().probe(PROBE, expected={"$.model.name": "large", "$.model.size": 1536})
    assert (result.kind, result.reason) == ("value", '$.model.name is "small", expected "large"')


def test_an_endpoint_that_settles_after_a_deploy_is_asked_again(api: Api, endpoints: Make) -> None:
    api.says(502, {"message": "Internal server error"})
    api.says(200, {"error": "old code"})
    api.says(200, GOOD)
    result = endpoints(attempts=5).probe(PROBE)
    assert (result.ok, result.attempts, len(api.seen)) == (True, 3, 3)


def test_the_tries_come_to_an_end_with_the_last_answer(api: Api, endpoints: Make) -> None:
    api.says(503, {})
    result = endpoints(attempts=3).probe(PROBE)
    assert (result.kind, result.attempts, len(api.seen)) == ("server_error", 3, 3)
    assert result.reason == "answered 503 Service Unavailable, expected 200 (after 3 tries)"
    assert endpoints(attempts=3).probe(PROBE, attempts=1).attempts == 1


@pytest.mark.parametrize("status", [401, 403, 302])
def test_what_another_try_does_not_change_is_asked_once(api: Api, endpoints: Make, status: int) -> None:
    api.says(status, {})
    assert endpoints(attempts=5).probe(PROBE).attempts == 1


def test_the_token_is_in_no_text_even_if_the_server_sends_it_back(api: Api, endpoints: Make) -> None:
    api.says(500, f"{'x' * 280} your header was Bearer {TOKEN}".encode())
    api.says(302, location=f"{api.url}/{TOKEN}")
    api.says(200, {"model": {"name": f"{'y' * 40}{TOKEN}"}})
    service = endpoints()
    results = [service.probe(PROBE), service.probe(PROBE), service.probe(PROBE, expected={"$.model.name": "z"})]
    text = json.dumps([asdict(result) for result in results])
    assert [result.kind for result in results] == ["server_error", "redirect", "value"]
    assert TOKEN[:8] not in text


def test_a_missing_token_is_a_configuration_error_and_nothing_is_sent(
    api: Api, endpoints: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TEST_API_TOKEN")
    with pytest.raises(ConfigError, match="the environment variable TEST_API_TOKEN holds no bearer token"):
        endpoints().probe(PROBE)
    assert api.seen == []


def test_a_token_that_can_not_be_one_is_refused_without_showing_it(endpoints: Make) -> None:
    with pytest.raises(ConfigError) as caught:
        endpoints(token=lambda: "Bearer half-of-it\r\nX-Evil: 1").probe(PROBE)
    assert "half-of-it" not in str(caught.value)


def test_the_token_may_come_from_a_function_or_not_be_needed(api: Api, endpoints: Make) -> None:
    api.says(200, GOOD)
    endpoints(token=lambda: " fresh\n").probe(PROBE)
    endpoints(token=None).probe(PROBE)
    assert [seen[2] for seen in api.seen] == ["Bearer fresh", None]


@pytest.mark.parametrize(
    "url", ["api.example.com", "ftp://x", "http://api.example.com", "https://u:hunter2@x", "https://x?y=1", "https://["]
)
def test_a_base_url_that_can_not_be_used_is_a_configuration_error(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        EndpointService(url)
    assert "hunter2" not in str(caught.value)


def test_every_probe_is_asked_whatever_the_others_say(api: Api, endpoints: Make) -> None:
    api.says(500)
    api.says(200, GOOD)
    probes = [Probe("a", "/a"), Probe("b", "/b")]
    results = endpoints().probe_all(probes, expected={"b": {"$.model.size": 1}})
    assert [(result.name, result.kind) for result in results] == [("a", "server_error"), ("b", "value")]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    key, cert = folder / "key.pem", folder / "cert.pem"
    words = (
        f"req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost -keyout {key}"
    )
    names = ["-addext", "subjectAltName=IP:127.0.0.1", "-out", str(cert)]
    subprocess.run(["openssl", *words.split(), *names], check=True, capture_output=True)
    return key, cert


@pytest.fixture
def tls_api(certificate: tuple[Path, Path]) -> Iterator[Api]:
    key, cert = certificate
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    api = Api()
    api.says(200, GOOD)
    with serving(handler_of(api), context) as url:
        api.url = url
        yield api


def test_a_certificate_that_nobody_trusts_is_a_tls_failure_and_the_token_is_not_sent(
    tls_api: Api, endpoints: Make
) -> None:
    result = endpoints(tls_api.url, attempts=3).probe(PROBE)
    assert (result.kind, result.status, result.attempts) == ("tls", None, 1)
    assert "CERTIFICATE_VERIFY_FAILED" in result.reason
    assert tls_api.seen == []


def test_a_certificate_of_ones_own_is_trusted_when_configured(
    tls_api: Api, endpoints: Make, certificate: tuple[Path, Path]
) -> None:
    assert endpoints(tls_api.url, verify=str(certificate[1])).probe(PROBE).ok is True
    assert endpoints(tls_api.url, verify=False).probe(PROBE).ok is True


def test_a_server_that_does_not_speak_tls_is_a_tls_failure(api: Api, endpoints: Make) -> None:
    api.says(200, GOOD)
    assert endpoints(api.url.replace("http:", "https:")).probe(PROBE).kind == "tls"


def test_certificates_that_can_not_be_read_are_a_configuration_error(tmp_path: Path) -> None:
    (tmp_path / "bad.pem").write_text("no certificate")
    for name in ("bad.pem", "none.pem"):
        with pytest.raises(ConfigError, match="can't be read"):
            EndpointService("https://x", verify=str(tmp_path / name))


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("$", GOOD),
        ("$.model.name", "small"),
        ("model.name", "small"),
        ("$.items[1].id", 2),
        ("items.0.id", 1),
        ("$.items[-1]['id']", 2),
        ("$['model'].size", 1536),
    ],
)
def test_a_json_path_leads_to_its_value(path: str, found: Any) -> None:
    assert json_at(GOOD, path) == found


@pytest.mark.parametrize("path", ["$.nothing", "$.items[2]", "$.items.name", "$.model.name.x", "$.model[0]"])
def test_a_json_path_that_leads_nowhere_is_a_lookup_error(path: str) -> None:
    with pytest.raises(LookupError):
        json_at(GOOD, path)


@pytest.mark.parametrize("path", ["$..a", "a[", "a[x]", "$.a]"])
def test_what_is_no_json_path_is_a_configuration_error(path: str) -> None:
    with pytest.raises(ConfigError, match="is not a JSON path"):
        json_at(GOOD, path)


@pytest.mark.parametrize(
    ("found", "expected", "same"),
    [
        ("a", "a", True),
        (1, 1.0, True),
        (0.7, Decimal("0.70"), True),
        ("0.70", Decimal("0.70"), True),
        (0.71, Decimal("0.7"), False),
        (1, True, False),
        (True, True, True),
        (None, None, True),
        (None, "", False),
        ("A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", UUID("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"), True),
        ("2026-01-14T10:00:00+00:00", datetime(2026, 1, 14, 10, tzinfo=UTC), True),
        ("2026-01-14T12:00:00+02:00", datetime(2026, 1, 14, 10, tzinfo=UTC), True),
        ("2026-01-14", datetime(2026, 1, 14, 10, tzinfo=UTC).date(), True),
        ("yesterday", datetime(2026, 1, 14, 10, tzinfo=UTC), False),
        (float("nan"), 1, False),
        (["a", 1], ("a", Decimal(1)), True),
        (["a"], ["a", "b"], False),
        ({"a": 1.5}, {"a": Decimal("1.5")}, True),
        ({"a": 1}, {"a": 1, "b": 2}, False),
    ],
)
def test_values_are_compared_by_what_they_mean(found: Any, expected: Any, same: bool) -> None:
    assert same_value(found, expected) is same
