//! Where a container or a blob is, without the token.

use std::fmt;

use crate::Error;

/// A container and perhaps a prefix of the names in it. Displayed without the token.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ContainerUrl {
    container: String,
    prefix: String,
}

/// A blob. Displayed without the token.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BlobUrl {
    container: ContainerUrl,
    name: String,
}

impl ContainerUrl {
    /// Reads a container's URL; what follows the container in its path is the prefix (a `/` is added at its
    /// end if it has none), and its query, the token, is handed out apart.
    ///
    /// # Errors
    /// What is no such URL; plain http to another host, unless `AZURE_STORAGE_ALLOW_HTTP=1` allows it.
    pub fn parse(text: &str) -> Result<(Self, Option<String>), Error> {
        let _ = text;
        todo!()
    }

    /// The container's name.
    pub fn container(&self) -> &str {
        &self.container
    }

    /// What the names begin with: nothing, or something that ends in `/`.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The blob of that name under the prefix.
    pub fn blob(&self, name: &str) -> BlobUrl {
        let _ = name;
        todo!()
    }
}

impl BlobUrl {
    /// Reads a blob's URL: what follows the container in its path is the blob's name, its last part under
    /// the prefix of the others. The query, the token, is handed out apart.
    ///
    /// # Errors
    /// As [`ContainerUrl::parse`], and a URL that ends at the container or in `/`.
    pub fn parse(text: &str) -> Result<(Self, Option<String>), Error> {
        let _ = text;
        todo!()
    }

    /// The container, with the prefix.
    pub fn container(&self) -> &ContainerUrl {
        &self.container
    }

    /// The blob's name, the prefix taken off.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for ContainerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let _ = f;
        todo!()
    }
}

impl fmt::Display for BlobUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let _ = f;
        todo!()
    }
}
