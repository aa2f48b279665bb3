//! `--with-wal`: the WAL that the server will replay, in its pg_wal.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};

use job::{Error, Progress, in_parallel, say, text};
use store::Store;
use wal::{Archive, Meaning, Segment, WalName};

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
    let work = |number: usize| {
        let Some(segment) = needed
            .get(number)
            .filter(|_| number <= last.load(Ordering::Relaxed))
        else {
            return Ok(0);
        };
        put(&archive, WalName::Segment(*segment), directory)?;
        if let Stop::Time(time) = stop {
            let mut is_beyond = false;
            chain.read(*segment, &mut |record| {
                if let Meaning::TransactionEnd { time: ended, .. } = record.meaning {
                    is_beyond |= ended > *time;
                }
            })?;
            if is_beyond {
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
