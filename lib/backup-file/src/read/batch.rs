//! Some whole members of a file, on their way from its bytes to their SQL.

use std::io::Read;

use super::input::read;
use crate::codec::Decompress;
use crate::format::error::{ReadError, damaged_member};
use crate::format::member::{self, LIMIT, as_u64};

/// Bytes of the file that a batch can hold: several members of any size.
const ROOM: usize = 4 * LIMIT;
/// How much is read at once. What is read beyond the batch's last member is copied to the next batch.
const STEP: usize = LIMIT;
/// The most members in a batch, so that no more than 512 KiB of SQL comes out of it.
const MOST_MEMBERS: usize = 8;

/// Some whole members, and the SQL that they become.
pub(super) struct Batch {
    /// Room for bytes of the file.
    bytes: Box<[u8]>,
    /// How many of them are the batch's members.
    filled: usize,
    /// How many of them were read: those after `filled` belong to the next batch.
    read: usize,
    /// Where the first member begins in the file.
    pub(super) offset: u64,
    /// The lengths of the members.
    members: Vec<usize>,
    /// What the members belong to.
    pub(super) place: Place,
    /// Room for the SQL of the members.
    sql: Box<[u8]>,
    sql_filled: usize,
    /// Nothing comes after this batch: why, or what is wrong.
    pub(super) end: Option<Result<Stop, ReadError>>,
}

/// The parts of a backup, in its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// The dump.
    Sections,
    /// The maps of its databases.
    Maps,
    /// The index and what comes after it.
    Index,
}

/// Why no more BGZF members come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// The file has ended, with this member.
    End(LastMember),
    /// Something else follows this member: members of another program, or padding.
    Other(LastMember),
}

/// The member that came last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LastMember {
    /// A BGZF block that is not the marker.
    Block,
    /// The end-of-file marker.
    Marker,
    /// No BGZF block.
    Plain,
}

impl Batch {
    pub(super) fn new() -> Self {
        Self {
            bytes: vec![0; ROOM].into_boxed_slice(),
            filled: 0,
            read: 0,
            offset: 0,
            members: Vec::with_capacity(MOST_MEMBERS),
            place: Place::Sections,
            // Takes no memory before it is written to.
            sql: vec![0; MOST_MEMBERS * LIMIT].into_boxed_slice(),
            sql_filled: 0,
            end: None,
        }
    }

    /// The bytes of its members.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.filled]
    }

    /// The SQL of its members.
    pub(super) fn sql(&self) -> &[u8] {
        &self.sql[..self.sql_filled]
    }

    pub(super) fn has_members(&self) -> bool {
        !self.members.is_empty()
    }

    pub(super) fn is_full_of_members(&self) -> bool {
        self.members.len() == MOST_MEMBERS
    }

    /// The members and where they begin in the file.
    pub(super) fn members(&self) -> impl Iterator<Item = (u64, &[u8])> {
        let mut at = 0;
        self.members.iter().map(move |length| {
            let start = at;
            at += length;
            (self.offset + as_u64(start), &self.bytes[start..at])
        })
    }

    /// Decompresses and checks the members. If one is damaged, that becomes the end.
    pub(super) fn decompress(&mut self, codec: &mut dyn Decompress) {
        let mut start = 0;
        for length in &self.members {
            let member = &self.bytes[start..start + length];
            // It is at most LIMIT: `Frames` has checked that.
            let sql = &mut self.sql[self.sql_filled..][..member::sql_length(member)];
            if let Err(what) = member::unpack(member, sql, codec) {
                let offset = self.offset + as_u64(start);
                self.end = Some(Err(damaged_member(offset, what)));
                return;
            }
            self.sql_filled += sql.len();
            start += length;
        }
    }

    /// What was read after its members.
    pub(super) fn rest(&self) -> &[u8] {
        &self.bytes[self.filled..self.read]
    }

    /// How long the next member can be.
    pub(super) fn room(&self) -> usize {
        self.bytes.len() - self.filled
    }

    pub(super) fn is_full(&self) -> bool {
        self.read == self.bytes.len()
    }

    /// Takes the next `length` bytes of what was read as a member.
    pub(super) fn push(&mut self, length: usize) {
        self.filled += length;
        self.members.push(length);
    }

    /// Reads more of the file; false at its end.
    pub(super) fn read_on(&mut self, input: &mut dyn Read) -> Result<bool, ReadError> {
        let end = self.bytes.len().min(self.read + STEP);
        let count = read(input, &mut self.bytes[self.read..end])?;
        self.read += count;
        Ok(count > 0)
    }

    /// Begins anew at `offset` of the file, with `ahead`, which the batch before it has read after its members.
    pub(super) fn restart(&mut self, offset: u64, ahead: &[u8]) {
        self.bytes[..ahead.len()].copy_from_slice(ahead);
        self.filled = 0;
        self.read = ahead.len();
        self.offset = offset;
        self.members.clear();
        self.place = Place::Sections;
        self.sql_filled = 0;
        self.end = None;
    }
}
