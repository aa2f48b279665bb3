//! What was found: a line for each check, or one JSON document.

use std::collections::BTreeMap;

use backup_file::BackupName;
use chrono::{DateTime, SecondsFormat, Utc};
use job::{Error, print, say, say_error};
use serde::Serialize;
use store::{Backup, Store};

use crate::backup::Contents;
use crate::figures::Figures;
use crate::metrics::{Family, Metrics};
use crate::restore_test::Restored;
use crate::table::{Read, State, Terminal, table};

/// What one check found.
#[derive(Debug)]
pub(crate) struct Finding {
    /// What was checked: `backup`, `age`, `token`, …
    pub(crate) check: &'static str,
    pub(crate) grade: Grade,
    /// What was found, for the line.
    pub(crate) words: String,
    /// The backup of a store that was read.
    pub(crate) backup: Option<BackupName>,
    /// What a backup holds.
    pub(crate) contents: Option<Contents>,
    /// How long a restore took.
    pub(crate) restored: Option<Restored>,
    /// What was measured.
    pub(crate) figures: Option<Figures>,
}

/// How good it is.
#[derive(Debug)]
pub(crate) enum Grade {
    Ok,
    /// Somebody should know, but a restore would work.
    Warning,
    /// With the exit code of the error.
    Bad(Error),
}

impl Grade {
    fn word(&self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Bad(_) => "bad",
        }
    }

    /// As the metrics have it: the larger the worse.
    fn number(&self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Warning => 1,
            Self::Bad(_) => 2,
        }
    }
}

impl Finding {
    pub(crate) fn ok(check: &'static str, words: impl Into<String>) -> Self {
        Self::new(check, Grade::Ok, words.into())
    }

    pub(crate) fn warning(check: &'static str, words: impl Into<String>) -> Self {
        Self::new(check, Grade::Warning, words.into())
    }

    pub(crate) fn bad(check: &'static str, error: Error) -> Self {
        let words = error.to_string();
        Self::new(check, Grade::Bad(error), words)
    }

    fn new(check: &'static str, grade: Grade, words: String) -> Self {
        Self {
            check,
            grade,
            words,
            backup: None,
            contents: None,
            restored: None,
            figures: None,
        }
    }

    #[must_use]
    pub(crate) fn on(mut self, backup: BackupName) -> Self {
        self.backup = Some(backup);
        self
    }

    #[must_use]
    pub(crate) fn of(mut self, contents: Contents) -> Self {
        self.contents = Some(contents);
        self
    }

    #[must_use]
    pub(crate) fn figures(mut self, figures: Figures) -> Self {
        self.figures = Some(figures);
        self
    }

    #[must_use]
    pub(crate) fn restored(mut self, restored: Restored) -> Self {
        self.restored = Some(restored);
        self
    }
}

/// What standard output has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Output {
    /// A line for each check.
    Lines,
    /// One document.
    Json,
    /// The metrics, later.
    Metrics,
}

/// All findings; the lines are printed as they come.
#[derive(Debug)]
pub(crate) struct Report {
    output: Output,
    /// What has been printed, or would have been.
    lines: String,
    /// The worst number of each check.
    grades: BTreeMap<&'static str, u8>,
    metrics: Metrics,
    /// The backups of a store that were read.
    read: Read,
    document: Document,
    errors: Vec<Error>,
}

#[derive(Debug, Serialize)]
struct Document {
    target: String,
    now: String,
    /// The worst of all grades.
    result: &'static str,
    exit_code: u8,
    checks: Vec<Entry>,
}

#[derive(Debug, Serialize)]
struct Entry {
    check: &'static str,
    result: &'static str,
    words: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    #[serde(flatten)]
    contents: Option<Contents>,
    #[serde(flatten)]
    restored: Option<Restored>,
    #[serde(flatten)]
    figures: Option<Figures>,
}

impl Report {
    /// Nothing found yet; `target` is the backup's or the store's label.
    pub(crate) fn new(target: String, now: DateTime<Utc>, output: Output) -> Self {
        Self {
            output,
            lines: String::new(),
            grades: BTreeMap::new(),
            metrics: Metrics::new(&target),
            read: Read::new(),
            document: Document {
                target,
                now: now.to_rfc3339_opts(SecondsFormat::Secs, true),
                result: "ok",
                exit_code: 0,
                checks: Vec::new(),
            },
            errors: Vec::new(),
        }
    }

    /// One more finding. Standard output gets its line; standard error hears of what is wrong.
    pub(crate) fn add(&mut self, finding: Finding) -> Result<(), Error> {
        if let Some(backup) = finding.backup {
            self.read.insert(backup, State::read(&finding));
        }
        let Finding {
            check,
            grade,
            words,
            backup: _,
            contents,
            restored,
            figures,
        } = finding;
        let result = grade.word();
        let line = format!("{result:<7}  {check:<7}  {words}\n");
        if self.output == Output::Lines {
            print(&line)?;
        }
        self.lines += &line;
        let worst = self.grades.entry(check).or_default();
        *worst = grade.number().max(*worst);
        if let Some(figures) = &figures {
            self.metrics.figures(figures);
        }
        let mut hint = None;
        match grade {
            Grade::Ok => {}
            Grade::Warning => say!("warning: {words}"),
            Grade::Bad(error) => {
                hint = error.hint_text().map(str::to_owned);
                self.errors.push(error);
            }
        }
        self.document.checks.push(Entry {
            check,
            result,
            words,
            hint,
            contents,
            restored,
            figures,
        });
        Ok(())
    }

    /// Now that it has been opened: its own label.
    pub(crate) fn is_of(&mut self, target: String) {
        self.metrics = Metrics::new(&target);
        self.document.target = target;
    }

    /// Shows a person, where there is one, the backups of a store.
    pub(crate) fn show(
        &self,
        store: &Store,
        backups: &[Backup],
        now: DateTime<Utc>,
    ) -> Result<(), Error> {
        match Terminal::stdout() {
            Some(terminal) if self.output == Output::Lines && !backups.is_empty() => {
                let table = table(store, backups, self.read.clone(), now, terminal);
                print(&format!("\n{table}"))
            }
            _ => Ok(()),
        }
    }

    /// The lines of all checks.
    pub(crate) fn lines(&self) -> &str {
        &self.lines
    }

    /// What is being measured of the store.
    pub(crate) fn metrics(&mut self) -> &mut Metrics {
        &mut self.metrics
    }

    /// What was measured of the store, all checks' grades too.
    pub(crate) fn measured(&self) -> Metrics {
        let mut metrics = self.metrics.clone();
        for (check, grade) in &self.grades {
            metrics.add(Family::CheckGrade, "check", check, f64::from(*grade));
        }
        metrics
    }

    /// The document, if one is wanted; then the worst error, after the others have been said.
    pub(crate) fn end(&mut self) -> Result<(), Error> {
        // Not good (3) is worse than not read (1): it would stay so.
        self.errors.sort_by_key(|error| error.exit().code());
        let worst = self.errors.pop();
        if self.output == Output::Json {
            self.document.result = match &worst {
                Some(_) => "bad",
                None if self.document.checks.iter().any(|it| it.result == "warning") => "warning",
                None => "ok",
            };
            self.document.exit_code = worst.as_ref().map_or(0, |error| error.exit().code());
            job::print_json_pretty(&self.document)?;
        }
        self.errors.iter().for_each(say_error);
        worst.map_or(Ok(()), Err)
    }
}
