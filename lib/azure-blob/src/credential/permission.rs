/// What a request needs of the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Permission {
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

impl Permission {
    /// The letters of `sp` of which any one is enough, and how a message names them.
    pub(super) fn letters(self) -> (&'static str, &'static str) {
        match self {
            Self::Read => ("r", "'r'"),
            Self::List => ("l", "'l'"),
            Self::Create => ("cw", "'c' or 'w'"),
            Self::Overwrite => ("w", "'w'"),
            Self::Delete => ("d", "'d'"),
            Self::Tag => ("t", "'t'"),
            Self::Immutability => ("i", "'i'"),
        }
    }
}
