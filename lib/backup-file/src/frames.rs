//! Cuts a file of BGZF members into batches of whole members.

use std::io::{self, Read};

use crate::codec::Decompress;
use crate::member::{self, Header, LIMIT, size};
use crate::reader::damaged;
use crate::tail;
use crate::{Ending, MARKER, ReadError};

/// Bytes of the file that a batch can hold: several members of any size.
const ROOM: usize = 5 * LIMIT;
/// The most members in a batch, so that no more than 1 MiB of SQL comes out of it.
const MOST: usize = 16;

/// Some bytes of a file, and the SQL that they become.
pub(crate) struct Batch {
    bytes: Box<[u8]>,
    filled: usize,
    /// Where they begin in the file.
    pub(crate) offset: u64,
    /// The lengths of the members that they are.
    members: Vec<usize>,
    /// They belong to the index or come after it.
    pub(crate) index: bool,
    /// What they hold.
    sql: Box<[u8]>,
    sql_filled: usize,
    /// No more comes after this one: how the file ended, or what is wrong.
    pub(crate) end: Option<Result<Ending, ReadError>>,
}

impl Batch {
    pub(crate) fn new() -> Self {
        Self {
            bytes: vec![0; ROOM].into_boxed_slice(),
            filled: 0,
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

    fn has_room(&self, length: usize) -> bool {
        self.filled + length <= self.bytes.len()
    }

    fn push(&mut self, member: &[u8]) {
        self.bytes[self.filled..self.filled + member.len()].copy_from_slice(member);
        self.filled += member.len();
        self.members.push(member.len());
    }

    fn clear(&mut self, offset: u64) {
        self.filled = 0;
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
    /// What was read, and which of it is not in a batch yet.
    ahead: Box<[u8]>,
    from: usize,
    to: usize,
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
}

impl Frames {
    pub(crate) fn new(input: Box<dyn Read + Send>) -> Self {
        Self {
            input,
            ahead: vec![0; ROOM].into_boxed_slice(),
            from: 0,
            to: 0,
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
        let filled = self.gather(batch);
        batch.index = self.index;
        if let Err(error) = filled {
            batch.end = Some(Err(error));
        } else if batch.members.is_empty() {
            batch.end = Some(self.end());
        }
    }

    fn gather(&mut self, batch: &mut Batch) -> Result<(), ReadError> {
        while batch.members.len() < MOST {
            match self.next(batch)? {
                Next::Member(length) => {
                    batch.push(&self.ahead[self.from..self.from + length]);
                    self.from += length;
                    self.offset += size(length);
                }
                Next::Incomplete if !self.ended => self.read()?,
                Next::Incomplete | Next::Waits => break,
            }
        }
        Ok(())
    }

    /// Reads on.
    fn read(&mut self) -> Result<(), ReadError> {
        // What is left is part of one member.
        self.ahead.copy_within(self.from..self.to, 0);
        self.to -= self.from;
        self.from = 0;
        let count = read(self.input.as_mut(), &mut self.ahead[self.to..])?;
        self.to += count;
        self.ended = count == 0;
        Ok(())
    }

    /// Looks at the next member.
    fn next(&mut self, batch: &Batch) -> Result<Next, ReadError> {
        let bytes = &self.ahead[self.from..self.to];
        if bytes.is_empty() {
            return Ok(Next::Incomplete);
        }
        if let Some(marker) = self.marker {
            return Err(damaged(format!(
                "there are bytes after the end-of-file marker at byte {marker}"
            )));
        }
        let length = match Header::of(bytes) {
            Header::Block(length) => length,
            Header::Short => return Ok(Next::Incomplete),
            Header::Other => return Err(self.wrong("its header is not a BGZF member's")),
        };
        let Some(member) = bytes.get(..length) else {
            return Ok(Next::Incomplete);
        };
        if member::isize(member) > LIMIT {
            return Err(self.wrong("its length is wrong"));
        }
        let head = !self.index && member == self.head;
        // The index has batches of its own.
        if !batch.has_room(length) || head && !batch.members.is_empty() {
            return Ok(Next::Waits);
        }
        self.index |= head;
        if member == MARKER {
            self.marker = Some(self.offset);
        } else if member.len() == MARKER.len() && member::isize(member) == 0 {
            // The bits of it that mean nothing to gunzip count too.
            return Err(damaged(format!(
                "the end-of-file marker at byte {} is damaged",
                self.offset
            )));
        }
        Ok(Next::Member(length))
    }

    fn wrong(&self, what: &str) -> ReadError {
        damaged(format!(
            "the member at byte {} is damaged: {what}",
            self.offset
        ))
    }

    fn end(&self) -> Result<Ending, ReadError> {
        if self.from < self.to {
            return Err(cut(self.offset + size(self.to - self.from), self.offset));
        }
        Ok(match self.marker {
            Some(_) => Ending::Marker,
            None => Ending::NoMarker,
        })
    }
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
