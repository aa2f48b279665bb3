//! Where restore-stream connects to, what databases are called meanwhile and after, and what is refused before loading.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use e2e::{Cluster, Program, Scratch, Seen, Version, backup, compare, sample};
use serde_json::Value;

fn restore(backup: &Path, cluster: &Cluster) -> Program {
    Program::new("restore-stream").arg(backup).on(cluster)
}

/// 60 bytes and more that all of them begin with.
fn alike() -> Vec<String> {
    let beginnings = ["x".repeat(60), "数据".repeat(10), "\"a b'\\".repeat(10)];
    let mut names = Vec::new();
    for beginning in beginnings {
        assert_eq!(beginning.len(), 60, "{beginning}");
        names.extend((0..3).map(|number| format!("{beginning}{number}")));
    }
    names.sort();
    names
}

#[test]
fn names_that_begin_alike_stay_apart() {
    let cluster = Cluster::start();
    let names = alike();
    for name in &names {
        cluster.sql(
            "postgres",
            &format!("create database {}", sample::identifier(name)),
        );
        let table = format!("create table t as select {}::text as name", literal(name));
        cluster.sql(name, &table);
    }
    let dir = Scratch::new();
    for (path, jobs) in backup::both(&cluster, &dir).iter().zip(["3", "1"]) {
        for name in &names {
            cluster.sql(name, "update t set name = 'old ' || name");
        }
        let seen = restore(path, &cluster)
            .args(["--replace", "--yes", "--json", "--jobs", jobs])
            .succeeds();
        let report: Value = serde_json::from_str(&seen.out()).unwrap();
        let entries = report["databases"].as_array().unwrap();
        for name in &names {
            assert_eq!(&cluster.sql(name, "select name from t"), name, "{seen}");
            let entry = entries
                .iter()
                .find(|it| it["restored_as"] == name.as_str())
                .unwrap();
            // The old one is kept under the name that the report says, and under a readable one.
            let kept = entry["replaced"].as_str().unwrap();
            assert_eq!(
                cluster.sql(kept, "select name from t"),
                format!("old {name}")
            );
            let first: String = name.chars().take(7).collect();
            assert!(
                kept.starts_with(&first) && kept.contains("_replaced_2"),
                "{kept}"
            );
            cluster.sql(
                "postgres",
                &format!("drop database {}", sample::identifier(kept)),
            );
        }
    }
}

fn literal(text: &str) -> String {
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// Whatever names the database to connect to: it is none whose name is taken.
#[test]
fn what_is_connected_to_is_not_what_is_replaced() {
    let cluster = Cluster::start();
    sample::company(&cluster);
    let before = cluster.dump_all::<&str>(&[]);
    let dir = Scratch::new();
    let [path, foreign] = backup::both(&cluster, &dir);
    for path in [&path, &foreign] {
        for place in ["PGDATABASE", "-d", "-d conninfo"] {
            cluster.sql("shop", "drop schema public cascade");
            let run = restore(path, &cluster).args(["--replace", "--yes", "--drop-old"]);
            let run = match place {
                "PGDATABASE" => run.env("PGDATABASE", "shop"),
                "-d" => run.args(["-d", "shop"]),
                _ => run.args(["-d", "dbname=shop application_name=mine"]),
            };
            let seen = run.run();
            assert_eq!(seen.code(), Some(0), "{place}: {seen}");
            compare::same_text(("before", &before), (place, &cluster.dump_all::<&str>(&[])));
        }
    }
    // One that is not there, and is to be restored, is none to connect to.
    cluster.sql("postgres", "drop database shop");
    restore(&path, &cluster)
        .args(["--database", "shop"])
        .env("PGDATABASE", "shop")
        .succeeds();
    compare::same_text(
        ("before", &before),
        ("restored", &cluster.dump_all::<&str>(&[])),
    );
}

#[test]
fn a_server_without_the_database_postgres() {
    let first = Cluster::start();
    sample::company(&first);
    let dir = Scratch::new();
    let [path, foreign] = backup::both(&first, &dir);
    let second = Cluster::start();
    second.sql("template1", "drop database postgres");
    let names = |cluster: &Cluster| {
        let sql = "select string_agg(datname, ' ' order by datname) from pg_database";
        cluster.sql("template1", sql)
    };
    restore(&path, &second).arg("--globals-only").succeeds();
    restore(&path, &second)
        .args(["--database", "shop"])
        .succeeds();
    assert_eq!(names(&second), "shop template0 template1");
    // From what is the only one but those that are replaced.
    second.sql("shop", "alter database template1 allow_connections false");
    second.sql("shop", "create database other");
    restore(&path, &second)
        .args(["--database", "shop", "--replace", "--yes", "--drop-old"])
        .succeeds();
    second.sql("shop", "drop database other");
    let seen = restore(&path, &second)
        .args(["--database", "shop", "--replace", "--yes"])
        .fails(4);
    seen.says("no database to connect to").says("createdb");
    second.sql("shop", "alter database template1 allow_connections true");
    for backup in [&path, &foreign] {
        let third = Cluster::start();
        third.sql("template1", "drop database postgres");
        restore(backup, &third).succeeds();
        assert_eq!(names(&third), names(&first));
    }
}

/// Each of these would fail when all is loaded.
#[test]
fn what_cannot_succeed_is_refused_before_loading() {
    let cluster = Cluster::with(
        Version::debian(),
        &[],
        "max_prepared_transactions = 2\nmax_connections = 12\nsuperuser_reserved_connections = 3\n",
    );
    cluster.sql(
        "postgres",
        "create role app_shop; create database shop owner app_shop",
    );
    cluster.sql("shop", "create table t as select 1 as one");
    let dir = Scratch::new();
    let [path, foreign] = backup::both(&cluster, &dir);
    cluster.sql(
        "postgres",
        "create role poor login; create role keeper login createdb connection limit 2; \
         create database hers owner keeper; create database theirs template template0",
    );
    cluster.sql("theirs", "begin; create table t(); prepare transaction 'p'");
    let before = cluster.databases();
    let refused = |words: &str, hint: &str, run: Program| -> Seen {
        let log = cluster.server_log().len();
        let seen = run.fails(4);
        seen.says(words).says(hint);
        let log = cluster.server_log().split_off(log);
        assert!(!log.contains("CREATE"), "{log}");
        assert_eq!(cluster.databases(), before, "{seen}");
        seen
    };
    cluster.sql("postgres", "alter system set log_statement = 'ddl'");
    cluster.sql("postgres", "select pg_reload_conf()");
    let one = |role: &str, options: &[&str]| {
        restore(&path, &cluster)
            .env("PGUSER", role)
            .args(["--database", "shop", "--no-owners", "--yes"])
            .args(options)
    };
    refused(
        "'poor' may not create databases",
        "CREATEDB",
        one("poor", &["--as", "copy"]),
    );
    refused(
        "'poor' may not create databases",
        "CREATEDB",
        restore(&foreign, &cluster)
            .env("PGUSER", "poor")
            .arg("--no-globals"),
    );
    refused(
        "belongs to 'app_shop'",
        "as one of them",
        one("keeper", &["--replace"]),
    );
    for name in ["postgres", "template0", "template1"] {
        for options in [
            &["--as", name][..],
            &["--as", name, "--replace", "--force-disconnect"],
        ] {
            refused("is the server's own", "--as NAME", one("postgres", options));
        }
    }
    refused(
        "1 prepared transaction",
        "ROLLBACK PREPARED",
        one(
            "postgres",
            &["--as", "theirs", "--replace", "--force-disconnect"],
        ),
    );
    // What one may not end, --force-disconnect does not end.
    let superuser = Program::other("psql")
        .args(["-qXAtc", "select pg_sleep(600)"])
        .on(&cluster)
        .env("PGDATABASE", "hers")
        .spawn();
    e2e::wait_for("a superuser's session", || {
        let sql = "select count(*) from pg_stat_activity where datname = 'hers'";
        (cluster.sql("postgres", sql) == "1").then_some(())
    });
    let replace_hers = ["--as", "hers", "--replace"];
    refused(
        "is in use",
        "--force-disconnect",
        one("keeper", &replace_hers),
    );
    let force = ["--as", "hers", "--replace", "--force-disconnect"];
    let end = "SELECT pg_terminate_backend(";
    refused("may not end 1 connection", end, one("keeper", &force));
    superuser.signal_all(rustix::process::Signal::KILL);
    superuser.wait();
    e2e::wait_for("its end", || {
        let end = "select pg_terminate_backend(pid) from pg_stat_activity where datname = 'hers'";
        cluster.sql("postgres", end).is_empty().then_some(())
    });
    // Connections: those of the role, and those of the server.
    let words = "needs 3 connections at once";
    refused(words, "CONNECTION LIMIT", one("keeper", &["--as", "copy"]));
    let sessions = (0..10).map(|_| {
        Program::other("psql")
            .args(["-qXAtc", "select pg_sleep(600)"])
            .on(&cluster)
            .env("PGAPPNAME", "many")
            .spawn()
    });
    let sessions: Vec<_> = sessions.collect();
    e2e::wait_for("ten sessions", || {
        let sql = "select count(*) from pg_stat_activity where application_name = 'many'";
        (cluster.sql("postgres", sql) == "10").then_some(())
    });
    refused(words, "max_connections", one("postgres", &["--as", "copy"]));
    drop(sessions);
}

/// The server's gate and the password file may know the databases that are there, and no others.
#[test]
fn a_gate_for_certain_databases_is_found_before_loading() {
    let cluster = Cluster::start();
    sample::company(&cluster);
    let dir = Scratch::new();
    let path = backup::dump(&cluster, dir.path());
    cluster.sql(
        "postgres",
        "set password_encryption = 'scram-sha-256'; create role keeper superuser login password 'x'",
    );
    let before = cluster.dump_all::<&str>(&[]);
    let run = || {
        restore(&path, &cluster)
            .env("PGUSER", "keeper")
            .args(["--replace", "--yes"])
    };
    cluster.admit(
        "local shop,archive,jupyterhub,template1,postgres keeper trust\nlocal all postgres trust\n",
    );
    let seen = run().fails(4);
    seen.says("no pg_hba.conf entry")
        .says("in pg_hba.conf: until it is whole");
    cluster.admit("local all keeper scram-sha-256\nlocal all postgres trust\n");
    let passwords = dir.write("passwords", b"*:*:shop:keeper:x\n*:*:postgres:keeper:x\n*:*:archive:keeper:x\n*:*:jupyterhub:keeper:x\n*:*:template1:keeper:x\n");
    fs::set_permissions(&passwords, Permissions::from_mode(0o600)).unwrap();
    let seen = run().env("PGPASSFILE", &passwords).fails(4);
    seen.says("no password supplied").says(".pgpass");
    let after = cluster.dump_all::<&str>(&[]);
    compare::same_text(("before", &before), ("after", &after));
    let all = dir.write("all", b"*:*:*:keeper:x\n");
    fs::set_permissions(&all, Permissions::from_mode(0o600)).unwrap();
    run().env("PGPASSFILE", &all).succeeds();
}

/// A dump that has a database twice would fail at its second name.
#[test]
fn a_database_that_comes_twice_is_refused() {
    let cluster = Cluster::start();
    cluster.sql("postgres", "create database shop");
    let sql = String::from_utf8(cluster.dump_all::<&str>(&[])).unwrap();
    cluster.sql("postgres", "drop database shop");
    let part = &sql[sql.find("--\n-- Database \"shop\" dump").unwrap()..];
    let end = part
        .find("--\n-- PostgreSQL database cluster dump complete")
        .unwrap();
    let twice = sql.replace(&part[..end], &part[..end].repeat(2));
    let dir = Scratch::new();
    let gz = dir.join("twice.sql.gz");
    Program::other("gzip")
        .stdin(twice)
        .stdout_file(&gz)
        .succeeds();
    restore(&gz, &cluster).fails(3).says("'shop' twice");
    assert_eq!(cluster.databases(), ["postgres"]);
}
