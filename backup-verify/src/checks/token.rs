//! Whether the SAS token is good for long enough.

use azure_blob::Client;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use job::text::age;

use crate::figures::Figures;
use crate::finding::Finding;

/// Warns if the token expires within `warning`, by this machine's clock. An identity has no token that somebody must
/// make anew: there is nothing to find then.
pub(crate) fn check(client: &Client, now: DateTime<Utc>, warning: TimeDelta) -> Option<Finding> {
    let token = client.sas()?;
    let Some(expires) = token.expires() else {
        let words = "does not say itself when it expires: its stored access policy does";
        return Some(Finding::ok("token", words));
    };
    let left = expires - now;
    let until = expires.to_rfc3339_opts(SecondsFormat::Secs, true);
    let days = left.num_days();
    let finding = if left <= TimeDelta::zero() {
        let words = format!("by this machine's clock the SAS token expired {until}");
        Finding::warning("token", words)
    } else if left <= warning {
        let left = age(left);
        let words = format!("the SAS token expires in {left}, {until}: make a new one");
        Finding::warning("token", words)
    } else {
        Finding::ok("token", format!("{days} days left, until {until}"))
    };
    let figures = Figures::Token {
        expires: until,
        days_left: days,
    };
    Some(finding.figures(figures))
}
