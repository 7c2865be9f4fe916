"""An earlier report against today's facts: what agrees, what is explained, what nobody can explain."""

from __future__ import annotations

import pytest

from aicfg_pipeline.evidence import PairNow, compare_with
from aicfg_pipeline_tests.evidence.samples import sample

OLD, OTHER = "org_prompt_engineering", "sys_rag"


def judged(**more) -> dict[str, tuple[str, str]]:
    values = {"state": "cut_over", "rows": 401, "checksum": "17", "keys_written_since": 0}
    same = PairNow(OTHER, **values)
    found = compare_with(sample(), [same, PairNow(OLD, **{**values, **more})])
    assert all(f.judgement == "agrees" for f in found if f.pair == OTHER)
    return {f.field: (f.judgement, f.because) for f in found if f.pair == OLD}


def test_the_same():
    assert judged() == {"state": ("agrees", ""), "rows": ("agrees", ""), "checksum": ("agrees", "")}


def test_a_row_that_no_log_explains():
    assert judged(rows=400, checksum="3") == {
        "state": ("agrees", ""),
        "rows": ("differs", ""),
        "checksum": ("differs", ""),
    }


def test_rows_written_since():
    because = "1\u202f200 keys were written since the cut-over"
    assert judged(rows=500, keys_written_since=1200)["rows"] == ("explained", because)


def test_after_the_drop_the_table_is_in_use():
    found = judged(state="rolled_back", rows=500, keys_written_since=None)
    assert found["state"] == ("explained", "the new tables were dropped since")
    assert found["rows"] == ("explained", "the table is in ordinary use, and no change log counts its writes")


@pytest.mark.parametrize(
    ("state", "judgement"), [("migrated", "explained"), ("missing", "differs"), ("never_migrated", "differs")]
)
def test_states(state, judgement):
    assert judged(state=state)["state"][0] == judgement


def test_another_server_has_other_checksums():
    assert judged(checksum="3", system_identifier="1")["checksum"] == (
        "not_comparable",
        "a checksum is good on its own server only",
    )


def test_what_is_not_known():
    assert judged(rows=None)["rows"] == ("not_comparable", "one side is not known")
    evidence = sample(states_after={}, entries=[], checks=())
    [state, rows, checksum] = compare_with(evidence, [PairNow(OLD, "migrated")])[1:]
    assert (state.judgement, rows.judgement, checksum.judgement) == ("not_comparable",) * 3


def test_pairs_that_come_and_go():
    found = compare_with(sample(), [PairNow("third", "migrated")])
    assert [(f.pair, f.judgement) for f in found] == [
        (OTHER, "differs"),
        (OLD, "differs"),
        ("third", "not_comparable"),
    ]
    assert str(found[0]) == "sys_rag: pair: reported on in the report, not there now (no such pair in the migration)"
    assert [f.ok for f in found] == [False, False, True]
