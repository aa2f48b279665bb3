//! A number of bytes a second.

use std::fmt;

/// The slowest rate: a request with a block of a large backup must end some day.
const SLOWEST: u64 = 64 << 10;
/// The fastest rate, 1 TiB a second: beyond what any machine moves.
const FASTEST: u64 = 1 << 40;

/// Bytes a second, from 64 KiB to 1 TiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rate(u64);

impl Rate {
    /// This many bytes a second, or the nearest rate that there is.
    pub fn of(bytes_a_second: u64) -> Self {
        Self(bytes_a_second.clamp(SLOWEST, FASTEST))
    }

    /// Reads a number with `K`, `M` or `G` (of 1024) behind it: `500K`, `20M`.
    ///
    /// # Errors
    /// Says which form is understood, and which rates there are.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!("'{text}' is no rate from 64K on; write bytes a second like 500K, 20M or 1G")
        };
        let unit = text.chars().last().ok_or_else(wrong)?;
        let shift = match unit.to_ascii_uppercase() {
            'K' => 10,
            'M' => 20,
            'G' => 30,
            _ => return Err(wrong()),
        };
        let number: u32 = text[..text.len() - unit.len_utf8()]
            .parse()
            .map_err(|_| wrong())?;
        // A number of 32 bits times 2 to the power of 30: far from overflowing.
        let bytes = u64::from(number) << shift;
        match (SLOWEST..=FASTEST).contains(&bytes) {
            true => Ok(Self(bytes)),
            false => Err(wrong()),
        }
    }

    /// Bytes a second; never 0.
    pub fn bytes_a_second(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes a second", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read() {
        assert_eq!(Rate::parse("64K"), Ok(Rate(64 << 10)));
        assert_eq!(Rate::parse("20m"), Ok(Rate(20 << 20)));
        assert_eq!(Rate::parse("1024G"), Ok(Rate(1 << 40)));
        for text in [
            "",
            "M",
            "20",
            "1.5M",
            "-1M",
            "63K",
            "1025G",
            "4294967295G",
            "1é",
            "20MB",
        ] {
            let said = Rate::parse(text).unwrap_err();
            assert!(said.contains("like 500K"), "{text}: {said}");
        }
        assert_eq!(Rate::of(0), Rate(64 << 10));
    }
}
