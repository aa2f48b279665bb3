//! A dead-man's switch as healthchecks.io has it: <https://healthchecks.io/docs/http_api/>. Who hears
//! nothing for too long raises the alarm, so one also learns of a job that never ran.

use job::say;

use crate::endpoint::{Endpoint, Patience};

/// Where the URL is, if no option gives it.
pub(crate) const VARIABLE: &str = "BACKUP_VERIFY_PING_URL";

/// Tells the switch how it went, with the lines of the checks. If nobody hears it, that is said, and
/// no more: the switch raises the alarm by itself then, and the backup is as good as before.
pub(crate) fn ping(endpoint: &Endpoint, good: bool, lines: &str) {
    let target = match good {
        true => endpoint.clone(),
        false => endpoint.under("fail"),
    };
    let lines = job::shown(lines);
    if let Err(why) = target.post("text/plain; charset=utf-8", &lines, Patience::default()) {
        say!("warning: cannot ping {endpoint}: {why}");
    }
}
