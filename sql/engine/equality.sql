-- Comparisons of the migration's own values: never by an operator that is found by its name alone (S2).

-- name: same_value -- two values of types that compare by PostgreSQL's own operator: no schema but pg_catalog is looked into
{left} OPERATOR(pg_catalog.=) {right};

-- name: same_value_by_own -- two values of a type with an operator of its own (citext): that of its default operator class, for exactly its type
CAST({left} AS {type}) {operator} CAST({right} AS {type});

-- name: absent -- no value at all: of a composite value whose fields are all NULL, IS NULL says the same, and it is one
({value} IS NOT DISTINCT FROM NULL);

-- name: present -- a value, if only one of fields that are NULL (IS NOT NULL asks every field of a composite)
({value} IS DISTINCT FROM NULL);

-- name: later_than -- one time after another
{left} OPERATOR(pg_catalog.>) {right};
