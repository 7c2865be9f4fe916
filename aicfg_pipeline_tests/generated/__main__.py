"""`python -m aicfg_pipeline_tests.generated --databases 1000 --seed 1 --version 18`: tells stories, prints what came of them.

Exit status 1 if there is a counterexample. `--only N` tells the one with that number, with all that is known of it.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

from aicfg_pipeline_tests.generated.arena import Arena, arena
from aicfg_pipeline_tests.generated.dice import Dice
from aicfg_pipeline_tests.generated.drawing import FEATURES, draw
from aicfg_pipeline_tests.generated.known import TOLD_NOW
from aicfg_pipeline_tests.generated.simplify import simplest
from aicfg_pipeline_tests.generated.story import Counterexample, NotBuilt
from aicfg_pipeline_tests.generated.world import World
from aicfg_pipeline_tests.tools.servers import DEFAULT_VERSION

PROGRESS_SECONDS = 20.0
IN_MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def world_of(seed: int, number: int, *, everything: bool = False) -> World:
    """Return the world with this number."""
    return draw(Dice(random.Random(f"{seed}/{number}")), FEATURES if everything else TOLD_NOW)


def main() -> int:
    """Tell so many stories."""
    parser = argparse.ArgumentParser(prog="python -m aicfg_pipeline_tests.generated", description=__doc__)
    parser.add_argument("--databases", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=None, help="default: a random one, which is printed")
    parser.add_argument("--version", type=int, default=DEFAULT_VERSION)
    parser.add_argument("--only", type=int, default=None, help="the number of one database")
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--simplify", action="store_true", help="look for the smallest database of each counterexample")
    parser.add_argument("--all", action="store_true", help="draw what is known to fail, too (known.py)")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the server is stopped
    seed = given.seed if given.seed is not None else random.randrange(1_000_000)
    numbers = [given.only] if given.only is not None else list(range(given.first, given.first + given.databases))
    print(f"{len(numbers)} databases on PostgreSQL {given.version}, seed {seed}", flush=True)
    with (
        tempfile.TemporaryDirectory(prefix="aicfg-generated-", dir=IN_MEMORY) as folder,
        arena(given.version, Path(folder)) as place,
    ):
        draw_world = partial(world_of, seed, everything=given.all)
        return _told(place, draw_world, numbers, simplify=given.simplify or given.only is not None)


def _told(place: Arena, draw_world: Callable[[int], World], numbers: list[int], *, simplify: bool) -> int:
    ends: Counter[str] = Counter()
    hazards: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    blocked: dict[str, Counter[str]] = {"accepted": Counter(), "nothing accepted": Counter()}
    wrong: dict[str, list[int]] = {}
    began = last = time.monotonic()
    for told, number in enumerate(numbers, 1):
        try:
            world = draw_world(number)
            outcome = place.tell(world)
            blocked["accepted" if world.accept else "nothing accepted"].update(outcome.blocked)
            ends[outcome.end] += 1
            hazards.update(outcome.hazards)
            refused.update(outcome.refused)
        except NotBuilt as error:
            ends["not built"] += 1
            print(f"  {number} could not be built: {str(error)[:200]}", flush=True)
        except Counterexample as error:
            ends["COUNTEREXAMPLE"] += 1
            if error.kind not in wrong:
                print(f"  COUNTEREXAMPLE {number}: {str(error)[:1500]}", flush=True)
            wrong.setdefault(error.kind, []).append(number)
        if time.monotonic() - last > PROGRESS_SECONDS:
            last = time.monotonic()
            print(f"  {told} of {len(numbers)}, {told / (last - began):.1f} a second: {_listed(ends)}", flush=True)
    seconds = time.monotonic() - began
    print(f"{len(numbers)} databases in {seconds:.0f} s ({len(numbers) / seconds:.1f} a second): {_listed(ends)}")
    print(f"processor: {_processor(place, len(numbers)):.2f} s a database")
    print(f"hazards: {_listed(hazards)}")
    for how, counted in blocked.items():
        print(f"plans refused by, {how}: {_listed(counted)}")
    print(f"refused later, with a reason: {_listed(refused)}")
    for kind, found in sorted(wrong.items(), key=lambda item: -len(item[1])):
        print(f"{len(found):5} × {kind}: {found[:8]}")
        if simplify:
            print(simplest(place.tell, draw_world(found[0]), kind), flush=True)
    print("verdict: " + (f"{len(wrong)} classes of counterexamples" if wrong else "no counterexample"))
    return 1 if wrong else 0


def _processor(place: Arena, databases: int) -> float:
    """Return the processor's seconds a database: of this process, pg_dump and the server's backends that have ended."""
    pid = int((place.cluster.data_dir / "postmaster.pid").read_text().split()[0])
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    ticks = os.sysconf("SC_CLK_TCK")
    server = sum(map(int, fields[11:15])) / ticks
    own = os.times()
    return (server + own.user + own.system + own.children_user + own.children_system) / max(databases, 1)


def _listed(counter: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counter.most_common()) or "none"


if __name__ == "__main__":
    sys.exit(main())
