-- What `aicfg_pipeline.rollback.tables.since` runs.

-- name: as_compared -- by which a relation is known again: its number, its file, and what its columns are; NULL where it has no file of its own
SELECT c.oid::bigint AS oid, format('%s/%s/%s', c.oid, pg_relation_filenode(c.oid), md5((
    SELECT string_agg(format('%s %s %s %s %s %s', a.attnum, a.attname, a.atttypid, a.atttypmod, a.attisdropped,
                             CASE WHEN a.attgenerated <> '' THEN pg_get_expr(d.adbin, d.adrelid) END), ',' ORDER BY a.attnum)
    FROM pg_attribute AS a LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE a.attrelid = c.oid AND a.attnum > 0))) AS known_by
FROM pg_class AS c WHERE c.oid = ANY (%(oids)s::oid[]) AND c.relkind = 'r' AND pg_relation_filenode(c.oid) IS NOT NULL;

-- name: seen_all_before -- every transaction below this number had ended when the snapshot was taken: what is written later has a higher one
SELECT pg_snapshot_xmin(pg_current_snapshot())::text AS horizon;

-- name: near_enough -- so few transactions ago that a row's number tells before from after
SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint - %(horizon)s::bigint < 1000000000::bigint AS near_enough;

-- name: written_since -- how many rows there are on both sides, and how many of each were written since a comparison; and the log's entries
SELECT b.rows AS rows_before, a.rows AS rows_after, (b.written + a.written + (SELECT count(*) FROM {log}))::bigint AS written
FROM (SELECT count(*)::bigint AS rows, count(*) FILTER (WHERE age(live.xmin) <= age({horizon}))::bigint AS written FROM {table} AS live) AS b,
     (SELECT count(*)::bigint AS rows, count(*) FILTER (WHERE age(target.xmin) <= age({horizon}))::bigint AS written FROM {target} AS target) AS a;

-- name: compare_since -- those rows and all keys of the log, row by row; their number stands here for the planner, which can't know it
WITH written AS MATERIALIZED (
    SELECT * FROM (
    SELECT {target_keys} FROM {target} AS target WHERE age(target.xmin) <= age({horizon})
    UNION SELECT {table_keys} FROM {table} AS live WHERE age(live.xmin) <= age({horizon})
    UNION SELECT {log_keys} FROM {log} AS entry WHERE NOT entry.aicfg_whole_table
    ) AS keys LIMIT {most}
), before AS MATERIALIZED (
    SELECT {source_columns} FROM {source_of_written}
), after AS MATERIALIZED (
    SELECT {target_columns} FROM {written} AS wanted JOIN {target} AS target ON {target_is_wanted}
)
SELECT (SELECT count(*) FROM written)::bigint AS looked_at, found.*
FROM ({differences}) AS found;

-- name: as_xid -- a transaction's number as rows have it, without its epoch
(({horizon}::numeric % 4294967296::numeric)::text::xid);
