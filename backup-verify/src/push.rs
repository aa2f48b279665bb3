//! Metrics for a Pushgateway: <https://github.com/prometheus/pushgateway#api>. What a job that ends can
//! do for a Prometheus that scrapes.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE;
use job::say;

use crate::endpoint::{Endpoint, Patience};
use crate::metrics::Metrics;

/// Where the URL is, if no option gives it.
pub(crate) const VARIABLE: &str = "BACKUP_VERIFY_PUSH_URL";

/// Gives the metrics to a Pushgateway, one group for each store. If that fails, it is said, and no
/// more: an alert on [`Family::VerifyTimestamp`](crate::metrics::Family) tells of it.
///
/// By POST, which replaces only the families that are sent: what was not measured stays, as in a file.
pub(crate) fn push(endpoint: &Endpoint, metrics: &Metrics) {
    // A label's value with a slash in it can only be sent so.
    let store = URL_SAFE.encode(metrics.store());
    let group = endpoint.under(&format!("metrics/job/backup-verify/store@base64/{store}"));
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    if let Err(why) = group.post(kind, &metrics.text(), Patience::default()) {
        say!("warning: cannot push the metrics to {endpoint}: {why}");
    }
}
