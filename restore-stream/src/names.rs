//! The names of databases that are being restored, and of those that were replaced.

use std::fmt;
use std::fs::File;
use std::io::Read;

use chrono::{DateTime, NaiveDateTime, Utc};
use job::Error;

/// PostgreSQL's NAMEDATALEN, less the byte that ends a name.
pub(crate) const NAME_LIMIT: usize = 63;
const FORM: &str = "%Y%m%d_%H%M%S";
const RESTORING: &str = "_restoring_";
const REPLACED: &str = "_replaced_";
/// `YYYYMMDD_HHMMSS`
const MOMENT_LENGTH: usize = 15;
const KEY_LENGTH: usize = 6;

/// One run of this program: no two have the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Run {
    started: DateTime<Utc>,
    /// Six hexadecimal digits.
    key: String,
}

impl Run {
    pub(crate) fn new() -> Result<Self, Error> {
        let mut random = [0; KEY_LENGTH / 2];
        File::open("/dev/urandom")
            .and_then(|mut file| file.read_exact(&mut random))
            .map_err(|error| Error::io("cannot read '/dev/urandom'", &error))?;
        let key = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let started = Utc::now();
        Ok(Self { started, key })
    }

    /// What its sessions call themselves on the server.
    pub(crate) fn application(&self) -> String {
        format!("restore-stream {}", self.key)
    }

    /// The key in such a name.
    pub(crate) fn key_of_application(name: &str) -> Option<&str> {
        name.strip_prefix("restore-stream ")
    }

    /// The name that the database `name` has while it is being restored.
    pub(crate) fn working(&self, name: &str) -> String {
        let end = format!("{RESTORING}{}_{}", self.started.format(FORM), self.key);
        with_end(name, &end)
    }

    /// The name that a database that was replaced is kept under; unlike any of `taken`.
    pub(crate) fn replaced(&self, name: &str, taken: impl Fn(&str) -> bool) -> String {
        let end = format!("{REPLACED}{}", self.started.format(FORM));
        let plain = with_end(name, &end);
        match taken(&plain) {
            true => with_end(name, &format!("{end}_{}", self.key)),
            false => plain,
        }
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.key)
    }
}

/// The key of the run that restores, or restored, the database `name` into `database`; none if that is
/// another name.
pub(crate) fn working_key<'a>(database: &'a str, name: &str) -> Option<&'a str> {
    let beginning = fitting(name, RESTORING.len() + MOMENT_LENGTH + 1 + KEY_LENGTH);
    let rest = database.strip_prefix(beginning)?.strip_prefix(RESTORING)?;
    let (moment, key) = rest.split_at_checked(MOMENT_LENGTH)?;
    NaiveDateTime::parse_from_str(moment, FORM).ok()?;
    let key = key.strip_prefix('_')?;
    let hexadecimal = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    (key.len() == KEY_LENGTH && key.bytes().all(hexadecimal)).then_some(key)
}

fn with_end(name: &str, end: &str) -> String {
    format!("{}{end}", fitting(name, end.len()))
}

/// As much of a name as leaves room for an end.
fn fitting(name: &str, end: usize) -> &str {
    let mut length = name.len().min(NAME_LIMIT - end);
    while !name.is_char_boundary(length) {
        length -= 1;
    }
    &name[..length]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run() -> Run {
        let started = DateTime::parse_from_rfc3339("2025-11-23T02:00:00Z").unwrap();
        Run {
            started: started.to_utc(),
            key: "0a1b2c".into(),
        }
    }

    #[test]
    fn names_tell_when_and_whose() {
        let run = run();
        assert_eq!(run.working("shop"), "shop_restoring_20251123_020000_0a1b2c");
        assert_eq!(
            run.replaced("shop", |_| false),
            "shop_replaced_20251123_020000"
        );
        assert_eq!(
            run.replaced("shop", |name| name.ends_with("00")),
            "shop_replaced_20251123_020000_0a1b2c"
        );
        assert_eq!(run.application(), "restore-stream 0a1b2c");
        assert_eq!(
            Run::key_of_application("restore-stream 0a1b2c"),
            Some("0a1b2c")
        );
    }

    #[test]
    fn long_names_are_cut_between_characters() {
        for name in ["x".repeat(63), "ö".repeat(31), "日".repeat(21)] {
            let working = run().working(&name);
            assert!(working.len() <= NAME_LIMIT && working.len() > NAME_LIMIT - 3);
            assert_eq!(working_key(&working, &name), Some("0a1b2c"));
            assert!(run().replaced(&name, |_| true).len() <= NAME_LIMIT);
        }
    }

    #[test]
    fn only_names_of_the_form_are_working_names() {
        let working = run().working("shop");
        assert_eq!(working_key(&working, "shop"), Some("0a1b2c"));
        for (database, name) in [
            (working.as_str(), "sho"),
            (working.as_str(), "shop_"),
            ("shop", "shop"),
            ("shop_restoring_20251123_020000", "shop"),
            ("shop_restoring_20251123_020000_0A1B2C", "shop"),
            ("shop_restoring_20251123_020000_0a1b2c3", "shop"),
            ("shop_restoring_20251323_020000_0a1b2c", "shop"),
            ("shop_replaced_20251123_020000", "shop"),
        ] {
            assert_eq!(working_key(database, name), None, "{database}");
        }
    }

    #[test]
    fn runs_differ() {
        assert_ne!(Run::new().unwrap(), Run::new().unwrap());
    }
}
