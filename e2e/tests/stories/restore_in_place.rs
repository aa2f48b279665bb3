//! Databases that are there, or have their names, when they are filled: more large objects and tables than the server has
//! locks, and what insists on its database's name.

use std::path::Path;

use e2e::{Cluster, Program, Scratch, Version, backup, crafted};
use rustix::process::Signal;

fn restore(backup: &Path, cluster: &Cluster) -> Program {
    Program::new("restore-stream").arg(backup).on(cluster)
}

/// The part of a database that is there.
fn part_in_place(database: &str, sql: &str) -> String {
    let part = crafted::part(database, sql);
    let create = part.find("CREATE DATABASE").unwrap();
    let end = create + part[create..].find('\n').unwrap() + 1;
    part.replacen(&part[create..end], "", 1)
}

/// Some 500 locks for all sessions.
const FEW_LOCKS: &str = "max_locks_per_transaction = 10\nmax_connections = 20\n";

fn few_locks(version: Version) -> Cluster {
    Cluster::with(version, &[], FEW_LOCKS)
}

const LARGE_OBJECTS: &str = "select count(*), count(distinct lomowner), count(lomacl), sum(length(lo_get(oid))), md5(string_agg(encode(lo_get(oid), 'hex') || coalesce(obj_description(oid, 'pg_largeobject'), ''), '' order by oid)) from pg_largeobject_metadata";

/// What each of which has an owner, and takes a lock for that.
fn many_large_objects(cluster: &Cluster) {
    cluster.sql("postgres", "create role bob; create role ann");
    cluster.sql(
        "postgres",
        "select lo_from_bytea(0, convert_to('object ' || i, 'UTF8')) from generate_series(1, 3000) i",
    );
    cluster.sql(
        "postgres",
        "do $$declare o bigint; begin for o in select oid::bigint from pg_largeobject_metadata order by 1 loop
           if o % 2 = 0 then execute format('alter large object %s owner to bob', o); end if;
           if o % 3 = 0 then execute format('grant select on large object %s to ann', o); end if;
           if o % 50 = 0 then execute format('comment on large object %s is %L', o, 'it''s ' || o); end if;
           if o % 100 = 0 then commit; end if;
         end loop; end$$",
    );
    cluster.sql("postgres", "create table t as select 7 as a");
}

#[test]
fn more_large_objects_than_locks_in_place() {
    for major in [15, 18] {
        let first = Cluster::of(Version::of(major));
        many_large_objects(&first);
        let wanted = first.sql("postgres", LARGE_OBJECTS);
        let dir = Scratch::new();
        for path in backup::both(&first, &dir) {
            let second = few_locks(Version::of(major));
            restore(&path, &second).succeeds();
            assert_eq!(second.sql("postgres", LARGE_OBJECTS), wanted);
            assert_eq!(second.sql("postgres", "select a from t"), "7");
        }
    }
}

/// They are committed before all else, and go again if that fails.
#[test]
fn large_objects_of_a_restore_that_fails_are_gone() {
    let first = Cluster::start();
    many_large_objects(&first);
    let dir = Scratch::new();
    let dump = String::from_utf8(first.dump_all::<&str>(&[])).unwrap();
    let closing = "--\n-- PostgreSQL database dump complete";
    let at = dump.rfind(closing).unwrap();
    assert!(dump[..at].contains("lo_create"), "postgres comes last");
    let with = |sql: &str| {
        let gz = dir.join("broken.sql.gz");
        let text = format!("{}{sql}\n{}", &dump[..at], &dump[at..]);
        Program::other("gzip")
            .stdin(text)
            .stdout_file(&gz)
            .succeeds();
        gz
    };
    let second = few_locks(Version::debian());
    let count = "select (select count(*) from pg_largeobject_metadata) + (select count(*) from pg_class where relname = 't')";
    restore(&with("SELECT 1/0;"), &second)
        .fails(1)
        .says("database 'postgres': SELECT 1/0: ERROR:  division by zero");
    assert_eq!(second.sql("postgres", count), "0");
    // Stopped in the middle.
    let running = restore(&with("SELECT pg_sleep(600);"), &second).spawn();
    e2e::wait_for("the large objects", || {
        let all = "select count(*) from pg_largeobject_metadata where oid in (select objoid from pg_shdescription union select loid from pg_largeobject)";
        let asleep = "select count(*) from pg_stat_activity where state = 'active' and query like '%pg_sleep%' and query not like '%pg_stat_activity%'";
        (second.sql("postgres", all) == "3000" && second.sql("postgres", asleep) == "1")
            .then_some(())
    });
    running.signal(Signal::TERM);
    let seen = running.wait();
    assert_eq!(seen.code(), Some(143), "{seen}");
    assert_eq!(second.sql("postgres", count), "0", "{seen}");
    // What a killed one leaves is told apart, and can be removed as it is said.
    let running = restore(&with("SELECT pg_sleep(600);"), &second).spawn();
    e2e::wait_for("the large objects", || {
        (second.sql("postgres", "select count(*) from pg_largeobject_metadata") == "3000")
            .then_some(())
    });
    running.signal_all(Signal::KILL);
    running.wait();
    e2e::wait_for("the end of its sessions", || {
        // One that sleeps does not see that nobody listens any more.
        let end = "select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'restore-stream%'";
        second.sql("postgres", end).is_empty().then_some(())
    });
    let whole = backup::both(&first, &dir)[1].clone();
    restore(&whole, &second)
        .fails(4)
        .says("large objects and nothing else")
        .says("SELECT lo_unlink(oid) FROM pg_largeobject_metadata LIMIT 100");
    for _ in 0..30 {
        second.sql(
            "postgres",
            "SELECT lo_unlink(oid) FROM pg_largeobject_metadata LIMIT 100",
        );
    }
    restore(&whole, &second).succeeds();
    let wanted = first.sql("postgres", LARGE_OBJECTS);
    assert_eq!(second.sql("postgres", LARGE_OBJECTS), wanted);
}

/// In one transaction nothing is left; statement by statement all of it comes, or it is said what was left and what to do.
#[test]
fn more_tables_than_locks_in_place() {
    let tables: String = (0..1500)
        .map(|i| format!("CREATE TABLE t{i} (a int);\n"))
        .collect();
    let dir = Scratch::new();
    let count = "select count(*) from pg_class where relname ~ '^t[0-9]+$'";
    for path in crafted::both(&dir, &part_in_place("postgres", &tables)) {
        let cluster = few_locks(Version::debian());
        let seen = restore(&path, &cluster).fails(1);
        seen.says("max_locks_per_transaction")
            .says("--in-place NAME");
        assert_eq!(cluster.sql("postgres", count), "0", "{seen}");
        restore(&path, &cluster)
            .args(["--in-place", "postgres"])
            .succeeds()
            .says("each statement by itself");
        assert_eq!(cluster.sql("postgres", count), "1500");
        // It is for an empty one.
        restore(&path, &cluster)
            .args(["--in-place", "postgres"])
            .fails(4)
            .says("is restored in place, and is not empty");
    }
    for database in ["postgres", "template1"] {
        let broken = format!("CREATE TABLE t1 (a int);\nSELECT 1/0;\n{tables}");
        let dir = Scratch::new();
        for path in crafted::both(&dir, &part_in_place(database, &broken)) {
            let cluster = Cluster::start();
            let seen = restore(&path, &cluster)
                .args(["--in-place", database])
                .fails(1);
            seen.says(&format!(
                "'{database}' was empty, and holds a part of the backup now"
            ));
            assert_eq!(cluster.sql(database, count), "1", "{seen}");
            restore(&path, &cluster).fails(4);
            // What it says to do does it.
            let said = seen.err();
            let told = said.lines().find(|it| it.contains("to empty it")).unwrap();
            let (place, commands) = told
                .split_once("in '")
                .and_then(|(_, rest)| rest.split_once("': "))
                .unwrap();
            for command in commands.split_inclusive(';') {
                cluster.sql(place, command);
            }
            assert_eq!(cluster.sql(database, count), "0");
            restore(&path, &cluster).fails(1).says("division by zero");
            assert_eq!(cluster.sql(database, count), "0");
        }
    }
}

const INSISTS: &str = "CREATE TABLE t (a int, CONSTRAINT here CHECK ((current_database() = 'shop'::name)));\nCOPY t (a) FROM stdin;\n1\n2\n\\.\nALTER DATABASE shop SET work_mem TO '1MB';\n";

/// Any database can insist on its name.
#[test]
fn a_database_that_insists_on_its_name() {
    let dir = Scratch::new();
    let second = crafted::part("other", "CREATE TABLE u AS SELECT 1 AS one;\n");
    for path in crafted::both(&dir, &(crafted::part("shop", INSISTS) + &second)) {
        let cluster = Cluster::start();
        restore(&path, &cluster)
            .fails(1)
            .says("violates check constraint \"here\"");
        assert_eq!(cluster.databases(), ["postgres"]);
        let in_place = || restore(&path, &cluster).args(["--in-place", "shop"]);
        in_place()
            .succeeds()
            .says("under its name before it is filled");
        let look = || {
            assert_eq!(cluster.databases(), ["other", "postgres", "shop"]);
            assert_eq!(
                cluster.sql("shop", "select sum(a), current_setting('work_mem') from t"),
                "3|1MB"
            );
        };
        look();
        // Not over one that has something in it, whatever is said.
        for options in [
            &["--in-place", "shop"][..],
            &["--in-place", "shop", "--replace", "--yes"],
        ] {
            let seen = restore(&path, &cluster)
                .args(["--database", "shop"])
                .args(options);
            seen.fails(4)
                .says("not empty: --in-place")
                .says("RENAME TO");
        }
        // In the place of an empty one, whose properties are not those of the backup.
        cluster.sql("postgres", "drop database other");
        cluster.sql("postgres", "drop database shop");
        cluster.sql(
            "postgres",
            "create database shop encoding 'LATIN1' template template0",
        );
        in_place().succeeds();
        look();
        let encoding =
            "select pg_encoding_to_char(encoding) from pg_database where datname = 'shop'";
        assert_eq!(cluster.sql("postgres", encoding), "UTF8");
    }
    let path = crafted::taken(&dir, &crafted::part("shop", INSISTS));
    let cluster = Cluster::start();
    restore(&path, &cluster)
        .args(["--in-place", "shpo"])
        .fails(2)
        .says("no database 'shpo'");
    // Under another name that it insists on.
    restore(&path, &cluster)
        .args(["--database", "shop", "--as", "copy", "--in-place", "copy"])
        .fails(1);
    assert_eq!(cluster.databases(), ["postgres"]);
}

/// The database that was made goes, the empty one that had its name has it again.
#[test]
fn what_fails_under_its_own_name_leaves_what_was_there() {
    let dir = Scratch::new();
    let broken = format!("{INSISTS}SELECT 1/0;\n");
    let slow = format!("{INSISTS}SELECT pg_sleep(600);\n");
    let cluster = Cluster::start();
    let empty = || {
        cluster.sql(
            "postgres",
            "create database shop encoding 'LATIN1' template template0",
        );
        cluster.sql("postgres", "comment on database shop is 'the old one'");
    };
    let look = |there: &str| {
        let sql = "select coalesce(string_agg(datname || ' ' || coalesce(shobj_description(oid, 'pg_database'), ''), ','), '') from pg_database where datname not in ('postgres', 'template0', 'template1')";
        assert_eq!(cluster.sql("postgres", sql), there);
    };
    for (sql, signal) in [(&broken, None), (&slow, Some(Signal::TERM))] {
        for path in crafted::both(&dir, &crafted::part("shop", sql)) {
            for there in ["", "shop the old one"] {
                if !there.is_empty() {
                    empty();
                }
                let running = restore(&path, &cluster)
                    .args(["--in-place", "shop"])
                    .spawn();
                if let Some(signal) = signal {
                    e2e::wait_for("the middle of it", || {
                        let asleep = "select count(*) from pg_stat_activity where datname = 'shop' and query like '%pg_sleep%'";
                        (cluster.sql("postgres", asleep) == "1").then_some(())
                    });
                    running.signal(signal);
                }
                let seen = running.wait();
                let code = if signal.is_some() { 143 } else { 1 };
                assert_eq!(seen.code(), Some(code), "{seen}");
                look(there);
                if !there.is_empty() {
                    cluster.sql("postgres", "drop database shop");
                }
            }
        }
    }
}

/// pg_cron lets itself be created in one database only, and its launcher is connected to that.
#[test]
fn pg_cron_gets_the_database_that_it_insists_on() {
    let settings = "shared_preload_libraries = 'pg_cron'\ncron.database_name = 'shop'\n";
    let first = Cluster::with(Version::debian(), &[], settings);
    first.sql("postgres", "create database shop");
    first.sql(
        "shop",
        "create extension pg_cron; create table t as select generate_series(1, 9) i",
    );
    first.sql(
        "shop",
        "select cron.schedule('nightly', '0 3 * * *', 'vacuum')",
    );
    let dir = Scratch::new();
    for path in backup::both(&first, &dir) {
        let second = Cluster::with(Version::debian(), &[], settings);
        let sql =
            "select (select string_agg(jobname, ' ') from cron.job), (select count(*) from t)";
        let look = || assert_eq!(second.sql("shop", sql), "nightly|9");
        restore(&path, &second)
            .succeeds()
            .says("'shop': new, under its name before it is filled");
        look();
        // Under another name, as far as it comes.
        restore(&path, &second)
            .args(["--database", "shop", "--as", "copy"])
            .fails(1)
            .says("can only create extension in database shop")
            .says("--in-place NAME");
        // An empty one that the launcher is connected to, which ends for ever when it is disconnected.
        let third = Cluster::with(Version::debian(), &[], settings);
        third.sql("postgres", "create database shop");
        let launcher = || {
            let sql = "select pid from pg_stat_activity where datname = 'shop' and backend_type <> 'client backend'";
            e2e::wait_for("pg_cron's launcher", || {
                Some(third.sql("postgres", sql)).filter(|pid| !pid.is_empty())
            })
        };
        let before = launcher();
        restore(&path, &third)
            .args(["--database", "shop"])
            .succeeds()
            .says("'shop': in place, each statement by itself");
        assert_eq!(third.sql("shop", sql), "nightly|9");
        assert_eq!(launcher(), before);
        let names = "select count(*) from pg_database where datname ~ 'shop_|restoring_|copy'";
        for cluster in [&second, &third] {
            assert_eq!(cluster.sql("postgres", names), "0");
        }
    }
}

/// A launcher that has come meanwhile goes with the database: that is said.
#[test]
fn what_ends_with_a_database_is_said() {
    let settings = "shared_preload_libraries = 'pg_cron'\ncron.database_name = 'shop'\n";
    let dir = Scratch::new();
    let slow = "CREATE EXTENSION pg_cron;\nDO 'BEGIN LOOP PERFORM pg_stat_clear_snapshot(); EXIT WHEN EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = ''pg_cron launcher''); PERFORM pg_sleep(0.05); END LOOP; END';\nSELECT 1/0;\n";
    for path in crafted::both(&dir, &crafted::part("shop", slow)) {
        let cluster = Cluster::with(Version::debian(), &[], settings);
        let seen = restore(&path, &cluster).fails(1);
        seen.says("division by zero")
            .says("'pg_cron launcher' is connected to 'shop', which is dropped");
        assert_eq!(cluster.databases(), ["postgres"], "{seen}");
    }
}
