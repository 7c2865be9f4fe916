"""Ops: one a step. Each opens the run, calls the engine's step, and logs what the assets' pages show.

What a step does is in `rollback`; how the steps follow each other is in `jobs`.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from dagster import (
    AssetMaterialization,
    AssetObservation,
    In,
    MetadataValue,
    OpDefinition,
    OpExecutionContext,
    Out,
    Output,
    op,
)

from aicfg_pipeline.orchestration.assets import asset_key
from aicfg_pipeline.orchestration.config import ConfirmConfig, DropConfig, PlanConfig
from aicfg_pipeline.orchestration.home import export_folder, report_folder
from aicfg_pipeline.orchestration.metadata import check_evaluation, failures, metadata, plan_markdown
from aicfg_pipeline.orchestration.reports import against_last_report, recorded_checks, write_report
from aicfg_pipeline.orchestration.resources import PostgresResource
from aicfg_pipeline.orchestration.service_checks import look_at_services
from aicfg_pipeline.orchestration.service_ops import (
    build_service_ops,
    plan_services,
    services_by_hand,
    services_guarded,
    stop_for_undo,
)
from aicfg_pipeline.orchestration.services import ServicesResource
from aicfg_pipeline.orchestration.summary import summary
from aicfg_pipeline.rollback import compare as compare_step
from aicfg_pipeline.rollback import copy_back, cut_over, drop, ledger, lifecycle, plan, undo, verify
from aicfg_pipeline.rollback import migrate as migrate_step
from aicfg_pipeline.rollback.checks import Check, Watch
from aicfg_pipeline.rollback.differences import write_differences
from aicfg_pipeline.rollback.run import Run, Settings
from aicfg_pipeline.rollback.state import State
from aicfg_pipeline.spec import Migration, Pair

Passed = dict[str, Any]
"""What one op hands to the next: what the operator asked for and the plan's hash. Never the database's state."""

UNDO = "undo: dagster job execute -m aicfg_pipeline.definitions -j undo_rollback"


def open_run(
    context: OpExecutionContext, postgres: PostgresResource, migration: Migration, passed: Mapping[str, Any] | Settings
) -> Run:
    """Return the run of this op, with the run lock held. Raises `AlreadyRunningError`."""
    settings, plan_hash = passed, None
    if not isinstance(passed, Settings):
        settings = Settings(**{**passed["settings"], "accept_hazards": tuple(passed["settings"]["accept_hazards"])})
        plan_hash = passed["plan_hash"]
    assert isinstance(settings, Settings)
    session = postgres.locked_session(f"aicfg_pipeline {context.job_name} {context.run_id[:8]}")
    return Run(session, migration, context.run_id, settings=settings, plan_hash=plan_hash, say=context.log.info)


def _ancestors(context: OpExecutionContext) -> list[str | None]:
    return [context.run.parent_run_id, context.run.root_run_id]


def _link(run: Run, context: OpExecutionContext) -> None:
    lifecycle.must_be_ours(run, _ancestors(context))


def _open_and_link(
    context: OpExecutionContext, postgres: PostgresResource, migration: Migration, passed: Mapping[str, Any]
) -> Run:
    run = open_run(context, postgres, migration, passed)
    _link(run, context)
    return run


def build_ops(migration: Migration) -> dict[str, OpDefinition]:
    """Return every op by name; the steps of the pairs are made from the migration."""
    made = [
        _plan_op(migration),
        *(_copy_back_op(migration, pair) for pair in migration.pairs),
        _compare_op(migration),
        _cut_over_op(migration),
        _verify_op(migration),
        _drop_op(migration),
        _end_op(migration),
        _undo_op(migration),
        _end_of_undo_op(migration),
        _migrate_op(migration),
        *build_service_ops(migration, _open_and_link),
    ]
    return {o.name: o for o in made}


def copy_back_name(pair: Pair) -> str:
    """Return the name of the op that makes a pair's shadow."""
    return re.sub(r"[^A-Za-z0-9_]", "_", f"copy_back_{pair.old}")


# --- plan ------------------------------------------------------------------------------------------------------


def _plan_op(migration: Migration) -> OpDefinition:
    @op(
        name="plan",
        out=Out(dict, is_required=False, description="What was asked for; nothing where the run ends here."),
        description="Looks at every pair, finds hazards, and says what would run, in order. Locks nothing, changes"
        " nothing. A hazard that blocks stops the run here; a dry run ends here.",
        tags={"kind": "postgres"},
    )
    def plan_(
        context: OpExecutionContext, config: PlanConfig, postgres: PostgresResource, services: ServicesResource
    ) -> Iterator[Output[dict]]:
        alone = context.job_name == "plan"
        with failures():
            settings = config.settings()
            target = postgres.target()
            if alone or settings.dry_run:
                with postgres.session("aicfg_pipeline plan") as session:
                    run = Run(session, migration, context.run_id, settings=settings, say=context.log.info)
                    _planned(context, run, must_confirm=not target.embedded)
                plan_services(context, migration, services)
                return
            with services_guarded(context, migration, postgres, services):
                run = open_run(context, postgres, migration, settings)
                found = _planned(context, run, must_confirm=not target.embedded)
                if found.nothing_to_do and not ledger.exists(run.session):
                    print(summary(run, run.run_id), flush=True)
                    return  # not even the ledger is made where there is nothing to do
                run.plan_hash = found.hash
                plan_services(context, migration, services)
                by_hand = services_by_hand(migration, services)
                lifecycle.begin(run, context.job_name, {**_plan_facts(found, settings), "by_hand": by_hand})
        yield Output({"settings": asdict(settings), "plan_hash": found.hash})

    return plan_


def _planned(context: OpExecutionContext, run: Run, *, must_confirm: bool) -> plan.Plan:
    found = plan.make_plan(run, must_confirm=must_confirm)
    shown = plan_markdown(found, run.settings.accept_hazards)
    print(shown, flush=True)
    blocking = found.blocking(run.settings.accept_hazards)
    context.log_event(
        AssetObservation(
            asset_key=asset_key(found.look.pairs[0].pair, "old"),
            description=f"plan {found.hash}",
            metadata={"plan": MetadataValue.md(shown)},
        )
    )
    for state in found.look.pairs:
        context.log.info(f"{state.pair.old}: {state.state} ({state.because})")
    for hazard in found.hazards:
        (context.log.error if hazard in blocking else context.log.warning)(str(hazard))
    plan.gate(found, run.settings.accept_hazards)
    todo = "nothing to roll back" if found.nothing_to_do else f"{len(found.statements)} statements"
    context.log.info(f"plan {found.hash}: {todo}, {len(found.hazards)} hazards, none blocks")
    return found


def _plan_facts(found: plan.Plan, settings: Settings) -> dict[str, Any]:
    return {
        "database": {k: v for k, v in found.database.items() if k != "pid"},
        "states": dict(found.look.summary),
        "hazards": [
            {"code": h.code, "pair": h.pair, "found": h.found, "accepted": h.code in settings.accept_hazards}
            for h in found.hazards
        ],
        "plan_hash": found.hash,
        "statements_planned": len(found.statements),
    }


# --- copy back, compare, cut over ------------------------------------------------------------------------------


def _copy_back_op(migration: Migration, pair: Pair) -> OpDefinition:
    @op(
        name=copy_back_name(pair),
        ins={"planned": In(dict)},
        out=Out(dict),
        description=f"Makes `{pair.old}` as a shadow in the private schema and keeps it up to date with `{pair.new}`:"
        " change log, copy, indexes, replay. Writers go on; the trigger's lock is held for milliseconds. On failure:"
        " nothing has changed for anyone, run again to go on.",
        tags={"kind": "postgres"},
    )
    def copy_back_(
        context: OpExecutionContext, planned: dict, postgres: PostgresResource, services: ServicesResource
    ) -> Iterator[Output[dict]]:
        with failures(), services_guarded(context, migration, postgres, services):
            run = open_run(context, postgres, migration, planned)
            _link(run, context)
            facts = copy_back.copy_back(run, pair.old)
        if not facts["skipped"]:
            context.log_event(
                AssetObservation(
                    asset_key=asset_key(pair, "new"),
                    description="copied back into the shadow",
                    metadata=metadata({**facts, "dagster/row_count": facts["rows"]}),
                )
            )
        yield Output(planned, metadata=metadata(facts))

    return copy_back_


def _compare_op(migration: Migration) -> OpDefinition:
    @op(
        name="compare",
        ins={"copied": In(list)},
        out=Out(dict),
        description="The gate before: every shadow against its live rows in one snapshot: row counts, checksums, row by"
        " row. A difference is right only if its key is still in the change log. Otherwise the run stops, with nothing"
        " changed for anyone.",
        tags={"kind": "postgres"},
    )
    def compare_(
        context: OpExecutionContext, copied: list, postgres: PostgresResource, services: ServicesResource
    ) -> Iterator[Output[dict]]:
        with failures(), services_guarded(context, migration, postgres, services):
            run = open_run(context, postgres, migration, copied[0])
            _link(run, context)
            results = compare_step.compare(run)
        yield Output(copied[0], metadata=metadata(_flat(results)))

    return compare_


def _flat(results: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for old, found in results.items():
        flat[f"{old} rows before"], flat[f"{old} rows after"] = found["before"]["rows"], found["after"]["rows"]
        flat[f"{old} checksum before"] = found["before"]["checksum"]
        flat[f"{old} checksum after"] = found["after"]["checksum"]
        flat[f"{old} unexplained differences"] = found["differences"]["unexplained"]
    return flat


def _cut_over_op(migration: Migration) -> OpDefinition:
    @op(
        name="cut_over",
        ins={"compared": In(dict)},
        out=Out(dict),
        description="The swap: one short transaction for all pairs. Locks everything for milliseconds, replays the last"
        " keys, moves views and new tables to the private schema and the shadows to their place. On failure: unchanged.",
        tags={"kind": "postgres"},
    )
    def cut_over_(
        context: OpExecutionContext, compared: dict, postgres: PostgresResource, services: ServicesResource
    ) -> Iterator[Output[dict]]:
        with failures(), services_guarded(context, migration, postgres, services):
            run = open_run(context, postgres, migration, compared)
            _link(run, context)
            facts = cut_over.cut_over(run)
        for old in facts["pairs"]:
            _log_cut_over(context, run, migration.pair(old), facts)
        yield Output(compared, metadata=metadata(facts))

    return cut_over_


def _log_cut_over(context: OpExecutionContext, run: Run, pair: Pair, facts: Mapping[str, Any]) -> None:
    look = run.look()
    proven = look.ledger.last("compare", pair=pair.old, outcome="proven")
    rows = proven.facts["after"]["rows"] if proven else None
    seen = metadata(
        {
            "dagster/row_count": rows,
            "checksum": proven.facts["after"]["checksum"] if proven else None,
            "locks_held_ms": facts["locks_held_ms"],
            "lock_attempts": facts["lock_attempts"],
        }
    )
    context.log_event(
        AssetMaterialization(asset_key=asset_key(pair, "old"), description="cut over: a table again", metadata=seen)
    )
    context.log_event(
        AssetObservation(asset_key=asset_key(pair, "new"), description="parked in aicfg_rollback", metadata=seen)
    )
    context.log_event(AssetObservation(asset_key=asset_key(pair, "view"), description="parked in aicfg_rollback"))


# --- verify, drop ----------------------------------------------------------------------------------------------


def run_and_log_checks(context: OpExecutionContext, run: Run) -> list[Check]:
    """Run every check and log each verdict on its asset."""
    watch = verify.watch(run.session, run.migration)
    checks = verify.run_checks(run.session, run.migration, on=watch)
    _log_checks(context, run, checks)
    _write_differences(context, run, watch, verify.failed(checks))
    return checks


def _log_checks(context: OpExecutionContext, run: Run, checks: list[Check]) -> None:
    for check in checks:
        context.log_event(check_evaluation(run.migration, check))  # type: ignore[arg-type]  # it takes them, untyped
        if not check.passed:
            context.log.warning(f"FAILED {check.asset} {check.pair}: {check.name}: {check.summary}")
    if checks:  # each verdict is an event of its own already
        context.log.info(f"{sum(c.passed for c in checks)} of {len(checks)} checks passed")


def _log_service_checks(context: OpExecutionContext, run: Run, services: ServicesResource) -> list[Check]:
    """The same for the services that are configured, with the numbers that plot."""
    looked = look_at_services(run.session, run.migration, services.settings(), context.instance)
    for event in looked.observations():
        context.log_event(event)
    _log_checks(context, run, looked.checks)
    return looked.checks


def _write_differences(context: OpExecutionContext, run: Run, watch: Watch, wrong: list[Check]) -> None:
    """Put the differing rows of every pair whose data checks failed beside the report, as CSV."""
    for old in {c.pair for c in wrong if c.name in ("row_count", "checksum", "rows")}:
        file = write_differences(watch, run.migration.pair(old), report_folder(), f"differences-{run.run_id[:8]}")
        if file:
            context.log.warning(f"{old}: every differing value: {file}")


def _verify_op(migration: Migration) -> OpDefinition:
    @op(
        name="verify",
        ins={"cut": In(dict, default_value={})},
        out=Out(dict),
        description="The gate after: every asset check. One that fails stops the run before anything is dropped, while"
        " the rollback can still be undone.",
        tags={"kind": "postgres"},
    )
    def verify_(
        context: OpExecutionContext, cut: dict, postgres: PostgresResource, services: ServicesResource
    ) -> Iterator[Output[dict]]:
        with failures():
            if cut:
                with services_guarded(context, migration, postgres, services):
                    run = _open_and_link(context, postgres, migration, cut)
                    checks = run_and_log_checks(context, run) + _log_service_checks(context, run, services)
                    _record_verify(run, checks)
                    verify.gate(checks, remedy=f"Mend what is named and run again; or {UNDO}")
            else:
                with postgres.session("aicfg_pipeline verify") as session:
                    run = Run(session, migration, context.run_id, say=context.log.info)
                    checks = run_and_log_checks(context, run) + _log_service_checks(context, run, services)
                    _log_findings(context, run, checks)
                verify.gate(checks, remedy="Mend what is named and run verify again.")
        counts = {"checks": len(checks), "passed": sum(c.passed for c in checks)}
        context.log.info(f"verify: {counts['passed']} of {counts['checks']} checks passed")
        if not cut:
            print(f"verify: {counts['passed']} of {counts['checks']} checks passed", flush=True)
        yield Output(cut, metadata=metadata(counts))

    return verify_


def _log_findings(context: OpExecutionContext, run: Run, checks: list[Check]) -> None:
    """Say where the database of now differs from the last report on it, and what explains it."""
    compared = against_last_report(run, checks)
    if compared is None:
        context.log.info("There is no earlier report on this database to compare with.")
        return
    path, findings = compared
    context.log.info(f"compared with {path.name}: {sum(f.ok for f in findings)} of {len(findings)} facts agree")
    for finding in findings:
        if finding.judgement != "agrees":
            (context.log.info if finding.ok else context.log.warning)(f"{finding.judgement}: {finding}")


def _record_verify(run: Run, checks: list[Check]) -> None:
    wrong = verify.failed(checks)
    facts = {
        "checks": [
            {"pair": c.pair, "asset": c.asset, "name": c.name, "passed": c.passed, "summary": c.summary,
             "severity": c.severity}
            for c in checks
        ]
    }  # fmt: skip
    with run.writing():
        run.record("verify", "failed" if wrong else "passed", facts=facts)


def _drop_op(migration: Migration) -> OpDefinition:
    @op(
        name="drop_new_tables",
        out=Out(dict),
        description="Exports the parked tables, compares once more under lock, and drops them with logs and triggers."
        " The ledger stays. Refuses before the retention ends, unless told, and while a check fails.",
        tags={"kind": "postgres"},
    )
    def drop_(context: OpExecutionContext, config: DropConfig, postgres: PostgresResource) -> Iterator[Output[dict]]:
        with failures():
            run = open_run(context, postgres, migration, config.settings())
            lifecycle.confirm(run, must_confirm=not postgres.target().embedded)
            lifecycle.must_have_begun(run, "drop")
            lifecycle.begin(run, context.job_name)
            facts = _dropped(context, run, before_retention_ends=config.before_retention_ends)
            told = _finished(context, run, verify.run_checks(run.session, migration))
        yield Output(facts, metadata={**told, **metadata(facts)})

    return drop_


def _end_op(migration: Migration) -> OpDefinition:
    @op(
        name="drop_at_the_end",
        ins={"verified": In(dict)},
        out=Out(dict),
        description="With retain_days: 0 exports and drops the parked tables; else says until when they are kept, and"
        " how to drop or undo.",
        tags={"kind": "postgres"},
    )
    def end_(
        context: OpExecutionContext, verified: dict, postgres: PostgresResource, services: ServicesResource
    ) -> Iterator[Output[dict]]:
        with failures(), services_guarded(context, migration, postgres, services):
            run = open_run(context, postgres, migration, verified)
            facts = _drop_at_end(context, run)
            checks = run_and_log_checks(context, run) if facts["dropped"] else None
            if checks is not None:
                checks += [c for c in recorded_checks(run) if c.asset == "service"]
            told = _finished(context, run, checks)
        yield Output(verified, metadata={**told, **metadata(facts)})

    return end_


def _finished(context: OpExecutionContext, run: Run, checks: list[Check] | None) -> dict[str, Any]:
    """Write that the run is done and its report, and tell the person what there is now. Returns metadata."""
    lifecycle.finish(run, {"states": dict(run.look().summary)})
    html, links = write_report(run, context.job_name, checks)
    told = summary(run, run.run_id, report=html)
    print(told, flush=True)
    return {"summary": MetadataValue.md(f"```\n{told}\n```"), **links}


def _drop_at_end(context: OpExecutionContext, run: Run) -> dict[str, Any]:
    """The last op of a rollback: drop now, or say until when the new tables are parked."""
    _link(run, context)
    parked = run.look().in_state(State.CUT_OVER)
    if parked and run.settings.retain_days > 0:
        for state in parked:
            until = drop.retained_until(run.look().ledger, state.pair.old)
            context.log.info(f"{state.pair.new}: parked until {until:%Y-%m-%d %H:%M} UTC" if until else "parked")
        return {"dropped": False}
    return _dropped(context, run, before_retention_ends=True)


def _dropped(context: OpExecutionContext, run: Run, *, before_retention_ends: bool) -> dict[str, Any]:
    checks = verify.run_checks(run.session, run.migration)
    facts = drop.drop_new_tables(run, export_folder(), checks, before_retention_ends=before_retention_ends)
    for old, found in facts.items():
        pair = run.migration.pair(old)
        context.log_event(
            AssetObservation(
                asset_key=asset_key(pair, "new"), description="exported and dropped", metadata=metadata(found)
            )
        )
    return {"dropped": bool(facts), **facts}


# --- undo ------------------------------------------------------------------------------------------------------


def _undo_op(migration: Migration) -> OpDefinition:
    @op(
        name="undo_rollback",
        out=Out(dict),
        description="Takes a rollback back while the new tables are parked: replays what was written since, compares in"
        " one snapshot, and swaps back in one short transaction. Undoing the undo is another rollback.",
        tags={"kind": "postgres"},
    )
    def undo_(
        context: OpExecutionContext, config: ConfirmConfig, postgres: PostgresResource, services: ServicesResource
    ) -> Iterator[Output[dict]]:
        with failures():
            run = open_run(context, postgres, migration, config.settings())
            lifecycle.confirm(run, must_confirm=not postgres.target().embedded)
            lifecycle.must_have_begun(run, "undo")
        with failures(), services_guarded(context, migration, postgres, services):
            plan_services(context, migration, services)
            lifecycle.begin(run, context.job_name, {"by_hand": services_by_hand(migration, services)})
            stop_for_undo(run, services)
            facts = undo.undo_rollback(run)
        for old in facts["pairs"]:
            pair, seen = migration.pair(old), metadata({k: v for k, v in facts.items() if k != "pairs"})
            context.log_event(
                AssetMaterialization(asset_key=asset_key(pair, "new"), description="undone", metadata=seen)
            )
            context.log_event(AssetObservation(asset_key=asset_key(pair, "old"), description="undone", metadata=seen))
            context.log_event(AssetObservation(asset_key=asset_key(pair, "view"), description="undone: a view again"))
        yield Output({"settings": asdict(config.settings()), "plan_hash": None}, metadata=metadata(facts))

    return undo_


def _end_of_undo_op(migration: Migration) -> OpDefinition:
    @op(
        name="end_of_undo",
        ins={"before": In(dict)},
        out=Out(dict),
        description="Runs every check once more and tells what there is now.",
        tags={"kind": "postgres"},
    )
    def end_of_undo_(
        context: OpExecutionContext, before: dict, postgres: PostgresResource, services: ServicesResource
    ) -> Iterator[Output[dict]]:
        with failures(), services_guarded(context, migration, postgres, services):
            run = _open_and_link(context, postgres, migration, before)
            checks = verify.run_checks(run.session, migration)
            told = _finished(context, run, checks + _log_service_checks(context, run, services))
        yield Output(before, metadata=told)

    return end_of_undo_


# --- migrate ---------------------------------------------------------------------------------------------------


def _migrate_op(migration: Migration) -> OpDefinition:
    @op(
        name="migrate",
        out=Out(dict),
        description="Forward: makes the new tables, moves the rows, drops the old tables, makes the views. Locks the old"
        " tables while their rows are copied.",
        tags={"kind": "postgres"},
    )
    def migrate_(
        context: OpExecutionContext, config: ConfirmConfig, postgres: PostgresResource
    ) -> Iterator[Output[dict]]:
        with failures():
            run = open_run(context, postgres, migration, config.settings())
            lifecycle.confirm(run, must_confirm=not postgres.target().embedded)
            rows = migrate_step.migrate(run)
        for old, count in rows.items():
            pair, seen = migration.pair(old), {"dagster/row_count": count}
            context.log_event(AssetMaterialization(asset_key=asset_key(pair, "new"), metadata=seen))
            context.log_event(AssetMaterialization(asset_key=asset_key(pair, "view"), metadata=seen))
        yield Output(rows, metadata=metadata(rows))

    return migrate_
