"""The story in the Dagster UI, by clicks, from Jobs to the opened report; on the demo and on a server of one's own.

Set AICFG_SCREENSHOTS to a folder to keep the pictures, cropped to what they show (`make screenshots` does, for the docs).
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import psycopg
import pytest
from dagster import DagsterInstance
from playwright.sync_api import Page, expect

from aicfg_pipeline.embedded.database import ensure_embedded, stop_embedded
from aicfg_pipeline_tests.tools import browser
from aicfg_pipeline_tests.tools.servers import Database, Servers, fill_migrated, fill_old

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(browser.chromium() is None, reason="chromium is not installed (apt-get install chromium)"),
]

WAITS = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
MENU = 240
MOST_PAGES = 6


def shoot(
    page: Page, name: str, *, left: int = MENU, width: int = 1500 - MENU, top: int = 0, height: int = 950
) -> None:
    """Keep a picture of a part of the page: without the menu, and no more than is told of it."""
    folder = os.environ.get("AICFG_SCREENSHOTS")
    if folder:
        page.wait_for_timeout(1500)
        clip = {"x": left, "y": top, "width": width, "height": height}
        page.screenshot(path=Path(folder) / f"{name}.png", clip=clip)  # type: ignore[arg-type]


def test_on_the_demo_a_rollback_is_launched_by_clicks_and_its_report_opens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    try:
        with browser.dagster_ui(home, AICFG_SENSOR_SECONDS="3600") as address, browser.browser_page() as page:
            launchpad(page, address, "rollback")
            run_id = launched(page)
            expect(page.get_by_text("Success", exact=True).first).to_be_visible(timeout=90_000)
            shoot(page, "run", height=598)
            _open_report(page, "rollback")
            _look_at_assets(page, address)
        _events_are_in_postgres_after_a_restart(home, run_id, monkeypatch)
    finally:
        stop_embedded(home)


def test_on_a_server_of_ones_own_it_takes_the_name_and_a_run_that_is_terminated_ends_with_its_words(
    servers: Servers, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    server = servers.get(16)
    server.template("old", fill_old)
    try:
        with (
            server.database("migrated", fill_migrated, parent="old") as database,
            browser.dagster_ui(home, AICFG_SENSOR_SECONDS="3600", AICFG_DATABASE_URL=database.url) as address,
            browser.browser_page() as page,
        ):
            launchpad(page, address, "rollback")
            expect(page.get_by_role("button", name="Launch Run")).to_be_disabled()  # before the target is named
            _terminated(page, database)
            assert database.exists("public.ai_cfg_sys_rag") == "r"
            launchpad(page, address, "rollback")
            fill(page, database.name)
            launched(page)
            expect(page.get_by_text("Success", exact=True).first).to_be_visible(timeout=90_000)
            _open_report(page, "rollback")
            assert database.exists("public.sys_rag") == "r"
    finally:
        stop_embedded(home)


# --- the clicks ------------------------------------------------------------------------------------------------


def launchpad(page: Page, address: str, job: str) -> None:
    """Go from the front page to a job's launchpad."""
    page.goto(address)
    page.locator("a[href='/jobs']").first.click()
    link = page.locator(f"a[href$='/jobs/{job}'], a[href$='/jobs/{job}/']").first
    expect(link).to_be_visible()
    shoot(page, "jobs", height=500)
    link.click()
    expect(page.get_by_text("copy_back_org_prompt_engineering").first).to_be_visible()
    shoot(page, "graph")
    page.locator("a[href*='/playground']").first.click()
    expect(page.get_by_role("button", name="Launch Run")).to_be_visible()


def fill(page: Page, confirmed: str) -> None:
    """Write a run.yaml into the launchpad, as a person does."""
    page.locator(".CodeMirror").first.click()
    page.keyboard.press("Control+A")
    page.keyboard.insert_text(f"confirm_database: {confirmed}\nreason: the endpoint is down\n")


def launched(page: Page) -> str:
    """Launch; return the run's id."""
    launch = page.get_by_role("button", name="Launch Run")
    expect(launch).to_be_enabled()
    shoot(page, "launchpad")
    launch.click()
    page.wait_for_url(re.compile(r"/runs/[0-9a-f-]{36}"))
    found = re.search(r"/runs/([0-9a-f-]{36})", page.url)
    assert found is not None
    return found.group(1)


def _open_report(page: Page, kind: str) -> None:
    """15.6: the report opens by a click, links back to the run, and prints on six pages (15.12)."""
    run = page.url
    link = page.locator(f"a[href*='/{kind}-'][href$='.html']").first
    assert (link.get_attribute("href") or "").startswith("http://127.0.0.1:")
    with page.context.expect_page() as opened:
        link.click()
    report = opened.value
    expect(report.locator("h1")).to_contain_text("The database is rolled back")
    assert report.get_by_role("link", name=re.compile(r"^[0-9a-f-]{36}$")).get_attribute("href") in run
    shoot(report, "report", left=0, width=1500)
    assert len(re.findall(rb"/Type\s*/Page\b", report.pdf(format="A4"))) <= MOST_PAGES
    report.close()


def _terminated(page: Page, database: Database) -> None:
    """Terminate a rollback that waits for a lock; nothing has changed then, and it says so."""
    with psycopg.connect(database.url) as other:
        other.execute(
            "UPDATE ai_cfg_sys_rag SET updated_at = updated_at; UPDATE ai_cfg_org_prompts SET org_id = org_id"
        )
        fill(page, database.name)
        launched(page)
        for _ in range(600):
            if database.query(WAITS):
                break
            page.wait_for_timeout(100)
        page.get_by_role("button", name="Terminate").first.click()
        page.get_by_role("dialog").get_by_role("button", name=re.compile("Terminate")).first.click()
        expect(page.get_by_text(re.compile("Stopped by you in copy_back_")).first).to_be_visible(timeout=60_000)
        expect(page.get_by_text(re.compile("Nothing has changed for anyone")).first).to_be_visible()
        other.rollback()


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
    if os.environ.get("AICFG_SCREENSHOTS"):
        page.goto(f"{address}/asset-groups")
        shoot(page, "lineage", left=MENU + 320, width=920, top=330, height=300)
    page.goto(f"{address}/locations/aicfg_pipeline/sensors/verification_sensor")
    expect(page.get_by_text("verification_sensor").first).to_be_visible()
    shoot(page, "sensor", height=560)


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
