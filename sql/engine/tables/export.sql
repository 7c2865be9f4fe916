-- Export of parked tables, reading it back, and the script that loads it again.

-- name: copy_out -- the whole table in COPY's text format, in which no value can look like the end of the data
COPY (SELECT {columns} FROM {table}) TO STDOUT (FORMAT text, ENCODING 'UTF8');

-- name: copy_in -- the same back
COPY {table} ({columns}) FROM STDIN (FORMAT text, ENCODING 'UTF8');

-- name: plain_table -- a table of the same columns that takes every value as it was: nothing is generated, nothing refused
CREATE TABLE {table} ({columns});

-- name: plain_column -- one of its columns
{name} {type};

-- name: plain_column_collated -- the same with a collation that is not its type's; the row's hash depends on it
{name} {type} COLLATE {collation};

-- name: own_collations -- the columns with another collation than their type's
SELECT a.attname AS column, n.nspname AS schema, c.collname AS collation
FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
JOIN pg_catalog.pg_collation c ON c.oid = a.attcollation JOIN pg_catalog.pg_namespace n ON n.oid = c.collnamespace
WHERE a.attrelid = %(oid)s::oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attcollation <> t.typcollation;

-- name: load_script -- what a person runs with psql to have an exported table again, in a schema of its own that nobody else may read
\set ON_ERROR_STOP on
BEGIN;
{settings};
CREATE SCHEMA {schema};
{make_table};
ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
\copy {table} FROM PROGRAM {unpack} (FORMAT text, ENCODING 'UTF8')
\echo 'Loaded into' {shown}
{checksum};
SELECT rows = {rows} AND (checksum = {expected} OR current_setting('server_version_num')::integer / 10000 <> {major}) AS as_exported
FROM ({checksum}) AS found \gset
\if :as_exported
\else
    DO $$BEGIN RAISE EXCEPTION 'The rows are not those that were exported. Nothing was loaded.'; END$$;
\endif
\if :{{?into}}
    INSERT INTO :into ({columns_to_write}) OVERRIDING SYSTEM VALUE SELECT {columns_to_write} FROM {table};
\endif
COMMIT;
