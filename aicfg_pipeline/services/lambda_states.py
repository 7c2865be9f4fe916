"""What a Lambda function is set to, as it was when looked at, and what stopping and starting did.

Plain values, which the ledger keeps as JSON. Nothing is asked of AWS here: `lambdas` asks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True)
class EventSource:
    """One event source mapping: what feeds a function from a queue or a stream."""

    uuid: str
    source: str
    enabled: bool


@dataclass(frozen=True)
class FunctionState:
    """One function as it was when looked at."""

    name: str
    reserved_concurrency: int | None
    event_sources: tuple[EventSource, ...]
    timeout_seconds: int
    last_modified: str
    code_sha256: str
    state: str
    last_update_status: str

    @property
    def stopped(self) -> bool:
        """Whether the function can't be invoked: its reserved concurrency is 0."""
        return self.reserved_concurrency == 0

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> FunctionState:
        """Read back what `dataclasses.asdict` made of a state."""
        sources = tuple(EventSource(**source) for source in value["event_sources"])
        return cls(**{**value, "event_sources": sources})


@dataclass(frozen=True)
class LambdaStates:
    """Every configured function as it was when looked at: what `start` will restore."""

    functions: tuple[FunctionState, ...]
    looked_at: str

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> LambdaStates:
        """Read back what `dataclasses.asdict` made of the states."""
        functions = tuple(FunctionState.from_json(function) for function in value["functions"])
        return cls(functions=functions, looked_at=value["looked_at"])

    def with_earlier(self, earlier: LambdaStates) -> LambdaStates:
        """Return these states as they were before a `stop` that never got its `start`.

        Pass the states remembered by such a stop. Piece by piece: what looks as `stop` leaves it (concurrency 0, event
        source disabled) was perhaps our own doing, so the earlier value counts; anything else was set by someone since
        and counts as it is now.
        """
        before = {function.name: function for function in earlier.functions}
        merged = tuple(_merged(function, before.get(function.name)) for function in self.functions)
        return replace(self, functions=merged)


@dataclass(frozen=True)
class Stopped:
    """What `stop` did."""

    functions: tuple[str, ...]
    event_sources: tuple[str, ...]
    already_stopped: tuple[str, ...]
    drained_seconds: float


@dataclass(frozen=True)
class Started:
    """What `start` did. `left_stopped` names functions that had concurrency 0 when they were remembered."""

    restored: tuple[str, ...]
    unchanged: tuple[str, ...]
    left_stopped: tuple[str, ...]


@dataclass(frozen=True)
class Deployment:
    """Whether one function was deployed after a moment, and if not, why not."""

    function: str
    ok: bool
    reason: str
    last_modified: str
    code_sha256: str


def _merged(now: FunctionState, before: FunctionState | None) -> FunctionState:
    if before is None:
        return now
    was_enabled = {source.uuid for source in before.event_sources if source.enabled}
    sources = tuple(
        replace(source, enabled=source.enabled or source.uuid in was_enabled) for source in now.event_sources
    )
    concurrency = before.reserved_concurrency if now.stopped else now.reserved_concurrency
    return replace(now, reserved_concurrency=concurrency, event_sources=sources)
