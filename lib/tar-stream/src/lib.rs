//! A tar archive whose bytes pass by. PostgreSQL writes the plainest of tar (POSIX.1-1988, ustar: `tar.c` of its
//! sources), of which a name, a kind, a mode and a size are needed here. A crate for tar reads the entries itself and
//! keeps their bytes; here every byte goes on, in its place, and comes in pieces of any size.

use std::fmt;

/// The bytes of a block: a header is one, and what is in a file is filled up to whole ones.
const BLOCK: usize = 512;
/// Where the fields of a header are.
const NAME: std::ops::Range<usize> = 0..100;
const MODE: std::ops::Range<usize> = 100..108;
const SIZE: std::ops::Range<usize> = 124..136;
const CHECKSUM: std::ops::Range<usize> = 148..156;
const KIND: usize = 156;
const MAGIC: std::ops::Range<usize> = 257..262;
const PREFIX: std::ops::Range<usize> = 345..500;

/// What passes by. The bytes of all of them together are the archive's.
#[derive(Debug)]
pub enum Event<'a> {
    /// The header of an entry, and what it says.
    Header(&'a [u8], Entry),
    /// Bytes of the entry.
    Content(&'a [u8]),
    /// What fills an entry up, and the archive's end.
    Filler(&'a [u8]),
}

/// What a header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name as it is in the archive.
    pub name: Vec<u8>,
    /// What it is.
    pub kind: EntryKind,
    /// Who may do what with it: the lowest twelve bits.
    pub mode: u32,
    /// Bytes of its content.
    pub size: u64,
}

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// Something else, by its type flag: `2` is a symbolic link.
    Other(u8),
}

/// What is wrong with an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// The block at this byte is no header of an entry.
    NoHeader(u64),
    /// There is more after its end, at this byte.
    AfterEnd(u64),
    /// It ends before its end.
    Cut,
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoHeader(at) => write!(f, "what is at byte {at} is no header of tar"),
            Self::AfterEnd(at) => write!(f, "it goes on after its end, at byte {at}"),
            Self::Cut => f.write_str("it is cut"),
        }
    }
}

/// Follows an archive.
#[derive(Debug)]
pub struct Tar {
    /// The block that has begun to come, where that is a header or the end.
    block: Vec<u8>,
    state: State,
    /// How many bytes have passed.
    passed: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// A header comes, or the end.
    Header,
    Entry {
        content: u64,
        filler: u64,
    },
    /// One block of zeros has come; a second one is the end.
    Ending,
    Ended,
}

impl Default for Tar {
    fn default() -> Self {
        Self::new()
    }
}

impl Tar {
    /// At an archive's first byte, or at the header of any entry.
    pub fn new() -> Self {
        Self {
            block: Vec::with_capacity(BLOCK),
            state: State::Header,
            passed: 0,
        }
    }

    /// Follows the next bytes, of which some may be handed out later. `on` gets each event with its place in the archive.
    ///
    /// # Errors
    /// What is wrong with them, or whatever `on` returns.
    pub fn feed<E: From<Flaw>>(
        &mut self,
        mut bytes: &[u8],
        on: &mut dyn FnMut(u64, Event<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(self.next(bytes.len()));
            bytes = later;
            let at = self.passed;
            match self.state {
                State::Header | State::Ending => {
                    self.block.extend_from_slice(now);
                    if self.block.len() == BLOCK {
                        let block = std::mem::take(&mut self.block);
                        on(at, self.block(&block)?)?;
                        self.passed += BLOCK as u64;
                        self.block = block;
                        self.block.clear();
                    }
                    continue;
                }
                State::Entry { content: 0, filler } => {
                    on(at, Event::Filler(now))?;
                    self.state = after(0, filler - now.len() as u64);
                }
                State::Entry { content, filler } => {
                    on(at, Event::Content(now))?;
                    self.state = after(content - now.len() as u64, filler);
                }
                State::Ended => match now.iter().position(|byte| *byte != 0) {
                    None => on(at, Event::Filler(now))?,
                    Some(more) => return Err(Flaw::AfterEnd(at + more as u64).into()),
                },
            }
            self.passed += now.len() as u64;
        }
        Ok(())
    }

    /// What is missing at the archive's end, which has come. pg_basebackup of PostgreSQL 14 fills the manifest up with
    /// zeros that belong to the end, and leaves less than the two blocks that tar wants.
    ///
    /// # Errors
    /// It has not ended where an archive ends.
    pub fn end(&self) -> Result<&'static [u8], Flaw> {
        let zeros = self.block.iter().all(|byte| *byte == 0);
        match self.state {
            State::Ended => Ok(&[]),
            State::Ending if zeros => Ok(&[0; BLOCK]),
            _ => Err(Flaw::Cut),
        }
    }

    /// Whether what has passed ends where an entry ends, or the archive.
    pub fn is_between_entries(&self) -> bool {
        match self.state {
            State::Header => self.block.is_empty(),
            State::Ending | State::Ended => true,
            State::Entry { .. } => false,
        }
    }

    /// How many of the next `there` bytes belong to what comes next.
    fn next(&self, there: usize) -> usize {
        let left = match self.state {
            State::Header | State::Ending => BLOCK - self.block.len(),
            State::Entry { content: 0, filler } => at_most(filler, there),
            State::Entry { content, .. } => at_most(content, there),
            State::Ended => there,
        };
        left.min(there)
    }

    /// Takes a whole block where a header may be.
    fn block<'a>(&mut self, block: &'a [u8]) -> Result<Event<'a>, Flaw> {
        let wrong = Flaw::NoHeader(self.passed);
        let is_zero = block.iter().all(|byte| *byte == 0);
        match (self.state, is_zero) {
            (State::Ending, true) => self.state = State::Ended,
            (_, true) => self.state = State::Ending,
            (State::Ending, false) => return Err(wrong),
            (_, false) => {
                let entry = header(block).ok_or(wrong)?;
                let whole = entry.size.checked_next_multiple_of(BLOCK as u64);
                let filler = whole.ok_or(wrong)? - entry.size;
                self.state = after(entry.size, filler);
                return Ok(Event::Header(block, entry));
            }
        }
        Ok(Event::Filler(block))
    }
}

fn after(content: u64, filler: u64) -> State {
    match (content, filler) {
        (0, 0) => State::Header,
        (content, filler) => State::Entry { content, filler },
    }
}

fn at_most(length: u64, most: usize) -> usize {
    usize::try_from(length).unwrap_or(most)
}

/// What a header says; none if it is no header.
fn header(block: &[u8]) -> Option<Entry> {
    let sum: u64 = block
        .iter()
        .enumerate()
        // The checksum itself counts as blanks.
        .map(|(at, byte)| if CHECKSUM.contains(&at) { b' ' } else { *byte })
        .map(u64::from)
        .sum();
    if &block[MAGIC] != b"ustar" || number(&block[CHECKSUM])? != sum {
        return None;
    }
    let text = |field: &[u8]| {
        field
            .split(|byte| *byte == 0)
            .next()
            .unwrap_or(&[])
            .to_vec()
    };
    let (mut name, prefix) = (text(&block[NAME]), text(&block[PREFIX]));
    if !prefix.is_empty() {
        name = [&prefix[..], b"/", &name].concat();
    }
    let kind = match block[KIND] {
        b'0' | 0 => EntryKind::File,
        b'5' => EntryKind::Directory,
        other => EntryKind::Other(other),
    };
    let mode = number(&block[MODE])? & 0o7777;
    Some(Entry {
        name,
        kind,
        mode: u32::try_from(mode).ok()?,
        size: number(&block[SIZE])?,
    })
}

/// A number in octal digits, or, where it is too large for them, in bytes after one with the highest bit (`tar.c`,
/// `read_tar_number`).
fn number(field: &[u8]) -> Option<u64> {
    match field.split_first()? {
        (0x80, bytes) => {
            let bytes = bytes.split_at_checked(bytes.len().checked_sub(8)?)?.1;
            Some(u64::from_be_bytes(bytes.try_into().ok()?))
        }
        _ => {
            let text = std::str::from_utf8(field).ok()?;
            u64::from_str_radix(text.trim_matches([' ', '\0']), 8).ok()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An entry as PostgreSQL writes it.
    fn entry(name: &str, content: &[u8]) -> Vec<u8> {
        let mut block = vec![0; BLOCK];
        block[..name.len()].copy_from_slice(name.as_bytes());
        block[100..108].copy_from_slice(b"0000600\0");
        block[156] = b'0';
        block[124..136].copy_from_slice(format!("{:011o} ", content.len()).as_bytes());
        block[257..265].copy_from_slice(b"ustar\x0000");
        block[CHECKSUM].fill(b' ');
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..155].copy_from_slice(format!("{sum:06o} ").as_bytes());
        block.extend_from_slice(content);
        block.resize(block.len().next_multiple_of(BLOCK), 0);
        block
    }

    fn archive() -> Vec<u8> {
        let mut archive = entry("backup_label", b"START WAL LOCATION\n");
        archive.extend(entry("base", b""));
        archive.extend(entry("base/5/1259", &[7; 2 * BLOCK]));
        archive.extend(entry("global/pg_control", &[1; 700]));
        archive.extend([0; 2 * BLOCK]);
        archive
    }

    type Passed = (Vec<u8>, Vec<(String, u64)>, Vec<u8>);

    fn pass(bytes: &[u8], piece: usize) -> Result<Passed, Flaw> {
        let mut tar = Tar::new();
        let (mut all, mut names, mut contents) = (Vec::new(), Vec::new(), Vec::new());
        for piece in bytes.chunks(piece) {
            tar.feed(piece, &mut |at, event| {
                assert_eq!(at, all.len() as u64);
                match event {
                    Event::Header(block, entry) => {
                        assert_eq!((entry.kind, entry.mode), (EntryKind::File, 0o600));
                        names.push((String::from_utf8(entry.name).unwrap(), at));
                        all.extend_from_slice(block);
                    }
                    Event::Content(bytes) => {
                        contents.extend_from_slice(bytes);
                        all.extend_from_slice(bytes);
                    }
                    Event::Filler(bytes) => all.extend_from_slice(bytes),
                }
                Ok::<(), Flaw>(())
            })?;
        }
        all.extend_from_slice(tar.end()?);
        Ok((all, names, contents))
    }

    #[test]
    fn every_byte_passes_in_pieces_of_any_size() {
        let archive = archive();
        for piece in [1, 7, 511, 512, 513, 10_000] {
            let (all, names, contents) = pass(&archive, piece).unwrap();
            assert!(all == archive, "{piece}");
            let names: Vec<(&str, u64)> = names.iter().map(|(it, at)| (&**it, *at)).collect();
            let wanted = [
                ("backup_label", 0),
                ("base", 1024),
                ("base/5/1259", 1536),
                ("global/pg_control", 3072),
            ];
            assert_eq!(names, wanted);
            assert_eq!(contents.len(), 19 + 1024 + 700);
        }
    }

    #[test]
    fn a_cut_archive_is_known() {
        let archive = archive();
        for length in 0..archive.len() - BLOCK {
            assert_eq!(
                pass(&archive[..length], 512).unwrap_err(),
                Flaw::Cut,
                "{length}"
            );
        }
    }

    #[test]
    fn a_short_end_is_filled_up() {
        let archive = archive();
        for length in archive.len() - BLOCK..=archive.len() {
            let (all, ..) = pass(&archive[..length], 512).unwrap();
            assert!(all == archive, "{length}");
        }
    }

    #[test]
    fn what_is_no_archive_is_known() {
        let mut archive = archive();
        archive.extend([0; 10 * BLOCK]);
        assert!(pass(&archive, 100).is_ok());
        archive.push(1);
        let last = archive.len() as u64 - 1;
        for piece in [1, 100, 1 << 20] {
            assert_eq!(pass(&archive, piece).unwrap_err(), Flaw::AfterEnd(last));
        }
        archive[3] ^= 1;
        assert_eq!(pass(&archive, 100).unwrap_err(), Flaw::NoHeader(0));
        let sql = b"-- PostgreSQL database dump\n".repeat(100);
        assert_eq!(pass(&sql, 100).unwrap_err(), Flaw::NoHeader(0));
    }

    #[test]
    fn numbers() {
        assert_eq!(number(b"00000001750 "), Some(1000));
        assert_eq!(number(b"0000644\0"), Some(0o644));
        assert_eq!(number(b"\x80\0\0\0\0\0\0\x03\0\0\0\0"), Some(3 << 32));
        for wrong in [&b"0000000x750 "[..], b"            ", b"", b"\x80\0"] {
            assert_eq!(number(wrong), None);
        }
    }
}
