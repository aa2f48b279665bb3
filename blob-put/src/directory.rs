//! Uploads into a directory: under a temporary name, visible at the end.

use std::io::Write;

use job::Error;
use rate_limit::RateLimit;
use store::FilePublication;

use crate::report::Uploaded;
use crate::source::CheckedInput;

const PIECE: usize = 1 << 20;

/// Copies all of it, no faster than the limit allows.
pub(crate) fn put(
    mut publication: FilePublication,
    mut input: CheckedInput,
    limit: Option<&RateLimit>,
) -> Result<Uploaded, Error> {
    let mut buffer = vec![0; limit.map_or(PIECE, RateLimit::piece)];
    loop {
        let count = input.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        if let Some(limit) = limit {
            limit.wait(count);
        }
        publication
            .write_all(buffer.get(..count).unwrap_or_default())
            .map_err(|error| Error::io("cannot write the backup", &error))?;
    }
    input.check(&publication.sha256())?;
    let published = publication.commit()?;
    Ok(Uploaded {
        location: published.path.display().to_string(),
        size: published.size,
        sql_size: input.sql_size(),
        sha256: published.sha256,
    })
}
