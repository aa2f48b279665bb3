//! `--ahead`: segments that PostgreSQL will ask for next, as they are in the store, in a directory beside its own.
//!
//! No process stays behind to fetch them: where PostgreSQL is the first process of a container, an orphan that is killed
//! looks to it like a crash of one of its own, and it restarts. So the process that finds the spool empty fetches several
//! at once, and the next ones find them there.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;

use job::say;
use wal::{Archive, Segment, SegmentSize, Stored, WalName, name_in_archive};

const DIRECTORY: &str = "restore-stream.spool";
const SUFFIX: &str = ".gz";

/// The directory.
#[derive(Debug)]
pub(super) struct Spool {
    path: PathBuf,
    ahead: usize,
}

impl Spool {
    /// The one beside the file that PostgreSQL wants.
    pub(super) fn beside(to: &Path, ahead: usize) -> Self {
        let path = to.with_file_name(DIRECTORY);
        Self { path, ahead }
    }

    /// A file that is there, and takes it and all that came before it out: nobody asks for them again.
    pub(super) fn take(&self, name: WalName) -> Option<Stored> {
        let segment = name.segment()?;
        let file = File::open(self.place(segment)).ok();
        for entry in fs::read_dir(&self.path).ok()?.flatten() {
            let there = entry.file_name().into_string().ok();
            let there = there.and_then(|it| name_in_archive(&it)?.segment());
            // What was half written when its program was killed has no name of this form.
            if there.is_none_or(|it| it.timeline != segment.timeline || it <= segment) {
                let _ = fs::remove_file(entry.path());
            }
        }
        Some(Stored {
            input: Box::new(file?),
            raw_sha256: None,
        })
    }

    /// Fetches the segments after this one, as far as they are there. What fails is fetched when it is asked for.
    pub(super) fn fill(&self, archive: &Archive, name: WalName, size: SegmentSize) {
        let Some(segment) = name.segment() else {
            return;
        };
        if let Err(error) = self.make() {
            say!(
                "cannot fetch ahead: cannot make directory '{}': {}",
                self.path.display(),
                job::text::reason(&error)
            );
            return;
        }
        let next = |segment: &Segment| segment.next(size);
        let later: Vec<Segment> = std::iter::successors(Some(segment), next)
            .skip(1)
            .take(self.ahead)
            .collect();
        thread::scope(|scope| {
            for segment in later {
                let worker = thread::Builder::new().name("ahead".into());
                let _ = worker.spawn_scoped(scope, move || self.fetch(archive, segment));
            }
        });
        // If there was nothing to fetch, it is empty.
        let _ = fs::remove_dir(&self.path);
    }

    /// Removes it: the WAL ends here, or the recovery.
    pub(super) fn clear(&self) {
        let _ = fs::remove_dir_all(&self.path);
    }

    fn make(&self) -> io::Result<()> {
        match fs::create_dir(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => Ok(()),
        }
    }

    fn fetch(&self, archive: &Archive, segment: Segment) {
        let Ok(Some(mut stored)) = archive.get(WalName::Segment(segment)) else {
            return;
        };
        let place = self.place(segment);
        let temporary = place.with_extension("tmp");
        let fetched = File::create(&temporary)
            .and_then(|mut file| io::copy(&mut stored.input, &mut file))
            .and_then(|_| fs::rename(&temporary, &place));
        if fetched.is_err() {
            let _ = fs::remove_file(&temporary);
        }
    }

    fn place(&self, segment: Segment) -> PathBuf {
        self.path.join(format!("{segment}{SUFFIX}"))
    }
}
