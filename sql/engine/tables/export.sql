-- Export of parked tables, and reading it back.

-- name: copy_out -- the whole table as CSV; NULL is empty, an empty text is quoted
COPY (SELECT {columns} FROM {table}) TO STDOUT (FORMAT csv, HEADER true, ENCODING 'UTF8');

-- name: copy_in -- the same back
COPY {table} ({columns}) FROM STDIN (FORMAT csv, HEADER true, ENCODING 'UTF8');

-- name: bare_like -- a table of the same columns, without anything else
CREATE TABLE {copy} (LIKE {table});
