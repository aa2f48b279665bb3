//! The sessions that one run has open at once.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pg_client::Killer;

use crate::server::failure::record::FirstFailure;

/// The sessions of this run. They are killed together when one has failed. Clones are the same group.
#[derive(Debug, Clone)]
pub(crate) struct SessionGroup {
    sessions: Arc<Mutex<Vec<Killer>>>,
    pub(super) first_failure: FirstFailure,
}

impl SessionGroup {
    pub(crate) fn new(first_failure: FirstFailure) -> Self {
        Self {
            sessions: Arc::default(),
            first_failure,
        }
    }

    pub(super) fn add(&self, killer: Killer) {
        self.lock().push(killer);
    }

    pub(crate) fn kill(&self) {
        for killer in self.lock().iter() {
            killer.kill();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Killer>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
