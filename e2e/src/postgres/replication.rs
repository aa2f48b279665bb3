//! Streaming replication: a primary and its standby.

use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;

use super::{Cluster, as_server, own};
use crate::{Scratch, wait_for};

/// What a primary's `postgresql.conf` needs. What was committed has been written to the WAL that a standby is compared
/// with.
pub const REPLICATION: &str = "
wal_level = replica
synchronous_commit = local
max_wal_senders = 8
max_replication_slots = 8
wal_receiver_status_interval = 1s
wal_retrieve_retry_interval = 100ms
";

impl Cluster {
    /// Makes a standby with `pg_basebackup -R`, as the runbook does, and starts it. It has a replication slot of this name on
    /// the primary, and lines of its own for `postgresql.conf`.
    ///
    /// # Panics
    /// When that fails.
    pub fn standby_of(primary: &Self, slot: &str, settings: &str) -> Self {
        let scratch = Scratch::new();
        for name in ["data", "socket"] {
            own(&scratch.make(name));
        }
        let data = scratch.join("data");
        fs::set_permissions(&data, Permissions::from_mode(0o700)).expect("chmod");
        let copied = as_server(&primary.server_bin.join("pg_basebackup"))
            .args(["--write-recovery-conf", "--checkpoint=fast", "--no-sync"])
            .args(["--create-slot", "--slot", slot, "--pgdata"])
            .arg(&data)
            .envs(primary.env())
            .current_dir("/")
            .output()
            .expect("pg_basebackup");
        let said = String::from_utf8_lossy(&copied.stderr);
        assert!(
            copied.status.success(),
            "pg_basebackup: {}\n{said}",
            copied.status
        );
        let lines = format!("{settings}\n");
        let conf = File::options()
            .append(true)
            .open(data.join("postgresql.conf"));
        let mut conf = conf.expect("postgresql.conf");
        conf.write_all(lines.as_bytes()).expect("postgresql.conf");
        let mut standby = Self {
            server: None,
            version: primary.version.clone(),
            superuser: primary.superuser.clone(),
            server_bin: primary.server_bin.clone(),
            clock: None,
            scratch,
        };
        standby.go();
        standby
    }

    /// Waits until a standby has replayed all that this primary has written.
    ///
    /// # Panics
    /// When it does not.
    pub fn is_followed_by(&self, standby: &Self) {
        let written = self.sql("postgres", "select pg_current_wal_flush_lsn()");
        let question = format!("select pg_last_wal_replay_lsn() >= '{written}'");
        wait_for("the standby", || {
            (standby.sql("postgres", &question) == "t").then_some(())
        });
    }

    /// Waits until a standby's receiver streams, or has ended.
    ///
    /// # Panics
    /// When it does not.
    pub fn receives(&self, streaming: bool) {
        let question = "select count(*) from pg_stat_wal_receiver where status = 'streaming'";
        let wanted = u8::from(streaming).to_string();
        wait_for("the receiver", || {
            (self.sql("postgres", question) == wanted).then_some(())
        });
    }
}
