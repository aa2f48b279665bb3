//! Whether a file is a whole backup, seen while its bytes pass: its members follow each other without a gap, and the
//! last one is the marker. What they hold is not looked at.

use std::fmt;

use crate::format::marker::MARKER;
use crate::format::member::{BEFORE, as_u64, foreign_block_length};

/// Follows the members of a file while its bytes pass.
#[derive(Debug, Default)]
pub struct PassingMembers {
    /// Bytes before the member that is passing.
    offset: u64,
    /// Its header, as far as it has come.
    header: Vec<u8>,
    /// Its bytes after the header that are still to come.
    left: usize,
    /// Whether it may still turn out to be the marker.
    may_be_marker: bool,
    /// How many of its bytes have passed.
    passed: usize,
    /// Its last four bytes: the length of its text.
    isize: [u8; 4],
    /// Bytes of text in all members.
    text: u64,
    /// The last member was the marker.
    marker: bool,
}

/// Why a file is no whole backup. Its text goes on after the file's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotWhole {
    /// It has no bytes.
    Empty,
    /// It does not begin with a BGZF block.
    NoBackup,
    /// What follows the members before this byte is no member.
    DamagedAt(u64),
    /// There is more after the marker, from this byte on.
    AfterMarker(u64),
    /// It does not end in the marker.
    NoMarker,
    /// Its members are empty.
    NoText,
}

impl PassingMembers {
    /// Follows the next bytes.
    ///
    /// # Errors
    /// What follows cannot make it a whole backup.
    pub fn pass(&mut self, mut bytes: &[u8]) -> Result<(), NotWhole> {
        while !bytes.is_empty() {
            if self.left == 0 {
                bytes = self.pass_header(bytes)?;
            } else {
                let (body, rest) = bytes.split_at(self.left.min(bytes.len()));
                self.pass_body(body);
                bytes = rest;
            }
        }
        Ok(())
    }

    /// Bytes of text in all members so far.
    pub fn text(&self) -> u64 {
        self.text
    }

    /// Whether all bytes that have passed are a whole backup.
    ///
    /// # Errors
    /// They are not.
    pub fn end(&self) -> Result<(), NotWhole> {
        let whole = self.left == 0 && self.header.is_empty();
        match (self.offset, whole && self.marker) {
            (0, _) if self.header.is_empty() => Err(NotWhole::Empty),
            (_, false) => Err(NotWhole::NoMarker),
            (_, true) if self.text == 0 => Err(NotWhole::NoText),
            (_, true) => Ok(()),
        }
    }

    fn pass_header<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], NotWhole> {
        let missing = BEFORE - self.header.len();
        let (header, rest) = bytes.split_at(missing.min(bytes.len()));
        self.header.extend_from_slice(header);
        let Ok(header) = <[u8; BEFORE]>::try_from(self.header.as_slice()) else {
            return Ok(rest);
        };
        if self.marker {
            return Err(NotWhole::AfterMarker(self.offset));
        }
        let length = foreign_block_length(&header).ok_or(match self.offset {
            0 => NotWhole::NoBackup,
            offset => NotWhole::DamagedAt(offset),
        })?;
        self.left = length - BEFORE;
        self.passed = BEFORE;
        self.may_be_marker = length == MARKER.len() && MARKER.starts_with(&header);
        Ok(rest)
    }

    fn pass_body(&mut self, body: &[u8]) {
        let wanted = MARKER.get(self.passed..self.passed + body.len());
        self.may_be_marker = self.may_be_marker && wanted == Some(body);
        for byte in body.iter().skip(body.len().saturating_sub(4)) {
            self.isize.rotate_left(1);
            self.isize[3] = *byte;
        }
        self.passed += body.len();
        self.left -= body.len();
        if self.left == 0 {
            self.offset += as_u64(self.passed);
            self.text += u64::from(u32::from_le_bytes(self.isize));
            self.marker = self.may_be_marker;
            self.header.clear();
        }
    }
}

impl fmt::Display for NotWhole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("is empty"),
            Self::NoBackup => f.write_str("is no backup of pgdump-gz"),
            Self::DamagedAt(byte) => write!(f, "is damaged at byte {byte}"),
            Self::AfterMarker(byte) => write!(f, "goes on after its marker, at byte {byte}"),
            Self::NoMarker => f.write_str(
                "does not end in the marker of a whole backup: its dump failed, or it was cut",
            ),
            Self::NoText => f.write_str("is a backup of nothing"),
        }
    }
}

impl std::error::Error for NotWhole {}

#[cfg(test)]
mod tests {
    use super::*;

    /// A member of `length` bytes of text whose deflate stream is no real one.
    fn member(length: u32) -> Vec<u8> {
        let mut member = MARKER[..16].to_vec();
        let body = vec![7; 40];
        let size = u16::try_from(BEFORE + body.len() + 8 - 1).unwrap();
        member.extend(size.to_le_bytes());
        member.extend(&body);
        member.extend([1, 2, 3, 4]);
        member.extend(length.to_le_bytes());
        member
    }

    fn backup() -> Vec<u8> {
        [member(65280), member(12), MARKER.to_vec()].concat()
    }

    fn pass(bytes: &[u8], piece: usize) -> Result<(), NotWhole> {
        let mut members = PassingMembers::default();
        for piece in bytes.chunks(piece) {
            members.pass(piece)?;
        }
        members.end()
    }

    #[test]
    fn a_whole_backup_passes_in_pieces_of_any_size() {
        for piece in 1..200 {
            assert_eq!(pass(&backup(), piece), Ok(()), "{piece}");
        }
    }

    #[test]
    fn a_cut_backup_does_not_pass() {
        let backup = backup();
        for length in 0..backup.len() {
            for piece in [1, 17, 1000] {
                assert!(pass(&backup[..length], piece).is_err(), "{length}");
            }
        }
    }

    #[test]
    fn a_hole_is_seen() {
        let backup = backup();
        for at in 1..backup.len() {
            for hole in [1, 7, 28] {
                let rest = backup.get(at + hole..).unwrap_or_default();
                assert!(
                    pass(&[&backup[..at], rest].concat(), 50).is_err(),
                    "{at} {hole}"
                );
            }
        }
    }

    #[test]
    fn what_is_no_backup_is_said() {
        let foreign = b"\x1f\x8b\x08\x00\0\0\0\0\0\x03abcdefghijklmnopqrstuvwxyz";
        for (bytes, said) in [
            (Vec::new(), "is empty"),
            (MARKER.to_vec(), "backup of nothing"),
            ([member(0), MARKER.to_vec()].concat(), "backup of nothing"),
            (foreign.to_vec(), "is no backup of pgdump-gz"),
            (
                [foreign, MARKER.as_slice()].concat(),
                "is no backup of pgdump-gz",
            ),
            (member(5), "does not end in the marker"),
            ([member(5), vec![0; 20]].concat(), "is damaged at byte 66"),
            ([backup(), member(5)].concat(), "goes on after its marker"),
            (
                [backup(), b"x".to_vec()].concat(),
                "does not end in the marker",
            ),
            (b"short".to_vec(), "does not end in the marker"),
        ] {
            let error = pass(&bytes, 10).unwrap_err().to_string();
            assert!(error.contains(said), "{said}: {error}");
        }
    }
}
