//! The text at the beginning and at the end of a file of BGZF members without an index. Nothing between is read: this
//! is enough to see whether it is a dump, and whether it ends as one.

use super::tail::{ReadAt, end_of_members};
use crate::codec;
use crate::format::error::{ReadError, damaged};
use crate::format::kind::BackupKind;
use crate::format::locator::Locator;
use crate::format::member::{self, HEADER, Header, LIMIT, as_u64};

/// How many first bytes of a file hold at least one whole member.
const FIRST: usize = LIMIT;
/// How many last bytes of a file hold at least two whole members and the marker.
const LAST: usize = 3 * LIMIT;

/// The first and the last bytes of a file.
#[derive(Debug, Default)]
pub struct FirstAndLast {
    size: u64,
    first: Vec<u8>,
    /// Up to twice as many as are needed, so that they are seldom moved.
    last: Vec<u8>,
}

impl FirstAndLast {
    /// Reads those of a file that can be read anywhere.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn of(file: &dyn ReadAt) -> Result<Self, ReadError> {
        let end = end_of_members(file)?;
        let part = |wanted: usize| usize::try_from(end).unwrap_or(wanted).min(wanted);
        let (first, last) = (part(FIRST), part(LAST));
        let from = end - as_u64(last);
        Ok(Self {
            size: end,
            // Of a small file the last bytes are all.
            first: match from {
                0 => Vec::new(),
                _ => file.read_at(0, first).map_err(ReadError::Io)?,
            },
            last: file.read_at(from, last).map_err(ReadError::Io)?,
        })
    }

    /// Takes note of the next bytes of a file that is read from its beginning to its end.
    pub fn see(&mut self, bytes: &[u8]) {
        self.size += as_u64(bytes.len());
        let missing = (FIRST - self.first.len()).min(bytes.len());
        self.first.extend_from_slice(&bytes[..missing]);
        if self.last.len() + bytes.len() > 2 * LAST {
            let kept = LAST.saturating_sub(bytes.len()).min(self.last.len());
            self.last.drain(..self.last.len() - kept);
        }
        let wanted = bytes.len().saturating_sub(LAST);
        self.last.extend_from_slice(&bytes[wanted..]);
    }

    /// What kind of backup it is, by the text that it begins with. None until its first member has been seen whole.
    pub fn kind(&self) -> Option<BackupKind> {
        let first = if self.first.is_empty() {
            &self.last
        } else {
            &self.first
        };
        let text = text(first).ok().filter(|text| !text.is_empty())?;
        Some(BackupKind::of_text(&text))
    }

    /// The text that the file begins with, and the text that it ends with; of a short file the second is all of it. None
    /// if the file has an index, which was written only after the dump had been checked.
    ///
    /// # Errors
    /// [`ReadError::Damaged`]: these members are not what was written.
    pub fn text(&self) -> Result<Option<[Vec<u8>; 2]>, ReadError> {
        let last = &self.last[self.last.len().saturating_sub(LAST)..];
        if Locator::at_end_of(last).is_some() {
            return Ok(None);
        }
        if as_u64(last.len()) == self.size {
            return Ok(Some([Vec::new(), text(last)?]));
        }
        let begins = (0..last.len()).find(|at| {
            last[*at..].starts_with(&HEADER) && whole_members(&last[*at..]) == last.len() - at
        });
        let begins = begins.ok_or_else(|| damaged("its last members are not whole"))?;
        Ok(Some([text(&self.first)?, text(&last[begins..])?]))
    }
}

/// How many bytes the whole members take that begin here.
fn whole_members(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Header::Block(length) = Header::of(&bytes[at..])
        && at + length <= bytes.len()
    {
        at += length;
    }
    at
}

/// The text of the whole members that begin here.
fn text(bytes: &[u8]) -> Result<Vec<u8>, ReadError> {
    let mut rest = &bytes[..whole_members(bytes)];
    let mut codec = codec::decompressor();
    let mut text = Vec::new();
    while let Header::Block(length) = Header::of(rest) {
        let (member, others) = rest.split_at(length);
        let start = text.len();
        text.resize(start + member::sql_length(member).min(LIMIT), 0);
        member::unpack(member, &mut text[start..], codec.as_mut())
            .map_err(|what| damaged(format!("a member at one of its ends is damaged: {what}")))?;
        rest = others;
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{About, Excluded, Options, SectionKind, Writer};

    fn file(text: &[u8], index: bool) -> Vec<u8> {
        let options = Options {
            level: 1,
            threads: 1,
        };
        let mut writer = Writer::new(Vec::new(), options);
        writer.begin(SectionKind::Globals).unwrap();
        writer.write_all(text).unwrap();
        let moment = chrono::DateTime::UNIX_EPOCH;
        let about = About {
            server_version: "1".into(),
            client_version: "1".into(),
            encoding: None,
            excluded: Excluded::default(),
            server_role: None,
            started: moment,
            finished: moment,
        };
        match index {
            true => writer.finish(about).unwrap(),
            false => writer.finish_without_index().unwrap(),
        }
    }

    struct Bytes(Vec<u8>);

    impl ReadAt for Bytes {
        fn size(&self) -> u64 {
            as_u64(self.0.len())
        }

        fn read_at(&self, offset: u64, length: usize) -> std::io::Result<Vec<u8>> {
            let offset = usize::try_from(offset).unwrap();
            Ok(self.0[offset..offset + length].to_vec())
        }
    }

    /// Text that does not get shorter, so that members are as long as they can be.
    fn noise(length: usize) -> Vec<u8> {
        let mut state = 1_u32;
        let mut next = move || {
            state = state.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
            state.to_le_bytes()[3]
        };
        (0..length).map(|_| next()).collect()
    }

    #[test]
    fn the_text_at_both_ends() {
        for length in [1, 10, 65_279, 65_280, 65_281, 130_000, 200_000, 700_000] {
            for text in [noise(length), vec![b'x'; 40 * length]] {
                let file = file(&text, false);
                let in_pieces = |piece: usize| {
                    let mut seen = FirstAndLast::default();
                    file.chunks(piece).for_each(|piece| seen.see(piece));
                    seen
                };
                for bytes in [
                    FirstAndLast::of(&Bytes(file.clone())).unwrap(),
                    in_pieces(1000),
                    in_pieces(100_000),
                    in_pieces(1 << 24),
                ] {
                    let [first, last] = bytes.text().unwrap().unwrap();
                    assert!(text.starts_with(&first), "{length}");
                    assert!(text.ends_with(&last), "{length}");
                    let enough = text.len().min(60_000);
                    assert!(first.len() >= enough || last == text, "{length}");
                    assert!(last.len() >= enough, "{length}");
                }
            }
        }
    }

    #[test]
    fn one_with_an_index_speaks_for_itself() {
        let file = Bytes(file(&noise(300_000), true));
        assert_eq!(FirstAndLast::of(&file).unwrap().text().unwrap(), None);
    }

    #[test]
    fn damage_is_seen() {
        let good = file(&noise(700_000), false);
        for at in [100, good.len() - 100, good.len() - 100_000] {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert!(
                FirstAndLast::of(&Bytes(bad)).unwrap().text().is_err(),
                "{at}"
            );
        }
    }
}
