-- What `aicfg_pipeline.rollback.tables.pieces` runs.

-- name: mapped_piece -- rows of the live table that lie between two pages, in the columns of the other one; by hand, where no page was set, all of them
(SELECT {expressions} FROM {table}
 WHERE ctid OPERATOR(pg_catalog.>=) CAST(coalesce(nullif(current_setting('aicfg.piece_from', true), ''), '(0,0)') AS tid)
   AND ctid OPERATOR(pg_catalog.<) CAST(coalesce(nullif(current_setting('aicfg.piece_to', true), ''), '(4294967294,0)') AS tid));

-- name: piece_between -- which pages the next piece has
SELECT set_config('aicfg.piece_from', format('(%s,0)', %(first)s::bigint), true) AS first, set_config('aicfg.piece_to', format('(%s,0)', %(end)s::bigint), true) AS end;

-- name: pages_of -- of how many pages in which file a table is; nothing where it is no table of ordinary pages
SELECT pg_relation_filenode(c.oid)::bigint AS file, (pg_relation_size(c.oid) / current_setting('block_size')::bigint)::bigint AS pages
FROM pg_class AS c JOIN pg_am AS a ON a.oid = c.relam WHERE c.oid = %(oid)s::oid AND c.relkind = 'r' AND a.amname = 'heap';

-- name: all_tables_are_published -- whether somebody publishes changes of every table, so those of a shadow too
SELECT EXISTS (SELECT FROM pg_catalog.pg_publication AS p WHERE p.puballtables AND (p.pubupdate OR p.pubdelete));

-- name: whole_table_waits -- whether the replay will copy all rows anew
SELECT EXISTS (SELECT FROM {log} WHERE aicfg_whole_table AND NOT aicfg_replayed) AS waits;
