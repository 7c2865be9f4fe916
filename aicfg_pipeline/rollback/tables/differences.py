"""Why a table can't be renamed in place: what differs where the rows are, or what only a rebuilding would mend."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from aicfg_pipeline.rollback.tables.sameness import Made, Thing, match


def why_not_alike(live: Made, wanted: Made, names: Mapping[str, str]) -> list[str]:
    """Return every reason; none where all that differs can be changed where the rows are. `names`: old column to new."""
    reasons = list(_columns(live.of("column"), wanted.of("column"), names))
    reasons += _itself(live, wanted)
    for kind in ("constraint", "index"):
        reasons += _built_under_locks(live.of(kind), wanted.of(kind))
    for kind in ("statistics", "sequence", "rule"):
        found = match(live.of(kind), wanted.of(kind))
        reasons += [f"the {kind} {t.name} is not what the old table has" for t in (*found.too_much, *found.missing)]
    reasons += _grants(live, wanted)
    return reasons


def _columns(live: Sequence[Thing], wanted: Sequence[Thing], names: Mapping[str, str]) -> Iterator[str]:
    have, want = [c.name for c in live], [c.name for c in wanted]
    called = {new: old for old, new in names.items()}
    missing = [called.get(n, n) for n in want if n not in have]
    extra = [n for n in have if n not in want]
    if missing:
        yield f"the new table has nothing for the column{'s' * (len(missing) > 1)} {', '.join(missing)}"
    if extra:
        yield f"the old table has no column{'s' * (len(extra) > 1)} {', '.join(extra)}"
    if missing or extra:
        return
    if have != want:
        yield "the columns stand in another order"
    by_name = {c.name: c for c in wanted}
    for column in live:
        other = by_name[column.name]
        if column.nameless != other.nameless:
            one, two = column.facts["type"], other.facts["type"]
            what = f"{one}, and {two} in the old table" if one != two else "collated, generated or numbered otherwise"
            yield f"the column {column.name} is {what}"
        elif (
            column.facts["not_null"]
            and other.facts["not_null"]
            and column.facts["not_null_said"] != other.facts["not_null_said"]
        ):
            yield f"the NOT NULL of the column {column.name} is another"


def _itself(live: Made, wanted: Made) -> Iterator[str]:
    if live.itself["kept"] != wanted.itself["kept"] or live.itself["relatives"] or wanted.itself["relatives"]:
        yield "the table is stored otherwise: another kind, tablespace or access method, partitions or children"
    one, other = live.itself["identity"], wanted.itself["identity"]
    if "i" in (one, other):
        yield "an index is its replica identity"


def _built_under_locks(live: Sequence[Thing], wanted: Sequence[Thing]) -> Iterator[str]:
    found = match(live, wanted)
    for thing in (*found.too_much, *found.missing):
        if thing.facts.get("type") == "x" or (thing.facts.get("type") in ("p", "u") and not thing.facts["plain"]):
            yield f"the constraint {thing.name} can only be built under locks"
        if thing.nameless.endswith(" INVALID"):
            yield f"the index {thing.name} is not usable"
        if thing.facts.get("clustered"):
            yield f"the table is clustered on {thing.name}"
    yield from (f"foreign keys of others refer to {t.name}" for t in found.too_much if t.facts.get("referred_to"))
    for one, other in found.pairs:
        if one.facts.get("clustered") != other.facts.get("clustered"):
            yield f"the table is clustered on {one.name} on one side only"


def _grants(live: Made, wanted: Made) -> Iterator[str]:
    if any(g.by_another for g in (*live.grants, *wanted.grants)):
        yield "somebody other than the owner has granted privileges"
    if live.owners != wanted.owners:
        yield "the owner has not the same privileges"
