//! `--with-wal`: the WAL that the server will replay, in its pg_wal.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use job::{Error, Progress, in_parallel, say, text};
use store::Store;
use wal::{Archive, BegunRecord, Record, Segment, WalName};

use super::choice::Candidate;
use super::cut::{self, Passage};
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
    let (moment, limit) = match stop {
        Stop::Time(moment) => (Some(*moment), chain.until()),
        Stop::Lsn(lsn) => (None, chain.until().min(*lsn)),
        Stop::End => (None, chain.until()),
    };
    // The segment in which a transaction ends that is no longer wanted is the last one that is needed.
    let last = AtomicUsize::new(usize::MAX);
    // What is known of the segments: of those after the last one too, which come at the same time.
    let passages = Mutex::new(BTreeMap::new());
    let work = |number: usize| {
        let Some(segment) = needed
            .get(number)
            .filter(|_| number <= last.load(Ordering::Relaxed))
        else {
            return Ok(0);
        };
        let mut passage = Passage::new(moment, args.recovery.exclusive, limit);
        let name = WalName::Segment(*segment);
        let begun = put(&archive, name, directory, &mut |record| passage.see(record))?;
        if passage.ends() {
            last.fetch_min(number, Ordering::Relaxed);
        }
        let mut passages = passages.lock().unwrap_or_else(PoisonError::into_inner);
        passages.insert(number, (passage, begun));
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
    let passages = passages.into_inner();
    let passages = passages.unwrap_or_else(PoisonError::into_inner);
    let (passages, last) = joined(passages, last.into_inner(), |number, begun| {
        match needed.get(number) {
            Some(segment) => {
                let path = directory.path_of(&pg_wal(WalName::Segment(*segment)));
                tablespaces::read_on(&path, begun)
            }
            None => Ok(ControlFlow::Break(None)),
        }
    })?;
    let mut wanted = passages.range(..=last);
    if let Some(path) = wanted.find_map(|(_, passage)| passage.tablespace.as_ref())
        && !args.recovery.allow_tablespaces
    {
        return Err(tablespaces::refused(path));
    }
    let mut stop = stop.clone();
    if let Some(cut) = passages.get(&last).and_then(Passage::cut)
        // The clock of the server may have been set back: its base backup is whole after that place.
        && cut.last >= candidate.base.stop().1
    {
        for (number, _) in passages.range(last..) {
            let Some(segment) = needed.get(*number) else {
                continue;
            };
            let offset = match *number == last {
                true => cut.beyond.0 % size.bytes(),
                false => 0,
            };
            directory.let_write(&pg_wal(WalName::Segment(*segment)), |path| {
                cut::empty_from(path, offset).map_err(|error| {
                    Error::io(format_args!("cannot write '{}'", path.display()), &error)
                })
            })?;
        }
        stop = Stop::Lsn(cut.last);
    }
    // All histories: the server looks among them for a timeline that nobody had yet.
    for name in candidate.contents.files.keys() {
        if let WalName::History(_) = name {
            let _ = put(&archive, *name, directory, &mut |_| {})?;
        }
    }
    say!("fetched {} of WAL", text::count(count, "segment"));
    match stop {
        Stop::End => match chain.last_record()? {
            Some(last) => Ok(Stop::Lsn(last)),
            None => Err(Error::not_good("the archived WAL holds no record")),
        },
        other => Ok(other),
    }
}

/// Adds to each segment the record that goes on in the next one, as far as the moment. Returns the number of the segment
/// that this is in, too, if it is in one before `last`. `read_on` reads of a record what a segment has of it.
fn joined(
    passages: BTreeMap<usize, (Passage, Option<BegunRecord>)>,
    mut last: usize,
    mut read_on: impl FnMut(usize, &mut BegunRecord) -> Result<ControlFlow<Option<Record>>, Error>,
) -> Result<(BTreeMap<usize, Passage>, usize), Error> {
    let numbers: Vec<usize> = passages.keys().copied().collect();
    let mut joined = BTreeMap::new();
    for (number, (mut passage, begun)) in passages {
        let wanted = begun.filter(|it| number < last && it.may_matter());
        if let Some(mut begun) = wanted {
            let mut next = number + 1;
            // All that are there follow each other.
            while numbers.binary_search(&next).is_ok() {
                match read_on(next, &mut begun)? {
                    ControlFlow::Continue(()) => next += 1,
                    ControlFlow::Break(record) => {
                        record.into_iter().for_each(|it| passage.see(it));
                        break;
                    }
                }
            }
            if passage.ends() {
                last = last.min(number);
            }
        }
        joined.insert(number, passage);
    }
    Ok((joined, last))
}

/// Where a file of the WAL is in a data directory.
fn pg_wal(name: WalName) -> String {
    format!("pg_wal/{name}")
}

/// Fetches a file, and hands the records of a segment to `on`. Returns the last one if it goes on in the next segment.
fn put(
    archive: &Archive,
    name: WalName,
    directory: &DataDirectory,
    on: &mut dyn FnMut(Record),
) -> Result<Option<BegunRecord>, Error> {
    let stored = archive.get(name)?.ok_or_else(|| {
        Error::failed(format!(
            "'{}' is gone since the store was listed",
            archive.label_of(name)
        ))
    })?;
    let mut begun = None;
    directory.let_write(&pg_wal(name), |to| {
        arrival::place(stored, name, archive, to)?;
        if let WalName::Segment(_) = name {
            begun = tablespaces::read(to, on)?;
        }
        Ok(())
    })?;
    Ok(begun)
}
