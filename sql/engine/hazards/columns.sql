-- What `aicfg_pipeline.rollback.hazards.columns` runs.

-- name: not_made_again -- rows whose value has no place and is not what would be made from the rest of the row
SELECT count(*)::bigint
FROM {live} AS live JOIN (SELECT {keys}, {expression} AS aicfg_again FROM {source} AS source) AS again ON {keys_equal}
WHERE record_image_ne(ROW({column}), ROW(CAST(again.aicfg_again AS {type})));
