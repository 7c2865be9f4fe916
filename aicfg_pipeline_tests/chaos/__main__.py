"""`make chaos SECONDS=600 SEED=…`: prints what was done and what came of it; exit status 1 if anything was wrong."""

from __future__ import annotations

import argparse
import random
import signal
import sys

from aicfg_pipeline_tests.chaos.chaos import chaos


def main() -> int:
    """Run it once."""
    parser = argparse.ArgumentParser(prog="python -m aicfg_pipeline_tests.chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=None, help="default: a random one, which is printed")
    parser.add_argument("--dagster", type=float, default=0.06, help="share of attempts through dagster job execute")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the server is stopped and the disk unmounted
    seed = arguments.seed if arguments.seed is not None else random.randrange(1_000_000)
    again = f"make chaos SECONDS={arguments.seconds:.0f} SEED={seed}"
    print(f"chaos for {arguments.seconds:.0f} s, seed {seed} (again: {again})", flush=True)
    outcome = chaos(arguments.seconds, seed, dagster=arguments.dagster, say=lambda line: print(line, flush=True))
    print(outcome)
    return 1 if outcome.problems or outcome.lost else 0


if __name__ == "__main__":
    sys.exit(main())
