use std::thread::{Builder, JoinHandle};

use crate::{Error, ErrorKind};

/// Starts a thread with a small stack: there may be many, and memory is promised.
pub(crate) fn spawn<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, Error> {
    let builder = Builder::new().name(name.to_owned()).stack_size(512 << 10);
    builder.spawn(work).map_err(|error| {
        let said = job::Error::io("cannot start a thread", &error).to_string();
        Error::new(ErrorKind::Refused, said)
    })
}
