"""The docs: a site that builds strictly and without a network, a reference that is the code's, a runbook map that is true."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from aicfg_pipeline.orchestration.config import FIELDS
from aicfg_pipeline.rollback.hazards import CODES
from aicfg_pipeline.rollback.state import State
from aicfg_pipeline.rollback.steps.verify import CHECKS
from aicfg_pipeline.runbook.checks import CATALOG as SERVICE_CHECKS
from aicfg_pipeline.runbook.reasons import CATALOG as REASONS
from aicfg_pipeline.spec.said import MigrationFile
from aicfg_pipeline_tests.tools import reference
from aicfg_pipeline_tests.tools.jobs import PROJECT

DOCS = PROJECT / "docs"
MAP = DOCS / "runbook-map.md"
FETCHED = re.compile(r"""(?:src|href)=["']?https?://[^"'\s>]+\.(?:css|js|woff2?|png|svg|ico)|@import|fonts\.g""")


def test_the_site_builds_strictly_and_fetches_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for page in (tmp_path / "site").rglob("*.html"):
        assert FETCHED.findall(page.read_text(encoding="utf-8")) == [], page.name
    for part in ("tutorial", "how-to", "reference", "decisions", "benchmarks"):
        assert list((tmp_path / "site" / part).glob("*.html"))


@pytest.mark.parametrize("name", reference.pages())
def test_the_reference_is_what_the_code_says(name: str) -> None:
    assert (DOCS / "reference" / name).read_text(encoding="utf-8") == reference.pages()[name], (
        "python -m aicfg_pipeline_tests.tools.reference writes it anew"
    )


def test_every_key_of_a_services_file_is_explained() -> None:
    lines = reference.pages()["services.md"].splitlines()
    assert [line for line in lines if line.startswith("| `") and line.rstrip().endswith("|  |")] == []


def test_the_readme_stays_one_screen() -> None:
    """Of prose: the settings' table is generated, and every setting has to stand somewhere."""
    text = (PROJECT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 140


# --- the runbook map -------------------------------------------------------------------------------------------


def lines_of_the_map() -> list[tuple[str, str]]:
    rows = [
        line.strip("|").split(" | ", 1) for line in MAP.read_text(encoding="utf-8").splitlines() if line[:2] == "| "
    ]
    return [(left.strip(), right.strip(" |")) for left, right in rows if left.strip() != "runbook"]


def ops() -> set[str]:
    from aicfg_pipeline.definitions import defs

    jobs = {name: defs.resolve_job_def(name) for name in reference.JOBS}
    return {node for job in jobs.values() for node in job.graph.node_dict} | set(jobs)


def test_the_map_has_every_line_of_the_runbook() -> None:
    found = lines_of_the_map()
    assert len(found) == 42
    assert len({left for left, _ in found}) == len(found)


@pytest.mark.parametrize(("runbook", "here"), lines_of_the_map(), ids=lambda text: text[:40])
def test_what_the_map_names_is_there(runbook: str, here: str) -> None:
    checks = {c.name for c in (*CHECKS, *SERVICE_CHECKS, *REASONS)}
    sensors = {"services_sensor", "verification_sensor", "failure_alert"}
    known = (
        ops()
        | checks
        | sensors
        | CODES
        | {str(s) for s in State}
        | set(FIELDS)
        | set(MigrationFile.model_fields)
        | {"aicfg_rollback"}
    )
    named = re.findall(r"`([a-z_]+…?)`(?! on a copy \(planned\))", here)
    unknown = [n for n in named if not any(k.startswith(n[:-1]) if n.endswith("…") else k == n for k in known)]
    assert unknown == [], f"{runbook}: {here}"
    assert named or re.search(r"decision|not so|see \d|asset `service/", here), f"nothing stands for {runbook!r}"
