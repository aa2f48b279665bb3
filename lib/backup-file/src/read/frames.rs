//! Cuts a file of BGZF members into batches of whole members.

use std::io::{self, Cursor, Read};
use std::mem;

use super::batch::{Batch, LastMember, Place, Stop};
use crate::codec::{self, Decompress};
use crate::format::error::{ReadError, cut, damaged_member};
use crate::format::marker::{MARKER, after_the_marker, damaged_marker, is_damaged_marker};
use crate::format::member::{self, Header, LIMIT, as_u64};
use crate::format::{map_members, tail};
use crate::workers::read_ahead::Source;

/// The members of an input.
pub(super) struct Frames {
    input: Box<dyn Read + Send>,
    /// The input is a section of a backup: nothing but members may come.
    section: bool,
    /// What was read of the input and is not in a batch yet.
    ahead: Vec<u8>,
    /// The input has ended.
    ended: bool,
    /// How many bytes of SQL the members that are wanted still have to bring.
    wanted: u64,
    /// Where the next member begins in the file.
    offset: u64,
    /// Where the marker is, if the last member was it.
    marker: Option<u64>,
    /// Where in a backup the last member was.
    place: Place,
    /// The first member of a map, and of the index.
    heads: [(Vec<u8>, Place); 2],
}

/// What comes next.
enum Next {
    /// A member of this many bytes.
    Member(usize),
    /// Something of which not all was read yet.
    Incomplete,
    /// A member that belongs into the next batch.
    Later,
    /// Something else than a BGZF block.
    Other,
}

impl Frames {
    pub(super) fn new(input: Box<dyn Read + Send>, section: bool) -> Self {
        Self {
            input,
            section,
            ahead: Vec::with_capacity(2 * LIMIT),
            ended: false,
            wanted: u64::MAX,
            offset: 0,
            marker: None,
            place: Place::Sections,
            heads: [
                (map_members::head(), Place::Maps),
                (tail::head(), Place::Index),
            ],
        }
    }

    /// The members of a section from byte `offset` of the file on, as many as hold `sql` bytes.
    pub(super) fn range(input: Box<dyn Read + Send>, offset: u64, sql: u64) -> Self {
        Self {
            offset,
            wanted: sql,
            ..Self::new(input, true)
        }
    }

    /// Fills a batch with the next members. If there are none, its end says why.
    fn fill(&mut self, batch: &mut Batch) {
        batch.restart(self.offset, &self.ahead);
        let filled = self.gather(batch);
        self.ahead.clear();
        self.ahead.extend_from_slice(batch.rest());
        batch.place = self.place;
        match filled {
            Err(error) => batch.end = Some(Err(error)),
            Ok(_) if batch.has_members() => {}
            Ok(true) => batch.end = Some(Ok(Stop::Other(self.last()))),
            Ok(false) => batch.end = Some(self.end()),
        }
    }

    /// The input from where its BGZF members have ended.
    pub(super) fn take_rest(&mut self) -> Box<dyn Read + Send> {
        let input = mem::replace(&mut self.input, Box::new(io::empty()));
        Box::new(Cursor::new(mem::take(&mut self.ahead)).chain(input))
    }

    /// Takes members into the batch, as many as it can hold. True if something else than a BGZF block comes next.
    fn gather(&mut self, batch: &mut Batch) -> Result<bool, ReadError> {
        while self.wanted > 0 && !batch.is_full_of_members() {
            match self.next(batch)? {
                Next::Member(length) => {
                    let sql = member::sql_length(&batch.rest()[..length]);
                    self.wanted = self.wanted.saturating_sub(as_u64(sql));
                    batch.push(length);
                    self.offset += as_u64(length);
                }
                Next::Incomplete if !self.ended && !batch.is_full() => {
                    self.ended = !batch.read_on(self.input.as_mut())?;
                }
                Next::Incomplete | Next::Later => break,
                Next::Other => return Ok(true),
            }
        }
        Ok(false)
    }

    /// Looks at the next member.
    fn next(&mut self, batch: &Batch) -> Result<Next, ReadError> {
        let bytes = batch.rest();
        if bytes.is_empty() {
            return Ok(Next::Incomplete);
        }
        // What has an index was written by us from its first byte to its last. Other files can follow one another, as for
        // gunzip.
        let ours = self.section || self.place != Place::Sections;
        if let Some(marker) = self.marker
            && ours
        {
            return Err(after_the_marker(marker));
        }
        let length = match Header::of(bytes) {
            Header::Block(length) => length,
            Header::Short => return Ok(Next::Incomplete),
            Header::Other if ours => return Err(self.wrong("its header is not a BGZF member's")),
            Header::Other => return Ok(Next::Other),
        };
        if length > batch.room() {
            return Ok(Next::Later);
        }
        let Some(member) = bytes.get(..length) else {
            return Ok(Next::Incomplete);
        };
        if member::sql_length(member) > LIMIT {
            return Err(self.wrong("its length is wrong"));
        }
        let mut heads = self.heads.iter();
        if let Some((_, place)) = heads.find(|(head, it)| *it > self.place && head == member) {
            // Each part of a backup has batches of its own.
            if batch.has_members() {
                return Ok(Next::Later);
            }
            self.place = *place;
        }
        self.marker = (member == MARKER).then_some(self.offset);
        if is_damaged_marker(member) {
            return Err(damaged_marker(self.offset));
        }
        Ok(Next::Member(length))
    }

    fn wrong(&self, what: &str) -> ReadError {
        damaged_member(self.offset, what)
    }

    fn end(&self) -> Result<Stop, ReadError> {
        if !self.ahead.is_empty() && self.wanted > 0 {
            return Err(cut(self.offset + as_u64(self.ahead.len()), self.offset));
        }
        Ok(Stop::End(self.last()))
    }

    fn last(&self) -> LastMember {
        match self.marker {
            Some(_) => LastMember::Marker,
            None => LastMember::Block,
        }
    }
}

impl Source for Frames {
    type Item = Batch;
    type Tool = Box<dyn Decompress>;
    const THREAD: &'static str = "decompress";

    fn new_item() -> Batch {
        Batch::new()
    }

    fn new_tool() -> Self::Tool {
        codec::decompressor()
    }

    fn fetch(&mut self, batch: &mut Batch) -> bool {
        self.fill(batch);
        batch.end.is_none()
    }

    fn finish(batch: &mut Batch, codec: &mut Self::Tool) {
        batch.decompress(codec.as_mut());
    }
}
