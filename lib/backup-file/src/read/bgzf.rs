//! Reads BGZF members.

use std::io::{self, Read};

use super::audit::Audit;
use super::batch::Batch;
use super::frames::Frames;
use crate::workers::read_ahead::ReadAhead;

/// The BGZF members of a file, decompressed by several threads, and the audit of them.
pub(super) struct Bgzf {
    batches: ReadAhead<Frames>,
    audit: Audit,
}

impl Bgzf {
    pub(super) fn new(frames: Frames, threads: usize) -> io::Result<Self> {
        Ok(Self {
            batches: ReadAhead::new(frames, threads)?,
            audit: Audit::new(),
        })
    }

    /// The next batch; its end is set if it is the last.
    pub(super) fn next(&mut self) -> io::Result<&mut Batch> {
        let batch = self.batches.next()?;
        self.audit.take(batch);
        Ok(batch)
    }

    /// The SQL of the batch that came last.
    pub(super) fn sql(&self) -> &[u8] {
        self.batch().map_or(&[], Batch::sql)
    }

    /// The batch that came last.
    pub(super) fn batch(&self) -> Option<&Batch> {
        self.batches.current()
    }

    pub(super) fn into_audit(self) -> Audit {
        self.audit
    }

    /// What comes after the BGZF members, and the audit so far.
    pub(super) fn into_rest(self) -> io::Result<(Box<dyn Read + Send>, Audit)> {
        let rest = self.batches.with_source(Frames::take_rest)?;
        Ok((rest, self.audit))
    }
}
