//! `backup-verify --restore-test --into`: on a server where others are at work, by a role that may not do everything.

use std::fs;
use std::path::{Path, PathBuf};

use e2e::crafted::indexed;
use e2e::{Cluster, Program, Running, Scratch, backup, wait_for};

fn into(cluster: &Cluster, backup: &Path, user: &str) -> Program {
    backup::restore_test(backup)
        .arg("--into")
        .arg(format!("dbname=postgres user={user}"))
        .on(cluster)
}

#[test]
fn row_security_that_is_forced_on_the_owner_hides_nothing() {
    let scratch = Scratch::new();
    let cluster = Cluster::start();
    cluster.sql("postgres", "create role tester login createdb");
    let sql = "CREATE TABLE public.t (a integer);\nALTER TABLE ONLY public.t FORCE ROW LEVEL SECURITY;\n\
               COPY public.t (a) FROM stdin;\n1\n2\n3\n\\.\n\
               CREATE POLICY p ON public.t USING (a < 2);\nALTER TABLE public.t ENABLE ROW LEVEL SECURITY;\n";
    let backup = indexed(&scratch, sql, &[("public.t", 3)]);
    let seen = into(&cluster, &backup, "tester").succeeds();
    seen.prints("'shop' tables: 1 with 3 rows");
    let backup = indexed(&scratch, sql, &[("public.t", 4)]);
    let seen = into(&cluster, &backup, "tester").fails(3);
    seen.prints("public.t has 3 rows, and 4 were dumped");
}

#[test]
fn a_role_that_is_asked_for_stays() {
    let scratch = Scratch::new();
    let cluster = Cluster::start();
    cluster.sql(
        "postgres",
        "create role \"the dba\" createdb; create role tester login noinherit; grant \"the dba\" to tester",
    );
    let sql = "CREATE TABLE public.t (a integer);\nCOPY public.t (a) FROM stdin;\n1\n\\.\n\
               ALTER DATABASE shop SET role = 'none';\n";
    let backup = indexed(&scratch, sql, &[("public.t", 1)]);
    let seen = into(&cluster, &backup, "tester")
        .env("PGOPTIONS", r"-c role=the\ dba")
        .succeeds();
    seen.prints("'shop' tables: 1 with 1 rows");
}

/// Somebody who connects to every database of a test that is there, and stays for this many seconds.
struct Exporter {
    running: Running,
    seen: PathBuf,
}

impl Exporter {
    fn start(scratch: &Scratch, cluster: &Cluster, seconds: u32) -> Self {
        let seen = scratch.join(format!("visits-{seconds}"));
        let ask =
            "select datname from pg_database where datname ~ '^backup_verify_[0-9a-f]+_[0-9]+$'";
        let line = format!(
            "while :; do for d in $(psql -XAtc \"{ask}\" postgres); do \
             psql -XAt -c \"select 'in'\" -c 'select pg_sleep({seconds})' \"$d\" >>{seen} 2>/dev/null & done; done",
            seen = seen.display()
        );
        let running = Program::sh(&line)
            .on(cluster)
            .env(
                "PATH",
                format!("{}:/usr/bin:/bin", cluster.version().bin().display()),
            )
            .env("PGAPPNAME", "exporter")
            .spawn();
        Self { running, seen }
    }

    fn visits(&self) -> usize {
        fs::read_to_string(&self.seen)
            .unwrap_or_default()
            .matches("in")
            .count()
    }

    fn end(self) {
        drop(self.running);
    }
}

/// Large enough for somebody to come in while it is looked at.
fn large(scratch: &Scratch) -> PathBuf {
    let sql = "CREATE TABLE public.t AS SELECT generate_series(1, 2000000) AS a;\n";
    indexed(scratch, sql, &[("public.t", 2_000_000)])
}

#[test]
fn whoever_is_in_a_database_of_the_test_does_not_keep_it() {
    let scratch = Scratch::new();
    let cluster = Cluster::start();
    cluster.sql("postgres", "create role tester login createdb");
    let backup = large(&scratch);
    // One that may be sent away, and one that may not and leaves by itself.
    for (user, seconds) in [("postgres", 1000), ("tester", 3)] {
        let exporter = Exporter::start(&scratch, &cluster, seconds);
        wait_for("somebody in a database of the test", || {
            let seen = into(&cluster, &backup, user).succeeds();
            seen.prints("'shop' tables: 1 with 2000000 rows");
            assert_eq!(cluster.databases(), ["postgres"], "{seen}");
            (exporter.visits() > 0).then_some(())
        });
        exporter.end();
    }
}

#[test]
fn whoever_stays_in_a_database_of_the_test_is_named() {
    let scratch = Scratch::new();
    let cluster = Cluster::start();
    cluster.sql("postgres", "create role tester login createdb");
    let backup = large(&scratch);
    let exporter = Exporter::start(&scratch, &cluster, 1000);
    let seen = wait_for("somebody in a database of the test", || {
        let seen = into(&cluster, &backup, "tester").run();
        (exporter.visits() > 0).then_some(seen)
    });
    assert_eq!(seen.code(), Some(1), "{seen}");
    seen.prints("is in use by postgres (exporter, pid ");
    seen.says("hint: --into a role that may send them away");
    exporter.end();
}
