"""One class per failure a person can mend: what was found, what was expected, what to do next.

Every message is complete on its own, because at three in the morning it is all that is read. No message ever
holds a password: `redact` is the last gate for text that comes from elsewhere (drivers, scripts, servers).
Programming mistakes do not belong here; they stay ordinary exceptions with a traceback.
"""

from __future__ import annotations

from collections.abc import Sequence

from aicfg_pipeline.redaction import redact as redact


class PipelineError(Exception):
    """Something a person can mend. Subclasses name the failure; `code` is what a script may test for."""

    code = "pipeline_error"

    def __init__(
        self,
        found: str,
        *,
        expected: str | None = None,
        remedy: str | None = None,
        complaints: Sequence[str] = (),
    ) -> None:
        self.found = redact(found)
        self.expected = redact(expected) if expected else None
        self.remedy = redact(remedy) if remedy else None
        self.complaints = tuple(redact(c) for c in complaints)
        self.aftermath: str | None = None  # what was put back, and what is where, once it is known
        self.target: str | None = None  # the name of the database that was worked on, once it is known
        super().__init__(str(self))

    def __str__(self) -> str:
        lines = [self.found]
        lines += [f"  - {complaint}" for complaint in self.complaints]
        if self.expected:
            lines.append(f"Expected: {self.expected}")
        if self.remedy:
            lines.append(f"What to do: {self.remedy}")
        if self.aftermath:
            lines.append(self.aftermath)
        if self.target:
            lines.append(f"Target: {self.target}")
        return "\n".join(lines)


class SpecError(PipelineError):
    """The migration's description (migration.yaml or one of its SQL files) can't be used; all mistakes at once."""

    code = "malformed_migration"


class ConfigError(PipelineError):
    """A setting (environment variable or run config) can't be used."""

    code = "bad_config"


class UnreachableError(PipelineError):
    """The target database did not answer, or refused the login."""

    code = "unreachable"


class HazardError(PipelineError):
    """The plan found hazards that block the run; `codes` names each one."""

    code = "hazards"

    def __init__(self, found: str, *, codes: Sequence[str], **kwargs: object) -> None:
        self.codes = tuple(codes)
        super().__init__(found, **kwargs)  # type: ignore[arg-type]


class ApprovalError(PipelineError):
    """What would be done is not the plan that was approved, or none was, where one is asked for."""

    code = "not_approved"


class RehearsalError(PipelineError):
    """The copy to rehearse on could not be made, or is not one of the target; the target was only read."""

    code = "no_copy"


class StateError(PipelineError):
    """The database is in a state that this step can't start from."""

    code = "wrong_state"


class TrustError(PipelineError):
    """What is there under our names was made by somebody else; nothing of it was read or run."""

    code = "not_ours"


class AlreadyRunningError(PipelineError):
    """Another run works on this database."""

    code = "already_running"


class LockTimeoutError(PipelineError):
    """The locks were not to be had within the last retry; the database is as before this step."""

    code = "locked_out"


class StoppedError(PipelineError):
    """A person stopped the run (Ctrl-C, Terminate). What was committed stands, the rest was rolled back."""

    code = "stopped"


class GateError(PipelineError):
    """A gate found a difference it can't explain; the run stops, and what can be undone can still be undone."""

    code = "gate_failed"


class DatabaseError(PipelineError):
    """A statement failed on the server; its transaction was rolled back."""

    code = "database_error"


class OnlyReadsError(DatabaseError):
    """This server, or this role, only reads: something could not be looked at, and nothing is known to be wrong."""

    code = "only_reads"


class TimedOutError(DatabaseError):
    """A time limit ended a statement that was not waiting for a lock; its transaction was rolled back."""

    code = "timed_out"


class ConnectionLostError(DatabaseError):
    """The connection broke. What was committed stands, everything else was rolled back; the step can be run again."""

    code = "connection_lost"


class ExportError(PipelineError):
    """The export of a parked table could not be written or does not read back as the table."""

    code = "export_failed"


class ServiceError(PipelineError):
    """A service of the runbook (Lambda, logs, repository, deploy, endpoint) did not do what was asked of it."""

    code = "service_failed"
