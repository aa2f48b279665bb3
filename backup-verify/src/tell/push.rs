//! Metrics for a Pushgateway: <https://github.com/prometheus/pushgateway#api>. Prometheus scrapes it, as it cannot scrape
//! a job that has ended.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE;
use job::say;

use super::endpoint::{Endpoint, RetryPolicy};
use crate::show::metrics::Metrics;

/// The variable with the URL, where no option gives it.
pub(crate) const VARIABLE: &str = "BACKUP_VERIFY_PUSH_URL";

/// Gives the metrics to a Pushgateway, one group for each store. If that fails, it is only a warning: an alert on
/// [`Family::VerifyTimestamp`](crate::show::metrics::Family) tells of it.
///
/// POST replaces only the families that are sent: what was not measured stays, as in a file.
pub(crate) fn push(endpoint: &Endpoint, metrics: &Metrics) {
    // A label's value with a slash in it can only be sent in base64.
    let store = URL_SAFE.encode(metrics.store());
    let group = endpoint.under(&format!("metrics/job/backup-verify/store@base64/{store}"));
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    if let Err(why) = group.post(kind, &metrics.text(), RetryPolicy::default()) {
        say!("warning: cannot push the metrics to {endpoint}: {why}");
    }
}
