//! Whether dumps that did not end have left files behind.

use job::text::bytes;
use job::{Error, say};
use store::Directory;

use crate::finding::Finding;

/// Warns of each file that is left of a dump that was killed; one that is being written is only mentioned.
///
/// # Errors
/// The directory cannot be read.
pub(crate) fn check(directory: &Directory) -> Result<Vec<Finding>, Error> {
    let mut findings = Vec::new();
    for file in directory.unfinished()? {
        let (name, size) = (file.name, bytes(file.size));
        if file.alive {
            say!("'{name}' is being written at this moment ({size})");
        } else {
            findings.push(Finding::warning(
                "left",
                format!("'{name}' ({size}) is left of a dump that was killed; the next pgdump-gz removes it"),
            ));
        }
    }
    Ok(findings)
}
