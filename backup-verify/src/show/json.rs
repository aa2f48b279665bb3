//! One document for a run (`--json`): `docs/verify.md` describes it.

use chrono::{DateTime, SecondsFormat, Utc};
use job::Error;
use serde::Serialize;

use crate::figures::Figures;
use crate::finding::{Finding, Grade};

#[derive(Debug, Serialize)]
struct Document<'a> {
    target: &'a str,
    now: String,
    /// The worst of all grades.
    result: &'static str,
    exit_code: u8,
    checks: Vec<Check<'a>>,
}

#[derive(Debug, Serialize)]
struct Check<'a> {
    check: &'static str,
    result: &'static str,
    words: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'a str>,
    #[serde(flatten)]
    figures: Option<&'a Figures>,
}

/// Prints the document of a run; `worst` is the error that it ends with.
///
/// # Errors
/// Standard output is closed or full.
pub(crate) fn print(
    target: &str,
    now: DateTime<Utc>,
    findings: &[Finding],
    worst: Option<&Error>,
) -> Result<(), Error> {
    let is_warning = |finding: &Finding| matches!(finding.grade, Grade::Warning);
    let result = match worst {
        Some(_) => "bad",
        None if findings.iter().any(is_warning) => "warning",
        None => "ok",
    };
    job::print_json_pretty(&Document {
        target,
        now: now.to_rfc3339_opts(SecondsFormat::Secs, true),
        result,
        exit_code: worst.map_or(0, |error| error.exit().code()),
        checks: findings.iter().map(Check::of).collect(),
    })
}

impl<'a> Check<'a> {
    fn of(finding: &'a Finding) -> Self {
        let hint = match &finding.grade {
            Grade::Bad(error) => error.hint_text(),
            Grade::Ok | Grade::Warning => None,
        };
        Self {
            check: finding.check,
            result: finding.grade.word(),
            words: &finding.words,
            hint,
            figures: finding.figures.as_ref(),
        }
    }
}
