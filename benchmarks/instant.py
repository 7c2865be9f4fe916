"""The instant way against copying the same table: a migration of which only names differ, rolled back both ways."""

from __future__ import annotations

import tempfile
from pathlib import Path

import yaml

from aicfg_pipeline.spec.load import bundled_sql
from benchmarks.measure import NEW, OLD, Sample, child, largest
from benchmarks.server import Server, blocks

MEBIBYTE = 2**20


def against_copying(server: Server, rows: int) -> Sample:
    """A whole rollback with verification on the instant way and by copying, each in a fresh database with nobody else on it."""
    seconds: dict[str, float] = {}
    held: dict[str, float] = {}
    grown: dict[str, float] = {}
    for way in ("instant", "copy"):
        with tempfile.TemporaryDirectory(prefix="aicfg-bench-") as folder, server.database(rows) as database:
            environment = {"AICFG_MIGRATION_DIR": str(_folder(Path(folder), way))}
            with largest(database) as most:
                steps = child(database.url, "rollback", environment=environment)
            seconds[way] = steps["whole_rollback"].seconds
            held[way] = float(str(database.scalar(blocks()["locks_held"].sql, {"step": "cut_over"})))
            grown[way] = float(most[0]) / MEBIBYTE
    return Sample(
        pairs={
            "instant way, whole rollback": (seconds["instant"], seconds["copy"]),
            "instant way, locks held": (held["instant"], held["copy"]),
            "instant way, growth of the database": (grown["instant"], grown["copy"]),
        },
        seconds={"rollback, the instant way": seconds["instant"]},
    )


def _folder(folder: Path, way: str) -> Path:
    """Write a migration of one pair whose old table is the new one under the old names."""
    new = (bundled_sql() / "new" / f"{NEW}.sql").read_text(encoding="utf-8")
    (folder / "new.sql").write_text(new, encoding="utf-8")
    (folder / "old.sql").write_text(new.replace(NEW, OLD), encoding="utf-8")
    pair = {"old": OLD, "new": NEW, "old_sql": "old.sql", "new_sql": "new.sql", "way": way}
    said = {"name": "only_names", "pairs": [pair]}
    (folder / "migration.yaml").write_text(yaml.safe_dump(said), encoding="utf-8")
    return folder
