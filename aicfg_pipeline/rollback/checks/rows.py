"""The exact check of the rows, and the differing rows for people: a before/after table, a text diff, a CSV file.

pandas is imported where it is used: it takes longer than everything else together. How rows are compared is
`postgres.fingerprint`'s.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psycopg import sql

from aicfg_pipeline.errors import ExportError
from aicfg_pipeline.files import make_private_folder, new_private_file
from aicfg_pipeline.postgres import fingerprint
from aicfg_pipeline.postgres.fingerprint import SAMPLE
from aicfg_pipeline.postgres.session import Session
from aicfg_pipeline.postgres.statements import engine, private
from aicfg_pipeline.postgres.wording import counted
from aicfg_pipeline.rollback.checks.check import Verdict, check, failed, passed
from aicfg_pipeline.rollback.checks.data import data_verdict
from aicfg_pipeline.rollback.checks.inspection import Inspection
from aicfg_pipeline.rollback.checks.renamed import never_moved, of_renamed
from aicfg_pipeline.rollback.state import PairState, State
from aicfg_pipeline.rollback.tables.comparison import Comparison, comparing, parked_sides
from aicfg_pipeline.spec.model import Pair

if TYPE_CHECKING:
    import pandas as pd

SHORT = 80
"""A longer value is shortened; where both sides are longer or have several lines, a diff is shown instead."""

MOST_DIFFS, LONGEST_DIFF = 10, 40
"""So many texts are shown as a diff, each of so many lines: the CSV file has the rest."""

BATCH = 2_000
Cell = dict[str, Any]


@check("rows")
def rows(inspection: Inspection, pair: Pair) -> Verdict:
    """Every row that both sides have is the same to the last bit, but for the keys written since."""
    renamed = of_renamed(inspection, pair, never_moved)
    return renamed or data_verdict(inspection, pair, lambda found: _rows_agree(inspection, pair, found))


def _rows_agree(inspection: Inspection, pair: Pair, found: Comparison) -> Verdict:
    seen = found.differences
    if found.since:
        return passed(
            f"Row by row the same at {found.since.proven_at}, before the swap; of"
            f" {counted(found.since.looked_at, 'key')} written since, {seen.differences} differ by what was written after it."
        )
    if not seen.unexplained:
        return passed(f"Row by row the same, but for {counted(seen.differences, 'row')} written since.")
    cells = first_differences(inspection.session, inspection.state(pair))
    keys = list(dict.fromkeys(f"{c['key']} ({c['kind']})" for c in cells))
    facts = {"first_keys": keys, "before_and_after": markdown(cells)}
    if not seen.unexplained_changed:
        return passed("Every row that both sides have is the same; for the others see row_count.", facts)
    summary = f"Not what it was: {counted(seen.unexplained_changed, 'row')}, and nothing in the change log explains it"
    return failed(f"{summary}: {'; '.join(k for k in keys if k.endswith('(changed)'))[:300]}.", facts)


# --- reading the rows ------------------------------------------------------------------------------------------


def first_differences(session: Session, state: PairState, limit: int = SAMPLE) -> list[Cell]:
    """Return the differing values of the first rows: key, kind, column, before, after."""
    query, names = _query(session, state)
    with comparing(session, state):
        found = session.all(engine("first_of", query=query, limit=sql.Literal(limit)))
    return [cell for row in found for cell in _cells(row, names)]


def _query(session: Session, state: PairState) -> tuple[sql.Composed, tuple[str, ...]]:
    source, target = parked_sides(session, state)
    log = private(state.pair.change_log)
    query = fingerprint.different_rows(source.query, target, source.columns, state.pair.key, log=log)
    return query, source.columns


def _cells(row: Any, names: tuple[str, ...]) -> Iterator[Cell]:
    """Yield the values of a row that differ; of a row that only one side has, those that are not NULL."""
    key = ", ".join(row.key)
    for name, before, after, changed in zip(names, row.before, row.after, row.changed, strict=True):
        if changed:
            yield {"key": key, "kind": row.kind, "column": name, "before": before, "after": after}


# --- showing them ----------------------------------------------------------------------------------------------


def table(cells: list[Cell]) -> pd.DataFrame:
    """Return differing values as a table of before and after, values shortened."""
    import pandas as pd

    shown = [{**c, **_shown(c["before"], c["after"])} for c in cells]
    return pd.DataFrame(shown, columns=["key", "kind", "column", "before", "after"])


def markdown(cells: list[Cell]) -> str:
    """Return the table as Markdown, each text that is too long for it as a diff below."""
    frame = table(cells)
    lines = [f"| {' | '.join(frame.columns)} |", "|" + "---|" * len(frame.columns)]
    lines += [f"| {' | '.join(_in_table(v) for v in row)} |" for row in frame.itertuples(index=False)]
    for cell in [c for c in cells if _is_long(c["before"], c["after"])][:MOST_DIFFS]:
        lines += ["", f"{cell['key']}: {cell['column']}", "```diff", text_diff(cell["before"], cell["after"]), "```"]
    return "\n".join(lines)


def _in_table(value: object) -> str:
    return str(value).replace("\\", "\\\\").replace("|", "\\|").replace("\n", "⏎")


def _is_long(before: str | None, after: str | None) -> bool:
    if before is None or after is None:
        return False
    return any(len(v) > SHORT or "\n" in v for v in (before, after))


def _shown(before: str | None, after: str | None) -> dict[str, str]:
    """Shorten two values around the first place where they differ."""
    start = 0
    if before is not None and after is not None:
        start = next(
            (i for i, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), min(len(before), len(after))
        )
    start = max(0, start - SHORT // 2)
    return {"before": _shortened(before, start), "after": _shortened(after, start)}


def _shortened(value: str | None, start: int) -> str:
    if value is None:
        return "NULL"
    if len(value) <= SHORT:
        return value
    end = start + SHORT
    return ("…" if start else "") + value[start:end] + (f"… ({len(value)} characters)" if end < len(value) else "")


def text_diff(before: str, after: str) -> str:
    """Return a unified diff of two texts; very long lines are cut into pieces, so that one character shows."""
    old, new = _pieces(before), _pieces(after)
    lines = list(difflib.unified_diff(old, new, "before", "after", lineterm="", n=1))
    more = [f"… and {len(lines) - LONGEST_DIFF} more lines"] if len(lines) > LONGEST_DIFF else []
    return "\n".join([*lines[:LONGEST_DIFF], *more])


def _pieces(value: str) -> list[str]:
    return [line[i : i + SHORT] for line in value.split("\n") for i in range(0, max(len(line), 1), SHORT)]


# --- all of them, for a spreadsheet ----------------------------------------------------------------------------


def write_differences(inspection: Inspection, pair: Pair, folder: Path, name: str | None = None) -> Path | None:
    """Write every unexplained differing value as CSV; return the file, or None where there is none.

    Raises `ExportError` where the file can't be written. It holds data: keep it where the export is kept.
    """
    state = inspection.state(pair)
    if state.state != State.CUT_OVER or state.log is None or not inspection.comparison(pair).differences.unexplained:
        return None
    path = folder / f"{name or 'differences'}-{pair.op_suffix}.csv"
    try:
        make_private_folder(folder)
        path.unlink(missing_ok=True)
        new_private_file(path).close()
        _write(inspection.session, state, path)
    except OSError as error:
        raise ExportError(f"The differing rows can't be written to {path}: {error}") from None
    return path


def _write(session: Session, state: PairState, path: Path) -> None:
    import pandas as pd

    query, names = _query(session, state)
    header = True
    with comparing(session, state):
        session.execute(engine("open_cursor", query=query))
        while batch := session.all(engine("fetch_some", limit=sql.Literal(BATCH))):
            cells = [cell for row in batch for cell in _cells(row, names)]
            frame = pd.DataFrame(cells, columns=["key", "kind", "column", "before", "after"])
            frame.to_csv(path, mode="a", header=header, index=False, na_rep="", quoting=1, encoding="utf-8")
            header = False
