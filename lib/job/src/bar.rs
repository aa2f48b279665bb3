//! The one bar on the terminal, which messages must not be drawn into.

use std::sync::{Mutex, MutexGuard, PoisonError};

use indicatif::ProgressBar;

static BAR: Mutex<Option<ProgressBar>> = Mutex::new(None);

/// From now on it is this one; or there is none.
pub(crate) fn show(bar: Option<ProgressBar>) {
    *locked() = bar;
}

/// Runs `print` with the bar, if there is one, out of the way.
pub(crate) fn print_beside(print: impl FnOnce()) {
    let bar = locked().clone();
    match bar {
        Some(bar) => bar.suspend(print),
        None => print(),
    }
}

fn locked() -> MutexGuard<'static, Option<ProgressBar>> {
    BAR.lock().unwrap_or_else(PoisonError::into_inner)
}
