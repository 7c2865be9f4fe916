-- What the witnesses ask. Their own words: nothing here is the pipeline's.

-- name: shape -- everything the catalog says of one table or view
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

-- name: access -- who may do what with these tables and views, effectively
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

-- name: sequences -- who may do what with the sequences of a table's serial columns
SELECT r.rolname, a.attname, p
FROM pg_roles r, unnest(ARRAY['USAGE', 'SELECT', 'UPDATE']) p,
     pg_class s JOIN pg_depend d ON d.objid = s.oid AND d.classid = 'pg_class'::regclass AND d.deptype = 'a' AND d.refclassid = 'pg_class'::regclass
     JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
WHERE s.relkind = 'S' AND d.refobjid = to_regclass(%s) AND r.rolname !~ '^pg_' AND has_sequence_privilege(r.oid, s.oid, p)

-- name: private -- who besides their owner may do something with schema, ledger and change logs
SELECT r.rolname, 'schema', p FROM pg_roles r, pg_namespace n, unnest(ARRAY['USAGE', 'CREATE']) p
WHERE n.nspname = 'aicfg_rollback' AND r.rolname !~ '^pg_' AND NOT r.rolsuper AND has_schema_privilege(r.oid, n.oid, p)
  AND NOT pg_has_role(r.oid, n.nspowner, 'USAGE')
UNION ALL
SELECT r.rolname, c.relname, p FROM pg_roles r, pg_class c, unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE']) p
WHERE c.relnamespace = to_regnamespace('aicfg_rollback') AND c.relkind IN ('r', 'v') AND r.rolname !~ '^pg_' AND NOT r.rolsuper
  AND (c.relname = 'ledger' OR c.relname LIKE 'change\_log\_%')
  AND has_table_privilege(r.oid, c.oid, p) AND NOT pg_has_role(r.oid, c.relowner, 'USAGE')

-- name: around -- everything outside the private schema that is no row
SELECT jsonb_build_object(
 'functions', (SELECT jsonb_agg(jsonb_build_array(p.oid::regprocedure::text, md5(p.prosrc), pg_get_userbyid(p.proowner), p.proacl::text) ORDER BY p.oid::regprocedure::text)
    FROM pg_proc p WHERE p.pronamespace IN ('public'::regnamespace, 'auth'::regnamespace)),
 'relations', (SELECT jsonb_agg(jsonb_build_array(c.oid::regclass::text, c.relkind, pg_get_userbyid(c.relowner), c.relacl::text) ORDER BY c.oid::regclass::text)
    FROM pg_class c WHERE c.relnamespace IN ('public'::regnamespace, 'auth'::regnamespace) AND c.relkind NOT IN ('S', 'i')),
 'types', (SELECT jsonb_agg(t.typname ORDER BY t.typname) FROM pg_type t WHERE t.typnamespace = 'public'::regnamespace AND t.typtype IN ('d', 'e')),
 'triggers', (SELECT jsonb_agg(pg_get_triggerdef(t.oid) || t.tgenabled::text ORDER BY pg_get_triggerdef(t.oid)) FROM pg_trigger t
    JOIN pg_class c ON c.oid = t.tgrelid WHERE NOT t.tgisinternal AND c.relnamespace IS DISTINCT FROM to_regnamespace('aicfg_rollback')),
 'schemas', (SELECT jsonb_agg(jsonb_build_array(nspname, pg_get_userbyid(nspowner), nspacl::text) ORDER BY nspname) FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'aicfg_rollback'),
 'keys', (SELECT jsonb_agg(jsonb_build_array(k.conrelid::regclass::text, k.conname, pg_get_constraintdef(k.oid), k.convalidated) ORDER BY k.conrelid::regclass::text, k.conname)
    FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid WHERE k.contype IN ('f', 'c') AND c.relnamespace IS DISTINCT FROM to_regnamespace('aicfg_rollback')),
 'publications', (SELECT jsonb_agg(jsonb_build_array(pubname, puballtables) ORDER BY pubname) FROM pg_publication),
 'published', (SELECT jsonb_agg(to_jsonb(t) ORDER BY pubname, schemaname, tablename) FROM pg_publication_tables t WHERE schemaname <> 'aicfg_rollback'),
 'defaults', (SELECT jsonb_agg(defaclacl::text ORDER BY defaclacl::text) FROM pg_default_acl),
 'policies', (SELECT jsonb_agg(to_jsonb(p) ORDER BY schemaname, tablename, policyname) FROM pg_policies p WHERE schemaname <> 'aicfg_rollback'),
 'settings', (SELECT jsonb_agg(s.setconfig::text ORDER BY s.setconfig::text) FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase WHERE d.datname = current_database()),
 'extended', (SELECT jsonb_agg(jsonb_build_array(s.stxrelid::regclass::text, s.stxname) ORDER BY s.stxname) FROM pg_statistic_ext s
    WHERE s.stxnamespace IS DISTINCT FROM to_regnamespace('aicfg_rollback')), 'prepared', (SELECT count(*) FROM pg_prepared_xacts)
)::text

-- name: left -- what of the pipeline is there besides the ledger
SELECT relname::text FROM pg_class
WHERE relnamespace = to_regnamespace('aicfg_rollback') AND relkind IN ('r', 'v', 'm', 'p') AND relname <> 'ledger'
UNION ALL SELECT proname::text FROM pg_proc WHERE pronamespace = to_regnamespace('aicfg_rollback')
UNION ALL SELECT tgname::text FROM pg_trigger WHERE tgname LIKE 'aicfg%'
UNION ALL SELECT nspname::text FROM pg_namespace WHERE nspname LIKE 'aicfg\_rollback\_%'
