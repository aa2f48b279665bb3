use std::fmt;
use std::path::PathBuf;

use chrono::{DateTime, Utc};

use crate::{ContainerUrl, Error};

/// What is going to be done, so that the token can be asked whether it allows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Need {
    /// Read blobs and their properties: `r`.
    Read,
    /// List the container: `l`.
    List,
    /// Write a blob that is not there yet: `c` or `w`.
    Create,
    /// Write over a blob: `w`.
    Overwrite,
    /// Delete blobs: `d`.
    Delete,
    /// Set tags: `t`.
    Tag,
    /// Set an immutability policy: `i`.
    Immutability,
}

/// A SAS token. Neither `Debug` nor any error shows its signature.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    query: String,
}

impl Token {
    /// Reads a token: the query of a URL, with or without its `?`, white space around it ignored.
    ///
    /// # Errors
    /// What is missing; never the token itself.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let _ = text;
        todo!()
    }

    /// When it expires; none if it does not say itself (a stored access policy does).
    pub fn expires(&self) -> Option<DateTime<Utc>> {
        todo!()
    }

    /// Whether it allows all `needs` in `container`, at `now`, as far as it says itself.
    ///
    /// # Errors
    /// What it lacks, or since when it has expired.
    pub fn check(
        &self,
        needs: &[Need],
        container: &ContainerUrl,
        now: DateTime<Utc>,
    ) -> Result<(), Error> {
        let _ = (needs, container, now);
        todo!()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").finish_non_exhaustive()
    }
}

/// Where the token comes from.
#[derive(Debug, Clone)]
pub enum TokenSource {
    /// A file, read again when a request is refused and the file has changed.
    File(PathBuf),
    /// The token itself.
    Given(Token),
}

impl TokenSource {
    /// `AZURE_STORAGE_SAS_TOKEN_FILE`, else `AZURE_STORAGE_SAS_TOKEN`, else the URL's own query.
    ///
    /// # Errors
    /// None of them is there, or it cannot be understood.
    pub fn find(query: Option<&str>) -> Result<Self, Error> {
        let _ = query;
        todo!()
    }
}
