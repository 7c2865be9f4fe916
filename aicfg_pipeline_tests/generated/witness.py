"""What there is, as the server's own catalog, `has_*_privilege` and pg_dump tell it. Nothing here is the pipeline's."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import psycopg

from aicfg_pipeline_tests.generated.world import Pair, q

PINNED = " ".join(
    f"-c {name}={value}"
    for name, value in {
        "TimeZone": "UTC", "DateStyle": "ISO,MDY", "IntervalStyle": "postgres", "extra_float_digits": "1", "bytea_output": "hex",
        "array_nulls": "on", "search_path": "pg_catalog", "row_security": "off", "statement_timeout": "60s", "lock_timeout": "30s",
        "default_transaction_isolation": "read\\ committed", "transform_null_equals": "off", "quote_all_identifiers": "off",
        "standard_conforming_strings": "on", "check_function_bodies": "on", "xmloption": "content",
        "idle_in_transaction_session_timeout": "0", "client_min_messages": "warning", "session_replication_role": "origin",
        "default_transaction_read_only": "off", "default_transaction_deferrable": "off",
    }.items()
)  # fmt: skip


def connect(url: str) -> psycopg.Connection:
    """Connect as the test does: whatever role and database say, a value has one text."""
    return psycopg.connect(url, autocommit=True, options=PINNED, client_encoding="utf8")


SHAPE = """
SELECT jsonb_build_object(
 'kind', c.relkind::text, 'owner', pg_get_userbyid(c.relowner), 'options', c.reloptions, 'persistence', c.relpersistence::text,
 'rls', c.relrowsecurity, 'forced', c.relforcerowsecurity, 'replica_identity', c.relreplident::text,
 'comment', obj_description(c.oid, 'pg_class'), 'acl', (SELECT jsonb_agg(a::text ORDER BY a::text) FROM unnest(coalesce(c.relacl, acldefault('r', c.relowner))) a),
 'columns', (SELECT jsonb_agg(jsonb_build_object('name', a.attname, 'type', format_type(a.atttypid, a.atttypmod), 'not_null', a.attnotnull,
     'default', pg_get_expr(d.adbin, d.adrelid), 'identity', a.attidentity::text, 'generated', a.attgenerated::text, 'storage', a.attstorage::text,
     'collation', a.attcollation::regcollation::text, 'options', a.attoptions, 'target', (to_jsonb(a) ->> 'attstattarget'), 'comment', col_description(c.oid, a.attnum),
     'acl', (SELECT jsonb_agg(x::text ORDER BY x::text) FROM unnest(a.attacl) x)) ORDER BY a.attnum)
   FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
   WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
 'constraints', (SELECT jsonb_agg(jsonb_build_object('name', k.conname, 'definition', pg_get_constraintdef(k.oid), 'valid', k.convalidated,
     'deferrable', k.condeferrable, 'deferred', k.condeferred, 'comment', obj_description(k.oid, 'pg_constraint')) ORDER BY k.conname)
   FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype <> 't'),
 'indexes', (SELECT jsonb_agg(jsonb_build_object('definition', pg_get_indexdef(i.indexrelid), 'valid', i.indisvalid, 'clustered', i.indisclustered,
     'identity', i.indisreplident, 'comment', obj_description(i.indexrelid, 'pg_class')) ORDER BY i.indexrelid::regclass::text)
   FROM pg_index i WHERE i.indrelid = c.oid),
 'triggers', (SELECT jsonb_agg(jsonb_build_object('definition', pg_get_triggerdef(t.oid), 'enabled', t.tgenabled::text) ORDER BY t.tgname)
   FROM pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal),
 'policies', (SELECT jsonb_agg(to_jsonb(p) - 'oid' ORDER BY p.policyname) FROM pg_policies p WHERE p.schemaname = n.nspname AND p.tablename = c.relname),
 'view', CASE WHEN c.relkind = 'v' THEN pg_get_viewdef(c.oid) END,
 'rules', (SELECT jsonb_agg(pg_get_ruledef(r.oid) ORDER BY r.rulename) FROM pg_rewrite r WHERE r.ev_class = c.oid),
 'publications', (SELECT jsonb_agg(b.pubname ORDER BY b.pubname) FROM pg_publication_rel r JOIN pg_publication b ON b.oid = r.prpubid WHERE r.prrelid = c.oid),
 'statistics', (SELECT jsonb_agg(pg_get_statisticsobjdef(s.oid) ORDER BY s.stxname) FROM pg_statistic_ext s WHERE s.stxrelid = c.oid),
 'sequences', (SELECT jsonb_agg(jsonb_build_object('name', s.relname, 'schema', s.relnamespace::regnamespace::text, 'owner', pg_get_userbyid(s.relowner),
     'type', q.seqtypid::regtype::text, 'increment', q.seqincrement, 'cycle', q.seqcycle, 'deptype', d.deptype::text, 'column', d.refobjsubid::int) ORDER BY s.relname)
   FROM pg_depend d JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S' JOIN pg_sequence q ON q.seqrelid = s.oid
   WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = c.oid AND d.deptype IN ('a', 'i'))
)::text
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = to_regclass(%s)
"""


def shape(connection: psycopg.Connection, name: str, schema: str = "public") -> dict[str, Any] | None:
    """Return everything the catalog says of a table or view, by name; None where it is not there."""
    connection.execute("SET search_path = pg_catalog")
    found = connection.execute(SHAPE, (q(schema, name),)).fetchone()
    return json.loads(found[0]) if found else None


ACCESS = """
SELECT r.rolname::text, c.relname::text, p, has_table_privilege(r.oid, c.oid, p)
FROM pg_roles r, pg_class c, unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']) p
WHERE c.oid = ANY (%(tables)s::regclass[]) AND r.rolname !~ '^pg_' AND has_table_privilege(r.oid, c.oid, p)
UNION ALL
SELECT r.rolname, c.relname || '.' || a.attname, p, true
FROM pg_roles r, pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped,
     unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'REFERENCES']) p
WHERE c.oid = ANY (%(tables)s::regclass[]) AND r.rolname !~ '^pg_' AND has_column_privilege(r.oid, c.oid, a.attnum, p)
  AND NOT has_table_privilege(r.oid, c.oid, p)
UNION ALL
SELECT r.rolname, c.relname || ' owner', pg_get_userbyid(c.relowner), true
FROM pg_roles r, pg_class c WHERE c.oid = ANY (%(tables)s::regclass[]) AND pg_has_role(r.oid, c.relowner, 'USAGE')
"""


def access(connection: psycopg.Connection, names: Sequence[str], schema: str = "public") -> set[tuple[str, ...]]:
    """Return the access matrix: who may do what with these tables and views, effectively."""
    there = [q(schema, n) for n in names if connection.execute("SELECT to_regclass(%s)", (q(schema, n),)).fetchone() != (None,)]
    return {tuple(map(str, row)) for row in connection.execute(ACCESS, {"tables": there})}


SEQUENCES = """
SELECT r.rolname, a.attname, p
FROM pg_roles r, unnest(ARRAY['USAGE', 'SELECT', 'UPDATE']) p,
     pg_class s JOIN pg_depend d ON d.objid = s.oid AND d.classid = 'pg_class'::regclass AND d.deptype = 'a' AND d.refclassid = 'pg_class'::regclass
     JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
WHERE s.relkind = 'S' AND d.refobjid = to_regclass(%s) AND r.rolname !~ '^pg_' AND has_sequence_privilege(r.oid, s.oid, p)
"""


def sequence_access(connection: psycopg.Connection, name: str, schema: str = "public") -> set[tuple[str, ...]]:
    """Return who may do what with the sequences of a table's serial columns, by column."""
    return {tuple(map(str, row)) for row in connection.execute(SEQUENCES, (q(schema, name),))}


PRIVATE = """
SELECT r.rolname, 'schema', p FROM pg_roles r, pg_namespace n, unnest(ARRAY['USAGE', 'CREATE']) p
WHERE n.nspname = 'aicfg_rollback' AND r.rolname !~ '^pg_' AND NOT r.rolsuper AND has_schema_privilege(r.oid, n.oid, p)
  AND NOT pg_has_role(r.oid, n.nspowner, 'USAGE')
UNION ALL
SELECT r.rolname, c.relname, p FROM pg_roles r, pg_class c, unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE']) p
WHERE c.relnamespace = to_regnamespace('aicfg_rollback') AND c.relkind IN ('r', 'v') AND r.rolname !~ '^pg_' AND NOT r.rolsuper
  AND (c.relname = 'ledger' OR c.relname LIKE 'change\\_log\\_%')
  AND has_table_privilege(r.oid, c.oid, p) AND NOT pg_has_role(r.oid, c.relowner, 'USAGE')
"""


def open_private(connection: psycopg.Connection) -> list[tuple[str, ...]]:
    """Return who besides their owner may do something with the schema, the ledger or a change log."""
    return connection.execute(PRIVATE).fetchall()


AROUND = """
SELECT jsonb_build_object(
 'functions', (SELECT jsonb_agg(jsonb_build_array(p.oid::regprocedure::text, md5(p.prosrc), pg_get_userbyid(p.proowner), p.proacl::text) ORDER BY p.oid::regprocedure::text)
    FROM pg_proc p WHERE p.pronamespace IN ('public'::regnamespace, 'auth'::regnamespace)),
 'relations', (SELECT jsonb_agg(jsonb_build_array(c.oid::regclass::text, c.relkind, pg_get_userbyid(c.relowner), c.relacl::text) ORDER BY c.oid::regclass::text)
    FROM pg_class c WHERE c.relnamespace IN ('public'::regnamespace, 'auth'::regnamespace) AND c.relkind NOT IN ('S', 'i')),
 'types', (SELECT jsonb_agg(t.typname ORDER BY t.typname) FROM pg_type t WHERE t.typnamespace = 'public'::regnamespace AND t.typtype IN ('d', 'e')),
 'triggers', (SELECT jsonb_agg(pg_get_triggerdef(t.oid) || t.tgenabled::text ORDER BY pg_get_triggerdef(t.oid)) FROM pg_trigger t WHERE NOT t.tgisinternal),
 'schemas', (SELECT jsonb_agg(jsonb_build_array(nspname, pg_get_userbyid(nspowner), nspacl::text) ORDER BY nspname) FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'aicfg_rollback'),
 'keys', (SELECT jsonb_agg(jsonb_build_array(k.conrelid::regclass::text, k.conname, pg_get_constraintdef(k.oid), k.convalidated) ORDER BY k.conrelid::regclass::text, k.conname)
    FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid WHERE k.contype IN ('f', 'c') AND c.relnamespace IS DISTINCT FROM to_regnamespace('aicfg_rollback')),
 'publications', (SELECT jsonb_agg(jsonb_build_array(pubname, puballtables) ORDER BY pubname) FROM pg_publication),
 'published', (SELECT jsonb_agg(to_jsonb(t) ORDER BY pubname, schemaname, tablename) FROM pg_publication_tables t WHERE schemaname <> 'aicfg_rollback'),
 'defaults', (SELECT jsonb_agg(defaclacl::text ORDER BY defaclacl::text) FROM pg_default_acl),
 'policies', (SELECT jsonb_agg(to_jsonb(p) ORDER BY schemaname, tablename, policyname) FROM pg_policies p WHERE schemaname <> 'aicfg_rollback'),
 'settings', (SELECT jsonb_agg(s.setconfig::text ORDER BY s.setconfig::text) FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase WHERE d.datname = current_database()),
 'extended', (SELECT count(*) FROM pg_statistic_ext), 'prepared', (SELECT count(*) FROM pg_prepared_xacts)
)::text
"""


def around(connection: psycopg.Connection) -> dict[str, Any]:
    """Return everything that is not in the private schema and no row: names, owners, rights, bodies."""
    connection.execute("SET search_path = pg_catalog")
    return json.loads(connection.execute(AROUND).fetchone()[0])  # type: ignore[index]


Rows = dict[tuple[str | None, ...], dict[str, str | None]]
"""Rows by key, each value as text."""


def rows(connection: psycopg.Connection, pair: Pair, side: str, *, schema: str = "public", name: str | None = None) -> Rows:
    """Return the rows of a table."""
    return read(connection, pair, q(schema, name or pair.table(side)), {c.name: q(c.name) for c in pair.side(side)}, {k: q(k) for k in pair.key})


def read(connection: psycopg.Connection, pair: Pair, table: str, picked: dict[str, str], keys: dict[str, str]) -> Rows:
    """Return rows as text: `picked` and `keys` are expressions by column."""
    expressions = ", ".join(f"({e})::text" for e in (*keys.values(), *picked.values()))
    found: Rows = {}
    for row in connection.execute(f"SELECT {expressions} FROM {table}"):  # type: ignore[call-overload]
        key = tuple(row[: len(keys)])
        assert key not in found, f"two rows of one key in {table}"
        found[key] = dict(zip(picked, row[len(keys) :], strict=True))
    return found
