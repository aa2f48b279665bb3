//! The SHA-256 that was recorded of a backup when it was made, and that of the bytes that are read.

use std::io::{self, Read};
use std::sync::{Arc, OnceLock};

use backup_file::Sha256;
use job::Error;
use sha2::Digest;

/// What was recorded of a backup, and what its bytes gave when they were read ([`crate::Source::checked_reader`]).
#[derive(Debug)]
pub struct Recorded {
    label: String,
    sha256: Sha256,
    read: Arc<OnceLock<Sha256>>,
}

impl Recorded {
    /// Hashes what is read of `input`.
    pub(crate) fn new(
        label: String,
        sha256: Sha256,
        input: Box<dyn Read + Send>,
    ) -> (Self, Box<dyn Read + Send>) {
        let read = Arc::new(OnceLock::new());
        let hashed = Hashed {
            input,
            hasher: sha2::Sha256::new(),
            digest: Arc::clone(&read),
        };
        let recorded = Self {
            label,
            sha256,
            read,
        };
        (recorded, Box::new(hashed))
    }

    /// Whether the bytes, read to their end, are those that were recorded; their SHA-256.
    ///
    /// # Errors
    /// They are others (exit code 3), or were not read to their end.
    pub fn check(&self) -> Result<Sha256, Error> {
        let label = &self.label;
        match self.read.get() {
            Some(read) if *read == self.sha256 => Ok(*read),
            Some(read) => Err(Error::not_good(format!(
                "'{label}' is not the one that was made: its SHA-256 is {}, recorded was {}",
                hex(read),
                hex(&self.sha256)
            ))),
            None => Err(Error::failed(format!("'{label}' was not read to its end"))),
        }
    }
}

/// A digest as people and `sha256sum` write it: 64 hexadecimal digits.
pub fn hex(digest: &Sha256) -> String {
    hex::encode(digest)
}

/// Hashes what is read; at its end the digest is there.
struct Hashed {
    input: Box<dyn Read + Send>,
    hasher: sha2::Sha256,
    digest: Arc<OnceLock<Sha256>>,
}

impl Read for Hashed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        if count == 0 && !buffer.is_empty() {
            let digest = std::mem::take(&mut self.hasher).finalize();
            // At the end for the second time: the first is right.
            let _ = self.digest.set(digest.into());
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn recorded(sha256: Sha256) -> (Recorded, Box<dyn Read + Send>) {
        Recorded::new("x".into(), sha256, Box::new(Cursor::new(b"dump".to_vec())))
    }

    #[test]
    fn what_was_recorded_is_compared_with_what_was_read() {
        let right: Sha256 = sha2::Sha256::digest(b"dump").into();
        let (witness, mut input) = recorded(right);
        assert!(witness.check().is_err(), "nothing was read yet");
        assert_eq!(input.read(&mut [0; 9]).unwrap(), 4);
        assert!(witness.check().is_err(), "its end was not seen");
        for _ in 0..2 {
            assert_eq!(input.read(&mut [0; 9]).unwrap(), 0);
            assert_eq!(witness.check().unwrap(), right);
        }

        let (witness, mut input) = recorded([0xab; 32]);
        io::copy(&mut input, &mut io::sink()).unwrap();
        let error = witness.check().unwrap_err().to_string();
        assert!(error.contains(&hex(&right)), "{error}");
        assert!(error.contains(&"ab".repeat(32)), "{error}");
    }
}
