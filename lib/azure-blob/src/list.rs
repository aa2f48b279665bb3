use crate::Properties;

/// A blob in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Its name, the container URL's prefix taken off.
    pub name: String,
    /// What the listing says of it.
    pub properties: Properties,
}
