-- What the sessions of a parallel restore could get in each other's way with.
\set QUIET on
create role keeper;
create database intricate;
\connect intricate
set client_min_messages = error;
create extension hstore;

-- Foreign keys in a circle, and on itself.
create table chicken (id integer primary key, egg integer);
create table egg (id integer primary key, chicken integer references chicken, laid_by integer references egg);
insert into chicken select i, i from generate_series(1, 500) i;
insert into egg select i, i, nullif(i - 1, 0) from generate_series(1, 500) i;
alter table chicken add foreign key (egg) references egg deferrable initially deferred;

-- Partitions over several levels, with indexes that are attached, and foreign keys from and to them.
create table region (id integer primary key, name text unique);
insert into region select i, 'region ' || i from generate_series(1, 20) i;
create table sale (id integer, region integer references region, at date, note text, primary key (region, id))
    partition by list (region);
create table sale_1 partition of sale for values in (1, 2, 3) partition by range (id);
create table sale_1_a partition of sale_1 for values from (0) to (1000);
create table sale_1_b partition of sale_1 for values from (1000) to (3000);
create table sale_2 partition of sale for values in (4, 5);
create table sale_rest partition of sale default partition by hash (id);
create table sale_rest_0 partition of sale_rest for values with (modulus 2, remainder 0);
create table sale_rest_1 partition of sale_rest for values with (modulus 2, remainder 1);
insert into sale select i, 1 + i % 20, date '2025-01-01' + i % 365, repeat('note ', 10)
from generate_series(1, 2500) i;
create index on sale (at);
create index on sale_2 (note);
create unique index on sale_rest_0 (region, id, at);
create table refund (sale integer, region integer, foreign key (region, sale) references sale (region, id));
insert into refund select id, region from sale where id % 7 = 0;
create table complaint (refund integer, region integer references region, sale integer,
    foreign key (region, sale) references sale (region, id));
insert into complaint select 1, region, id from sale where id % 11 = 0;

-- Inheritance, with constraints on all levels.
create table being (id integer not null, born date, check (id > 0));
create table person (name text, primary key (id)) inherits (being);
create table pupil (school text) inherits (person);
insert into being values (1, '2020-01-01');
insert into person select i, '1990-01-01', 'person ' || i from generate_series(2, 300) i;
insert into pupil select i, '2010-01-01', 'pupil ' || i, 'school' from generate_series(301, 600) i;
create index on being (born);
alter table pupil add primary key (id);

-- Code that reads other tables: in a check, in a domain, in a generated column, in an index.
create table allowed (name text primary key);
insert into allowed values ('a'), ('b'), ('c');
create function is_allowed(text) returns boolean language sql immutable as
    'select exists (select from public.allowed where name = $1)';
create table checked (id integer, name text check (public.is_allowed(name)));
insert into checked select i, chr(97 + i % 3) from generate_series(1, 1000) i;
create function place(text) returns bigint language sql immutable as
    'select count(*) from public.allowed where name <= $1';
create table zoo (name text, place bigint generated always as (public.place(name)) stored);
insert into zoo select chr(97 + i % 3) from generate_series(1, 100) i;
create index by_place on checked (public.place(name));
create index only_allowed on checked (id) where public.is_allowed(name);

-- What is said of indexes and constraints.
create table described (id integer not null, other integer not null, during tsrange,
    constraint described_key unique (other), constraint apart exclude using gist (during with &&));
insert into described select i, -i, tsrange(timestamp '2025-01-01' + i * interval '1 day',
    timestamp '2025-01-01' + (i + 1) * interval '1 day') from generate_series(1, 200) i;
create unique index described_id on described (id);
create index described_expression on described ((id + other), (id * 2));
alter index described_expression alter column 1 set statistics 500;
comment on index described_id is E'it''s \\connect postgres\n-- Data for Name: x; Type: TABLE DATA';
comment on constraint described_key on described is 'a key';
comment on constraint apart on described is 'apart';
alter table described replica identity using index described_id;
alter table described cluster on described_key;

-- Materialized views on each other, views in a circle with rules, event triggers, policies, publications.
create materialized view counted as select region, count(*) as n from sale group by region;
create unique index on counted (region);
create materialized view summed as select sum(n) from counted;
create view first_view as select 1 as a;
create view second_view as select a from first_view;
create or replace view first_view as select a from (select 1 as a) x;
create rule a_rule as on insert to second_view do instead insert into allowed values (new.a::text);
create function touched() returns trigger language plpgsql as $$
begin
    -- Not at a restore.
    insert into public.allowed values ('touched'); return new;
end $$;
create trigger a_trigger before insert on checked for each row execute function touched();
create constraint trigger late after insert on zoo deferrable for each row execute function touched();
alter table zoo disable trigger late;
create function on_ddl() returns event_trigger language plpgsql as $$ begin perform 1; end $$;
create event trigger watcher on ddl_command_end execute function on_ddl();
create policy mine on checked using (id > 0);
alter table checked enable row level security;
alter table checked force row level security;
create publication everything for all tables;
create publication a_few for table checked, region;
create statistics of_sale (dependencies) on region, id from sale;
grant select on checked to keeper;
grant select (id) on sale_1_a to keeper;
alter default privileges for role keeper grant select on tables to public;

-- Names.
create schema "COPY public.t (a) FROM stdin;";
create table "COPY public.t (a) FROM stdin;"."select" (id integer primary key, "from stdin" text);
insert into "COPY public.t (a) FROM stdin;"."select" values (1, '\.'), (2, E'\n\\.\n'), (3, E'\\connect postgres');
create table "two
lines" ("a ""b"".c" integer primary key);
insert into "two
lines" select i from generate_series(1, 10) i;
create schema other;
create table other.region (id integer primary key, of integer references public.region);
insert into other.region select i, i from generate_series(1, 20) i;
create table other."Region.id" (id integer);
insert into other."Region.id" values (1);
create index on other."Region.id" (id);
create function text_of_a_dump() returns text language sql as $$
select '
\connect postgres
--
-- Data for Name: region; Type: TABLE DATA; Schema: public; Owner: postgres
--

COPY public.region (id, name) FROM stdin;
99	not a row
\.
'
$$;

-- Rows and values beside them.
create table numbered (id bigint generated by default as identity, t text);
insert into numbered (t) select repeat('x', 100) from generate_series(1, 20000);
create index on numbered (id);
create index on numbered (t, id);
create sequence loose start 5;
select nextval('loose') \g /dev/null
create table placed (id integer primary key using index tablespace fast, t text) tablespace fast;
insert into placed select i, 'x' from generate_series(1, 3000) i;
create index on placed (t) tablespace fast;
create index on placed (id, t);
create unlogged table fleeting as select i from generate_series(1, 10) i;
create table nothing ();
create table no_rows (id integer primary key);
select lo_from_bytea(5000 + i, sha256(i::text::bytea)) from generate_series(1, 50) i \g /dev/null
grant select on large object 5001 to keeper;
comment on large object 5002 is 'an object';
