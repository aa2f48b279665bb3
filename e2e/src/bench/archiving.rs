//! A server that archives its WAL.

use std::process::Command;

use crate::{Cluster, scratch, wait_for};

/// Runs a program.
///
/// # Panics
/// When it fails.
pub(super) fn run(command: &mut Command) {
    let out = command.output().expect("a program");
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{command:?}: {}\n{said}", out.status);
}

/// Lets a server archive by another command from now on.
pub(super) fn archive_by(cluster: &Cluster, command: &str) {
    let command = command.replace('\'', "''");
    cluster.sql(
        "postgres",
        &format!("alter system set archive_command = '{command}'"),
    );
    cluster.sql("postgres", "select pg_reload_conf()");
}

/// The segments that wait for the archiver.
pub(super) fn backlog(cluster: &Cluster) -> usize {
    let status = scratch::names(cluster.data().join("pg_wal/archive_status"));
    status
        .iter()
        .filter(|name| name.ends_with(".ready"))
        .count()
}

/// Waits until none does.
pub(super) fn drained(cluster: &Cluster) {
    wait_for("the archiver", || (backlog(cluster) == 0).then_some(()));
}
