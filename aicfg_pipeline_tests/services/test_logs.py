"""Errors are found in CloudWatch Logs, and those that name a missing table are told apart."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from datetime import UTC, datetime, timedelta

import pytest

from aicfg_pipeline.errors import ConfigError, ServiceError
from aicfg_pipeline.services.aws import AwsTarget
from aicfg_pipeline.services.logs import LogService
from aicfg_pipeline_tests.services.conftest import REGION, Aws
from aicfg_pipeline_tests.services.servers import AwsProxy

GROUP = "/aws/lambda/handler"
POSTGRES = '[ERROR] UndefinedTable: relation "new_settings" does not exist'
POSTGREST = (
    '{"level": "ERROR", "code": "PGRST205", "message": "Could not find the table \'public.new_prompts\' in the cache"}'
)


def write(aws: Aws, *lines: str, group: str = GROUP, ago: float = 30.0) -> None:
    logs = aws.client("logs")
    names = [g["logGroupName"] for g in logs.describe_log_groups()["logGroups"]]
    if group not in names:
        logs.create_log_group(logGroupName=group)
        logs.create_log_stream(logGroupName=group, logStreamName="stream")
    at = int((time.time() - ago) * 1000)
    for first in range(0, len(lines), 1000):
        events = [{"timestamp": at, "message": line} for line in lines[first : first + 1000]]
        logs.put_log_events(logGroupName=group, logStreamName="stream", logEvents=events)


def minute_ago() -> datetime:
    return datetime.now(UTC) - timedelta(minutes=1)


def test_error_lines_are_counted_and_those_naming_a_missing_table_told_apart(aws: Aws) -> None:
    write(
        aws, "START RequestId: 1", "[INFO] all well", POSTGRES, POSTGREST, "[ERROR] KeyError: 'x'", "END RequestId: 1"
    )
    report = LogService([GROUP], target=aws.target).errors_since(minute_ago())
    assert (report.errors, report.missing_tables, report.ok) == (3, 2, False)
    assert report.tables == {"new_settings": 1, "public.new_prompts": 1}
    assert [sample.missing_table for sample in report.samples] == ["new_settings", "public.new_prompts", None]
    assert (report.samples[0].text, report.samples[0].stream) == (POSTGRES, "stream")
    assert json.loads(json.dumps(asdict(report)))["errors"] == 3


def test_quiet_logs_are_fine(aws: Aws) -> None:
    write(aws, "START", "[INFO] 0 errors so far", "END")
    report = LogService([GROUP], target=aws.target).errors_since(minute_ago())
    assert (report.ok, report.errors, report.samples) == (True, 0, ())


@pytest.mark.parametrize(
    "line",
    [
        "2026-01-14T10:00:00Z 1a2b Task timed out after 3.00 seconds",
        "Traceback (most recent call last):",
        '{"errorMessage": "boom", "errorType": "ValueError"}',
        "RequestId: 1 Error: Runtime exited with error: signal: killed",
    ],
)
def test_what_lambda_and_python_write_when_they_fail_counts_as_an_error(aws: Aws, line: str) -> None:
    write(aws, line)
    assert LogService([GROUP], target=aws.target).errors_since(minute_ago()).errors == 1


def test_an_error_in_escaped_json_names_its_table(aws: Aws) -> None:
    write(aws, json.dumps({"level": "ERROR", "message": 'relation "new_settings" does not exist'}))
    assert LogService([GROUP], target=aws.target).errors_since(minute_ago()).tables == {"new_settings": 1}


def test_errors_before_the_moment_and_after_the_end_do_not_count(aws: Aws) -> None:
    write(aws, "[ERROR] old", ago=120)
    write(aws, "[ERROR] now", ago=30)
    logs = LogService([GROUP], target=aws.target)
    assert [s.text for s in logs.errors_since(minute_ago()).samples] == ["[ERROR] now"]
    assert logs.errors_since(minute_ago(), minute_ago() + timedelta(seconds=10)).errors == 0


def test_an_error_too_close_to_the_moment_for_the_clocks_is_reported_apart(aws: Aws) -> None:
    write(aws, "[ERROR] at the same moment", ago=60)
    report = LogService([GROUP], target=aws.target).errors_since(minute_ago() + timedelta(milliseconds=500))
    assert (report.errors, report.near_start) == (0, 1)
    assert report.notes == ("1 error lines lie within 2 s of the start and are not counted",)


def test_every_page_of_a_long_log_is_read(aws: Aws) -> None:
    write(aws, *[f"[ERROR] number {n}" for n in range(250)])
    report = LogService([GROUP], target=aws.target, page_size=100).errors_since(minute_ago())
    assert (report.errors, len(report.samples), report.truncated) == (250, 5, False)


def test_a_log_longer_than_the_limit_says_that_its_counts_are_lower_bounds(aws: Aws) -> None:
    write(aws, *["[INFO] well"] * 30)
    report = LogService([GROUP], target=aws.target, max_lines=20).errors_since(minute_ago())
    assert (report.errors, report.lines_read, report.truncated, report.ok) == (0, 20, True, False)


def test_samples_are_short_and_hold_no_secret(aws: Aws) -> None:
    write(aws, "[ERROR] postgres://app:hunter2@db/app Authorization: Bearer abc.def.ghi s3cret-value " + "x" * 900)
    report = LogService([GROUP], target=aws.target, secrets=["s3cret-value"]).errors_since(minute_ago())
    text = report.samples[0].text
    assert text.startswith("[ERROR] postgres://app:***@db/app Authorization: Bearer *** *** xxx")
    assert len(text) == 300


def test_a_json_web_token_in_a_line_is_masked_wherever_it_stands(aws: Aws) -> None:
    write(aws, "[ERROR] got eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl from AKIAIOSFODNN7EXAMPLE")
    report = LogService([GROUP], target=aws.target).errors_since(minute_ago())
    assert report.samples[0].text == "[ERROR] got *** from ***"


def test_every_log_group_that_is_missing_is_named_at_once(aws: Aws) -> None:
    write(aws, "well")
    with pytest.raises(ServiceError) as caught:
        LogService(["/none/1", GROUP, "/none/2"], target=aws.target).errors_since(minute_ago())
    assert caught.value.found == f"no such log group: /none/1, /none/2 (region {REGION})"


@pytest.mark.parametrize(("shift", "said"), [(300.0, "ahead of"), (-300.0, "behind")])
def test_a_clock_that_differs_from_the_servers_moves_the_span_and_is_reported(
    aws: Aws, proxy: AwsProxy, shift: float, said: str
) -> None:
    proxy.shift_seconds = shift
    write(aws, "[ERROR] before", ago=120 - shift)
    write(aws, "[ERROR] after", ago=30 - shift)  # as the server's own clock wrote it
    report = LogService([GROUP], target=AwsTarget(REGION, endpoint_url=proxy.url)).errors_since(minute_ago())
    assert [sample.text for sample in report.samples] == ["[ERROR] after"]
    assert abs(report.clock_skew_seconds - shift) <= 2
    assert f"s {said} this machine's" in report.notes[0]


def test_the_callers_own_patterns_say_what_a_missing_table_looks_like(aws: Aws) -> None:
    write(aws, "no table called new_settings here", "[ERROR] other")
    pattern = r"no table called (?P<table>\w+)"
    report = LogService([GROUP], target=aws.target).errors_since(minute_ago(), missing_tables=[pattern])
    assert (report.errors, report.missing_tables, report.tables) == (2, 1, {"new_settings": 1})


def test_a_pattern_that_is_none_is_a_configuration_error(aws: Aws) -> None:
    write(aws, "well")
    with pytest.raises(ConfigError, match="not a regular expression"):
        LogService([GROUP], target=aws.target).errors_since(minute_ago(), missing_tables=["("])


def test_a_moment_without_a_time_zone_is_a_programming_mistake(aws: Aws) -> None:
    with pytest.raises(ValueError, match="needs a time zone"):
        LogService([GROUP], target=aws.target).errors_since(datetime(2026, 1, 14))


def test_throttled_log_queries_are_tried_again(aws: Aws, proxy: AwsProxy) -> None:
    write(aws, "[ERROR] x")
    proxy.throttle = 1
    report = LogService([GROUP], target=AwsTarget(REGION, endpoint_url=proxy.url)).errors_since(minute_ago())
    assert report.errors == 1
