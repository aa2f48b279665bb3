//! What a check found: plain data, that lines, JSON, metrics and the table are made of.

use backup_file::BackupName;
use job::Error;

use crate::figures::{Contents, Figures, Restored};

/// What one check found.
#[derive(Debug)]
pub(crate) struct Finding {
    /// The name of the check: `backup`, `age`, `token`, …
    pub(crate) check: &'static str,
    pub(crate) grade: Grade,
    /// What was found, for a person.
    pub(crate) words: String,
    /// The backup of a store that was read.
    pub(crate) backup: Option<BackupName>,
    /// What was measured, for a program.
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
    /// For a program: `ok`, `warning`, `bad`.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Bad(_) => "bad",
        }
    }

    /// As the metrics have it: the larger the worse.
    pub(crate) fn number(&self) -> u8 {
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
            figures: None,
        }
    }

    #[must_use]
    pub(crate) fn on(mut self, backup: BackupName) -> Self {
        self.backup = Some(backup);
        self
    }

    #[must_use]
    pub(crate) fn figures(mut self, figures: Figures) -> Self {
        self.figures = Some(figures);
        self
    }

    pub(crate) fn is_bad(&self) -> bool {
        matches!(self.grade, Grade::Bad(_))
    }

    /// What the backup holds, if one was read.
    pub(crate) fn contents(&self) -> Option<&Contents> {
        match &self.figures {
            Some(Figures::Contents(contents)) => Some(contents),
            _ => None,
        }
    }

    /// How long a restore took, if one was tested and good.
    pub(crate) fn restored(&self) -> Option<&Restored> {
        match &self.figures {
            Some(Figures::Restored(restored)) => Some(restored),
            _ => None,
        }
    }

    /// Whether a backup was read through and nothing is wrong with it.
    pub(crate) fn is_good_reading(&self) -> bool {
        matches!(self.grade, Grade::Ok) && self.contents().is_some()
    }
}
