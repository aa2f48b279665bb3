//! Which faults are worth another attempt, and when: decided here and nowhere else.

use std::time::Duration;

use super::fault::Fault;
use crate::Options;

impl Fault {
    /// How many attempts it may end before it is final.
    fn most_attempts(&self) -> u32 {
        match self {
            // The Instance Metadata Service is gone for 70 s at most while it is updated; so many pauses are longer.
            Self::Refused(refusal) if refusal.not_ready => 10,
            Self::Refused(refusal) => match (refusal.status, refusal.code.as_str()) {
                (408 | 429, _) => u32::MAX,
                // The bytes were changed on their way, and may arrive unchanged the next time. Bad memory
                // here would change them every time.
                (400, "Crc64Mismatch") => 3,
                // A proxy that does not know `Expect`: the next attempt goes without it.
                (417, _) => 3,
                (501 | 505, _) => 1,
                (500.., _) => u32::MAX,
                // 400, 401, 403, 404, 409, 412, 416: the answer would be the same.
                _ => 1,
            },
            Self::Unreachable(_) | Self::Broken(_) => u32::MAX,
            // Perhaps a proxy's error page, which may pass.
            Self::Malformed(_) => 3,
            Self::Final(_) => 1,
        }
    }

    fn retry_after(&self) -> Duration {
        match self {
            Self::Refused(refusal) => refusal.retry_after.unwrap_or_default(),
            _ => Duration::ZERO,
        }
    }
}

/// The attempts at one request so far.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attempts {
    /// How many, this one included.
    pub(crate) count: u32,
    /// Since the first one began.
    pub(crate) elapsed: Duration,
    /// Whether the host has ever answered anything.
    pub(crate) reached: bool,
}

/// What is to be done after a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Try again after this pause.
    Again(Duration),
    /// Give up: another attempt would end the same way.
    Final,
    /// Give up: it may pass, but not before the deadline.
    TooLate,
}

/// Decides. `chance` (0 to 1) spreads the pauses, so that clients which met the same fault at the same moment do
/// not come back at the same moment.
pub(crate) fn judge(fault: &Fault, attempts: Attempts, options: &Options, chance: f64) -> Verdict {
    if attempts.count >= fault.most_attempts() {
        return Verdict::Final;
    }
    // A host that has never answered is probably the wrong one, or the network is closed: the user hears of it
    // soon. One that worked a moment ago is waited for.
    let limit = match fault {
        Fault::Unreachable(_) if !attempts.reached => options.first_contact,
        // Something took the connection, perhaps another kind of server (TLS on a plain port).
        Fault::Broken(_) if !attempts.reached => options.first_contact + options.stall_timeout,
        _ => options.deadline,
    }
    .min(options.deadline);
    let left = limit.saturating_sub(attempts.elapsed);
    if left.is_zero() || fault.retry_after() > left {
        return Verdict::TooLate;
    }
    let doublings = attempts.count.saturating_sub(1).min(16);
    let pause = options.first_pause.saturating_mul(1 << doublings);
    let pause = pause
        .min(options.max_pause)
        .mul_f64(0.5 + chance.clamp(0.0, 1.0) / 2.0);
    Verdict::Again(pause.max(fault.retry_after()).min(left))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::transport::Refusal;
    use crate::{Error, ErrorKind};

    fn refused(status: u16, code: &str) -> Fault {
        Fault::Refused(Box::new(Refusal {
            status,
            code: code.into(),
            ..Refusal::default()
        }))
    }

    fn options() -> Options {
        Options {
            deadline: Duration::from_secs(100),
            first_contact: Duration::from_secs(10),
            stall_timeout: Duration::from_secs(20),
            first_pause: Duration::from_secs(1),
            max_pause: Duration::from_secs(8),
            ..Options::default()
        }
    }

    fn tried(count: u32, seconds: u64) -> Attempts {
        Attempts {
            count,
            elapsed: Duration::from_secs(seconds),
            reached: true,
        }
    }

    fn seconds(seconds: u64) -> Verdict {
        Verdict::Again(Duration::from_secs(seconds))
    }

    #[test]
    fn what_does_not_pass_is_final_at_once() {
        for status in [400, 401, 403, 404, 409, 411, 412, 413, 416, 301, 501] {
            let verdict = judge(&refused(status, "X"), tried(1, 0), &options(), 1.0);
            assert_eq!(verdict, Verdict::Final, "{status}");
        }
        let own = Fault::Final(Error::new(ErrorKind::Changed, "x"));
        assert_eq!(judge(&own, tried(1, 0), &options(), 1.0), Verdict::Final);
    }

    #[test]
    fn what_passes_is_tried_again_until_the_deadline() {
        for status in [408, 429, 500, 502, 503, 504] {
            let fault = refused(status, "X");
            assert_eq!(judge(&fault, tried(1, 0), &options(), 1.0), seconds(1));
            assert_eq!(judge(&fault, tried(99, 99), &options(), 1.0), seconds(1));
            assert_eq!(
                judge(&fault, tried(99, 100), &options(), 1.0),
                Verdict::TooLate
            );
        }
        let broken = Fault::Broken("cut".into());
        assert_eq!(judge(&broken, tried(1, 0), &options(), 1.0), seconds(1));
    }

    #[test]
    fn pauses_double_and_are_spread() {
        let fault = refused(503, "ServerBusy");
        let pauses = [1, 2, 3, 4, 5, 60].map(|n| judge(&fault, tried(n, 0), &options(), 1.0));
        assert_eq!(pauses, [1, 2, 4, 8, 8, 8].map(seconds));
        assert_eq!(judge(&fault, tried(4, 0), &options(), 0.0), seconds(4));
    }

    #[test]
    fn the_service_may_ask_for_a_longer_pause() {
        let mut refusal = Refusal {
            status: 503,
            retry_after: Some(Duration::from_secs(30)),
            ..Refusal::default()
        };
        let fault = Fault::Refused(Box::new(refusal.clone()));
        assert_eq!(judge(&fault, tried(1, 0), &options(), 0.3), seconds(30));
        refusal.retry_after = Some(Duration::from_secs(101));
        let fault = Fault::Refused(Box::new(refusal));
        assert_eq!(
            judge(&fault, tried(1, 0), &options(), 0.3),
            Verdict::TooLate
        );
    }

    #[test]
    fn a_host_that_never_answered_is_given_up_soon() {
        let fault = Fault::Unreachable("connection refused".into());
        let never = |elapsed| Attempts {
            reached: false,
            ..tried(4, elapsed)
        };
        assert_eq!(judge(&fault, never(10), &options(), 1.0), Verdict::TooLate);
        assert_eq!(judge(&fault, never(9), &options(), 1.0), seconds(1));
        assert_eq!(judge(&fault, tried(4, 10), &options(), 1.0), seconds(8));
        let fault = Fault::Broken("cut".into());
        assert_eq!(judge(&fault, never(29), &options(), 1.0), seconds(1));
        assert_eq!(judge(&fault, never(30), &options(), 1.0), Verdict::TooLate);
    }

    #[test]
    fn some_faults_are_met_three_times() {
        for fault in [refused(400, "Crc64Mismatch"), Fault::Malformed("x".into())] {
            assert!(matches!(
                judge(&fault, tried(2, 0), &options(), 1.0),
                Verdict::Again(_)
            ));
            assert_eq!(judge(&fault, tried(3, 0), &options(), 1.0), Verdict::Final);
        }
    }

    proptest! {
        #[test]
        fn a_pause_never_passes_the_deadline(
            attempts in 1..u32::MAX,
            elapsed in 0..200_u64,
            after in 0..200_u64,
            chance in -1.0..2.0_f64,
        ) {
            let fault = Fault::Refused(Box::new(Refusal {
                status: 503,
                retry_after: Some(Duration::from_secs(after)),
                ..Refusal::default()
            }));
            match judge(&fault, tried(attempts.min(u32::MAX - 1), elapsed), &options(), chance) {
                Verdict::Again(pause) => {
                    prop_assert!(pause + Duration::from_secs(elapsed) <= options().deadline);
                    prop_assert!(pause >= Duration::from_secs(after));
                }
                Verdict::TooLate => prop_assert!(elapsed + after >= 100),
                Verdict::Final => prop_assert!(false),
            }
        }
    }
}
