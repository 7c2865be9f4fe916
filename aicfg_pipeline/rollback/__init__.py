"""The rollback engine, in running order. It knows no service of the runbook and no Dagster.

| step | what it does | file |
|---|---|---|
| plan | looks, finds hazards, says what would run | `steps/plan.py` |
| copy back | makes the old table as a shadow, beside the live one | `steps/copy_back.py` |
| compare | the gate before: shadow against live rows | `steps/compare.py` |
| cut over | the swap of names, in one short transaction | `steps/cut_over.py` |
| verify | the gate after: every check | `steps/verify.py` |
| drop | exports the parked tables and lets them go | `steps/drop.py` |
| undo | back again, while the new tables are parked | `steps/undo.py` |
| instant, instant undo | the same by renaming, where no row has to be copied | `steps/instant.py`, `steps/instant_undo.py` |
| migrate | forward, for who wants to go there again | `steps/migrate.py` |

The steps stand on `checks/` (verdicts), these on `hazards/` (what may stand in the way), these on `tables/` (what is
done to one pair), and all on the stem: `run`, `lock`, `ledger`, `state`, `lifecycle`, `glance`.
"""
