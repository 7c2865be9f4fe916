-- What undo does beside the replay and the swap.

-- name: own_relations -- everything that is left in the private schema
SELECT c.relname AS name, c.relkind::text AS kind, c.oid::bigint AS oid
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = {private} AND c.relkind IN ('r', 'p', 'v', 'm') ORDER BY 1;

-- name: foreign_keys_to -- tables whose rows refer to this one: replaying would cascade into them
SELECT c.conrelid::regclass::text AS table, c.conname::text AS name FROM pg_constraint c
WHERE c.contype = 'f' AND c.confrelid = %(oid)s::oid AND c.conrelid <> c.confrelid ORDER BY 1, 2;

-- name: keep_rows -- the rows that the merge of coexisting tables overwrites, as they are
CREATE TABLE {kept} AS SELECT parked.* FROM {parked} AS parked JOIN ({different}) AS different ON {keys_equal};

-- name: put_in_doubt -- rows that the merge changed before the change log began
INSERT INTO {log} ({keys}) SELECT {keys} FROM ({different}) AS different;

-- name: own_relations_of -- indexes and sequences that carry a table's name along
SELECT i.indexrelid::regclass::text, c.relname::text AS name, 'INDEX' AS kind
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indrelid = %(oid)s::oid
UNION ALL
SELECT c.oid::regclass::text, c.relname::text, 'SEQUENCE'
FROM pg_depend d JOIN pg_class c ON c.oid = d.objid AND c.relkind = 'S'
WHERE d.classid = 'pg_class'::regclass::oid AND d.refclassid = 'pg_class'::regclass::oid AND d.refobjid = %(oid)s::oid
  AND d.deptype IN ('a', 'i')
ORDER BY 2;

-- name: rename_table -- out of the way
ALTER TABLE {table} RENAME TO {name};

-- name: rename_index -- out of the way: another table of ours will want the name
ALTER INDEX {index} RENAME TO {name};

-- name: rename_sequence -- the same
ALTER SEQUENCE {sequence} RENAME TO {name};

-- name: not_null_constraints_of -- from PostgreSQL 18 on they have names, and a new table does not get one that is taken in the schema
SELECT conname::text AS name FROM pg_catalog.pg_constraint WHERE conrelid = %(oid)s::oid AND contype = 'n'::"char" ORDER BY conname;

-- name: rename_constraint -- out of the way
ALTER TABLE {table} RENAME CONSTRAINT {constraint} TO {name};
