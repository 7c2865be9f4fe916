"""DDL files made from what pg_dump writes, put into the blocks as a person would: schema names everywhere."""

from __future__ import annotations

import re
from pathlib import Path

from aicfg_pipeline_tests.tools.servers import Database

_BLOCKS = (
    ("foreign_keys", r"ALTER TABLE .*FOREIGN KEY"),
    ("indexes", r"ALTER TABLE .*ADD CONSTRAINT|CREATE (UNIQUE )?INDEX"),
    ("row_level_security", r"ALTER TABLE .*ROW LEVEL SECURITY|CREATE POLICY"),
    ("triggers", r"CREATE TRIGGER|CREATE OR REPLACE FUNCTION"),
    ("grants", r"GRANT|REVOKE"),
    ("comments", r"COMMENT ON"),
    ("view", r"CREATE VIEW"),
    ("table", r"CREATE TABLE|CREATE SEQUENCE|ALTER SEQUENCE .*OWNED BY|ALTER TABLE"),
)
_LEFT_OUT = r"SET |SELECT pg_catalog|.* OWNER TO "


def dumped_file(database: Database, table: str) -> str:
    """Return the file of a table or view of `public`. Foreign keys get their NOT VALID, and a block that validates them."""
    blocks: dict[str, list[str]] = {name: [] for name, _ in _BLOCKS} | {"validate": []}
    for statement in _functions(database, table) + _statements(database.schema_dump(f"public.{table}")):
        flat = " ".join(statement.split())
        if re.match(_LEFT_OUT, flat):
            continue
        block = next(name for name, pattern in _BLOCKS if re.match(pattern, flat))
        if block == "foreign_keys":
            constraint = re.search(r"ADD CONSTRAINT (\S+)", flat)
            assert constraint
            blocks["validate"].append(f"ALTER TABLE public.{table} VALIDATE CONSTRAINT {constraint[1]}")
            statement += " NOT VALID"
        blocks[block].append(statement)
    order = (
        "table",
        "view",
        "indexes",
        "foreign_keys",
        "validate",
        "triggers",
        "row_level_security",
        "grants",
        "comments",
    )
    return "\n".join(
        f"-- name: {name} -- as pg_dump writes it\n" + "".join(f"{s};\n" for s in blocks[name])
        for name in order
        if blocks[name]
    )


def write_dumped(database: Database, path: Path, table: str) -> None:
    """Write the file of a table or view."""
    path.write_text(dumped_file(database, table), encoding="utf-8")


def _statements(dump: str) -> list[str]:
    return [s.strip() for s in re.split(r";\n", dump) if s.strip()]


def _functions(database: Database, table: str) -> list[str]:
    """What `pg_dump --table` leaves out: the functions of the triggers."""
    found = database.query(
        "SELECT DISTINCT pg_get_functiondef(tgfoid) FROM pg_trigger WHERE tgrelid = to_regclass(%s) AND NOT tgisinternal",
        (f"public.{table}",),
    )
    return [f.strip() for (f,) in found]
