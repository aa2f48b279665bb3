//! `backup-verify --restore-test --at`: a store that leads back to a moment passes, one that does not is found out, and what
//! the machine lacks is not said to be the store's fault. Nothing of the test is left behind.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use e2e::postgres::REPLICATION;
use e2e::{Cluster, Program, Scratch, Seen, Version, Volume, WalStore, scratch, wait_for};
use rustix::process::Signal;
use serde_json::Value;

use crate::recovery::one_database::faults::copy_databases;
use crate::recovery::{Origin, base, write};

/// The test's own place.
struct Test<'a> {
    origin: &'a Origin,
    place: Scratch,
}

impl<'a> Test<'a> {
    fn of(origin: &'a Origin) -> Self {
        let place = Scratch::new();
        place.make("servers");
        Self { origin, place }
    }

    /// `backup-verify STORE --restore-test --at …`, with the server of the cluster's version.
    fn program(&self, args: &str) -> Program {
        let (store, version) = (&self.origin.store, self.origin.cluster.version());
        let bin = version.bin().display();
        let args = format!(
            "{} --restore-test --max-used=100% --wal-only --work-dir '{}' --pg-bindir '{bin}' {args}",
            store.url(),
            self.servers().display()
        );
        let line = format!(
            "exec env AZURE_STORAGE_SAS_TOKEN_FILE={} \"$PROGRAM\" {args}",
            store.token().display()
        );
        Program::sh(&line)
            .env("PROGRAM", e2e::tool::program("backup-verify"))
            .env("AZURE_STORAGE_ALLOW_HTTP", "1")
    }

    fn servers(&self) -> PathBuf {
        self.place.join("servers")
    }

    fn is_gone(&self) {
        assert_eq!(scratch::names(self.servers()), [""; 0]);
    }

    fn succeeds(&self, args: &str) -> Seen {
        let seen = self.program(args).succeeds();
        self.is_gone();
        seen
    }

    fn fails(&self, code: i32, args: &str) -> Seen {
        let seen = self.program(args).fails(code);
        self.is_gone();
        seen
    }
}

#[test]
fn a_good_store_passes_at_any_moment() {
    for (store, major) in WalStore::both().into_iter().zip([14, 18]) {
        let origin = Origin::new(Version::of(major), store, "");
        for sql in [
            "create database \"it's \"\"odd\"\" größe\"",
            "create database closed allow_connections false",
            "create database latin encoding 'LATIN1' template template0 locale 'C'",
        ] {
            origin.cluster.sql("postgres", sql);
        }
        origin.base();
        origin.write(1, 30);
        origin.base();
        origin.write(31, 60);
        let test = Test::of(&origin);
        let seen = test.succeeds("--at random --json");
        let said: Value = serde_json::from_slice(&seen.stdout).unwrap();
        let checks = said["checks"].as_array().unwrap();
        let all: Vec<&Value> = checks
            .iter()
            .filter(|it| it["check"] == "recovery")
            .collect();
        let (last, read) = all.split_last().unwrap();
        let names: Vec<&str> = read
            .iter()
            .map(|it| it["database"].as_str().unwrap())
            .collect();
        assert_eq!(
            names,
            [
                "closed",
                "it's \"odd\" größe",
                "latin",
                "postgres",
                "template0",
                "template1"
            ],
            "{seen}"
        );
        assert_eq!(last["timeline"], 1, "{seen}");
        assert_eq!(last["databases"], 6, "{seen}");
        assert!(
            last["base"]
                .as_str()
                .unwrap()
                .starts_with("postgresql_base_"),
            "{seen}"
        );
        assert!(last["recovery_seconds"].as_f64().unwrap() > 0.0, "{seen}");
        // It is printed, and leads to the same.
        let words = last["words"].as_str().unwrap();
        let at = words
            .split("--at ")
            .nth(1)
            .unwrap()
            .split(' ')
            .next()
            .unwrap();
        let again = test.succeeds(&format!(
            "--at {at} --json --metrics {}",
            test.place.join("m").display()
        ));
        let said: Value = serde_json::from_slice(&again.stdout).unwrap();
        let again = said["checks"]
            .as_array()
            .unwrap()
            .iter()
            .rfind(|it| it["check"] == "recovery")
            .unwrap();
        for key in ["moment", "last_commit", "replay_lsn", "base"] {
            assert_eq!(again[key], last[key], "{key} of {at}");
        }
        let metrics = fs::read_to_string(test.place.join("m")).unwrap();
        assert!(
            metrics.contains("postgresql_backup_recovery_success{"),
            "{metrics}"
        );
        assert!(
            metrics.contains("postgresql_backup_recovery_duration_seconds{"),
            "{metrics}"
        );

        // It is what the WAL says.
        let (number, time) = &origin.commits()[40];
        let seen = test.succeeds(&format!("--at '{time}Z'"));
        seen.prints(&format!(
            "the last transaction of {}Z",
            time.replace(' ', "T")
        ));
        seen.prints("checked by pg_amcheck");
        assert_eq!(*number, 41);
        let seen = test.succeeds("--at end");
        let (_, time) = &origin.commits()[59];
        seen.prints(&format!(
            "the last transaction of {}Z",
            time.replace(' ', "T")
        ));
        // What cannot be reached is not good.
        test.fails(3, "--at '2020-01-01 00:00Z'")
            .prints("no base backup was whole before");
    }
}

/// Bytes that make a page's header one that no page has.
const ROT: [u8; 24] = [0x5a; 24];

/// Puts bytes into a relation's first page but one, or its first if it has no other, while the server is down.
fn rot(cluster: &mut Cluster, relation: &str, page: u64) -> Vec<u8> {
    let path = cluster.sql(
        "postgres",
        &format!("checkpoint; select pg_relation_filepath('{relation}')"),
    );
    cluster.stop();
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(cluster.data().join(path))
        .unwrap();
    let mut before = vec![0; ROT.len()];
    file.read_exact_at(&mut before, page * 8192).unwrap();
    file.write_all_at(&ROT, page * 8192).unwrap();
    cluster.go();
    before
}

#[test]
fn damage_that_was_copied_is_found() {
    let mut origin = Origin::new(Version::debian(), WalStore::directory(), "");
    origin.cluster.sql(
        "postgres",
        "create table rows as select i, md5(i::text) as t from generate_series(1, 5000) i; create index key on rows (t)",
    );
    // pg_dump reads no index.
    rot(&mut origin.cluster, "key", 3);
    origin.base();
    origin.write(1, 5);
    let test = Test::of(&origin);
    let seen = test.fails(3, "--at random");
    seen.prints("bad recovery database 'postgres', --at ");
    seen.prints("invalid page in block 3 of relation");
    seen.prints("ok recovery 'template1'");
    seen.says("1 of 3 databases came back damaged");
    seen.says("look whether the cluster itself has it (pg_amcheck)");
    origin.cluster.sql("postgres", "reindex index key");
    rot(&mut origin.cluster, "rows", 0);
    origin.base();
    origin.write(6, 10);
    let test = Test::of(&origin);
    let metrics = test.place.join("metrics");
    let seen = test.fails(3, &format!("--at end --metrics {}", metrics.display()));
    seen.prints("bad recovery database 'postgres', --at end: ERROR:  invalid page in block 0");
    let metrics = fs::read_to_string(metrics).unwrap();
    assert!(
        metrics.contains("postgresql_backup_check_grade{"),
        "{metrics}"
    );
    let failed = metrics.lines().any(|line| {
        line.starts_with("postgresql_backup_recovery_success{") && line.ends_with(" 0")
    });
    assert!(failed, "{metrics}");
}

#[test]
fn wal_that_is_lost_or_damaged_is_found() {
    let origin = Origin::new(Version::debian(), WalStore::directory(), "");
    let test = Test::of(&origin);
    fs::create_dir_all(origin.store.url()).unwrap();
    test.fails(3, "--at random")
        .prints("bad recovery there is no good base backup in ");
    origin.base();
    origin.write(1, 5);
    let before = origin.commits()[2].1.clone();
    origin.write(6, 10);
    origin.write(11, 15);
    let after = origin.commits()[12].1.clone();
    let segments = || -> Vec<String> {
        let names = origin.store.names().into_iter();
        names.filter(|it| it.len() == 24).collect()
    };
    // A record in it is another, and all the same it unpacks.
    let all = segments();
    let damaged = &all[all.len() - 2];
    let path = origin.store.path(damaged);
    let good = fs::read(&path).unwrap();
    let mut wal = origin.store.read(damaged);
    let used = wal.iter().rposition(|byte| *byte != 0).unwrap();
    wal[used / 2] ^= 0xff;
    fs::write(&path, Program::other("gzip").stdin(wal).succeeds().stdout).unwrap();
    let seen = test.fails(3, &format!("--at '{after}Z'"));
    seen.prints("bad recovery recovery --at ");
    seen.prints("FATAL:  recovery ended before configured recovery target was reached");
    fs::write(&path, good).unwrap();
    test.succeeds(&format!("--at '{after}Z'"));

    origin.store.lose(damaged);
    for at in ["end".to_owned(), format!("'{after}Z'")] {
        test.fails(3, &format!("--at {at}"))
            .prints("bad recovery recovery --at ");
    }
    // What is before the hole can be reached, although the store is not good.
    let seen = test.fails(3, &format!("--at '{before}Z'"));
    seen.prints("ok recovery --at ");
    test.fails(3, "--at random").prints("ok recovery --at ");
}

#[test]
fn what_a_cluster_may_have_does_not_disturb_the_test() {
    let store = WalStore::directory();
    let settings = format!(
        "{}track_commit_timestamp = on\narchive_timeout = 0\nmax_prepared_transactions = 2\n{REPLICATION}",
        store.archiving("--ahead 4")
    );
    // A superuser of another name, libraries that are not here, jobs in doubt that hold locks, a database that logs nothing.
    let cluster = Cluster::made_by(
        "the big boss",
        Version::debian(),
        &["--wal-segsize=1"],
        &settings,
    );
    let origin = Origin { cluster, store };
    let ask = |sql: &str| origin.cluster.sql("postgres", sql);
    ask("create table commits (i int)");
    ask("alter system set shared_preload_libraries = 'gone'");
    ask("alter database postgres set log_min_messages = 'panic'");
    ask("alter database postgres set lc_messages = 'C.UTF-8'");
    origin.base();
    ask("insert into commits values (1); create table held (i int)");
    ask(
        "begin; lock table held in access exclusive mode; insert into held values (9); prepare transaction 'it''s \"in\" doubt'",
    );
    write(&origin.cluster, 2, 5);
    let test = Test::of(&origin);
    let seen = test.succeeds("--at end");
    seen.prints("1 prepared transaction in doubt there");
    seen.prints("the target by PostgreSQL's own word");
    // With its name, nothing is forgotten.
    test.program("--at end")
        .env("PGUSER", "the big boss")
        .succeeds()
        .prints("the last transaction of ");
    test.is_gone();
    ask("rollback prepared 'it''s \"in\" doubt'");

    ask("alter system reset shared_preload_libraries");

    // A standby's base backup.
    let standby = Cluster::standby_of(&origin.cluster, "standby", "");
    origin.cluster.is_followed_by(&standby);
    base(&standby, &origin.store);
    write(&origin.cluster, 6, 9);
    test.succeeds("--at random");
}

#[test]
fn what_the_machine_lacks_is_not_the_store_s_fault() {
    let origin = Origin::new(Version::debian(), WalStore::directory(), "");
    // A type whose library is gone.
    let library = Scratch::new();
    let libraries = Program::other(Version::debian().bin().join("pg_config"))
        .arg("--pkglibdir")
        .succeeds()
        .out();
    let copy = library.join("rare.so");
    Program::other("cp")
        .arg(format!("{libraries}/hstore.so"))
        .arg(&copy)
        .succeeds();
    origin.cluster.sql("postgres", "create database shop");
    let file = copy.display();
    origin.cluster.sql(
        "shop",
        &format!(
            "create type rare;
             create function rare_in(cstring) returns rare strict immutable language c as '{file}', 'hstore_in';
             create function rare_out(rare) returns cstring strict immutable language c as '{file}', 'hstore_out';
             create type rare (internallength = -1, input = rare_in, output = rare_out, storage = extended);
             create table things (thing rare);
             insert into things values ('a=>1')"
        ),
    );
    origin.base();
    origin.write(1, 5);
    let test = Test::of(&origin);
    test.succeeds("--at end");
    fs::remove_file(&copy).unwrap();
    let seen = test.fails(1, "--at end");
    seen.prints(
        "bad recovery database 'shop', --at end could not be tested: ERROR:  could not access file",
    );
    seen.prints("ok recovery 'postgres'");
    seen.says("1 of 4 databases could not be tested, which says nothing about the backup");
    seen.says("install the package of the extension");
    fs::remove_dir_all(library.path()).unwrap();

    // Another major version, and too little room.
    let other = Version::of(18);
    let bin = format!("--pg-bindir '{}'", other.bin().display());
    let line = format!(
        "exec \"$PROGRAM\" {} --restore-test --wal-only --at end {bin}",
        origin.store.url()
    );
    Program::sh(&line)
        .env("PROGRAM", e2e::tool::program("backup-verify"))
        .fails(1)
        .prints("could not be tested: the base backup is of PostgreSQL 15, and the server here is PostgreSQL 18");
    // A disk that is too small, that is full when the base backup is unpacked, and when the WAL is replayed.
    copy_databases(&origin.cluster, 12);
    origin.write(6, 10);
    for (options, words) in [
        ("20m", " free, and the cluster takes "),
        ("500m,nr_inodes=300", "No space left on device"),
        ("100m", "No space left on device"),
    ] {
        let disk = Volume::mount(test.place.join(options), options);
        let line = format!(
            "exec \"$PROGRAM\" {} --restore-test --wal-only --at end --work-dir '{}' --pg-bindir '{}'",
            origin.store.url(),
            disk.path().display(),
            origin.cluster.version().bin().display()
        );
        let seen = Program::sh(&line)
            .env("PROGRAM", e2e::tool::program("backup-verify"))
            .fails(1);
        seen.prints("could not be tested: ");
        seen.prints(words);
        seen.says("make room, or take a larger volume; --work-dir names another directory");
        assert_eq!(scratch::names(disk.path()), [""; 0]);
    }
}

#[test]
fn a_killed_test_leaves_nothing_for_long() {
    let origin = Origin::new(Version::debian(), WalStore::directory(), "");
    origin.base();
    origin.write(1, 5);
    let test = Test::of(&origin);
    for signal in [Signal::TERM, Signal::KILL] {
        for begun in ["data", "data/global/pg_control", "data/postmaster.pid"] {
            let mut running = test.program("--at end").spawn();
            wait_for("the test", || {
                let names = scratch::names(test.servers());
                let begun = names
                    .iter()
                    .any(|it| test.servers().join(it).join(begun).exists());
                (begun || running.ended()).then_some(())
            });
            running.signal(signal);
            let seen = running.wait();
            if signal == Signal::TERM {
                test.is_gone();
                assert!(matches!(seen.code(), Some(0 | 143)), "{seen}");
            }
        }
    }
    test.succeeds("--at end");
}
