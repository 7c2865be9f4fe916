"""A3: what a DDL file names, resolved by meaning; what is not the file's own is refused with file, line, block and statement."""

from __future__ import annotations

from pathlib import Path

import pytest

from aicfg_pipeline.errors import SpecError
from aicfg_pipeline.spec import load as spec
from aicfg_pipeline.spec.places import object_name
from aicfg_pipeline_tests.tools.folders import write_folder

COLUMNS = "id serial NOT NULL, said text, parent integer"


def loaded(tmp_path: Path, block: str, statement: str) -> dict[str, tuple[str, ...]]:
    """Load a folder whose old file has one more statement at the end of a block; return the statements of its blocks."""
    folder = write_folder(tmp_path, "thing", "new_thing", COLUMNS)
    file = folder / "old.sql"
    table, indexes = file.read_text().rstrip().split("-- name: indexes")
    table += f"{statement};\n\n" if block == "table" else ""
    indexes += f"\n{statement};\n" if block == "indexes" else "\n"
    more = f"\n-- name: {block} -- more\n{statement};\n" if block not in ("table", "indexes") else ""
    file.write_text(f"{table}-- name: indexes{indexes}{more}")
    return {n: b.statements for n, b in spec.load(folder).pairs[0].old_ddl.blocks.items()}


@pytest.mark.parametrize(
    ("block", "statement", "run"),
    [
        ("grants", "GRANT SELECT ON public.thing TO x", "GRANT SELECT ON thing TO x"),
        ("grants", "GRANT SELECT(id) ON TABLE public . thing TO x", "GRANT SELECT(id) ON TABLE thing TO x"),
        ("grants", "grant select on PUBLIC.Thing to x", "grant select on Thing to x"),
        ("grants", 'GRANT SELECT ON "public"."thing" TO public', 'GRANT SELECT ON "thing" TO public'),
        ("grants", "GRANT ALL ON SEQUENCE public.thing_id_seq TO x", "GRANT ALL ON SEQUENCE thing_id_seq TO x"),
        ("grants", "GRANT ALL ON public.thing_id_seq TO x", "GRANT ALL ON thing_id_seq TO x"),
        ("indexes", "CREATE INDEX i ON public.thing (said)", "CREATE INDEX i ON thing (said)"),
        (
            "indexes",
            "CREATE INDEX i ON public.thing ((public.thing(said)) public.ops)",
            "CREATE INDEX i ON thing ((public.thing(said)) public.ops)",
        ),
        (
            "table",
            "ALTER TABLE ONLY public.thing ALTER COLUMN id SET DEFAULT nextval('public.thing_id_seq'::regclass)",
            "ALTER TABLE ONLY thing ALTER COLUMN id SET DEFAULT nextval('thing_id_seq'::regclass)",
        ),
        (
            "foreign_keys",
            "ALTER TABLE public.thing ADD CONSTRAINT k FOREIGN KEY (parent) REFERENCES public.thing(id) NOT VALID",
            "ALTER TABLE thing ADD CONSTRAINT k FOREIGN KEY (parent) REFERENCES public.thing(id) NOT VALID",
        ),
        (
            "triggers",
            "CREATE TRIGGER t BEFORE UPDATE ON public.thing FOR EACH ROW EXECUTE FUNCTION public.thing()",
            "CREATE TRIGGER t BEFORE UPDATE ON thing FOR EACH ROW EXECUTE FUNCTION public.thing()",
        ),
        (
            "row_level_security",
            "CREATE POLICY p ON public.thing USING (EXISTS (SELECT FROM public.thing WHERE public.thing.said = 'public.thing'))",
            "CREATE POLICY p ON thing USING (EXISTS (SELECT FROM thing WHERE thing.said = 'public.thing'))",
        ),
        (
            "comments",
            "COMMENT ON COLUMN public.thing.said IS 'of public.thing'",
            "COMMENT ON COLUMN thing.said IS 'of public.thing'",
        ),
        ("validate", "ALTER TABLE public.thing VALIDATE CONSTRAINT k", "ALTER TABLE thing VALIDATE CONSTRAINT k"),
    ],
)
def test_what_the_file_makes_is_named_without_its_schema(tmp_path: Path, block: str, statement: str, run: str) -> None:
    assert loaded(tmp_path, block, statement)[block][-1] == run


def test_a_function_is_left_as_it_is_written(tmp_path: Path) -> None:
    made = "CREATE FUNCTION public.f() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN PERFORM id FROM public.thing; END$$"
    assert loaded(tmp_path, "triggers", made)["triggers"] == (made,)


@pytest.mark.parametrize(
    ("thing", "block"),
    [("POLICY p", "row_level_security"), ("TRIGGER t", "triggers"), ("CONSTRAINT k", "comments")],
)
def test_a_comment_is_run_when_there_is_what_it_is_on(tmp_path: Path, thing: str, block: str) -> None:
    found = loaded(tmp_path, "grants", f"COMMENT ON {thing} ON public.thing IS 'x'")
    assert found[block][-1] == f"COMMENT ON {thing} ON thing IS 'x'"
    assert found["grants"] == ()


@pytest.mark.parametrize(
    ("block", "statement", "why"),
    [
        ("grants", "GRANT SELECT ON public.orgs TO x", "it changes public.orgs, which this file does not make"),
        ("grants", "GRANT SELECT ON other.thing TO x", "it changes other.thing"),
        ("grants", "GRANT SELECT ON thing, orgs TO x", "it changes orgs"),
        ("grants", "GRANT USAGE ON SEQUENCE public.orgs_id_seq TO x", "it changes public.orgs_id_seq"),
        ("grants", "GRANT anon TO x", "it makes a role the member of another"),
        ("grants", "GRANT ALL ON ALL TABLES IN SCHEMA public TO x", "nobody can say what it changes"),
        ("grants", "ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO x", "nobody can say what it changes"),
        ("grants", "CREATE INDEX i ON thing (said)", "CREATE INDEX belongs in the block indexes"),
        ("indexes", "CREATE INDEX i ON public.new_thing (said)", "it changes public.new_thing"),
        ("indexes", "CREATE INDEX CONCURRENTLY i ON thing (said)", "CONCURRENTLY does not go"),
        ("indexes", "CREATE STATISTICS s ON id, said FROM orgs", "it changes orgs"),
        ("grants", "CREATE STATISTICS s ON id, said FROM thing", "CREATE STATISTICS belongs in the block indexes"),
        ("indexes", "CREATE RULE r AS ON INSERT TO thing DO NOTHING", "would stay in the private schema"),
        ("indexes", "INSERT INTO thing VALUES (1)", "nobody can say what it changes"),
        ("indexes", "DROP INDEX old_one", "nobody can say what it changes"),
        ("triggers", "CREATE TRIGGER t BEFORE UPDATE ON public.orgs EXECUTE FUNCTION f()", "it changes public.orgs"),
        ("triggers", "DO $$BEGIN END$$", "nobody can say what it changes"),
        ("row_level_security", "CREATE POLICY p ON public.orgs USING (true)", "it changes public.orgs"),
        ("row_level_security", "ALTER TABLE orgs ENABLE ROW LEVEL SECURITY", "it changes orgs"),
        (
            "row_level_security",
            "CREATE POLICY p ON thing USING (EXISTS (SELECT FROM public.new_thing))",
            "it refers to new_thing, which is parked at the cut-over",
        ),
        (
            "row_level_security",
            "CREATE POLICY p ON thing USING (EXISTS (WITH thing AS (SELECT 1) SELECT FROM thing))",
            "a query in WITH has the name thing, too",
        ),
        ("comments", "COMMENT ON TABLE public.orgs IS 'x'", "it changes public.orgs"),
        ("comments", "COMMENT ON SCHEMA public IS 'x'", "nobody can say what it changes"),
        ("table", "ALTER TABLE public.thing OWNER TO postgres", "what is made gets the owner of the table"),
        ("table", "ALTER TABLE thing ENABLE ROW LEVEL SECURITY", "belongs in the block row_level_security"),
        ("table", "ALTER TABLE thing RENAME TO other", "nobody can say what it changes"),
        ("table", "SET search_path = ''", "nobody can say what it changes"),
        ("validate", "ALTER TABLE orgs VALIDATE CONSTRAINT k", "it changes orgs"),
    ],
)
def test_what_is_not_the_files_own_is_refused(tmp_path: Path, block: str, statement: str, why: str) -> None:
    with pytest.raises(SpecError) as caught:
        loaded(tmp_path, block, statement)
    (told,) = caught.value.complaints
    lines = (tmp_path / "old.sql").read_text().splitlines()
    number = next(n for n, line in enumerate(lines, 1) if line.startswith(statement[:40]))
    assert told.startswith(f"old.sql, line {number}, block {block}: {' '.join(statement.split())[:79]!r}"[:-1])
    assert why in told


@pytest.mark.parametrize(
    ("table", "column", "name"),
    [
        ("thing", "id", "thing_id_seq"),
        ("t" * 63, "id", "t" * 56 + "_id_seq"),
        ("t" * 40, "c" * 40, "t" * 29 + "_" + "c" * 29 + "_seq"),
    ],
)
def test_a_sequence_is_named_as_the_server_names_it(table: str, column: str, name: str) -> None:
    assert object_name(table, column, "seq") == name
