//! The account that a program runs as, where this process runs as root.

use std::env;
use std::ffi::OsStr;
use std::fmt;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::str::FromStr;

/// The variables that a client program and the loader read: whole names, and beginnings (with `_` at the end).
/// `PGPASSWORD` and its like are among them: a server on a private socket is reached without them
/// ([`Conninfo::socket`]).
///
/// [`Conninfo::socket`]: crate::Conninfo::socket
const READ: [&str; 8] = [
    "PATH",
    "LANG",
    "LANGUAGE",
    "LC_",
    "LD_LIBRARY_PATH",
    "PG",
    "SSL_CERT_",
    "TZ",
];

/// A user and a group of the system, by their numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Account {
    /// The user's number.
    pub user: u32,
    /// The group's number.
    pub group: u32,
}

impl Account {
    /// Lets a program run as it, and with nothing else of this process: not its other groups, not its current
    /// directory, not what its environment has for others, and no way to more privileges.
    ///
    /// Only root can do that: for anybody else the program does not start.
    #[expect(
        unsafe_code,
        reason = "the standard library has no safe way to run code between fork and exec"
    )]
    pub fn run(&self, command: &mut Command) {
        // With the user the standard library drops root's other groups too.
        command.uid(self.user).gid(self.group).current_dir("/");
        for (name, _) in env::vars_os().filter(|(name, _)| !is_read(name)) {
            command.env_remove(name);
        }
        let bind = || Ok(rustix::thread::set_no_new_privs(true)?);
        // SAFETY: only a system call is made.
        unsafe { command.pre_exec(bind) };
    }
}

fn is_read(name: &OsStr) -> bool {
    let Some(name) = name.to_str() else {
        return false;
    };
    let is = |known: &&str| match *known {
        "PG" => name.starts_with("PG"),
        known if known.ends_with('_') => name.starts_with(known),
        known => name == known,
    };
    READ.iter().any(is)
}

/// `UID:GID`
impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.user, self.group)
    }
}

impl FromStr for Account {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers = text
            .split_once(':')
            .and_then(|(user, group)| Some((user.parse().ok()?, group.parse().ok()?)));
        match numbers {
            Some((user, group)) => Ok(Self { user, group }),
            None => Err("not UID:GID, two numbers".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_numbers() {
        let account = Account {
            user: 61_184,
            group: 7,
        };
        assert_eq!("61184:7".parse(), Ok(account));
        assert_eq!(account.to_string(), "61184:7");
        for text in ["", "1", "1:", ":1", "1:x", "-1:1", "1:2:3", "4294967296:1"] {
            assert!(text.parse::<Account>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_environment_of_others_stays_behind() {
        for name in [
            "PATH",
            "PGHOST",
            "PGSYSCONFDIR",
            "LC_ALL",
            "SSL_CERT_FILE",
            "TZ",
        ] {
            assert!(is_read(OsStr::new(name)), "{name}");
        }
        for name in [
            "HOME",
            "AZURE_STORAGE_SAS_TOKEN",
            "AWS_SECRET_ACCESS_KEY",
            "LC",
            "TZX",
            "_",
        ] {
            assert!(!is_read(OsStr::new(name)), "{name}");
        }
    }

    /// What a program says of itself that runs as the account, or why it did not start.
    fn shown(account: Account) -> Result<String, String> {
        let mut command = Command::new("sh");
        command.args([
            "-c",
            "id -u; id -G; pwd; grep NoNewPrivs /proc/self/status; env",
        ]);
        account.run(&mut command);
        let ended = command.output().map_err(|error| error.to_string())?;
        Ok(String::from_utf8_lossy(&ended.stdout).into_owned())
    }

    #[test]
    fn a_program_has_nothing_of_root() {
        let shown = shown(Account {
            user: 61_999,
            group: 61_998,
        });
        if !rustix::process::geteuid().is_root() {
            assert!(shown.is_err_and(|words| words.contains("not permitted")));
            return;
        }
        let shown = shown.unwrap();
        assert!(
            shown.starts_with("61999\n61998\n/\nNoNewPrivs:\t1\n"),
            "{shown}"
        );
        // Cargo tells the test where it is built.
        assert!(!shown.contains("CARGO"), "{shown}");
    }
}
