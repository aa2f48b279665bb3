//! Every segment of an archive, read through (`--all`).

use std::ops::ControlFlow;

use job::text::count;
use job::{Error, Progress, in_parallel};
use recovery_window::ArchiveContents;
use store::Store;
use wal::{Archive, LongHeader, Segment, UnpackError, WalName, unpack};

/// What reading an archive found.
#[derive(Debug, Default)]
pub(crate) struct SegmentsRead {
    /// How many segments are what they say.
    pub(crate) good: usize,
    /// Those that are not, and why, by name.
    pub(crate) bad: Vec<(WalName, String)>,
}

/// Reads all segments of an archive, `jobs` at once. One that is gone since it was listed is passed over.
///
/// # Errors
/// A segment does not come: what that is worth nobody knows.
pub(crate) fn read(
    store: &Store,
    contents: &ArchiveContents,
    jobs: usize,
) -> Result<SegmentsRead, Error> {
    let archive = Archive::new(store, contents.system);
    let segments: Vec<Segment> = contents.holdings.segments().collect();
    let doing = format!("checking {}", count(segments.len(), "segment"));
    let progress = Progress::new(doing, Some(contents.size()));
    let mut found = SegmentsRead::default();
    let mut failed = None;
    in_parallel(
        segments.len(),
        jobs,
        |number| check(&archive, contents, segments[number]),
        |number, checked| {
            let name = WalName::Segment(segments[number]);
            progress.advance(contents.files.get(&name).map_or(0, |file| file.size));
            match checked {
                Ok(Some(Ok(()))) => found.good += 1,
                Ok(Some(Err(why))) => found.bad.push((name, why)),
                Ok(None) => {}
                Err(error) => {
                    failed = Some(error);
                    return ControlFlow::Break(());
                }
            }
            ControlFlow::Continue(())
        },
    );
    found.bad.sort_by_key(|(name, _)| *name);
    failed.map_or(Ok(found), Err)
}

/// Why a segment is not the one that its name says; none if it is gone.
fn check(
    archive: &Archive,
    contents: &ArchiveContents,
    segment: Segment,
) -> Result<Option<Result<(), String>>, Error> {
    let name = WalName::Segment(segment);
    let Some(stored) = archive.get(name)? else {
        return Ok(None);
    };
    let mut first = Vec::with_capacity(LongHeader::BYTES);
    let unpacked = unpack(stored.input, stored.raw_sha256, |piece| {
        let missing = LongHeader::BYTES - first.len();
        first.extend_from_slice(&piece[..piece.len().min(missing)]);
        Ok(())
    });
    let size = match unpacked {
        Ok(size) => size,
        Err(UnpackError::Damaged(what)) => return Ok(Some(Err(what))),
        Err(UnpackError::Read(error) | UnpackError::Write(error)) => {
            let label = archive.label_of(name);
            return Err(Error::io(format_args!("cannot read '{label}'"), &error));
        }
        Err(_) => return Ok(Some(Err("it cannot be read".to_owned()))),
    };
    let header = match LongHeader::read(&first) {
        Ok(header) => header,
        Err(error) => return Ok(Some(Err(error.to_string()))),
    };
    let wanted = contents.holdings.size();
    Ok(Some(if header.system != contents.system {
        Err(format!("it is of system {}", header.system))
    } else if header.segment_size != wanted || size != wanted.bytes() {
        Err(format!("it has {size} bytes, not {}", wanted.bytes()))
    } else {
        header.check(segment).map_err(|error| error.to_string())
    }))
}
