"""A8: who sees and may change which rows after the rollback is foretold by the plan, and is no surprise to `verify`.

The witness is this file's own: each persona is tried by hand, with `SET ROLE` and the claims that the API sets.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml

from aicfg_pipeline.errors import GateError, HazardError
from aicfg_pipeline.rollback.hazards import Hazard
from aicfg_pipeline.rollback.steps import verify
from aicfg_pipeline.rollback.tables import personas
from aicfg_pipeline.spec import load as spec
from aicfg_pipeline_tests.tools.migration import roll_back, running
from aicfg_pipeline_tests.tools.planning import planned, refused
from aicfg_pipeline_tests.tools.servers import Database

POLICY = '"Sys admins can manage AI org prompts" ON ai_cfg_org_prompts'
ACCEPTED = ("visibility_changes",)
ROWS = 40


def sees(database: Database, table: str) -> dict[str, int]:
    """Count by hand what each kind of user sees."""
    found = {}
    for kind in ("sys_owner", "sys_admin", "sys_user"):
        with database.connect() as connection:
            query = "SELECT user_id::text FROM user_profiles WHERE sys_role = %s ORDER BY user_id LIMIT 1"
            (user,) = connection.execute(query, (kind,)).fetchone()  # type: ignore[misc]
            claims = json.dumps({"sub": user, "role": "authenticated"})
            for name, value in (("request.jwt.claims", claims), ("request.jwt.claim.sub", user)):
                connection.execute("SELECT set_config(%s, %s, false)", (name, value))
            connection.execute("SET ROLE authenticated")
            found[kind] = connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # type: ignore[index]
    return found


def lose_policy(database: Database) -> None:
    database.execute(f"DROP POLICY {POLICY}")


def named(hazards: list[Hazard]) -> set[tuple[object, ...]]:
    return {(h.code, h.pair, h.facts["persona"], h.facts["role"], h.facts["change"]) for h in hazards}


@pytest.mark.two_versions
def test_a_policy_that_the_new_table_lost_is_foretold_by_persona_role_and_table(migrated_database: Database) -> None:
    lose_policy(migrated_database)
    assert sees(migrated_database, "ai_cfg_org_prompts") == {"sys_owner": 0, "sys_admin": 0, "sys_user": 0}
    found = refused(migrated_database)
    assert named(found) == {
        ("visibility_changes", "org_prompt_engineering", who, "authenticated", "widened")
        for who in ("system owner", "system admin")
    }
    assert all(h.facts["shares"] == {"sees": ["none", "all"], "updates": ["none", "all"]} for h in found)
    assert "sees none of the rows of ai_cfg_org_prompts today (0 of 40)" in found[0].found


def test_what_was_foretold_and_accepted_is_what_verify_expects(migrated_database: Database) -> None:
    lose_policy(migrated_database)
    with running(migrated_database.url, accept_hazards=ACCEPTED) as run:
        roll_back(run)  # its gate fails where a check does
        (check,) = _visible_rows(run.session, run.migration)
    assert sees(migrated_database, "org_prompt_engineering") == {"sys_owner": ROWS, "sys_admin": ROWS, "sys_user": 0}
    assert check.outcome == "passed"
    assert check.summary.startswith("As the plan foretold, and it was accepted: system owner (authenticated) saw none")


def _visible_rows(session: object, migration: spec.Migration) -> list[verify.Check]:
    checks = verify.run_checks(session, migration)  # type: ignore[arg-type]
    return [c for c in checks if c.name == "visible_rows" and c.pair == "org_prompt_engineering"]


def test_what_was_not_foretold_still_fails_the_gate(migrated_database: Database) -> None:
    """The owner's view was foretold; that the ordinary user sees everything since is another change."""
    lose_policy(migrated_database)
    with running(migrated_database.url, accept_hazards=ACCEPTED) as run:
        roll_back(run)
        migrated_database.execute("CREATE POLICY more ON org_prompt_engineering FOR SELECT USING (true)")
        (check,) = _visible_rows(run.session, run.migration)
        with pytest.raises(GateError):
            verify.gate([check], remedy="")
    assert "ordinary user (authenticated) saw none of the rows before and all now" in check.summary
    assert "system owner" not in check.summary


def test_a_policy_that_is_lost_after_the_plan_stops_the_cut_over_before_the_swap(migrated_database: Database) -> None:
    assert planned(migrated_database.url).hazards == ()
    lose_policy(migrated_database)
    with running(migrated_database.url) as run, pytest.raises(HazardError) as caught:
        roll_back(run)
    assert set(caught.value.codes) == {"visibility_changes"}
    assert migrated_database.exists("public.org_prompt_engineering") == "v"


def test_what_the_grants_change_is_told_once_as_a_change_of_access(migrated_database: Database) -> None:
    migrated_database.execute(
        "REVOKE ALL ON ai_cfg_sys_rag, sys_rag FROM authenticated; GRANT SELECT ON ai_cfg_sys_rag, sys_rag TO anon"
    )
    assert {h.code for h in refused(migrated_database)} == {"access_changes"}


@pytest.mark.parametrize(
    ("persona", "code", "because"),
    [
        ({"name": "x", "role": "nobody_here"}, "persona_not_tried", "nobody_here"),
        (
            {"name": "x", "role": "anon", "claim": "SELECT user_id FROM public.not_there"},
            "persona_not_tried",
            'relation "public.not_there" does not exist',
        ),
    ],
)
def test_a_persona_that_can_not_be_tried_is_told(
    migrated_database: Database,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    persona: dict[str, str],
    code: str,
    because: str,
) -> None:
    shutil.copytree(spec.bundled_sql(), tmp_path / "sql")
    file = tmp_path / "sql/migration.yaml"
    said = yaml.safe_load(file.read_text())
    said["personas"] = [persona]
    file.write_text(yaml.safe_dump(said))
    monkeypatch.setenv("AICFG_MIGRATION_DIR", str(tmp_path / "sql"))
    found = planned(migrated_database.url).hazards
    assert [(h.code, h.pair) for h in found] == [(code, p.old) for p in spec.load().pairs]
    assert all(because in h.found for h in found)


def test_a_policy_that_fails_on_the_old_table_only_is_a_change(
    migrated_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(spec.bundled_sql(), tmp_path / "sql")
    file = tmp_path / "sql/old/org_prompt_engineering.sql"
    file.write_text(
        file.read_text().replace("USING ((EXISTS", "USING (1 / (length(citation_style) * 0) = 1 AND (EXISTS")
    )
    monkeypatch.setenv("AICFG_MIGRATION_DIR", str(tmp_path / "sql"))
    found = refused(migrated_database)
    assert {h.code for h in found} == {"visibility_changes"}
    assert all(
        "the query fails on org_prompt_engineering: " in h.found and "division by zero" in h.found for h in found
    )


def test_of_a_large_table_the_same_rows_are_tried_on_both_sides(
    migrated_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever sees some of the rows sees all or none of a few of them: that alone is no change, and is not said to be one."""
    policy = "CREATE POLICY of_style ON {} FOR SELECT TO authenticated USING (citation_style = 'inline')"
    migrated_database.execute(policy.format("ai_cfg_org_prompts"))
    shutil.copytree(spec.bundled_sql(), tmp_path / "sql")
    file = tmp_path / "sql/old/org_prompt_engineering.sql"
    kept = file.read_text().replace("-- name: grants", policy.format("org_prompt_engineering") + ";\n\n-- name: grants")
    file.write_text(kept)
    monkeypatch.setenv("AICFG_MIGRATION_DIR", str(tmp_path / "sql"))
    monkeypatch.setattr(personas, "MOST_ROWS", 3)
    assert planned(migrated_database.url).hazards == ()
    lose_policy(migrated_database)
    found = [h for h in planned(migrated_database.url).hazards if h.facts["persona"] == "system owner"]
    assert [h.facts["rows"]["tried"] for h in found] == [3]
    assert "The same 3 rows of each were tried." in found[0].found


def test_what_others_write_meanwhile_is_no_change(migrated_database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that are deleted between the two counts are in both: one snapshot."""
    filled = personas._filled

    def others_write(*args: object) -> object:
        sample = filled(*args)  # type: ignore[arg-type]
        migrated_database.execute("DELETE FROM ai_cfg_org_prompts WHERE citation_style = 'inline'")
        return sample

    monkeypatch.setattr(personas, "_filled", others_write)
    assert planned(migrated_database.url).hazards == ()
