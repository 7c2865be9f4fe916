-- What `aicfg_pipeline.rollback.glance` runs.

-- name: count_rows -- exact
SELECT count(*)::bigint FROM {table};

-- name: our_sessions -- the sessions of this pipeline on this database; a run's has its id in its name
SELECT DISTINCT a.application_name AS name FROM pg_stat_activity AS a
WHERE a.datname = current_database() AND starts_with(a.application_name, 'aicfg_pipeline') ORDER BY 1;

-- name: directly_called_functions -- what policies, triggers and defaults of these relations call themselves, where following the calls takes too long
SELECT d.refobjid AS oid FROM pg_depend AS d
WHERE d.refclassid = 'pg_proc'::regclass::oid AND (d.classid, d.objid) IN (
    SELECT 'pg_policy'::regclass::oid, p.oid FROM pg_policy AS p WHERE p.polrelid = ANY (CAST(%(oids)s AS oid[]))
    UNION ALL SELECT 'pg_trigger'::regclass::oid, t.oid FROM pg_trigger AS t WHERE t.tgrelid = ANY (CAST(%(oids)s AS oid[]))
    UNION ALL SELECT 'pg_attrdef'::regclass::oid, a.oid FROM pg_attrdef AS a WHERE a.adrelid = ANY (CAST(%(oids)s AS oid[])));

-- name: catalog_hashes -- one hash for each kind of catalog fact of these relations and of all that decides who sees and does what with them; whole catalog rows, so that a change of anything in them is seen, and no lock is asked for
WITH RECURSIVE me AS (
    SELECT unnest(CAST(%(oids)s AS oid[])) AS oid
), watched (oid) AS (  -- they, and the views on them, however deep
    SELECT me.oid FROM me
    UNION
    SELECT r.ev_class FROM watched AS w
    JOIN pg_depend AS d ON d.refclassid = 'pg_class'::regclass::oid AND d.refobjid = w.oid AND d.classid = 'pg_rewrite'::regclass::oid
    JOIN pg_rewrite AS r ON r.oid = d.objid
), private AS (
    SELECT c.oid FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname = {private} AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
), numbers AS (  -- the sequences of their columns
    SELECT d.objid AS oid FROM pg_depend AS d JOIN watched AS w ON w.oid = d.refobjid
    JOIN pg_class AS s ON s.oid = d.objid AND s.relkind = 'S'
    WHERE d.classid = 'pg_class'::regclass::oid AND d.refclassid = 'pg_class'::regclass::oid AND d.refobjsubid > 0 AND d.deptype IN ('a', 'i')
), relations AS (
    SELECT c.*, to_jsonb(c) - ARRAY['relowner', 'relacl', 'relrowsecurity', 'relforcerowsecurity',
        -- these change by ordinary use
        'relpages', 'reltuples', 'relallvisible', 'relallfrozen', 'relfrozenxid', 'relminmxid', 'relfilenode',
        'relhasindex', 'relhasrules', 'relhastriggers', 'relhassubclass'] AS rest
    FROM pg_class AS c
    WHERE c.oid IN (SELECT watched.oid FROM watched UNION SELECT private.oid FROM private UNION SELECT numbers.oid FROM numbers)
), their_indexes AS (
    SELECT i.indexrelid AS oid FROM pg_index AS i WHERE i.indrelid IN (SELECT relations.oid FROM relations)
), their_constraints AS (
    SELECT k.oid FROM pg_constraint AS k
    WHERE k.conrelid IN (SELECT relations.oid FROM relations) OR k.confrelid IN (SELECT watched.oid FROM watched)
), their_policies AS (
    SELECT p.oid, p.polroles FROM pg_policy AS p WHERE p.polrelid IN (SELECT relations.oid FROM relations)
), their_triggers AS (  -- those on the other side of a foreign key, too
    SELECT t.oid FROM pg_trigger AS t
    WHERE t.tgrelid IN (SELECT relations.oid FROM relations) OR t.tgconstraint IN (SELECT their_constraints.oid FROM their_constraints)
), their_functions AS (  -- called by what they have; ours; and those that run as their owner and name one of these tables
    SELECT CAST(f.oid AS oid) AS oid FROM ({called}) AS f
    UNION
    SELECT p.oid FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
    WHERE n.nspname = {private}
       OR p.prosecdef AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND p.prosrc ~* ANY (CAST(%(patterns)s AS text[]))
), their_roles AS (
    SELECT r.oid FROM pg_roles AS r WHERE r.rolname = ANY (CAST(%(roles)s AS text[]))
    UNION SELECT unnest(p.polroles) FROM their_policies AS p
    UNION SELECT g.grantee FROM relations AS c, LATERAL aclexplode(c.relacl) AS g
    UNION SELECT c.relowner FROM relations AS c
), members (member, membership) AS (
    SELECT m.member, m.roleid FROM their_roles AS r JOIN pg_auth_members AS m ON m.roleid = r.oid
    UNION SELECT m.member, m.roleid FROM members AS b JOIN pg_auth_members AS m ON m.roleid = b.member
), their_publications AS (
    SELECT b.oid FROM pg_publication AS b WHERE b.puballtables
    UNION SELECT r.prpubid FROM pg_publication_rel AS r WHERE r.prrelid IN (SELECT watched.oid FROM watched)
    UNION SELECT d.refobjid FROM pg_depend AS s  -- of a whole schema: that catalog is not there before version 15
        JOIN pg_depend AS d ON d.classid = s.classid AND d.objid = s.objid AND d.refclassid = 'pg_publication'::regclass::oid
        WHERE s.classid = to_regclass('pg_catalog.pg_publication_namespace')::oid AND s.refclassid = 'pg_namespace'::regclass::oid
          AND s.refobjid IN (SELECT c.relnamespace FROM relations AS c)
), facts (kind, fact) AS (
    SELECT 'row level security', concat_ws(' ', c.oid, c.relrowsecurity, c.relforcerowsecurity) FROM relations AS c
    UNION ALL SELECT 'policies', p::text FROM pg_policy AS p WHERE p.oid IN (SELECT their_policies.oid FROM their_policies)
    UNION ALL SELECT 'grants', concat_ws(' ', c.oid, c.relacl) FROM relations AS c
    UNION ALL SELECT 'grants', concat_ws(' ', a.attrelid, a.attnum, a.attacl) FROM pg_attribute AS a
        WHERE a.attacl IS NOT NULL AND a.attrelid IN (SELECT relations.oid FROM relations)
    UNION ALL SELECT 'owners', concat_ws(' ', c.oid, c.relowner) FROM relations AS c
    UNION ALL SELECT 'options of tables and views', c.rest::text FROM relations AS c WHERE c.relkind <> 'S'
    UNION ALL SELECT 'options of tables and views', concat_ws(' ', c.oid, t.reloptions) FROM relations AS c JOIN pg_class AS t ON t.oid = c.reltoastrelid
    UNION ALL SELECT 'options of tables and views', h::text FROM pg_inherits AS h
        WHERE h.inhrelid IN (SELECT relations.oid FROM relations) OR h.inhparent IN (SELECT relations.oid FROM relations)
    UNION ALL SELECT 'columns', (to_jsonb(a) - ARRAY['attacl', 'attcacheoff'])::text FROM pg_attribute AS a
        WHERE a.attnum > 0 AND a.attrelid IN (SELECT relations.oid FROM relations WHERE relations.relkind <> 'S')
    UNION ALL SELECT 'columns', d::text FROM pg_attrdef AS d WHERE d.adrelid IN (SELECT relations.oid FROM relations)
    UNION ALL SELECT 'constraints', k::text FROM pg_constraint AS k WHERE k.oid IN (SELECT their_constraints.oid FROM their_constraints)
    UNION ALL SELECT 'indexes', i::text FROM pg_index AS i WHERE i.indexrelid IN (SELECT their_indexes.oid FROM their_indexes)
    UNION ALL SELECT 'indexes', concat_ws(' ', c.oid, c.relname, c.relnamespace, c.relam, c.reltablespace, c.reloptions) FROM pg_class AS c
        WHERE c.oid IN (SELECT their_indexes.oid FROM their_indexes)
    UNION ALL SELECT 'statistics', s::text FROM pg_statistic_ext AS s WHERE s.stxrelid IN (SELECT relations.oid FROM relations)
    UNION ALL SELECT 'triggers', t::text FROM pg_trigger AS t WHERE t.oid IN (SELECT their_triggers.oid FROM their_triggers)
    UNION ALL SELECT 'views and rules', r::text FROM pg_rewrite AS r WHERE r.ev_class IN (SELECT relations.oid FROM relations)
    UNION ALL SELECT 'functions', p::text FROM pg_proc AS p WHERE p.oid IN (SELECT their_functions.oid FROM their_functions)
    UNION ALL SELECT 'sequences', concat_ws(' ', c.rest, s) FROM relations AS c JOIN pg_sequence AS s ON s.seqrelid = c.oid
    UNION ALL SELECT 'roles', (to_jsonb(r) - ARRAY['rolpassword'])::text FROM pg_roles AS r
        WHERE r.oid IN (SELECT their_roles.oid FROM their_roles UNION SELECT members.member FROM members)
    UNION ALL SELECT 'roles', m::text FROM pg_auth_members AS m
        WHERE (m.member, m.roleid) IN (SELECT members.member, members.membership FROM members)
    UNION ALL SELECT 'publications', b::text FROM pg_publication AS b WHERE b.oid IN (SELECT their_publications.oid FROM their_publications)
    UNION ALL SELECT 'publications', r::text FROM pg_publication_rel AS r WHERE r.prrelid IN (SELECT watched.oid FROM watched)
    UNION ALL SELECT 'schemas', n::text FROM pg_namespace AS n
        WHERE n.nspname IN ('aicfg_rollback', {private}) OR n.oid IN (SELECT c.relnamespace FROM relations AS c)
    UNION ALL SELECT 'comments', d::text FROM pg_description AS d
        WHERE (d.classoid, d.objoid) IN (
            SELECT 'pg_class'::regclass::oid, c.oid FROM relations AS c
            UNION ALL SELECT 'pg_class'::regclass::oid, their_indexes.oid FROM their_indexes
            UNION ALL SELECT 'pg_constraint'::regclass::oid, their_constraints.oid FROM their_constraints
            UNION ALL SELECT 'pg_policy'::regclass::oid, their_policies.oid FROM their_policies
            UNION ALL SELECT 'pg_trigger'::regclass::oid, their_triggers.oid FROM their_triggers)
)
SELECT f.kind, left(encode(sha256(convert_to(string_agg(f.fact, E'\n' ORDER BY f.fact COLLATE "C"), 'UTF8')), 'hex'), 16) AS hash
FROM facts AS f GROUP BY f.kind ORDER BY f.kind COLLATE "C";
