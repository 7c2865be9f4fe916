"""CloudWatch Logs: how many errors were written since a moment, and which of them name a table that does not exist.

Only counting and showing belong here; whether a number is too high is the caller's to judge.
Log events reach CloudWatch some seconds after they are written, so a report made right after the cut-over can miss
the last of them: ask again later.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError

from aicfg_pipeline.errors import ConfigError, ServiceError, redact
from aicfg_pipeline.services.aws import AwsTarget, aware, aws_errors, is_not_found, server_skew

# Asked of CloudWatch, which then sends only such lines: any one of these terms, case counts. What it sends is
# sorted by the patterns below, so this list may be generous but must not be narrower than they are.
FILTER_PATTERN = (
    "?ERROR ?Error ?error ?CRITICAL ?FATAL ?Fatal ?fatal ?Exception ?Traceback ?errorMessage ?errorType "
    '?PGRST205 ?PGRST202 ?42P01 ?"timed out" ?"does not exist" ?"Could not find the table"'
)
ERROR_LINE = (
    r"\b(ERROR|CRITICAL|FATAL)\b|\[ERROR\]|Traceback \(most recent call last\)|Task timed out|Runtime\.\w*Error"
    r"|\"?errorMessage\"?\s*:|\b[A-Za-z]*(?:Error|Exception):"
)
# Each may name the table in the group `table`. The first is PostgreSQL, the others PostgREST; JSON logs escape quotes.
MISSING_TABLE_LINES = (
    r"relation \\*[\"'](?P<table>[^\"'\\]+)\\*[\"'] does not exist",
    r"Could not find the table \\*[\"'](?P<table>[^\"'\\]+)\\*[\"']",
    r"\bPGRST205\b",
    r"\b42P01\b",
)
LONGEST_LOOKED_AT = 20_000  # of a line of which 300 characters are shown
_JWT = re.compile(r"\beyJ[\w-]{5,800}\.[\w-]{5,}\.[\w-]*")
_BEARER = re.compile(r"(?i)\b(bearer\s+)[\w.~+/=-]{6,}")
_AWS_KEY = re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{12,}\b")


@dataclass(frozen=True)
class LogLine:
    """One line of a log, shortened and without secrets."""

    group: str
    stream: str
    at: str
    text: str
    missing_table: str | None


@dataclass(frozen=True)
class LogReport:
    """What the logs say of a span of time.

    `errors` counts error lines, `missing_tables` those of them that name (or complain of) a table that does not exist.
    `near_start` counts error lines so close to the start that the clocks can't tell on which side; they are in no other
    number. `truncated` says that there was more than was read: then the counts are lower bounds.
    """

    groups: tuple[str, ...]
    since: str
    until: str
    lines_read: int
    errors: int
    missing_tables: int
    near_start: int
    tables: dict[str, int]
    samples: tuple[LogLine, ...]
    truncated: bool
    clock_skew_seconds: float
    notes: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether there was no error at all, as far as everything was read."""
        return self.errors == 0 and not self.truncated


@dataclass
class _Tally:
    """The counts of one report while it is being made."""

    lines_read: int = 0
    errors: int = 0
    missing: int = 0
    near_start: int = 0
    truncated: bool = False
    tables: Counter[str] = field(default_factory=Counter)
    missing_samples: list[LogLine] = field(default_factory=list)
    other_samples: list[LogLine] = field(default_factory=list)


class LogService:
    """The configured log groups of one account and region."""

    def __init__(
        self,
        log_groups: Sequence[str],
        *,
        target: AwsTarget | None = None,
        error_line: str = ERROR_LINE,
        filter_pattern: str = FILTER_PATTERN,
        margin_seconds: float = 2.0,
        max_lines: int = 20_000,
        page_size: int = 1_000,
        secrets: Iterable[str] = (),
    ) -> None:
        self.log_groups = tuple(dict.fromkeys(log_groups))
        self._target = target or AwsTarget()
        self._error_line = _compiled(error_line)
        self._filter_pattern = filter_pattern
        self._margin = timedelta(seconds=margin_seconds)
        self._max_lines = max_lines
        self._page_size = page_size
        self._secrets = tuple(secrets)
        self._client: Any = None

    @property
    def _aws(self) -> Any:
        # Made at the first use: a resource that is only configured must not need AWS credentials.
        if self._client is None:
            self._client = self._target.client("logs")
        return self._client

    def errors_since(
        self,
        since: datetime,
        until: datetime | None = None,
        *,
        missing_tables: Sequence[str] = MISSING_TABLE_LINES,
        max_samples: int = 5,
    ) -> LogReport:
        """Count the error lines written from `since` to `until` (our clock; default now), and show a few.

        Every log group that doesn't exist is named at once. The difference between our clock and the server's moves
        the span; lines within the margin around `since` are counted apart.
        """
        start = aware(since, "since")
        end = aware(until, "until") if until else datetime.now(UTC)
        patterns = tuple(_compiled(pattern) for pattern in missing_tables)
        skew = self.read_clock()
        shift = timedelta(seconds=skew)
        tally = _Tally()
        for group in self.log_groups:
            for event in self._events(group, start + shift - self._margin, end + shift + self._margin, tally):
                self._count(tally, group, event, start + shift, patterns, max_samples)
        samples = (tally.missing_samples + tally.other_samples)[:max_samples]
        return LogReport(
            groups=self.log_groups,
            since=start.isoformat(),
            until=end.isoformat(),
            lines_read=tally.lines_read,
            errors=tally.errors,
            missing_tables=tally.missing,
            near_start=tally.near_start,
            tables=dict(tally.tables),
            samples=tuple(samples),
            truncated=tally.truncated,
            clock_skew_seconds=skew,
            notes=self._notes(tally, skew),
        )

    def read_clock(self) -> float:
        """Check that every log group is there and return by how many seconds the server's clock is ahead of ours."""
        missing: list[str] = []
        skew: float | None = None
        for group in self.log_groups:
            with aws_errors(f"read the log group {group!r}"):
                try:
                    # The cheapest question that fails for a group that isn't there: one event of one millisecond.
                    answer = self._aws.filter_log_events(logGroupName=group, startTime=0, endTime=1, limit=1)
                except ClientError as error:
                    if not is_not_found(error):
                        raise
                    missing.append(group)
                    continue
            skew = server_skew(answer)
        if missing:
            raise ServiceError(
                f"no such log group: {', '.join(missing)} (region {self._target.region or 'of the environment'})",
                expected="log groups that exist in that region and account",
                remedy="correct the names or the region; a function that has never run has no log group yet",
            )
        return skew or 0.0

    def _events(self, group: str, start: datetime, end: datetime, tally: _Tally) -> Iterator[dict[str, Any]]:
        """Yield the events of one group page by page, until the limit of lines for the whole report is reached."""
        paginator = self._aws.get_paginator("filter_log_events")
        pages = paginator.paginate(
            logGroupName=group,
            startTime=max(0, int(start.timestamp() * 1000)),
            endTime=max(0, int(end.timestamp() * 1000)),
            filterPattern=self._filter_pattern,
            PaginationConfig={"PageSize": self._page_size},
        )
        with aws_errors(f"read the log group {group!r}"):
            for page in pages:
                for event in page["events"]:
                    if tally.lines_read >= self._max_lines:
                        tally.truncated = True
                        return
                    tally.lines_read += 1
                    yield event

    def _count(
        self,
        tally: _Tally,
        group: str,
        event: dict[str, Any],
        start: datetime,
        patterns: Sequence[re.Pattern[str]],
        max_samples: int,
    ) -> None:
        message = str(event["message"])
        hits = [hit for hit in (pattern.search(message) for pattern in patterns) if hit]
        if not hits and not self._error_line.search(message):
            return
        at = datetime.fromtimestamp(event["timestamp"] / 1000, UTC)
        if at < start + self._margin:
            tally.near_start += 1
            return
        tally.errors += 1
        tables = [hit["table"] for hit in hits if hit.re.groupindex.get("table") and hit["table"]]
        if hits:
            tally.missing += 1
            tally.tables.update(dict.fromkeys(tables, 1))
        samples = tally.missing_samples if hits else tally.other_samples
        if len(samples) < max_samples:
            table = tables[0] if tables else None
            text = shortened(self._clean(message[:LONGEST_LOOKED_AT]))
            samples.append(LogLine(group, str(event.get("logStreamName", "")), at.isoformat(), text, table))

    def _clean(self, text: str) -> str:
        text = _BEARER.sub(r"\1***", _AWS_KEY.sub("***", _JWT.sub("***", text)))
        return redact(text, self._secrets)

    def _notes(self, tally: _Tally, skew: float) -> tuple[str, ...]:
        notes = []
        if skew:
            ahead = "ahead of" if skew > 0 else "behind"
            notes.append(
                f"the server's clock is {abs(skew):g} s {ahead} this machine's; the span was moved by that much"
            )
        if tally.near_start:
            seconds = self._margin.total_seconds()
            notes.append(f"{tally.near_start} error lines lie within {seconds:g} s of the start and are not counted")
        if tally.truncated:
            notes.append(f"only the first {self._max_lines} lines were read: the counts are lower bounds")
        return tuple(notes)


def shortened(text: str, length: int = 300) -> str:
    """Return `text` on one line and no longer than `length`, so that a sample stays a sample."""
    flat = " ".join(text.split())
    return flat if len(flat) <= length else flat[: length - 1] + "…"


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ConfigError(
            f"the log pattern {pattern!r} is not a regular expression: {error}",
            remedy="correct the pattern; a group named `table` holds the table's name",
        ) from error
