"""`python -m benchmarks`: measures, prints a table, writes docs/benchmarks/. See docs/benchmarks/README.md."""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import instant, measure, report
from benchmarks.figures import entry, fitted
from benchmarks.measure import Sample
from benchmarks.server import PROJECT, Server

SIZES = (10_000, 100_000, 1_000_000)
LARGE = 1_000_000
DEMO_ROWS = 400


class Bench:
    """Collects samples: figure and size to (ours, against), step and size to seconds."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.figures: dict[tuple[str, int], list[tuple[float, float]]] = defaultdict(list)
        self.seconds: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
        self.notes: list[str] = []

    def take(self, what: str, rows: int, work: Callable[[], Sample]) -> None:
        """Take one sample and say how long that took."""
        began = time.monotonic()
        sample = work()
        for name, pair in sample.pairs.items():
            self.figures[name, rows].append(pair)
        for name, seconds in sample.seconds.items():
            self.seconds[name][rows].append(seconds)
        self.notes += sample.notes
        print(f"  {rows:>10,} rows, {what}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)

    def size(self, rows: int, repetitions: int, *, reladiff: bool) -> None:
        """Take all samples of one size."""
        began = time.monotonic()
        self.server.template(rows)
        print(f"  {rows:>10,} rows, made in {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
        for _ in range(repetitions):
            self.take("with writers", rows, lambda: measure.with_writers(self.server, rows))
            self.take("from prepared", rows, lambda: measure.from_prepared(self.server, rows))
            self.take("the instant way", rows, lambda: instant.against_copying(self.server, rows))
            self.take("idle", rows, lambda: measure.idle(self.server, rows, reladiff=reladiff))

    def compared_to_smallest(self, sizes: Sequence[int]) -> None:
        """Figures that are measured against themselves at the smallest size."""
        smallest = sizes[0]
        held = [ours for ours, _ in self.figures["locks held", smallest]]
        small = [measure.memory(self.server, smallest) for _ in range(2)]
        for rows in sizes[1:]:
            base = statistics.median(held)
            self.figures["locks held, growth", rows] = [(ours, base) for ours, _ in self.figures["locks held", rows]]
            name = "instant way, locks held"
            base = statistics.median(ours for ours, _ in self.figures[name, smallest])
            self.figures[f"{name}, growth", rows] = [(ours, base) for ours, _ in self.figures[name, rows]]
        for rows in sizes[1:][-1:]:
            large = [measure.memory(self.server, rows) for _ in small]
            self.figures["peak memory of the process", rows] = list(zip(large, small, strict=True))

    def entries(self) -> list[dict[str, Any]]:
        """Return every figure, in the order of the list of figures and by size."""
        from benchmarks.figures import FIGURES

        order = {f.name: n for n, f in enumerate(FIGURES)}
        keys = sorted(self.figures, key=lambda k: (order[k[0]], k[1]))
        return [entry(name, rows, self.figures[name, rows]) for name, rows in keys]

    def growth(self) -> dict[str, Any]:
        """Return how each step grows with the rows."""
        found = {}
        for name, by_size in self.seconds.items():
            points = [(rows, statistics.median(values)) for rows, values in sorted(by_size.items())]
            found[name] = {"points": points, "fit": fitted(points)}
        return found


def _arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--sizes", type=_sizes, default=SIZES, help="rows, with commas (10000,100000,1000000)")
    parser.add_argument("--repeat", type=int, default=5, help="repetitions (5)")
    parser.add_argument("--repeat-large", type=int, default=None, help="at 1,000,000 rows and more (3)")
    parser.add_argument("--ten-million", action="store_true", help="10,000,000 rows too (needs 40 GB of disk, an hour)")
    parser.add_argument("--quick", action="store_true", help="10,000 rows, twice: only to see that it works")
    parser.add_argument("--out", type=Path, default=PROJECT / "docs" / "benchmarks", help="folder (docs/benchmarks)")
    arguments = parser.parse_args(words)
    if arguments.quick:
        arguments.sizes, arguments.repeat = (10_000,), 2
    if arguments.ten_million:
        arguments.sizes = (*arguments.sizes, 10_000_000)
    return arguments


def _sizes(text: str) -> tuple[int, ...]:
    return tuple(sorted(int(size) for size in text.replace("_", "").split(",")))


def _command(words: list[str]) -> str:
    """Return the command as others may repeat it: where it wrote to is of this machine only."""
    kept = [w for i, w in enumerate(words) if w != "--out" and (i == 0 or words[i - 1] != "--out")]
    return " ".join(["python -m benchmarks", *kept]) if kept else "make bench"


def main(words: Sequence[str] | None = None) -> int:
    """Measure everything; exit status 0 also where a target is missed: the table says so."""
    arguments = _arguments(words)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the server is stopped and its folder removed
    began, load = time.monotonic(), os.getloadavg()[0]
    reladiff = measure.version_of_reladiff()
    if reladiff is None:
        print("reladiff is not installed (pip install '.[bench]'): its figures are left out", file=sys.stderr)
    with Server() as server:
        settings = server.settings()
        print("PostgreSQL: " + ", ".join(f"{k} {v}" for k, v in settings.items()), file=sys.stderr, flush=True)
        bench = Bench(server)

        def about() -> dict[str, Any]:
            return report.machine(
                settings,
                at=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
                command=_command(sys.argv[1:]),
                load_before=round(load, 2),
                load_after=round(os.getloadavg()[0], 2),
                reladiff=reladiff,
                took_seconds=round(time.monotonic() - began),
                notes=bench.notes[:20],
            )

        ops = measure.ops_of_rollback()
        for _ in range(arguments.repeat):
            bench.take("Dagster on the demo", DEMO_ROWS, lambda: measure.dagster(server, ops))
        large = arguments.repeat_large or min(arguments.repeat, 3)
        for rows in arguments.sizes:
            bench.size(rows, large if rows >= LARGE else arguments.repeat, reladiff=reladiff is not None)
            report.write(arguments.out, bench.entries(), about(), bench.growth())  # in case the next one is too large
        bench.compared_to_smallest(arguments.sizes)
        found = about()
    entries, growth = bench.entries(), bench.growth()
    report.write(arguments.out, entries, found, growth)
    print("\n" + report.described(found) + "\n\n" + report.table(entries) + "\n\n" + report.growth_table(growth))
    missed = [e for e in entries if e["met"] is False]
    print(
        f"\n{len(missed)} of {sum(e['met'] is not None for e in entries)} targets missed; {arguments.out}/latest.json"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
