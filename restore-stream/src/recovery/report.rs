//! What a recovery has restored, for a script (`--json`).

use job::Error;
use serde_json::{Value, json};

use super::choice::Candidate;
use super::fill::Filled;

/// The document of one that was done.
pub(super) fn restored(candidate: &Candidate, filled: &Filled) -> Value {
    json!({
        "ok": true,
        "base": candidate.base.name.to_string(),
        "system": candidate.base.system.to_string(),
        "timeline": candidate.timeline,
        "files": filled.files,
        "bytes": filled.bytes,
    })
}

/// The document of one that failed.
pub(crate) fn failed(error: &Error) -> Value {
    json!({ "ok": false, "error": error.to_string(), "exit": error.exit().code() })
}
