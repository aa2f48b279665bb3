//! Reading what a program writes.

use std::io::{self, Read};
use std::process::ChildStdout;
use std::thread;
use std::time::Duration;

/// As much as a pipe may hold without privileges (`/proc/sys/fs/pipe-max-size`).
const WIDE: usize = 1 << 20;
/// A read that brings less has emptied the pipe: its writer is the slower one.
const ENOUGH: usize = 128 << 10;
/// What a writer of 100 MB/s fills a tenth of the pipe in.
const NAP: Duration = Duration::from_millis(1);

/// The standard output of a program that writes little at once, and much in all (pg_dump writes 4 KiB), read
/// without being woken by each piece: when the pipe is empty, it may fill a little before it is read again. That
/// saves both sides about a tenth of their CPU time.
#[derive(Debug)]
pub struct PipeReader {
    pipe: ChildStdout,
    /// Whether the pipe holds what comes while nobody reads.
    is_wide: bool,
    was_emptied: bool,
}

impl PipeReader {
    /// Widens the pipe.
    pub(crate) fn new(pipe: ChildStdout) -> Self {
        let size = rustix::pipe::fcntl_setpipe_size(&pipe, WIDE);
        Self {
            // A smaller pipe is slower, no more.
            is_wide: size.is_ok_and(|size| size >= WIDE),
            pipe,
            was_emptied: false,
        }
    }
}

impl Read for PipeReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.was_emptied && self.is_wide {
            thread::sleep(NAP);
        }
        let count = self.pipe.read(buffer)?;
        self.was_emptied = count < buffer.len().min(ENOUGH);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    /// What a shell line writes, as it is read.
    fn read(line: &str) -> Vec<u8> {
        let mut command = Command::new("sh");
        let mut child = command
            .args(["-c", line])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut reader = PipeReader::new(child.stdout.take().unwrap());
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).unwrap();
        child.wait().unwrap();
        bytes
    }

    #[test]
    fn all_comes_in_order_however_it_is_written() {
        let numbers: String = (1..=20_000).map(|n| format!("{n}\n")).collect();
        // Line by line: the pipe is found empty again and again. And at once: more than the pipe holds.
        let slowly = "i=0; while [ $i -lt 20000 ]; do i=$((i + 1)); echo $i; done";
        assert_eq!(read(slowly), numbers.as_bytes());
        assert_eq!(read("head -c 5000000 /dev/zero"), vec![0; 5_000_000]);
        assert_eq!(read(":"), b"");
    }
}
