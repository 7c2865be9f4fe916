-- What makes a relation, as statements, from the catalogs. Run with nothing but pg_catalog in the search path: so every name
-- of others is written with its schema, and the same text means the same wherever it is run.

-- name: table_statements -- what makes tables and what belongs to them: table, block of the file, order, statement
WITH t AS (
    SELECT c.oid, c.relname, c.relnamespace, c.relowner, c.relreplident, c.reloptions, c.relrowsecurity, c.relforcerowsecurity,
           c.reltoastrelid, n.nspname, format('%I.%I', n.nspname, c.relname) AS place,
           (SELECT format(' USING %I', m.amname) FROM pg_am m WHERE m.oid = c.relam AND m.amname <> 'heap') AS access_method,
           (SELECT format(' TABLESPACE %I', s.spcname) FROM pg_tablespace s WHERE s.oid = c.reltablespace) AS tablespace
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = ANY (%(oids)s::oid[])
), owned AS (  -- sequences of serial ('a') and identity ('i') columns
    SELECT t.oid, t.place, a.attname, a.attidentity, d.deptype, s.oid AS sequence, format('%I.%I', sn.nspname, s.relname) AS sequence_place,
           format(' START WITH %s INCREMENT BY %s MINVALUE %s MAXVALUE %s CACHE %s%s', q.seqstart, q.seqincrement, q.seqmin, q.seqmax,
                  q.seqcache, CASE WHEN q.seqcycle THEN ' CYCLE' ELSE '' END) AS numbers, format_type(q.seqtypid, NULL) AS number_type
    FROM t JOIN pg_depend d ON d.refobjid = t.oid AND d.refclassid = 'pg_class'::regclass::oid AND d.classid = 'pg_class'::regclass::oid
        AND d.refobjsubid > 0 AND d.deptype IN ('a', 'i')
    JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S' JOIN pg_namespace sn ON sn.oid = s.relnamespace
    JOIN pg_sequence q ON q.seqrelid = s.oid JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = d.refobjsubid
), col AS (
    SELECT t.oid, t.place, t.relname, a.attnum, a.attname, a.attnotnull, a.attoptions, a.attstattarget::integer AS statistics,
           CASE WHEN a.attstorage <> y.typstorage THEN CASE a.attstorage WHEN 'p' THEN 'PLAIN' WHEN 'e' THEN 'EXTERNAL' WHEN 'x' THEN 'EXTENDED' ELSE 'MAIN' END END AS storage,
           CASE a.attcompression WHEN 'p' THEN 'pglz' WHEN 'l' THEN 'lz4' END AS compression,
           format_type(a.atttypid, a.atttypmod) AS type,
           (SELECT format(' COLLATE %I.%I', ln.nspname, l.collname) FROM pg_collation l JOIN pg_namespace ln ON ln.oid = l.collnamespace
            WHERE l.oid = a.attcollation AND a.attcollation <> y.typcollation) AS collation,
           (SELECT CASE a.attgenerated WHEN '' THEN ' DEFAULT ' || pg_get_expr(e.adbin, e.adrelid)
                        ELSE format(' GENERATED ALWAYS AS (%s) %s', pg_get_expr(e.adbin, e.adrelid), CASE a.attgenerated WHEN 's' THEN 'STORED' ELSE 'VIRTUAL' END) END
            FROM pg_attrdef e WHERE e.adrelid = a.attrelid AND e.adnum = a.attnum) AS filled,
           k.conname AS not_null_name, k.convalidated AS not_null_holds, k.connoinherit AS not_null_alone
    FROM t JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped JOIN pg_type y ON y.oid = a.atttypid
    LEFT JOIN pg_constraint k ON k.conrelid = t.oid AND k.contype = 'n' AND k.conkey[1] = a.attnum
), line AS (
    SELECT col.oid, 1 AS part, col.attnum::integer AS number, '' AS name,
           format('%I %s', col.attname, col.type) || coalesce(col.collation, '') || coalesce(col.filled, '')
           || CASE WHEN NOT col.attnotnull OR NOT coalesce(col.not_null_holds, true) THEN ''
                   WHEN col.not_null_name <> format('%s_%s_not_null', col.relname, col.attname)::name THEN format(' CONSTRAINT %I NOT NULL', col.not_null_name)
                   ELSE ' NOT NULL' END || CASE WHEN col.not_null_alone THEN ' NO INHERIT' ELSE '' END AS text
    FROM col
    UNION ALL
    SELECT t.oid, 2, 0, k.conname::text, format('CONSTRAINT %I %s', k.conname, pg_get_constraintdef(k.oid))
    FROM t JOIN pg_constraint k ON k.conrelid = t.oid AND k.contype = 'c' AND k.convalidated
), idx AS (
    SELECT t.oid, t.place, i.indexrelid, i.indisclustered, i.indisreplident, i.indisvalid, x.relname, x.reloptions, k.oid AS constraint_, k.contype, format('%I.%I', xn.nspname, x.relname) AS index_place
    FROM t JOIN pg_index i ON i.indrelid = t.oid JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_namespace xn ON xn.oid = x.relnamespace
    LEFT JOIN pg_constraint k ON k.conindid = i.indexrelid AND k.conrelid = t.oid AND k.contype IN ('p', 'u', 'x')
), fkey AS (
    SELECT t.oid, t.place, k.conname, k.convalidated, pg_get_constraintdef(k.oid) AS definition
    FROM t JOIN pg_constraint k ON k.conrelid = t.oid AND k.contype = 'f' AND k.conparentid = 0::oid
), trig AS (
    SELECT t.oid, t.place, t.relnamespace, g.oid AS trigger_, g.tgname, g.tgenabled, g.tgfoid
    FROM t JOIN pg_trigger g ON g.tgrelid = t.oid AND NOT g.tgisinternal AND NOT starts_with(g.tgname::text, 'aicfg_rollback_')
), acl AS (
    SELECT t.oid, 10 AS rank, 'TABLE' AS kind, t.place, '' AS part, t.relowner AS owner, 'r'::"char" AS letter, g.grantee, g.privilege_type, g.is_grantable
    FROM t JOIN pg_class c ON c.oid = t.oid, aclexplode(c.relacl) AS g
    UNION ALL
    SELECT t.oid, 20, 'TABLE', t.place, format(' (%I)', a.attname), t.relowner, 'c', g.grantee, g.privilege_type, g.is_grantable
    FROM t JOIN pg_attribute a ON a.attrelid = t.oid AND NOT a.attisdropped, aclexplode(a.attacl) AS g
    UNION ALL
    SELECT owned.oid, 30, 'SEQUENCE', owned.sequence_place, '', s.relowner, 's', g.grantee, g.privilege_type, g.is_grantable
    FROM owned JOIN pg_class s ON s.oid = owned.sequence, aclexplode(s.relacl) AS g
), given AS (
    SELECT acl.oid, acl.rank, acl.kind, acl.place, acl.grantee, acl.is_grantable,
           CASE WHEN acl.rank <> 20 AND count(*) = (SELECT count(*) FROM aclexplode(acldefault(acl.letter, acl.owner)) AS whole WHERE whole.grantee = acl.owner) THEN 'ALL'
                ELSE string_agg(acl.privilege_type || acl.part, ', ' ORDER BY acl.part, acl.privilege_type) END AS privileges
    FROM acl WHERE acl.grantee <> acl.owner GROUP BY acl.oid, acl.rank, acl.kind, acl.place, acl.grantee, acl.is_grantable, acl.letter, acl.owner
), closed AS (  -- whom the file takes everything from first: those with privileges, and those that get some by default
    SELECT t.oid, t.place, ARRAY(
        SELECT r.rolname::text FROM pg_roles r WHERE r.oid <> t.relowner AND r.oid IN (
            SELECT acl.grantee FROM acl WHERE acl.oid = t.oid AND acl.rank = 10
            UNION SELECT g.grantee FROM pg_default_acl d, aclexplode(d.defaclacl) AS g
            WHERE d.defaclrole = t.relowner AND d.defaclobjtype = 'r' AND d.defaclnamespace IN (0::oid, t.relnamespace)) ORDER BY 1) AS roles
    FROM t
), noted AS (
    SELECT t.oid, 10 AS rank, 'comments' AS block, format('TABLE %s', t.place) AS thing, obj_description(t.oid, 'pg_class') AS comment FROM t
    UNION ALL SELECT col.oid, 100 + col.attnum, 'comments', format('COLUMN %s.%I', col.place, col.attname), col_description(col.oid, col.attnum::integer) FROM col
    UNION ALL SELECT t.oid, 3000, 'comments', format('CONSTRAINT %I ON %s', k.conname, t.place), obj_description(k.oid, 'pg_constraint')
        FROM t JOIN pg_constraint k ON k.conrelid = t.oid AND k.contype IN ('c', 'p', 'u', 'x', 'f')
    UNION ALL SELECT idx.oid, 4000, 'comments', format('INDEX %s', idx.index_place), obj_description(idx.indexrelid, 'pg_class') FROM idx
    UNION ALL SELECT owned.oid, 5000, 'comments', format('SEQUENCE %s', owned.sequence_place), obj_description(owned.sequence, 'pg_class') FROM owned
    UNION ALL SELECT trig.oid, 40, 'triggers', format('TRIGGER %I ON %s', trig.tgname, trig.place), obj_description(trig.trigger_, 'pg_trigger') FROM trig
    UNION ALL SELECT t.oid, 40, 'row_level_security', format('POLICY %I ON %s', p.polname, t.place), obj_description(p.oid, 'pg_policy') FROM t JOIN pg_policy p ON p.polrelid = t.oid
)
SELECT s.oid::bigint AS oid, s.block, s.statement FROM (
    SELECT owned.oid, 'table' AS block, 10 AS rank, owned.sequence_place AS name, format('CREATE SEQUENCE %s AS %s%s', owned.sequence_place, owned.number_type, owned.numbers) AS statement
    FROM owned WHERE owned.deptype = 'a'
    UNION ALL
    SELECT t.oid, 'table', 20, '', 'CREATE TABLE ' || t.place || E' (\n    '
           || coalesce((SELECT string_agg(line.text, E',\n    ' ORDER BY line.part, line.number, line.name) FROM line WHERE line.oid = t.oid), '') || E'\n)'
           || coalesce(t.access_method, '')
           || coalesce((SELECT ' WITH (' || string_agg(format('%I=%L', split_part(o, '=', 1), substr(o, strpos(o, '=') + 1)), ', ') || ')' FROM unnest(t.reloptions) AS o), '')
           || coalesce(t.tablespace, '')
    FROM t
    UNION ALL
    SELECT t.oid, 'table', 30, k.conname::text, format('ALTER TABLE ONLY %s ADD CONSTRAINT %I %s', t.place, k.conname, pg_get_constraintdef(k.oid))
    FROM t JOIN pg_constraint k ON k.conrelid = t.oid AND k.contype = 'c' AND NOT k.convalidated
    UNION ALL
    SELECT col.oid, 'table', 30, col.not_null_name::text, format('ALTER TABLE ONLY %s ADD CONSTRAINT %I NOT NULL %I NOT VALID', col.place, col.not_null_name, col.attname)
    FROM col WHERE col.attnotnull AND NOT col.not_null_holds
    UNION ALL
    SELECT owned.oid, 'table', 40, owned.sequence_place, format('ALTER SEQUENCE %s OWNED BY %s.%I', owned.sequence_place, owned.place, owned.attname)
    FROM owned WHERE owned.deptype = 'a'
    UNION ALL
    SELECT owned.oid, 'table', 50, owned.sequence_place,
           format('ALTER TABLE %s ALTER COLUMN %I ADD GENERATED %s AS IDENTITY (SEQUENCE NAME %s%s)', owned.place, owned.attname,
                  CASE owned.attidentity WHEN 'a' THEN 'ALWAYS' ELSE 'BY DEFAULT' END, owned.sequence_place, owned.numbers)
    FROM owned WHERE owned.deptype = 'i'
    UNION ALL
    SELECT col.oid, 'table', 60, lpad(col.attnum::text, 5, '0'), format('ALTER TABLE ONLY %s ALTER COLUMN %I SET %s', col.place, col.attname, said.what)
    FROM col, LATERAL (VALUES
        ('STORAGE ' || col.storage), ('COMPRESSION ' || col.compression), (CASE WHEN col.statistics >= 0 THEN 'STATISTICS ' || col.statistics::text END),
        ((SELECT '(' || string_agg(format('%I=%L', split_part(o, '=', 1), substr(o, strpos(o, '=') + 1)), ', ') || ')'
          FROM unnest(col.attoptions) AS o WHERE NOT starts_with(o, 'pg_attver=')))
    ) AS said (what) WHERE said.what IS NOT NULL
    UNION ALL
    SELECT t.oid, 'table', 70, '', format('ALTER TABLE %s SET (%s)', t.place, (SELECT string_agg(format('toast.%I=%L', split_part(o, '=', 1), substr(o, strpos(o, '=') + 1)), ', ') FROM unnest(x.reloptions) AS o))
    FROM t JOIN pg_class x ON x.oid = t.reltoastrelid AND x.reloptions IS NOT NULL
    UNION ALL
    SELECT idx.oid, 'indexes', CASE idx.contype WHEN 'p' THEN 10 ELSE 11 END, k.conname::text, format('ALTER TABLE ONLY %s ADD CONSTRAINT %I %s', idx.place, k.conname, pg_get_constraintdef(k.oid))
    FROM idx JOIN pg_constraint k ON k.oid = idx.constraint_
    UNION ALL
    SELECT idx.oid, 'indexes', 20, idx.relname::text, pg_get_indexdef(idx.indexrelid) FROM idx WHERE idx.constraint_ IS NULL AND idx.indisvalid
    UNION ALL
    SELECT idx.oid, 'indexes', 30, idx.relname::text, format('ALTER INDEX %s SET (%s)', idx.index_place, (SELECT string_agg(format('%I=%L', split_part(o, '=', 1), substr(o, strpos(o, '=') + 1)), ', ') FROM unnest(idx.reloptions) AS o))
    FROM idx WHERE idx.constraint_ IS NOT NULL AND idx.reloptions IS NOT NULL
    UNION ALL
    SELECT idx.oid, 'indexes', 40, idx.relname::text || a.attnum::text, format('ALTER INDEX %s ALTER COLUMN %s SET STATISTICS %s', idx.index_place, a.attnum, a.attstattarget)
    FROM idx JOIN pg_attribute a ON a.attrelid = idx.indexrelid AND a.attstattarget::integer >= 0
    UNION ALL
    SELECT t.oid, 'indexes', 50, x.stxname::text, pg_get_statisticsobjdef(x.oid) FROM t JOIN pg_statistic_ext x ON x.stxrelid = t.oid
    UNION ALL
    SELECT t.oid, 'indexes', 60, '', format('ALTER TABLE ONLY %s REPLICA IDENTITY %s', t.place, CASE t.relreplident WHEN 'f' THEN 'FULL' WHEN 'n' THEN 'NOTHING'
           ELSE (SELECT format('USING INDEX %I', idx.relname) FROM idx WHERE idx.oid = t.oid AND idx.indisreplident) END)
    FROM t WHERE t.relreplident <> 'd'
    UNION ALL
    SELECT idx.oid, 'indexes', 70, '', format('ALTER TABLE %s CLUSTER ON %I', idx.place, idx.relname) FROM idx WHERE idx.indisclustered
    UNION ALL
    SELECT fkey.oid, 'foreign_keys', 10, fkey.conname::text,
           format('ALTER TABLE ONLY %s ADD CONSTRAINT %I %s%s', fkey.place, fkey.conname, fkey.definition, CASE WHEN fkey.convalidated THEN ' NOT VALID' ELSE '' END)
    FROM fkey
    UNION ALL
    SELECT fkey.oid, 'validate', 10, fkey.conname::text, format('ALTER TABLE %s VALIDATE CONSTRAINT %I', fkey.place, fkey.conname) FROM fkey WHERE fkey.convalidated
    UNION ALL  -- a function that serves this table only comes with it; another one is only named
    SELECT DISTINCT trig.oid, 'triggers', 10, p.proname::text, rtrim(pg_get_functiondef(p.oid), E' \n')
    FROM trig JOIN pg_proc p ON p.oid = trig.tgfoid AND p.pronargs = 0 AND p.pronamespace = trig.relnamespace AND pg_has_role(p.proowner, 'USAGE')
    WHERE NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass::oid AND d.objid = p.oid AND d.deptype = 'e')
      AND NOT EXISTS (SELECT FROM pg_trigger o WHERE o.tgfoid = p.oid AND o.tgrelid <> trig.oid AND NOT o.tgisinternal)
    UNION ALL
    SELECT trig.oid, 'triggers', 20, trig.tgname::text, pg_get_triggerdef(trig.trigger_) FROM trig
    UNION ALL
    SELECT trig.oid, 'triggers', 30, trig.tgname::text, format('ALTER TABLE %s %s TRIGGER %I', trig.place, CASE trig.tgenabled WHEN 'D' THEN 'DISABLE' WHEN 'A' THEN 'ENABLE ALWAYS' ELSE 'ENABLE REPLICA' END, trig.tgname)
    FROM trig WHERE trig.tgenabled <> 'O'
    UNION ALL
    SELECT t.oid, 'row_level_security', 10, '', format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', t.place) FROM t WHERE t.relrowsecurity
    UNION ALL
    SELECT t.oid, 'row_level_security', 20, '', format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', t.place) FROM t WHERE t.relforcerowsecurity
    UNION ALL
    SELECT t.oid, 'row_level_security', 30, p.polname::text, format('CREATE POLICY %I ON %s%s%s', p.polname, t.place, CASE WHEN p.polpermissive THEN '' ELSE ' AS RESTRICTIVE' END,
               CASE p.polcmd WHEN 'r' THEN ' FOR SELECT' WHEN 'a' THEN ' FOR INSERT' WHEN 'w' THEN ' FOR UPDATE' WHEN 'd' THEN ' FOR DELETE' ELSE '' END)
           || E'\n    TO ' || (SELECT string_agg(CASE r WHEN 0::oid THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(r)::text) END, ', ' ORDER BY pg_get_userbyid(r)) FROM unnest(p.polroles) AS r)
           || coalesce(E'\n    USING (' || pg_get_expr(p.polqual, p.polrelid) || ')', '') || coalesce(E'\n    WITH CHECK (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')', '')
    FROM t JOIN pg_policy p ON p.polrelid = t.oid
    UNION ALL
    SELECT closed.oid, 'grants', 0, '', format('REVOKE ALL ON TABLE %s FROM PUBLIC', closed.place) || coalesce((SELECT string_agg(', ' || quote_ident(r), '' ORDER BY r) FROM unnest(closed.roles) AS r), '') FROM closed
    UNION ALL
    SELECT given.oid, 'grants', given.rank, given.place || CASE given.grantee WHEN 0::oid THEN '' ELSE pg_get_userbyid(given.grantee)::text END,
           format('GRANT %s ON %s %s TO %s%s', given.privileges, given.kind, given.place, CASE given.grantee WHEN 0::oid THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(given.grantee)::text) END,
                  CASE WHEN given.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
    FROM given
    UNION ALL
    SELECT noted.oid, noted.block, noted.rank, noted.thing, format('COMMENT ON %s IS %L', noted.thing, noted.comment) FROM noted WHERE noted.comment IS NOT NULL
) AS s ORDER BY s.oid, s.rank, s.name, s.statement;

-- name: view_statements -- what makes views: view, block of the file, order, statement
WITH v AS (
    SELECT c.oid, c.relowner, c.relnamespace, c.reloptions, c.relacl, format('%I.%I', n.nspname, c.relname) AS place
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = ANY (%(oids)s::oid[])
), acl AS (
    SELECT v.oid, v.place, v.relowner, '' AS part, g.grantee, g.privilege_type, g.is_grantable FROM v, aclexplode(v.relacl) AS g
    UNION ALL
    SELECT v.oid, v.place, v.relowner, format(' (%I)', a.attname), g.grantee, g.privilege_type, g.is_grantable
    FROM v JOIN pg_attribute a ON a.attrelid = v.oid AND NOT a.attisdropped, aclexplode(a.attacl) AS g
), given AS (
    SELECT acl.oid, acl.place, acl.part <> '' AS of_columns, acl.grantee, acl.is_grantable,
           CASE WHEN count(*) = (SELECT count(*) FROM aclexplode(acldefault('r', acl.relowner)) AS whole WHERE whole.grantee = acl.relowner) AND NOT bool_or(acl.part <> '') THEN 'ALL'
                ELSE string_agg(acl.privilege_type || acl.part, ', ' ORDER BY acl.part, acl.privilege_type) END AS privileges
    FROM acl WHERE acl.grantee <> acl.relowner GROUP BY acl.oid, acl.place, acl.part <> '', acl.grantee, acl.is_grantable, acl.relowner
)
SELECT s.oid::bigint AS oid, s.block, s.statement FROM (
    SELECT v.oid, 'view' AS block, 10 AS rank, '' AS name, 'CREATE VIEW ' || v.place || E' AS\n' || rtrim(pg_get_viewdef(v.oid), E'; \n') AS statement FROM v
    UNION ALL
    SELECT v.oid, CASE split_part(o, '=', 1) WHEN 'security_invoker' THEN 'security_invoker' ELSE 'view' END, 20, o,
           format('ALTER VIEW %s SET (%I=%L)', v.place, split_part(o, '=', 1), substr(o, strpos(o, '=') + 1))
    FROM v, unnest(v.reloptions) AS o
    UNION ALL
    SELECT v.oid, 'grants', 0, '', format('REVOKE ALL ON TABLE %s FROM PUBLIC', v.place) || coalesce((
        SELECT string_agg(DISTINCT ', ' || quote_ident(r.rolname::text), '') FROM pg_roles r WHERE r.oid <> v.relowner AND r.oid IN (
            SELECT acl.grantee FROM acl WHERE acl.oid = v.oid
            UNION SELECT g.grantee FROM pg_default_acl d, aclexplode(d.defaclacl) AS g
            WHERE d.defaclrole = v.relowner AND d.defaclobjtype = 'r' AND d.defaclnamespace IN (0::oid, v.relnamespace))), '') FROM v
    UNION ALL
    SELECT given.oid, 'grants', 10, CASE given.grantee WHEN 0::oid THEN '' ELSE pg_get_userbyid(given.grantee)::text END,
           format('GRANT %s ON TABLE %s TO %s%s', given.privileges, given.place, CASE given.grantee WHEN 0::oid THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(given.grantee)::text) END,
                  CASE WHEN given.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
    FROM given
    UNION ALL
    SELECT v.oid, 'comments', 10, '', format('COMMENT ON VIEW %s IS %L', v.place, obj_description(v.oid, 'pg_class')) FROM v WHERE obj_description(v.oid, 'pg_class') IS NOT NULL
    UNION ALL
    SELECT v.oid, 'comments', 20, lpad(a.attnum::text, 5, '0'), format('COMMENT ON COLUMN %s.%I IS %L', v.place, a.attname, col_description(v.oid, a.attnum::integer))
    FROM v JOIN pg_attribute a ON a.attrelid = v.oid AND a.attnum > 0 AND col_description(v.oid, a.attnum::integer) IS NOT NULL
) AS s ORDER BY s.oid, s.rank, s.name, s.statement;
