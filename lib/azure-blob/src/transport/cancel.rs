use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Wakes threads from their pauses when nobody wants their work any more.
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

    pub(crate) fn is_cancelled(&self) -> bool {
        self.wait(Duration::ZERO)
    }

    /// Waits for this long. Returns true, without waiting further, once it is cancelled.
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
