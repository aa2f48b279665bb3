//! The cluster that comes back.

use std::path::Path;

use e2e::{Cluster, Program, Scratch, Seen, Version, WalStore, scratch, wait_for};

use super::commits::{Commit, commits, numbers_in};

/// A server that archives its WAL, and a store with base backups of it.
pub(crate) struct Origin {
    pub(crate) cluster: Cluster,
    pub(crate) store: WalStore,
}

impl Origin {
    pub(crate) fn new(version: Version, store: WalStore, settings: &str) -> Self {
        let settings = format!(
            "{}track_commit_timestamp = on\narchive_timeout = 0\n{settings}",
            store.archiving("--ahead 4")
        );
        let cluster = Cluster::with(version, &["--wal-segsize=1"], &settings);
        cluster.sql("postgres", "create table commits (i int)");
        Self { cluster, store }
    }

    pub(crate) fn base(&self) {
        base(&self.cluster, &self.store);
    }

    /// A transaction for each number, and then the end of the segment.
    pub(crate) fn write(&self, first: usize, last: usize) {
        write(&self.cluster, first, last);
    }

    pub(crate) fn commits(&self) -> Vec<Commit> {
        commits(&self.cluster)
    }

    /// `restore-stream STORE` with these arguments, into this directory.
    pub(super) fn restore(&self, args: &str, data: &Path) -> Program {
        self.restore_anywhere(args, data).on(&self.cluster)
    }

    /// The same on a machine that need not have a server of its version.
    pub(super) fn restore_anywhere(&self, args: &str, data: &Path) -> Program {
        let args = format!(
            "{} --data-dir '{}' {args}",
            self.store.url(),
            data.display()
        );
        Program::sh(&format!(
            "exec {}",
            self.store.line("restore-stream", &args)
        ))
    }

    /// The recovered cluster, of which the server may be written to.
    pub(super) fn recovered(&self, args: &str) -> Cluster {
        let mut restored = self.restored(args);
        restored.recover().unwrap();
        restored
    }

    /// The cluster that is to recover.
    pub(super) fn restored(&self, args: &str) -> Cluster {
        self.cluster.filled(|data| {
            let seen = self.restore(args, data).succeeds();
            assert_eq!(seen.out(), data.display().to_string());
            seen.says("pg_ctl -D ");
        })
    }

    /// The commits in the database alone, which is restored beside itself.
    pub(super) fn numbers_alone(&self, args: &str) -> Vec<usize> {
        let place = Scratch::new();
        let args = format!(
            "{} --database postgres --as alone --work-dir '{}' {args}",
            self.store.url(),
            place.path().display()
        );
        Program::sh(&self.store.line("restore-stream", &args))
            .on(&self.cluster)
            .succeeds();
        assert_eq!(scratch::names(place.path()), [""; 0]);
        let found = numbers_in("alone", "commits", &self.cluster);
        self.cluster.sql("postgres", "drop database alone");
        found
    }

    /// What is said of a restore that is not done, which leaves nothing.
    pub(super) fn refused(&self, code: i32, args: &str) -> Seen {
        let place = Scratch::new();
        let data = place.join("data");
        let seen = self.restore(args, &data).fails(code);
        assert!(!data.exists(), "{seen}");
        seen
    }
}

pub(crate) fn base(cluster: &Cluster, store: &WalStore) {
    let line = format!(
        "pgdump-gz --base --checkpoint fast | {}",
        store.line("blob-put", &format!("- {}/", store.url()))
    );
    Program::sh(&line).on(cluster).succeeds();
}

pub(crate) fn write(cluster: &Cluster, first: usize, last: usize) {
    write_in("postgres", cluster, first, last);
}

pub(super) fn write_in(database: &str, cluster: &Cluster, first: usize, last: usize) {
    cluster.sql(
        database,
        &format!(
            "do $$ begin for i in {first}..{last} loop insert into commits values (i); commit; perform pg_sleep(random() * 0.01); end loop; end $$;
             select pg_switch_wal()"
        ),
    );
    archived(cluster);
}

/// Waits until the archiver has nothing to do.
pub(super) fn archived(cluster: &Cluster) {
    wait_for("the archiver", || {
        let status = scratch::names(cluster.data().join("pg_wal/archive_status"));
        (!status.iter().any(|name| name.ends_with(".ready"))).then_some(())
    });
}
