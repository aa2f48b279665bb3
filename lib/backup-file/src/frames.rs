//! Cuts a file of BGZF members into batches of whole members.

use std::io::{self, Cursor, Read};
use std::mem;

use crate::codec::Decompress;
use crate::member::{self, BEFORE, Header, LIMIT, size};
use crate::reader::damaged;
use crate::tail;
use crate::{MARKER, ReadError};

/// Bytes of the file that a batch can hold: several members of any size.
const ROOM: usize = 4 * LIMIT;
/// How much is read at once: what is read too much is copied to the next batch.
const STEP: usize = LIMIT;
/// The most members in a batch, so that no more than 512 KiB of SQL comes out of it.
const MOST: usize = 8;

/// Some bytes of a file, and the SQL that they become.
pub(crate) struct Batch {
    bytes: Box<[u8]>,
    filled: usize,
    /// How far it was read into: what is after `filled` belongs to the next batch.
    read: usize,
    /// Where they begin in the file.
    pub(crate) offset: u64,
    /// The lengths of the members that they are.
    members: Vec<usize>,
    /// They belong to the index or come after it.
    pub(crate) index: bool,
    /// What they hold.
    sql: Box<[u8]>,
    sql_filled: usize,
    /// No more comes after this one: why, or what is wrong.
    pub(crate) end: Option<Result<Stop, ReadError>>,
}

/// Why no more BGZF members come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The file has ended, with this member.
    End(Last),
    /// Something else follows this member: members of another program, or padding.
    Other(Last),
}

/// The member that came last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Last {
    /// A BGZF block that is not the marker.
    Block,
    /// The end-of-file marker.
    Marker,
    /// No BGZF block.
    Plain,
}

impl Batch {
    pub(crate) fn new() -> Self {
        Self {
            bytes: vec![0; ROOM].into_boxed_slice(),
            filled: 0,
            read: 0,
            offset: 0,
            members: Vec::with_capacity(MOST),
            index: false,
            // Not touched, so not there, before it is needed.
            sql: vec![0; MOST * LIMIT].into_boxed_slice(),
            sql_filled: 0,
            end: None,
        }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.filled]
    }

    pub(crate) fn sql(&self) -> &[u8] {
        &self.sql[..self.sql_filled]
    }

    /// The members and where they begin in the file.
    pub(crate) fn members(&self) -> impl Iterator<Item = (u64, &[u8])> {
        let mut at = 0;
        self.members.iter().map(move |length| {
            let start = at;
            at += length;
            (self.offset + size(start), &self.bytes[start..at])
        })
    }

    /// Fills it with bytes at `offset` of the file, whatever they are; false at the file's end.
    pub(crate) fn read(&mut self, input: &mut dyn Read, offset: u64) -> Result<bool, ReadError> {
        self.clear(offset);
        while self.filled < self.bytes.len() {
            let count = read(input, &mut self.bytes[self.filled..])?;
            if count == 0 {
                break;
            }
            self.filled += count;
        }
        Ok(self.filled > 0)
    }

    /// Decompresses and checks the members; on damage, what is wrong becomes the end.
    pub(crate) fn decompress(&mut self, codec: &mut dyn Decompress) {
        let mut start = 0;
        for length in &self.members {
            let member = &self.bytes[start..start + length];
            // No more than LIMIT: that was seen when it was framed.
            let sql = &mut self.sql[self.sql_filled..][..member::isize(member)];
            if let Err(what) = member::unpack(member, sql, codec) {
                let offset = self.offset + size(start);
                let what = format!("the member at byte {offset} is damaged: {what}");
                self.end = Some(Err(damaged(what)));
                return;
            }
            self.sql_filled += sql.len();
            start += length;
        }
    }

    /// What was read and is not among its members.
    fn rest(&self) -> &[u8] {
        &self.bytes[self.filled..self.read]
    }

    /// How long the next member can be.
    fn room(&self) -> usize {
        self.bytes.len() - self.filled
    }

    fn is_full(&self) -> bool {
        self.read == self.bytes.len()
    }

    /// The next member has so many bytes.
    fn push(&mut self, length: usize) {
        self.filled += length;
        self.members.push(length);
    }

    /// Reads on; false at the file's end.
    fn read_on(&mut self, input: &mut dyn Read) -> Result<bool, ReadError> {
        let end = self.bytes.len().min(self.read + STEP);
        let count = read(input, &mut self.bytes[self.read..end])?;
        self.read += count;
        Ok(count > 0)
    }

    fn clear(&mut self, offset: u64) {
        self.filled = 0;
        self.read = 0;
        self.offset = offset;
        self.members.clear();
        self.index = false;
        self.sql_filled = 0;
        self.end = None;
    }
}

/// The members of an input.
pub(crate) struct Frames {
    input: Box<dyn Read + Send>,
    /// They are a section of a backup: nothing else may come among them.
    section: bool,
    /// What was read, and is not in a batch yet.
    ahead: Vec<u8>,
    ended: bool,
    /// Where the next member begins in the file.
    offset: u64,
    /// Where the marker is.
    marker: Option<u64>,
    /// The index has begun.
    index: bool,
    head: Vec<u8>,
}

/// What comes next.
enum Next {
    /// A member of so many bytes.
    Member(usize),
    /// Not all of it was read.
    Incomplete,
    /// A member that cannot join the batch.
    Waits,
    /// No BGZF block.
    Other,
}

impl Frames {
    pub(crate) fn new(input: Box<dyn Read + Send>, section: bool) -> Self {
        Self {
            input,
            section,
            ahead: Vec::with_capacity(2 * LIMIT),
            ended: false,
            offset: 0,
            marker: None,
            index: false,
            head: tail::head(),
        }
    }

    /// Fills a batch with the next members, or says in it how the file ended.
    pub(crate) fn fill(&mut self, batch: &mut Batch) {
        batch.clear(self.offset);
        batch.bytes[..self.ahead.len()].copy_from_slice(&self.ahead);
        batch.read = self.ahead.len();
        let filled = self.gather(batch);
        self.ahead.clear();
        self.ahead.extend_from_slice(batch.rest());
        batch.index = self.index;
        match filled {
            Err(error) => batch.end = Some(Err(error)),
            Ok(_) if !batch.members.is_empty() => {}
            Ok(true) => batch.end = Some(Ok(Stop::Other(self.last()))),
            Ok(false) => batch.end = Some(self.end()),
        }
    }

    /// What comes after the BGZF members.
    pub(crate) fn take_rest(&mut self) -> Box<dyn Read + Send> {
        let input = mem::replace(&mut self.input, Box::new(io::empty()));
        Box::new(Cursor::new(mem::take(&mut self.ahead)).chain(input))
    }

    /// Whether something else than a BGZF block comes next.
    fn gather(&mut self, batch: &mut Batch) -> Result<bool, ReadError> {
        while batch.members.len() < MOST {
            match self.next(batch)? {
                Next::Member(length) => {
                    batch.push(length);
                    self.offset += size(length);
                }
                Next::Incomplete if !self.ended && !batch.is_full() => {
                    self.ended = !batch.read_on(self.input.as_mut())?;
                }
                Next::Incomplete | Next::Waits => break,
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
        // A backup with its index is one file of ours. Without, one may follow another, as for gunzip.
        let ours = self.section || self.index;
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
            return Ok(Next::Waits);
        }
        let Some(member) = bytes.get(..length) else {
            return Ok(Next::Incomplete);
        };
        if member::isize(member) > LIMIT {
            return Err(self.wrong("its length is wrong"));
        }
        let head = !self.index && member == self.head;
        // The index has batches of its own.
        if head && !batch.members.is_empty() {
            return Ok(Next::Waits);
        }
        self.index |= head;
        self.marker = (member == MARKER).then_some(self.offset);
        if is_damaged_marker(member) {
            return Err(damaged_marker(self.offset));
        }
        Ok(Next::Member(length))
    }

    fn wrong(&self, what: &str) -> ReadError {
        damaged(format!(
            "the member at byte {} is damaged: {what}",
            self.offset
        ))
    }

    fn end(&self) -> Result<Stop, ReadError> {
        if !self.ahead.is_empty() {
            return Err(cut(self.offset + size(self.ahead.len()), self.offset));
        }
        Ok(Stop::End(self.last()))
    }

    fn last(&self) -> Last {
        match self.marker {
            Some(_) => Last::Marker,
            None => Last::Block,
        }
    }
}

/// Whether an empty member was the end-of-file marker once: the bits of it that mean nothing to gunzip count too. One
/// of another program may be as long, but its header has little in common with the marker's.
pub(crate) fn is_damaged_marker(member: &[u8]) -> bool {
    if member.len() != MARKER.len() || member == MARKER || member::isize(member) != 0 {
        return false;
    }
    let header = member.iter().zip(&MARKER).take(BEFORE);
    header.map(|(is, was)| (is ^ was).count_ones()).sum::<u32>() <= 8
}

pub(crate) fn damaged_marker(at: u64) -> ReadError {
    damaged(format!("the end-of-file marker at byte {at} is damaged"))
}

pub(crate) fn after_the_marker(at: u64) -> ReadError {
    damaged(format!(
        "there are bytes after the end-of-file marker at byte {at}"
    ))
}

/// The file ends at byte `at`, inside the member at byte `member`.
pub(crate) fn cut(at: u64, member: u64) -> ReadError {
    damaged(format!(
        "the file is cut: it ends at byte {at}, inside the member that begins at byte {member}"
    ))
}

/// Reads, whatever signals come.
pub(crate) fn read(input: &mut dyn Read, buffer: &mut [u8]) -> Result<usize, ReadError> {
    loop {
        match input.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done.map_err(ReadError::Io),
        }
    }
}
