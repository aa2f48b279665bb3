//! The server that is to start on the directory.

use std::fs;
use std::path::Path;

use job::{Error, say};
use pg_client::Version;
use private_server::Installation;
use serde::Serialize;

use super::restore_command::TokenOfServer;

/// The server's major version, and where its programs are, if they are here.
#[derive(Debug)]
pub(crate) struct Server {
    major: u32,
    installed: Option<Installation>,
}

/// What a person must know before the server is started.
#[derive(Debug, Serialize)]
pub(crate) struct About {
    /// Who the directory belongs to, if this is root.
    #[serde(skip)]
    pub(crate) owner: Option<u32>,
    /// Whether `postgresql.conf` is in the data directory.
    pub(crate) has_settings: bool,
    #[serde(skip)]
    pub(crate) token: TokenOfServer,
    pub(crate) with_wal: bool,
    /// Whether it archives as it did.
    pub(crate) archives: bool,
}

impl Server {
    /// Looks for the server of a base backup, by the version that this is of (`15.18 (Debian …)`). One that has all its
    /// WAL may be started elsewhere.
    ///
    /// # Errors
    /// Servers are installed here, and none of that major version (exit code 4).
    pub(crate) fn find(version: &str, elsewhere: bool) -> Result<Self, Error> {
        let major = major(version)?;
        let installed = Installation::exactly(None, major).ok();
        if installed.is_none()
            && !elsewhere
            && let Ok(other) = Installation::find(None, None)
        {
            return Err(Error::refused(format!(
                "the base backup is of PostgreSQL {major}, and the server here is PostgreSQL {}: no other major version starts on it",
                other.version()
            ))
            .hint(format!(
                "install PostgreSQL {major} (Debian: postgresql-{major}); for a server elsewhere, add --with-wal"
            )));
        }
        Ok(Self { major, installed })
    }

    /// Says what to do now.
    pub(crate) fn say_how_it_starts(&self, path: &Path, about: &About) {
        if !about.has_settings {
            say!(
                "warning: its postgresql.conf was not in the data directory, so it is not in the backup: start it with -o '-c config_file=…'"
            );
        }
        if about.token == TokenOfServer::Missing && !about.with_wal {
            say!(
                "warning: the token is written nowhere: the server needs AZURE_STORAGE_SAS_TOKEN or AZURE_STORAGE_SAS_TOKEN_FILE in its environment"
            );
        }
        match about.archives {
            true => say!("WAL archiving is as the cluster had it (--rejoin)"),
            false => say!(
                "WAL archiving is off; ALTER SYSTEM RESET archive_mode and a restart turn it on"
            ),
        }
        say!(
            "start it with PostgreSQL {}: {}",
            self.major,
            self.command(path, about.owner)
        );
    }

    /// The command that starts it.
    pub(super) fn command(&self, path: &Path, owner: Option<u32>) -> String {
        let program = self
            .installed
            .as_ref()
            .map_or("pg_ctl".into(), |it| it.program("pg_ctl"));
        let start = format!(
            "{} -D {} start",
            quoted(&program.display().to_string()),
            quoted(&path.display().to_string())
        );
        match owner {
            None => start,
            Some(0) => format!(
                "chown -R postgres: {} && sudo -u postgres {start}",
                quoted(&path.display().to_string())
            ),
            Some(owner) => {
                let name = user_name(owner).unwrap_or_else(|| format!("'#{owner}'"));
                format!("sudo -u {name} {start}")
            }
        }
    }
}

/// The major version that a base backup is of, by the version that it names.
///
/// # Errors
/// It names none (exit code 3).
pub(crate) fn major(version: &str) -> Result<u32, Error> {
    Version::major_of(version).ok_or_else(|| {
        Error::not_good(format!(
            "the base backup does not say its version: '{}'",
            job::shown(version)
        ))
    })
}

/// A user's name, where the machine knows it.
fn user_name(wanted: u32) -> Option<String> {
    let users = fs::read_to_string("/etc/passwd").ok()?;
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let number = fields.nth(1)?.parse::<u32>().ok()?;
        (number == wanted).then(|| name.to_owned())
    })
}

fn quoted(text: &str) -> String {
    let plain = |char: char| char.is_ascii_alphanumeric() || "/._-+@".contains(char);
    match text.chars().all(plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_can_be_pasted() {
        let server = Server {
            major: 15,
            installed: None,
        };
        let command = |owner| server.command(Path::new("/data/it's new"), owner);
        assert_eq!(command(None), r"pg_ctl -D '/data/it'\''s new' start");
        assert!(command(Some(0)).starts_with("chown -R postgres: '/data/"));
        assert!(command(Some(4_000_000_000)).starts_with("sudo -u '#4000000000' pg_ctl"));
    }

    #[test]
    fn a_version_is_read() {
        assert_eq!(Server::find("99.1 (X)", true).unwrap().major, 99);
        assert!(Server::find("devel", true).is_err());
    }
}
