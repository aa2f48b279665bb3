use std::time::Duration;

use rate_limit::RateLimit;

/// The slowest link that requests are given time for, in bytes a second: 1 Mbit/s.
const SLOWEST_LINK: u64 = 128 << 10;

/// How patient a client is, and how many requests it makes at once.
#[derive(Debug, Clone)]
pub struct Options {
    /// How long one request is retried before it is given up. Every success, and every part of a download
    /// that arrives, starts this time again.
    pub deadline: Duration,
    /// How long a host that has never answered is retried: a wrong name or a closed network is reported soon.
    pub first_contact: Duration,
    /// Time to connect, TLS included.
    pub connect_timeout: Duration,
    /// How long a socket may stand still, either way.
    pub stall_timeout: Duration,
    /// How long one request may take as a whole. Each 128 KiB of its body, and of the bodies sent at the same
    /// time, adds a second.
    pub request_timeout: Duration,
    /// The pause before the first retry; it doubles each time, up to `max_pause`.
    pub first_pause: Duration,
    /// The longest such pause.
    pub max_pause: Duration,
    /// Requests at once for one blob; at least 1.
    pub concurrency: usize,
    /// What the bodies of all requests together send at most; none is as fast as the link is.
    pub max_rate: Option<RateLimit>,
    /// Whether a second connection is made beside the first one, for a request that comes a moment later and should not
    /// wait for its own. Never through a proxy.
    pub spare_connection: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(15 * 60),
            first_contact: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(10),
            stall_timeout: Duration::from_secs(60),
            request_timeout: Duration::from_secs(2 * 60),
            first_pause: Duration::from_millis(500),
            max_pause: Duration::from_secs(30),
            concurrency: 10,
            max_rate: None,
            spare_connection: false,
        }
    }
}

impl Options {
    /// With this deadline, if there is one (`--deadline`). It holds for a host that has never answered too, and limits
    /// each attempt, so that a connection that stands still does not outlive it.
    #[must_use]
    pub fn within(self, deadline: impl Into<Option<Duration>>) -> Self {
        let Some(deadline) = deadline.into() else {
            return self;
        };
        let most = deadline.max(Duration::from_secs(1));
        Self {
            deadline,
            first_contact: deadline,
            connect_timeout: self.connect_timeout.min(most),
            stall_timeout: self.stall_timeout.min(most),
            request_timeout: self.request_timeout.min(most),
            ..self
        }
    }

    /// How long a request may take whose bodies have `bytes` bytes together, if all the requests that are
    /// made at once share the slowest link, or a limit that is lower.
    pub(crate) fn request_time(&self, bytes: u64) -> Duration {
        let at_once = bytes.saturating_mul(self.concurrency as u64);
        let limit = self.max_rate.as_ref();
        let limit = limit.map_or(SLOWEST_LINK, |limit| limit.rate().bytes_a_second());
        self.request_timeout
            .saturating_add(Duration::from_secs(at_once / limit.min(SLOWEST_LINK)))
    }
}

#[cfg(test)]
mod tests {
    use rate_limit::Rate;

    use super::*;

    #[test]
    fn a_slow_link_is_waited_for() {
        let options = Options::default();
        assert_eq!(options.request_time(0), options.request_timeout);
        // Ten blocks of 4 MiB share 1 Mbit/s: each needs 320 s.
        let block = options.request_time(4 << 20) - options.request_timeout;
        assert_eq!(block, Duration::from_secs(320));
        assert!(options.request_time(u64::MAX) > block);
    }

    #[test]
    fn a_limit_below_the_slowest_link_is_waited_for_too() {
        let limited = |rate| Options {
            max_rate: Some(RateLimit::new(Rate::of(rate))),
            ..Options::default()
        };
        let slow = limited(SLOWEST_LINK / 2).request_time(4 << 20);
        assert_eq!(
            slow - Options::default().request_timeout,
            Duration::from_secs(640)
        );
        let fast = limited(SLOWEST_LINK * 2).request_time(4 << 20);
        assert_eq!(fast, Options::default().request_time(4 << 20));
    }

    #[test]
    fn a_deadline_is_for_each_attempt_too() {
        let options = Options::default().within(Duration::from_secs(5));
        assert_eq!(options.stall_timeout, Duration::from_secs(5));
        assert_eq!(options.request_timeout, Duration::from_secs(5));
        let patient = Options::default().within(Duration::from_secs(36_000));
        assert_eq!(patient.stall_timeout, Options::default().stall_timeout);
    }
}
