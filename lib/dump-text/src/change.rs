//! What statements do to the settings by which psql reads text.

mod words;

use pg_text::PgText;

use crate::encoding::Encoding;
pub(crate) use words::changes;

/// What a statement changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// `SET`; `RESET` without a value; local: until the transaction ends.
    Set {
        setting: Setting,
        value: Option<Value>,
        local: bool,
    },
    ResetAll,
    /// `DISCARD ALL`, which the server refuses in a transaction.
    DiscardAll,
    /// `ALTER DATABASE … SET`; without a value: `RESET`; without a setting: `RESET ALL`.
    Database {
        name: PgText,
        setting: Option<Setting>,
        value: Option<Value>,
    },
    /// The same for a role, or for the server: for whom that counts is not in the text.
    Elsewhere,
    Begin,
    Commit {
        chain: bool,
    },
    Rollback {
        chain: bool,
    },
    Savepoint(PgText),
    Release(PgText),
    RollbackTo(PgText),
    /// A call of `set_config` that may be for any setting.
    Unknown,
}

/// A setting that matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Setting {
    StandardStrings,
    ClientEncoding,
}

/// Its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Value {
    StandardStrings(bool),
    ClientEncoding(Encoding),
}

impl Setting {
    fn named(name: &PgText) -> Option<Self> {
        let name = name.ascii();
        if name.eq_ignore_ascii_case("standard_conforming_strings") {
            Some(Self::StandardStrings)
        } else if name.eq_ignore_ascii_case("client_encoding") {
            Some(Self::ClientEncoding)
        } else {
            None
        }
    }

    /// None if the server refuses it.
    fn value(self, value: &PgText) -> Option<Value> {
        match self {
            Self::ClientEncoding => Some(Value::ClientEncoding(Encoding::named(value.as_bytes()))),
            Self::StandardStrings => boolean(value).map(Value::StandardStrings),
        }
    }
}

/// The server takes any beginning of a word that begins no other.
fn boolean(value: &PgText) -> Option<bool> {
    let value = value.ascii().to_ascii_lowercase();
    let begins = |word: &str, least: usize| value.len() >= least && word.starts_with(&value);
    if begins("true", 1) || begins("yes", 1) || begins("on", 2) || value == "1" {
        Some(true)
    } else if begins("false", 1) || begins("no", 1) || begins("off", 2) || value == "0" {
        Some(false)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(statement: &str) -> Option<Change> {
        let mut changes = changes(statement.as_bytes());
        assert!(changes.len() < 2, "{statement}: {changes:?}");
        changes.pop()
    }

    fn strings(on: bool) -> Value {
        Value::StandardStrings(on)
    }

    #[test]
    fn ways_to_set_it() {
        for (statement, on) in [
            ("SET standard_conforming_strings = on;", true),
            ("set Standard_Conforming_Strings TO 'OFF';", false),
            ("SET SESSION standard_conforming_strings = 'f';", false),
            ("SET \"STANDARD_conforming_strings\" = no;", false),
            ("SET U&\"standard_conforming_string\\0073\" = 0;", false),
            ("SET standard_conforming_strings = 01;", true),
            ("SET standard_conforming_strings = -0;", false),
            (
                "SET standard_conforming_strings /* x */ TO -- y\n E'o\\146f';",
                false,
            ),
            (
                "SELECT set_config('standard_conforming_strings','off',false);",
                false,
            ),
            (
                "SELECT 1, pg_catalog.\"set_config\" ( 'Standard_conforming_strings' , $$t$$ , 'no' ) ;",
                true,
            ),
            (
                "values (set_config('standard_conforming_strings','off',false))",
                false,
            ),
        ] {
            let set = Change::Set {
                setting: Setting::StandardStrings,
                value: Some(strings(on)),
                local: false,
            };
            assert_eq!(one(statement), Some(set), "{statement}");
        }
        for (statement, encoding) in [
            ("SET NAMES 'sjis';", Some(Encoding::ShiftJis)),
            ("SET NAMES;", None),
            ("SET LOCAL NAMES DEFAULT;", None),
            ("SET LOCAL client_encoding TO big5;", Some(Encoding::Pairs)),
        ] {
            let set = Change::Set {
                setting: Setting::ClientEncoding,
                value: encoding.map(Value::ClientEncoding),
                local: statement.contains("LOCAL"),
            };
            assert_eq!(one(statement), Some(set), "{statement}");
        }
    }

    #[test]
    fn what_the_server_refuses_or_is_about_something_else() {
        for statement in [
            "SET standard_conforming_strings = off x;",
            "SET standard_conforming_strings = o;",
            "SET standard_conforming_strings off;",
            "SET standard_conforming_strings = off, on;",
            "SET x.standard_conforming_strings = off;",
            "SET search_path = standard_conforming_strings;",
            "SET NAMES sjis;",
            "SELECT set_config('search_path', '', false);",
            "SELECT set_config;",
            "COMMIT x;",
            "BEGIN ATOMIC;",
            "ALTER DATABASE x SET search_path = y;",
        ] {
            assert_eq!(one(statement), None, "{statement}");
        }
        assert_eq!(
            one("SELECT set_config('standard_'||'conforming_strings','off',false);"),
            Some(Change::Unknown)
        );
        assert_eq!(one("SELECT set_config(a, b, true);"), Some(Change::Unknown));
    }

    #[test]
    fn transactions_and_databases() {
        for (statement, change) in [
            ("BEGIN;", Change::Begin),
            ("start transaction read only;", Change::Begin),
            ("COMMIT WORK AND NO CHAIN;", Change::Commit { chain: false }),
            ("END AND CHAIN;", Change::Commit { chain: true }),
            ("ABORT;", Change::Rollback { chain: false }),
            ("ROLLBACK TO a;", Change::RollbackTo("a".into())),
            (
                "ROLLBACK WORK TO SAVEPOINT \"A\";",
                Change::RollbackTo("A".into()),
            ),
            (
                "ROLLBACK TO savepoint;",
                Change::RollbackTo("savepoint".into()),
            ),
            ("SAVEPOINT a;", Change::Savepoint("a".into())),
            ("RELEASE a;", Change::Release("a".into())),
            ("RELEASE SAVEPOINT a;", Change::Release("a".into())),
            ("PREPARE TRANSACTION 'x';", Change::Commit { chain: false }),
            ("DISCARD ALL;", Change::DiscardAll),
            (
                "ALTER DATABASE x SET standard_conforming_strings TO 'off';",
                Change::Database {
                    name: "x".into(),
                    setting: Some(Setting::StandardStrings),
                    value: Some(strings(false)),
                },
            ),
            (
                "ALTER DATABASE x RESET ALL;",
                Change::Database {
                    name: "x".into(),
                    setting: None,
                    value: None,
                },
            ),
            (
                "ALTER ROLE ALL IN DATABASE x SET client_encoding TO 'x';",
                Change::Elsewhere,
            ),
            (
                "ALTER SYSTEM SET standard_conforming_strings = off;",
                Change::Elsewhere,
            ),
        ] {
            assert_eq!(one(statement), Some(change), "{statement}");
        }
    }
}
