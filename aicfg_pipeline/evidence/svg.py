"""The timeline as a picture: one lane per step and pair, bars to scale, and where locks were held.

Returns SVG text that takes its colours from the page's style sheet. Which steps there are is not decided here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from math import ceil, floor, log10

from markupsafe import Markup, escape

from aicfg_pipeline.evidence.facts import Stage, Step
from aicfg_pipeline.evidence.words import clock, duration, shortened, title, when

SHORTEST_BAR = 4.0
_STEPS_OF_AN_AXIS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)


@dataclass(frozen=True)
class Layout:
    """Measures of one picture, in its own units. `stacked` puts the labels above the bars, for narrow pages."""

    width: float
    label: float
    total: float
    lane: float
    ticks: int
    stacked: bool = False
    top: float = 30.0
    letter: float = 6.7

    @property
    def left(self) -> float:
        """Where the scale begins."""
        return 2.0 if self.stacked else self.label

    @property
    def right(self) -> float:
        """Where the scale ends."""
        return self.width - (2.0 if self.stacked else self.total)


WIDE = Layout(width=960, label=248, total=200, lane=34, ticks=6)
NARROW = Layout(width=360, label=0, total=0, lane=46, ticks=4, stacked=True)


@dataclass
class Lane:
    """One lane: an op with all that the ledger has of it; without an op, everything that one step did for one pair."""

    step: str
    pair: str | None
    entries: list[Step] = field(default_factory=list)
    stage: Stage | None = None

    @property
    def started(self) -> datetime:
        """When it began."""
        return self.stage.started if self.stage else min(e.started for e in self.entries)

    @property
    def seconds(self) -> float:
        """How long it worked."""
        if self.stage:
            return (self.stage.ended - self.stage.started).total_seconds()
        return sum(e.seconds for e in self.entries)

    @property
    def locks_held_ms(self) -> float | None:
        """How long it held locks."""
        held = [e.locks_held_ms for e in self.entries if e.locks_held_ms is not None]
        return max(held) if held else None


def lanes(timeline: Sequence[Step], stages: Sequence[Stage] = ()) -> list[Lane]:
    """Return the lanes in the order in which they begin. An entry of the ledger is drawn on the op that wrote it."""
    of_stages = [Lane(s.name, None, stage=s) for s in stages]
    found: dict[tuple[str, str | None], Lane] = {}
    for entry in timeline:
        of_its_op = [lane for lane, s in zip(of_stages, stages, strict=True) if s.started <= entry.at <= s.ended]
        lane = of_its_op[-1] if of_its_op else found.setdefault((entry.step, entry.pair), Lane(entry.step, entry.pair))
        lane.entries.append(entry)
    return sorted([*of_stages, *found.values()], key=lambda lane: lane.started)


def ticks(seconds: float, most: int) -> list[float]:
    """Return round times from 0 to `seconds`, `most` of them or fewer."""
    apart = max(seconds, 1e-6) / max(most, 1)
    if apart >= 1:
        step: float = next((s for s in _STEPS_OF_AN_AXIS if s >= apart), ceil(apart / 86400) * 86400)
    else:
        power = 10 ** floor(log10(apart))
        step = next(power * f for f in (1, 2, 5, 10) if power * f >= apart * 0.999999)
    return [round(step * i, 9) for i in range(floor(seconds / step + 1e-9) + 1)]


def timeline(
    steps: Sequence[Step], stages: Sequence[Stage] = (), *, layout: Layout = WIDE, name: str = "timeline"
) -> Markup:
    """Draw the timeline; an empty text where there is nothing to draw. `name` makes the ids in it unique."""
    steps = [s for s in steps if s.step != "run"]  # a run's own rows frame it; they take no time
    if not steps and not stages:
        return Markup("")
    drawn = lanes(steps, stages)
    begin = min(lane.started for lane in drawn)
    ends = [*(s.at for s in steps), *(s.ended for s in stages)]
    seconds = max((max(ends) - begin).total_seconds(), 0.001)
    height = layout.top + layout.lane * len(drawn) + 8
    scale = _Scale(layout, begin, seconds)
    body = [*_axis(scale, height), *(part for i, lane in enumerate(drawn) for part in _lane(scale, lane, i))]
    held = [lane.locks_held_ms for lane in drawn if lane.locks_held_ms is not None]
    told = f"{len(drawn)} lanes over {duration(seconds)} from {when(begin)}."
    told += f" Locks were held for at most {duration(max(held) / 1000)}." if held else " No locks are recorded."
    each = "; ".join(f"{_label(lane)}: {duration(lane.seconds)}" for lane in drawn)
    return Markup(  # noqa: S704 - every text in it is escaped right here
        f'<svg class="timeline" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {layout.width:g} {height:g}" role="img"'
        f' aria-labelledby="{name}-title {name}-desc"><title id="{name}-title">Timeline of steps and locks</title>'
        f'<desc id="{name}-desc">{escape(told)} {escape(each)}.</desc>{"".join(body)}</svg>'
    )


@dataclass(frozen=True)
class _Scale:
    layout: Layout
    begin: datetime
    seconds: float

    @property
    def room(self) -> float:
        return self.layout.right - self.layout.left

    def x(self, at: datetime) -> float:
        return self.layout.left + self.room * (at - self.begin).total_seconds() / self.seconds

    def bar(self, start: datetime, end: datetime) -> tuple[float, float]:
        """Left edge and width: to scale, readable, and inside the picture. Short bars keep their end."""
        left, right = self.x(start), self.x(end)
        width = max(right - left, SHORTEST_BAR)
        left = min(max(right - width, self.layout.left), self.layout.right - width)
        return left, width


def _axis(scale: _Scale, height: float) -> list[str]:
    layout, parts = scale.layout, []
    for seconds in ticks(scale.seconds, layout.ticks):
        x = layout.left + scale.room * seconds / scale.seconds
        label = duration(seconds) if seconds else "0"
        place = "start" if seconds == 0 else "end" if x > layout.right - 24 else "middle"
        parts.append(f'<line class="grid" x1="{x:.1f}" y1="22" x2="{x:.1f}" y2="{height - 6:.1f}"/>')
        parts.append(f'<text class="tick" x="{x:.1f}" y="14" text-anchor="{place}">{escape(label)}</text>')
    return parts


def _label(lane: Lane) -> str:
    return f"{title(lane.step)} {lane.pair}" if lane.pair else title(lane.step)


def _of(entry: Step) -> str:
    return " ".join(filter(None, [title(entry.step), entry.pair]))


def _lane(scale: _Scale, lane: Lane, index: int) -> list[str]:
    layout = scale.layout
    top = layout.top + layout.lane * index
    middle = top + (layout.lane - 14 if layout.stacked else layout.lane / 2)
    parts = [] if layout.stacked else [_zebra(layout, top, index)]
    parts += _labels(layout, lane, top, middle)
    if lane.stage:
        left, width = scale.bar(lane.stage.started, lane.stage.ended)
        parts.append(_rectangle("op", left, middle - 6, width, 12, f"{_label(lane)}: {duration(lane.seconds)} in all"))
    for entry in lane.entries:
        left, width = scale.bar(entry.started, entry.at)
        told = f"{_of(entry)}: {title(entry.outcome)}, {duration(entry.seconds)}, recorded at {clock(entry.at)}"
        kind = "bar bad" if entry.outcome in ("failed", "refuted") else "bar"
        parts.append(_rectangle(kind, left, middle - 6, width, 12, told))
    for entry in lane.entries:
        if entry.locks_held_ms is not None:
            parts.append(_locks(scale, entry, middle))
    return parts


def _zebra(layout: Layout, top: float, index: int) -> str:
    kind = "lane odd" if index % 2 else "lane"
    return f'<rect class="{kind}" x="0" y="{top:g}" width="{layout.width:g}" height="{layout.lane:g}"/>'


def _locks(scale: _Scale, entry: Step, middle: float) -> str:
    held = (entry.locks_held_ms or 0.0) / 1000
    width = min(max(scale.room * held / scale.seconds, SHORTEST_BAR), scale.room)
    left = min(max(scale.x(entry.at) - width, scale.layout.left), scale.layout.right - width)
    return _rectangle("locks", left, middle - 9, width, 18, f"all locks held for {duration(held)}")


def _rectangle(kind: str, x: float, y: float, width: float, height: float, told: str) -> str:
    return (
        f'<rect class="{kind}" x="{x:.2f}" y="{y:.1f}" width="{width:.2f}" height="{height:g}" rx="2">'
        f"<title>{escape(told)}</title></rect>"
    )


def _labels(layout: Layout, lane: Lane, top: float, middle: float) -> list[str]:
    """The name at the left and the length at the right: each has room of its own, so they never meet."""
    held = lane.locks_held_ms
    total = duration(lane.seconds)
    locks = f"locks {duration(held / 1000)}" if held is not None else ""
    right = layout.width - (2 if layout.stacked else 8)
    y = top + 15 if layout.stacked else middle + 4
    room = right - 16 - (len(total) + len(locks) + 3) * layout.letter if layout.stacked else layout.label - 24
    name = title(lane.step)
    pair = shortened(lane.pair or "", int(room / layout.letter) - len(name) - 1)
    end = f'<tspan class="held">{escape(locks)}</tspan><tspan dx="{8 if locks else 0}">{escape(total)}</tspan>'
    start = 2 if layout.stacked else 8
    return [
        f'<text class="name" x="{start}" y="{y:.1f}"><title>{escape(_label(lane))}</title>{escape(name)}'
        f'<tspan class="pair" dx="6">{escape(pair)}</tspan></text>',
        f'<text class="total" x="{right:.1f}" y="{y:.1f}" text-anchor="end">{end}</text>',
    ]
