"""The Dagster UI as a person uses it: started by the command behind `make dev`, driven in headless Chromium."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from playwright.sync_api import Page, sync_playwright

from aicfg_pipeline_tests.tools.jobs import PROJECT
from aicfg_pipeline_tests.tools.servers import free_port

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WINDOW = {"width": 1500, "height": 950}


def chromium() -> str | None:
    """Return Debian's Chromium, or None where it is not installed."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


@contextmanager
def dagster_ui(home: Path, *, seconds: float = 90, **environment: str) -> Iterator[str]:
    """Start the UI on a free port and yield its address; the whole process group ends at the end."""
    port = free_port()
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("AICFG_", "DAGSTER_"))}
    log = (home / "ui.log").open("w")
    process = subprocess.Popen(
        [sys.executable, "-m", "aicfg_pipeline.local", "dev", "--port", str(port)],
        cwd=PROJECT,
        env=kept | {"AICFG_HOME": str(home)} | environment,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        address = f"http://127.0.0.1:{port}"
        _await_ready(address, time.monotonic() + seconds, home / "ui.log")
        yield address
    finally:
        os.killpg(process.pid, signal.SIGINT)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
        log.close()


def _await_ready(address: str, until: float, log: Path) -> None:
    query = {
        "query": "{workspaceOrError{... on Workspace{locationEntries{name loadStatus locationOrLoadError{__typename}}}}}"
    }
    while time.monotonic() < until:
        try:
            answer = httpx.post(f"{address}/graphql", json=query, timeout=5).json()
            entries = answer["data"]["workspaceOrError"]["locationEntries"]
            if entries and entries[0]["locationOrLoadError"]["__typename"] == "RepositoryLocation":
                return
        except (httpx.HTTPError, KeyError, TypeError, ValueError):
            pass
        time.sleep(0.5)
    raise AssertionError(f"the UI did not come up:\n{log.read_text()[-3000:]}")


@contextmanager
def browser_page() -> Iterator[Page]:
    """Yield a page of a headless Chromium."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        try:
            page = browser.new_page(viewport=WINDOW)  # type: ignore[arg-type]
            page.set_default_timeout(60_000)
            yield page
        finally:
            browser.close()
