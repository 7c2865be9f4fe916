-- What `aicfg_pipeline.rollback.tables.sameness` runs: a table as a list of things, each with a name and with what it is
-- apart from its name. Read with the table's own schema first in the search path, so that two tables of one name in two
-- schemas read alike. Nothing in this file writes, but for the renames of a table in a scratch schema.

-- name: things_of -- columns, constraints, indexes, triggers, policies, statistics, sequences and rules of a table
SELECT 'column' AS kind, CAST(a.attname AS text) AS name,
       CAST(ROW(CAST(a.atttypid AS bigint), a.atttypmod, CAST(a.attcollation AS bigint), a.attgenerated, a.attidentity,
                CASE WHEN a.attgenerated <> '' THEN pg_get_expr(d.adbin, d.adrelid) END) AS text) AS nameless,
       jsonb_build_object(
           'type', format_type(a.atttypid, a.atttypmod),
           'default', CASE WHEN a.attgenerated <> '' THEN NULL
                           WHEN s.oid IS NOT NULL AND pg_get_expr(d.adbin, d.adrelid) = format('nextval(%L::regclass)', CAST(CAST(s.oid AS regclass) AS text))
                           THEN 'the next value of its own sequence' ELSE pg_get_expr(d.adbin, d.adrelid) END,
           'own_sequence', s.oid IS NOT NULL,
           'not_null', a.attnotnull, 'storage', a.attstorage, 'compression', a.attcompression,
           'statistics', coalesce(CAST(a.attstattarget AS integer), -1), 'options', to_jsonb(a.attoptions), 'comment', col_description(a.attrelid, a.attnum),
           'not_null_name', (SELECT CAST(n.conname AS text) FROM pg_constraint AS n WHERE n.conrelid = a.attrelid AND n.contype = 'n' AND n.conkey[1] = a.attnum),
           'not_null_said', (SELECT pg_get_constraintdef(n.oid) FROM pg_constraint AS n WHERE n.conrelid = a.attrelid AND n.contype = 'n' AND n.conkey[1] = a.attnum)
       ) AS facts, a.attnum AS place
FROM pg_attribute AS a
LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
LEFT JOIN pg_depend AS own ON own.classid = 'pg_class'::regclass::oid AND own.refclassid = 'pg_class'::regclass::oid
     AND own.refobjid = a.attrelid AND own.refobjsubid = a.attnum AND own.deptype IN ('a', 'i')
     AND EXISTS (SELECT FROM pg_class AS q WHERE q.oid = own.objid AND q.relkind = 'S')
LEFT JOIN pg_class AS s ON s.oid = own.objid
WHERE a.attrelid = CAST(%(oid)s AS oid) AND a.attnum > 0 AND NOT a.attisdropped
UNION ALL
SELECT 'constraint', CAST(c.conname AS text),
       CAST(c.contype AS text) || ' ' || pg_get_constraintdef(c.oid, true) || coalesce(' BY ' || substr(pg_get_indexdef(c.conindid, 0, true),
           length(CASE WHEN i.indisunique THEN 'CREATE UNIQUE INDEX ' ELSE 'CREATE INDEX ' END || quote_ident(ic.relname)) + 1), '')
           || CASE WHEN i.indisvalid THEN '' WHEN i.indisvalid IS NULL THEN '' ELSE ' INVALID' END,
       jsonb_build_object('type', c.contype, 'definition', pg_get_constraintdef(c.oid, true), 'comment', obj_description(c.oid, 'pg_constraint'),
           'tail', substr(pg_get_indexdef(c.conindid, 0, true), length(CASE WHEN i.indisunique THEN 'CREATE UNIQUE INDEX ' ELSE 'CREATE INDEX ' END || quote_ident(ic.relname)) + 1),
           'plain', am.amname = 'btree', 'deferrable', c.condeferrable, 'deferred', c.condeferred, 'clustered', i.indisclustered, 'identity', i.indisreplident,
           'columns', (SELECT jsonb_agg(k.attname ORDER BY k.attnum) FROM pg_attribute AS k WHERE k.attrelid = c.conrelid AND k.attnum = ANY (c.conkey)),
           'referred_to', EXISTS (SELECT FROM pg_constraint AS f WHERE f.contype = 'f' AND f.confrelid = c.conrelid AND f.conindid = c.conindid)),
       0
FROM pg_constraint AS c LEFT JOIN pg_class AS ic ON ic.oid = c.conindid LEFT JOIN pg_index AS i ON i.indexrelid = c.conindid
LEFT JOIN pg_am AS am ON am.oid = ic.relam
WHERE c.conrelid = CAST(%(oid)s AS oid) AND c.contype IN ('c', 'u', 'p', 'x') AND NOT starts_with(CAST(c.conname AS text), 'aicfg_rollback_')
UNION ALL
SELECT 'index', CAST(ic.relname AS text),
       CASE WHEN i.indisunique THEN 'UNIQUE' ELSE '' END
           || substr(pg_get_indexdef(i.indexrelid, 0, true), length(CASE WHEN i.indisunique THEN 'CREATE UNIQUE INDEX ' ELSE 'CREATE INDEX ' END || quote_ident(ic.relname)) + 1)
           || CASE WHEN i.indisvalid THEN '' ELSE ' INVALID' END,
       jsonb_build_object('unique', i.indisunique, 'clustered', i.indisclustered, 'identity', i.indisreplident, 'comment', obj_description(i.indexrelid, 'pg_class'),
           'tail', substr(pg_get_indexdef(i.indexrelid, 0, true), length(CASE WHEN i.indisunique THEN 'CREATE UNIQUE INDEX ' ELSE 'CREATE INDEX ' END || quote_ident(ic.relname)) + 1),
           'referred_to', EXISTS (SELECT FROM pg_constraint AS f WHERE f.contype = 'f' AND f.confrelid = i.indrelid AND f.conindid = i.indexrelid)),
       0
FROM pg_index AS i JOIN pg_class AS ic ON ic.oid = i.indexrelid
WHERE i.indrelid = CAST(%(oid)s AS oid) AND NOT starts_with(CAST(ic.relname AS text), 'aicfg_rollback_') AND NOT EXISTS (SELECT FROM pg_constraint AS c WHERE c.conindid = i.indexrelid AND c.conrelid = i.indrelid AND c.contype IN ('u', 'p', 'x'))
UNION ALL
SELECT 'trigger', CAST(t.tgname AS text),
       substr(pg_get_triggerdef(t.oid, true), length(CASE WHEN t.tgconstraint <> 0::oid THEN 'CREATE CONSTRAINT TRIGGER ' ELSE 'CREATE TRIGGER ' END || quote_ident(t.tgname)) + 1)
           || ' FIRES ' || CAST(t.tgenabled AS text) || CASE WHEN t.tgconstraint <> 0::oid THEN ' CONSTRAINT' ELSE '' END,
       jsonb_build_object('fires', t.tgenabled, 'constraint', t.tgconstraint <> 0::oid, 'comment', obj_description(t.oid, 'pg_trigger'),
           'tail', substr(pg_get_triggerdef(t.oid, true), length(CASE WHEN t.tgconstraint <> 0::oid THEN 'CREATE CONSTRAINT TRIGGER ' ELSE 'CREATE TRIGGER ' END || quote_ident(t.tgname)) + 1)),
       0
FROM pg_trigger AS t WHERE t.tgrelid = CAST(%(oid)s AS oid) AND NOT t.tgisinternal AND NOT starts_with(CAST(t.tgname AS text), 'aicfg_rollback_')
UNION ALL
SELECT 'policy', CAST(p.polname AS text), said.tail, jsonb_build_object('tail', said.tail, 'comment', obj_description(p.oid, 'pg_policy')), 0
FROM pg_policy AS p CROSS JOIN LATERAL (SELECT
    CASE WHEN p.polpermissive THEN 'AS PERMISSIVE' ELSE 'AS RESTRICTIVE' END
    || ' FOR ' || CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE' ELSE 'ALL' END
    || ' TO ' || (SELECT string_agg(CASE r WHEN 0::oid THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(r)) END, ', ' ORDER BY CASE r WHEN 0::oid THEN '' ELSE CAST(pg_get_userbyid(r) AS text) END)
                  FROM unnest(p.polroles) AS r)
    || coalesce(' USING (' || pg_get_expr(p.polqual, p.polrelid) || ')', '')
    || coalesce(' WITH CHECK (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')', '') AS tail) AS said
WHERE p.polrelid = CAST(%(oid)s AS oid)
UNION ALL
SELECT 'statistics', CAST(s.stxname AS text),
       CAST(s.stxkind AS text) || ' ' || coalesce((SELECT string_agg(CAST(a.attname AS text), ', ' ORDER BY a.attnum) FROM pg_attribute AS a
           WHERE a.attrelid = s.stxrelid AND a.attnum = ANY (s.stxkeys)), '') || coalesce(pg_get_expr(s.stxexprs, s.stxrelid), '')
           || ' ' || CAST(coalesce(CAST(s.stxstattarget AS integer), -1) AS text) || coalesce(obj_description(s.oid, 'pg_statistic_ext'), ''),
       jsonb_build_object('schema', n.nspname), 0
FROM pg_statistic_ext AS s JOIN pg_namespace AS n ON n.oid = s.stxnamespace WHERE s.stxrelid = CAST(%(oid)s AS oid)
UNION ALL
SELECT 'sequence', CAST(c.relname AS text),
       CAST(ROW(a.attname, d.deptype, CAST(q.seqtypid AS bigint), q.seqincrement, q.seqmin, q.seqmax, q.seqcache, q.seqcycle) AS text), jsonb_build_object('schema', n.nspname), 0
FROM pg_depend AS d JOIN pg_class AS c ON c.oid = d.objid AND c.relkind = 'S' JOIN pg_sequence AS q ON q.seqrelid = c.oid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_attribute AS a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
WHERE d.classid = 'pg_class'::regclass::oid AND d.refclassid = 'pg_class'::regclass::oid AND d.refobjid = CAST(%(oid)s AS oid) AND d.deptype IN ('a', 'i')
UNION ALL
SELECT 'rule', CAST(r.rulename AS text), pg_get_ruledef(r.oid, true), jsonb_build_object(), 0
FROM pg_rewrite AS r WHERE r.ev_class = CAST(%(oid)s AS oid)
ORDER BY 1, 5, 2;

-- name: table_itself -- what a table is apart from what it is made of
SELECT CAST(ROW(c.relkind, c.relpersistence, m.amname, c.reltablespace, c.reloftype <> 0::oid, c.relispartition) AS text) AS kept,
       (SELECT CAST(count(*) AS integer) FROM pg_inherits AS i WHERE c.oid IN (i.inhrelid, i.inhparent)) AS relatives,
       c.relreplident AS identity, c.relrowsecurity AS secured, c.relforcerowsecurity AS forced,
       coalesce(c.reloptions, CAST(ARRAY[] AS text[])) AS options, coalesce(t.reloptions, CAST(ARRAY[] AS text[])) AS toast_options, obj_description(c.oid, 'pg_class') AS comment
FROM pg_class AS c LEFT JOIN pg_am AS m ON m.oid = c.relam LEFT JOIN pg_class AS t ON t.oid = c.reltoastrelid WHERE c.oid = CAST(%(oid)s AS oid);

-- name: grants_of -- who may do what by the lists of a table and of its columns, in their order; without its owner
SELECT CAST(g.column AS text) AS column, g.grantee = 0::oid AS everyone, CAST(pg_get_userbyid(g.grantee) AS text) AS role, g.grantor <> g.owner AS by_another,
       g.is_grantable AS grantable, array_agg(CAST(g.privilege_type AS text) ORDER BY g.place) AS privileges, min(g.place) AS place
FROM (
    SELECT NULL AS column, c.relowner AS owner, x.grantor, x.grantee, x.privilege_type, x.is_grantable, x.ordinality AS place
    FROM pg_class AS c CROSS JOIN LATERAL aclexplode(c.relacl) WITH ORDINALITY AS x WHERE c.oid = CAST(%(oid)s AS oid)
    UNION ALL
    SELECT a.attname, c.relowner, x.grantor, x.grantee, x.privilege_type, x.is_grantable, a.attnum * 100000 + x.ordinality
    FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND NOT a.attisdropped CROSS JOIN LATERAL aclexplode(a.attacl) WITH ORDINALITY AS x
    WHERE c.oid = CAST(%(oid)s AS oid)
) AS g
WHERE g.grantee <> g.owner OR g.column IS NOT NULL
GROUP BY 1, 2, 3, 4, 5 ORDER BY place;

-- name: owner_grants -- what the owner has left itself
SELECT coalesce(string_agg(CAST(x.privilege_type AS text), ', ' ORDER BY x.privilege_type), '') AS privileges
FROM pg_class AS c CROSS JOIN LATERAL aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) AS x
WHERE c.oid = CAST(%(oid)s AS oid) AND x.grantee = c.relowner;

-- name: rename_column -- a name in the catalog, no row
ALTER TABLE {table} RENAME COLUMN {column} TO {name};

-- name: table_takes_name -- the table stays where it is on disk, under another name
ALTER TABLE {table} RENAME TO {name};

-- name: on_disk -- in which files a table's rows are, and how a row is laid out; a value that a column has without a rewrite counts
SELECT CAST(pg_relation_filenode(c.oid) AS bigint) AS file, CAST(pg_relation_filenode(nullif(c.reltoastrelid, 0::oid)) AS bigint) AS toast_file,
       (SELECT md5(string_agg(CAST(ROW(a.attnum, CAST(a.atttypid AS bigint), a.atttypmod, a.attlen, a.attalign, a.attisdropped, a.atthasmissing, CAST(a.attmissingval AS text)) AS text), ';' ORDER BY a.attnum))
        FROM pg_attribute AS a WHERE a.attrelid = c.oid AND a.attnum > 0) AS layout
FROM pg_class AS c WHERE c.oid = CAST(%(oid)s AS oid);

-- name: index_endings -- what makes an index, after the table's name; read with an empty search path, so that every name is qualified
SELECT CAST(ic.relname AS text) AS name,
       substr(pg_get_indexdef(i.indexrelid), length(CASE WHEN i.indisunique THEN 'CREATE UNIQUE INDEX ' ELSE 'CREATE INDEX ' END
           || quote_ident(ic.relname) || ' ON ' || quote_ident(n.nspname) || '.' || quote_ident(c.relname)) + 1) AS ending
FROM pg_index AS i JOIN pg_class AS ic ON ic.oid = i.indexrelid JOIN pg_class AS c ON c.oid = i.indrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE i.indrelid = CAST(%(oid)s AS oid);

-- name: table_like -- in a scratch schema, with the columns of the live table and nothing else
CREATE TABLE {table} (LIKE {live});

-- name: index_like -- there, to read what it is called by when the columns have other names
CREATE INDEX {index} ON {table}{ending};
