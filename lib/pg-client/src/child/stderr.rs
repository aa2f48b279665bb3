//! What a program says on standard error: each line as it comes, and the last ones when it has ended.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read};
use std::process::ChildStderr;
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use pg_text::PgText;

use crate::{Error, ErrorKind};

/// How long standard error may stay open (a grandchild holds it) when the process has ended.
const CLOSING_TIME: Duration = Duration::from_secs(1);
/// Lines that are kept.
pub(crate) const LINES: usize = 20;
/// Bytes that are kept of each line.
const LINE_LENGTH: u64 = 2000;

/// Reads a program's standard error, in a thread of its own.
#[derive(Debug, Default)]
pub(super) struct StderrReader {
    lines: Arc<Mutex<VecDeque<String>>>,
    /// Hangs up at end of file.
    end: Option<Receiver<()>>,
}

impl StderrReader {
    pub(super) fn start(
        stderr: ChildStderr,
        mut on_line: impl FnMut(&str) + Send + 'static,
    ) -> Result<Self, Error> {
        let lines = Arc::new(Mutex::new(VecDeque::with_capacity(LINES)));
        let (open, end) = mpsc::channel();
        let kept = Arc::clone(&lines);
        let read = move || {
            let _open = open;
            let mut stderr = BufReader::with_capacity(4096, stderr);
            while let Ok(Some(line)) = next_line(&mut stderr) {
                on_line(&line);
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                if kept.len() == LINES {
                    kept.pop_front();
                }
                kept.push_back(line);
            }
        };
        thread::Builder::new()
            .name("stderr".into())
            .stack_size(256 << 10)
            .spawn(read)
            .map_err(|error| Error::io(ErrorKind::System, "cannot start a thread", &error))?;
        Ok(Self {
            lines,
            end: Some(end),
        })
    }

    /// The last lines, after all have come.
    pub(super) fn last_lines(&self) -> Vec<String> {
        if let Some(end) = &self.end {
            let _ = end.recv_timeout(CLOSING_TIME);
        }
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().cloned().collect()
    }
}

/// The next line without its end, cut to the length that is kept; none at end of file.
fn next_line(input: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    let length = input
        .by_ref()
        .take(LINE_LENGTH)
        .read_until(b'\n', &mut line)?;
    if length == 0 {
        return Ok(None);
    }
    if line.last() != Some(&b'\n') {
        input.skip_until(b'\n')?;
    }
    // The bytes may be in any encoding: that of the program, or of the server.
    Ok(Some(PgText::from(line.trim_ascii_end()).to_string()))
}
