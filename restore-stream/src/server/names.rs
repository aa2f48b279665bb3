//! The names of databases that are being restored, and of those that were replaced.

use std::collections::BTreeSet;

use chrono::{DateTime, NaiveDateTime, Utc};
use job::Error;
use pg_client::random_key;
use pg_text::PgText;

/// PostgreSQL's NAMEDATALEN, less the byte that ends a name.
pub(crate) const NAME_LIMIT: usize = 63;
const FORM: &str = "%Y%m%d_%H%M%S";
const RESTORING: &str = "restoring_";
const REPLACED: &str = "_replaced_";
/// `YYYYMMDD_HHMMSS`
const MOMENT_LENGTH: usize = 15;
const KEY_LENGTH: usize = 6;

/// One run of this program. No two runs have the same key.
#[derive(Debug)]
pub(crate) struct Run {
    started: DateTime<Utc>,
    /// Six hexadecimal digits.
    key: String,
}

impl Run {
    pub(crate) fn new() -> Result<Self, Error> {
        Ok(Self::of(Utc::now(), random_key::<{ KEY_LENGTH / 2 }>()?))
    }

    pub(crate) fn of(started: DateTime<Utc>, key: String) -> Self {
        Self { started, key }
    }

    /// What its sessions call themselves on the server.
    pub(crate) fn application(&self) -> String {
        format!("restore-stream {}", self.key)
    }

    /// The key in such an application name.
    pub(crate) fn key_of_application(name: &str) -> Option<&str> {
        name.strip_prefix("restore-stream ")
    }

    /// A working name that no database has.
    pub(crate) fn of_no_database(&self) -> String {
        self.working(0)
    }

    /// The names that this run gives.
    pub(crate) fn new_names(&self) -> NewNames {
        NewNames {
            run: Self::of(self.started, self.key.clone()),
            working: 0,
            given: BTreeSet::new(),
        }
    }

    fn working(&self, number: u32) -> String {
        let (moment, key) = (self.started.format(FORM), &self.key);
        format!("{RESTORING}{moment}_{key}_{number}")
    }
}

/// The names that a run gives to databases, none of them twice.
#[derive(Debug)]
pub(crate) struct NewNames {
    run: Run,
    /// How many databases got a working name.
    working: u32,
    given: BTreeSet<PgText>,
}

impl NewNames {
    /// Claims a final name. Returns false if another database has claimed it.
    pub(crate) fn claim(&mut self, name: &PgText) -> bool {
        self.given.insert(name.clone())
    }

    /// A name for a database while it is being restored. It does not contain the database's own name, which may be long
    /// and in another alphabet.
    pub(crate) fn working(&mut self) -> PgText {
        self.working += 1;
        self.run.working(self.working).into()
    }

    /// The name that a replaced database is kept under: unlike any of `taken`.
    pub(crate) fn kept(&mut self, name: &PgText, taken: impl Fn(&PgText) -> bool) -> PgText {
        let end = format!("{REPLACED}{}", self.run.started.format(FORM));
        let mut kept = with_end(name, &end);
        let mut number = 1_u32;
        while taken(&kept) || self.given.contains(&kept) {
            number += 1;
            kept = with_end(name, &format!("{end}_{number}"));
        }
        self.given.insert(kept.clone());
        kept
    }
}

/// The key of the run that restores, or has restored, into `database`. None if that is no working name.
pub(crate) fn working_key(database: &str) -> Option<&str> {
    let rest = database.strip_prefix(RESTORING)?;
    let (moment, rest) = rest.split_at_checked(MOMENT_LENGTH)?;
    NaiveDateTime::parse_from_str(moment, FORM).ok()?;
    let (key, number) = rest.strip_prefix('_')?.split_once('_')?;
    let hexadecimal = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let of_form = key.len() == KEY_LENGTH
        && key.bytes().all(hexadecimal)
        && number
            .parse::<u32>()
            .is_ok_and(|it| it.to_string() == number);
    of_form.then_some(key)
}

/// A name with an end. A name that is too long is cut between two characters, the end never is. A name that is not UTF-8 is
/// cut behind an ASCII byte, because nothing shows where its other characters begin.
fn with_end(name: &PgText, end: &str) -> PgText {
    let mut length = name.len().min(NAME_LIMIT - end.len());
    let bytes = name.as_bytes();
    let is_boundary = |at: usize| match name.utf8() {
        Some(text) => text.is_char_boundary(at),
        None => at == bytes.len() || at == 0 || bytes[at - 1].is_ascii(),
    };
    while !is_boundary(length) {
        length -= 1;
    }
    [&bytes[..length], end.as_bytes()].concat().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run() -> Run {
        let started = DateTime::parse_from_rfc3339("2025-11-23T02:00:00Z").unwrap();
        Run::of(started.to_utc(), "0a1b2c".into())
    }

    #[test]
    fn names_tell_when_and_whose() {
        let run = run();
        let mut names = run.new_names();
        assert_eq!(names.working(), "restoring_20251123_020000_0a1b2c_1");
        assert_eq!(names.working(), "restoring_20251123_020000_0a1b2c_2");
        assert_eq!(run.of_no_database(), "restoring_20251123_020000_0a1b2c_0");
        assert_eq!(
            names.kept(&"shop".into(), |_| false),
            "shop_replaced_20251123_020000"
        );
        assert_eq!(run.application(), "restore-stream 0a1b2c");
        assert_eq!(
            Run::key_of_application("restore-stream 0a1b2c"),
            Some("0a1b2c")
        );
    }

    /// Whatever databases have in common, those they are kept under are different, and names.
    #[test]
    fn no_two_are_kept_under_one_name() {
        for beginning in [
            "x".repeat(60),
            "ö".repeat(30),
            "日".repeat(20),
            "a\"".repeat(30),
        ] {
            let there = run()
                .new_names()
                .kept(&beginning.as_str().into(), |_| false);
            let mut names = run().new_names();
            let mut kept: Vec<PgText> = (0..40)
                .map(|number| {
                    let name = format!("{beginning}{number}").into();
                    names.kept(&name, |name| *name == there)
                })
                .collect();
            assert!(
                kept.iter()
                    .all(|name| name.len() <= NAME_LIMIT && *name != there)
            );
            assert!(
                kept.iter()
                    .all(|name| name.to_string().contains("_replaced_20251123_020000_"))
            );
            kept.sort();
            kept.dedup();
            assert_eq!(kept.len(), 40, "{kept:?}");
        }
    }

    #[test]
    fn a_name_is_given_once() {
        let mut names = run().new_names();
        let mut claim = |name: &str| names.claim(&name.into());
        assert!(claim("a") && claim("b") && !claim("a"));
        let kept = names.kept(&"b".into(), |_| false);
        assert!(!names.claim(&kept));
    }

    #[test]
    fn only_names_of_the_form_are_working_names() {
        assert_eq!(working_key(&run().working(1)), Some("0a1b2c"));
        for database in [
            "shop",
            "restoring_20251123_020000",
            "restoring_20251123_020000_0a1b2c",
            "restoring_20251123_020000_0a1b2c_",
            "restoring_20251123_020000_0a1b2c_01",
            "restoring_20251123_020000_0a1b2c_1_",
            "restoring_20251123_020000_0a1b2c_+1",
            "restoring_20251123_020000_0A1B2C_1",
            "restoring_20251123_020000_0a1b2c3_1",
            "restoring_20251323_020000_0a1b2c_1",
            "shop_restoring_20251123_020000_0a1b2c_1",
            "shop_replaced_20251123_020000",
        ] {
            assert_eq!(working_key(database), None, "{database}");
        }
    }

    #[test]
    fn runs_differ() {
        let application = || Run::new().unwrap().application();
        assert_ne!(application(), application());
    }
}
