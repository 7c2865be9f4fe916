"""The story in the Dagster UI: plan, launch, graph, checks, asset and sensor pages, in a real browser.

Set AICFG_SCREENSHOTS to a folder to keep the pictures (`make screenshots` does, for the docs).
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from dagster import DagsterInstance
from playwright.sync_api import Page, expect

from aicfg_pipeline.embedded.database import ensure_embedded, stop_embedded
from aicfg_pipeline_tests.tools import browser

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(browser.chromium() is None, reason="chromium is not installed (apt-get install chromium)"),
]


def shoot(page: Page, name: str) -> None:
    folder = os.environ.get("AICFG_SCREENSHOTS")
    if folder:
        page.wait_for_timeout(1500)
        page.screenshot(path=Path(folder) / f"{name}.png")


def test_a_rollback_is_launched_from_the_launchpad_and_its_checks_are_on_the_asset_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    try:
        with browser.dagster_ui(home, AICFG_SENSOR_SECONDS="3600") as address, browser.browser_page() as page:
            run_id = _launch(page, address)
            _look_at_assets(page, address)
        _events_are_in_postgres_after_a_restart(home, run_id, monkeypatch)
    finally:
        stop_embedded(home)


def _launch(page: Page, address: str) -> str:
    page.goto(f"{address}/locations/aicfg_pipeline/jobs/rollback")
    expect(page.get_by_text("copy_back_org_prompt_engineering").first).to_be_visible()
    shoot(page, "graph")
    page.goto(f"{address}/locations/aicfg_pipeline/jobs/rollback/playground")
    launch = page.get_by_role("button", name="Launch Run")
    expect(launch).to_be_enabled()
    shoot(page, "launchpad")
    launch.click()
    page.wait_for_url(re.compile(r"/runs/[0-9a-f-]{36}"))
    run_id = re.search(r"/runs/([0-9a-f-]{36})", page.url)
    expect(page.get_by_text("Success", exact=True).first).to_be_visible(timeout=90_000)
    shoot(page, "run")
    assert run_id is not None
    return run_id.group(1)


def _look_at_assets(page: Page, address: str) -> None:
    page.goto(f"{address}/assets/old/org_prompt_engineering?view=checks")
    expect(page.get_by_text("row_count").first).to_be_visible()
    expect(page.get_by_text("checksum").first).to_be_visible()
    expect(page.get_by_text(re.compile("Passed|passed")).first).to_be_visible()
    expect(page.get_by_text(re.compile("Failed|failed"))).to_have_count(0)
    shoot(page, "checks")
    page.goto(f"{address}/assets/old/org_prompt_engineering?view=overview")
    expect(page.get_by_text("Row count").first).to_be_visible()
    shoot(page, "asset")
    page.goto(f"{address}/asset-groups")
    shoot(page, "lineage")
    page.goto(f"{address}/locations/aicfg_pipeline/sensors/verification_sensor")
    expect(page.get_by_text("verification_sensor").first).to_be_visible()
    shoot(page, "sensor")


def _events_are_in_postgres_after_a_restart(home: Path, run_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stop_embedded(home)
    database = ensure_embedded(home)
    monkeypatch.setenv("DAGSTER_POSTGRES_URL", database.dagster_url)
    with DagsterInstance.from_config(str(home / "dagster")) as instance:
        run = instance.get_run_by_id(run_id)
        assert run is not None
        assert run.is_success
        steps = [r.event_log_entry.step_key for r in instance.get_records_for_run(run_id).records]
    assert {"plan", "compare", "cut_over", "verify", "report"} <= set(steps)
