//! Real servers, of every major version that is installed.
#![expect(clippy::unwrap_used, reason = "test code, all of it")]

mod installations;

use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use installations::{ask, installation, installations, is_empty, parent};
use pg_text::PgText;
use private_server::{ErrorKind, Installation, PrivateServer, ServerDirectory};

const PREFIX: &str = "private-server-test-";
/// Nothing waits for the disk, and little memory is taken.
const QUICK: [(&str, &str); 2] = [("fsync", "off"), ("shared_buffers", "16MB")];

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Whether any process runs as a user; one that waits to be collected does not.
fn runs_something(user: &str) -> bool {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let mut all = entries.filter_map(|it| fs::read_to_string(it.path().join("status")).ok());
    all.any(|status| {
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name));
        let is_theirs = field("Uid:").is_some_and(|it| it.split_whitespace().any(|id| id == user));
        is_theirs && !field("State:").is_some_and(|it| it.trim().starts_with('Z'))
    })
}

fn until(what: &str, condition: impl Fn() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < Duration::from_secs(60), "{what}");
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn every_version_makes_a_server_that_is_gone_afterwards() {
    for installation in installations() {
        let parent = parent();
        let directory = ServerDirectory::make(&installation, parent.path(), PREFIX).unwrap();
        let superuser = PgText::from("O hara");
        directory.initdb(&superuser, "LATIN1").unwrap();
        let folder = directory.make_folder("tablespace").unwrap();
        // A server that logs into a file says nothing: it is ready all the same.
        let settings = [&QUICK[..], &[("logging_collector", "on")]].concat();
        let server = PrivateServer::start(directory, &superuser, &settings).unwrap();
        let major = installation.version().major();
        let facts = "SELECT unnest(ARRAY[session_user, current_setting('server_encoding'),
             current_setting('logging_collector'), current_setting('listen_addresses'),
             (current_setting('server_version_num')::integer / 10000)::text])";
        let wanted = ["O hara", "LATIN1", "on", "", &major.to_string()];
        assert_eq!(ask(&server, facts), wanted);
        let make = format!(
            "CREATE TABLESPACE other LOCATION '{}'; SELECT 1",
            folder.display()
        );
        ask(&server, &make);
        // Where the server has a user to itself, nothing of that user's stays.
        let stay = match is_root() {
            true => "; setsid sleep 4711 >/dev/null 2>&1 &",
            false => "",
        };
        let run =
            format!("CREATE TABLE ran (said text); COPY ran FROM PROGRAM 'id -u{stay}'; TABLE ran");
        let user = ask(&server, &run);
        let me = rustix::process::geteuid().as_raw().to_string();
        assert_eq!(user[0] == me, !is_root(), "{user:?}");
        drop(server);
        assert!(is_empty(parent.path()), "{}", installation.version());
        if is_root() {
            until("what the server started to be gone", || {
                !runs_something(&user[0])
            });
        }
    }
}

#[test]
fn a_path_that_is_too_long_for_a_socket() {
    let parent = parent();
    let long = parent.path().join("long".repeat(30));
    fs::create_dir(&long).unwrap();
    let directory = ServerDirectory::make(&installation(), &long, PREFIX).unwrap();
    directory.initdb(&"postgres".into(), "UTF8").unwrap();
    let server = PrivateServer::start(directory, &"postgres".into(), &QUICK).unwrap();
    let socket = ask(
        &server,
        "SELECT btrim(current_setting('unix_socket_directories'), '\"')",
    );
    let socket = PathBuf::from(&socket[0]);
    assert!(socket.exists() && !socket.starts_with(&long), "{socket:?}");
    drop(server);
    assert!(!socket.exists() && is_empty(&long));
}

#[test]
fn a_server_that_does_not_start_says_why() {
    let parent = parent();
    let directory = ServerDirectory::make(&installation(), parent.path(), PREFIX).unwrap();
    directory.initdb(&"postgres".into(), "UTF8").unwrap();
    let settings = [("no_such_setting", "1")];
    let error = PrivateServer::start(directory, &"postgres".into(), &settings).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotStarted);
    assert!(error.to_string().contains("no_such_setting"), "{error}");
    assert!(is_empty(parent.path()));
}

#[test]
fn a_cluster_that_cannot_be_made_says_why() {
    let parent = parent();
    let directory = ServerDirectory::make(&installation(), parent.path(), PREFIX).unwrap();
    let error = directory.initdb(&"pg_me".into(), "UTF8").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Initdb);
    assert!(error.to_string().contains("pg_me"), "{error}");
    drop(directory);
    assert!(is_empty(parent.path()));
}

#[test]
fn what_is_not_there_is_named() {
    let parent = parent();
    let error = Installation::find(Some(parent.path()), None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotInstalled);
    assert!(error.to_string().contains("no initdb"), "{error}");
    let missing = parent.path().join("missing");
    let error = ServerDirectory::make(&installation(), &missing, PREFIX).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Directory);
    assert!(error.to_string().contains("missing"), "{error}");
}

/// A newer server restores a dump, and does not start on a data directory.
#[test]
fn one_major_version_and_no_other() {
    let installation = installation();
    let bin = installation.program("");
    let major = installation.version().major();
    let exactly = |major| Installation::exactly(Some(&bin), major);
    assert_eq!(exactly(major).unwrap(), installation);
    let error = exactly(major - 1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OtherVersion);
    let package = format!("postgresql-{}", major - 1);
    assert!(error.hint_text().unwrap().contains(&package), "{error}");
    let error = exactly(major + 1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotInstalled);
}
