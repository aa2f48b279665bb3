//! `restore-stream --at TIME --database DB`: one database as it was, into the living server, beside everything else.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use e2e::{Program, Scratch, Seen, Version, Volume, WalStore, scratch, wait_for};
use rustix::process::Signal;

use super::{Origin, commits_in, numbers_in, until, write_in};

/// A name that is quoted everywhere.
const SHOP: &str = "it's a \"Shop\" \u{1f6d2} $1";

/// A cluster that goes on living, with a base backup and WAL, and a directory for private servers.
struct Living {
    origin: Origin,
    place: Scratch,
}

impl Living {
    fn new(version: Version, store: WalStore) -> Self {
        let settings = "max_prepared_transactions = 2\n";
        let origin = Origin::new(version, store, settings);
        let sql = |database: &str, sql: &str| origin.cluster.sql(database, sql);
        sql(
            "postgres",
            &format!("create database \"{}\"", SHOP.replace('"', "\"\"")),
        );
        sql(SHOP, "create table commits (i int)");
        origin.base();
        write_in(SHOP, &origin.cluster, 1, 20);
        let place = Scratch::new();
        place.make("work");
        Self { origin, place }
    }

    /// `restore-stream STORE --database SHOP` with these arguments, words of `sh`, into the living server.
    fn restore(&self, args: &str) -> Program {
        self.restore_in(&self.place.join("work"), args)
    }

    fn restore_in(&self, work: &Path, args: &str) -> Program {
        let args = format!(
            "{} --database \"$SHOP\" --work-dir '{}' {args}",
            self.origin.store.url(),
            work.display()
        );
        Program::sh(&format!(
            "exec {}",
            self.origin.store.line("restore-stream", &args)
        ))
        .on(&self.origin.cluster)
        .env("SHOP", SHOP)
    }

    /// What is said of a restore that is not done, which leaves nothing, here and there.
    fn refused(&self, code: i32, args: &str) -> Seen {
        self.untouched(|| self.restore(args).fails(code))
    }

    fn untouched<T>(&self, work: impl FnOnce() -> T) -> T {
        let look = || {
            let names = self.origin.cluster.databases();
            (names, numbers_in(SHOP, "commits", &self.origin.cluster))
        };
        let before = look();
        let done = work();
        assert_eq!(look(), before);
        self.is_tidy();
        done
    }

    fn is_tidy(&self) {
        let left = scratch::names(self.place.join("work"));
        assert!(left.is_empty(), "{left:?}");
    }

    fn numbers(&self, database: &str) -> Vec<usize> {
        numbers_in(database, "commits", &self.origin.cluster)
    }
}

#[test]
fn a_database_comes_back_beside_everything_else() {
    for (store, major) in WalStore::both().into_iter().zip([14, 18]) {
        let living = Living::new(Version::of(major), store);
        let cluster = &living.origin.cluster;
        // Whoever dumps it waits for its lock.
        cluster.sql(
            SHOP,
            "begin; lock table commits; insert into commits values (99); prepare transaction 'in \"doubt\"'",
        );
        write_in("postgres", cluster, 1, 3);
        cluster.sql(SHOP, "rollback prepared 'in \"doubt\"'");
        write_in(SHOP, cluster, 21, 40);
        let all = commits_in(SHOP, cluster);
        let (_, early) = &all[7];
        let (_, doubtful) = &commits_in("postgres", cluster)[1];

        living
            .restore(&format!("--at '{early}Z' --as back"))
            .succeeds()
            .says("a private server of PostgreSQL ");
        living.is_tidy();
        assert_eq!(living.numbers("back"), until(&all, early));
        assert_eq!(living.numbers(SHOP).len(), 40);
        living
            .restore(&format!("--at '{doubtful}Z' --as 'in doubt' --jobs 2"))
            .succeeds()
            .says("'in \"doubt\"' of database 'it's a \"Shop\"");
        assert_eq!(living.numbers("in doubt").len(), 20);
        living.restore("--at end --as 'all of it'").succeeds();
        assert_eq!(living.numbers("all of it").len(), 40);

        // One table, into the living database and elsewhere.
        living
            .restore(&format!(
                "--at '{early}Z' --table commits --into-table before"
            ))
            .succeeds();
        assert_eq!(numbers_in(SHOP, "before", cluster), until(&all, early));
        let rows = living
            .restore(&format!(
                "--at '{early}Z' --exclusive --table commits -- cat"
            ))
            .succeeds();
        assert!(
            rows.out().contains("\n7\n") && !rows.out().contains("\n8\n"),
            "{rows}"
        );

        // What cannot be is said before anything is read.
        living
            .refused(4, &format!("--at '{early}Z'"))
            .says("is there and is not empty")
            .hides("a private server");
        living
            .refused(3, "--at '2020-01-01 00:00Z' --as never")
            .says("these moments can be reached: from ");
        living
            .refused(3, "--at '2100-01-01 00:00Z' --as never")
            .says("ends with the transaction of ");
        living.untouched(|| {
            let nothing = living.restore("--at end --as never").env("SHOP", "nothing");
            nothing.fails(1).says("there is no database 'nothing' in '");
        });

        living
            .restore(&format!("--at '{early}Z' --replace --yes"))
            .succeeds();
        living.is_tidy();
        assert_eq!(living.numbers(SHOP), until(&all, early));
        let names = cluster.databases();
        let old = names.iter().find(|it| it.contains("_replaced_")).unwrap();
        assert_eq!(living.numbers(old).len(), 40);
    }
}

#[test]
fn a_failure_leaves_nothing_and_a_killed_run_is_swept() {
    let living = Living::new(Version::debian(), WalStore::directory());
    let at = "--at end --as back";
    // Killed while its server is there.
    let work = living.place.join("work");
    let is_there = || {
        let mut entries = fs::read_dir(&work).unwrap().flatten();
        entries.any(|it| it.path().join("data/postmaster.pid").exists())
    };
    for (signal, code) in [(Signal::TERM, Some(143)), (Signal::KILL, None)] {
        let mut running = living.restore(at).spawn();
        wait_for("the private server", || {
            (is_there() || running.ended()).then_some(())
        });
        running.signal(signal);
        let seen = running.wait();
        assert_eq!(seen.code(), code, "{seen}");
        assert_eq!(
            scratch::names(&work).is_empty(),
            signal == Signal::TERM,
            "{seen}"
        );
        assert_eq!(living.origin.cluster.databases(), [SHOP, "postgres"]);
    }
    living
        .restore(at)
        .succeeds()
        .says("which a run that was killed has left");
    living.is_tidy();
    assert_eq!(living.numbers("back").len(), 20);
}

#[test]
fn a_disk_that_is_full_and_a_server_that_fails() {
    let living = Living::new(Version::debian(), WalStore::directory());
    let at = "--at end --as back";
    for (options, code, words) in [
        ("20m", 4, " free, and the cluster takes "),
        ("500m,nr_inodes=300", 1, "No space left on device"),
    ] {
        let disk = Volume::mount(living.place.join(options), options);
        living.untouched(|| {
            living.restore_in(disk.path(), at).fails(code).says(words);
        });
        assert!(scratch::names(disk.path()).is_empty());
    }
    // A server that ends while it recovers.
    let bin = living.origin.cluster.version().bin();
    let fake = living.place.make("bin");
    for name in ["initdb", "pg_controldata", "pg_dump", "pg_dumpall"] {
        symlink(bin.join(name), fake.join(name)).unwrap();
    }
    let real = bin.join("postgres");
    living.place.script(
        "bin/postgres",
        &format!(
            "[ \"$1\" = --version ] && exec {} --version\necho 'LOG:  replaying' >&2\necho 'FATAL:  the replay broke' >&2\nexit 1",
            real.display()
        ),
    );
    living
        .refused(1, &format!("{at} --pg-bindir '{}'", fake.display()))
        .says("cannot recover to the end of the archived WAL: ")
        .says("FATAL:  the replay broke");
    // Another version.
    let other = Version::of(18);
    living
        .refused(4, &format!("{at} --pg-bindir '{}'", other.bin().display()))
        .says("no other major version starts on it");
    // A tablespace lies outside of the data directory: where the living server has it.
    let cluster = &living.origin.cluster;
    let place = cluster.server_dir("space");
    cluster.sql(
        "postgres",
        &format!("create tablespace space location '{}'", place.display()),
    );
    write_in(SHOP, cluster, 21, 22);
    living.refused(4, at).says(&format!(
        "the WAL creates a tablespace in '{}'",
        place.display()
    ));
    // Before that it can be done.
    let all = commits_in(SHOP, cluster);
    living
        .restore(&format!("--at '{}Z' --as back", all[10].1))
        .succeeds();
    assert_eq!(living.numbers("back").len(), 11);
}
