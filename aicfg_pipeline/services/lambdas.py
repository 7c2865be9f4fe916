"""AWS Lambda functions: look at them, stop them, start them again with exactly what was there before.

Looking is apart from acting, so that the caller can write what `read` returns into its ledger *before* `stop`
changes anything: whoever finds that entry later, in whatever process, can put the functions back with `start`.
What is run in the meantime, and where the remembered state is kept, do not belong here.

How long in-flight invocations last is not something AWS tells in time (its ConcurrentExecutions metric has a minute's
grain and arrives minutes late). So `stop` waits: once a function's concurrency is 0 nothing new can start in it, and
what is in flight is over after the function's own timeout at the latest. That timeout is the default wait.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError

from aicfg_pipeline.errors import ServiceError
from aicfg_pipeline.services.aws import AwsTarget, Log, aware, aws_errors, error_code, is_not_found, server_skew, silent
from aicfg_pipeline.services.lambda_states import Deployment, EventSource, FunctionState, LambdaStates, Started, Stopped

_OFF = frozenset({"Disabled", "Disabling"})
_BUSY = frozenset({"ResourceInUseException", "ResourceConflictException"})


def _moment(text: str) -> datetime:
    """Read the time as Lambda writes it, `2026-01-14T10:20:30.000+0000`."""
    return datetime.fromisoformat(text).astimezone(UTC)


class LambdaService:
    """The configured Lambda functions of one account and region."""

    def __init__(
        self,
        function_names: Sequence[str],
        *,
        target: AwsTarget | None = None,
        drain_seconds: float | None = None,
        settle_seconds: float = 120.0,
        poll_seconds: float = 1.0,
        log: Log = silent,
    ) -> None:
        self.function_names = tuple(dict.fromkeys(function_names))
        self._target = target or AwsTarget()
        self._drain_seconds = drain_seconds
        self._settle_seconds = settle_seconds
        self._poll_seconds = poll_seconds
        self._log = log
        self._client: Any = None

    @property
    def _aws(self) -> Any:
        # Made at the first use: a resource that is only configured must not need AWS credentials.
        if self._client is None:
            self._client = self._target.client("lambda")
        return self._client

    def read(self) -> LambdaStates:
        """Read the state of every function and change nothing. Functions that don't exist are named all at once."""
        found: list[FunctionState] = []
        missing: list[str] = []
        for name in self.function_names:
            with aws_errors(f"read the Lambda function {name!r}"):
                try:
                    found.append(self._function(name))
                except ClientError as error:
                    if not is_not_found(error):
                        raise
                    missing.append(name)
        if missing:
            raise _missing_error("no such Lambda function", missing, self._target)
        return LambdaStates(functions=tuple(found), looked_at=datetime.now(UTC).isoformat())

    def stop(self, remembered: LambdaStates) -> Stopped:
        """Stop every remembered function: event sources off, concurrency 0, invocations in flight over.

        Event sources go first: a queue whose function has no concurrency counts failed receives and would in the end
        move good messages to its dead-letter queue. May be run again at any time; it does only what is not yet done.
        Asynchronous invocations wait at AWS and are retried by it, for up to six hours, after `start`.
        """
        disabled = self._disable_event_sources(remembered)
        stopped, already = self._set_concurrency_zero(remembered)
        seconds = self._drain(remembered)
        return Stopped(tuple(stopped), tuple(disabled), tuple(already), seconds)

    def start(self, remembered: LambdaStates) -> Started:
        """Put back exactly what `remembered` says, and only that. May be run again at any time.

        A function or event source that was deleted meanwhile does not keep the others from being restored; after
        that it is an error that names what is gone.
        """
        restored: list[str] = []
        unchanged: list[str] = []
        complaints: list[str] = []
        reached: list[FunctionState] = []
        for function in remembered.functions:
            try:
                with aws_errors(f"start the Lambda function {function.name!r}"):
                    changed = self._restore(function, complaints)
                if changed is not None:
                    (restored if changed else unchanged).append(function.name)
                    reached.append(function)
            except ServiceError as error:
                # The others still have to be started, whatever is wrong with this one.
                complaints.append(str(error))
        try:
            self._wait_for_event_sources(_enabled(reached), enabled=True)
        except ServiceError as error:
            complaints.append(str(error))
        if complaints:
            raise ServiceError(
                "not everything could be started again; running are: " + (", ".join(restored + unchanged) or "none"),
                complaints=complaints,
                expected="every function and event source that was remembered",
                remedy="mend what is named, then start again: what is already running is left alone",
            )
        for function in remembered.functions:
            if function.stopped:
                self._log(f"{function.name} was at concurrency 0 before this run stopped it, and is left at 0")
        left = tuple(function.name for function in remembered.functions if function.stopped)
        return Started(tuple(restored), tuple(unchanged), left)

    def deployed_after(
        self, when: datetime, *, tolerance_seconds: float = 2.0, wait_seconds: float = 0.0
    ) -> tuple[Deployment, ...]:
        """Tell for every function whether it was deployed after `when` (our clock) and is ready.

        AWS's clock counts for the function's time, so the difference between the two clocks is taken into account.
        Waits up to `wait_seconds` while an update is in progress.
        """
        deadline = time.monotonic() + wait_seconds
        while True:
            found = tuple(self._deployment(name, when, tolerance_seconds) for name in self.function_names)
            if all(deployment.ok for deployment in found) or time.monotonic() >= deadline:
                return found
            time.sleep(self._poll_seconds)

    def _function(self, name: str) -> FunctionState:
        configuration = self._aws.get_function_configuration(FunctionName=name)
        concurrency = self._aws.get_function_concurrency(FunctionName=name).get("ReservedConcurrentExecutions")
        return FunctionState(
            name=name,
            reserved_concurrency=None if concurrency is None else int(concurrency),
            event_sources=self._event_sources(name),
            timeout_seconds=int(configuration.get("Timeout", 0)),
            last_modified=configuration["LastModified"],
            code_sha256=configuration["CodeSha256"],
            state=configuration.get("State", "Active"),
            last_update_status=configuration.get("LastUpdateStatus", "Successful"),
        )

    def _event_sources(self, name: str) -> tuple[EventSource, ...]:
        found = []
        for page in self._aws.get_paginator("list_event_source_mappings").paginate(FunctionName=name):
            for mapping in page["EventSourceMappings"]:
                state = mapping.get("State", "Enabled")
                if state != "Deleting":
                    found.append(EventSource(mapping["UUID"], mapping.get("EventSourceArn", ""), state not in _OFF))
        return tuple(sorted(found, key=lambda source: source.uuid))

    def _disable_event_sources(self, remembered: LambdaStates) -> list[str]:
        disabled = []
        for function in remembered.functions:
            with aws_errors(f"disable the event sources of {function.name!r}"):
                for source in self._event_sources(function.name):
                    if source.enabled:
                        self._switch(source.uuid, enabled=False)
                        disabled.append(source.uuid)
                        self._log(f"{function.name}: event source {source.uuid} ({source.source}) is being disabled")
        every = tuple(source.uuid for function in remembered.functions for source in function.event_sources)
        self._wait_for_event_sources(tuple(dict.fromkeys([*every, *disabled])), enabled=False)
        return disabled

    def _set_concurrency_zero(self, remembered: LambdaStates) -> tuple[list[str], list[str]]:
        stopped: list[str] = []
        already: list[str] = []
        for function in remembered.functions:
            with aws_errors(f"stop the Lambda function {function.name!r}"):
                if self._concurrency(function.name) == 0:
                    already.append(function.name)
                    continue
                self._aws.put_function_concurrency(FunctionName=function.name, ReservedConcurrentExecutions=0)
            stopped.append(function.name)
            self._log(f"{function.name}: reserved concurrency is 0 now, nothing new starts in it")
        return stopped, already

    def _drain(self, remembered: LambdaStates) -> float:
        longest = max((function.timeout_seconds for function in remembered.functions), default=0)
        seconds = float(longest) if self._drain_seconds is None else self._drain_seconds
        why = "the longest timeout of these functions" if self._drain_seconds is None else "as configured"
        self._log(f"waiting {seconds:g} s for invocations in flight ({why}; AWS does not tell when they are over)")
        time.sleep(seconds)
        return seconds

    def _restore(self, function: FunctionState, complaints: list[str]) -> bool | None:
        """Restore one function and complain of what is gone. Concurrency goes first: a message fails without it."""
        try:
            changed = self._restore_concurrency(function)
        except ClientError as error:
            if not is_not_found(error):
                raise
            complaints.append(f"Lambda function {function.name!r} does not exist any more")
            return None
        now = {source.uuid: source for source in self._event_sources(function.name)}
        for source in function.event_sources:
            if not source.enabled:
                continue
            if source.uuid not in now:
                complaints.append(f"event source {source.uuid} of {function.name!r} does not exist any more")
            elif not now[source.uuid].enabled:
                self._switch(source.uuid, enabled=True)
                self._log(f"{function.name}: event source {source.uuid} ({source.source}) is being enabled")
                changed = True
        return changed

    def _restore_concurrency(self, function: FunctionState) -> bool:
        name, wanted = function.name, function.reserved_concurrency
        if self._concurrency(name) == wanted:
            return False
        if wanted is None:
            self._aws.delete_function_concurrency(FunctionName=name)
            self._log(f"{name}: reserved concurrency removed, as before")
        else:
            self._aws.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=wanted)
            self._log(f"{name}: reserved concurrency is {wanted} again")
        return True

    def _concurrency(self, name: str) -> int | None:
        found = self._aws.get_function_concurrency(FunctionName=name).get("ReservedConcurrentExecutions")
        return None if found is None else int(found)

    def _switch(self, uuid: str, *, enabled: bool) -> None:
        """Switch one event source on or off, as soon as AWS is not busy with it any more."""
        deadline = time.monotonic() + self._settle_seconds
        while True:
            try:
                self._aws.update_event_source_mapping(UUID=uuid, Enabled=enabled)
                return
            except ClientError as error:
                if error_code(error) not in _BUSY or time.monotonic() >= deadline:
                    raise
            time.sleep(self._poll_seconds)

    def _wait_for_event_sources(self, uuids: Sequence[str], *, enabled: bool) -> None:
        wanted = "Enabled" if enabled else "Disabled"
        waiting = dict.fromkeys(uuids, "")
        deadline = time.monotonic() + self._settle_seconds
        while waiting:
            for uuid in tuple(waiting):
                with aws_errors(f"read the event source {uuid}"):
                    state = self._event_source_state(uuid)
                if state in (None, wanted):
                    del waiting[uuid]
                else:
                    waiting[uuid] = str(state)
            if waiting and time.monotonic() >= deadline:
                raise ServiceError(
                    f"event sources are not {wanted.lower()} after {self._settle_seconds:g} s",
                    complaints=[f"{uuid}: {state}" for uuid, state in waiting.items()],
                    remedy="look at them in the AWS console; run again when they have settled",
                )
            if waiting:
                time.sleep(self._poll_seconds)

    def _event_source_state(self, uuid: str) -> str | None:
        """Return the state of an event source; None if it does not exist any more."""
        try:
            state = str(self._aws.get_event_source_mapping(UUID=uuid)["State"])
        except ClientError as error:
            if is_not_found(error):
                return None
            raise
        return None if state == "Deleting" else state

    def _deployment(self, name: str, when: datetime, tolerance_seconds: float) -> Deployment:
        with aws_errors(f"read the Lambda function {name!r}"):
            try:
                answer = self._aws.get_function_configuration(FunctionName=name)
            except ClientError as error:
                if is_not_found(error):
                    return Deployment(name, False, "the function does not exist", "", "")
                raise
        modified = _moment(answer["LastModified"])
        wanted = aware(when, "when") + timedelta(seconds=server_skew(answer) or 0.0)
        state, update = answer.get("State", "Active"), answer.get("LastUpdateStatus", "Successful")
        reason = ""
        if modified < wanted - timedelta(seconds=tolerance_seconds):
            reason = f"last deployed {modified.isoformat()}, which is before {wanted.isoformat()}"
        elif state != "Active":
            reason = f"its state is {state}: {answer.get('StateReason', 'no reason given')}"
        elif update != "Successful":
            reason = f"its last update is {update}: {answer.get('LastUpdateStatusReason', 'no reason given')}"
        return Deployment(name, not reason, reason or "deployed and active", modified.isoformat(), answer["CodeSha256"])


def _enabled(functions: Sequence[FunctionState]) -> tuple[str, ...]:
    return tuple(source.uuid for function in functions for source in function.event_sources if source.enabled)


def _missing_error(found: str, names: Sequence[str], target: AwsTarget) -> ServiceError:
    where = f"region {target.region or 'of the environment'}, profile {target.profile or 'default'}"
    return ServiceError(
        f"{found}: {', '.join(names)} ({where})",
        expected="functions that exist in that region and account",
        remedy="correct the names, the region or the profile; nothing has been stopped",
    )
