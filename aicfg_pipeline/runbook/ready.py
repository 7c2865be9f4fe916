"""Before anything is touched: everything that is configured is tried, and nothing is changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from aicfg_pipeline.errors import PipelineError, ServiceError
from aicfg_pipeline.runbook.functions import concurrency_in_words
from aicfg_pipeline.services.settings import ServicesSettings


def check_services(services: ServicesSettings) -> tuple[list[str], list[str]]:
    """Try everything that is configured without changing it. Returns what was found, and what is wrong.

    An endpoint that fails is no complaint: that is why someone rolls back. One that can't be asked at all is.
    """
    found: list[str] = []
    wrong: list[str] = []
    for name, check in _CHECKS.items():
        if getattr(services, name) is not None:
            with _complaining(name, wrong):
                found += [f"{name}: {line}" for line in check(services)]
    return found, wrong


def refuse(wrong: Sequence[str]) -> None:
    """Raise `ServiceError` with every complaint at once, if there is one."""
    if wrong:
        raise ServiceError(
            f"{len(wrong)} of the configured services can't be used. Nothing was touched.",
            complaints=wrong,
            expected="every service that is configured to be ready",
            remedy="Mend what is named; a service that is left out of the file (AICFG_SERVICES) is done by hand.",
        )


@contextmanager
def _complaining(name: str, wrong: list[str]) -> Iterator[None]:
    try:
        yield
    except PipelineError as error:
        told = "; ".join([error.found, *error.complaints])
        wrong.append(f"{name}: {told}" + (f" (what to do: {error.remedy})" if error.remedy else ""))


def _check_lambdas(services: ServicesSettings) -> list[str]:
    assert services.lambdas is not None
    states = services.lambdas.service().read().functions
    return [f"{s.name}: reserved concurrency {concurrency_in_words(s.reserved_concurrency)}, {s.state}" for s in states]


def _check_logs(services: ServicesSettings) -> list[str]:
    assert services.logs is not None
    skew = services.logs.service().read_clock()
    return [f"{', '.join(services.logs.log_groups)}" + (f"; its clock is {skew:+g} s off" if skew else "")]


def _check_repository(services: ServicesSettings) -> list[str]:
    assert services.repository is not None
    settings = services.repository
    repository = settings.service()
    moved = [path for move in settings.file_moves for path in (move.source, move.target)]
    commit = repository.check([*settings.code_paths, *moved, *settings.removals], settings.commit)
    branch, head = repository.head()
    return [f"{repository.root} on {branch or head[:12]}, to be taken back to {(commit or '')[:12]}"]


def _check_deploy(services: ServicesSettings) -> list[str]:
    assert services.deploy is not None
    return [f"{services.deploy.service().check()}"]


def _check_endpoints(services: ServicesSettings) -> list[str]:
    assert services.endpoints is not None
    service = services.endpoints.service()
    results = [service.probe(probe.probe(), attempts=1) for probe in services.endpoints.probes]
    hopeless = [f"{r.name}: {r.reason}" for r in results if r.kind in ("unauthorized", "tls")]
    if hopeless:
        raise ServiceError(
            "the endpoints can't be asked, so the rollback could not be verified",
            complaints=hopeless,
            remedy=f"set {services.endpoints.token_variable} to a token that is valid, or mend the certificate",
        )
    return [f"{r.name}: {'answers' if r.ok else r.kind}: {r.reason}" for r in results]


_CHECKS: dict[str, Callable[[ServicesSettings], list[str]]] = {
    "lambdas": _check_lambdas,
    "repository": _check_repository,
    "deploy": _check_deploy,
    "endpoints": _check_endpoints,
    "logs": _check_logs,
}
