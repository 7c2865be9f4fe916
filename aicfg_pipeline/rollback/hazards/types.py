"""Hazards in the types: values that would not come back as they are, judged by sending them there and back.

`type_mismatch` is what can't be copied, or must not be because it is a key. `values_change` is what can be copied and
would be another value (rounded, cut, written otherwise); `time_zone` is a moment that becomes a wall clock or the
reverse, whatever the values. A column that has an expression in migration.yaml is the migration's own business.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from aicfg_pipeline.errors import DatabaseError
from aicfg_pipeline.postgres.catalog import Column
from aicfg_pipeline.postgres.session import Session
from aicfg_pipeline.postgres.wording import counted
from aicfg_pipeline.rollback.hazards.hazard import Hazard
from aicfg_pipeline.rollback.tables.change_log import common_type
from aicfg_pipeline.rollback.tables.counting import sample_keys, tally
from aicfg_pipeline.rollback.tables.losses import Change, judged, wider
from aicfg_pipeline.rollback.tables.sources import Way

MOMENTS = {"timestamp with time zone", "time with time zone"}
CLOCKS = {"timestamp without time zone", "time without time zone", "date"}
CUT = ("character varying", "bpchar", '"bit"', "bit varying")


def of_way(session: Session, way: Way) -> Iterator[Hazard]:
    """Look at every column that goes into one of another type."""
    have, wanted = {c.name: c for c in way.have}, {c.name: c for c in way.wanted}
    yield from _keys(way, have, wanted)
    changes: list[Change] = []
    for name in way.mapping.plain:
        if wider(have[name], wanted[name]):
            continue
        if _zone(have[name], wanted[name]):
            yield _told_zone(way, have[name], wanted[name])
        change = judged(session, way, have[name], wanted[name])
        if isinstance(change, str):
            yield _unreadable(way, have[name], wanted[name], change)
        else:
            changes.append(change)
    yield from _counted(session, way, changes)


def _keys(way: Way, have: dict[str, Column], wanted: dict[str, Column]) -> Iterator[Hazard]:
    for name in way.pair.key:
        if name in have and name in wanted and common_type(have[name], wanted[name]) is None:
            yield Hazard(
                "type_mismatch",
                f"The key {name} is {_type(have[name])} in {way.of} and {_type(wanted[name])} in {way.to}: no type holds"
                " both, so rows can't be told apart by it.",
                "Give the key the same type in both tables.",
                way.pair.old,
                {"column": name, "unreadable": True},
            )


def _type(column: Column) -> str:
    return column.type + (f" COLLATE {column.collation}" if column.collation else "")


# --- moments and clocks ----------------------------------------------------------------------------------------


def _zone(have: Column, wanted: Column) -> bool:
    kinds = {have.core.removesuffix("[]"), wanted.core.removesuffix("[]")}
    return bool(kinds & MOMENTS) and bool(kinds & CLOCKS)


def _told_zone(way: Way, have: Column, wanted: Column) -> Hazard:
    name = have.name
    return Hazard(
        "time_zone",
        f"{way.of}.{name} is {have.type}, {way.to}.{name} is {wanted.type}: one is a moment, the other what a clock"
        " showed, and which time zone that clock was in is not said. This program reads it as UTC.",
        f"Say the zone in migration.yaml ({way.said}), for example {name}: {name} AT TIME ZONE 'Europe/Berlin'; or accept"
        " it, if the clock was in UTC.",
        way.pair.old,
        {"column": name, "from": have.type, "to": wanted.type},
    )


# --- there and back --------------------------------------------------------------------------------------------


def _unreadable(way: Way, have: Column, wanted: Column, complaint: str) -> Hazard:
    return Hazard(
        "type_mismatch",
        f"{way.of}.{have.name} ({have.type}) can't be read as {wanted.type} of {way.to}: {complaint}",
        f"Give the column an expression in migration.yaml ({way.said}), or correct the value that the server names.",
        way.pair.old,
        {"column": have.name, "unreadable": True},
    )


def _counted(session: Session, way: Way, changes: Sequence[Change]) -> Iterator[Hazard]:
    """Count in one scan; where a value stops it, column by column, so that each is named."""
    try:
        with session.savepoint():
            counts = tally(session, way.table, [c.broken for c in changes])
    except DatabaseError as error:
        if len(changes) == 1:
            yield _unreadable(way, changes[0].have, changes[0].wanted, error.found)
            return
        for change in changes:
            yield from _counted(session, way, [change])
        return
    for change, count in zip(changes, counts, strict=True):
        if count:
            yield _told(session, way, change, count)


def _told(session: Session, way: Way, change: Change, count: int) -> Hazard:
    keys = sample_keys(session, way.pair.key, way.table, change.broken)
    name, type_ = change.have.name, change.wanted.type
    facts = {"column": name, "from": change.have.type, "to": type_, "rows": count, "keys": keys}
    found = (
        f"In {counted(count, 'row')} of {way.of} there is a value in {name} ({change.have.type}) that is another one as"
        f" {type_} of {way.to}: it would be rounded or cut, for example {', '.join(str(k) for k in keys)}."
    )
    if name in way.pair.key or _too_long(change):
        remedy = f"Correct these values first, or give the column an expression in migration.yaml ({way.said})."
        return Hazard("type_mismatch", found, remedy, way.pair.old, facts)
    stays = "the parked table and the export" if way.said == "back" else "the retired old table in aicfg_rollback"
    return Hazard(
        "values_change",
        found,
        f"Give the column an expression in migration.yaml ({way.said}), or accept it: {stays} keep the values as they are.",
        way.pair.old,
        facts,
    )


def _too_long(change: Change) -> bool:
    """Say whether an assignment would refuse the value instead of changing it: it is copied without its length."""
    return change.wanted.base_type.removesuffix("[]") in CUT and change.wanted.type != change.wanted.base_type
