//! `--ahead`: what is ready to be archived beside the file that PostgreSQL asks for.

use std::collections::{HashSet, VecDeque};
use std::fs;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use job::{Error, say};
use wal::{DataDirectory, WalName};

use super::archiver::Archiver;
use super::file::WalFile;

/// How long others are begun beside the file that was asked for. PostgreSQL waits for us meanwhile, also when it is
/// shut down.
const BEGIN_FOR: Duration = Duration::from_secs(5);

/// The files that PostgreSQL noted as ready, in the order in which it asks for them.
#[derive(Debug)]
struct Neighbours<'a> {
    data: &'a DataDirectory,
    since: Instant,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    names: VecDeque<WalName>,
    /// What was begun, so that it is not begun again.
    begun: HashSet<WalName>,
    /// Something failed: what else is ready would probably fail too.
    stopped: bool,
}

/// Puts the file that PostgreSQL asks for, and up to `ahead` others at once that it will ask for.
///
/// # Errors
/// Only what keeps the file itself from being archived.
pub(super) fn put_with_neighbours(
    archiver: &Archiver,
    file: WalFile,
    data: &DataDirectory,
    ahead: usize,
) -> Result<(), Error> {
    let neighbours = Neighbours {
        data,
        since: Instant::now(),
        waiting: Mutex::default(),
    };
    neighbours.lock().begun.insert(file.name());
    thread::scope(|scope| {
        for _ in 0..neighbours.count().min(ahead) {
            // Without another thread the file itself is archived all the same.
            let worker = thread::Builder::new().name("ahead".into());
            let _ = worker.spawn_scoped(scope, || neighbours.work(archiver));
        }
        let put = archiver.put_awaited(file).map(drop);
        if put.is_err() {
            neighbours.lock().stopped = true;
        }
        put
    })
}

impl Neighbours<'_> {
    /// How many are ready now.
    fn count(&self) -> usize {
        let mut waiting = self.lock();
        self.look(&mut waiting);
        waiting.names.len()
    }

    /// Archives one after the other: the work of each thread.
    fn work(&self, archiver: &Archiver) {
        while let Some(name) = self.next() {
            if let Err(error) = self.put(name, archiver) {
                self.lock().stopped = true;
                say!("warning: ahead of its turn, '{name}' was not archived: {error}");
                return;
            }
        }
    }

    fn put(&self, name: WalName, archiver: &Archiver) -> Result<(), Error> {
        let path = self.data.pg_wal().join(name.to_string());
        archiver.put(WalFile::open(&path, name, self.data)?)?;
        // Durable in the store: PostgreSQL need not ask for it. If the note cannot be changed, it asks, and hears that
        // the same file is there.
        let status = self.data.archive_status();
        let noted = |how: &str| status.join(format!("{name}.{how}"));
        let _ = fs::rename(noted("ready"), noted("done"));
        Ok(())
    }

    fn next(&self) -> Option<WalName> {
        let mut waiting = self.lock();
        if waiting.stopped || self.since.elapsed() > BEGIN_FOR {
            return None;
        }
        if waiting.names.is_empty() {
            self.look(&mut waiting);
        }
        let name = waiting.names.pop_front()?;
        waiting.begun.insert(name);
        Some(name)
    }

    /// Looks for what is ready and was not begun yet.
    fn look(&self, waiting: &mut Waiting) {
        let ready = ready(self.data).into_iter();
        waiting.names = ready.filter(|name| !waiting.begun.contains(name)).collect();
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is ready, in PostgreSQL's order: histories first, then by name (`pgarch.c`). Nothing, if it cannot be read: it is
/// all asked for in its turn.
fn ready(data: &DataDirectory) -> Vec<WalName> {
    let entries = fs::read_dir(data.archive_status())
        .into_iter()
        .flatten()
        .flatten();
    let mut ready: Vec<WalName> = entries
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            WalName::parse(name.strip_suffix(".ready")?)
        })
        .collect();
    ready.sort_by_cached_key(|name| (!matches!(name, WalName::History(_)), name.to_string()));
    ready
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn they_come_in_postgresql_s_order() {
        let home = tempfile::tempdir().unwrap();
        let status = home.path().join("pg_wal/archive_status");
        fs::create_dir_all(&status).unwrap();
        for name in [
            "000000010000000000000003.ready",
            "000000010000000000000002.done",
            "000000010000000000000004.ready",
            "00000002.history.ready",
            "000000010000000000000003.00000028.backup.ready",
            "x.ready",
        ] {
            fs::write(status.join(name), "").unwrap();
        }
        let data = DataDirectory::of(&home.path().join("pg_wal"));
        let names: Vec<String> = ready(&data).iter().map(ToString::to_string).collect();
        assert_eq!(
            names,
            [
                "00000002.history",
                "000000010000000000000003",
                "000000010000000000000003.00000028.backup",
                "000000010000000000000004",
            ]
        );
        assert_eq!(ready(&DataDirectory::of(Path::new("/nonexistent"))), []);
    }
}
