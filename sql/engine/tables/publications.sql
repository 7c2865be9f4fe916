-- What `aicfg_pipeline.rollback.tables.publications` runs.

-- name: publication_members -- which publications name these tables, with columns and row filter (since 15), and whether this role may change them
SELECT b.pubname::text AS publication, format('%I of %s', b.pubname, r.prrelid::regclass) AS label,
       pg_get_userbyid(b.pubowner)::text AS owner, pg_has_role(b.pubowner, 'USAGE') AS may,
       CASE WHEN to_jsonb(r) ->> 'prattrs' IS NOT NULL
            THEN ARRAY(SELECT jsonb_array_elements_text(to_jsonb(t) -> 'attnames')) END::text[] AS columns,
       to_jsonb(t) ->> 'rowfilter' AS filter
FROM pg_publication_rel r
JOIN pg_publication b ON b.oid = r.prpubid
JOIN pg_class c ON c.oid = r.prrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_publication_tables t ON t.pubname = b.pubname AND t.schemaname = n.nspname AND t.tablename = c.relname
WHERE r.prrelid = %(oid)s::oid
ORDER BY 1;

-- name: leave_publication -- subscribers hear nothing more of this table
ALTER PUBLICATION {publication} DROP TABLE {table};

-- name: join_publication -- subscribers hear of this one instead, of the same columns and rows
ALTER PUBLICATION {publication} ADD TABLE {table}{columns}{filter};

-- name: replica_identity -- what subscribers are told of a row that is changed or deleted: d(efault), f(ull), n(othing), or the columns of an i(ndex)
SELECT c.relreplident::text AS kind,
       ARRAY(SELECT a.attname FROM pg_index i CROSS JOIN LATERAL unnest(i.indkey[0:i.indnkeyatts - 1]) WITH ORDINALITY AS k (attnum, n)
             JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
             WHERE i.indrelid = c.oid AND i.indisreplident ORDER BY k.n)::text[] AS columns
FROM pg_class c WHERE c.oid = %(oid)s::oid;

-- name: identity_indexes -- indexes that could be a table's replica identity
SELECT x.relname::text AS name,
       ARRAY(SELECT a.attname FROM unnest(i.indkey[0:i.indnkeyatts - 1]) WITH ORDINALITY AS k (attnum, n)
             JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum ORDER BY k.n)::text[] AS columns
FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
WHERE i.indrelid = %(oid)s::oid AND i.indisunique AND i.indimmediate AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
  AND NOT EXISTS (SELECT FROM unnest(i.indkey[0:i.indnkeyatts - 1]) AS k (attnum)
                  JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum WHERE NOT a.attnotnull)
ORDER BY 1;

-- name: set_replica_identity -- as the table had it whose place this one takes
ALTER TABLE {table} REPLICA IDENTITY {identity};
