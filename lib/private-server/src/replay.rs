//! How far a server has come that replays the WAL in its data directory.
//!
//! It can be asked nothing before it has recovered. But the title of the process that replays names the segment that it
//! reads, in every version and language (`startup recovering 0000000100000000000000A7`).

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use job::Progress;

/// The digits in the name of a segment.
const NAME: usize = 24;
/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(500);

/// The replay of the segments that were in `pg_wal` when it began. What it says is gone from a terminal when it is dropped.
#[derive(Debug)]
pub(crate) struct Replay {
    data: PathBuf,
    /// Their names, in the order of the WAL, and how large each is, in bytes.
    segments: Vec<String>,
    size: u64,
    /// Those that are behind.
    replayed: usize,
    progress: Progress,
    looked: Instant,
}

impl Replay {
    /// The replay of what is in a data directory.
    pub(crate) fn of(data: &Path) -> Self {
        let (segments, size) = segments(&data.join("pg_wal"));
        let total = (segments.len() as u64).saturating_mul(size);
        Self {
            data: data.to_owned(),
            segments,
            size,
            replayed: 0,
            progress: Progress::new("replaying WAL", (total > 0).then_some(total)),
            looked: Instant::now(),
        }
    }

    /// Says how far it is, when it is time to.
    pub(crate) fn look(&mut self) {
        if self.looked.elapsed() < PAUSE {
            return;
        }
        self.looked = Instant::now();
        let titles = titles(&self.data);
        let seen = titles.iter().find_map(|it| behind(it, &self.segments));
        let replayed = seen.unwrap_or_default().max(self.replayed);
        let more = (replayed - self.replayed) as u64;
        self.replayed = replayed;
        // A log has a line from time to time even if there is nothing new: the server is at work.
        self.progress.advance(more.saturating_mul(self.size));
    }
}

/// The names of the segments in a directory, sorted, and their size. What cannot be read is not counted.
fn segments(pg_wal: &Path) -> (Vec<String>, u64) {
    let (mut names, mut size) = (Vec::new(), 0);
    for entry in fs::read_dir(pg_wal).into_iter().flatten().flatten() {
        if let (Ok(name), Ok(found)) = (entry.file_name().into_string(), entry.metadata())
            && is_segment(&name)
        {
            size = found.len().max(size);
            names.push(name);
        }
    }
    // A timeline's number comes first: it only grows along the WAL.
    names.sort();
    (names, size)
}

fn is_segment(word: &str) -> bool {
    word.len() == NAME && word.bytes().all(|it| it.is_ascii_hexdigit())
}

/// The titles of the processes that run in a data directory.
fn titles(data: &Path) -> Vec<String> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let ours = processes
        .map(|it| it.path())
        .filter(|it| fs::read_link(it.join("cwd")).is_ok_and(|cwd| cwd == data));
    let title = |it: PathBuf| fs::read(it.join("cmdline")).ok();
    ours.filter_map(title)
        .map(|it| String::from_utf8_lossy(&it).into_owned())
        .collect()
}

/// How many of the segments are before the one that a title names.
fn behind(title: &str, segments: &[String]) -> Option<usize> {
    let mut words = title.split(|char: char| !char.is_ascii_alphanumeric());
    let now = words.find(|it| is_segment(it))?;
    Some(segments.partition_point(|it| it.as_str() < now))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_says_how_far_it_is() {
        let segments = [
            "00000001000000000000000C",
            "00000001000000000000000D",
            "00000002000000000000000E",
        ];
        let segments = segments.map(str::to_owned);
        for (title, wanted) in [
            (
                "postgres: startup recovering 00000001000000000000000C\0\0",
                Some(0),
            ),
            (
                "postgres: shop: startup   waiting for 00000002000000000000000E",
                Some(2),
            ),
            (
                "postgres: startup recovering 00000002000000000000000F",
                Some(3),
            ),
            ("postgres: checkpointer ", None),
            ("postgres\0-D\0/data/0000000100000000/x", None),
        ] {
            assert_eq!(behind(title, &segments), wanted, "{title}");
        }
    }

    #[test]
    fn the_segments_are_those_that_are_there() {
        let directory = tempfile::tempdir().unwrap();
        for name in [
            "00000002000000000000000E",
            "00000001000000000000000D",
            "00000002.history",
            "archive_status",
        ] {
            fs::write(directory.path().join(name), [0; 100]).unwrap();
        }
        let (names, size) = segments(directory.path());
        assert_eq!(
            names,
            ["00000001000000000000000D", "00000002000000000000000E"]
        );
        assert_eq!(size, 100);
        assert_eq!(segments(&directory.path().join("nothing")), (Vec::new(), 0));
    }

    #[test]
    fn a_process_is_known_by_its_directory() {
        let here = std::env::current_dir().unwrap();
        let mine = std::env::args().next().unwrap();
        let found = titles(&here);
        assert!(found.iter().any(|it| it.starts_with(&mine)), "{found:?}");
    }
}
