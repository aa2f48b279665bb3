use std::fmt;
use std::str::FromStr;

/// A place in the WAL: bytes since its beginning (`pg_lsn`). Written as PostgreSQL writes it, `A/C6000028`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Lsn(pub u64);

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xffff_ffff)
    }
}

impl FromStr for Lsn {
    type Err = ();

    /// Two hexadecimal numbers of up to 32 bits with a slash between them.
    fn from_str(text: &str) -> Result<Self, ()> {
        let half = |text: &str| match text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            true => u32::from_str_radix(text, 16).ok(),
            false => None,
        };
        let (high, low) = text.split_once('/').ok_or(())?;
        let (high, low) = (half(high).ok_or(())?, half(low).ok_or(())?);
        Ok(Self(u64::from(high) << 32 | u64::from(low)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_place_is_written_as_postgresql_writes_it() {
        for (lsn, text) in [
            (0, "0/0"),
            (0x0A_C600_0028, "A/C6000028"),
            (u64::MAX, "FFFFFFFF/FFFFFFFF"),
        ] {
            assert_eq!(Lsn(lsn).to_string(), text);
            assert_eq!(text.parse(), Ok(Lsn(lsn)));
        }
        for wrong in [
            "",
            "/",
            "1",
            "1/",
            "/1",
            "+1/1",
            "1/100000000",
            "g/1",
            "1/1/1",
            "é/1",
        ] {
            assert_eq!(wrong.parse::<Lsn>(), Err(()), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn every_place_survives_its_text(lsn: u64) {
            prop_assert_eq!(Lsn(lsn).to_string().parse(), Ok(Lsn(lsn)));
        }
    }
}
