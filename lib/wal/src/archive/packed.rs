//! An archived file compressed, as it is stored: BGZF with its marker, which any gunzip reads.

use std::fmt;
use std::io::{self, Read};
use std::sync::mpsc;
use std::thread;

use backup_file::{DEFAULT_LEVEL, Ending, Options, ReadError, Reader, Sha256, Writer};
use sha2::{Digest, Sha256 as Hasher};

/// Room for the members' headers of a small file.
const SMALL: usize = 4 << 10;

/// PostgreSQL waits for a segment: while one thread decompresses, another one checks and writes.
const THREADS: usize = 2;

/// How many pieces of a file wait to be hashed at most.
const PIECES: usize = 2;

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
        let mut hasher = Hasher::new();
        let (bytes, raw_size) = compress(input, size, &mut |piece| hasher.update(piece))?;
        Ok(Self {
            bytes,
            raw_sha256: hasher.finalize().into(),
            raw_size,
        })
    }

    /// The same sooner, for a copy more: another thread hashes.
    ///
    /// # Errors
    /// As [`of`](Self::of).
    pub fn soon(input: &mut dyn Read, size: u64) -> io::Result<Self> {
        let (pieces, to_hash) = mpsc::sync_channel::<Vec<u8>>(PIECES);
        thread::scope(|scope| {
            let hash = thread::Builder::new().name("sha256".into());
            let Ok(hash) = hash.spawn_scoped(scope, move || {
                let mut hasher = Hasher::new();
                to_hash.iter().for_each(|piece| hasher.update(piece));
                hasher.finalize().into()
            }) else {
                return Self::of(input, size);
            };
            let compressed = compress(input, size, &mut |piece| {
                // The thread takes them to the end; had it panicked, the join says so.
                let _ = pieces.send(piece.to_vec());
            });
            drop(pieces);
            let hashed = hash.join();
            let (bytes, raw_size) = compressed?;
            Ok(Self {
                bytes,
                raw_sha256: hashed.map_err(|_| io::Error::other("it was not hashed"))?,
                raw_size,
            })
        })
    }
}

/// Compresses a file of about `size` bytes. Returns the compressed bytes, and how many it had.
fn compress(
    input: &mut dyn Read,
    size: u64,
    watch: &mut dyn FnMut(&[u8]),
) -> io::Result<(Vec<u8>, u64)> {
    // What is not written to takes no memory; a buffer that grows takes it twice while it is copied.
    let room = usize::try_from(size + size / 64).unwrap_or(0) + SMALL;
    let room = room.max(GIVEN_BACK);
    let options = Options {
        level: DEFAULT_LEVEL,
        threads: 1,
    };
    let mut writer = Writer::new(Vec::with_capacity(room), options);
    let raw_size = writer.copy_from(input, watch)?;
    Ok((writer.finish_without_index()?, raw_size))
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
        for size in [0, 1, 65_279, 65_280, 65_281, 3 << 20] {
            let raw: Vec<u8> = (0..size).map(|at: u32| (at / 7).to_le_bytes()[0]).collect();
            let packed = Packed::of(&mut raw.as_slice(), raw.len() as u64).unwrap();
            let soon = Packed::soon(&mut raw.as_slice(), raw.len() as u64).unwrap();
            assert_eq!(packed.raw_size, raw.len() as u64);
            assert_eq!(packed.raw_sha256, Sha256::from(Hasher::digest(&raw)));
            assert_eq!(soon.raw_sha256, packed.raw_sha256, "{size}");
            assert!(unpacked(soon.bytes, None).unwrap() == raw, "{size}");
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
