//! What a recovery has done, for a person and for a script.

use std::path::Path;
use std::time::Instant;

use job::{Error, say, text};
use serde::Serialize;

use super::choice::Candidate;
use super::fill::{Filled, Filling};
use super::restore_command;
use super::server::{self, Server};
use crate::cli::Args;

/// What came of it: a data directory.
#[derive(Debug, Serialize)]
pub(super) struct Recovered {
    data_dir: String,
    base_backup: String,
    timeline: u32,
    files: usize,
    bytes: u64,
    /// The command that starts the server.
    start: String,
    #[serde(flatten)]
    about: server::About,
}

/// The report for a script (`--json`).
#[derive(Serialize)]
pub(super) struct Document<'a> {
    ok: bool,
    target: String,
    #[serde(flatten)]
    recovered: Option<&'a Recovered>,
    seconds: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exit: Option<u8>,
}

impl Recovered {
    /// Says what was restored, and how the server is started.
    pub(super) fn new(
        candidate: &Candidate,
        server: &Server,
        filled: &Filled,
        filling: &Filling<'_>,
        args: &Args,
    ) -> Self {
        let about = server::About {
            owner: filled.owner,
            has_settings: filled.has_settings,
            token: restore_command::token(&args.backup),
            with_wal: filling.with_wal,
            archives: filling.archives,
        };
        Self {
            data_dir: filling.path.display().to_string(),
            base_backup: candidate.base.name.to_string(),
            timeline: candidate.timeline,
            files: filled.files,
            bytes: filled.bytes,
            start: server.command(filling.path, about.owner),
            about,
        }
    }

    /// Tells a person.
    pub(super) fn say(&self, server: &Server, path: &Path, began: Instant) {
        say!(
            "restored {} in {} into '{}' in {}",
            text::bytes(self.bytes),
            text::count(self.files, "file"),
            path.display(),
            text::duration(began.elapsed())
        );
        server.say_how_it_starts(path, &self.about);
    }
}

/// The report, of a failure too.
pub(super) fn document<'a>(
    target: &impl ToString,
    done: Result<&'a Recovered, &Error>,
    began: Instant,
) -> Document<'a> {
    Document {
        ok: done.is_ok(),
        target: target.to_string(),
        recovered: done.ok(),
        seconds: began.elapsed().as_secs_f64(),
        error: done.err().map(ToString::to_string),
        exit: done.err().map(|error| error.exit().code()),
    }
}
