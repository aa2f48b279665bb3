//! `backup-verify --restore-test --at`: a store that leads back to a moment passes, one that does not is found out, and what
//! the machine lacks is not said to be the store's fault. Nothing of the test is left behind.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use e2e::postgres::REPLICATION;
use e2e::{Cluster, Program, Scratch, Seen, Version, WalStore, scratch, wait_for};
use rustix::process::Signal;
use serde_json::Value;

use crate::recovery::{Origin, base, numbers};

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
        let moment = last["moment"].as_str().unwrap();
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
            assert_eq!(again[key], last[key], "{key} of {moment}");
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
