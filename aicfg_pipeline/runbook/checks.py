"""Checks of the services: deployed, answering with what the database has, no errors in the logs, files restored.

One `Reading` is made of the services, and every check judges that. After a rollback they gate it; before one they are
shown and never stop anything: then `reasons` judges the same reading for the runbook's "When to roll back".
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg import sql

from aicfg_pipeline.errors import PipelineError
from aicfg_pipeline.postgres.equality import same
from aicfg_pipeline.postgres.session import Session
from aicfg_pipeline.postgres.statements import engine, ident
from aicfg_pipeline.postgres.wording import counted
from aicfg_pipeline.rollback.checks.check import Check, Verdict, failed, not_applicable, passed
from aicfg_pipeline.rollback.state import Look, look
from aicfg_pipeline.runbook import remembered
from aicfg_pipeline.runbook.code import references_left
from aicfg_pipeline.runbook.remembered import Clock
from aicfg_pipeline.services.endpoints import EndpointService
from aicfg_pipeline.services.lambda_states import Deployment
from aicfg_pipeline.services.logs import LogReport
from aicfg_pipeline.services.probes import ProbeResult
from aicfg_pipeline.services.settings import ColumnSettings, ProbeSettings, ServicesSettings
from aicfg_pipeline.spec.model import Migration

LONGEST_SPAN = timedelta(hours=1)
"""An hourly verification looks no further back in the logs than this, or an old error would fail it for ever."""

LAMBDAS, ENDPOINTS, LOGS, REPOSITORY = "lambdas", "endpoints", "logs", "repository"


@dataclass(frozen=True)
class Reading:
    """One look at the services. What is not configured is None; what could not be looked at is in `complaints`."""

    at: datetime
    restored: bool
    deployments: tuple[Deployment, ...] | None = None
    probes: tuple[ProbeResult, ...] | None = None
    logs: LogReport | None = None
    gap: LogReport | None = None
    files: tuple[str, ...] | None = None
    complaints: Mapping[str, str] = field(default_factory=dict)


class _Reader:
    """Makes a reading, one service after the other, whatever the others say."""

    def __init__(
        self,
        session: Session,
        migration: Migration,
        services: ServicesSettings,
        *,
        attempts: int | None,
        since: datetime | None,
    ) -> None:
        self.session, self.migration, self.services = session, migration, services
        self.attempts, self.given_since = attempts, since
        self.now = datetime.now(UTC)
        self.look: Look = look(session, migration)
        self.clock = Clock.of(session, self.now)
        self.cut = remembered.last_cut_over(self.look)
        self.complaints: dict[str, str] = {}

    def read(self) -> Reading:
        """Look at every service that is configured."""
        deployments = self._try(LAMBDAS, self._deployments)
        probes = self._try(ENDPOINTS, self._probes)
        logs = self._try(LOGS, lambda: self._logs(deployments))
        return Reading(
            at=self.now,
            restored=self.cut is not None,
            deployments=deployments,
            probes=probes,
            logs=logs[0] if logs else None,
            gap=logs[1] if logs else None,
            files=self._try(REPOSITORY, self._files),
            complaints=self.complaints,
        )

    def _try(self, service: str, ask: Callable[[], Any]) -> Any:
        if getattr(self.services, service) is None:
            return None
        try:
            return ask()
        except PipelineError as error:
            self.complaints[service] = "; ".join([error.found, *error.complaints])
            return None

    def _here(self, moment: datetime) -> datetime:
        """Return a time of the ledger by this machine's clock."""
        return moment - timedelta(seconds=self.clock.ahead)

    def _deployments(self) -> tuple[Deployment, ...] | None:
        settings = self.services.lambdas
        assert settings is not None
        when = self._here(self.cut.at) if self.cut else datetime.fromtimestamp(0, UTC)
        wait = settings.settle_seconds if self.cut and self.attempts is None else 0.0
        began = self.cut is not None and remembered.redeployed(self.look) is not None
        return settings.service().deployed_after(when, wait_seconds=min(wait, 30.0) if began else 0.0)

    def _probes(self) -> tuple[ProbeResult, ...]:
        settings = self.services.endpoints
        assert settings is not None
        service = settings.service()
        return tuple(self._probe(service, probe) for probe in settings.probes)

    def _probe(self, service: EndpointService, probe: ProbeSettings) -> ProbeResult:
        result = service.probe(probe.probe(), expected=self._expected(probe), attempts=self.attempts)
        if result.kind == "value" and probe.columns:
            # Someone may have written between the two questions: ask both again before it counts.
            time.sleep(0.2)
            result = service.probe(probe.probe(), expected=self._expected(probe), attempts=1)
        return result

    def _expected(self, probe: ProbeSettings) -> dict[str, Any]:
        return {path: self._value(probe.name, wanted) for path, wanted in probe.columns.items()}

    def _value(self, probe: str, wanted: ColumnSettings) -> Any:
        pair = next((p for p in self.migration.pairs if p.old == wanted.table), None)
        if pair is None:
            raise PipelineError(
                f"probe {probe} compares with {wanted.table}, which is no old table of this migration",
                expected=", ".join(p.old for p in self.migration.pairs),
            )
        state = self.look[pair.old]
        relation = state.at_old_name or state.at_new_name
        if relation is None:
            raise PipelineError(f"probe {probe} compares with {wanted.table}, which is not there: {state.because}")
        assert self.services.endpoints is not None
        values = {k: _filled(v, self.services.endpoints.placeholders) for k, v in wanted.where.items()}
        own = relation.own_equality
        conditions = [same(ident(c), sql.Literal(v), own.get(c)) for c, v in values.items()]
        query = engine(
            "read_column",
            column=ident(wanted.column),
            table=ident(relation.schema, relation.name),
            condition=sql.SQL(" AND ").join(conditions) if conditions else sql.SQL("true"),
        )
        with self.session.transaction(read_only=True):
            rows = self.session.all(query)
        if len(rows) != 1:
            told = "no row" if not rows else "more than one row"
            raise PipelineError(f"probe {probe} compares with {told} of {wanted.table} where {values}")
        return rows[0].value

    def _logs(self, deployments: tuple[Deployment, ...] | None) -> tuple[LogReport, LogReport | None]:
        settings = self.services.logs
        assert settings is not None
        service = settings.service()
        cut = self._here(self.cut.at) if self.cut else None
        deployed = self._deployed_at(cut, deployments)
        undone = None if self.cut else remembered.last_swap(self.look.ledger)
        earliest = self._here(undone) if undone else self._epoch()  # errors of before are about another world
        since = max(
            deployed or self.now - self._window(), self.now - LONGEST_SPAN, self.given_since or self._epoch(), earliest
        )
        report = service.errors_since(since)
        gap = cut and deployed and deployed > cut and cut > self.now - LONGEST_SPAN
        return report, (service.errors_since(cut, deployed) if gap else None)  # type: ignore[arg-type]

    def _deployed_at(self, cut: datetime | None, deployments: tuple[Deployment, ...] | None) -> datetime | None:
        """Return when the code that runs now was deployed: errors before that moment are not its errors."""
        if cut is None:
            return None
        row = remembered.redeployed(self.look)
        moments = [cut, *([self._here(row.at)] if row else [])]
        moments += [datetime.fromisoformat(d.last_modified) for d in deployments or () if d.ok and not row]
        return min(max(moments), self.now)

    def _window(self) -> timedelta:
        return timedelta(minutes=self.services.watch.window_minutes)

    @staticmethod
    def _epoch() -> datetime:
        return datetime.fromtimestamp(0, UTC)

    def _files(self) -> tuple[str, ...] | None:
        """Return what is wrong with the files; None where they are not to be restored yet."""
        if self.cut is None:
            return None
        settings = self.services.repository
        assert settings is not None
        repository = settings.service()
        root = repository.root
        wrong = [f"{m.target} is not there" for m in settings.file_moves if not (root / m.target).is_file()]
        wrong += [f"{m.source} is still in the archive" for m in settings.file_moves if (root / m.source).exists()]
        wrong += [f"{path} is still there" for path in settings.removals if (root / path).exists()]
        if not wrong:
            left = references_left(repository, settings, self.migration)
            wrong += [f"{r.path}:{r.line} names {r.name} instead of {r.instead}" for r in left]
        return tuple(wrong)


def _filled(text: str, placeholders: Mapping[str, str]) -> str:
    for name, value in placeholders.items():
        text = text.replace("{" + name + "}", value)
    return text


def read_services(
    session: Session,
    migration: Migration,
    services: ServicesSettings,
    *,
    attempts: int | None = None,
    since: datetime | None = None,
) -> Reading:
    """Look at every configured service once. `attempts` 1 is a quick look; the default is patient with a deploy."""
    return _Reader(session, migration, services, attempts=attempts, since=since).read()


# --- verdicts --------------------------------------------------------------------------------------------------


Judge = Callable[[Reading, ServicesSettings], Verdict]


@dataclass(frozen=True)
class ServiceCheck:
    """A check of one service: what is known of it before it runs, and the function that judges a reading."""

    name: str
    service: str
    description: str
    judge: Judge

    def __call__(self, reading: Reading, services: ServicesSettings) -> Check:
        """Judge a reading. It stops a run only once something is rolled back."""
        why = reading.complaints.get(self.service)
        verdict = failed(f"Could not be looked at: {why}") if why else self.judge(reading, services)
        return Check.of(verdict, self.name, self.service, "service", "ERROR" if reading.restored else "WARN")


CATALOG: list[ServiceCheck] = []
"""Every check of a service, in the order in which they are declared below."""


def service_check(name: str, service: str) -> Callable[[Judge], ServiceCheck]:
    """Declare a check of a service. The first line of the function's docstring is what people read of it."""

    def declared(judge: Judge) -> ServiceCheck:
        made = ServiceCheck(name, service, (judge.__doc__ or name).strip().splitlines()[0], judge)
        CATALOG.append(made)
        return made

    return declared


def judge(reading: Reading, services: ServicesSettings) -> list[Check]:
    """Return the checks of the services that are configured."""
    return [check(reading, services) for check in CATALOG if getattr(services, check.service) is not None]


@service_check("lambda_deployed", LAMBDAS)
def lambda_deployed(reading: Reading, services: ServicesSettings) -> Verdict:
    """Every function was deployed after the cut-over and is active."""
    if not reading.restored:
        return not_applicable("Nothing was rolled back, so no deploy is due.")
    found = reading.deployments or ()
    wrong = [d for d in found if not d.ok]
    facts = {
        "functions": len(found),
        "not_deployed": len(wrong),
        "last_modified": {d.function: d.last_modified for d in found},
    }
    if not wrong:
        return passed(f"{_names(d.function for d in found)}: deployed after the cut-over.", facts)
    told = "; ".join(f"{d.function}: {d.reason}" for d in wrong)
    if services.deploy is None:
        return failed(f"{told}. Deploying is not configured: do it by hand.", facts, severity="WARN")
    return failed(f"{told}.", facts)


@service_check("endpoints", ENDPOINTS)
def endpoints(reading: Reading, services: ServicesSettings) -> Verdict:
    """Every probe answers as expected, with what the database has."""
    results = reading.probes or ()
    wrong = [r for r in results if not r.ok]
    facts = probe_facts(results) | {"endpoints": len(results), "failing": len(wrong)}
    if wrong:
        return failed("; ".join(_probe_told(r) for r in wrong) + ".", facts)
    if not results:
        return not_applicable("No probe is configured.", facts)
    slowest = max((r.latency_ms or 0.0 for r in results), default=0.0)
    return passed(f"{_names(r.name for r in results)}: as expected, slowest {slowest:.0f} ms.", facts)


def _probe_told(result: ProbeResult) -> str:
    sample = f" [{result.body_sample[:160]}]" if result.body_sample else ""
    return f"{result.name}: {result.kind}: {result.reason}{sample}"


def probe_facts(results: Sequence[ProbeResult]) -> dict[str, Any]:
    """Return numbers that plot: latency and success of each endpoint."""
    facts: dict[str, Any] = {}
    for result in results:
        facts[f"ok {result.name}"] = int(result.ok)
        if result.latency_ms is not None:
            facts[f"latency_ms {result.name}"] = result.latency_ms
    return facts


@service_check("logs", LOGS)
def logs(reading: Reading, services: ServicesSettings) -> Verdict:
    """No error in the log groups since the code that runs now was deployed."""
    report = reading.logs
    assert report is not None
    facts = log_facts(report)
    told = f"{counted(report.errors, 'error')} since {report.since[:19]}, {report.missing_tables} of them for a missing table"
    if reading.gap is not None:
        told += f"; between cut-over and deploy: {reading.gap.errors}"
        facts |= {
            "errors_before_deploy": reading.gap.errors,
            "missing_tables_before_deploy": reading.gap.missing_tables,
        }
    told += "".join(f" [{s.text}]" for s in report.samples[:2])
    notes = f" ({'; '.join(report.notes)})" if report.notes else ""
    return passed(f"{told}.{notes}", facts) if report.ok else failed(f"{told}.{notes}", facts)


def log_facts(report: LogReport) -> dict[str, Any]:
    """Return numbers that plot, and a few lines."""
    samples = [f"{s.at[:19]} {s.group}: {s.text}" for s in report.samples]
    return {
        "errors": report.errors,
        "missing_tables": report.missing_tables,
        "lines_read": report.lines_read,
        "since": report.since,
        **({"tables": report.tables} if report.tables else {}),
        **({"samples": samples} if samples else {}),
    }


@service_check("schema_files", REPOSITORY)
def schema_files(reading: Reading, services: ServicesSettings) -> Verdict:
    """Code and schema files are restored and name no new table."""
    if not reading.restored:
        return not_applicable("Nothing was rolled back, so the files keep the new names.")
    wrong = reading.files or ()
    if wrong:
        return failed("; ".join(wrong[:10]) + ".", {"wrong": len(wrong)})
    return passed("Restored, and no new table name is left in code or schema files.", {"wrong": 0})


def _names(names: Any) -> str:
    return ", ".join(names)
