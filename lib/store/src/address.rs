use std::path::Path;

use crate::{Error, ErrorKind};

/// The path that is meant by what is not a URL. A mistyped URL is refused, as the token in it would be shown in
/// messages.
pub(crate) fn local_path(text: &str) -> Result<&Path, Error> {
    match text.split_once("://") {
        Some((scheme, _)) if !scheme.contains('/') => Err(Error::new(
            ErrorKind::Usage,
            format!("'{scheme}://' is not understood: a URL begins with https://"),
        )),
        _ if job::secret::holds_signature(text) => Err(Error::new(
            ErrorKind::Usage,
            "what holds a SAS token must be a URL that begins with https://",
        )),
        _ => Ok(Path::new(text)),
    }
}
