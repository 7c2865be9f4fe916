-- What `aicfg_pipeline.rollback.tables.sequences` runs.

-- name: sequences_of -- the sequences behind identity and serial columns, and whether an index finds the column's greatest value
SELECT a.attname AS column, sn.nspname AS schema, sc.relname AS name, s.seqincrement < 0 AS descending,
       EXISTS (SELECT FROM pg_index i JOIN pg_class ic ON ic.oid = i.indexrelid JOIN pg_am m ON m.oid = ic.relam
               WHERE i.indrelid = a.attrelid AND i.indkey[0] = a.attnum AND m.amname = 'btree' AND i.indpred IS NULL AND i.indisvalid) AS indexed
FROM pg_attribute a
JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass::oid AND d.refobjid = a.attrelid AND d.refobjsubid = a.attnum
     AND d.classid = 'pg_class'::regclass::oid AND d.deptype IN ('a', 'i')
JOIN pg_sequence s ON s.seqrelid = d.objid JOIN pg_class sc ON sc.oid = s.seqrelid JOIN pg_namespace sn ON sn.oid = sc.relnamespace
WHERE a.attrelid = %(oid)s::oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum;

-- name: advance_sequence -- the next value follows the last one that was handed out, and the last one that is there
SELECT setval(CAST({sequence} AS regclass), last, true) FROM (SELECT {latest}(value) AS last FROM ({values}) AS candidates (value)) AS found
WHERE last IS NOT NULL;

-- name: last_handed_out -- by the sequence of the other table
SELECT last_value FROM {sequence} WHERE is_called;

-- name: last_in_column -- an index has it ready
SELECT {latest}({column}) FROM {table};
