//! The index says of each database what the server says of it.

use std::collections::BTreeMap;

use e2e::{Cluster, Program, Scratch, backup, sample};
use serde_json::Value;

/// What the index of a backup says of its databases' contents.
fn contents(backup: &[u8]) -> BTreeMap<String, Value> {
    let dir = Scratch::new();
    let text = backup::gunzip(dir.write("backup.gz", backup));
    let objects = backup::divide(&text).1.lines();
    let objects = objects.filter_map(|line| serde_json::from_str::<Value>(line.get(3..)?).ok());
    let databases = objects.filter(|object| object["kind"] == "database");
    databases
        .map(|object| {
            let name = object["name"].as_str().expect("a name").to_owned();
            (name, object["contents"].clone())
        })
        .collect()
}

/// Tables that no extension has made.
const TABLES: &str = "
    from pg_class t join pg_namespace n on n.oid = relnamespace
    where relkind in ('r', 'p') and nspname not in ('pg_catalog', 'information_schema', 'pg_toast')
    and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = t.oid and deptype = 'e')";

/// What the server says itself, by the queries of `docs/format.md`.
fn by_the_server(cluster: &Cluster, database: &str) -> Value {
    let number = |sql: &str| -> u64 { cluster.sql(database, sql).trim().parse().expect(sql) };
    let lines = |sql: &str| -> Vec<String> {
        let lines = cluster.sql(database, sql);
        lines.lines().map(str::to_owned).collect()
    };
    let names = lines(&format!(
        "select quote_ident(nspname) || '.' || quote_ident(relname) {TABLES}"
    ));
    let rows = |name: &String| number(&format!("select count(*) from only {name}"));
    let tables: Vec<(String, u64)> = names.iter().map(|it| (it.clone(), rows(it))).collect();
    let of_tables = format!("(select t.oid {TABLES})");
    serde_json::json!({
        "table_count": tables.len(),
        "rows": tables.iter().map(|(_, rows)| rows).sum::<u64>(),
        "tables": tables,
        "indexes": number(&format!(
            "select count(*) from pg_index i join pg_class c on c.oid = indrelid
             where (indrelid in {of_tables} or relkind = 'm') and not exists
             (select from pg_constraint where conindid = indexrelid and contype in ('p', 'u', 'x'))"
        )),
        "constraints": number(&format!(
            "select count(*) from pg_constraint where conrelid in {of_tables}
             and (contype in ('p', 'u', 'x') or contype = 'f' and conparentid = 0)"
        )),
        "extensions": lines("select extname from pg_extension where extname <> 'plpgsql'"),
        "large_objects": number("select count(*) from pg_largeobject_metadata"),
    })
}

/// A database with all that the counting could take for something else.
const MORE: &str = "create database more;
\\connect more
create table part (id integer primary key, at date, unique (id)) partition by range (id);
create table part1 partition of part for values from (0) to (10);
create table \"Part 2; (x)\" partition of part for values from (10) to (1000);
create table refers (id integer references part, a integer default 1, check (a > 0), unique (a));
create table \"copy\" (\"from\" text, stdin text);
create table none ();
create index on part (at);
create unique index on \"copy\" (\"from\") where stdin is null;
create materialized view m as select id from part;
create index on m (id);
create function f() returns text language sql begin atomic select 'create index'; select 'copy part from stdin;'; end;
insert into part select i, now() from generate_series(1, 500) i;
insert into refers select i, i from generate_series(1, 7) i;
insert into \"copy\" values (E'\\\\.\\n\\\\.', 'a'), ('', null), (E'\\n', '');
insert into none default values;
insert into none default values;
create extension hstore;
";

#[test]
fn the_index_says_what_the_server_says() {
    let cluster = Cluster::start();
    sample::load(&cluster, include_str!("../../src/sample/odd.sql"));
    sample::load(&cluster, MORE);
    let dumped = |args: &[&str]| {
        let seen = Program::new("pgdump-gz").on(&cluster).args(args).succeeds();
        contents(&seen.stdout)
    };
    let found = dumped(&[]);
    assert!(found.contains_key("more"), "{:?}", found.keys());
    for (database, found) in &found {
        let mut found = found.clone();
        let mut wanted = by_the_server(&cluster, database);
        for key in ["extensions", "tables"] {
            sort(&mut found[key]);
            sort(&mut wanted[key]);
        }
        assert_eq!(found, wanted, "{database}");
    }
    assert_eq!(dumped(&["--jobs", "3", "--threads", "3"]), found);
    let text = ["--", "pg_dumpall"];
    assert_eq!(dumped(&text), found, "another command's dump");
    let inserts = dumped(&["--", "pg_dumpall", "--inserts"]);
    assert_eq!(inserts["more"]["rows"], Value::Null);
    assert_eq!(inserts["more"]["indexes"], found["more"]["indexes"]);
    let root = dumped(&["--", "pg_dumpall", "--load-via-partition-root"]);
    assert_eq!(root["more"]["rows"], found["more"]["rows"]);
    assert_eq!(root["more"]["tables"][0][1], Value::Null);
}

fn sort(array: &mut Value) {
    let items = array.as_array_mut().expect("an array");
    items.sort_by_key(Value::to_string);
}
