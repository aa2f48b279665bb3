use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Tells threads that pause that nobody waits for them any more.
#[derive(Debug, Default)]
pub(crate) struct Cancel {
    cancelled: Mutex<bool>,
    changed: Condvar,
}

impl Cancel {
    pub(crate) fn cancel(&self) {
        *self
            .cancelled
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
    }

    /// Waits so long; true, at once, if cancelled.
    pub(crate) fn wait(&self, pause: Duration) -> bool {
        let cancelled = self
            .cancelled
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let (cancelled, _) = self
            .changed
            .wait_timeout_while(cancelled, pause, |cancelled| !*cancelled)
            .unwrap_or_else(PoisonError::into_inner);
        *cancelled
    }
}
