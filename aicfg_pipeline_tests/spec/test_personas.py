"""Personas and foreign keys as migration.yaml and the DDL files give them: read in full, refused with a reason."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from aicfg_pipeline.errors import SpecError
from aicfg_pipeline.spec import load as spec


def migration_with(folder: Path, personas: str) -> spec.Migration:
    shutil.copytree(spec.bundled_sql(), folder, dirs_exist_ok=True)
    path = folder / "migration.yaml"
    text = path.read_text()
    start, end = text.index("personas:"), text.index("pairs:")
    path.write_text(f"{text[:start]}personas: {personas}\n\n{text[end:]}")
    return spec.load(folder)


def test_personas_are_read(tmp_path: Path) -> None:
    found = migration_with(tmp_path, "[{name: a, role: anon}, {name: b, role: anon, claim: SELECT id FROM t LIMIT 1}]")
    assert found.personas == (spec.Persona("a", "anon"), spec.Persona("b", "anon", "SELECT id FROM t LIMIT 1"))


@pytest.mark.parametrize(
    ("claim", "complaint"),
    [
        ("DELETE FROM t RETURNING id", "not a single SELECT"),
        ("SELECT id, role FROM t", "not a single SELECT"),
        ("SELECT 1; DROP TABLE t", "not a single SELECT"),
        ("SELECT id FROM t FOR UPDATE", "more than read"),
        ("WITH gone AS (DELETE FROM t RETURNING id) SELECT id FROM gone", "more than read"),
        ("SELECT id INTO u FROM t", "more than read"),
        ("SELECT (", "can't be read as SQL"),
    ],
)
def test_a_claim_only_reads(tmp_path: Path, claim: str, complaint: str) -> None:
    with pytest.raises(SpecError) as error:
        migration_with(tmp_path, f'[{{name: a, role: anon, claim: "{claim}"}}]')
    assert complaint in str(error.value)
    assert "personas.0" in str(error.value)


def test_names_are_unique(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"personas\.1: a is named twice"):
        migration_with(tmp_path, "[{name: a, role: anon}, {name: a, role: service_role}]")


def test_foreign_keys_know_their_actions() -> None:
    keys = {k.name: str(k) for p in spec.load().pairs for k in p.old_ddl.foreign_keys}
    assert keys["org_prompt_engineering_org_id_fkey"] == "(org_id) REFERENCES public.orgs (id) ON DELETE CASCADE"
    assert keys["sys_rag_updated_by_fkey"] == "(updated_by) REFERENCES auth.users (id)"
