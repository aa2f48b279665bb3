//! Starting a thread, and losing one.

use std::io;
use std::thread::{Builder, JoinHandle};

/// Starts a thread with a name, which debuggers and `top` show.
pub(crate) fn spawn<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    Builder::new().name(name.into()).spawn(work)
}

/// The error of a caller that waits for a thread that has panicked.
pub(crate) fn lost() -> io::Error {
    io::Error::other("a worker thread has ended before its work was done")
}
