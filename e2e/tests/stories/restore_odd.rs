//! Odd databases: encodings, collations, limits, settings that are in a restore's own way, what cannot be dropped.

use std::path::{Path, PathBuf};

use e2e::{Cluster, Program, Scratch, backup, compare, sample};

const ODD: &str = r#"
create role app login password 'x';
create database icu template template0 locale_provider icu icu_locale 'de-DE';
create database eucjp template template0 encoding 'EUC_JP' lc_collate 'C' lc_ctype 'C';
create database ascii template template0 encoding 'SQL_ASCII' lc_collate 'C' lc_ctype 'C';
create database latin template template0 encoding 'LATIN1' lc_collate 'C' lc_ctype 'C';
create database nobody connection limit 0;
create database template is_template true connection limit 5 owner app;
create database still;
create database replicated;
comment on database latin is 'größer';
alter role app in database template set search_path = 'a', 'b "c"';
\connect icu
create table t (a text);
insert into t values ('ä'), ('z');
create index on t (a);
\connect eucjp
set client_encoding = 'UTF8';
create table 日本 (本 text default '日');
insert into 日本 values ('日本');
\connect ascii
set client_encoding = 'SQL_ASCII';
create table x (a text);
insert into x values (E'\xe4\xff'), ('\.');
create table "two
lines" (a text);
\connect latin
set client_encoding = 'UTF8';
create table "Größe" ("ß" text default 'äö');
insert into "Größe" values ('é');
\connect nobody
create table t as select 1 as a;
\connect template
create table t as select 1 as a;
\connect still
create table t as select i from generate_series(1, 10) i;
select lo_from_bytea(4711, 'large') \g /dev/null
alter database still set default_transaction_read_only = on;
alter database still set client_min_messages = 'error';
alter database still set standard_conforming_strings = off;
\connect replicated
create schema evil;
create function evil.f() returns text language sql security definer
    set search_path = evil, "a ""b", pg_temp as 'select ''x''::text';
create function f() returns event_trigger language plpgsql as $$ begin raise notice 'ddl'; end $$;
create event trigger e on ddl_command_start execute function f();
create table parts (a integer, b text) partition by hash (a);
create table part0 partition of parts for values with (modulus 2, remainder 0);
create table part1 partition of parts for values with (modulus 2, remainder 1);
insert into parts select i, 'row' from generate_series(100, 199) i;
set client_min_messages = error;
create publication everything for all tables;
create subscription far connection 'host=nowhere dbname=x' publication p with (connect = false);
"#;

const NAMES: [&str; 8] = [
    "ascii",
    "eucjp",
    "icu",
    "latin",
    "nobody",
    "replicated",
    "still",
    "template",
];

fn odd() -> Cluster {
    let cluster = Cluster::start();
    sample::load(&cluster, ODD);
    cluster
}

fn restore(backup: &Path, cluster: &Cluster) -> Program {
    Program::new("restore-stream").arg(backup).on(cluster)
}

/// What of a database its own dump does not say.
fn about(cluster: &Cluster, name: &str) -> String {
    let sql = format!(
        "select datname, pg_get_userbyid(datdba), encoding, datcollate, datlocprovider, daticulocale, datistemplate,
                datconnlimit, datacl, shobj_description(oid, 'pg_database'),
                (select array_agg((setrole, setconfig) order by 1) from pg_db_role_setting where setdatabase = d.oid)
         from pg_database d where datname = '{name}'"
    );
    let said = cluster.sql("postgres", &sql);
    said.split_once('|').unwrap().1.to_owned()
}

#[test]
fn they_come_back() {
    let first = odd();
    let dir = Scratch::new();
    let path = backup::dump(&first, dir.path());
    let before = first.dump_all::<&str>(&[]);
    let second = Cluster::start();
    restore(&path, &second).succeeds();
    compare::same_text(
        ("before", &before),
        ("after", &second.dump_all::<&str>(&[])),
    );

    // Alone, in the place of itself, and beside it.
    let copy = "a copy \"of it\"";
    for name in NAMES {
        let wanted = (first.dump_one(name), about(&first, name));
        let one = || restore(&path, &second).args(["--database", name]);
        one().args(["--replace", "--yes"]).succeeds();
        one().args(["--as", copy]).succeeds();
        for name in [name, copy] {
            compare::same_text(("the first", &wanted.0), (name, &second.dump_one(name)));
            assert_eq!(about(&second, name), wanted.1, "{name}");
        }
        let gone = format!("{name} (gone)");
        let rename = format!(
            "alter database {} rename to {}",
            quoted(copy),
            quoted(&gone)
        );
        second.sql("postgres", &rename);
    }
}

fn quoted(name: &str) -> String {
    sample::identifier(name)
}

/// A backup without an index, whose SQL is wrong at the end of each database.
fn wrong_at_the_end(cluster: &Cluster, dir: &Scratch) -> PathBuf {
    let sql =
        String::from_utf8(cluster.dump_all(
            &["ascii", "eucjp", "latin"].map(|name| format!("--exclude-database={name}")),
        ))
        .unwrap();
    let last = "--\n-- PostgreSQL database dump complete";
    let wrong = sql.replace(last, &format!("SELECT nonsense;\n{last}"));
    let path = dir.join("wrong.sql.gz");
    Program::other("gzip")
        .stdin(wrong)
        .stdout_file(&path)
        .succeeds();
    path
}

/// A template, a database with a subscription: the server does not drop them as they are.
#[test]
fn what_was_begun_is_dropped_whatever_it_is() {
    let first = odd();
    let dir = Scratch::new();
    let path = wrong_at_the_end(&first, &dir);
    let second = Cluster::start();
    second.sql("postgres", "create role app");
    for name in ["template", "replicated", "still"] {
        let seen = restore(&path, &second).args(["--database", name]).fails(1);
        seen.says("nonsense");
        assert_eq!(second.databases(), ["postgres"], "{seen}");
    }
    // What a killed run has left, too.
    for (number, name) in ["template", "replicated"].iter().enumerate() {
        let left = format!("restoring_20250101_000000_0a1b2c_{number}");
        let rename = format!("alter database {name} rename to {left}");
        first.sql("postgres", &rename);
        let seen = restore(&path, &first).args(["--database", name]).fails(1);
        seen.says(&format!("dropped '{left}'"));
        assert!(
            !first
                .databases()
                .iter()
                .any(|name| name.starts_with("restoring_")),
            "{seen}"
        );
    }
}
