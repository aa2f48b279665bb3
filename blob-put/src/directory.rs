//! Into a directory: under a temporary name, visible at the end.

use std::io::Write;

use job::Error;
use sha2::{Digest, Sha256};
use store::FilePublication;

use crate::command::Put;
use crate::source::Intake;

const PIECE: usize = 1 << 20;

/// Copies all of it.
pub(crate) fn put(mut publication: FilePublication, mut intake: Intake) -> Result<Put, Error> {
    let mut buffer = vec![0; PIECE];
    let mut sha256 = Sha256::new();
    loop {
        let count = intake.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        let bytes = buffer.get(..count).unwrap_or_default();
        sha256.update(bytes);
        publication
            .write_all(bytes)
            .map_err(|error| Error::io("cannot write the backup", &error))?;
    }
    intake.check(&sha256.finalize().into())?;
    let published = publication.commit()?;
    Ok(Put {
        label: published.path.display().to_string(),
        size: published.size,
        sha256: published.sha256,
    })
}
