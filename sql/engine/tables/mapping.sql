-- What `aicfg_pipeline.rollback.tables.mapping` runs.

-- name: mapped_source -- the live table's rows in the columns of the other one
(SELECT {expressions} FROM {table});

-- name: merged_source -- both tables by key: the later version of a row, and rows that only one side has
(SELECT {picked} FROM {new_rows} AS newer FULL JOIN {old_rows} AS older ON {keys_equal});

-- name: mapped_rows_of_keys -- the keys come first: with few of them the joins are made in this order
{wanted} AS wanted JOIN {source} AS source ON {keys_equal};

-- name: merged_rows_of_keys -- the same of both tables, as merged_source has them; a FULL JOIN would read all of both
(SELECT {picked} FROM {wanted} AS wanted LEFT JOIN {new_rows} AS newer ON {new_is_wanted} LEFT JOIN {old_rows} AS older ON {old_is_wanted}
 WHERE {new_key} IS DISTINCT FROM NULL OR {old_key} IS DISTINCT FROM NULL) AS source;

-- name: picked_column -- the column of whichever version was chosen; a CASE would make a domain's value one of the type below it
CAST(CASE WHEN {take_new} THEN {new_column} ELSE {old_column} END AS {type}) AS {column};

-- name: padded -- with blanks at the end as a column of a fixed length has it; what is too long stays so, and is refused
CASE WHEN {full} OPERATOR(pg_catalog.=) {bare} THEN CAST({full} AS bpchar) ELSE {bare} END;

-- name: only_column -- a column that only one side has: that side's, whichever version was chosen
CAST(CASE WHEN {key} IS NOT DISTINCT FROM NULL THEN {default} ELSE {only} END AS {type}) AS {column};

-- name: take_new_by_time -- the new row, unless there is none or the old one was changed later
({old_key} IS NOT DISTINCT FROM NULL OR ({new_key} IS DISTINCT FROM NULL AND coalesce({new_time} OPERATOR(pg_catalog.>=) {old_time}, true)));

-- name: take_new -- the new row wherever there is one
({new_key} IS DISTINCT FROM NULL);
