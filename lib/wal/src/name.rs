//! The names of what PostgreSQL archives (`xlog_internal.h`, `IsXLogFileName` and the like).

use std::fmt;

use crate::Segment;

/// A file that PostgreSQL archives, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WalName {
    /// `00000002.history`: where timeline 2 came from.
    History(u32),
    /// `000000010000000A000000C6`.
    Segment(Segment),
    /// `000000010000000A000000C6.00000028.backup`: a base backup began in this segment, at this offset.
    Backup(Segment, u32),
    /// `000000010000000A000000C6.partial`: the last segment of a timeline, as far as it was written when its standby was
    /// promoted. PostgreSQL never asks for it.
    Partial(Segment),
    /// `000000010000000A000000C6.0123456789ABCDEF.partial`: another one of the same segment, told apart by what it holds
    /// ([`beside`](Self::beside)). PostgreSQL gives no such name; the archive does.
    OtherPartial(Segment, u64),
}

impl WalName {
    /// Reads a name; none if PostgreSQL gives no such name to what it archives.
    pub fn parse(name: &str) -> Option<Self> {
        let (digits, rest) = name.split_once('.').unwrap_or((name, ""));
        if digits.len() == 8 {
            let timeline = number(digits).filter(|timeline| *timeline > 0)?;
            return (rest == "history").then_some(Self::History(timeline));
        }
        let segment = segment(digits)?;
        match rest {
            "" if digits.len() == name.len() => Some(Self::Segment(segment)),
            "partial" => Some(Self::Partial(segment)),
            _ => match rest.strip_suffix(".partial") {
                Some(digest) => {
                    let (high, low) = digest.split_at_checked(8)?;
                    let digest = u64::from(number(high)?) << 32 | u64::from(number(low)?);
                    Some(Self::OtherPartial(segment, digest))
                }
                None => {
                    let offset = rest.strip_suffix(".backup")?;
                    Some(Self::Backup(segment, number(offset)?))
                }
            },
        }
    }

    /// The timeline that it belongs to.
    pub fn timeline(self) -> u32 {
        match self {
            Self::History(timeline) => timeline,
            Self::Segment(it)
            | Self::Backup(it, _)
            | Self::Partial(it)
            | Self::OtherPartial(it, _) => it.timeline,
        }
    }

    /// The name for a file whose name is taken by another content: a partial segment is never in the way of another
    /// one. None for all others, which have one content for ever.
    pub fn beside(self, sha256: &[u8; 32]) -> Option<Self> {
        let digest = sha256
            .first_chunk()
            .map(|first| u64::from_be_bytes(*first))?;
        match self {
            Self::Partial(segment) => Some(Self::OtherPartial(segment, digest)),
            _ => None,
        }
    }

    /// The segment, if it is a whole one.
    pub fn segment(self) -> Option<Segment> {
        match self {
            Self::Segment(segment) => Some(segment),
            _ => None,
        }
    }
}

impl fmt::Display for WalName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::History(timeline) => write!(f, "{timeline:08X}.history"),
            Self::Segment(segment) => segment.fmt(f),
            Self::Backup(segment, offset) => write!(f, "{segment}.{offset:08X}.backup"),
            Self::Partial(segment) => write!(f, "{segment}.partial"),
            Self::OtherPartial(segment, digest) => write!(f, "{segment}.{digest:016X}.partial"),
        }
    }
}

fn segment(digits: &str) -> Option<Segment> {
    if digits.len() != 24 {
        return None;
    }
    let part = |at: usize| digits.get(at..at + 8).and_then(number);
    let segment = Segment {
        timeline: part(0)?,
        log: part(8)?,
        part: part(16)?,
    };
    (segment.timeline > 0).then_some(segment)
}

/// Eight digits as PostgreSQL writes them: in capitals, so that each number has one name.
fn number(digits: &str) -> Option<u32> {
    let proper = |byte: u8| matches!(byte, b'0'..=b'9' | b'A'..=b'F');
    match digits.len() == 8 && digits.bytes().all(proper) {
        true => u32::from_str_radix(digits, 16).ok(),
        false => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_read() {
        let segment = Segment {
            timeline: 1,
            log: 10,
            part: 0xC6,
        };
        for (name, wanted) in [
            ("000000010000000A000000C6", WalName::Segment(segment)),
            (
                "000000010000000A000000C6.partial",
                WalName::Partial(segment),
            ),
            (
                "000000010000000A000000C6.00000028.backup",
                WalName::Backup(segment, 0x28),
            ),
            (
                "000000010000000A000000C6.0123456789ABCDEF.partial",
                WalName::OtherPartial(segment, 0x0123_4567_89AB_CDEF),
            ),
            ("0000000B.history", WalName::History(11)),
        ] {
            assert_eq!(WalName::parse(name), Some(wanted));
            assert_eq!(wanted.to_string(), name);
        }
    }

    #[test]
    fn what_is_no_such_name_is_refused() {
        for name in [
            "",
            ".",
            ".history",
            "00000001",
            "00000001.History",
            "00000000.history",
            "0000000b.history",
            "00000001.history.gz",
            "000000010000000A000000C",
            "000000010000000A000000C6.",
            "000000010000000a000000C6",
            "000000000000000A000000C6",
            "000000010000000A000000C6.partial.x",
            "000000010000000A000000C6..partial",
            "000000010000000A000000C6.0123456789abcdef.partial",
            "000000010000000A000000C6.00000028.partial",
            "000000010000000A000000C6.28.backup",
            "000000010000000A000000C6..backup",
            "000000010000000A000000C6.backup",
            "+00000010000000A000000C6",
            "../000000010000000A000000C6",
            "RECOVERYXLOG",
            "xlogtemp.123",
            "archive_status",
            "0000000é.history",
        ] {
            assert_eq!(WalName::parse(name), None, "{name}");
        }
    }

    proptest! {
        #[test]
        fn every_name_survives(timeline in 1..=u32::MAX, log: u32, part: u32, offset: u32, kind in 0..4) {
            let segment = Segment { timeline, log, part };
            let name = match kind {
                0 => WalName::Segment(segment),
                1 => WalName::Partial(segment),
                2 => WalName::Backup(segment, offset),
                _ => WalName::History(timeline),
            };
            prop_assert_eq!(WalName::parse(&name.to_string()), Some(name));
            prop_assert_eq!(name.timeline(), timeline);
        }

        #[test]
        fn a_name_has_one_spelling(text in "[0-9A-Fa-f.]{8,40}(history|backup|partial)?") {
            if let Some(name) = WalName::parse(&text) {
                prop_assert_eq!(name.to_string(), text);
            }
        }
    }
}
