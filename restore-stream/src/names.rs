//! The names of databases that are being restored, and of those that were replaced.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

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

/// One run of this program, no two of which have the same key; it gives no name twice.
#[derive(Debug)]
pub(crate) struct Run {
    started: DateTime<Utc>,
    /// Six hexadecimal digits.
    key: String,
    given: Mutex<Given>,
}

#[derive(Debug, Default)]
struct Given {
    /// How many databases got a working name.
    working: u32,
    names: BTreeSet<PgText>,
}

impl Run {
    pub(crate) fn new() -> Result<Self, Error> {
        Ok(Self::of(Utc::now(), random_key::<{ KEY_LENGTH / 2 }>()?))
    }

    fn of(started: DateTime<Utc>, key: String) -> Self {
        let given = Mutex::default();
        Self {
            started,
            key,
            given,
        }
    }

    /// What its sessions call themselves on the server.
    pub(crate) fn application(&self) -> String {
        format!("restore-stream {}", self.key)
    }

    /// The key in such a name.
    pub(crate) fn key_of_application(name: &str) -> Option<&str> {
        name.strip_prefix("restore-stream ")
    }

    /// A name for a database while it is being restored: nothing of its own name is in it, which may be long, and in
    /// another alphabet.
    pub(crate) fn working(&self) -> String {
        let mut given = self.given();
        given.working += 1;
        self.numbered(given.working)
    }

    /// A name of that form that no database has.
    pub(crate) fn of_no_database(&self) -> String {
        self.numbered(0)
    }

    fn numbered(&self, number: u32) -> String {
        let (moment, key) = (self.started.format(FORM), &self.key);
        format!("{RESTORING}{moment}_{key}_{number}")
    }

    /// Whether the database that is to have this name at the end is the first one.
    pub(crate) fn claim(&self, name: &PgText) -> bool {
        self.given().names.insert(name.clone())
    }

    /// The name that a database that was replaced is kept under; unlike any of `taken`.
    pub(crate) fn replaced(&self, name: &PgText, taken: impl Fn(&PgText) -> bool) -> PgText {
        let mut given = self.given();
        let end = format!("{REPLACED}{}", self.started.format(FORM));
        let mut kept = with_end(name, &end);
        let mut number = 1_u32;
        while taken(&kept) || given.names.contains(&kept) {
            number += 1;
            kept = with_end(name, &format!("{end}_{number}"));
        }
        given.names.insert(kept.clone());
        kept
    }

    fn given(&self) -> MutexGuard<'_, Given> {
        self.given.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The key of the run that restores, or restored, into `database`; none if that is no working name.
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

/// A name and an end, of which the end is whole: the name is cut, between characters, where it is too long. Of a name that
/// is not UTF-8, all bytes behind the last that is ASCII are cut: where a character of it begins cannot be seen.
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
        assert_eq!(run.working(), "restoring_20251123_020000_0a1b2c_1");
        assert_eq!(run.working(), "restoring_20251123_020000_0a1b2c_2");
        assert_eq!(run.of_no_database(), "restoring_20251123_020000_0a1b2c_0");
        assert_eq!(
            run.replaced(&"shop".into(), |_| false),
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
            let run = run();
            let there = run.replaced(&beginning.as_str().into(), |_| false);
            let run = self::run();
            let mut kept: Vec<PgText> = (0..40)
                .map(|number| {
                    let name = format!("{beginning}{number}").into();
                    run.replaced(&name, |name| *name == there)
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
        let run = run();
        let claim = |name: &str| run.claim(&name.into());
        assert!(claim("a") && claim("b") && !claim("a"));
        let kept = run.replaced(&"b".into(), |_| false);
        assert!(!run.claim(&kept));
    }

    #[test]
    fn only_names_of_the_form_are_working_names() {
        assert_eq!(working_key(&run().working()), Some("0a1b2c"));
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
