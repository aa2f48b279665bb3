//! Settings that a database, a role or a server has for whoever connects: they change nothing of what is restored, and the
//! restored database has its own again.

use std::path::PathBuf;

use e2e::postgres::Version;
use e2e::{Cluster, Program, Scratch, Seen, backup, compare, sample};

/// Values that come back as others where settings change how they are read.
const VALUES: &str = r#"
create role owner_ nologin; create role other;
create database shop owner owner_;
\connect shop
create table public.t (a text[], i interval, n int, x xml);
insert into public.t values ('{a,NULL}', '-1 day -2:03', null, xmlparse(content 'a')), ('{"NULL",b}', '3 mons -4 days', 1, null);
alter table public.t owner to other;
create view public.nothing as select count(*) filter (where n = null) as equal from public.t;
create table public.filled as select i, md5(i::text) m from generate_series(1, 60000) i;
create index on public.filled (m);
create schema evil;
create function evil.count(anyelement) returns int language sql as 'select 1';
create function evil.same(text, text) returns boolean language sql as 'select false';
create operator evil.= (leftarg = text, rightarg = text, function = evil.same);
create view evil.pg_class as select 1 as oid;
create view evil.pg_settings as select 'a' as name;
alter database shop set timezone = 'Asia/Kathmandu';
alter database shop set "app.tenant" = 'it''s "x" \';
\connect shop
create materialized view public.tenant as select current_setting('app.tenant') as tenant, to_char(timestamptz '2025-06-01 00:00Z', 'HH24 TZH') as here;
alter database shop set array_nulls = off;
alter database shop set intervalstyle = 'sql_standard';
alter database shop set transform_null_equals = on;
alter database shop set xmloption = 'document';
alter database shop set standard_conforming_strings = off;
alter database shop set backslash_quote = off;
alter database shop set search_path = evil, pg_catalog;
alter database shop set temp_file_limit = '1MB';
alter database shop set maintenance_work_mem = '1MB';
alter database shop set max_parallel_maintenance_workers = 0;
alter database shop set statement_timeout = 2000;
alter database shop set lock_timeout = 1;
alter database shop set default_transaction_read_only = on;
alter database shop set default_transaction_isolation = 'serializable';
alter database shop set default_transaction_deferrable = on;
alter database shop set session_replication_role = 'replica';
alter database shop set client_min_messages = 'debug5';
alter database shop set role = owner_;
alter database shop connection limit 7;
alter role other in database shop set work_mem = '9MB';
alter role all in database shop set application_name = 'all';
"#;

/// What was restored, seen by a session that is not changed by settings.
const SEEN: &str = "set role none; set statement_timeout = 0; set search_path = pg_catalog; set intervalstyle = postgres;
 select string_agg(format('%s|%s|%s|%s', a, array_position(a, null), i, x), ';' order by i) from public.t;
 select equal from public.nothing; select count(*) from public.filled; select tenant || here from public.tenant;";
const SETTINGS: &str = "select string_agg(format('%s %s %s', setrole::regrole, setdatabase <> 0, c), E'\n' order by setrole::regrole::text, c)
 from pg_db_role_setting, unnest(setconfig) c";

fn first(settings: &str) -> Cluster {
    let cluster = Cluster::with(Version::debian(), &[], "app.tenant = 'nobody'\n");
    sample::load(&cluster, VALUES);
    sample::load(&cluster, settings);
    cluster
}

fn restore(backup: &PathBuf, cluster: &Cluster) -> Program {
    Program::new("restore-stream").arg(backup).on(cluster)
}

/// As it was, settings included.
#[track_caller]
fn came_back(first: &Cluster, second: &Cluster, seen: &Seen) {
    let see = |cluster: &Cluster| {
        let settings = cluster.sql("postgres", SETTINGS);
        (cluster.sql("shop", SEEN), settings)
    };
    assert_eq!(see(first), see(second), "{seen}");
    let limit = "select datconnlimit from pg_database where datname = 'shop'";
    assert_eq!(second.sql("postgres", limit), "7", "{seen}");
}

#[test]
fn a_database_s_own_settings_change_nothing() {
    let first = first("");
    let dir = Scratch::new();
    let own = backup::dump(&first, dir.path());
    let foreign = dir.join("postgresql_backup_20250101_000000.sql.gz");
    Program::sh("PGOPTIONS='-c role=postgres' pg_dumpall | gzip")
        .on(&first)
        .stdout_file(&foreign)
        .succeeds();
    for path in [&own, &foreign] {
        let second = Cluster::start();
        let seen = restore(path, &second).succeeds();
        came_back(&first, &second, &seen);
        // Over what is there, whose settings are the same.
        let seen = restore(path, &second)
            .args(["--database", "shop", "--replace", "--drop-old", "--yes"])
            .succeeds();
        came_back(&first, &second, &seen);
        assert_eq!(second.databases(), ["postgres", "shop"]);
    }
    // The dump is the same although whoever connects is made another role.
    let again = backup::dump(&first, dir.make("again"));
    compare::same_text(
        ("the first dump", backup::divide(&backup::gunzip(&own)).0),
        ("the second", backup::divide(&backup::gunzip(&again)).0),
    );
}

/// The same of a role, of the server, and of the database that is restored in place.
#[test]
fn settings_of_roles_and_servers_change_nothing() {
    let first = first("");
    let dir = Scratch::new();
    let path = backup::dump(&first, dir.path());
    let settings = "array_nulls = off\nintervalstyle = 'sql_standard'\ntransform_null_equals = on\nxmloption = 'document'\nstandard_conforming_strings = off\ntemp_file_limit = '1MB'\nmaintenance_work_mem = '1MB'\nsearch_path = 'evil, pg_catalog'\ndefault_transaction_read_only = on\n";
    let second = Cluster::with(Version::debian(), &[], settings);
    let seen = restore(&path, &second).succeeds();
    let values = |cluster: &Cluster| cluster.sql("shop", SEEN);
    assert_eq!(values(&first), values(&second), "{seen}");
    let third = Cluster::start();
    for setting in [
        "array_nulls = off",
        "intervalstyle = sql_standard",
        "standard_conforming_strings = off",
        "role = pg_monitor",
    ] {
        third.sql("postgres", &format!("alter role postgres set {setting}"));
    }
    let seen = restore(&path, &third).succeeds();
    assert_eq!(values(&first), values(&third), "{seen}");
}

/// `postgres` keeps its own settings too, and is filled without them.
#[test]
fn settings_of_a_database_in_place() {
    let old = r#"--
-- PostgreSQL database cluster dump
--

CREATE ROLE bob;
ALTER DATABASE postgres SET array_nulls TO 'off';
ALTER DATABASE postgres SET role TO 'bob';
ALTER ROLE bob IN DATABASE postgres SET work_mem TO '9MB';

\connect postgres

--
-- PostgreSQL database dump
--

CREATE TABLE public.t (a text[]);
\connect postgres
COPY public.t FROM stdin;
{a,NULL}
\.

--
-- PostgreSQL database dump complete
--

--
-- PostgreSQL database cluster dump complete
--

"#;
    let dir = Scratch::new();
    let path = dir.join("postgresql_backup_20250101_000000.sql.gz");
    Program::other("gzip")
        .arg("-c")
        .stdin(old)
        .stdout_file(&path)
        .succeeds();
    let cluster = Cluster::start();
    restore(&path, &cluster).succeeds();
    let nulls = "set role postgres; select a[2] is null from public.t";
    assert_eq!(cluster.sql("postgres", nulls), "t");
    assert_eq!(
        cluster.sql("template1", SETTINGS),
        "- t array_nulls=off\n- t role=bob\nbob t work_mem=9MB"
    );
}

/// A setting that the server refuses is seen before a byte is loaded, and not hours later.
#[test]
fn a_setting_that_cannot_be_is_seen_first() {
    let first = first("alter database shop set work_mem = '5MB';");
    let dir = Scratch::new();
    let sql = backup::gunzip(backup::dump(&first, dir.path()));
    let sql = String::from_utf8(sql)
        .unwrap()
        .replace("work_mem TO '5MB'", "no_such_setting TO '5MB'");
    let cut = sql.find("COPY public.filled").unwrap();
    let path = dir.join("postgresql_backup_20250101_000000.sql.gz");
    // It ends in the middle of the rows: whoever came to them would say so.
    Program::other("gzip")
        .arg("-c")
        .stdin(&sql[..cut + 100])
        .stdout_file(&path)
        .succeeds();
    let second = Cluster::start();
    let seen = restore(&path, &second)
        .arg("--database")
        .arg("shop")
        .arg("--no-owners")
        .run();
    assert_eq!(seen.code(), Some(1), "{seen}");
    seen.says("no_such_setting");
    assert_eq!(second.databases(), ["postgres"]);
}
