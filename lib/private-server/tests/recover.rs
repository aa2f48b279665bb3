//! Servers that recover, of every major version that is installed.
#![expect(clippy::unwrap_used, reason = "test code, all of it")]

mod installations;

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use installations::{ask, installation, installations, is_empty, parent};
use pg_client::{Child, Server, command};
use pg_text::PgText;
use private_server::{ErrorKind, Installation, PrivateServer, ServerDirectory};

const PREFIX: &str = "recover-test-";
/// What a cluster may have set, and what keeps a server from starting here.
const THEIRS: &str = "shared_preload_libraries = 'no_such_library'\nssl = on\nssl_cert_file = '/nonexistent'\n\
    hba_file = '/nonexistent'\nunix_socket_directories = '/nonexistent'\nlogging_collector = on\nlog_directory = '/nonexistent'\n\
    shared_buffers = '64TB'\nrecovery_end_command = 'exit 99'\narchive_mode = on\narchive_command = 'exit 99'\n";

/// A cluster with WAL after a base backup of it.
struct Origin {
    server: PrivateServer,
    data: PathBuf,
    installation: Installation,
}

impl Origin {
    fn new(installation: &Installation, parent: &Path, superuser: &str) -> Self {
        let superuser = PgText::from(superuser);
        let directory = ServerDirectory::make(installation, parent, PREFIX).unwrap();
        directory.initdb(&superuser, "UTF8").unwrap();
        let data = directory.data();
        let settings = [
            ("fsync", "off"),
            ("shared_buffers", "16MB"),
            ("wal_keep_size", "1GB"),
            ("max_prepared_transactions", "200"),
            ("max_connections", "30"),
        ];
        let server = PrivateServer::start(directory, &superuser, &settings).unwrap();
        ask(&server, "CREATE TABLE t (i int); SELECT 1");
        Self {
            server,
            data,
            installation: installation.clone(),
        }
    }

    /// A base backup in a directory for another server, which is to recover up to a place in the WAL.
    fn base(&self, parent: &Path) -> ServerDirectory {
        let directory = ServerDirectory::make(&self.installation, parent, PREFIX).unwrap();
        let mut base = command(self.installation.program("pg_basebackup"));
        base.args(["-X", "none", "-c", "fast", "--no-sync", "-D"]);
        base.arg(directory.data());
        self.server.conninfo().lead(&mut base, None);
        Child::spawn(base).unwrap().wait().unwrap();
        directory
    }

    /// Its WAL, and where the recovery is to stop.
    fn lead(&self, directory: &ServerDirectory, lsn: &str) {
        let data = directory.data();
        for entry in fs::read_dir(self.data.join("pg_wal")).unwrap().flatten() {
            if entry.file_type().unwrap().is_file() {
                fs::copy(entry.path(), data.join("pg_wal").join(entry.file_name())).unwrap();
            }
        }
        fs::write(data.join("recovery.signal"), "").unwrap();
        let mut auto = OpenOptions::new()
            .append(true)
            .open(data.join("postgresql.auto.conf"))
            .unwrap();
        let lines = format!(
            "{THEIRS}restore_command = 'false'\nrecovery_target_lsn = '{lsn}'\nrecovery_target_action = 'pause'\n"
        );
        auto.write_all(lines.as_bytes()).unwrap();
    }
}

/// Superusers that are tried; the last is the one that initdb makes.
fn likely() -> [PgText; 2] {
    ["no such role".into(), "postgres".into()]
}

#[test]
fn every_version_recovers_under_settings_of_our_own() {
    for (number, installation) in installations().into_iter().enumerate() {
        let parent = parent();
        // Of every other one nobody knows the superuser.
        let superuser = ["postgres", "O hara \u{e9}"][number % 2];
        let origin = Origin::new(&installation, parent.path(), superuser);
        let target = origin.base(parent.path());
        ask(&origin.server, "INSERT INTO t VALUES (1); SELECT 1");
        ask(
            &origin.server,
            "BEGIN; INSERT INTO t VALUES (99); PREPARE TRANSACTION 'in doubt'; SELECT 1",
        );
        let lsn = &ask(&origin.server, "SELECT pg_current_wal_insert_lsn()")[0];
        ask(
            &origin.server,
            "INSERT INTO t VALUES (2); SELECT pg_switch_wal()",
        );
        origin.lead(&target, lsn);
        if number == 0 {
            fs::remove_file(target.data().join("postgresql.conf")).unwrap();
        }
        let server = PrivateServer::recover(target, &likely()).unwrap();
        assert_eq!(ask(&server, "SELECT i FROM t"), ["1"]);
        let facts = "SELECT unnest(ARRAY[pg_is_in_recovery()::text, (SELECT gid FROM pg_prepared_xacts),
             current_setting('archive_mode'), current_setting('listen_addresses'), (SELECT rolsuper::text FROM pg_roles WHERE rolname = session_user),
             (pg_last_xact_replay_timestamp() IS NULL)::text])";
        let is_new = (superuser != "postgres").to_string();
        assert_eq!(
            ask(&server, facts),
            ["false", "in doubt", "off", "", "true", &is_new],
            "{}",
            installation.version()
        );
        ask(&server, "CREATE TABLE writable (); SELECT 1");
        drop((server, origin));
        assert!(is_empty(parent.path()), "{}", installation.version());
    }
}

#[test]
fn a_target_that_is_not_reached_is_an_error_in_the_servers_words() {
    let parent = parent();
    let origin = Origin::new(&installation(), parent.path(), "postgres");
    let target = origin.base(parent.path());
    ask(&origin.server, "SELECT pg_switch_wal()");
    origin.lead(&target, "F/0");
    let path = target.path().to_owned();
    let error = PrivateServer::recover(target, &likely()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotRecovered);
    assert!(error.to_string().contains("recovery target"), "{error}");
    assert!(!path.exists());
    // A damaged file of it.
    let target = origin.base(parent.path());
    origin.lead(&target, "F/0");
    fs::write(target.data().join("global/pg_control"), [0; 8192]).unwrap();
    assert!(PrivateServer::recover(target, &likely()).is_err());
    let nothing = ServerDirectory::make(&installation(), parent.path(), PREFIX).unwrap();
    let error = PrivateServer::recover(nothing, &likely()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotStarted, "{error}");
    assert!(
        Server::new(origin.server.conninfo().clone())
            .is_ready()
            .unwrap()
    );
}
