//! Why a restore test does not end well.

use job::{Error, Exit, say, text};

use crate::finding::{Finding, Grade};

/// Why something did not come back as it was dumped, without its name.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The backup is to blame: why, and what to do about it.
    NotGood { why: String, hint: Option<String> },
    /// It came back, and differs from what was dumped.
    Differs { differences: Vec<String> },
    /// It could not be tested, which tells nothing about the backup.
    Untested(Error),
}

impl Failure {
    pub(crate) fn not_good(why: impl Into<String>) -> Self {
        let (why, hint) = (why.into(), None);
        Self::NotGood { why, hint }
    }

    /// Says what to do about it.
    #[must_use]
    pub(crate) fn hint(self, hint: &str) -> Self {
        match self {
            Self::NotGood { why, .. } => {
                let hint = Some(hint.to_owned());
                Self::NotGood { why, hint }
            }
            Self::Untested(error) => Self::Untested(error.hint(hint)),
            differs @ Self::Differs { .. } => differs,
        }
    }

    /// The error of a test of `what`: with exit code 3 if the backup is to blame.
    pub(crate) fn error(self, what: &str) -> Error {
        match self {
            Self::NotGood { why, hint } => {
                Error::not_good(format!("{what}: {why}")).hint_if_known(hint)
            }
            Self::Differs { differences } => {
                let why = differences.join("; ");
                Error::not_good(format!("{what} is not what was dumped: {why}"))
            }
            Self::Untested(error) => error.within(format_args!("{what} could not be tested")),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Untested(error)
    }
}

/// How many databases failed, and why.
#[derive(Debug, Default)]
pub(crate) struct FailureCount {
    not_good: usize,
    untested: usize,
}

impl FailureCount {
    /// Counts the finding on a database.
    pub(crate) fn count(&mut self, finding: &Finding) {
        if let Grade::Bad(error) = &finding.grade {
            match error.exit() {
                Exit::NotGood => self.not_good += 1,
                _ => self.untested += 1,
            }
        }
    }

    pub(crate) fn is_zero(&self) -> bool {
        self.not_good + self.untested == 0
    }

    /// Says how many of `all` databases failed; `bad` is what those did for which the backup is to blame.
    pub(crate) fn say(&self, all: usize, bad: &str) {
        let all = text::count(all, "database");
        let Self { not_good, untested } = self;
        if *not_good > 0 {
            say!("{not_good} of {all} {bad}");
        }
        if *untested > 0 {
            say!("{untested} of {all} could not be tested, which says nothing about the backup");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_backup_s_own_fault_is_not_good() {
        let error = Failure::not_good("cut").hint("look").error("database 'x'");
        assert_eq!(error.to_string(), "database 'x': cut");
        assert_eq!(
            (error.exit(), error.hint_text()),
            (Exit::NotGood, Some("look"))
        );
        let differences = vec!["rows: a".into(), "indexes: b".into()];
        let error = Failure::Differs { differences }.error("database 'x'");
        let words = "database 'x' is not what was dumped: rows: a; indexes: b";
        assert_eq!(
            (error.exit(), error.to_string().as_str()),
            (Exit::NotGood, words)
        );
        // Whatever its own words are, those of another language among them.
        let error = Failure::from(Error::failed("database 'y': Platte voll")).hint("make room");
        let error = error.error("database 'x'");
        let words = "database 'x' could not be tested: database 'y': Platte voll";
        assert_eq!(
            (error.exit(), error.to_string().as_str()),
            (Exit::Failed, words)
        );
        assert_eq!(error.hint_text(), Some("make room"));
    }
}
