//! `--with-wal`: the WAL that the server will replay, in its pg_wal.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};

use job::{Error, Progress, in_parallel, say, text};
use store::Store;
use wal::{Archive, Meaning, Record, Segment, WalName};

use super::choice::Candidate;
use super::data_directory::DataDirectory;
use super::settings::Stop;
use crate::cli::Args;
use crate::wal::arrival;

/// Segments that are fetched at once.
const AT_ONCE: usize = 6;

/// Fetches the WAL up to the target, and the histories. Returns where the recovery stops: there is no other proof than a
/// place in the WAL that all was replayed that is there.
///
/// # Errors
/// A file is gone, damaged, or cannot be written; the WAL creates a tablespace, and the directory is to be `confined`
/// (exit code 4).
pub(crate) fn fetch(
    store: &Store,
    candidate: &Candidate,
    stop: &Stop,
    directory: &DataDirectory,
    confined: bool,
    args: &Args,
) -> Result<Stop, Error> {
    let chain = candidate.chain(store)?;
    let archive = Archive::new(store, candidate.contents.system);
    let size = candidate.contents.holdings.size();
    let needed: Vec<Segment> = match stop {
        Stop::Lsn(lsn) => {
            let begins_before = |it: &&Segment| it.start(size).is_some_and(|start| start <= *lsn);
            // One more: the record may go on in it.
            let count = chain.segments().iter().take_while(begins_before).count() + 1;
            chain.segments().iter().take(count).copied().collect()
        }
        Stop::Time(_) | Stop::End => chain.segments().to_vec(),
    };
    // The segment in which a transaction ends that is no longer wanted is the last one that is needed.
    let last = AtomicUsize::new(usize::MAX);
    let work = |number: usize| {
        let Some(segment) = needed
            .get(number)
            .filter(|_| number <= last.load(Ordering::Relaxed))
        else {
            return Ok(0);
        };
        put(&archive, WalName::Segment(*segment), directory)?;
        if confined || matches!(stop, Stop::Time(_)) {
            let file = directory.open(&format!("pg_wal/{}", WalName::Segment(*segment)))?;
            let mut seen = Seen::default();
            let read = chain.read_from(file, &mut |record| seen.see(&record, stop));
            read.map_err(|error| Error::io("cannot read WAL that was fetched", &error))?;
            if let Some(location) = seen.tablespace.filter(|_| confined) {
                return Err(tablespace(&location));
            }
            if seen.is_beyond {
                last.fetch_min(number, Ordering::Relaxed);
            }
        }
        Ok(1)
    };
    let progress = Progress::new("fetching WAL".to_owned(), None);
    let (mut count, mut first_error) = (0, None);
    in_parallel(
        needed.len(),
        args.threads().max(AT_ONCE),
        work,
        |_, done| match done {
            Ok(fetched) => {
                count += fetched;
                progress.advance(fetched as u64 * size.bytes());
                ControlFlow::Continue(())
            }
            Err(error) => {
                first_error.get_or_insert(error);
                ControlFlow::Break(())
            }
        },
    );
    drop(progress);
    if let Some(error) = first_error {
        return Err(error);
    }
    // All histories: the server looks among them for a timeline that nobody had yet.
    for name in candidate.contents.files.keys() {
        if let WalName::History(_) = name {
            put(&archive, *name, directory)?;
        }
    }
    say!("fetched {} of WAL", text::count(count, "segment"));
    match stop {
        Stop::End => match chain.last_record()? {
            Some(last) => Ok(Stop::Lsn(last)),
            None => Err(Error::not_good("the archived WAL holds no record")),
        },
        other => Ok(other.clone()),
    }
}

/// What a segment says of what comes of it.
#[derive(Debug, Default)]
struct Seen {
    /// Whether the recovery ends in it.
    is_beyond: bool,
    /// The directory of a tablespace that is created before that.
    tablespace: Option<Vec<u8>>,
}

impl Seen {
    fn see(&mut self, record: &Record, stop: &Stop) {
        match (&record.meaning, stop) {
            (Meaning::TransactionEnd { time: ended, .. }, Stop::Time(time)) => {
                self.is_beyond |= ended > time;
            }
            (_, Stop::Lsn(lsn)) => self.is_beyond |= record.at > *lsn,
            _ => {}
        }
        if let Meaning::TablespaceCreation { location } = &record.meaning
            && location.starts_with(b"/")
            && !self.is_beyond
        {
            self.tablespace.get_or_insert(location.clone());
        }
    }
}

/// The error of WAL that would write outside of the data directory: where the cluster's own server does, perhaps.
fn tablespace(location: &[u8]) -> Error {
    let location = String::from_utf8_lossy(location);
    Error::refused(format!(
        "until then the cluster creates a tablespace in '{}': its files would be written there, and not into the work directory",
        job::shown(&location)
    ))
    .hint("restore the whole cluster, on a machine that has nothing there: --data-dir DIR")
}

fn put(archive: &Archive, name: WalName, directory: &DataDirectory) -> Result<(), Error> {
    let stored = archive.get(name)?.ok_or_else(|| {
        Error::failed(format!(
            "'{}' is gone since the store was listed",
            archive.label_of(name)
        ))
    })?;
    directory.let_write(&format!("pg_wal/{name}"), |to| {
        arrival::place(stored, name, archive, to).map(drop)
    })
}
