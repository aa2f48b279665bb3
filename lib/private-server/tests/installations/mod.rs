//! The servers that are tried, and how they are asked.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use pg_client::Server;
use pg_text::PgText;
use private_server::{Installation, PrivateServer};
use tempfile::TempDir;

/// Debian's installations, and those of `scripts/setup`.
pub(crate) fn installations() -> Vec<Installation> {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools");
    let mut found = Vec::new();
    for place in [Path::new("/usr/lib/postgresql"), &tools] {
        for entry in fs::read_dir(place).into_iter().flatten() {
            let bin = entry.unwrap().path().join("bin");
            if bin.join("initdb").exists() {
                found.push(Installation::find(Some(&bin), None).unwrap());
            }
        }
    }
    assert!(!found.is_empty(), "no PostgreSQL server: run scripts/setup");
    found
}

pub(crate) fn installation() -> Installation {
    installations().remove(0)
}

/// A directory that the server's user may enter.
pub(crate) fn parent() -> TempDir {
    let parent = tempfile::tempdir().unwrap();
    fs::set_permissions(parent.path(), Permissions::from_mode(0o755)).unwrap();
    parent
}

pub(crate) fn is_empty(directory: &Path) -> bool {
    fs::read_dir(directory).unwrap().next().is_none()
}

/// The first field of each row.
pub(crate) fn ask(server: &PrivateServer, sql: &str) -> Vec<String> {
    let rows = Server::new(server.conninfo().clone())
        .query(Some("postgres"), sql)
        .unwrap();
    let field = |row: Vec<Option<PgText>>| row[0].as_ref().unwrap().to_string();
    rows.into_iter().map(field).collect()
}
