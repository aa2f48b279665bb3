//! Small files whose names come from outside. Whatever stands there, a pipe that nobody writes to or a device
//! without end, reading it ends soon and takes little memory.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;

use crate::text;

/// How long a pipe may take to give all that it has: `<(az storage container generate-sas …)` takes some seconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// All of a file of at most `most` bytes, which may be a pipe: `<(command)` in a shell.
///
/// # Errors
/// The system's; a file that is longer ([`FileTooLarge`](ErrorKind::FileTooLarge)), a pipe that has not ended after ten
/// seconds ([`TimedOut`](ErrorKind::TimedOut)).
pub fn read_any(path: &Path, most: usize) -> io::Result<Vec<u8>> {
    all(open(path)?, most, PATIENCE)
}

/// All of a regular file of at most `most` bytes.
///
/// # Errors
/// The system's; a file that is longer ([`FileTooLarge`](ErrorKind::FileTooLarge)), or that is no regular one
/// ([`InvalidInput`](ErrorKind::InvalidInput)).
pub fn read_regular(path: &Path, most: usize) -> io::Result<Vec<u8>> {
    let wrong = || io::Error::new(ErrorKind::InvalidInput, "it is no regular file");
    // To open a device may do something.
    if !path.metadata()?.is_file() {
        return Err(wrong());
    }
    let file = open(path)?;
    // It may be another one by now.
    match file.metadata()?.is_file() {
        true => all(file, most, PATIENCE),
        false => Err(wrong()),
    }
}

/// Does not wait for somebody who writes to it.
fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)
}

fn all(mut file: File, most: usize, patience: Duration) -> io::Result<Vec<u8>> {
    let deadline = Instant::now() + patience;
    let mut bytes = Vec::new();
    let mut piece = [0; 8 << 10];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        await_more(&file, left, patience)?;
        let count = match file.read(&mut piece) {
            Ok(count) => count,
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) =>
            {
                continue;
            }
            Err(error) => return Err(error),
        };
        if count == 0 {
            return Ok(bytes);
        }
        bytes.extend_from_slice(&piece[..count]);
        if bytes.len() > most {
            let most = text::bytes(most as u64);
            let said = format!("it is longer than {most}");
            return Err(io::Error::new(ErrorKind::FileTooLarge, said));
        }
    }
}

/// Waits until there is something to be read, or nobody writes any more.
fn await_more(file: &File, left: Duration, patience: Duration) -> io::Result<()> {
    let timeout = Timespec::try_from(left).map_err(io::Error::other)?;
    let mut waited = [PollFd::new(file, PollFlags::IN)];
    match poll(&mut waited, Some(&timeout)) {
        Ok(0) => {
            let seconds = patience.as_secs();
            let said = format!("it is a pipe or a device that has not ended after {seconds} s");
            Err(io::Error::new(ErrorKind::TimedOut, said))
        }
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::thread;

    use rustix::pipe::pipe;

    use super::*;

    const SHORT: Duration = Duration::from_millis(50);

    fn pipes() -> (File, File) {
        let (reader, writer) = pipe().unwrap();
        rustix::io::ioctl_fionbio(&reader, true).unwrap();
        (reader.into(), writer.into())
    }

    #[test]
    fn a_pipe_is_read_to_its_end() {
        let (reader, mut writer) = pipes();
        let writing = thread::spawn(move || {
            for _ in 0..100 {
                writer.write_all(&[b'x'; 1000]).unwrap();
            }
        });
        assert_eq!(all(reader, 100_000, PATIENCE).unwrap().len(), 100_000);
        writing.join().unwrap();
    }

    #[test]
    fn a_pipe_without_end_is_left() {
        let (reader, mut writer) = pipes();
        writer.write_all(b"half").unwrap();
        let error = all(reader, 100, SHORT).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
        drop(writer);
    }

    #[test]
    fn a_device_without_end_is_left() {
        let error = read_any(Path::new("/dev/zero"), 1 << 16).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::FileTooLarge);
        assert_eq!(error.to_string(), "it is longer than 64.00 KiB");
    }

    #[test]
    fn what_is_no_regular_file_is_not_opened() {
        for path in ["/dev/null", "/dev/zero", "/proc", "/dev/tty"] {
            let error = read_regular(Path::new(path), 10).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{path}: {error}");
        }
        // Its size is said to be 0.
        assert!(
            !read_regular(Path::new("/proc/self/stat"), 1 << 16)
                .unwrap()
                .is_empty()
        );
        let error = read_regular(Path::new("/nonexistent/x"), 10).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }
}
