//! The findings of a run, and how it ends.

use chrono::{DateTime, Utc};
use job::{Error, print, say, say_error};

use crate::finding::{Finding, Grade};
use crate::show::{Output, json, lines};

/// All findings. Their lines are printed as they come.
#[derive(Debug)]
pub(crate) struct Report {
    target: String,
    now: DateTime<Utc>,
    output: Output,
    findings: Vec<Finding>,
}

impl Report {
    /// Nothing found yet; `target` is the backup's or the store's label.
    pub(crate) fn new(target: String, now: DateTime<Utc>, output: Output) -> Self {
        Self {
            target,
            now,
            output,
            findings: Vec::new(),
        }
    }

    /// Takes the label that the backup or the store has, now that it is open.
    pub(crate) fn set_target(&mut self, target: String) {
        self.target = target;
    }

    /// Adds a finding. Standard output gets its line, and standard error a warning.
    ///
    /// # Errors
    /// Standard output is closed or full.
    pub(crate) fn add(&mut self, finding: Finding) -> Result<(), Error> {
        if self.output == Output::Lines {
            print(&lines::line(&finding))?;
        }
        if let Grade::Warning = finding.grade {
            say!("warning: {}", finding.words);
        }
        self.findings.push(finding);
        Ok(())
    }

    pub(crate) fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// Whether a person reads standard output.
    pub(crate) fn has_lines(&self) -> bool {
        self.output == Output::Lines
    }

    /// The lines of all findings.
    pub(crate) fn lines(&self) -> String {
        self.findings.iter().map(lines::line).collect()
    }

    /// Prints the document, if one is wanted, and says all errors but the worst.
    ///
    /// # Errors
    /// The worst of the findings; standard output is closed or full.
    pub(crate) fn end(&self) -> Result<(), Error> {
        let mut errors: Vec<&Error> = self
            .findings
            .iter()
            .filter_map(|finding| match &finding.grade {
                Grade::Bad(error) => Some(error),
                Grade::Ok | Grade::Warning => None,
            })
            .collect();
        // Not good (3) is worse than not read (1), which may pass.
        errors.sort_by_key(|error| error.exit().code());
        let worst = errors.pop();
        if self.output == Output::Json {
            json::print(&self.target, self.now, &self.findings, worst)?;
        }
        errors.into_iter().for_each(say_error);
        worst.map_or(Ok(()), |error| Err(error.clone()))
    }
}
