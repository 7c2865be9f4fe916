"""The picture of the timeline: to scale, inside its frame, readable at any length of time."""

from __future__ import annotations

from datetime import timedelta
from xml.etree import ElementTree

import pytest

from aicfg_pipeline.evidence.facts import Stage, Step
from aicfg_pipeline.evidence.svg import NARROW, SHORTEST_BAR, WIDE, lanes, ticks, timeline
from aicfg_pipeline_tests.evidence.samples import START

SVG = "{http://www.w3.org/2000/svg}"


def step(name: str, at: float, seconds: float, pair: str | None = None, locks: float | None = None) -> Step:
    done = START + timedelta(seconds=at)
    return Step(
        step=name,
        outcome="done",
        pair=pair,
        run_id="r",
        started=done - timedelta(seconds=seconds),
        at=done,
        seconds=seconds,
        locks_held_ms=locks,
    )


def drawn(steps, layout=WIDE):
    return ElementTree.fromstring(str(timeline(steps, layout=layout)))


def boxes(tree, kind):
    return [
        (float(r.get("x")), float(r.get("width"))) for r in tree.iter(f"{SVG}rect") if r.get("class").split()[0] == kind
    ]


def test_nothing_to_draw():
    assert timeline([]) == ""


def test_bars_are_to_scale():
    tree = drawn([step("a", 10, 10), step("b", 40, 20)])
    room = WIDE.right - WIDE.left
    assert boxes(tree, "bar") == [
        (WIDE.left, pytest.approx(room / 4, abs=0.01)),
        (pytest.approx(WIDE.left + room / 2, abs=0.01), pytest.approx(room / 2, abs=0.01)),
    ]


@pytest.mark.parametrize("layout", [WIDE, NARROW])
@pytest.mark.parametrize("entries", [1, 2, 60])
@pytest.mark.parametrize("total", [0.0, 0.001, 0.4, 75, 9_000, 400_000])
def test_everything_stays_inside(layout, entries, total):
    steps = [
        step(f"step_{i}", total * (i + 1) / entries, total / entries / 1000, "t" * 63, locks=0.4 if i % 2 else None)
        for i in range(entries)
    ]
    tree = drawn(steps, layout)
    for kind in ("bar", "locks"):
        for x, width in boxes(tree, kind):
            assert width >= SHORTEST_BAR
            assert layout.left - 0.01 <= x
            assert x + width <= layout.right + 0.01
    assert len(boxes(tree, "bar")) == entries
    _, _, _, height = map(float, tree.get("viewBox").split())
    assert height == layout.top + layout.lane * entries + 8
    assert all(float(t.get("y")) <= height for t in tree.iter(f"{SVG}text"))


@pytest.mark.parametrize("layout", [WIDE, NARROW])
def test_labels_never_meet(layout):
    steps = [step("a_very_long_step_name", 3600, 5000.5, "p" * 63, locks=123456.0), step("b", 9999, 1, "q", locks=1.0)]
    tree = drawn(steps, layout)
    names = [t for t in tree.iter(f"{SVG}text") if t.get("class") == "name"]
    totals = [t for t in tree.iter(f"{SVG}text") if t.get("class") == "total"]
    for name, total in zip(names, totals, strict=True):
        shown = "".join(p for p in name.itertext())[len(name.find(f"{SVG}title").text) :]
        ends = float(name.get("x")) + len(shown) * 6.7 + 6
        begins = float(total.get("x")) - len("".join(total.itertext())) * 6.7 - 8
        assert ends <= (layout.left if not layout.stacked else begins + 8)
        assert begins >= (layout.right if not layout.stacked else 0)


def test_lanes_gather_what_one_step_did_for_one_pair():
    steps = [step("copy", 5, 1, "b"), step("copy", 2, 1, "a"), step("copy", 9, 2, "b"), step("swap", 10, 1, locks=4.0)]
    assert [(lane.step, lane.pair, lane.seconds, lane.locks_held_ms) for lane in lanes(steps)] == [
        ("copy", "a", 1, None),
        ("copy", "b", 3, None),
        ("swap", None, 1, 4.0),
    ]


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0.001, [0, 0.0002, 0.0004, 0.0006, 0.0008, 0.001]),
        (0.197, [0, 0.05, 0.1, 0.15]),
        (9, [0, 2, 4, 6, 8]),
        (75, [0, 15, 30, 45, 60, 75]),
        (9000, [0, 1800, 3600, 5400, 7200, 9000]),
    ],
)
def test_ticks_are_round(seconds, expected):
    assert ticks(seconds, 6) == pytest.approx(expected)


def test_names_are_escaped_and_described():
    tree = drawn([step("a<b>&", 1, 1, '"q"')])
    assert tree.find(f"{SVG}title").text == "Timeline of steps and locks"
    assert 'a<b>& "q": 1.0 s' in tree.find(f"{SVG}desc").text
    assert tree.get("role") == "img"
    assert tree.get("aria-labelledby") == "timeline-title timeline-desc"


def stage(name: str, start: float, end: float) -> Stage:
    return Stage(name=name, started=START + timedelta(seconds=start), ended=START + timedelta(seconds=end))


def test_an_op_that_left_nothing_in_the_ledger_has_a_bar_too_and_entries_stand_on_their_op():
    """15.12: whatever took time has a bar: looks, waits and services, not only what was written down."""
    stages = [stage("plan", 0, 10), stage("copy_back_a", 10, 20), stage("verify", 20, 40)]
    steps = [step("copy_back", 15, 2, "a"), step("copy_back", 19, 1, "a"), step("elsewhere", 50, 1)]
    found = lanes(steps, stages)
    assert [(lane.step, lane.seconds, len(lane.entries)) for lane in found] == [
        ("plan", 10, 0),
        ("copy_back_a", 10, 2),
        ("verify", 20, 0),
        ("elsewhere", 1, 1),
    ]
    tree = ElementTree.fromstring(str(timeline(steps, stages)))
    room = WIDE.right - WIDE.left
    assert [width for _, width in boxes(tree, "op")] == [pytest.approx(room * s / 50, abs=0.01) for s in (10, 10, 20)]
    assert len(boxes(tree, "bar")) == 3
    assert "verify: 20 s" in tree.find(f"{SVG}desc").text
