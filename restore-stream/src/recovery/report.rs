//! What a recovery has restored, for a script (`--json`).

use job::Error;
use serde_json::{Value, json};

use super::Done;
use super::choice::Candidate;

/// The document of one that was done.
pub(super) fn restored(candidate: &Candidate, done: &Done) -> Value {
    json!({
        "ok": true,
        "base": candidate.base.name.to_string(),
        "system": candidate.base.system.to_string(),
        "timeline": candidate.timeline,
        "files": done.files,
        "bytes": done.bytes,
    })
}

/// The document of one that failed.
pub(crate) fn failed(error: &Error) -> Value {
    json!({ "ok": false, "error": error.to_string(), "exit": error.exit().code() })
}
