"""Which figures there are, what each has to reach, and how samples become them. Pure: nothing is measured here."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MILLISECONDS, SECONDS, MEBIBYTES, PER_SECOND = "ms", "s", "MiB", "writes/s"


@dataclass(frozen=True)
class Figure:
    """A figure: what it is measured against, in which unit, and what its ratio (or `ours` itself) has to reach."""

    name: str
    against: str
    unit: str
    at_most: float | None = None
    at_least: float | None = None
    ours_at_most: float | None = None
    rows: tuple[int, ...] = ()  # sizes where the target holds; empty: everywhere

    def target(self, rows: int) -> str:
        """Return the target in words."""
        if self.rows and rows not in self.rows:
            return "reported"
        parts = []
        if self.at_most is not None:
            parts.append(f"ratio at most {_short(self.at_most)}")
        if self.at_least is not None:
            parts.append(f"ratio at least {_short(self.at_least)}")
        if self.ours_at_most is not None:
            parts.append(f"under {self.ours_at_most:g} {self.unit}")
        return " and ".join(parts) or "reported"

    def limit(self) -> dict[str, Any] | None:
        """Return the target as numbers, for the picture."""
        if self.at_most is not None:
            return {"of": "ratio", "kind": "at most", "value": self.at_most}
        if self.at_least is not None:
            return {"of": "ratio", "kind": "at least", "value": self.at_least}
        return {"of": "ours", "kind": "at most", "value": self.ours_at_most} if self.ours_at_most is not None else None

    def met(self, rows: int, ours: float, ratio: float) -> bool | None:
        """Say whether it is reached; None where there is no target."""
        if self.target(rows) == "reported":
            return None
        return all(
            (
                self.at_most is None or ratio <= self.at_most,
                self.at_least is None or ratio >= self.at_least,
                self.ours_at_most is None or ours <= self.ours_at_most,
            )
        )


def _short(value: float) -> str:
    return f"1/{1 / value:.0f}" if 0 < value < 0.05 else f"{value:g}"


MILLION = 1_000_000
FIGURES: tuple[Figure, ...] = (
    Figure("from prepared: launch to swapped", "the same, not prepared", SECONDS, ours_at_most=5, rows=(MILLION,)),
    Figure(
        "longest wait of a writer, whole rollback",
        "the mended runbook's",
        MILLISECONDS,
        at_most=1 / 500,
        rows=(MILLION,),
    ),
    Figure(
        "longest wait of a writer, during the cut-over",
        "the mended runbook's",
        MILLISECONDS,
        at_most=1 / 500,
        rows=(MILLION,),
    ),
    Figure(
        "longest statement of a writer, in the server",
        "the mended runbook's",
        MILLISECONDS,
        at_most=1 / 500,
        rows=(MILLION,),
    ),
    Figure("locks held", "the mended runbook's", MILLISECONDS, ours_at_most=20),
    Figure("undo, locks held", "the cut-over's", MILLISECONDS, at_most=2),
    Figure("undo, longest wait of a writer", "the mended runbook's", MILLISECONDS),
    Figure("undo, longest statement of a writer, in the server", "the mended runbook's", MILLISECONDS),
    Figure(
        "writers' throughput while copying",
        "the same writers with nothing running",
        PER_SECOND,
        at_least=0.6,
        rows=(100_000, MILLION, 10 * MILLION),
    ),
    Figure(
        "copy back with indexes",
        "bare INSERT … SELECT and the same indexes",
        SECONDS,
        at_most=1.3,
        rows=(100_000, MILLION, 10 * MILLION),
    ),
    Figure(
        "copy back with indexes and comparison",
        "bare INSERT … SELECT and the same indexes",
        SECONDS,
        at_most=1.6,
        rows=(100_000, MILLION, 10 * MILLION),
    ),
    Figure(
        "whole rollback", "the mended runbook in psql and reladiff", SECONDS, at_most=1, rows=(MILLION, 10 * MILLION)
    ),
    Figure("checksum against count(*)", "count(*)", SECONDS, at_most=12, rows=(MILLION, 10 * MILLION)),
    Figure("checksum against reladiff", "reladiff by checksums", SECONDS, at_most=1 / 3, rows=(MILLION, 10 * MILLION)),
    Figure("exact comparison against FULL JOIN by hand", "FULL JOIN of all columns", SECONDS, at_most=1.5),
    Figure("disk needed while copying", "the tables", MEBIBYTES),
    Figure("dagster job execute -j rollback", "a Dagster job with as many empty ops", SECONDS, at_most=1.3),
    Figure(
        "peak memory of the process",
        "itself at the smallest size",
        MEBIBYTES,
        at_most=1.1,
        rows=(MILLION, 10 * MILLION),
    ),
    Figure(
        "instant way, whole rollback", "copying the same table", SECONDS, at_most=1 / 20, rows=(MILLION, 10 * MILLION)
    ),
    Figure("instant way, locks held", "copying the same table", MILLISECONDS),
    Figure("instant way, growth of the database", "copying the same table", MEBIBYTES, ours_at_most=1),
    Figure("instant way, locks held, growth", "itself at the smallest size", MILLISECONDS, at_most=2, rows=(MILLION,)),
    Figure("locks held, growth", "itself at the smallest size", MILLISECONDS, at_most=3, rows=(MILLION, 10 * MILLION)),
)
BY_NAME: Mapping[str, Figure] = {f.name: f for f in FIGURES}


def entry(name: str, rows: int, samples: Sequence[tuple[float, float]]) -> dict[str, Any]:
    """Return a figure as the JSON has it: medians, the median of the ratios, and their spread."""
    figure = BY_NAME[name]
    ours, against = (statistics.median(values) for values in zip(*samples, strict=True))
    ratios = sorted(o / a if a else float("inf") for o, a in samples)
    ratio = statistics.median(ratios)
    return {
        "figure": name,
        "rows": rows,
        "ours": _rounded(ours),
        "against": _rounded(against),
        "ratio": _rounded(ratio),
        "target": figure.target(rows),
        "met": figure.met(rows, ours, ratio),
        "unit": figure.unit,
        "against_what": figure.against,
        "limit": figure.limit(),
        "repetitions": len(samples),
        "ratio_least": _rounded(ratios[0]),
        "ratio_most": _rounded(ratios[-1]),
        "ours_all": [_rounded(o) for o, _ in samples],
        "against_all": [_rounded(a) for _, a in samples],
    }


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")


def fitted(points: Sequence[tuple[int, float]]) -> dict[str, float] | None:
    """Fit seconds = constant + time per row · rows through the medians, each weighted by its own size."""
    if len(points) < 2:
        return None
    # relative errors count, not absolute ones: the smallest size decides the constant part, the largest the slope
    weights = [1 / max(y, 1e-6) ** 2 for _, y in points]
    total = sum(weights)
    mean_x = sum(w * x for w, (x, _) in zip(weights, points, strict=True)) / total
    mean_y = sum(w * y for w, (_, y) in zip(weights, points, strict=True)) / total
    spread = sum(w * (x - mean_x) ** 2 for w, (x, _) in zip(weights, points, strict=True))
    slope = sum(w * (x - mean_x) * (y - mean_y) for w, (x, y) in zip(weights, points, strict=True)) / spread
    constant = mean_y - slope * mean_x
    return {"microseconds_per_row": _rounded(slope * 1e6), "constant_seconds": _rounded(constant)}
