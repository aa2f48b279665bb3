//! One database of a base backup without restore-stream.

use std::time::Instant;

use super::origin::{BACK, Origin, WANTED};
use crate::postgres::own;

/// What is done.
pub(super) const IN_WORDS: &str = "by hand: igzip -dc | tar -x, pg_ctl start, pg_dump | psql";
/// The directory of the server and its socket.
const PLACE: &str = "by-hand";

/// Starts a server, and waits until it has recovered: where no session may come before that, `pg_ctl` waits for less.
const RECOVER: &str = "\
pg_ctl start -w -D data -l log -o '-c hot_standby=off' || { cat log >&2; exit 1; }
until pg_isready -q -h \"$PWD\"; do
    [ -e data/postmaster.pid ] || { cat log >&2; exit 1; }
    sleep 0.01
done";

/// How long it took to bring a database back, in seconds.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Times {
    /// All of it.
    pub(super) wall: f64,
    /// From the start of the server on the base backup until it had recovered.
    pub(super) replay: f64,
}

/// Does it.
///
/// # Panics
/// When that fails.
pub(super) fn timed(origin: &Origin) -> Times {
    let place = origin.empty(PLACE);
    own(&place);
    let sh = |script: &str| {
        let script = format!("cd '{}'\n{script}", place.display());
        let out = origin.cluster.as_owner(&script).output().expect("sh");
        let said = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success(), "{script}: {}\n{said}", out.status);
    };
    let started = Instant::now();
    sh(&unpack(origin));
    let unpacked = started.elapsed();
    sh(RECOVER);
    let recovered = started.elapsed();
    sh(&format!(
        "createdb {BACK}\npg_dump -h '{}' {WANTED} | psql -Xq {BACK} >log.psql",
        place.display()
    ));
    let wall = started.elapsed();
    sh("pg_ctl stop -m immediate -D data");
    origin.take_away();
    Times {
        wall: wall.as_secs_f64(),
        replay: (recovered - unpacked).as_secs_f64(),
    }
}

/// A script that makes a data directory which recovers to the moment.
fn unpack(origin: &Origin) -> String {
    let base = origin.base.display();
    let settings = [
        ("archive_mode", "off".to_owned()),
        ("restore_command", "false".to_owned()),
        (
            "recovery_target_time",
            origin.moment.replace('T', " ").replace('Z', "+00"),
        ),
        ("recovery_target_action", "promote".to_owned()),
        (
            "unix_socket_directories",
            origin.work.join(PLACE).display().to_string(),
        ),
    ];
    let mut script = format!(
        "mkdir -m 700 data\nigzip -dc '{base}' | tar -x -C data\ncd data\n: >recovery.signal\n"
    );
    for path in &origin.window {
        let segment = path.file_stem().unwrap_or_default().display();
        script += &format!("igzip -dc '{}' >pg_wal/{segment}\n", path.display());
    }
    for (name, value) in settings {
        script += &format!("echo \"{name} = '{value}'\" >>postgresql.auto.conf\n");
    }
    script
}
