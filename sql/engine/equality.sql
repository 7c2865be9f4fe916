-- Comparisons of the migration's own values: never by an operator that is found by its name alone (S2).

-- name: same_value -- two values of types that compare by PostgreSQL's own operator: no schema but pg_catalog is looked into
{left} OPERATOR(pg_catalog.=) {right};

-- name: same_value_by_own -- two values of a type with an operator of its own (citext): that of its default operator class, for exactly its type
CAST({left} AS {type}) {operator} CAST({right} AS {type});

-- name: later_than -- one time after another
{left} OPERATOR(pg_catalog.>) {right};
