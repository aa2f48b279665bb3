//! The index and the maps say of each database what the server says of it.

use std::collections::BTreeMap;

use std::io::Cursor;
use std::ops::Range;

use backup_file::{
    Coverage, Excluded, Index, Layout, Map, RangeReader, RangeReport, Section, SectionKind, Tail,
    read_map, read_tail,
};
use e2e::{Bytes, Cluster, Program, Scratch, crafted, sample};
use serde_json::Value;

/// What the index of a backup and the maps say of its databases' contents.
fn contents(backup: &[u8]) -> BTreeMap<String, Value> {
    let file = Bytes(backup.to_vec());
    let sections = index(&file).sections;
    let databases = sections.iter();
    databases
        .filter_map(|section| of_section(&file, section))
        .collect()
}

fn of_section(file: &Bytes, section: &Section) -> Option<(String, Value)> {
    let SectionKind::Database(name) = &section.kind else {
        return None;
    };
    let mut contents = serde_json::to_value(&section.contents).expect("contents");
    let map = read_map(file, section).expect("a map").expect("a map");
    let tables = map.layout.tables().into_iter();
    let tables = tables.map(|it| (it.name.to_string(), it.rows));
    contents["tables"] = serde_json::json!(tables.collect::<Vec<_>>());
    Some((name.to_string(), contents))
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
    let seen = Program::new("pgdump-gz").on(&cluster).succeeds();
    let backup = Scratch::new();
    let backup = backup.write("backup.sql.gz", &seen.stdout);
    Program::new("backup-verify").arg(backup).succeeds();
    maps_are_true(seen.stdout);
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
    let left_out = [
        "--exclude-table=public.refers",
        "--exclude-table-data=\"copy\"",
        "--exclude-schema=odd*",
    ];
    let seen = Program::new("pgdump-gz").on(&cluster).args(left_out);
    let file = Bytes(seen.succeeds().stdout);
    let Excluded {
        tables,
        table_data,
        schemas,
    } = index(&file).about.excluded;
    assert_eq!(tables, ["public.refers"]);
    assert_eq!(table_data, ["\"copy\""]);
    assert_eq!(schemas, ["odd*"]);
    let less = &contents(&file.0)["more"];
    let tables = less["tables"].as_array().expect("tables");
    let rows = |name: &str| tables.iter().find(|it| it[0] == name).map(|it| &it[1]);
    assert_eq!(rows("public.refers"), None);
    assert_eq!(rows("public.copy"), Some(&Value::from(0)));
    assert_eq!(
        rows("public.\"none\"").or(rows("public.none")),
        Some(&Value::from(2))
    );
    let text = ["--", "pg_dumpall"];
    assert_eq!(dumped(&text), found, "another command's dump");
    let inserts = dumped(&["--", "pg_dumpall", "--inserts"]);
    assert_eq!(inserts["more"]["rows"], Value::Null);
    assert_eq!(inserts["more"]["indexes"], found["more"]["indexes"]);
    let root = dumped(&["--", "pg_dumpall", "--load-via-partition-root"]);
    assert_eq!(root["more"]["rows"], found["more"]["rows"]);
    // Whose rows they are is not known; those of other tables are.
    let rows = |table: &str| {
        let mut tables = root["more"]["tables"].as_array().expect("tables").iter();
        tables.find(|it| it[0] == table).expect("a table")[1].clone()
    };
    assert_eq!(rows("public.part"), 0);
    assert_eq!(rows("public.part1"), Value::Null);
    assert_eq!(rows("public.refers"), 7);
}

/// Every range that a map leads to is what it says, and all of them together are the section.
fn maps_are_true(backup: Vec<u8>) {
    let file = Bytes(backup);
    for section in &index(&file).sections {
        let Some(map) = read_map(&file, section).expect("a map") else {
            continue;
        };
        let mut coverage = Coverage::default();
        let mut passed = 0;
        for block in &map.layout.copies {
            if passed < block.sql.start {
                coverage.add(range(&file, &map, passed..block.sql.start).1);
            }
            passed = block.sql.end;
            let (sql, report) = range(&file, &map, block.sql.clone());
            coverage.add(report);
            let at = usize::try_from(block.statement - block.sql.start).expect("a place");
            let comments = sql[..at]
                .lines()
                .all(|it| it.is_empty() || it.starts_with("--"));
            let copy = format!("COPY {} ", block.table);
            assert!(comments && sql[at..].starts_with(&copy), "{sql}");
            assert!(sql.ends_with("\n\\.\n"), "{sql}");
            let (rows, _) = range(&file, &map, block.data());
            let count = rows.lines().count() as u64;
            assert_eq!(Some(count - 1), block.rows, "{sql}");
        }
        coverage.add(range(&file, &map, passed..section.sql_length).1);
        coverage.check(section).expect("all of the section");
        let Layout {
            data,
            large_objects,
            ..
        } = &map.layout;
        if let Some(data) = data {
            let (before, _) = range(&file, &map, 0..data.start);
            let (after, _) = range(&file, &map, data.end..section.sql_length);
            assert!(!after.contains("CREATE TABLE ") && !before.contains("CREATE INDEX "));
            assert!(!after.contains("pg_catalog.setval(") && !after.contains("lowrite("));
        }
        if let Some(objects) = large_objects {
            let (objects, _) = range(&file, &map, objects.clone());
            assert!(objects.trim_start_matches(['\n', '-']).contains("BEGIN;\n"));
            assert!(objects.ends_with("COMMIT;"), "{objects}");
        }
    }
}

fn range(file: &Bytes, map: &Map, sql: Range<u64>) -> (String, RangeReport) {
    let span = map.span(sql).expect("a range of the section");
    let input = Box::new(Cursor::new(file.part(span.file())));
    let mut reader = RangeReader::new(input, span, 1).expect("a reader");
    let mut text = Vec::new();
    while let Some(sql) = reader.next_sql().expect("sound members") {
        text.extend_from_slice(sql);
    }
    let report = reader.finish().expect("the whole range");
    (String::from_utf8_lossy(&text).into_owned(), report)
}

fn index(file: &Bytes) -> Index {
    let Ok(Tail::Index(index)) = read_tail(file) else {
        unreachable!("no index");
    };
    *index
}

#[test]
fn a_map_that_is_not_true_is_no_good_backup() {
    let rows = "COPY public.t (x) FROM stdin;\n1\n\\.\n";
    let sql = format!("CREATE TABLE public.t (x int);\n{rows}{rows}");
    let scratch = Scratch::new();
    let verify = |change: fn(&mut Layout)| {
        let path = crafted::mapped(&scratch, &sql, change);
        Program::new("backup-verify").arg(path).run()
    };
    let good = verify(|_| {});
    assert_eq!(good.code(), Some(0), "{good}");
    let lies: [fn(&mut Layout); 4] = [
        |it| it.copies[1].rows = Some(2),
        |it| it.copies[1].table = "public.u".into(),
        |it| it.copies[0].sql.end -= 1,
        |it| it.copies[1].data += 1,
    ];
    for lie in lies {
        let seen = verify(lie);
        assert_eq!(seen.code(), Some(3), "{seen}");
        seen.says("the map of database \"shop\" is not true: ");
    }
}

fn sort(array: &mut Value) {
    let items = array.as_array_mut().expect("an array");
    items.sort_by_key(Value::to_string);
}
