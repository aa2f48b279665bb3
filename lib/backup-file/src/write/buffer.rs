//! Some SQL of a section, on its way to its members.

use crate::format::member::{self, BLOCK, Packer};

/// How many blocks are compressed together.
const BLOCKS: usize = 8;
/// The bytes that a buffer takes: its blocks, and one byte more, which shows that the section goes on after them.
const ROOM: usize = BLOCKS * BLOCK + 1;

/// Some SQL, and the members that it becomes.
pub(super) struct SqlBuffer {
    sql: Box<[u8]>,
    filled: usize,
    /// The section ends with this SQL.
    last: bool,
    members: Vec<u8>,
}

impl SqlBuffer {
    pub(super) fn new() -> Self {
        Self {
            sql: vec![0; ROOM].into_boxed_slice(),
            filled: 0,
            last: false,
            members: Vec::new(),
        }
    }

    /// Where more SQL goes; never empty.
    pub(super) fn room(&mut self) -> &mut [u8] {
        &mut self.sql[self.filled..]
    }

    /// `count` more bytes of SQL are there. True if there is no more room: [`SqlBuffer::take_overflow`] then.
    pub(super) fn fill(&mut self, count: usize) -> bool {
        self.filled += count;
        self.filled == ROOM
    }

    /// Takes out the byte after its blocks, which is the first of the next buffer.
    pub(super) fn take_overflow(&mut self) -> u8 {
        self.filled = ROOM - 1;
        self.sql[ROOM - 1]
    }

    /// The section ends with this SQL.
    pub(super) fn end_section(&mut self) {
        self.last = true;
    }

    /// How many bytes of SQL it holds.
    pub(super) fn filled(&self) -> usize {
        self.filled
    }

    pub(super) fn is_empty(&self) -> bool {
        self.filled == 0
    }

    pub(super) fn compress(&mut self, packer: &mut Packer) {
        self.members.clear();
        for block in member::blocks(&self.sql[..self.filled], self.last) {
            packer.pack(&mut self.members, block);
        }
    }

    /// What its SQL became when it was compressed.
    pub(super) fn members(&self) -> &[u8] {
        &self.members
    }

    pub(super) fn clear(&mut self) {
        self.filled = 0;
        self.last = false;
    }
}
