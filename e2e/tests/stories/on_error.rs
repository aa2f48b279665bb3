//! `restore-stream --on-error continue`: goes on after statements that fail, as psql does, and says each of them.

use std::path::Path;

use e2e::{Cluster, Program, Scratch, Version, crafted};
use serde_json::Value;

fn restore(backup: &Path, cluster: &Cluster) -> Program {
    Program::new("restore-stream")
        .arg(backup)
        .args(["--on-error", "continue"])
        .on(cluster)
}

const SHOP: &str = "SET client_encoding = 'UTF8';
CREATE TABLE public.kept (a int);
CREATE EXTENSION
  that_is_not_there;
CREATE TABLE public.lost (a no_such_type,
  b text DEFAULT 'it''s secret');
COPY public.lost (a, b) FROM stdin;
DROP TABLE public.kept;	x
\\! touch owned
\\.

COPY public.kept (a) FROM stdin;
1
2
\\.

CREATE TABLE public.half (a int);
COPY public.half (a) FROM stdin;
1
two
3
\\.

INSERT INTO public.kept VALUES ('hunter2');
CREATE INDEX ON public.kept (a);
SELECT pg_catalog.lo_create('4711');
BEGIN;
SELECT pg_catalog.lo_open('9999', 131072);
SELECT pg_catalog.lo_close(0);
COMMIT;
ALTER DATABASE shop SET no_such_setting TO 'x';
ALTER DATABASE shop SET work_mem TO '2MB';
ALTER TABLE public.kept
  OWNER TO nobody_at_all;
CREATE VIEW public.last AS SELECT count(*) AS c FROM public.kept;
";

/// How each of them begins, and what the server says.
const FAILED: [(&str, &str); 9] = [
    ("CREATE EXTENSION", "that_is_not_there"),
    (
        "CREATE TABLE public.lost (a no_such_type,",
        "type \"no_such_type\" does not exist",
    ),
    (
        "COPY public.lost (a, b) FROM stdin;",
        "relation \"public.lost\" does not exist",
    ),
    (
        "COPY public.half (a) FROM stdin;",
        "COPY half, line 2, column a",
    ),
    (
        "INSERT INTO public.kept VALUES ('…');",
        "invalid input syntax",
    ),
    (
        "SELECT pg_catalog.lo_open('…', 131072);",
        "large object 9999 does not exist",
    ),
    (
        "SELECT pg_catalog.lo_close(0);",
        "current transaction is aborted",
    ),
    (
        "ALTER TABLE public.kept",
        "role \"nobody_at_all\" does not exist",
    ),
    ("ALTER DATABASE", "no_such_setting"),
];

#[test]
fn every_statement_that_fails_is_listed() {
    let dir = Scratch::new();
    let parts = crafted::part("other", "CREATE TABLE t AS SELECT 1 AS one;\n")
        + &crafted::part("shop", SHOP);
    for major in [14, 15, 18] {
        let cluster = Cluster::of(Version::of(major));
        for path in crafted::both(&dir, &parts) {
            let before = restore(&path, &cluster).args(["--on-error", "stop"]);
            let before = before.run();
            assert_ne!(before.code(), Some(0), "{before}");
            assert_eq!(cluster.databases(), ["postgres"]);
            let seen = restore(&path, &cluster).arg("--json").fails(1);
            let report: Value = serde_json::from_str(&seen.out()).unwrap();
            let failed = &report["failed"];
            assert_eq!(failed["count"], FAILED.len(), "{seen}");
            assert_eq!(
                (&report["ok"], &report["exit"]),
                (&false.into(), &1.into()),
                "{seen}"
            );
            for (number, (statement, error)) in FAILED.iter().enumerate() {
                let one = &failed["statements"][number];
                let text = |key: &str| one[key].as_str().unwrap().to_owned();
                assert_eq!(text("part"), "database 'shop'");
                assert!(text("statement").starts_with(statement), "{one}\n{seen}");
                assert!(text("error").contains(error), "{one}\n{seen}");
                // The line is that of the database's part, which can be looked at.
                let line = one["line"].as_u64().unwrap();
                let shown = Program::new("restore-stream")
                    .arg(&path)
                    .args(["--database", "shop", "--", "sed", "-n", &format!("{line}p")])
                    .succeeds();
                let begins = statement.split('\'').next().unwrap();
                assert!(shown.out().starts_with(begins), "{one}\n{shown}");
                seen.says(&format!("database 'shop': line {line} failed: "));
            }
            seen.says("9 of").hides("hunter2'").hides("it's secret");
            // All else is there, and no row was taken for SQL.
            assert_eq!(cluster.sql("shop", "select c from last"), "2", "{seen}");
            let there = "select string_agg(relname, ' ' order by relname) from pg_class where relnamespace = 'public'::regnamespace";
            assert_eq!(cluster.sql("shop", there), "half kept kept_a_idx last");
            assert_eq!(
                cluster.sql("shop", "select count(*) from pg_largeobject_metadata"),
                "1"
            );
            assert_eq!(cluster.sql("shop", "show work_mem"), "2MB");
            assert_eq!(cluster.sql("other", "select one from t"), "1");
            let shop = report["databases"].as_array().unwrap();
            let shop = shop.iter().find(|it| it["name"] == "shop").unwrap();
            assert_eq!(shop["failed"], FAILED.len());
            assert_eq!(shop["rows"], Value::Null);
            cluster.sql("postgres", "drop database shop");
            cluster.sql("postgres", "drop database other");
        }
    }
}

#[test]
fn nothing_failed_and_it_is_as_without() {
    let dir = Scratch::new();
    let cluster = Cluster::start();
    e2e::sample::company(&cluster);
    let path = e2e::backup::dump(&cluster, dir.path());
    let second = Cluster::start();
    let seen = restore(&path, &second)
        .args(["--json", "--jobs", "2"])
        .succeeds();
    e2e::compare::same_clusters(&cluster, &second);
    let report: Value = serde_json::from_str(&seen.out()).unwrap();
    assert_eq!(report["failed"]["count"], 0);
    assert_eq!(report["ok"], true);
    assert!(report["databases"][0]["rows"].is_u64(), "{seen}");
}

/// Roles, and the databases that are restored in place: those are filled statement by statement then.
#[test]
fn roles_and_databases_in_place() {
    let dir = Scratch::new();
    let roles = "CREATE ROLE bob;\nALTER ROLE bob WITH NOSUCHTHING PASSWORD 'secret-1';\nCREATE ROLE pg_ann;\nCREATE ROLE ann;\n\n";
    let part = crafted::part(
        "postgres",
        "CREATE TABLE a (a int);\nSELECT 1/0;\nCREATE TABLE b (a int);\n",
    );
    let create = part
        .lines()
        .find(|it| it.starts_with("CREATE DATABASE"))
        .unwrap();
    let part = part.replace(create, "");
    for path in crafted::both(&dir, &format!("{roles}{part}")) {
        let cluster = Cluster::start();
        let seen = restore(&path, &cluster).arg("--json").fails(1);
        seen.hides("secret-1").says("roles and tablespaces: line ");
        let report: Value = serde_json::from_str(&seen.out()).unwrap();
        assert_eq!(report["failed"]["count"], 3, "{seen}");
        let roles =
            "select string_agg(rolname, ' ' order by rolname) from pg_roles where oid > 16383";
        assert_eq!(cluster.sql("postgres", roles), "ann bob");
        let tables = "select count(*) from pg_class where relname in ('a', 'b')";
        assert_eq!(cluster.sql("postgres", tables), "2", "{seen}");
    }
}

/// What makes a backup no good ends it all the same, and nothing of it stands.
#[test]
fn what_is_no_failed_statement_ends_it() {
    let dir = Scratch::new();
    let cluster = Cluster::start();
    // By code that no text shows, psql has been told to read backslashes otherwise than the dump was written.
    let off = "SELECT nothing;\nDO 'BEGIN PERFORM set_config(''standard_conforming_strings'', ''off'', false); END';\n";
    let ran = dir.join("ran");
    let opened = format!("{off}SELECT 'a\\';\n");
    let command = format!("{off}SELECT '\\'' \\! touch {}\n-- '\n;\n", ran.display());
    let copy = format!("{off}CREATE TABLE t (a int);\n{command}COPY t (a) FROM stdin;\n1\n\\.\n");
    let plain = format!("SELECT nothing;\n\\! touch {}\n", ran.display());
    for (what, sql) in [
        ("left open", opened),
        ("a command", command),
        ("before a COPY", copy),
        ("plain", plain),
    ] {
        for path in crafted::both(&dir, &crafted::part("shop", &sql)) {
            let seen = restore(&path, &cluster).run();
            assert_eq!(seen.code(), Some(3), "{what}\n{seen}");
            assert_eq!(cluster.databases(), ["postgres"], "{what}\n{seen}");
            assert!(!ran.exists(), "{what}\n{seen}");
        }
    }
    let whole = std::fs::read(crafted::taken(&dir, &crafted::part("shop", SHOP))).unwrap();
    let cut = dir.write("cut.sql.gz", &whole[..whole.len() - 40]);
    let seen = restore(&cut, &cluster).run();
    assert_eq!(seen.code(), Some(3), "{seen}");
    assert_eq!(cluster.databases(), ["postgres"]);
    // A database that cannot be created has nothing to connect to.
    let part = crafted::part("shop", "CREATE TABLE t (a int);\n")
        .replace("ENCODING = 'UTF8'", "ENCODING = 'UTF9'");
    for path in crafted::both(&dir, &part) {
        restore(&path, &cluster)
            .fails(1)
            .says("is not a valid encoding name");
        assert_eq!(cluster.databases(), ["postgres"]);
    }
    // What may not be whole does not take the place of what is.
    let path = crafted::taken(&dir, &crafted::part("shop", "SELECT 1;\n"));
    cluster.sql("postgres", "create database shop");
    cluster.sql("shop", "create table t()");
    restore(&path, &cluster)
        .args(["--replace", "--yes"])
        .fails(2)
        .says("may not be whole");
    restore(&path, &cluster).fails(4);
    cluster.sql("shop", "select from t");
    // Without restricted mode a psql that goes on would carry out what comes.
    let old = e2e::tool::old_psql();
    let path_with = e2e::tool::path_with(&[old]);
    restore(&path, &cluster)
        .args(["--as", "copy", "--database", "shop"])
        .env("PATH", path_with)
        .fails(4)
        .says("restricted mode");
}
