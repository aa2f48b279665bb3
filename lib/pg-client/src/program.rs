//! How child processes are made, and where PostgreSQL's client programs are.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use job::secret;

/// Debian's clients, by major version.
const DEBIAN: &str = "/usr/lib/postgresql";
const WRAPPER: &str = "pg_wrapper";

/// A child process that is about to be run: without our secrets in its environment ([`secret::VARIABLES`]). Every
/// child is made here.
pub fn command(program: impl AsRef<OsStr>) -> Command {
    #[allow(clippy::disallowed_methods, reason = "this is the one place")]
    let mut command = Command::new(program);
    for name in secret::VARIABLES {
        command.env_remove(name);
    }
    command
}

/// The client program `name`, as PATH finds it. Whatever of the environment has a signature in it, as a store's URL
/// may, is not for it either.
///
/// It speaks English, whatever the locale is: so do the five programs, and they tell its errors from its warnings. The
/// server's words stay in the server's language, and what is dumped does not depend on the client's locale.
///
/// On Debian that is `pg_wrapper`, a script that chooses a local cluster and a version, and takes longer
/// than the program itself. Where the server is named (`host_is_known`), the script chooses nothing
/// but the newest version: then so do we, without it.
pub(crate) fn program(name: &str, host_is_known: bool) -> Command {
    let path = host_is_known.then(|| behind_the_wrapper(name)).flatten();
    let mut command = command(path.as_deref().unwrap_or(Path::new(name)));
    command.env("LC_ALL", "C");
    if path.is_some() && env::var_os("PGSYSCONFDIR").is_none() {
        command.env("PGSYSCONFDIR", "/etc/postgresql-common");
    }
    for (name, value) in env::vars_os() {
        if secret::holds_signature(&value.to_string_lossy()) {
            command.env_remove(name);
        }
    }
    command
}

/// Whether the environment names the server.
pub(crate) fn environment_names_host() -> bool {
    ["PGHOST", "PGSERVICE"]
        .iter()
        .any(|name| env::var_os(name).is_some())
}

fn behind_the_wrapper(name: &str) -> Option<PathBuf> {
    let found = on_path(name, &env::var_os("PATH")?)?;
    let program = fs::canonicalize(found).ok()?;
    if program.file_name() != Some(OsStr::new(WRAPPER)) {
        return None;
    }
    newest(Path::new(DEBIAN), name)
}

fn on_path(name: &str, path: &OsStr) -> Option<PathBuf> {
    env::split_paths(path)
        .map(|directory| directory.join(name))
        .find(|file| file.is_file())
}

fn newest(versions: &Path, name: &str) -> Option<PathBuf> {
    let majors = fs::read_dir(versions).ok()?.filter_map(|entry| {
        let major: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
        let file = versions.join(major.to_string()).join("bin").join(name);
        file.is_file().then_some((major, file))
    });
    majors.max_by_key(|(major, _)| *major).map(|(_, file)| file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_version_that_has_it() {
        let root = tempfile::tempdir().unwrap();
        for file in [
            "9.6/bin/psql",
            "9/bin/psql",
            "15/bin/psql",
            "16/bin/initdb",
            "x/bin/psql",
        ] {
            let file = root.path().join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "").unwrap();
        }
        assert_eq!(
            newest(root.path(), "psql"),
            Some(root.path().join("15/bin/psql"))
        );
        assert_eq!(newest(root.path(), "pg_dump"), None);
        assert_eq!(newest(&root.path().join("none"), "psql"), None);
    }

    #[test]
    fn the_first_on_the_path() {
        let root = tempfile::tempdir().unwrap();
        let (one, two) = (root.path().join("one"), root.path().join("two"));
        for directory in [&one, &two] {
            fs::create_dir(directory).unwrap();
        }
        fs::write(two.join("psql"), "").unwrap();
        let path = env::join_paths([&one, &two]).unwrap();
        assert_eq!(on_path("psql", &path), Some(two.join("psql")));
    }

    #[test]
    fn an_unknown_host_is_left_to_the_wrapper() {
        assert_eq!(program("psql", false).get_program(), "psql");
        assert_eq!(
            program("no-such-program", true).get_program(),
            "no-such-program"
        );
    }
}
