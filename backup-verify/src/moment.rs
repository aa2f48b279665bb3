//! `--at`: the moment that a restore test recovers a cluster to.

use std::fmt;

use chrono::{DateTime, SubsecRound, Utc};

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Moment {
    /// That one, or the end.
    Given(Target),
    /// Any that can be reached.
    Random,
}

/// Where a recovery stops.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// After the last transaction that ended until then.
    Time(DateTime<Utc>),
    /// Where the archived WAL ends.
    End,
}

impl Moment {
    /// Reads the option's value.
    ///
    /// # Errors
    /// Which forms are understood.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        match text {
            "random" => Ok(Self::Random),
            "end" => Ok(Self::Given(Target::End)),
            _ => match job::time::parse(text) {
                // PostgreSQL counts microseconds.
                Ok(time) => Ok(Self::Given(Target::Time(time.trunc_subsecs(6)))),
                Err(error) => Err(format!("{error}; or random, or end")),
            },
        }
    }
}

/// As the option takes it.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Time(time) => write!(f, "{}", time.format("%Y-%m-%dT%H:%M:%S%.6fZ")),
            Self::End => f.write_str("end"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_can_be_given_again() {
        for (text, shown) in [
            ("2025-11-23 01:59:30.25Z", "2025-11-23T01:59:30.250000Z"),
            ("2025-11-23 02:59:30+01", "2025-11-23T01:59:30.000000Z"),
            (
                "2025-11-23T01:59:30.1234567Z",
                "2025-11-23T01:59:30.123456Z",
            ),
            ("end", "end"),
        ] {
            let Ok(Moment::Given(target)) = Moment::parse(text) else {
                panic!("{text}");
            };
            assert_eq!(target.to_string(), shown);
            assert_eq!(Moment::parse(shown), Ok(Moment::Given(target)));
        }
        assert_eq!(Moment::parse("random"), Ok(Moment::Random));
        assert!(Moment::parse("now").unwrap_err().contains("random"));
    }
}
