//! `pg_dump --clean` without `--if-exists`: it drops first what an empty database does not have. psql goes on after the
//! errors, and so does the restore, which has none.

use e2e::{Cluster, Program, Scratch, Version, compare, sample};

const NAME: &str = "postgresql_backup_20240229_235959.sql.gz";

/// One of each that a dump drops in its own way.
const EACH: &str = r"
create database each;
\connect each
create schema app;
create domain app.positive as integer;
alter domain app.positive add constraint is_positive check (value > 0) not valid;
create type app.state as enum ('on', 'off');
create type app.pair as (a integer, b text);
create table app.parent (id integer generated always as identity, state app.state, primary key (id));
create table app.child (id serial unique, parent integer references app.parent, n app.positive default 7);
create table app.parts (at date) partition by range (at);
create table app.parts_2024 partition of app.parts (constraint c check (at is not null)) for values from ('2024-01-01') to ('2025-01-01');
create index on app.parts (at);
insert into app.parent (state) values ('on'), ('off');
insert into app.child (parent) values (1), (2);
create function app.f() returns trigger language plpgsql as $$ begin return new; end $$;
create function app.g(a integer, b text default 'x') returns text language sql as 'select b';
create function app.less(a integer, b integer) returns boolean language sql as 'select $1 < $2';
create procedure app.p() language sql as 'select 1';
create aggregate app.total(integer) (sfunc = int4pl, stype = integer);
create operator app.=== (leftarg = integer, rightarg = integer, function = app.less);
create operator family app.family using btree;
create operator class app.ops for type app.pair using hash as function 1 hash_record(record);
create cast (app.pair as text) with inout;
create trigger before_child before insert on app.child for each row execute function app.f();
create rule nothing as on delete to app.parent do instead nothing;
alter table app.parent enable row level security;
create policy mine on app.parent using (id > 0);
create statistics app.s on id, parent from app.child;
create collation app.c (locale = 'C');
create conversion app.conv for 'LATIN1' to 'UTF8' from iso8859_1_to_utf8;
create text search dictionary app.dict (template = simple);
create text search configuration app.conf (copy = simple);
create foreign data wrapper wrapper;
create server far foreign data wrapper wrapper;
create user mapping for postgres server far;
create foreign table app.remote (id integer default 1, constraint positive check (id > 0)) server far;
create materialized view app.m as select count(*) from app.parent;
create view app.v as select id, state from app.parent group by id;
create view app.w as select 1 as one;
create access method other type table handler heap_tableam_handler;
create access method tree type index handler bthandler;
create operator class app.tree_ops for type app.pair using tree as operator 1 < (record, record), function 1 btrecordcmp(record, record);
create function app.e() returns event_trigger language plpgsql as $$ begin end $$;
create event trigger watch on ddl_command_end execute function app.e();
create publication all_of_it for table app.parent;
select lo_create(4711), lo_from_bytea(4712, 'text');
drop schema public cascade;
create schema public;
comment on schema public is 'mine';
";

fn made_by(line: &str, cluster: &Cluster, dir: &Scratch) -> std::path::PathBuf {
    let path = dir.join(NAME);
    Program::sh(line).on(cluster).stdout_file(&path).succeeds();
    path
}

#[test]
fn a_database_of_everything_from_every_version() {
    let versions = Version::installed();
    for version in &versions {
        println!("{version}");
        let first = Cluster::of(version.clone());
        sample::load(&first, EACH);
        let wanted = first.dump_one("each");
        let dir = Scratch::new();
        for (options, database) in [
            ("", "copy"),
            ("--if-exists", "copy2"),
            ("--inserts", "copy3"),
        ] {
            let path = made_by(
                &format!("pg_dump --clean {options} each | gzip"),
                &first,
                &dir,
            );
            Program::new("backup-verify").arg(&path).succeeds();
            let seen = Program::new("restore-stream")
                .arg(&path)
                .args(["--database", database])
                .on(&first)
                .succeeds();
            let said = seen.err().contains("were sent with IF EXISTS");
            assert_eq!(said, options != "--if-exists", "{seen}");
            seen.says("left out: DROP CONSTRAINT of domains");
            compare::same_text(("first", &wanted), (database, &first.dump_one(database)));
        }
    }
}

#[test]
fn a_cluster_that_is_cleaned_into_an_empty_server() {
    for version in Version::installed() {
        println!("{version}");
        let first = Cluster::of(version.clone());
        sample::company(&first);
        first.sql("postgres", "create database pattern is_template true");
        let before = first.dump_all::<&str>(&[]);
        let dir = Scratch::new();
        for line in [
            "pg_dumpall --clean | gzip",
            "pg_dumpall --clean --if-exists | gzip",
        ] {
            let path = made_by(line, &first, &dir);
            let second = Cluster::of(version.clone());
            let seen = Program::new("restore-stream")
                .arg(&path)
                .on(&second)
                .succeeds();
            seen.says("nothing that is there is dropped by a dump");
            compare::same_text(("before", &before), (line, &second.dump_all::<&str>(&[])));
        }
    }
}

#[test]
fn a_second_dump_cleans_what_the_first_has_made() {
    let first = Cluster::start();
    sample::load(
        &first,
        "create database shop;\n\\connect shop\ncreate table a as select 1 as one;\ncreate table b as select 2 as two;",
    );
    let dir = Scratch::new();
    let line =
        "(pg_dump --clean shop; pg_dump --clean -t a shop; pg_dump --clean -t b shop) | gzip";
    let path = made_by(line, &first, &dir);
    let second = Cluster::start();
    let restore = |name: &str| {
        Program::new("restore-stream")
            .arg(&path)
            .args(["--database", name])
            .on(&second)
    };
    restore("shop").succeeds().says("another dump follows");
    compare::same_text(
        ("first", &first.dump_one("shop")),
        ("second", &second.dump_one("shop")),
    );
    assert_eq!(second.sql("shop", "select one + two from a, b"), "3");
    // A statement of a dump's middle is its own: what it does not find is an error.
    let odd = "--\n-- PostgreSQL database dump\n--\n\nCREATE TABLE t (a integer);\nDROP TABLE gone;\n\n--\n-- PostgreSQL database dump complete\n--\n\n";
    let path = dir.join("odd.sql.gz");
    Program::sh("gzip").stdin(odd).stdout_file(&path).succeeds();
    Program::new("restore-stream")
        .arg(&path)
        .args(["--database", "odd"])
        .on(&second)
        .fails(1)
        .says("does not exist");
    assert_eq!(second.databases(), ["postgres", "shop"]);
}
