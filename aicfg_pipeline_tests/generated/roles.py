"""Roles of the cluster that the worlds share, and what lies in each database before a world is built in it."""

from __future__ import annotations

import psycopg

from aicfg_pipeline_tests.generated.world import q

OWNERS = ("gen_keeper", 'Gen "Keeper"', "gen_bypass")
MEMBERS = {owner: f"{owner}_member" for owner in OWNERS}
LONG = "gen_" + "r" * 59
GRANTEES = ("gen_anon", 'Quoted "Role"', "UPPER", LONG, "gen-dash", "gen_group", "gen_reader")
OTHER = "gen_other_owner"
USERS = [f"00000000-0000-0000-0000-00000000000{n}" for n in range(1, 5)]
CODES = ["a", "B'", "Ü", ""]


def make_roles(connection: psycopg.Connection) -> None:
    """Make the roles, once on a server."""
    for owner in OWNERS:
        more = " BYPASSRLS" if owner == "gen_bypass" else ""
        connection.execute(
            f"CREATE ROLE {q(owner)} LOGIN{more}; CREATE ROLE {q(MEMBERS[owner])} LOGIN IN ROLE {q(owner)}{more}"
        )
    for role in GRANTEES:
        connection.execute(f"CREATE ROLE {q(role)} LOGIN")
    connection.execute(f"CREATE ROLE {OTHER}; GRANT gen_group TO gen_reader")


BASE = f"""
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
CREATE SCHEMA auth AUTHORIZATION {OTHER};
CREATE SCHEMA extensions;
GRANT USAGE ON SCHEMA auth, extensions TO PUBLIC;
GRANT ALL ON SCHEMA public TO {", ".join(map(q, OWNERS))};
GRANT USAGE ON SCHEMA public TO PUBLIC;
CREATE TYPE public."Mood" AS ENUM ('glad', 'so so', 'it''s');
CREATE TYPE public.couple AS (n integer, word text);
CREATE DOMAIN public.positive AS integer CHECK (VALUE > 0);
CREATE DOMAIN public.citextish AS text CHECK (length(VALUE) < 4000);
CREATE FUNCTION public.shared_touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN coalesce(NEW, OLD); END $$;
CREATE TABLE auth.users (id uuid PRIMARY KEY, email text);
INSERT INTO auth.users SELECT ('00000000-0000-0000-0000-00000000000' || n)::uuid FROM generate_series(1, 4) n;
CREATE TABLE public.orgs (id integer PRIMARY KEY, label text);
INSERT INTO public.orgs SELECT n, 'org' FROM generate_series(1, 4) n;
CREATE TABLE public."Ref T" (code text PRIMARY KEY);
INSERT INTO public."Ref T" VALUES ('a'), ('B'''), ('Ü'), ('');
CREATE TABLE public.bystander (id integer PRIMARY KEY, word text);
INSERT INTO public.bystander VALUES (1, 'x');
CREATE TRIGGER by BEFORE UPDATE ON public.bystander FOR EACH ROW EXECUTE FUNCTION public.shared_touch();
ALTER TABLE auth.users OWNER TO {OTHER};
GRANT SELECT, REFERENCES ON auth.users, public.orgs, public."Ref T" TO {", ".join(map(q, OWNERS))};
"""
