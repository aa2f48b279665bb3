//! What is reported of the statements that failed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use job::say;
use serde::Serialize;

use super::meaning::Failure;

/// How many statements are kept for `--json`.
const KEPT: usize = 200;

/// The first statement of a run that failed. Later ones may have failed only because the run was being stopped.
#[derive(Debug, Clone, Default)]
pub(crate) struct FirstFailure(Arc<Mutex<Option<Failure>>>);

impl FirstFailure {
    pub(crate) fn note(&self, failure: &Failure) {
        lock(&self.0).get_or_insert_with(|| failure.clone());
    }

    pub(crate) fn get(&self) -> Option<Failure> {
        lock(&self.0).clone()
    }
}

/// All statements that failed in a run that goes on. Each is said when it fails, all are counted, and the first of them are
/// kept. Clones are the same list.
#[derive(Debug, Clone, Default)]
pub(crate) struct FailureList(Arc<Mutex<ListedFailures>>);

/// For `--json`.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct ListedFailures {
    count: u64,
    /// The first of them.
    pub(super) statements: Vec<ListedFailure>,
}

/// A statement that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct ListedFailure {
    /// The part of the dump that it is in: `database 'shop'`.
    pub(super) part: String,
    /// The line of that part.
    pub(super) line: Option<u64>,
    /// Its first line, without values.
    pub(super) statement: String,
    /// The server's code for the error; none if psql itself found it.
    pub(super) sqlstate: Option<String>,
    /// What the server said.
    pub(super) error: String,
}

impl FailureList {
    pub(crate) fn count(&self) -> u64 {
        lock(&self.0).count
    }

    pub(crate) fn listed(&self) -> ListedFailures {
        lock(&self.0).clone()
    }

    pub(super) fn add(&self, failed: ListedFailure) {
        let ListedFailure {
            part,
            line,
            statement,
            error,
            ..
        } = &failed;
        match line {
            Some(line) => say!("{part}: line {line} failed: {error}: {statement}"),
            None => say!("{part}: a statement failed: {error}: {statement}"),
        }
        self.list(failed);
    }

    fn list(&self, failed: ListedFailure) {
        let mut listed = lock(&self.0);
        listed.count += 1;
        if listed.statements.len() < KEPT {
            listed.statements.push(failed);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_bounded() {
        let failures = FailureList::default();
        for _ in 0..KEPT + 5 {
            failures.list(ListedFailure {
                part: "database 'a'".into(),
                line: None,
                statement: "SELECT 1;".into(),
                sqlstate: None,
                error: "ERROR".into(),
            });
        }
        assert_eq!(failures.count(), KEPT as u64 + 5);
        assert_eq!(failures.listed().statements.len(), KEPT);
    }
}
