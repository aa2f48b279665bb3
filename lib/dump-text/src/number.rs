//! Numbers by the rules of psql 15 and newer: what follows one directly and is no number (`1e`, `1_x`,
//! `0x1g$$`) belongs to it, up to the first byte that no name has. Older ones end it before that.

use crate::bytes::{continues_word, starts_word};

/// How much of a number there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// `12`
    Integer,
    /// `12_`
    IntegerGap,
    /// `12.`
    Point,
    /// `12.5`, `.5`
    Fraction,
    /// `12.5_`
    FractionGap,
    /// `12e`
    Exponent,
    /// `12e+`
    Sign,
    /// `12e+5`
    Power,
    /// `12e+5_`
    PowerGap,
}

/// A number that has begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Number {
    /// None if it cannot be a number any more.
    part: Option<Part>,
    /// Whether it can be a shorter number and a name behind it.
    junk: bool,
    /// Whether it has a `_`, which psql 16 was the first to know.
    gaps: bool,
}

/// What becomes of a number when a byte follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    More(Number),
    /// The byte is not part of it.
    Ended,
    /// It is the second of the two dots of `1..2`.
    Dots,
}

impl Number {
    /// After its first digit.
    pub(crate) fn integer() -> Self {
        Self::of(Part::Integer)
    }

    /// After a dot and a digit.
    pub(crate) fn fraction() -> Self {
        Self::of(Part::Fraction)
    }

    fn of(part: Part) -> Self {
        Self {
            part: Some(part),
            junk: false,
            gaps: false,
        }
    }

    /// Whether more digits change nothing, which is so for most numbers.
    pub(crate) fn is_integer(self) -> bool {
        self == Self::integer()
    }

    /// Whether all versions of psql end it where it ended.
    pub(crate) fn is_plain(self) -> bool {
        use Part::{Fraction, Integer, Point, Power};
        !self.gaps && matches!(self.part, Some(Integer | Point | Fraction | Power))
    }

    pub(crate) fn next(self, byte: u8) -> Next {
        if self.part == Some(Part::Point) && byte == b'.' {
            return Next::Dots;
        }
        let part = self.part.and_then(|part| part.next(byte));
        let before = self.part.is_some_and(Part::may_be_followed_by_a_name);
        let junk = match self.junk {
            true => continues_word(byte),
            false => before && starts_word(byte),
        };
        match part.is_some() || junk {
            true => Next::More(Self {
                part,
                junk,
                gaps: self.gaps || byte == b'_',
            }),
            false => Next::Ended,
        }
    }
}

impl Part {
    fn next(self, byte: u8) -> Option<Self> {
        use Part::{
            Exponent, Fraction, FractionGap, Integer, IntegerGap, Point, Power, PowerGap, Sign,
        };
        Some(match (self, byte) {
            (Integer | IntegerGap, b'0'..=b'9') => Integer,
            (Integer, b'_') => IntegerGap,
            (Integer, b'.') => Point,
            (Point | Fraction | FractionGap, b'0'..=b'9') => Fraction,
            (Fraction, b'_') => FractionGap,
            (Integer | Point | Fraction, b'e' | b'E') => Exponent,
            (Exponent, b'+' | b'-') => Sign,
            (Exponent | Sign | Power | PowerGap, b'0'..=b'9') => Power,
            (Power, b'_') => PowerGap,
            _ => return None,
        })
    }

    fn may_be_followed_by_a_name(self) -> bool {
        matches!(
            self,
            Self::Integer | Self::Point | Self::Fraction | Self::Power
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many bytes a number takes, and whether all versions agree.
    fn length(text: &str) -> (usize, bool) {
        let mut number = Number::integer();
        for (at, byte) in text.bytes().enumerate().skip(1) {
            match number.next(byte) {
                Next::More(more) => number = more,
                Next::Ended => return (at, number.is_plain()),
                Next::Dots => return (at - 1, true),
            }
        }
        (text.len(), number.is_plain())
    }

    #[test]
    fn what_a_number_takes() {
        for (text, taken, plain) in [
            ("12;", 2, true),
            ("1.5e+10)", 7, true),
            ("1.)", 2, true),
            ("1..2", 1, true),
            ("1e5'", 3, true),
            ("1$$", 1, true),
            ("1e'", 2, false),
            ("1e--", 3, false),
            ("1.e'", 3, false),
            ("1_0'", 3, false),
            ("1_0$$", 5, false),
            ("1_$$", 4, false),
            ("1__0.5", 4, false),
            ("0x1g$$'", 6, false),
            ("1e5$$", 5, false),
            ("1e+a", 3, false),
            ("1e+5a$", 6, false),
            ("1.5.5", 3, true),
        ] {
            assert_eq!(length(text), (taken, plain), "{text}");
        }
    }
}
