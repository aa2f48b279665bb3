//! Data that a cluster recovers on, and the settings that a private server has for that.
//!
//! None of the cluster's own settings hold. They name libraries, certificates, directories and commands that this machine
//! need not have, or that must not be touched from here, and more memory than there may be.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use pg_client::Child;

use crate::{Error, ErrorKind, ServerDirectory, log};

/// What is kept of the data's `postgresql.auto.conf`: where the WAL comes from, and where the recovery stops.
const KEPT: [&str; 8] = [
    "recovery_target",
    "recovery_target_inclusive",
    "recovery_target_lsn",
    "recovery_target_name",
    "recovery_target_time",
    "recovery_target_timeline",
    "recovery_target_xid",
    "restore_command",
];
/// Everybody who reaches the socket is let in; only the server's user and root do.
const ACCESS: &str = "local all all trust\n";
/// Nobody wants the data when the server has ended, however it ends: nothing waits for the disk. The server is reached
/// when it has recovered, and not before (`hot_standby`), so that it need not be as large as the cluster was
/// (PostgreSQL documentation, 27.4.3). It must not reach out: a subscription that goes on would use up the slot of the
/// cluster's own. Dynamic shared memory is in files, because a container's `/dev/shm` is small.
const SETTINGS: &str = "\
archive_mode = off
autovacuum = off
dynamic_shared_memory_type = mmap
fsync = off
full_page_writes = off
hot_standby = off
huge_pages = off
jit = off
listen_addresses = ''
max_connections = 40
max_logical_replication_workers = 0
max_replication_slots = 1000
max_wal_senders = 0
recovery_target_action = promote
restart_after_crash = off
shared_buffers = 128MB
synchronous_commit = off
";
/// Settings that came with a later major version. Triggers on logins are the cluster's code.
const LATER: [(u32, &str); 2] = [
    (17, "event_triggers = off\n"),
    (18, "max_active_replication_origins = 1000\n"),
];
const CONNECTIONS: u64 = 40;
/// Transactions that may be in doubt at once, at least. More than the cluster allowed cannot be.
const LEAST_PREPARED: u64 = 64;
/// `max_locks_per_transaction`, at least: a dump locks every table.
const LEAST_LOCKS: u64 = 1024;

/// What `pg_controldata` says of the data, by its labels, which are these in the locale C.
struct Control(BTreeMap<String, u64>);

/// The files that the server is told its settings by.
#[derive(Debug)]
pub(crate) struct Configuration {
    settings: PathBuf,
    access: PathBuf,
    users: PathBuf,
}

impl Configuration {
    /// Writes them beside the data, and takes the cluster's settings out of the data.
    ///
    /// # Errors
    /// [`ErrorKind::Directory`]; [`ErrorKind::NotStarted`], where there are no data.
    pub(crate) fn write(directory: &ServerDirectory, major: u32) -> Result<Self, Error> {
        let control = Control::read(directory)?;
        let files = Self {
            settings: directory.path().join("postgresql.conf"),
            access: directory.path().join("pg_hba.conf"),
            users: directory.path().join("pg_ident.conf"),
        };
        write(&files.settings, &settings(&control, major))?;
        write(&files.access, ACCESS)?;
        write(&files.users, "")?;
        let auto = directory.data().join("postgresql.auto.conf");
        let theirs = fs::read(&auto).map_err(|error| {
            Error::directory(format_args!("cannot read '{}'", auto.display()), &error)
        })?;
        write(&auto, &kept(&String::from_utf8_lossy(&theirs)))?;
        Ok(files)
    }

    /// The server's options.
    pub(crate) fn options(&self) -> Vec<String> {
        [
            ("config_file", &self.settings),
            ("hba_file", &self.access),
            ("ident_file", &self.users),
        ]
        .map(|(name, path)| format!("{name}={}", path.display()))
        .to_vec()
    }
}

impl Control {
    fn read(directory: &ServerDirectory) -> Result<Self, Error> {
        let failed = |error: pg_client::Error| Error::program(ErrorKind::NotStarted, &error);
        let mut command = directory.program("pg_controldata", None);
        command
            .arg("-D")
            .arg(directory.data())
            .stdout(Stdio::piped());
        let mut child = Child::spawn(command).map_err(failed)?;
        let mut said = Vec::new();
        if let Some(mut stdout) = child.take_stdout() {
            stdout.read_to_end(&mut said).map_err(|error| {
                Error::directory("cannot read what pg_controldata says", &error)
            })?;
        }
        child.wait().map_err(failed)?;
        let said = String::from_utf8_lossy(&said);
        let fields = said.lines().filter_map(|line| line.split_once(':'));
        let numbers = fields
            .filter_map(|(label, value)| Some((label.to_owned(), value.trim().parse().ok()?)));
        Ok(Self(numbers.collect()))
    }

    fn get(&self, label: &str) -> u64 {
        self.0.get(label).copied().unwrap_or_default()
    }
}

/// The settings, as large as the data demand: the transactions in doubt and their locks, and those that a dump took
/// there.
fn settings(control: &Control, major: u32) -> String {
    let prepared = control.get("max_prepared_xacts setting");
    let locks = control.get("max_locks_per_xact setting");
    let backends = [
        "max_connections setting",
        "max_worker_processes setting",
        "max_wal_senders setting",
    ];
    let backends: u64 = backends.map(|label| control.get(label)).iter().sum();
    let all_locks = locks.saturating_mul(backends.saturating_add(prepared));
    let prepared = prepared.max(LEAST_PREPARED);
    let locks = all_locks.div_ceil(CONNECTIONS + prepared).max(LEAST_LOCKS);
    // In MB; a server does not start with less than two segments.
    let segment = control.get("Bytes per WAL segment") >> 20;
    let mut all = [SETTINGS, log::SETTINGS].concat();
    for (since, setting) in LATER {
        if major >= since {
            all.push_str(setting);
        }
    }
    let _ = write!(
        all,
        "max_prepared_transactions = {prepared}\nmax_locks_per_transaction = {locks}\nmin_wal_size = {}MB\nmax_wal_size = {}MB\n",
        (2 * segment).max(80),
        (4 * segment).max(1024),
    );
    all
}

/// The lines of a `postgresql.auto.conf` that are kept. Each setting is on a line of its own there.
fn kept(auto: &str) -> String {
    let is_kept = |line: &&str| {
        let name = line.split(['=', ' ']).next().unwrap_or_default();
        KEPT.contains(&name)
    };
    let mut kept = String::new();
    for line in auto.lines().filter(is_kept) {
        kept.push_str(line);
        kept.push('\n');
    }
    kept
}

fn write(path: &Path, text: &str) -> Result<(), Error> {
    fs::write(path, text).map_err(|error| {
        Error::directory(format_args!("cannot write '{}'", path.display()), &error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_the_clusters_settings_only_the_recovery_is_kept() {
        let auto = "# Do not edit this file manually!\nshared_preload_libraries = 'pg_cron'\nrecovery_end_command = 'rm x'\n\
                    archive_mode = 'off'\nrestore_command = 'false'\nrecovery_target_lsn = ''\nrecovery_target_action = 'pause'\n\
                    recovery_target_time = '2025-11-23 01:59:30+00'\nrestore_commander.x = 'y'\n";
        assert_eq!(
            kept(auto),
            "restore_command = 'false'\nrecovery_target_lsn = ''\nrecovery_target_time = '2025-11-23 01:59:30+00'\n"
        );
    }

    #[test]
    fn the_server_is_as_large_as_the_data_demand() {
        let of = |numbers: &[(&str, u64)]| {
            let numbers = numbers
                .iter()
                .map(|(label, number)| ((*label).to_owned(), *number));
            settings(&Control(numbers.collect()), 16)
        };
        let small = of(&[]);
        assert!(
            small.contains("\nmax_prepared_transactions = 64\nmax_locks_per_transaction = 1024\n"),
            "{small}"
        );
        assert!(
            small.contains("\nmin_wal_size = 80MB\nmax_wal_size = 1024MB\n"),
            "{small}"
        );
        assert!(!small.contains("event_triggers"), "{small}");
        let large = of(&[
            ("max_connections setting", 5000),
            ("max_locks_per_xact setting", 640),
            ("max_prepared_xacts setting", 360),
            ("Bytes per WAL segment", 1 << 30),
        ]);
        assert!(
            large.contains("\nmax_prepared_transactions = 360\nmax_locks_per_transaction = 8576\n"),
            "{large}"
        );
        assert!(
            large.contains("\nmin_wal_size = 2048MB\nmax_wal_size = 4096MB\n"),
            "{large}"
        );
    }
}
