//! `--with-wal`: the WAL that the server will replay, in its pg_wal.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use job::{Error, Progress, in_parallel, say, text};
use store::Store;
use wal::{Archive, Meaning, Record, Segment, WalName};

use super::choice::Candidate;
use super::data_directory::DataDirectory;
use super::settings::Stop;
use crate::cli::Args;
use crate::wal::{arrival, tablespaces};

/// Segments that are fetched at once.
const AT_ONCE: usize = 6;

/// Fetches the WAL up to the target, and the histories. Returns where the recovery stops: there is no other proof than a
/// place in the WAL that all was replayed that is there.
///
/// # Errors
/// A file is gone, damaged, or cannot be written.
pub(crate) fn fetch(
    store: &Store,
    candidate: &Candidate,
    stop: &Stop,
    directory: &DataDirectory,
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
    // The tablespaces that they create, before the target.
    let created = Mutex::new(BTreeMap::new());
    let work = |number: usize| {
        let Some(segment) = needed
            .get(number)
            .filter(|_| number <= last.load(Ordering::Relaxed))
        else {
            return Ok(0);
        };
        let (mut is_beyond, mut tablespace) = (false, None);
        put(
            &archive,
            WalName::Segment(*segment),
            directory,
            &mut |record| {
                // After the place where a timeline was left, a segment has records that are not of the chain.
                is_beyond |= record.at >= chain.until();
                match (record.meaning, stop) {
                    (Meaning::TransactionEnd { time: ended, .. }, Stop::Time(time)) => {
                        is_beyond |= ended > *time;
                    }
                    (Meaning::TablespaceCreation { .. }, Stop::Lsn(lsn)) if record.at >= *lsn => {}
                    (Meaning::TablespaceCreation { location }, _)
                        if !is_beyond && !location.is_empty() =>
                    {
                        tablespace.get_or_insert(location);
                    }
                    _ => {}
                }
            },
        )?;
        if is_beyond && matches!(stop, Stop::Time(_)) {
            last.fetch_min(number, Ordering::Relaxed);
        }
        if let Some(path) = tablespace {
            let mut created = created.lock().unwrap_or_else(PoisonError::into_inner);
            created.insert(number, path);
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
    let created = created.into_inner().unwrap_or_else(PoisonError::into_inner);
    let mut created = created.range(..=last.into_inner());
    if let Some((_, path)) = created.next().filter(|_| !args.recovery.allow_tablespaces) {
        return Err(tablespaces::refused(path));
    }
    // All histories: the server looks among them for a timeline that nobody had yet.
    for name in candidate.contents.files.keys() {
        if let WalName::History(_) = name {
            put(&archive, *name, directory, &mut |_| {})?;
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

/// Fetches a file, and hands the records of a segment to `on`.
fn put(
    archive: &Archive,
    name: WalName,
    directory: &DataDirectory,
    on: &mut dyn FnMut(Record),
) -> Result<(), Error> {
    let stored = archive.get(name)?.ok_or_else(|| {
        Error::failed(format!(
            "'{}' is gone since the store was listed",
            archive.label_of(name)
        ))
    })?;
    directory.let_write(&format!("pg_wal/{name}"), |to| {
        arrival::place(stored, name, archive, to)?;
        match name {
            WalName::Segment(_) => tablespaces::read(to, on),
            _ => Ok(()),
        }
    })
}
