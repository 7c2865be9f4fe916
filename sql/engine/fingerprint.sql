-- Row counts, checksums and row by row. The two sides are given in the same columns.

-- name: fingerprint -- count and sum of row hashes; hashed once more, because a row's hash is linear in those of its columns, and a sum of such would not see two rows exchange a value
SELECT count(*)::bigint AS rows,
       coalesce(sum(pg_catalog.hashtextextended(pg_catalog.hash_record_extended(ROW({columns}), 0::bigint)::text, 0::bigint)), 0)::text AS checksum
FROM {source} AS side;

-- name: fingerprint_by_text -- the same for rows with a type that can't be hashed (json, xml, point)
SELECT count(*)::bigint AS rows, coalesce(sum(pg_catalog.hashtextextended(ROW({columns})::text, 0::bigint)), 0)::text AS checksum
FROM {source} AS side;

-- name: count_differences -- rows that differ to the last bit, and which of them the change log explains
WITH different AS MATERIALIZED (
    SELECT {any_keys}, CASE WHEN {target_absent} THEN 'missing' WHEN {source_absent} THEN 'extra' ELSE 'changed' END AS kind
    FROM {source} AS source FULL JOIN {target} AS target ON {keys_equal}
    WHERE {target_absent} OR {source_absent} OR record_image_ne(ROW({source_columns}), ROW({target_columns}))
), known AS MATERIALIZED (  -- a join, not an EXISTS for each row: a log may be long, and may be a query itself
    SELECT DISTINCT {entry_keys} FROM {log} AS entry JOIN different AS wanted ON {entry_is_wanted}
    WHERE NOT entry.aicfg_whole_table
), judged AS MATERIALIZED (
    SELECT different.*, ({is_known} IS DISTINCT FROM NULL OR (SELECT EXISTS (SELECT FROM {log} AS entry WHERE entry.aicfg_whole_table)))
           AS explained
    FROM different LEFT JOIN known ON {different_is_known}
)
SELECT count(*)::bigint AS differences,
       count(*) FILTER (WHERE NOT explained)::bigint AS unexplained,
       count(*) FILTER (WHERE kind = 'missing')::bigint AS missing,
       count(*) FILTER (WHERE kind = 'extra')::bigint AS extra,
       count(*) FILTER (WHERE kind = 'missing' AND NOT explained)::bigint AS unexplained_missing,
       count(*) FILTER (WHERE kind = 'extra' AND NOT explained)::bigint AS unexplained_extra,
       (SELECT coalesce(jsonb_agg(sample), '[]') FROM (
            SELECT jsonb_build_object('key', jsonb_build_array({keys}), 'kind', kind) AS sample
            FROM judged WHERE NOT explained ORDER BY {keys} LIMIT {sample}
        ) shown) AS sample
FROM judged;

-- name: no_log -- where nothing explains a difference
(SELECT {keys}, false AS aicfg_whole_table FROM {table} AS nothing WHERE false);

-- name: different_keys -- the keys of the rows that differ to the last bit
SELECT {any_keys} FROM {source} AS source FULL JOIN {target} AS target ON {keys_equal}
WHERE {target_absent} OR {source_absent} OR record_image_ne(ROW({source_columns}), ROW({target_columns}));

-- name: explained_by_log -- the row was written since, and the change log says so
(EXISTS (SELECT FROM {log} AS whole WHERE whole.aicfg_whole_table) OR EXISTS (SELECT FROM {log} AS logged WHERE {keys_equal}));

-- name: sums_of_common_rows -- checksums of the rows that both sides have and the change log does not explain
SELECT coalesce(sum({source_hash}), 0)::text AS before, coalesce(sum({target_hash}), 0)::text AS after, ARRAY[{counts}] AS counts
FROM {source} AS source JOIN {target} AS target ON {keys_equal} CROSS JOIN LATERAL (SELECT {keys}) AS different
WHERE NOT {explained};

-- name: hash_of_row -- of one side's columns
pg_catalog.hashtextextended(pg_catalog.hash_record_extended(ROW({columns}), 0::bigint)::text, 0::bigint);

-- name: hash_of_row_text -- the same where a type can't be hashed
pg_catalog.hashtextextended(ROW({columns})::text, 0::bigint);

-- name: rows_with_other_value -- in how many rows a column differs
count(*) FILTER (WHERE record_image_ne(ROW({source}), ROW({target})))::bigint;

-- name: different_rows -- the rows that differ and the change log does not explain, both sides as text, column by column
SELECT kind, ARRAY[{key_texts}]::text[] AS key, before, after, changed
FROM (
    SELECT {any_keys}, CASE WHEN {target_absent} THEN 'missing' WHEN {source_absent} THEN 'extra' ELSE 'changed' END AS kind,
           ARRAY[{source_texts}]::text[] AS before, ARRAY[{target_texts}]::text[] AS after, ARRAY[{changed}] AS changed
    FROM {source} AS source FULL JOIN {target} AS target ON {keys_equal}
    WHERE {target_absent} OR {source_absent} OR record_image_ne(ROW({source_columns}), ROW({target_columns}))
) AS different
WHERE NOT {explained}
ORDER BY {keys};
