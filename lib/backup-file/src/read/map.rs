//! Reads a database's map.

use super::tail::{ReadAt, fetch};
use crate::format::error::{ReadError, damaged};
use crate::format::index::{Section, SectionKind};
use crate::format::map::{MOST_MAP, Map};
use crate::format::map_members;
use crate::format::member::as_u64;

/// Reads the map of a database, in one read. None if it has none. It takes up to 16 MiB, and several times that while it
/// is read.
///
/// # Errors
/// [`ReadError::Damaged`] if it is not what was written, or cannot be true of a section of this length.
/// [`ReadError::Io`] if the file cannot be read.
pub fn read_map(file: &dyn ReadAt, section: &Section) -> Result<Option<Map>, ReadError> {
    let (SectionKind::Database(name), Some(place)) = (&section.kind, &section.map) else {
        return Ok(None);
    };
    let end = place.offset.checked_add(place.length);
    if place.length > as_u64(MOST_MAP) || end.is_none_or(|end| end > file.size()) {
        return Err(damaged(format!(
            "the index is not true: the map of {} is larger than 16 MiB, or after the file's end",
            section.kind
        )));
    }
    let members = fetch(file, place.offset, place.length)?;
    map_members::parse(&members, place, section, name).map(Some)
}
