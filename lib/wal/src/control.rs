//! `global/pg_control`: the system identifier of a data directory, for files that do not name it themselves.

use std::fmt;

use crc_fast::CrcAlgorithm;

use crate::SystemId;

/// The versions of the layout that PostgreSQL 14 to 18 write, and room for those to come.
const VERSIONS: std::ops::RangeInclusive<u32> = 1300..=9999;
/// The fields end within a sector, so that a write of them is atomic (`PG_CONTROL_MAX_SAFE_SIZE`).
const SECTOR: usize = 512;
/// Before the CRC are at least the identifier, two version numbers and a state.
const LEAST: usize = 20;

/// What is read of `global/pg_control` (PostgreSQL's `pg_control.h`, `ControlFileData`), in little-endian order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ControlFile {
    /// The cluster.
    pub system: SystemId,
    /// The version of the layout: 1300, 1700, 1800, …
    pub version: u32,
}

/// Why bytes are no pg_control.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ControlError {
    /// There are too few bytes.
    Short,
    /// It is of a version before PostgreSQL 13, or no pg_control.
    Version(u32),
    /// Its CRC is wrong: it is damaged, or was read while the server wrote it; reading it again tells.
    Crc,
}

impl ControlFile {
    /// How many bytes of the file are enough.
    pub const BYTES: usize = SECTOR;

    /// Reads the first bytes of the file and checks their CRC. Where that is depends on the version, but it is within
    /// the first sector, and no other four bytes there are the CRC-32C of all before them.
    ///
    /// # Errors
    /// What is no pg_control.
    pub fn read(bytes: &[u8]) -> Result<Self, ControlError> {
        let first = bytes.first_chunk::<16>().ok_or(ControlError::Short)?;
        let system = first
            .first_chunk::<8>()
            .map_or(0, |it| u64::from_le_bytes(*it));
        let version = first[8..]
            .first_chunk::<4>()
            .map_or(0, |it| u32::from_le_bytes(*it));
        if !VERSIONS.contains(&version) {
            return Err(ControlError::Version(version));
        }
        let sector = bytes.get(..SECTOR).unwrap_or(bytes);
        let mut digest = crc_fast::Digest::new(CrcAlgorithm::Crc32Iscsi);
        let (before, rest) = sector.split_at_checked(LEAST).ok_or(ControlError::Short)?;
        digest.update(before);
        for word in rest.chunks_exact(4) {
            let stored = word.first_chunk().map_or(0, |it| u32::from_le_bytes(*it));
            if digest.finalize() == u64::from(stored) {
                let system = SystemId(system);
                return Ok(Self { system, version });
            }
            digest.update(word);
        }
        Err(ControlError::Crc)
    }
}

impl fmt::Display for ControlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short => f.write_str("it is too short"),
            Self::Version(version) => write!(f, "it has the version {version}"),
            Self::Crc => f.write_str("its CRC is wrong"),
        }
    }
}

impl std::error::Error for ControlError {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A pg_control with `fields` bytes before its CRC.
    fn control(system: u64, version: u32, fields: usize) -> Vec<u8> {
        let mut bytes = system.to_le_bytes().to_vec();
        bytes.extend(version.to_le_bytes());
        bytes.extend((0..fields - 12).map(|at| (at % 251).to_le_bytes()[0]));
        let crc = crc_fast::checksum(CrcAlgorithm::Crc32Iscsi, &bytes);
        bytes.extend(u32::try_from(crc).unwrap().to_le_bytes());
        bytes.resize(8192, 0);
        bytes
    }

    #[test]
    fn every_version_s_crc_is_found() {
        for (version, fields) in [(1300, 288), (1700, 288), (1800, 292), (1900, 504)] {
            let bytes = control(7, version, fields);
            let read = ControlFile::read(&bytes).unwrap();
            assert_eq!((read.system, read.version), (SystemId(7), version));
            assert_eq!(ControlFile::read(&bytes[..512]), Ok(read));
        }
    }

    #[test]
    fn what_is_none_is_refused() {
        assert_eq!(ControlFile::read(&[]), Err(ControlError::Short));
        assert_eq!(ControlFile::read(&[0; 512]), Err(ControlError::Version(0)));
        let mut bytes = control(7, 1300, 288);
        bytes[100] ^= 1;
        assert_eq!(ControlFile::read(&bytes), Err(ControlError::Crc));
        assert_eq!(
            ControlFile::read(&control(7, 1300, 288)[..200]),
            Err(ControlError::Crc)
        );
    }

    proptest! {
        #[test]
        fn another_identifier_has_another_crc(system: u64, at in 0..8_usize, bit in 0..8_u8) {
            let mut bytes = control(system, 1700, 288);
            bytes[at] ^= 1_u8 << bit;
            prop_assert_eq!(ControlFile::read(&bytes), Err(ControlError::Crc));
        }
    }
}
