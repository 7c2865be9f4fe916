"""Types of columns and nasty values of each, as the text that PostgreSQL reads. Nothing here knows the pipeline."""

from __future__ import annotations

from dataclasses import dataclass

from aicfg_pipeline_tests.generated.dice import Dice

SECRET = "zQsecret"
"""Stands in every text that is no key: no message of the pipeline may hold it."""

NASTY = (
    "",
    "NULL",
    "null",
    " ",
    "\t\n\r\\.\n",
    "'\"\\",
    '{a,"b",NULL}',
    "$$;--",
    "%s %(x)s {0} {x}",
    "<script>",
    "Ünï → 漢字 🙈",
    "\u200b\ufeff",
    "x" * 3000,
    "(1,2)",
    "\\x00",
    "e\u0301",
)


@dataclass(frozen=True)
class Kind:
    """A kind of column: its type, and values that may stand in it."""

    type: str
    values: tuple[str, ...]
    text: bool = False
    ordered: bool = True  # has a btree


def _texts(*more: str) -> tuple[str, ...]:
    return tuple(SECRET + n for n in (*NASTY, *more))


KINDS: dict[str, Kind] = {
    "smallint": Kind("smallint", ("0", "1", "-32768", "32767", "7")),
    "integer": Kind("integer", ("0", "-1", "2147483647", "-2147483648", "42", "1004")),
    "bigint": Kind("bigint", ("0", "5", "9223372036854775807", "-9223372036854775808", "5000000000")),
    "numeric": Kind(
        "numeric", ("0", "-0.0", "1.50", "1.5", "NaN", "Infinity", "123456789012345678901234567890.1234567890")
    ),
    "numeric(10,2)": Kind("numeric(10,2)", ("0", "1.50", "9.99", "3.00", "99999999.99", "NaN")),
    "numeric(4,1)": Kind("numeric(4,1)", ("0", "1.5", "999.9", "2.0")),
    "real": Kind("real", ("0", "-0", "1.5", "0.1", "NaN", "Infinity", "-Infinity", "3.4028235e+38")),
    "double precision": Kind("double precision", ("0", "-0", "0.30000000000000004", "1e-300", "NaN", "Infinity", "2")),
    "money": Kind("money", ("0", "12.34", "-1")),
    "text": Kind("text", _texts(), text=True),
    "varchar(12)": Kind("varchar(12)", tuple(SECRET + n for n in ("", "NULL", " ", "漢字", "a", "\\")), text=True),
    "varchar": Kind("varchar", _texts(), text=True),
    "char(11)": Kind("char(11)", (SECRET, SECRET + "a", SECRET + "  "), text=True),
    "citextish": Kind("public.citextish", (SECRET + "A", SECRET + "a", SECRET), text=True),
    "boolean": Kind("boolean", ("t", "f")),
    "uuid": Kind("uuid", ("00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff")),
    "date": Kind("date", ("2026-01-14", "0001-01-01 BC", "infinity", "9999-12-31")),
    "timestamp": Kind(
        "timestamp",
        ("2026-01-14 12:00:00", "2026-01-14 00:00:00", "infinity", "-infinity", "2026-03-29 02:30:00.123456"),
    ),
    "timestamptz": Kind(
        "timestamptz", ("2026-01-14 12:00:00+00", "infinity", "2026-10-25 00:30:00+00", "0044-03-15 12:00:00+00 BC")
    ),
    "timestamptz(0)": Kind("timestamptz(0)", ("2026-01-14 12:00:00+00", "2026-01-14 12:00:01+00")),
    "time": Kind("time", ("00:00:00", "24:00:00", "12:34:56.789")),
    "timetz": Kind("timetz", ("00:00:00+01", "12:34:56.789-05:30")),
    "interval": Kind("interval", ("1 mon 2 days 03:04:05.6", "-1 year", "0", "30 days", "1 mon")),
    "bytea": Kind("bytea", ("\\x", "\\x00ff", "\\x" + SECRET.encode().hex())),
    "json": Kind("json", ('{"a":1,  "a":2}', "null", f'["{SECRET}"]', "1.0", '{"x": "\\u0041"}'), ordered=False),
    "jsonb": Kind("jsonb", ('{"a": 1}', "null", f'["{SECRET}", null]', "1.0", "{}")),
    "integer[]": Kind("integer[]", ("{}", "{1,NULL,3}", "[0:1]={1,2}", "{{1,2},{3,4}}")),
    "text[]": Kind("text[]", ("{}", f'{{{SECRET},NULL,"NULL",""}}', '{"a\\"b","c,d"}', "[2:3]={x,NULL}")),
    "varchar(9)[]": Kind("varchar(9)[]", ("{}", "{x,NULL}", '{"NULL"}')),
    "mood": Kind('public."Mood"', ("glad", "so so", "it's")),
    "mood[]": Kind('public."Mood"[]', ("{}", '{glad,NULL,"so so"}')),
    "positive": Kind("public.positive", ("1", "77")),
    "couple": Kind("public.couple", ('(1,"a ""b"" (c)")', "(,)", '(2,"")')),
    "inet": Kind("inet", ("10.0.0.1/8", "::1", "10.0.0.1")),
    "macaddr": Kind("macaddr", ("08:00:2b:01:02:03",)),
    "bit(3)": Kind("bit(3)", ("101", "000")),
    "varbit": Kind("varbit", ("", "10101")),
    "int4range": Kind("int4range", ("empty", "[1,5)", "(,)")),
    "tstzrange": Kind("tstzrange", ("empty", '["2026-01-14 00:00:00+00",infinity)')),
    "point": Kind("point", ("(1,2)", "(-0,NaN)"), ordered=False),
    "tsvector": Kind("tsvector", (f"'a':1A '{SECRET}':2",)),
    "pg_lsn": Kind("pg_lsn", ("0/0", "16/B374D848")),
    "name": Kind("name", (SECRET,), text=True),
    "oid": Kind("oid", ("0", "4294967295")),
}

KEYS = ("integer", "bigint", "uuid", "text", "smallint", "numeric", "timestamptz", "date", "varchar(12)")
"""Kinds of columns that a key may have."""

CHANGES: dict[tuple[str, str], tuple[str, ...]] = {
    # kind of the new column, kind of the old: values (of the new) that come back as they were
    ("bigint", "integer"): ("0", "-1", "2147483647"),
    ("integer", "bigint"): ("0", "-1", "2147483647"),
    ("smallint", "integer"): ("0", "7", "-32768"),
    ("integer", "smallint"): ("0", "7", "-32768"),
    ("integer", "numeric"): ("0", "-1", "42"),
    ("integer", "numeric(10,2)"): ("0", "-1", "42"),
    ("numeric(10,2)", "integer"): ("0.00", "3.00", "-1.00"),
    ("numeric", "numeric(10,2)"): ("0.00", "1.50", "3.25"),
    ("numeric(10,2)", "numeric"): ("0.00", "1.50", "3.25"),
    ("numeric(4,1)", "numeric(10,2)"): ("0.0", "1.5"),
    ("real", "double precision"): ("0", "-0", "1.5", "NaN"),
    ("double precision", "real"): ("0", "1.5", "Infinity"),
    ("double precision", "numeric"): ("0", "1.5", "2"),
    ("text", "varchar(12)"): (SECRET, SECRET + "a", SECRET + "漢字"),
    ("varchar(12)", "text"): (SECRET, SECRET + "a"),
    ("text", "varchar"): _texts(),
    ("varchar", "text"): _texts(),
    ("text", "citextish"): (SECRET, SECRET + "A"),
    ("citextish", "text"): (SECRET, SECRET + "A"),
    ("text", "mood"): ("glad", "so so"),
    ("mood", "text"): ("glad", "it's"),
    ("text", "uuid"): ("00000000-0000-0000-0000-000000000000",),
    ("uuid", "text"): ("ffffffff-ffff-ffff-ffff-ffffffffffff",),
    ("jsonb", "json"): ("null", "{}", '{"a": 1}'),
    ("json", "jsonb"): ("null", "{}", '{"a": 1}'),
    ("text", "jsonb"): ("null", "{}"),
    ("timestamp", "date"): ("2026-01-14 00:00:00", "infinity"),
    ("date", "timestamp"): ("2026-01-14",),
    ("timestamptz", "timestamp"): ("2026-01-14 12:00:00+00",),
    ("timestamp", "timestamptz"): ("2026-01-14 12:00:00",),
    ("timestamptz", "timestamptz(0)"): ("2026-01-14 12:00:00+00",),
    ("timestamptz(0)", "timestamptz"): ("2026-01-14 12:00:00+00",),
    ("boolean", "text"): ("true", "false"),
    ("boolean", "integer"): ("t", "f"),
    ("text[]", "varchar(9)[]"): ("{}", "{x,NULL}", '{"NULL"}'),
    ("integer", "positive"): ("1", "77"),
    ("positive", "integer"): ("1", "77"),
    ("varbit", "bit(3)"): ("101",),
    ("inet", "text"): ("10.0.0.1/8",),
}
"""Changes of type that a migration makes, with values for which going back and forth again gives the same."""


def value(dice: Dice, kind: str, *, only: tuple[str, ...] | None = None) -> str:
    """Return a value of a kind."""
    return dice.pick(only or KINDS[kind].values)


def key_value(kind: str, number: int) -> str:
    """Return the value of a key column of the row with this number: different numbers, different values."""
    plain = {
        "integer": 1 + number * 3,
        "bigint": 5_000_000_000 + number,
        "smallint": number - 3,
        "numeric": f"{number}.50",
    }
    if kind in plain:
        return str(plain[kind])
    others = {
        "uuid": f"00000000-0000-4000-8000-{number:012d}",
        "text": f"key {number} '\"\\ 漢",
        "varchar(12)": f"k'{number}\"",
        "timestamptz": f"2026-01-{1 + number % 28:02d} 00:00:00.{number:06d}+00",
        "date": f"{1000 + number % 8000}-01-01",
    }
    return others[kind]
