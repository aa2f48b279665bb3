//! What a segment says of itself: the long header of its first page (PostgreSQL's `xlog_internal.h`,
//! `XLogLongPageHeaderData`), in little-endian order, as all processors have it that PostgreSQL's images are built for.

use std::fmt;

use crate::{Lsn, Segment, SegmentSize, SystemId};

/// `XLOG_PAGE_MAGIC` of each major version. The layout of the header is the same in all of them.
const MAGICS: [(u16, u16); 5] = [
    (0xD10D, 14),
    (0xD110, 15),
    (0xD113, 16),
    (0xD116, 17),
    (0xD118, 18),
];
/// Versions that are not known yet count upwards from here.
const MAGIC_FAMILY: u16 = 0xD100;
/// `XLP_LONG_HEADER`.
const LONG: u16 = 0x0002;

/// The header of a segment's first page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LongHeader {
    /// Tells the format of the WAL, which each major version changes.
    pub magic: u16,
    /// The timeline that the page was written on. In the first segment after a switch it may be an older one than the
    /// name's: the beginning of that segment is a copy.
    pub timeline: u32,
    /// Where the segment begins.
    pub address: Lsn,
    /// The cluster.
    pub system: SystemId,
    /// The size of the cluster's segments.
    pub segment_size: SegmentSize,
    /// The size of its WAL pages in bytes.
    pub page_size: u32,
}

/// Why bytes are no segment's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum HeaderError {
    /// There are fewer than [`LongHeader::BYTES`] bytes.
    Short,
    /// The first two bytes are of no version of PostgreSQL's WAL.
    Magic(u16),
    /// It is the header of another page than a segment's first.
    NotLong,
    /// No cluster has segments of this size.
    SegmentSize(u32),
    /// No cluster has WAL pages of this size.
    PageSize(u32),
    /// There is no timeline 0.
    Timeline,
    /// No segment of its size begins here.
    Address(Lsn),
}

/// In what a segment is not the one that its name says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mismatch {
    /// It holds the WAL from another place on: PostgreSQL recycles a segment by giving it another name.
    Address {
        /// By its header.
        says: Lsn,
    },
    /// No segment of this size has such a name.
    Name,
    /// Its header is of a later timeline than its name.
    Timeline {
        /// By its header.
        says: u32,
    },
}

impl LongHeader {
    /// How many bytes of a segment hold it.
    pub const BYTES: usize = 40;

    /// Reads the first bytes of a segment; what follows the header does not matter.
    ///
    /// # Errors
    /// What is no such header.
    pub fn read(bytes: &[u8]) -> Result<Self, HeaderError> {
        let Some(header) = bytes.first_chunk::<{ Self::BYTES }>() else {
            return Err(HeaderError::Short);
        };
        let magic = u16_at(header, 0);
        if magic & 0xff00 != MAGIC_FAMILY {
            return Err(HeaderError::Magic(magic));
        }
        if u16_at(header, 2) & LONG == 0 {
            return Err(HeaderError::NotLong);
        }
        let timeline = u32_at(header, 4);
        if timeline == 0 {
            return Err(HeaderError::Timeline);
        }
        let size = u32_at(header, 32);
        let segment_size = SegmentSize::new(size.into()).ok_or(HeaderError::SegmentSize(size))?;
        let page_size = u32_at(header, 36);
        if !page_size.is_power_of_two() || !(1 << 10..=1 << 16).contains(&page_size) {
            return Err(HeaderError::PageSize(page_size));
        }
        let address = Lsn(u64_at(header, 8));
        if !address.0.is_multiple_of(segment_size.bytes()) {
            return Err(HeaderError::Address(address));
        }
        Ok(Self {
            magic,
            timeline,
            address,
            system: SystemId(u64_at(header, 24)),
            segment_size,
            page_size,
        })
    }

    /// The major version of PostgreSQL that wrote it, if it is one of 14 to 18.
    pub fn major(&self) -> Option<u16> {
        let known = MAGICS.iter().find(|(magic, _)| *magic == self.magic);
        known.map(|(_, major)| *major)
    }

    /// Whether it may be the header of this segment.
    ///
    /// # Errors
    /// In what it is not.
    pub fn check(&self, segment: Segment) -> Result<(), Mismatch> {
        let start = segment.start(self.segment_size).ok_or(Mismatch::Name)?;
        if self.address != start {
            return Err(Mismatch::Address { says: self.address });
        }
        match self.timeline <= segment.timeline {
            true => Ok(()),
            false => Err(Mismatch::Timeline {
                says: self.timeline,
            }),
        }
    }
}

impl fmt::Display for HeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short => f.write_str("it is shorter than a segment's header"),
            Self::Magic(magic) => write!(
                f,
                "it does not begin as WAL does: its first two bytes are {magic:04X}"
            ),
            Self::NotLong => f.write_str("its first page has no long header"),
            Self::SegmentSize(size) => {
                write!(f, "its header says that segments have {size} bytes")
            }
            Self::PageSize(size) => write!(f, "its header says that pages have {size} bytes"),
            Self::Timeline => f.write_str("its header says timeline 0"),
            Self::Address(address) => {
                write!(f, "its header says {address}, where no segment begins")
            }
        }
    }
}

impl std::error::Error for HeaderError {}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address { says } => write!(f, "it holds the WAL from {says} on"),
            Self::Name => f.write_str("no segment of its size has this name"),
            Self::Timeline { says } => write!(f, "it is of timeline {says}"),
        }
    }
}

impl std::error::Error for Mismatch {}

fn u16_at(header: &[u8; LongHeader::BYTES], at: usize) -> u16 {
    bytes_at(header, at).map_or(0, u16::from_le_bytes)
}

fn u32_at(header: &[u8; LongHeader::BYTES], at: usize) -> u32 {
    bytes_at(header, at).map_or(0, u32::from_le_bytes)
}

fn u64_at(header: &[u8; LongHeader::BYTES], at: usize) -> u64 {
    bytes_at(header, at).map_or(0, u64::from_le_bytes)
}

fn bytes_at<const N: usize>(header: &[u8; LongHeader::BYTES], at: usize) -> Option<[u8; N]> {
    header.get(at..)?.first_chunk().copied()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::WalName;

    /// The first bytes of a new cluster's first segment, of PostgreSQL 18.
    const REAL: [u8; 48] = [
        0x18, 0xd1, 0x02, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, //
        0, 0, 0, 0, 0, 0, 0, 0, 0x1e, 0xb8, 0xdb, 0xec, 0xb3, 0x0f, 0x0d, 0x6b, //
        0, 0, 0, 1, 0, 0x20, 0, 0, 0x72, 0, 0, 0, 0, 0, 0, 0,
    ];

    fn segment(name: &str) -> Segment {
        WalName::parse(name).and_then(WalName::segment).unwrap()
    }

    #[test]
    fn a_real_header_is_read() {
        let header = LongHeader::read(&REAL).unwrap();
        assert_eq!(header.major(), Some(18));
        assert_eq!(header.timeline, 1);
        assert_eq!(header.address, Lsn(0x0100_0000));
        assert_eq!(header.system, SystemId(7_713_839_002_202_912_798));
        assert_eq!(header.segment_size, SegmentSize::default());
        assert_eq!(header.page_size, 8192);
        assert_eq!(header.check(segment("000000010000000000000001")), Ok(()));
        // The first segment of the next timeline begins with a copy.
        assert_eq!(header.check(segment("000000020000000000000001")), Ok(()));
    }

    #[test]
    fn a_recycled_segment_is_not_the_one_that_it_is_called() {
        let header = LongHeader::read(&REAL).unwrap();
        let says = Lsn(0x0100_0000);
        assert_eq!(
            header.check(segment("000000010000000000000002")),
            Err(Mismatch::Address { says })
        );
        assert_eq!(
            header.check(segment("000000010000000000000100")),
            Err(Mismatch::Name)
        );
        let mut later = REAL;
        later[4] = 9;
        assert_eq!(
            LongHeader::read(&later)
                .unwrap()
                .check(segment("000000080000000000000001")),
            Err(Mismatch::Timeline { says: 9 })
        );
    }

    #[test]
    fn what_is_no_header_is_told_apart() {
        assert_eq!(LongHeader::read(&REAL[..39]), Err(HeaderError::Short));
        assert_eq!(LongHeader::read(&[0; 40]), Err(HeaderError::Magic(0)));
        for (at, byte, wanted) in [
            (1, 0xd0, HeaderError::Magic(0xd018)),
            (2, 0, HeaderError::NotLong),
            (4, 0, HeaderError::Timeline),
            (34, 1, HeaderError::SegmentSize(0x0101_0000)),
            (37, 0, HeaderError::PageSize(0)),
            (8, 1, HeaderError::Address(Lsn(0x0100_0001))),
        ] {
            let mut bytes = REAL;
            bytes[at] = byte;
            assert_eq!(LongHeader::read(&bytes), Err(wanted));
        }
    }

    #[test]
    fn a_version_to_come_is_wal_too() {
        let mut bytes = REAL;
        bytes[0] = 0x1c;
        assert_eq!(LongHeader::read(&bytes).unwrap().major(), None);
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_much_for_it(bytes: Vec<u8>) {
            let _ = LongHeader::read(&bytes);
        }

        #[test]
        fn a_header_with_some_bits_changed_is_read_or_refused(at in 0..40_usize, byte: u8, name: [u32; 3]) {
            let mut bytes = REAL;
            bytes[at] = byte;
            if let Ok(header) = LongHeader::read(&bytes) {
                let [timeline, log, part] = name;
                let segment = Segment { timeline, log, part };
                prop_assert!(header.check(segment).is_err() || segment.start(header.segment_size) == Some(header.address));
            }
        }
    }
}
