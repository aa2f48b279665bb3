//! A dead-man's switch as healthchecks.io has it: <https://healthchecks.io/docs/http_api/>. It raises the alarm when it
//! hears nothing for too long, so that one also learns of a job that never ran.

use job::say;

use super::endpoint::{Endpoint, RetryPolicy};

/// The variable with the URL, where no option gives it.
pub(crate) const VARIABLE: &str = "BACKUP_VERIFY_PING_URL";

/// Tells the switch that the run begins. A ping that does not arrive is only a warning, as at the end.
pub(crate) fn ping_start(endpoint: &Endpoint) {
    post(endpoint, &endpoint.under("start"), "");
}

/// Tells the switch how the run went, with the lines of the checks. A ping that does not arrive is only a warning: the
/// switch raises the alarm by itself then, and the backup is as good as before.
pub(crate) fn ping(endpoint: &Endpoint, good: bool, lines: &str) {
    let target = match good {
        true => endpoint.clone(),
        false => endpoint.under("fail"),
    };
    post(endpoint, &target, &job::shown(lines));
}

fn post(endpoint: &Endpoint, target: &Endpoint, text: &str) {
    if let Err(why) = target.post("text/plain; charset=utf-8", text, RetryPolicy::default()) {
        say!("warning: cannot ping {endpoint}: {why}");
    }
}
