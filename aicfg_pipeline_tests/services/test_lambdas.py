"""Lambda functions are stopped and come back exactly as they were, on an AWS over real HTTP."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from aicfg_pipeline.errors import ConfigError, ServiceError
from aicfg_pipeline.services.aws import AwsTarget
from aicfg_pipeline.services.lambda_states import LambdaStates
from aicfg_pipeline.services.lambdas import LambdaService
from aicfg_pipeline_tests.services.conftest import REGION, SECRET_KEY, Aws
from aicfg_pipeline_tests.services.servers import AwsProxy

Service = Callable[..., LambdaService]


@pytest.fixture
def service(aws: Aws) -> Service:
    def make(*names: str, url: str | None = None, **options: object) -> LambdaService:
        target = AwsTarget(region=REGION, endpoint_url=url or aws.url)
        settings = {"drain_seconds": 0.0, "poll_seconds": 0.02, "settle_seconds": 2.0, **options}
        return LambdaService(names, target=target, **settings)  # type: ignore[arg-type]

    return make


def test_looking_tells_concurrency_and_event_sources_and_changes_nothing(aws: Aws, service: Service) -> None:
    aws.function("free")
    aws.function("capped", concurrency=7)
    on, off = aws.event_source("capped", "q1"), aws.event_source("capped", "q2", enabled=False)

    free, capped = service("free", "capped").read().functions

    assert (free.name, free.reserved_concurrency, free.event_sources) == ("free", None, ())
    assert capped.reserved_concurrency == 7
    assert {s.uuid: s.enabled for s in capped.event_sources} == {on: True, off: False}
    assert (capped.state, capped.last_update_status, capped.timeout_seconds) == ("Active", "Successful", 3)
    assert len(capped.code_sha256) > 20
    assert (aws.concurrency("free"), aws.concurrency("capped"), aws.source_state(on)) == (None, 7, "Enabled")


def test_stop_and_start_bring_back_exactly_what_was_there_before(aws: Aws, service: Service) -> None:
    aws.function("free")
    aws.function("capped", concurrency=7)
    on, off = aws.event_source("capped", "q1"), aws.event_source("capped", "q2", enabled=False)
    lambdas = service("free", "capped")
    before = lambdas.read()

    stopped = lambdas.stop(before)

    assert (stopped.functions, stopped.event_sources, stopped.already_stopped) == (("free", "capped"), (on,), ())
    assert (aws.concurrency("free"), aws.concurrency("capped")) == (0, 0)
    assert (aws.source_state(on), aws.source_state(off)) == ("Disabled", "Disabled")

    started = lambdas.start(before)

    assert (started.restored, started.unchanged, started.left_stopped) == (("free", "capped"), (), ())
    assert (aws.concurrency("free"), aws.concurrency("capped")) == (None, 7)
    assert (aws.source_state(on), aws.source_state(off)) == ("Enabled", "Disabled")
    assert lambdas.read().functions == before.functions


def test_a_remembered_state_survives_json_and_another_process_starts_from_it(aws: Aws, service: Service) -> None:
    aws.function("capped", concurrency=7)
    on = aws.event_source("capped", "q1")
    before = service("capped").read()
    written = json.dumps(asdict(before))
    service("capped").stop(before)

    read = LambdaStates.from_json(json.loads(written))
    service("capped").start(read)

    assert read == before
    assert (aws.concurrency("capped"), aws.source_state(on)) == (7, "Enabled")


def test_stopping_and_starting_twice_is_the_same_as_once(aws: Aws, service: Service) -> None:
    aws.function("free")
    lambdas = service("free")
    before = lambdas.read()
    lambdas.stop(before)

    again = lambdas.stop(before)
    lambdas.start(before)
    last = lambdas.start(before)

    assert (again.functions, again.already_stopped) == ((), ("free",))
    assert (last.restored, last.unchanged) == ((), ("free",))
    assert aws.concurrency("free") is None


def test_event_sources_are_off_before_concurrency_is_zero_so_that_no_message_fails(
    aws: Aws, proxy: AwsProxy, service: Service
) -> None:
    aws.function("f")
    uuid = aws.event_source("f", "q")
    lambdas = service("f", url=proxy.url)
    lambdas.stop(lambdas.read())
    writes = [request for request in proxy.requests if request.startswith("PUT")]
    assert [uuid in writes[0], writes[1].endswith("/functions/f/concurrency")] == [True, True]


def test_a_function_already_at_zero_is_remembered_as_such_and_left_there(aws: Aws, service: Service) -> None:
    aws.function("parked", concurrency=0)
    lambdas = service("parked")
    before = lambdas.read()
    lambdas.stop(before)
    started = lambdas.start(before)
    assert before.functions[0].stopped
    assert started.left_stopped == ("parked",)
    assert aws.concurrency("parked") == 0


def test_after_a_killed_stop_the_earlier_state_is_what_is_restored(aws: Aws, service: Service) -> None:
    aws.function("done", concurrency=7)
    aws.function("untouched")
    uuid = aws.event_source("done", "q")
    lambdas = service("done", "untouched")
    earlier = lambdas.read()
    service("done").stop(earlier.__class__(earlier.functions[:1], earlier.looked_at))  # killed before the second

    merged = service("done", "untouched").read().with_earlier(earlier)
    lambdas.stop(merged)
    lambdas.start(merged)

    assert merged.functions == earlier.functions
    assert (aws.concurrency("done"), aws.concurrency("untouched"), aws.source_state(uuid)) == (7, None, "Enabled")


def test_what_a_person_set_since_the_earlier_stop_is_kept(aws: Aws, service: Service) -> None:
    aws.function("f", concurrency=7)
    lambdas = service("f")
    earlier = lambdas.read()
    aws.client("lambda").put_function_concurrency(FunctionName="f", ReservedConcurrentExecutions=3)
    assert lambdas.read().with_earlier(earlier).functions[0].reserved_concurrency == 3


def test_every_function_that_does_not_exist_is_named_at_once(aws: Aws, service: Service) -> None:
    aws.function("there")
    with pytest.raises(ServiceError) as caught:
        service("gone-1", "there", "gone-2").read()
    assert caught.value.found == f"no such Lambda function: gone-1, gone-2 (region {REGION}, profile default)"


def test_a_function_deleted_meanwhile_is_named_after_the_others_are_restored(aws: Aws, service: Service) -> None:
    aws.function("deleted", concurrency=2)
    aws.function("capped", concurrency=7)
    uuid = aws.event_source("capped", "q")
    lambdas = service("deleted", "capped")
    before = lambdas.read()
    lambdas.stop(before)
    aws.client("lambda").delete_function(FunctionName="deleted")

    with pytest.raises(ServiceError) as caught:
        lambdas.start(before)

    assert caught.value.complaints == ("Lambda function 'deleted' does not exist any more",)
    assert caught.value.found == "not everything could be started again; running are: capped"
    assert (aws.concurrency("capped"), aws.source_state(uuid)) == (7, "Enabled")


def test_an_event_source_deleted_meanwhile_is_named_and_the_function_restored(aws: Aws, service: Service) -> None:
    aws.function("f", concurrency=7)
    uuid = aws.event_source("f", "q")
    lambdas = service("f")
    before = lambdas.read()
    lambdas.stop(before)
    aws.client("lambda").delete_event_source_mapping(UUID=uuid)
    with pytest.raises(ServiceError) as caught:
        lambdas.start(before)
    assert caught.value.complaints == (f"event source {uuid} of 'f' does not exist any more",)
    assert aws.concurrency("f") == 7


def test_a_function_deleted_before_it_is_stopped_is_a_clear_error(aws: Aws, service: Service) -> None:
    aws.function("f")
    lambdas = service("f")
    before = lambdas.read()
    aws.client("lambda").delete_function(FunctionName="f")
    with pytest.raises(ServiceError, match=r"stop the Lambda function 'f'.*ResourceNotFoundException"):
        lambdas.stop(before)


def test_throttled_requests_are_tried_again_with_backoff(aws: Aws, proxy: AwsProxy, service: Service) -> None:
    aws.function("f", concurrency=7)
    proxy.throttle = 2
    assert service("f", url=proxy.url).read().functions[0].reserved_concurrency == 7
    assert proxy.throttle == 0


def test_throttling_that_does_not_end_is_an_error_that_says_how_often_it_was_tried(aws: Aws, proxy: AwsProxy) -> None:
    proxy.throttle = 99
    target = AwsTarget(region=REGION, endpoint_url=proxy.url, max_attempts=2)
    with pytest.raises(ServiceError) as caught:
        LambdaService(["f"], target=target).read()
    assert "TooManyRequestsException: Rate exceeded (still so after 2 attempts)" in caught.value.found
    assert len(proxy.requests) == 2


def test_wrong_credentials_are_told_without_showing_any(aws: Aws, service: Service) -> None:
    aws.function("f")
    httpx.post(f"{aws.url}/moto-api/reset-auth", content="0", timeout=20)  # from now on AWS checks who asks
    with pytest.raises(ServiceError) as caught:
        service("f").read()
    assert caught.value.expected == "credentials that AWS accepts"
    assert SECRET_KEY not in str(caught.value)


def test_an_unknown_access_key_is_told_as_such(aws: Aws, proxy: AwsProxy, service: Service) -> None:
    proxy.error = (403, "UnrecognizedClientException", "The security token included in the request is invalid.")
    with pytest.raises(ServiceError) as caught:
        service("f", url=proxy.url).read()
    assert caught.value.expected == "credentials that AWS accepts"
    assert len(proxy.requests) == 1  # no retry makes them right


def test_an_expired_login_and_a_missing_permission_are_told_apart(aws: Aws, proxy: AwsProxy, service: Service) -> None:
    proxy.error = (403, "ExpiredTokenException", "The security token included in the request is expired")
    with pytest.raises(ServiceError, match="log in again"):
        service("f", url=proxy.url).read()
    proxy.error = (403, "AccessDeniedException", "not authorized to perform: lambda:GetFunction")
    with pytest.raises(ServiceError, match="let the pipeline's role do it"):
        service("f", url=proxy.url).read()


def test_a_signature_refused_for_the_clock_points_to_the_clock(aws: Aws, proxy: AwsProxy, service: Service) -> None:
    proxy.error = (403, "InvalidSignatureException", "Signature expired: 20260114T000000Z is now earlier")
    with pytest.raises(ServiceError, match="this machine's clock"):
        service("f", url=proxy.url).read()


def test_no_credentials_at_all_is_a_clear_error(aws: Aws, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(ServiceError, match="no complete AWS credentials were found"):
        service("f").read()


def test_an_unknown_profile_and_a_missing_region_are_configuration_errors(
    aws_login: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError, match="no AWS profile named 'nobody'"):
        LambdaService(["f"], target=AwsTarget(region=REGION, profile="nobody")).read()
    monkeypatch.delenv("AWS_REGION", raising=False)
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    with pytest.raises(ConfigError, match="no AWS region"):
        LambdaService(["f"], target=AwsTarget()).read()


def test_an_aws_that_does_not_answer_is_a_clear_error(aws_login: None) -> None:
    target = AwsTarget(region=REGION, endpoint_url="http://127.0.0.1:9", max_attempts=1)
    with pytest.raises(ServiceError, match="AWS did not answer"):
        LambdaService(["f"], target=target).read()


def test_the_wait_for_invocations_in_flight_is_the_longest_timeout_unless_configured(
    aws: Aws, service: Service
) -> None:
    aws.function("f", timeout=1)
    said: list[str] = []
    lambdas = service("f", drain_seconds=None, log=said.append)
    assert lambdas.stop(lambdas.read()).drained_seconds == 1.0
    assert "waiting 1 s for invocations in flight (the longest timeout of these functions" in said[-1]


def test_deployed_after_tells_an_old_deployment_from_a_new_one(aws: Aws, service: Service) -> None:
    aws.function("f")
    (new,) = service("f").deployed_after(datetime.now(UTC) - timedelta(minutes=1))
    (old,) = service("f").deployed_after(datetime.now(UTC) + timedelta(minutes=1))
    assert (new.function, new.ok, new.reason) == ("f", True, "deployed and active")
    assert (old.ok, old.reason.startswith("last deployed ")) == (False, True)


def test_deployed_after_reckons_with_the_servers_clock(aws: Aws, proxy: AwsProxy, service: Service) -> None:
    aws.function("f")
    proxy.shift_seconds = 600.0  # by the server's clock the deployment is ten minutes old
    (found,) = service("f", url=proxy.url).deployed_after(datetime.now(UTC) - timedelta(minutes=1))
    assert found.ok is False


def test_deployed_after_names_a_function_that_is_gone_and_still_tells_of_the_others(aws: Aws, service: Service) -> None:
    aws.function("f")
    gone, there = service("gone", "f").deployed_after(datetime.now(UTC) - timedelta(minutes=1))
    assert (gone.ok, gone.reason, there.ok) == (False, "the function does not exist", True)
