"""What the figures look like: the table in the terminal, latest.json, machine.json and the picture."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

Entries = Sequence[Mapping[str, Any]]
GREEN, RED, GREY = "#1a7f37", "#b3261e", "#6b7280"


def machine(settings: Mapping[str, str], **more: Any) -> dict[str, Any]:
    """Describe what it was measured on."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "postgresql": dict(settings),
        **more,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def table(entries: Entries) -> str:
    """Return the figures as a Markdown table."""
    lines = [
        "| figure | rows | ours | against | ratio (least–most) | target | met |",
        "|---|---:|---:|---:|---:|---|---|",
    ]
    for e in entries:
        met = {True: "yes", False: "**no**", None: "–"}[e["met"]]
        spread = f"{ratio(e['ratio'])} ({ratio(e['ratio_least'])}–{ratio(e['ratio_most'])})"
        lines.append(
            f"| {e['figure']} | {e['rows']:,} | {number(e['ours'])} {e['unit']} | {number(e['against'])} {e['unit']},"
            f" {e['against_what']} | {spread} | {e['target']} | {met} |"
        )
    return "\n".join(lines)


def number(value: float) -> str:
    """Return a number with three digits that count."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def ratio(value: float) -> str:
    """Return a ratio; a small one as a fraction."""
    return f"1/{1 / value:,.0f}" if 0 < value < 0.05 else number(value)


def growth_table(growth: Mapping[str, Mapping[str, Any]]) -> str:
    """Return how each step grows as a Markdown table."""
    lines = ["| step | measured | time per row | constant part |", "|---|---|---:|---:|"]
    for name, found in growth.items():
        measured = ", ".join(f"{rows:,}: {seconds:.3g} s" for rows, seconds in found["points"])
        fit = found["fit"]
        shown = ("–", "–")
        if fit:
            shown = (f"{fit['microseconds_per_row']:.3g} µs", f"{fit['constant_seconds']:.3g} s")
        lines.append(f"| {name} | {measured} | {shown[0]} | {shown[1]} |")
    return "\n".join(lines)


def write(folder: Path, entries: Entries, about: Mapping[str, Any], growth: Mapping[str, Any]) -> None:
    """Write latest.json, machine.json, growth.json, latest.md and latest.svg."""
    folder.mkdir(parents=True, exist_ok=True)
    _json(folder / "latest.json", list(entries))
    _json(folder / "machine.json", about)
    _json(folder / "growth.json", growth)
    text = f"{described(about)}\n\n{table(entries)}\n\n{growth_table(growth)}\n"
    (folder / "latest.md").write_text(text, encoding="utf-8")
    (folder / "latest.svg").write_text(picture(entries, about), encoding="utf-8")


def _json(file: Path, content: Any) -> None:
    file.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def described(about: Mapping[str, Any]) -> str:
    """Return the machine in a line."""
    server = about["postgresql"]
    return (
        f"{about['cores']} × {about['processor']}, {about['memory_gib']} GiB, {about['system']}; PostgreSQL"
        f" {server['server_version']}, fsync {server['fsync']}, shared_buffers {server['shared_buffers']}; load when it"
        f" began {about['load_before']:.1f}; {about['at']}; `{about['command']}`"
    )


# --- the picture -----------------------------------------------------------------------------------------------

WIDTH, LINE, LEFT, RIGHT = 1120, 26, 420, 260


def picture(entries: Entries, about: Mapping[str, Any]) -> str:
    """Return an SVG: one bar a figure, how far it is from its target on a logarithmic scale, 1 is the target."""
    shown = [(e, _share(e)) for e in entries]
    rows = [(e, share) for e, share in shown if share is not None]
    height = 92 + LINE * len(rows)
    middle = LEFT + (WIDTH - LEFT - RIGHT) * 0.6
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        _text(16, 26, "How far from its target each figure is", size=17),
        _text(16, 46, described(about).replace("`", ""), colour=GREY, size=10),
        _text(middle, 68, "target", anchor="middle", colour=GREY, size=11),
        f'<line x1="{middle}" y1="74" x2="{middle}" y2="{height - 12}" stroke="{GREY}" stroke-dasharray="3 3"/>',
    ]
    for number_, (e, share) in enumerate(rows):
        parts += _bar(e, share, 84 + LINE * number_, middle)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _bar(e: Mapping[str, Any], share: float, top: float, middle: float) -> list[str]:
    import math

    scale = (middle - LEFT) / 2  # two powers of ten fit on the left
    length = max(min(math.log10(max(share, 1e-4)) * scale, WIDTH - RIGHT - middle), LEFT - middle)
    x, width = (middle, length) if length >= 0 else (middle + length, -length)
    colour = GREEN if e["met"] else RED
    told = f"{number(e['ours'])} {e['unit']}, ratio {ratio(e['ratio'])} ({e['target']})"
    return [
        _text(LEFT - 12, top + 14, f"{e['figure']}, {e['rows']:,} rows", anchor="end"),
        f'<rect x="{x:.1f}" y="{top}" width="{max(width, 2):.1f}" height="{LINE - 8}" fill="{colour}" opacity="0.85"/>',
        _text(WIDTH - RIGHT + 10, top + 14, told, colour=colour, size=11),
    ]


def _text(x: float, y: float, words: str, *, anchor: str = "start", colour: str = "#111827", size: int = 13) -> str:
    style = f'text-anchor="{anchor}" fill="{colour}" font-size="{size}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}>{escape(words)}</text>'


def _share(e: Mapping[str, Any]) -> float | None:
    """Return measured over allowed (below 1 is better than asked for), or None where nothing is asked for."""
    if e["met"] is None:
        return None
    limit = e["limit"]
    value = e["ours"] if limit["of"] == "ours" else e["ratio"]
    return limit["value"] / value if limit["kind"] == "at least" else value / limit["value"]
