"""The page: valid, self-contained, escaped, without secrets, and fitting a phone."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import html5lib
import pytest

from aicfg_pipeline.evidence import html, write
from aicfg_pipeline.evidence.facts import Evidence
from aicfg_pipeline.evidence.render import STATUS
from aicfg_pipeline.rollback.checks.check import Check
from aicfg_pipeline.runbook.by_hand import manual_steps
from aicfg_pipeline.services.settings import ServicesSettings
from aicfg_pipeline.spec import load as spec
from aicfg_pipeline_tests.evidence.samples import data_checks, entry, rolled_back, sample

CHROMIUM = Path("/usr/bin/chromium")
PAIRS = {p.old: p.new for p in spec.load().pairs}
REFUTED = {
    "before": {"rows": 3, "checksum": "1"},
    "after": {"rows": 4, "checksum": "2"},
    "differences": {"differences": 1, "unexplained": 1, "sample": [{"key": ["k1", 2], "kind": "extra"}]},
}


def variants() -> dict[str, Evidence]:
    """Every branch of the template."""
    failing = [
        *data_checks(passed=False),
        Check("grants", "sys_rag", "old", "failed", "anon may read", severity="WARN"),
    ]
    return {
        "succeeded": sample(),
        "by_hand": sample(by_hand=manual_steps(ServicesSettings(), spec.load()), who="ada"),
        "failed": sample(
            checks=failing, error="x\ny", hazards=[{"code": "dependents", "found": "v", "accepted": True}]
        ),
        "refused": sample(
            entries=[],
            error="hazards",
            checks=(),
            hazards=[{"code": "replica", "found": "f", "blocks": True, "remedy": "r"}],
        ),
        "refuted": sample(entries=[entry(1, "compare", "refuted", "sys_rag", facts=REFUTED)], error="gate", checks=()),
        "nothing": sample(entries=[], checks=(), migration=None, states_before={}, states_after={}, database=None),
        "undo": sample(kind="undo", entries=[entry(1, "undo", "done", "sys_rag", facts={"locks_held_ms": 2.5})]),
        "drop": sample(
            kind="drop",
            entries=[entry(1, "drop", "done", "sys_rag", facts={"exports": [{"file": "x.csv", "rows": 1}]})],
        ),
    }


@pytest.mark.parametrize("name", variants())
def test_a_strict_parser_finds_nothing(name):
    page = html(variants()[name], json_name="a.json")
    html5lib.HTMLParser(strict=True).parse(page)
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    referred = " ".join(re.findall(r'aria-labelledby="([^"]+)"', page)).split()
    assert set(referred) <= set(ids)


def test_nothing_is_fetched_and_nothing_is_run():
    page = html(sample(by_hand=manual_steps(ServicesSettings(), spec.load())), json_name="a.json")
    tree = html5lib.parse(page, namespaceHTMLElements=False)
    assert {e.tag for e in tree.iter() if isinstance(e.tag, str)} & {
        "script",
        "link",
        "img",
        "iframe",
        "object",
    } == set()
    assert [e.get("href") for e in tree.iter("a")] == ["a.json"]
    assert not [a for e in tree.iter() for a in e.attrib if a in ("src", "style") or a.startswith("on")]
    assert "url(" not in page
    assert "@import" not in page
    assert "prefers-color-scheme: dark" in page
    assert "@media print" in page
    assert "width=device-width" in page


def test_what_it_says():
    page = html(sample())
    text = " ".join("".join(html5lib.parse(page, namespaceHTMLElements=False).find("body").itertext()).split())
    for said in (
        "The rollback succeeded.",
        "sys_rag and org_prompt_engineering are tables again",
        "app@10.0.0.7:5432",
        "How to undo",
        "Possible until 2026-11-29 16:01:02 UTC",
        "dagster job execute -m aicfg_pipeline.definitions -j undo_rollback",
        "keys written since 1",
        "locks held 4.7 ms",
        "New tables (ai_cfg_sys_rag, ai_cfg_org_prompts) do not exist",
    ):
        assert said in text


def test_a4_what_is_a_persons_now_stands_above_everything_else():
    page = html(variants()["by_hand"])
    tree = html5lib.parse(page, namespaceHTMLElements=False)
    assert "".join(tree.find(".//h1").itertext()) == "!The database is rolled back. 4 steps are yours now."
    assert tree.find(".//header").get("class") == "warn"
    first = next(tree.iter("section"))
    assert "".join(first.find("h2").itertext()) == "Yours now, in this order"
    text = " ".join("".join(first.itertext()).split())
    assert "git grep -nwE 'ai_cfg_sys_rag|ai_cfg_org_prompts'" in text
    assert "./scripts/deploy-lambda.sh module-ai/ai-config-handler" in text


def test_what_did_not_pass_is_never_under_a_green_head():
    """A4: a check that warns stops nothing, and is no reason to be at ease."""
    warned = [*data_checks(), Check("endpoints", "endpoints", "service", "failed", "500", severity="WARN")]
    page = html(sample(checks=warned, kind="undo", entries=[entry(1, "undo", "done", "sys_rag")]))
    assert html5lib.parse(page, namespaceHTMLElements=False).find(".//header").get("class") == "warn"


def test_table_headers_have_a_scope():
    tree = html5lib.parse(html(variants()["refuted"]), namespaceHTMLElements=False)
    headers = list(tree.iter("th"))
    assert headers
    assert all(h.get("scope") in ("row", "col") for h in headers)
    assert [e.tag for e in tree.iter() if e.tag == "h1"] == ["h1"]


def test_markup_in_facts_is_text():
    evil = '<script>alert("x")</script>\'"><img src=x onerror=1>'
    page = html(planted(sample(error="e"), evil))
    tree = html5lib.parse(page, namespaceHTMLElements=False)
    assert not list(tree.iter("script"))
    assert not list(tree.iter("img"))
    html5lib.HTMLParser(strict=True).parse(page)


SECRETS = (
    "postgresql://admin:hunter2secret@db.example/app",
    "password=hunter2secret",
    'the token: "hunter2secret"',
    "Authorization: Bearer hunter2secret",
    "got Bearer hunter2secret back",
    "plain hunter2secret",
)


@pytest.mark.parametrize("secret", SECRETS)
def test_no_secret_wherever_it_is_planted(secret, tmp_path):
    evidence = planted(sample(error="e", by_hand=manual_steps(ServicesSettings(), spec.load())), secret)
    known = ["hunter2secret"] if secret.startswith("plain") else []
    for path in write(evidence, tmp_path, secrets=known):
        assert "hunter2secret" not in path.read_text()
    if not known:
        assert "hunter2secret" not in html(evidence)


def planted(evidence: Evidence, text: str) -> Evidence:
    """The same evidence with `text` in every field that may hold any text."""

    def plant(value: Any, field: str = "") -> Any:
        if isinstance(value, dict):
            return {k: plant(v, k) for k, v in value.items()} | ({text: text} if field == "facts" else {})
        if isinstance(value, list):
            return [plant(v, field) for v in value]
        fixed = {"kind", "outcome", "severity", "status", "when", "until", "at", "started", "ended"}
        if isinstance(value, str) and field not in fixed:
            return f"{value} {text}"
        return value

    data = json.loads(evidence.model_dump_json())
    made = plant(data)
    for step in made["timeline"]:
        step["outcome"] = f"done {text}"
    for part in made["pairs"]:
        for comparison in part["comparisons"]:
            comparison["sample"] = [{"key": [text], "kind": text}]
    return Evidence.model_validate(made)


def test_every_status_has_a_sign():
    assert set(STATUS) == {"passed", "warned", "failed", "not_run", "not_configured", "not_applicable"}


@pytest.mark.skipif(not CHROMIUM.exists(), reason="needs Chromium")
@pytest.mark.parametrize("name", ["by_hand", "failed"])
def test_fits_a_phone_and_prints_open(name, tmp_path):
    playwright = pytest.importorskip("playwright.sync_api")
    old = "a_table_whose_name_is_as_long_as_postgresql_lets_a_name_become_63"
    evidence = variants()[name] if name == "by_hand" else sample(entries=rolled_back(old), migration=None)
    page_path, _ = write(evidence, tmp_path)
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 360, "height": 800})
        problems: list[str] = []
        page.on("console", lambda message: problems.append(message.text))
        page.on("request", lambda request: problems.append(request.url) if "file:" not in request.url else None)
        page.goto(page_path.as_uri())
        page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        assert page.locator("svg:visible").count() == 1
        page.emulate_media(media="print")
        assert page.locator("svg:visible").count() == 1
        assert problems == []
        browser.close()


def test_a_check_that_does_not_apply_is_grey_and_counted_apart():
    """12 A5."""
    checks = [*data_checks(), Check("views_gone", "sys_rag", "view", "not_applicable", "There is nothing to check.")]
    page = html(sample(checks=checks))
    told = page[page.index('<h2 id="checks">') :]
    assert "2 of 2 passed, 1 does not apply" in told[:200]
    idle = told[told.index('<p class="idle">') :]
    assert '<span class="mark none"' in idle[:100]
    assert "views_gone" in idle[:400]


def test_no_check_is_told_twice_and_what_did_not_pass_comes_first():
    """The runbook's checklist names its checks; what each saw stands once, in the section of the checks."""
    wrong = [
        Check("structure", "sys_rag", "old", "failed", "An index is missing."),
        Check("grants", "sys_rag", "old", "failed", "anon may read.", severity="WARN"),
    ]
    page = html(sample(checks=[*data_checks(), *wrong]))
    for told in ("400 rows before, 401 after.", "Checksums told apart.", "An index is missing.", "anon may read."):
        assert page.count(told) == 1
    assert page.index("An index is missing.") < page.index("anon may read.") < page.index("400 rows before")
    rows = html5lib.parse(page, namespaceHTMLElements=False).findall(".//table[@class='checks']/tbody/tr")
    assert [[cell for cell in row if not "".join(cell.itertext()).strip()] for row in rows] == [[], []]


def test_where_no_check_was_run_there_is_no_checklist_of_empty_lines():
    assert sample(checks=()).checklist == []
    assert 'id="checklist"' not in html(sample(checks=()))
