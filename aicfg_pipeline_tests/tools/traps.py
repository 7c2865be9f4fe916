# ruff: noqa: E501
"""Functions and operators in `public` that fit better than PostgreSQL's own: what whoever may CREATE there can lay (S2).

A trap that goes off ends its statement: in most places before it runs, because nothing takes what it returns; else with a
SQLSTATE of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from aicfg_pipeline_tests.tools.servers import Database

FUNCTIONS = """
DO $do$
DECLARE f record; made integer := 0;
BEGIN
    FOR f IN
        WITH own AS (
            SELECT p.proname, p.pronargs, p.proargtypes::oid[] AS types
            FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
            WHERE n.nspname = 'pg_catalog' AND p.proname = ANY ('{names}') AND p.pronargs BETWEEN 1 AND 4
        ), variants AS (  -- each with one kind of type exchanged for another that a call may have as well
            SELECT own.proname, ARRAY(SELECT CASE WHEN t = v.was THEN v.other ELSE t END
                                      FROM unnest(own.types) WITH ORDINALITY u (t, i) ORDER BY i) AS types, own.types AS before
            FROM own CROSS JOIN (SELECT w::regtype::oid AS was, o::regtype::oid AS other FROM (VALUES
                ('int8', 'int4'), ('int4', 'int8'), ('int4', 'int2'), ('text', 'name'),
                ('text', 'varchar'), ('name', 'text'), ('oid', 'int8'), ('oid', 'int4'), ('oid', 'regclass'), ('anyelement', 'text'),
                ('anyelement', 'int8'), ('anyelement', 'name'), ('anyarray', 'text[]'), ('anyarray', 'oid[]'), ('anyarray', 'int2[]'),
                ('anyarray', 'name[]'), ('"any"', 'text'), ('"any"', 'name'), ('timestamptz', 'timestamp'), ('pg_node_tree', 'text'),
                ('anynonarray', 'text'), ('"any"', 'jsonb'), ('regclass', 'oid')) AS pairs (w, o)) AS v
            WHERE v.was = ANY (own.types)
        )
        SELECT DISTINCT proname, (SELECT string_agg(format_type(t, NULL), ', ' ORDER BY i) FROM unnest(types) WITH ORDINALITY u (t, i)) AS args
        FROM variants
        WHERE types <> before AND NOT EXISTS (SELECT FROM pg_proc p WHERE p.pronamespace = 'pg_catalog'::regnamespace
                                              AND p.proname = variants.proname AND p.proargtypes::oid[] = variants.types)
          AND NOT types && ARRAY['"any"'::regtype::oid, 'internal'::regtype, 'anyelement'::regtype, 'anyarray'::regtype,
                                 'cstring'::regtype]
    LOOP
        EXECUTE format('CREATE FUNCTION public.%I(%s) RETURNS public.trap LANGUAGE plpgsql AS ''BEGIN RAISE ''''trap: function'
                       ' %s(%s)'''' USING ERRCODE = ''''TR001''''; END''', f.proname, f.args, f.proname, f.args);
        made := made + 1;
    END LOOP;
    ASSERT made > 100;
END $do$
"""
OPERATORS = """
DO $do$
DECLARE o record; made integer := 0;
BEGIN
    FOR o IN
        WITH kinds (t) AS (SELECT unnest('{types}'::regtype[]))
        SELECT op, l.t AS l, r.t AS r, row_number() OVER () AS n
        FROM unnest('{names}'::text[]) AS op CROSS JOIN kinds l CROSS JOIN kinds r
        WHERE NOT EXISTS (SELECT FROM pg_operator own WHERE own.oprnamespace IN ('pg_catalog'::regnamespace, 'public'::regnamespace)
                          AND own.oprname = op AND own.oprleft = l.t AND own.oprright = r.t)
    LOOP
        EXECUTE format('CREATE FUNCTION public.trap_%s(%s, %s) RETURNS public.trap LANGUAGE plpgsql AS ''BEGIN RAISE ''''trap: operator'
                       ' %s %s %s'''' USING ERRCODE = ''''TR001''''; END''', o.n, o.l, o.r, o.l, replace(o.op, '%', '%%'), o.r);
        EXECUTE format('CREATE OPERATOR public.%s (LEFTARG = %s, RIGHTARG = %s, FUNCTION = public.trap_%s)', o.op, o.l, o.r, o.n);
        made := made + 1;
    END LOOP;
    ASSERT made > 100;
END $do$
"""
COMMON_TYPES = (
    *(
        "text",
        "name",
        "varchar",
        "int2",
        "int4",
        "int8",
        "oid",
        "numeric",
        '\\"char\\"',
        "regclass",
        "regprocedure",
        "bool",
        "jsonb",
    ),
    *("text[]", "name[]", "oid[]", "int2[]", "int2vector", "float8", "timestamptz", "interval"),
)
OPERATOR_NAMES = ["=", "<>", "<", ">", "<=", ">=", "||", "&", "+", "-", "*", "/", "~~", "!~~", "~", "~*"]


@contextmanager
def laid(database: Database, functions: Sequence[str], types: Sequence[str] = COMMON_TYPES) -> Iterator[None]:
    """Traps of an ordinary role: for these functions, and for every operator between two of these types."""
    with database.admin() as admin:
        admin.execute("GRANT CREATE ON SCHEMA public TO PUBLIC; CREATE ROLE mallory")
    try:
        with database.admin() as admin:
            admin.execute("SET ROLE mallory; SET search_path = pg_catalog; CREATE TYPE public.trap AS ENUM ()")
            if functions:
                admin.execute(FUNCTIONS.replace("{names}", "{" + ",".join(functions) + "}"))
            operators = OPERATORS.replace("{names}", "{" + ",".join(OPERATOR_NAMES) + "}")
            admin.execute(operators.replace("{types}", "{" + ",".join(types) + "}"))
        yield
    finally:
        with database.admin() as admin:
            admin.execute("SET search_path = pg_catalog; DROP OWNED BY mallory CASCADE; DROP ROLE mallory")
