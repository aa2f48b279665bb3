//! An archived file compressed, as it is stored: BGZF with its marker, which any gunzip reads.

use std::fmt;
use std::io::{self, Read};

use backup_file::{DEFAULT_LEVEL, Ending, Options, ReadError, Reader, Sha256, Writer};
use sha2::{Digest, Sha256 as Hasher};

/// Room for the members' headers of a small file.
const SMALL: usize = 4 << 10;

/// PostgreSQL waits for a segment: while one thread decompresses, another one checks and writes.
const THREADS: usize = 2;

/// From this size on glibc gives a buffer's memory back when it is freed; a smaller one may stay in the heap of the
/// thread that made it (mallopt(3), `M_MMAP_THRESHOLD`, which adapts up to 32 MiB).
const GIVEN_BACK: usize = (32 << 20) + 1;

/// A file that is compressed and hashed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    /// The compressed bytes.
    pub bytes: Vec<u8>,
    /// Of the file itself: the same file does not always become the same compressed bytes.
    pub raw_sha256: Sha256,
    /// Bytes of the file itself.
    pub raw_size: u64,
}

/// Why an archived file was not unpacked.
#[derive(Debug)]
#[non_exhaustive]
pub enum UnpackError {
    /// Its bytes did not come. An [`azure_blob::Error`] may be inside.
    Read(io::Error),
    /// What came is damaged or cut, and how.
    Damaged(String),
    /// What it holds could not be written.
    Write(io::Error),
}

impl Packed {
    /// Reads a file of about `size` bytes to its end, compresses and hashes it.
    ///
    /// # Errors
    /// The input's.
    pub fn of(input: &mut dyn Read, size: u64) -> io::Result<Self> {
        // What is not written to takes no memory; a buffer that grows takes it twice while it is copied.
        let room = usize::try_from(size + size / 64).unwrap_or(0) + SMALL;
        let room = room.max(GIVEN_BACK);
        let options = Options {
            level: DEFAULT_LEVEL,
            threads: 1,
        };
        let mut writer = Writer::new(Vec::with_capacity(room), options);
        let mut hasher = Hasher::new();
        let raw_size = writer.copy_from(input, &mut |piece| hasher.update(piece))?;
        Ok(Self {
            bytes: writer.finish_without_index()?,
            raw_sha256: hasher.finalize().into(),
            raw_size,
        })
    }
}

/// Decompresses an archived file, checks every byte of it, and hands it to `write`. Only if this returns its size (in
/// bytes) was what was written whole: the file ended in its marker, and has the SHA-256 that was recorded.
///
/// # Errors
/// What is wrong with it, and what `write` returns.
pub fn unpack(
    input: Box<dyn Read + Send>,
    raw_sha256: Option<Sha256>,
    mut write: impl FnMut(&[u8]) -> io::Result<()>,
) -> Result<u64, UnpackError> {
    let Some(recorded) = raw_sha256 else {
        return unpack_unrecorded(input, write);
    };
    let mut hasher = Hasher::new();
    let size = unpack_unrecorded(input, |piece| {
        hasher.update(piece);
        write(piece)
    })?;
    match Sha256::from(hasher.finalize()) == recorded {
        true => Ok(size),
        false => Err(UnpackError::Damaged(
            "its SHA-256 is not the one that was recorded when it was archived".into(),
        )),
    }
}

/// The same, with the checksums that gzip has.
fn unpack_unrecorded(
    input: Box<dyn Read + Send>,
    mut write: impl FnMut(&[u8]) -> io::Result<()>,
) -> Result<u64, UnpackError> {
    let failed = |error| match error {
        ReadError::Io(error) => UnpackError::Read(error),
        ReadError::Damaged(what) => UnpackError::Damaged(what),
    };
    let mut reader = Reader::whole(input, THREADS);
    let mut size = 0;
    while let Some(piece) = reader.next().map_err(failed)? {
        size += piece.len() as u64;
        write(piece).map_err(UnpackError::Write)?;
    }
    let report = reader.finish().map_err(failed)?;
    // Another program's gzip file (pigz, when an archive was moved here) holds its checksum, and a segment its size.
    match report.ending {
        Ending::NoMarker => Err(UnpackError::Damaged("its end is missing".into())),
        _ => Ok(size),
    }
}

impl fmt::Display for UnpackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(error) | Self::Write(error) => f.write_str(&job::text::reason(error)),
            Self::Damaged(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for UnpackError {}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn unpacked(bytes: Vec<u8>, recorded: Option<Sha256>) -> Result<Vec<u8>, UnpackError> {
        let mut out = Vec::new();
        let size = unpack(Box::new(Cursor::new(bytes)), recorded, |piece| {
            out.extend_from_slice(piece);
            Ok(())
        })?;
        assert_eq!(size, out.len() as u64);
        Ok(out)
    }

    #[test]
    fn a_file_of_any_size_comes_back() {
        for size in [0, 1, 65_279, 65_280, 65_281, 1 << 20] {
            let raw: Vec<u8> = (0..size).map(|at: u32| (at / 7).to_le_bytes()[0]).collect();
            let packed = Packed::of(&mut raw.as_slice(), raw.len() as u64).unwrap();
            assert_eq!(packed.raw_size, raw.len() as u64);
            let back = unpacked(packed.bytes, Some(packed.raw_sha256)).unwrap();
            assert!(back == raw, "{size}");
        }
    }

    #[test]
    fn a_cut_or_changed_file_is_never_whole() {
        let raw: Vec<u8> = (0..200_000_u32)
            .map(|at| (at.wrapping_mul(at) / 11).to_le_bytes()[1])
            .collect();
        let packed = Packed::of(&mut raw.as_slice(), raw.len() as u64).unwrap();
        let length = packed.bytes.len();
        for cut in [0, 1, 100, length / 2, length - 29, length - 28, length - 1] {
            let cut_off = packed.bytes[..cut].to_vec();
            assert!(unpacked(cut_off, None).is_err(), "{cut}");
        }
        for at in (0..length).step_by(length / 50) {
            let mut changed = packed.bytes.clone();
            changed[at] ^= 4;
            assert!(unpacked(changed, Some(packed.raw_sha256)).is_err(), "{at}");
        }
        let other = [7; 32];
        assert!(unpacked(packed.bytes, Some(other)).is_err());
    }
}
