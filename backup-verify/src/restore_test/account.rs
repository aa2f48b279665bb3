//! Who runs the server that is made: initdb refuses root.

use std::fs;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use job::Error;

/// An account of the system without privileges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Account {
    user: u32,
    group: u32,
}

impl Account {
    /// The one to become, where this process is root's: `postgres`, or `nobody` where that is not there.
    ///
    /// # Errors
    /// There is neither.
    pub(crate) fn unprivileged() -> Result<Option<Self>, Error> {
        if !rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
        let found = Self::named("postgres", &passwd).or_else(|| Self::named("nobody", &passwd));
        found.map(Some).ok_or_else(|| {
            Error::failed("a PostgreSQL server does not run as root, and there is no user 'postgres' or 'nobody' to run it")
                .hint("run backup-verify as another user, or name a server with --into")
        })
    }

    /// An entry of passwd(5).
    fn named(name: &str, passwd: &str) -> Option<Self> {
        passwd.lines().find_map(|line| {
            let mut fields = line.split(':');
            if fields.next() != Some(name) {
                return None;
            }
            let mut number = fields.skip(1).map(str::parse);
            let (user, group) = (number.next()?.ok()?, number.next()?.ok()?);
            Some(Self { user, group })
        })
    }

    /// Lets a program run as it, without root's other groups.
    pub(crate) fn run(&self, command: &mut Command) {
        command.uid(self.user).gid(self.group);
    }

    /// Gives a directory to it.
    pub(crate) fn own(&self, directory: &Path) -> Result<(), Error> {
        chown(directory, Some(self.user), Some(self.group)).map_err(|error| {
            Error::io(
                format_args!("cannot change the owner of '{}'", directory.display()),
                &error,
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_of_passwd() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\npostgres:x:101:104::/:/bin/bash\nnobody:x\n";
        let account = Account::named("postgres", passwd);
        assert_eq!(
            account,
            Some(Account {
                user: 101,
                group: 104
            })
        );
        assert_eq!(Account::named("nobody", passwd), None);
        assert_eq!(Account::named("post", passwd), None);
    }
}
