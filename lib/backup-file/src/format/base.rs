//! What the index of a base backup says beyond that of a dump.

use std::ops::Range;

use pg_text::PgText;
use serde::{Deserialize, Serialize};

/// What a base backup is of, and which WAL it needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "BaseLine", into = "BaseLine")]
pub struct Base {
    /// The cluster's system identifier, out of the `pg_control` in the backup.
    pub system_identifier: u64,
    /// Bytes of a WAL segment: a power of two, 1 MiB to 1 GiB.
    pub wal_segment_size: u32,
    /// The WAL without which the backup cannot be restored, in order; never empty. It is one range, unless the backup
    /// was taken from a standby that followed a new timeline meanwhile.
    pub wal: Vec<WalRange>,
    /// Whether it was taken from a standby.
    pub from_standby: bool,
    /// The databases by their OIDs, as far as their names are known.
    pub databases: Vec<(u32, PgText)>,
    /// The cluster's tablespaces beside `pg_default` and `pg_global`. None yet: PostgreSQL cannot stream them.
    pub tablespaces: Vec<PgText>,
    /// Where the text of `backup_manifest` is in the uncompressed archive.
    pub manifest: Range<u64>,
}

/// WAL of one timeline, by positions ([`lsn`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WalRange {
    /// The timeline.
    pub timeline: u32,
    /// Where it begins.
    #[serde(with = "lsn_text")]
    pub start: u64,
    /// Where it ends; that byte is not needed any more.
    #[serde(with = "lsn_text")]
    pub stop: u64,
}

impl Base {
    /// Where recovery begins.
    pub fn start(&self) -> WalRange {
        self.wal.first().copied().unwrap_or(NOTHING)
    }

    /// The last range: at its end the restored cluster is consistent.
    pub fn stop(&self) -> WalRange {
        self.wal.last().copied().unwrap_or(NOTHING)
    }

    /// The name of a database, where it is known.
    pub fn database(&self, oid: u32) -> Option<&PgText> {
        let mut all = self.databases.iter();
        all.find(|(it, _)| *it == oid).map(|(_, name)| name)
    }
}

const NOTHING: WalRange = WalRange {
    timeline: 0,
    start: 0,
    stop: 0,
};

/// A position in the WAL as PostgreSQL writes it: `16/B374D848`.
pub fn lsn(position: u64) -> String {
    format!("{:X}/{:X}", position >> 32, position & 0xffff_ffff)
}

/// Reads a position in the WAL as PostgreSQL writes it; none if it is none.
pub fn parse_lsn(text: &str) -> Option<u64> {
    let part = |digits: &str| {
        let proper = (1..=8).contains(&digits.len()) && !digits.starts_with('+');
        let number = u32::from_str_radix(digits, 16).ok();
        number.filter(|_| proper).map(u64::from)
    };
    let (high, low) = text.split_once('/')?;
    Some(part(high)? << 32 | part(low)?)
}

mod lsn_text {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(position: &u64, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&super::lsn(*position))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
        let text = String::deserialize(from)?;
        let wrong = || D::Error::custom(format!("'{text}' is no position in the WAL"));
        super::parse_lsn(&text).ok_or_else(wrong)
    }
}

/// The same as it stands in the index.
#[derive(Serialize, Deserialize)]
struct BaseLine {
    /// In decimal digits: many readers of JSON would round such a number.
    system_identifier: String,
    wal_segment_size: u32,
    wal: Vec<WalRange>,
    from_standby: bool,
    databases: Vec<(u32, String)>,
    /// Those whose names are not UTF-8, with these in hexadecimal digits.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    databases_hex: Vec<(u32, String)>,
    #[serde(default)]
    tablespaces: Vec<String>,
    manifest_offset: u64,
    manifest_length: u64,
}

impl From<Base> for BaseLine {
    fn from(base: Base) -> Self {
        let (mut databases, mut databases_hex) = (Vec::new(), Vec::new());
        for (oid, name) in base.databases {
            match name.utf8() {
                Some(text) => databases.push((oid, text.to_owned())),
                None => databases_hex.push((oid, name.hex())),
            }
        }
        Self {
            system_identifier: base.system_identifier.to_string(),
            wal_segment_size: base.wal_segment_size,
            wal: base.wal,
            from_standby: base.from_standby,
            databases,
            databases_hex,
            tablespaces: base.tablespaces.iter().map(PgText::to_string).collect(),
            manifest_offset: base.manifest.start,
            manifest_length: base.manifest.end - base.manifest.start,
        }
    }
}

impl TryFrom<BaseLine> for Base {
    type Error = String;

    fn try_from(line: BaseLine) -> Result<Self, String> {
        let text = line.databases.into_iter();
        let text = text.map(|(oid, name)| Ok((oid, PgText::from(name))));
        let in_hex = line.databases_hex.into_iter().map(|(oid, hex)| {
            let name = PgText::from_hex(&hex);
            let name = name.ok_or_else(|| format!("'{hex}' is no name in hexadecimal digits"))?;
            Ok((oid, name))
        });
        let is_segment_size =
            |size: u32| size.is_power_of_two() && (1 << 20..=1 << 30).contains(&size);
        if !is_segment_size(line.wal_segment_size) {
            return Err(format!(
                "{} is no size of WAL segments",
                line.wal_segment_size
            ));
        }
        if line.wal.is_empty() || line.wal.iter().any(|range| range.start > range.stop) {
            return Err("it does not say which WAL the backup needs".into());
        }
        let system = line.system_identifier.parse();
        let manifest_end = line.manifest_offset.checked_add(line.manifest_length);
        Ok(Self {
            system_identifier: system
                .map_err(|_| format!("'{}' is no system identifier", line.system_identifier))?,
            wal_segment_size: line.wal_segment_size,
            wal: line.wal,
            from_standby: line.from_standby,
            databases: text.chain(in_hex).collect::<Result<_, String>>()?,
            tablespaces: line.tablespaces.into_iter().map(PgText::from).collect(),
            manifest: line.manifest_offset..manifest_end.ok_or("its manifest has no end")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_there_and_back() {
        for (text, position) in [
            ("0/0", 0),
            ("0/2000028", 0x200_0028),
            ("16/B374D848", 0x16_b374_d848),
            ("FFFFFFFF/FFFFFFFF", u64::MAX),
        ] {
            assert_eq!(lsn(position), text);
            assert_eq!(parse_lsn(text), Some(position));
        }
        for text in [
            "",
            "/",
            "0",
            "0/",
            "/0",
            "0/+1",
            "0/123456789",
            "g/0",
            "0/0/0",
            " 0/0",
        ] {
            assert_eq!(parse_lsn(text), None, "{text}");
        }
    }

    #[test]
    fn names_are_bytes() {
        let base = Base {
            system_identifier: u64::MAX,
            wal_segment_size: 16 << 20,
            wal: vec![WalRange {
                timeline: 3,
                start: 40,
                stop: 80,
            }],
            from_standby: true,
            databases: vec![(1, "a\n\"b".into()), (7, b"gr\xf6\xdfe"[..].into())],
            tablespaces: Vec::new(),
            manifest: 512..1000,
        };
        let json = serde_json::to_string(&base).unwrap();
        assert!(
            json.contains(r#""databases_hex":[[7,"6772f6df65"]]"#),
            "{json}"
        );
        let read: Base = serde_json::from_str(&json).unwrap();
        assert_eq!(read, base);
        assert_eq!(read.database(7).unwrap().as_bytes(), b"gr\xf6\xdfe");
        for (wanted, other) in [
            ("16777216", "16777215"),
            ("0/28", "0/"),
            ("18446744073709551615", "x"),
            (r#""stop":"0/50""#, r#""stop":"0/5""#),
        ] {
            assert!(json.contains(wanted), "{json}");
            let wrong = json.replace(wanted, other);
            assert!(serde_json::from_str::<Base>(&wrong).is_err(), "{wrong}");
        }
    }
}
