-- What `aicfg_pipeline.rollback.tables.outside_keys` runs.

-- name: outside_keys -- foreign keys of other tables that refer to these ones: what each is, and why the server could not make it again on another table
SELECT c.oid::bigint AS oid, c.conname::text AS name, format('%I on %s', c.conname, c.conrelid::regclass) AS label,
       n.nspname::text AS schema, r.relname::text AS table, r.oid::bigint AS table_oid, c.confrelid::bigint AS refers_to,
       k.ref_columns, c.convalidated AS validated, obj_description(c.oid, 'pg_constraint') AS comment,
       pg_get_constraintdef(c.oid) AS definition, format('FOREIGN KEY (%s) REFERENCES ', k.listed) AS head,
       CASE WHEN starts_with(pg_get_constraintdef(c.oid), h.head) THEN substr(pg_get_constraintdef(c.oid), length(h.head) + 1) END AS tail,
       CASE WHEN NOT pg_has_role(r.relowner, 'USAGE')
                THEN format('the table belongs to %I, and this role is not a member of it', pg_get_userbyid(r.relowner))
            WHEN NOT has_schema_privilege(n.oid, 'USAGE') THEN format('this role may not use the schema %I', n.nspname)
            WHEN r.relkind = 'p' THEN 'the table is partitioned'
            WHEN NOT starts_with(pg_get_constraintdef(c.oid), h.head) THEN 'it refers to more than columns'
            WHEN EXISTS (SELECT FROM pg_trigger t WHERE t.tgconstraint = c.oid AND t.tgenabled <> 'O') THEN 'its triggers are disabled'
       END AS why_not
FROM pg_constraint c JOIN pg_class r ON r.oid = c.conrelid JOIN pg_namespace n ON n.oid = r.relnamespace
CROSS JOIN LATERAL (
    SELECT (SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY u.i) FROM unnest(c.conkey) WITH ORDINALITY AS u (attnum, i)
            JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = u.attnum) AS listed,
           (SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY u.i) FROM unnest(c.confkey) WITH ORDINALITY AS u (attnum, i)
            JOIN pg_attribute a ON a.attrelid = c.confrelid AND a.attnum = u.attnum) AS ref_listed,
           ARRAY(SELECT a.attname FROM unnest(c.confkey) WITH ORDINALITY AS u (attnum, i)
                 JOIN pg_attribute a ON a.attrelid = c.confrelid AND a.attnum = u.attnum ORDER BY u.i)::text[] AS ref_columns
) AS k
CROSS JOIN LATERAL (SELECT format('FOREIGN KEY (%s) REFERENCES %s(%s)', k.listed, c.confrelid::regclass, k.ref_listed) AS head) AS h
WHERE c.contype = 'f' AND c.conparentid = 0::oid AND c.confrelid = ANY (%(oids)s::oid[]) AND c.conrelid <> ALL (%(ours)s::oid[])
ORDER BY r.oid, 2;

-- name: referable -- which columns of a table a foreign key may refer to, each set in the order of its names
SELECT ARRAY(SELECT a.attname FROM unnest(i.indkey[0:i.indnkeyatts - 1]) AS k (attnum)
             JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum ORDER BY a.attname)::text[] AS columns
FROM pg_index i
WHERE i.indrelid = %(oid)s::oid AND i.indisunique AND i.indimmediate AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL;

-- name: lock_outside -- those who use a table that refers to ours wait from here to the end of the transaction
LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE;

-- name: comment_constraint -- what somebody has said of it goes along
COMMENT ON CONSTRAINT {constraint} ON {table} IS {said};
