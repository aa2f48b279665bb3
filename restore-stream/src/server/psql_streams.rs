//! The two output streams of a psql, which threads read line by line.

use std::io::{BufRead, BufReader};
use std::process::ChildStdout;
use std::sync::mpsc::Sender;
use std::thread;

use job::Error;

use crate::server::failure::continuing_listener::ContinuingListener;
use crate::server::failure::error_listener::ErrorListener;

/// Gets each line of standard error.
pub(super) type OnLine = Box<dyn FnMut(&str) + Send>;

/// For a psql that stops at the first error. Warnings are said at once; the error becomes that of the program.
pub(super) fn stops_at_error(what: &str, listener: ErrorListener) -> OnLine {
    let what = what.to_owned();
    Box::new(move |line| {
        for warning in listener.hear(line) {
            job::say!("{what}: {warning}");
        }
    })
}

/// For a psql that goes on after errors.
pub(super) fn goes_on(mut listener: ContinuingListener) -> OnLine {
    Box::new(move |line| listener.hear(line))
}

/// Reads psql's standard output in a thread, to its end.
pub(super) fn read_answers(
    stdout: Option<ChildStdout>,
    sender: Sender<String>,
) -> Result<(), Error> {
    let read = move || {
        let lines = stdout.into_iter().flat_map(|it| BufReader::new(it).lines());
        for line in lines.map_while(Result::ok) {
            // Nobody listens when the session is over.
            let _ = sender.send(line);
        }
    };
    thread::Builder::new()
        .name("psql".into())
        .stack_size(256 << 10)
        .spawn(read)
        .map(drop)
        .map_err(|error| Error::io("cannot start a thread", &error))
}
