"""Where a person opens things by a click: a run in Dagster's UI, a report. Never `file://`, which no browser opens there."""

from __future__ import annotations

from pathlib import Path

from dagster import MetadataValue

from aicfg_pipeline.environment import REPORTS_URL, UI_URL


def run_address(run_id: str) -> str | None:
    """Return where Dagster's UI shows a run; None where nobody has said where that UI is."""
    return _under(UI_URL.value(), f"runs/{run_id}")


def report_address(html: Path) -> str | None:
    """Return where a browser opens a report; None where reports are not served: then there is its path."""
    return _under(REPORTS_URL.value(), html.name)


def report_link(html: Path) -> MetadataValue[str]:
    """Return what opens a report from the run's page, else its path, to copy."""
    address = report_address(html)
    return MetadataValue.url(address) if address else MetadataValue.path(html)


def _under(base: str | None, name: str) -> str | None:
    return f"{base.strip().rstrip('/')}/{name}" if base and base.strip() else None
