"""What is left to a person because no service is configured for it: the runbook's steps, with their commands filled in.

What is not known anywhere stands in a command as a shell variable that says what it is ($COMMIT_BEFORE_MIGRATION).
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from aicfg_pipeline.rollback.run import Run
from aicfg_pipeline.services.deploy import DEFAULT_COMMAND
from aicfg_pipeline.services.settings import ServicesSettings
from aicfg_pipeline.spec.model import Migration

Facts = dict[str, Any]
"""What a step outside the database did, as plain values for the ledger."""


class Way(enum.Enum):
    """Which names the code has to know once the job is done."""

    BACK = "old names"
    FORTH = "new names"


@dataclass(frozen=True)
class ManualStep:
    """One step that a person does because its service is not configured: what it is, and the command.

    `open` says that the application may not work, or nobody knows whether it does, until the step is done. What is done
    before, or is a courtesy, is not open.
    """

    service: str
    runbook_step: int
    short: str
    title: str
    command: str
    open: bool = True


def names_of(migration: Migration) -> dict[str, str]:
    """Return old → new table name."""
    return {pair.old: pair.new for pair in migration.pairs}


def manual_steps(
    services: ServicesSettings, migration: Migration, way: Way = Way.BACK, *, swapped: datetime | None = None
) -> tuple[ManualStep, ...]:
    """Return what is left to a person, in running order. `swapped` is when the names changed, where that is known."""
    steps = _all_steps(migration, way, swapped)
    return tuple(step for step in steps if getattr(services, step.service) is None)


def open_steps(steps: Sequence[ManualStep]) -> list[ManualStep]:
    """Return those without which nobody may say that all is well."""
    return [step for step in steps if step.open]


def by_hand(run: Run, services: ServicesSettings, service: str, way: Way = Way.BACK) -> Facts:
    """Say that a service is not configured, with the command for a person."""
    step = next(s for s in manual_steps(services, run.migration, way) if s.service == service)
    return {"configured": False, "not_configured": service, "do_by_hand": f"{step.title}\n{step.command}"}


def manual_lines(services: ServicesSettings, migration: Migration, *, only: Sequence[str] = ()) -> list[str]:
    """Return what is left to a person, a line each."""
    steps = manual_steps(services, migration)
    return [f"{s.service} is not configured: do it by hand (runbook step {s.runbook_step}). {s.title}" for s in steps
            if not only or s.service in only]  # fmt: skip


# --- the steps -------------------------------------------------------------------------------------------------


def _all_steps(migration: Migration, way: Way, swapped: datetime | None) -> Iterator[ManualStep]:
    outside = migration.outside
    function = " ".join(outside.functions) or "$FUNCTION"
    yield ManualStep(
        "lambdas",
        1,
        "stop and start functions",
        "Not needed for the swap: if you want no write meanwhile, stop the Lambda functions before, note what they were"
        " set to, and put that back after.",
        _each(
            outside.functions or ("$FUNCTION",),
            "aws lambda get-function-concurrency --function-name {}",
            "aws lambda put-function-concurrency --function-name {} --reserved-concurrent-executions 0",
            "# after, where there was none reserved before:",
            "aws lambda delete-function-concurrency --function-name {}",
        ),
        open=False,
    )
    yield _code(migration, way)
    yield ManualStep(
        "deploy",
        5,
        "deploy",
        f"Deploy the Lambda with the {way.value}, from the infra directory.",
        f"cd {outside.infrastructure or '$INFRA'} && {outside.deploy or ' '.join(DEFAULT_COMMAND)}",
    )
    yield ManualStep(
        "endpoints",
        6,
        "ask the endpoints",
        "Ask the endpoints and compare what they return with the database.",
        _each(
            outside.endpoints or ("$PATH_OF_AN_ENDPOINT",),
            'curl -sS -w "\\n%{{http_code}}\\n" --oauth2-bearer "$TOKEN" "https://$API_URL{}"',
        ),
    )
    since = str(int(swapped.timestamp() * 1000)) if swapped else "$MILLISECONDS_OF_THE_SWAP"
    yield ManualStep(
        "logs",
        6,
        "look through the logs",
        "Look for errors in the Lambda's log since the swap.",
        f"aws logs filter-log-events --log-group-name /aws/lambda/{function} --start-time {since} \\\n"
        "  --filter-pattern '?ERROR ?Error ?Exception ?\"does not exist\" ?PGRST205'",
    )
    told = "rolled back" if way is Way.BACK else "migrated again"
    yield ManualStep(
        "webhook", 6, "tell the team", f"Tell the team what was {told} and when.", "# no command: write to your channel",
        open=False,
    )  # fmt: skip


def _each(values: Sequence[str], *lines: str) -> str:
    return "\n".join(line.format(v) for line in lines for v in (values if "{}" in line else values[:1]))


def _code(migration: Migration, way: Way) -> ManualStep:
    outside = migration.outside
    repository, code = outside.repository or "$REPOSITORY", " ".join(outside.code) or "$PATH_OF_THE_CODE"
    if way is Way.FORTH:
        return ManualStep(
            "repository",
            3,
            "code and schema files",
            "Put the Lambda's code and the schema files back to those that know the new names.",
            f"cd {repository} && git switch $BRANCH_WITH_THE_NEW_NAMES\n"
            f"git grep -nwE '{'|'.join(names_of(migration))}' -- {code}   # must find nothing",
        )
    return ManualStep(
        "repository",
        3,
        "code and schema files",
        "Take the Lambda's code and the schema files (step 4) back to before the migration, on a branch, and see that no"
        " new table name is left in them.",
        "\n".join(
            [
                f"cd {repository} && git switch -c aicfg-rollback",
                f"git checkout $COMMIT_BEFORE_MIGRATION -- \\\n  {code}",
                f"git grep -nwE '{'|'.join(names_of(migration).values())}' -- \\\n  {code}   # must find nothing",
                *_schema_files(migration),
            ]
        ),
    )


def _schema_files(migration: Migration) -> Iterator[str]:
    outside = migration.outside
    yield f"cd {outside.schema_files or '$SCHEMA_FILES'}"
    for archived, used in (outside.restored or {"archive/$OLD_FILE.sql.old": "$OLD_FILE.sql"}).items():
        yield f"git mv {archived} {used}"
    yield f"git rm {' '.join(outside.removed) or '$NEW_FILE.sql'}"
    yield "git commit -am 'Roll back the migration'"
