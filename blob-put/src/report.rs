//! What is reported of an upload: a sentence for a person, a line or a JSON document for a script.

use std::time::Duration;

use job::{Error, say, text};
use serde::Serialize;

use crate::destination::Destination;

/// A backup that is published now.
pub(crate) struct Uploaded {
    /// The URL without the token, or the path.
    pub(crate) location: String,
    /// Bytes as they are stored.
    pub(crate) size: u64,
    /// Bytes uncompressed; not known with `--raw`.
    pub(crate) sql_size: Option<u64>,
    pub(crate) sha256: [u8; 32],
}

/// The result of the program; the fields are those of `--json` (docs/stores.md).
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    store: String,
    name: String,
    location: String,
    size: u64,
    sql_size: Option<u64>,
    sha256: String,
    overwrite: bool,
    seconds: f64,
    #[serde(skip)]
    elapsed: Duration,
}

impl Report {
    pub(crate) fn new(
        destination: &Destination,
        uploaded: &Uploaded,
        overwrite: bool,
        elapsed: Duration,
    ) -> Self {
        Self {
            store: destination.location.label(),
            name: destination.name.clone(),
            location: uploaded.location.clone(),
            size: uploaded.size,
            sql_size: uploaded.sql_size,
            sha256: hex::encode(uploaded.sha256),
            overwrite,
            seconds: elapsed.as_secs_f64(),
            elapsed,
        }
    }

    /// Tells a person, on standard error.
    pub(crate) fn say(&self) {
        say!(
            "{}: {} in {} ({})",
            self.location,
            text::bytes(self.size),
            text::duration(self.elapsed),
            text::rate(self.size, self.elapsed)
        );
    }

    /// Prints the result on standard output.
    pub(crate) fn print(&self, json: bool) -> Result<(), Error> {
        match json {
            true => job::print_json_pretty(self),
            false => job::print(&format!(
                "{}\t{}\t{}\n",
                self.location, self.size, self.sha256
            )),
        }
    }
}
