//! One line for each finding, on standard output and in a ping.

use crate::finding::Finding;

/// The line of a finding, with its line feed.
pub(crate) fn line(finding: &Finding) -> String {
    let Finding {
        check,
        grade,
        words,
        ..
    } = finding;
    format!("{:<7}  {check:<7}  {words}\n", grade.word())
}
