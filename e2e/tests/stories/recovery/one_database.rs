//! `restore-stream --at TIME --database DB`: one database as it was, into the living server, beside everything else.

pub(crate) mod faults;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use e2e::{
    Azurite, Chance, Program, Proxy, Scratch, Seen, Version, WalStore, compare, sample, scratch,
    wait_for,
};

use super::{Origin, commits_in, numbers_in, some_moment, until, write_in};

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
        sql(
            SHOP,
            "create table commits (i int); create unlogged table unlogged as select 1; select lo_from_bytea(7, 'before')",
        );
        origin.base();
        sql(SHOP, "select lo_put(7, 0, 'behind')");
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
        self.restore_from(&self.origin.store.url(), work, args)
    }

    fn restore_from(&self, store: &str, work: &Path, args: &str) -> Program {
        let args = format!(
            "{store} --database \"$SHOP\" --work-dir '{}' {args}",
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

    /// No file is left, and no process.
    fn is_tidy(&self) {
        let work = self.place.join("work");
        let left = scratch::names(&work);
        assert!(left.is_empty(), "{left:?}");
        wait_for("the private server to be gone", || {
            let mut processes = fs::read_dir("/proc").unwrap().flatten();
            let runs = processes.any(|it| {
                fs::read_link(it.path().join("cwd")).is_ok_and(|cwd| cwd.starts_with(&work))
            });
            (!runs).then_some(())
        });
    }

    /// The programs of a server that does not get the last segment before the file is there.
    fn slow_server(&self, go: &Path) -> PathBuf {
        let names = self.origin.store.names();
        let last = names.iter().rfind(|it| it.len() == 24).unwrap();
        let bin = self.origin.cluster.version().bin();
        self.programs_with(
            "postgres",
            &format!(
                "[ \"$1\" = --version ] && exec {postgres} --version\nexec {postgres} \"$@\" -c restore_command=\"[ %f != {last} ] || until [ -e '{}' ]; do sleep 0.1; done; false\"",
                go.display(),
                postgres = bin.join("postgres").display()
            ),
        )
    }

    /// A directory for `--pg-bindir`: the server's programs, one of them a script of this text.
    fn programs_with(&self, replaced: &str, script: &str) -> PathBuf {
        let bin = self.origin.cluster.version().bin();
        let place = self.place.make(format!("with-another-{replaced}"));
        for name in [
            "initdb",
            "pg_controldata",
            "pg_dump",
            "pg_dumpall",
            "postgres",
        ] {
            if name != replaced {
                symlink(bin.join(name), place.join(name)).unwrap();
            }
        }
        self.place
            .script(&format!("with-another-{replaced}/{replaced}"), script);
        place
    }

    fn numbers(&self, database: &str) -> Vec<usize> {
        numbers_in(database, "commits", &self.origin.cluster)
    }
}

#[test]
fn a_database_comes_back_beside_everything_else() {
    let mut chance = Chance::new();
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
        let count: usize = std::env::var("E2E_MOMENTS").map_or(1, |it| it.parse().unwrap());
        for number in 0..count {
            let some = some_moment(&mut chance, &all);
            living
                .restore(&format!("--at '{some}Z' --as 'moment {number}'"))
                .succeeds();
            let found = living.numbers(&format!("moment {number}"));
            assert_eq!(found, until(&all, &some), "{some}");
        }
        living.restore("--at end --as 'all of it'").succeeds();
        assert_eq!(living.numbers("all of it").len(), 40);
        let found = "select (select count(*) from unlogged), convert_from(lo_get(7), 'UTF8')";
        assert_eq!(cluster.sql("all of it", found), "0|behind");
        assert_eq!(cluster.sql(SHOP, found), "1|behind");

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

/// What is read of a base backup: the database, and not the large one beside it; or all, where that is not safe.
#[test]
fn only_what_is_needed_is_read_where_that_is_safe() {
    let azurite = Azurite::shared();
    for (major, full_page_writes) in [(14, true), (18, true), (15, false)] {
        let settings = match full_page_writes {
            true => "",
            false => "full_page_writes = off\n",
        };
        let origin = Origin::new(Version::of(major), WalStore::container(), settings);
        let cluster = &origin.cluster;
        for name in ["shop", "other"] {
            cluster.sql("postgres", &format!("create database {name}"));
        }
        cluster.sql("shop", "create table commits (i int)");
        sample::bulk(cluster, "other", "large", 16);
        cluster.sql("other", "create table busy as select i, 0 as n from generate_series(1, 5000) i; create index on busy (i)");
        origin.base();
        write_in("shop", cluster, 1, 5);
        // What happens to files that are not there.
        for sql in [
            "update busy set n = n + 1 where i % 7 = 0",
            "vacuum full large",
            "truncate busy; insert into busy values (1, 1)",
            "reindex table busy",
            "vacuum busy",
        ] {
            cluster.sql("other", sql);
        }
        cluster.sql("postgres", "create database copied template other");
        cluster.sql(
            "copied",
            "create table more as select generate_series(1, 1000) i",
        );
        cluster.sql("postgres", "drop database copied");
        write_in("shop", cluster, 6, 10);
        let all = commits_in("shop", cluster);

        let container = origin.store.azure().unwrap();
        let sizes = || {
            let names = container.names().into_iter();
            let bases = names.filter(|it| it.ends_with(".tar.gz"));
            bases
                .map(|it| container.read(&it).len() as u64)
                .sum::<u64>()
        };
        let whole = sizes();
        let place = Scratch::new();
        let restore = |args: &str| {
            let proxy = Proxy::to(azurite.port());
            let args = format!(
                "{} --work-dir '{}' --database shop {args}",
                container.url_at(proxy.port()),
                place.path().display()
            );
            let seen = Program::sh(&format!(
                "exec {}",
                origin.store.line("restore-stream", &args)
            ))
            .on(cluster)
            .succeeds();
            (seen, proxy.bytes_asked(".tar.gz"))
        };
        let (seen, asked) = restore(&format!("--at '{}Z' --as back", all[8].1));
        assert_eq!(
            numbers_in("back", "commits", cluster),
            until(&all, &all[8].1)
        );
        println!("PostgreSQL {major}: {asked} of {whole} bytes");
        match full_page_writes {
            true => {
                seen.says("without 1 other database")
                    .hides("all of the base backup");
                assert!(asked < whole / 2, "{asked} of {whole}\n{seen}");
            }
            false => {
                seen.says("without the other databases")
                    .says(": all of the base backup is read");
                assert!(asked > whole, "{asked} of {whole}\n{seen}");
            }
        }
        if major == 14 {
            restore("--at end --as 'the end'");
            compare::same_text(
                ("the database", &cluster.dump_one("shop")),
                ("the end", &cluster.dump_one("the end")),
            );
        }
        if major == 18 {
            // Another database has the name now, and its files are those of one that was left out.
            cluster.sql(
                "postgres",
                "alter database shop rename to old; alter database other rename to shop",
            );
            write_in("old", cluster, 11, 12);
            let (seen, asked) = restore("--at end --as renamed");
            seen.says(": all of the base backup is read");
            assert!(asked > whole / 2, "{asked} of {whole}\n{seen}");
            assert_eq!(cluster.sql("renamed", "select count(*) from busy"), "1");
        }
        let left = scratch::names(place.path());
        assert!(left.is_empty(), "{left:?}");
    }
}

/// A replay says how far it is: a log hears of it every 30 s, a terminal at once.
#[test]
fn a_long_replay_says_how_far_it_is() {
    let living = Living::new(Version::debian(), WalStore::directory());
    let cluster = &living.origin.cluster;
    write_in(SHOP, cluster, 21, 22);
    write_in(SHOP, cluster, 23, 24);
    let place = &living.place;
    let go = place.join("go");
    let slow = living.slow_server(&go);
    let screen = place.write("screen", "");
    let args = format!(
        "{} --database \"$SHOP\" --as back --at end --yes --work-dir '{}' --pg-bindir '{}'",
        living.origin.store.url(),
        place.join("work").display(),
        slow.display()
    );
    let line = living.origin.store.line("restore-stream", &args);
    let mut running = Program::other("script")
        .args(["-qefc", &line])
        .arg(&screen)
        .on(cluster)
        .env("SHOP", SHOP)
        .stdin("")
        .spawn();
    let shows = |count: usize| {
        let said = fs::read_to_string(&screen).unwrap_or_default();
        let fetched = format!("fetched {count} segments of WAL");
        let bar = format!(" {}.00 MiB/{count}.00 MiB ", count - 1);
        let mut lines = said.split(['\r', '\n']);
        said.contains(&fetched) && lines.any(|it| it.contains("replaying WAL") && it.contains(&bar))
    };
    wait_for("the bar", || {
        ((2..20).any(shows) || running.ended()).then_some(())
    });
    fs::write(&go, "").unwrap();
    let seen = running.wait();
    assert_eq!(seen.code(), Some(0), "{seen}");
    assert!((2..20).any(shows), "{seen}");
    living.is_tidy();
    assert_eq!(living.numbers("back"), living.numbers(SHOP));
}
