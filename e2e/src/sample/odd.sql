-- What a catalog can hold and a dump must bring back.
\set QUIET on
create role boss superuser login password 'scram';
set password_encryption = 'md5';
create role "old md5" login password 'md5';
reset password_encryption;
create role "no password" login noinherit nocreatedb connection limit 3;
create role "it's a ""role"" \ $1 ; -- 役 😀" login createrole password E'\\''"$\\' valid until 'infinity';
create role " leading and trailing " bypassrls replication;
create role "a group";
create role "a group of groups" in role "a group";
grant "a group" to "old md5" with admin option;
grant "a group of groups" to "it's a ""role"" \ $1 ; -- 役 😀";
alter role "old md5" set search_path = "$user", 'a b', 'it''s';
alter role boss set application_name = E'quo''te\\back';
comment on role "a group" is E'two\nlines; \\connect postgres\n\\connect postgres\n-- Database "x" dump';

comment on database postgres is 'the one that is always there';
create database "everything" owner boss connection limit 20;
create database "latin" template template0 encoding 'LATIN1' lc_collate 'C' lc_ctype 'C';
create database "a template" is_template true;
create database "closed" allow_connections false;
alter database everything set work_mem = '8MB';
alter database everything set search_path = public, "Odd ""Schema""";
alter role "old md5" in database everything set lock_timeout = '3s';
alter role all in database everything set datestyle = 'ISO, DMY';
revoke connect on database everything from public;
grant connect, temporary on database everything to "a group" with grant option;

\connect template1
create table "in template1" as select i from generate_series(1, 3) i;

\connect postgres
create table "in postgres" as select i from generate_series(1, 3) i;

\connect latin
create table "Größe" (t text);
insert into "Größe" values ('äöüß'), (E'\\.'), ('\N');

\connect everything
create extension btree_gist;
create extension citext;
create extension cube;
create extension earthdistance;
create extension hstore;
create extension intarray;
create extension isn;
create extension ltree;
create extension pg_stat_statements;
create extension pg_trgm;
create extension pgcrypto;
create extension postgres_fdw;
create extension tablefunc;
create extension unaccent;
create extension "uuid-ossp";
comment on extension hstore is 'not the usual comment';

create schema "Odd ""Schema""" authorization boss;
create schema empty;
create domain positive as integer check (value > 0);
create type mood as enum ('sad', 'it''s ok', E'back\\slash');
create type pair as (a integer, b text collate "C");
create type span as range (subtype = float8);
create collation german (provider = libc, locale = 'C');
create sequence "a sequence" as smallint increment -2 maxvalue 100 start 99 cycle;
select nextval('"a sequence"') \g /dev/null

create table "Table; drop table ""x"" -- \connect" (
    "column "" with ' all" integer primary key,
    "UPPER" citext unique,
    " " hstore,
    "ü" mood default 'it''s ok',
    twice integer generated always as ("column "" with ' all" * 2) stored,
    "when" timestamptz default '2025-01-01 00:00+00',
    some_pair pair,
    spans span[]
);
insert into "Table; drop table ""x"" -- \connect" ("column "" with ' all", "UPPER", " ", some_pair, spans)
select i, 'Row' || i, hstore('k' || i, E'v\\'), row(i, 'tab' || chr(9) || 'here')::pair, array[span(i, i + 1)]
from generate_series(1, 50) i;
comment on table "Table; drop table ""x"" -- \connect" is E'\\connect postgres\nmore; $$ $a$ '' ';

create table tricky (id serial primary key, t text);
insert into tricky (t) values
    (''), (null), ('\N'), ('\\N'), ('\.'), (E'\n\\.\n'), (E'\n\\connect postgres\n'), ('\connect postgres'),
    (E'\r'), (E'\r\n'), (E'\t'), (E'\v\b\f'), (E'\x01\x7f'), ('--'), ('$$'), (''''), ('"'),
    (E'--\n-- Database "postgres" dump\n--\n\n\\connect postgres\n'),
    (E'--\n-- PostgreSQL database cluster dump complete\n--\n\n'),
    (E'-- index of this backup, one JSON object per line (format.md)\n'),
    (E'\\unrestrict e2e\n'), ('😀 数据库 ñ'), (repeat('\', 3)), (E'COPY public.tricky (id, t) FROM stdin;\n');
create table backslashes as select i, rpad(repeat('\', 1 + i % 40), 40, 'x') as t from generate_series(1, 20000) i;
create table nothing ();
create table "no rows" (a integer);

create table parent (id integer, at date) partition by list (id);
create table child1 partition of parent for values in (1);
create table child_default partition of parent default;
insert into parent select 1 + i % 3, date '2025-01-01' + i from generate_series(1, 30) i;
create table base (a integer not null);
create table derived (b text) inherits (base);
create table self_reference (id integer primary key, up integer references self_reference deferrable initially deferred);
insert into self_reference values (1, null), (2, 1), (3, 2);
create unlogged table fleeting as select 1 as a;
create table excluded (during tsrange, exclude using gist (during with &&));
create index "an index" on tricky using gin (t gin_trgm_ops) where t <> '';
create statistics some_statistics (dependencies) on id, at from parent;
cluster self_reference using self_reference_pkey;

create function "a function"(text, variadic integer[] default '{}') returns text language sql immutable
    as 'select $1 || ''
\connect postgres
''';
create function touch() returns trigger language plpgsql as $$ begin return new; end $$;
create procedure "a procedure"() language sql begin atomic insert into base values (1); end;
create trigger "a trigger" before insert on tricky for each row execute function touch();
create rule "a rule" as on update to "no rows" do also notify "a channel";
create view "a view" as select id, t from tricky where t like '%''%' with check option;
create materialized view summary as select id, count(*) as n from parent group by id order by id;
create materialized view "not yet" as select 1 as one with no data;
create recursive view deep (n) as values (1) union all select n + 1 from deep where n < 5;
create policy "a policy" on tricky for select to "a group" using (id > 0);
alter table tricky enable row level security;
create publication "a publication" for table tricky;
create server far foreign data wrapper postgres_fdw options (host 'nowhere', dbname 'it''s');
create user mapping for boss server far options (user 'u', password 'not \ ours');
create foreign table distant (a integer) server far;
create function on_ddl() returns event_trigger language plpgsql as $$ begin null; end $$;
create event trigger "an event trigger" on ddl_command_end when tag in ('CREATE DOMAIN') execute function on_ddl();
create operator === (leftarg = integer, rightarg = integer, function = int4eq, commutator = ===);
create aggregate total (integer) (sfunc = int4pl, stype = integer, initcond = '0');
create cast (mood as integer) with inout;
create text search configuration ours (copy = simple);

alter table "no rows" owner to "it's a ""role"" \ $1 ; -- 役 😀";
grant select (id), update (t) on tricky to "a group" with grant option;
grant insert on tricky to public;
grant usage on schema "Odd ""Schema""" to "old md5";
alter default privileges for role boss in schema "Odd ""Schema""" grant select on tables to "a group";
alter default privileges revoke execute on functions from public;
revoke all on function "a function"(text, integer[]) from public;
grant execute on function "a function"(text, integer[]) to "no password";
grant set on parameter work_mem to "a group";

select lo_from_bytea(4711, decode('00ff5c27220a0d5c2e0a', 'hex')) \g /dev/null
select lo_from_bytea(4712, string_agg(sha256(i::text::bytea), '' order by i)) from generate_series(1, 100000) i \g /dev/null
select lo_create(4713) \g /dev/null
comment on large object 4711 is E'it''s\n\\connect postgres';
alter large object 4711 owner to boss;
grant select on large object 4712 to "a group";
