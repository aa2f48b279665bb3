//! The user that a server runs as, where this process is root.
//!
//! `initdb` needs a user of the system that has a name. The server, the programs that it runs (`COPY … FROM PROGRAM`) and
//! psql do not: they run as a user that nothing else on the machine is or belongs to.

use std::fs;
use std::io;
use std::ops::RangeInclusive;
use std::os::unix::fs::lchown;
use std::path::Path;
use std::process::Stdio;

use job::say;
use pg_client::Account;
use rustix::rand::{GetRandomFlags, getrandom};

use crate::{Error, ErrorKind};

/// Users that are given to services for as long as these run (systemd's `DynamicUser`): no distribution's and no person's.
const UNUSED: RangeInclusive<u32> = 61_184..=65_519;
/// The number of them that are tried.
const TRIES: usize = 64;
/// What root must be able to do to run a program as another user, to end it, and to remove what it leaves
/// (capabilities(7)): numbers and names.
const NEEDED: [(u32, &str); 5] = [
    (0, "CAP_CHOWN"),
    (1, "CAP_DAC_OVERRIDE"),
    (5, "CAP_KILL"),
    (6, "CAP_SETGID"),
    (7, "CAP_SETUID"),
];

/// The account that runs `initdb`: `postgres`, or `nobody` where that is not there. None if this process is not root: its
/// own user runs it then.
///
/// # Errors
/// [`ErrorKind::Account`]: there is neither, or root cannot become another user here.
pub(crate) fn for_initdb() -> Result<Option<Account>, Error> {
    const WHAT: &str = "a PostgreSQL server does not run as root";
    if !is_root() {
        return Ok(None);
    }
    let none = |why: String| Error::new(ErrorKind::Account, format!("{WHAT}, and {why}"));
    let lacking = lacking();
    if !lacking.is_empty() {
        let why = format!("this one may not run it as another user: it lacks {lacking}");
        return Err(none(why));
    }
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let found = named("postgres", &passwd).or_else(|| named("nobody", &passwd));
    found
        .map(Some)
        .ok_or_else(|| none("there is no user 'postgres' or 'nobody' to run it".into()))
}

/// A user and a group that nothing on the machine is or belongs to, as far as can be seen: a program that runs as that
/// (psql, fed with somebody's dump) owns nothing. None if this process is not root: it cannot become another user.
///
/// # Errors
/// [`ErrorKind::Account`]: there is none, or root cannot become another user here.
pub fn unused_account() -> Result<Option<Account>, Error> {
    if !is_root() {
        return Ok(None);
    }
    match lacking() {
        lacking if lacking.is_empty() => unused().map(Some),
        lacking => Err(Error::new(
            ErrorKind::Account,
            format!("root lacks {lacking} here"),
        )),
    }
}

/// As [`unused_account`], without asking whether this process can become that user.
pub(crate) fn unused() -> Result<Account, Error> {
    const NONE: &str = "no unused user can be found";
    let cannot = |error: io::Error| Error::new(ErrorKind::Account, format!("{NONE}: {error}"));
    let running = running().map_err(cannot)?;
    for _ in 0..TRIES {
        let number = random_number().map_err(cannot)?;
        let known =
            running.contains(&number) || has_name("passwd", number) || has_name("group", number);
        if !known {
            return Ok(Account {
                user: number,
                group: number,
            });
        }
    }
    Err(Error::new(ErrorKind::Account, NONE))
}

/// One of [`UNUSED`].
fn random_number() -> io::Result<u32> {
    let mut bytes = [0; 4];
    getrandom(&mut bytes, GetRandomFlags::empty())?;
    let count = UNUSED.end() - UNUSED.start() + 1;
    Ok(UNUSED.start() + u32::from_ne_bytes(bytes) % count)
}

/// Whether the system knows a user (`passwd`) or a group of this number: from its files, or from a directory service.
fn has_name(database: &str, number: u32) -> bool {
    let number = number.to_string();
    let text = fs::read_to_string(format!("/etc/{database}")).unwrap_or_default();
    let mut numbers = text.lines().filter_map(|line| line.split(':').nth(2));
    if numbers.any(|it| it == number) {
        return true;
    }
    let mut getent = pg_client::command("getent");
    getent.args([database, &number]).stdin(Stdio::null());
    getent.stdout(Stdio::null()).stderr(Stdio::null());
    // Where there is no getent there is no directory service.
    getent.status().is_ok_and(|status| status.success())
}

/// The users and groups that processes run as, real and effective ones.
fn running() -> io::Result<Vec<u32>> {
    let mut ids = Vec::new();
    for entry in fs::read_dir("/proc")?.flatten() {
        // It has ended meanwhile, or is no process.
        let Ok(status) = fs::read_to_string(entry.path().join("status")) else {
            continue;
        };
        let lines = status.lines();
        let numbers = lines.filter_map(|it| it.strip_prefix("Uid:").or(it.strip_prefix("Gid:")));
        ids.extend(
            numbers
                .flat_map(str::split_whitespace)
                .filter_map(|it| it.parse::<u32>().ok()),
        );
    }
    Ok(ids)
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The capabilities that root needs and lacks, as a list for a message; empty if it has all, or if that cannot be seen.
fn lacking() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = effective.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok());
    let effective = effective.unwrap_or(u64::MAX);
    let lacking = NEEDED
        .iter()
        .filter(|(number, _)| effective & 1 << number == 0);
    let names: Vec<&str> = lacking.map(|(_, name)| *name).collect();
    names.join(", ")
}

/// The account of this name in the text of passwd(5).
fn named(name: &str, passwd: &str) -> Option<Account> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next() != Some(name) {
            return None;
        }
        let mut number = fields.skip(1).map(str::parse);
        let (user, group) = (number.next()?.ok()?, number.next()?.ok()?);
        Some(Account { user, group })
    })
}

/// Gives a file, or a directory and all that is in it, to an account.
///
/// # Errors
/// [`ErrorKind::Directory`].
pub(crate) fn give(path: &Path, account: Account) -> Result<(), Error> {
    let cannot = |error: io::Error| {
        let doing = format_args!("cannot change the owner of '{}'", path.display());
        Error::directory(doing, &error)
    };
    if path.symlink_metadata().map_err(cannot)?.is_dir() {
        for entry in fs::read_dir(path).map_err(cannot)? {
            give(&entry.map_err(cannot)?.path(), account)?;
        }
    }
    lchown(path, Some(account.user), Some(account.group)).map_err(cannot)
}

/// Kills every process of an account, **which must be one that nothing else runs as**: what the server was given to run
/// may have left its session.
pub(crate) fn end_all(account: Account) {
    let mut kill = pg_client::command("sh");
    kill.args(["-c", "kill -KILL -1"]).stdin(Stdio::null());
    kill.stdout(Stdio::null()).stderr(Stdio::null());
    account.run(&mut kill);
    // Its exit status tells nothing: there may be nobody to kill.
    if let Err(error) = kill.status() {
        say!(
            "cannot end what the server may have left running as user {}: {error}",
            account.user
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_of_passwd() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\npostgres:x:101:104::/:/bin/bash\nnobody:x\n";
        let account = Account {
            user: 101,
            group: 104,
        };
        assert_eq!(named("postgres", passwd), Some(account));
        assert_eq!(named("nobody", passwd), None);
        assert_eq!(named("post", passwd), None);
    }

    #[test]
    fn whoever_is_there_is_known() {
        let me = rustix::process::getuid().as_raw();
        assert!(running().unwrap().contains(&me));
        assert!(has_name("passwd", 0) && has_name("group", 0));
        let account = unused().unwrap();
        assert!(UNUSED.contains(&account.user));
        assert!(!has_name("passwd", account.user));
        assert!(!running().unwrap().contains(&account.user));
    }
}
