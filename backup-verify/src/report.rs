//! What was found: a line for each check, or one JSON document.

use std::io::{self, Write};

use chrono::{DateTime, SecondsFormat, Utc};
use job::{Error, say, say_error};
use serde::Serialize;

use crate::backup::Contents;

/// What one check found.
#[derive(Debug)]
pub(crate) struct Finding {
    /// What was checked: `backup`, `age`, `token`, …
    pub(crate) check: &'static str,
    pub(crate) grade: Grade,
    /// What was found, for the line.
    pub(crate) words: String,
    /// What a backup holds.
    pub(crate) contents: Option<Contents>,
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
            contents: None,
        }
    }

    #[must_use]
    pub(crate) fn of(mut self, contents: Contents) -> Self {
        self.contents = Some(contents);
        self
    }
}

/// All findings; the lines are printed as they come.
#[derive(Debug)]
pub(crate) struct Report {
    json: bool,
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
}

impl Report {
    pub(crate) fn new(target: String, now: DateTime<Utc>, json: bool) -> Self {
        Self {
            json,
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
        let Finding {
            check,
            grade,
            words,
            contents,
        } = finding;
        let result = grade.word();
        if !self.json {
            writeln!(io::stdout(), "{result:<7}  {check:<6}  {words}")
                .map_err(|error| cannot_print(&error))?;
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
        });
        Ok(())
    }

    /// The document, if one is wanted; then the worst error, after the others have been said.
    pub(crate) fn end(mut self) -> Result<(), Error> {
        // Not good (3) is worse than not read (1): it would stay so.
        self.errors.sort_by_key(|error| error.exit().code());
        let worst = self.errors.pop();
        if self.json {
            self.document.result = match &worst {
                Some(_) => "bad",
                None if self.document.checks.iter().any(|it| it.result == "warning") => "warning",
                None => "ok",
            };
            self.document.exit_code = worst.as_ref().map_or(0, |error| error.exit().code());
            let mut stdout = io::stdout().lock();
            serde_json::to_writer_pretty(&mut stdout, &self.document)
                .map_err(io::Error::from)
                .and_then(|()| writeln!(stdout))
                .map_err(|error| cannot_print(&error))?;
        }
        self.errors.iter().for_each(say_error);
        worst.map_or(Ok(()), Err)
    }
}

fn cannot_print(error: &io::Error) -> Error {
    Error::io("cannot write to standard output", error)
}
