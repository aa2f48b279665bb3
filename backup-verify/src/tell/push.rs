//! Metrics for a Pushgateway: <https://github.com/prometheus/pushgateway#api>. Prometheus scrapes it, as it cannot scrape
//! a job that has ended.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE;
use job::say;

use super::endpoint::{Endpoint, RetryPolicy};
use crate::show::metrics::Metrics;

/// The variable with the URL, where no option gives it.
pub(crate) const VARIABLE: &str = "BACKUP_VERIFY_PUSH_URL";

/// Which runs a group of metrics is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Runs {
    /// Those that look at the backups too, of a night.
    Whole,
    /// Those of `--wal-only`, every few minutes. In one group they would answer for the others: that the store was
    /// verified, and is good.
    WalOnly,
}

impl Runs {
    /// The group's label `job`.
    fn job(self) -> &'static str {
        match self {
            Self::Whole => "backup-verify",
            Self::WalOnly => "backup-verify-wal",
        }
    }
}

/// Gives the metrics to a Pushgateway, one group for each store and kind of runs. If that fails, it is only a warning: an alert on
/// [`Family::VerifyTimestamp`](crate::show::metrics::Family) tells of it.
///
/// POST replaces only the families that are sent: what was not measured stays, as in a file.
pub(crate) fn push(endpoint: &Endpoint, metrics: &Metrics, runs: Runs) {
    // A label's value with a slash in it can only be sent in base64.
    let store = URL_SAFE.encode(metrics.store());
    let group = endpoint.under(&format!("metrics/job/{}/store@base64/{store}", runs.job()));
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    if let Err(why) = group.post(kind, &metrics.text(), RetryPolicy::default()) {
        say!("warning: cannot push the metrics to {endpoint}: {why}");
    }
}
