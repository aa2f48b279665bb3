//! Whether a stream is a whole backup, checked while it is read: members that follow each other without a gap (BGZF,
//! SAM specification §4.1), and the marker at the end.

use backup_file::MARKER;

/// The length of a member's head: the fixed 12 bytes of gzip and the extra field, which in a backup holds only the
/// subfield BC.
const HEAD: usize = 18;

/// Follows the members of a stream.
#[derive(Debug, Default)]
pub(crate) struct Members {
    /// Bytes before the current member.
    offset: u64,
    /// The part of its head that has been read.
    head: Vec<u8>,
    /// How many of its bytes after the head are still to come.
    left: usize,
    /// Whether it may still turn out to be the marker.
    may_be_marker: bool,
    /// How many of its bytes have been read.
    passed: usize,
    /// Its last four bytes: the length of its text.
    tail: [u8; 4],
    /// Bytes of text in all members together.
    text: u64,
    /// Whether the last member is the marker.
    marker: bool,
}

impl Members {
    /// Follows the next bytes. An error says what is wrong with the stream: `is damaged at byte 12`.
    pub(crate) fn pass(&mut self, mut bytes: &[u8]) -> Result<(), String> {
        while !bytes.is_empty() {
            if self.left == 0 {
                bytes = self.pass_head(bytes)?;
            } else {
                let (body, rest) = bytes.split_at(self.left.min(bytes.len()));
                self.pass_body(body);
                bytes = rest;
            }
        }
        Ok(())
    }

    /// Bytes of text in all members so far.
    pub(crate) fn text(&self) -> u64 {
        self.text
    }

    /// Says what is wrong with the stream, which has ended, if anything is.
    pub(crate) fn end(&self) -> Result<(), String> {
        let whole = self.left == 0 && self.head.is_empty();
        match (self.offset, whole && self.marker) {
            (0, _) if self.head.is_empty() => Err("is empty".into()),
            (_, false) => Err(
                "does not end in the marker of a whole backup: its dump failed, or it was cut"
                    .into(),
            ),
            (_, true) if self.text == 0 => Err("is a backup of nothing".into()),
            (_, true) => Ok(()),
        }
    }

    fn pass_head<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], String> {
        let missing = HEAD - self.head.len();
        let (head, rest) = bytes.split_at(missing.min(bytes.len()));
        self.head.extend_from_slice(head);
        let Ok(head) = <[u8; HEAD]>::try_from(self.head.as_slice()) else {
            return Ok(rest);
        };
        if self.marker {
            return Err(format!("goes on after its marker, at byte {}", self.offset));
        }
        let size = member_size(&head).ok_or_else(|| match self.offset {
            0 => "is no backup of pgdump-gz".to_owned(),
            offset => format!("is damaged at byte {offset}"),
        })?;
        self.left = size - HEAD;
        self.passed = HEAD;
        self.may_be_marker = size == MARKER.len() && MARKER.starts_with(&head);
        Ok(rest)
    }

    fn pass_body(&mut self, body: &[u8]) {
        let wanted = MARKER.get(self.passed..self.passed + body.len());
        self.may_be_marker = self.may_be_marker && wanted == Some(body);
        for byte in body.iter().skip(body.len().saturating_sub(4)) {
            self.tail.rotate_left(1);
            self.tail[3] = *byte;
        }
        self.passed += body.len();
        self.left -= body.len();
        if self.left == 0 {
            self.offset += self.passed as u64;
            self.text += u64::from(u32::from_le_bytes(self.tail));
            self.marker = self.may_be_marker;
            self.head.clear();
        }
    }
}

/// The member's size in bytes; none if this is no head of a member of a backup.
fn member_size(head: &[u8; HEAD]) -> Option<usize> {
    let fixed = [
        (0, 0x1f),
        (1, 0x8b),
        (2, 8),
        (3, 4),
        (10, 6),
        (11, 0),
        (12, b'B'),
        (13, b'C'),
        (14, 2),
        (15, 0),
    ];
    let proper = fixed.iter().all(|(at, byte)| head.get(*at) == Some(byte));
    let size = usize::from(u16::from_le_bytes([head[16], head[17]])) + 1;
    // After the head: at least an empty deflate stream of two bytes, CRC-32, length.
    (proper && size >= HEAD + 10).then_some(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A member of `length` bytes of text whose deflate stream is no real one.
    fn member(length: u32) -> Vec<u8> {
        let mut member = MARKER[..16].to_vec();
        let body = vec![7; 40];
        let size = u16::try_from(HEAD + body.len() + 8 - 1).unwrap();
        member.extend(size.to_le_bytes());
        member.extend(&body);
        member.extend([1, 2, 3, 4]);
        member.extend(length.to_le_bytes());
        member
    }

    fn backup() -> Vec<u8> {
        [member(65280), member(12), MARKER.to_vec()].concat()
    }

    fn pass(bytes: &[u8], piece: usize) -> Result<(), String> {
        let mut members = Members::default();
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
            let error = pass(&bytes, 10).unwrap_err();
            assert!(error.contains(said), "{said}: {error}");
        }
    }
}
