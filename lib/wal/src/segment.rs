//! The files that the WAL is cut into, and their numbers (PostgreSQL's `xlog_internal.h`).

use std::fmt;

use crate::Lsn;

/// How many bytes a segment of a cluster has: a power of two from 1 MiB to 1 GiB (`initdb --wal-segsize`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentSize(u32);

impl Default for SegmentSize {
    /// 16 MiB, which is initdb's.
    fn default() -> Self {
        Self(16 << 20)
    }
}

impl SegmentSize {
    /// The smallest, 1 MiB.
    pub const SMALLEST: Self = Self(1 << 20);
    /// The largest, 1 GiB.
    pub const LARGEST: Self = Self(1 << 30);

    /// A size in bytes; none if no cluster can have it.
    pub fn new(bytes: u64) -> Option<Self> {
        let bytes = u32::try_from(bytes).ok()?;
        let possible = Self::SMALLEST.0..=Self::LARGEST.0;
        (bytes.is_power_of_two() && possible.contains(&bytes)).then_some(Self(bytes))
    }

    /// In bytes.
    pub fn bytes(self) -> u64 {
        u64::from(self.0)
    }

    /// How many segments share the first 16 digits of their names after the timeline's: 4 GiB of WAL.
    fn per_log(self) -> u64 {
        (1 << 32) / self.bytes()
    }
}

/// A segment by its name: a timeline, and two numbers whose meaning depends on the size of segments.
///
/// The order is that of the names: by timeline, then by place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Segment {
    /// The timeline: from 1 on.
    pub timeline: u32,
    /// Which 4 GiB of the WAL.
    pub log: u32,
    /// Which segment of these.
    pub part: u32,
}

impl Segment {
    /// The segment of a timeline that holds the byte at `lsn`.
    pub fn holding(timeline: u32, lsn: Lsn, size: SegmentSize) -> Self {
        Self::numbered(timeline, lsn.0 / size.bytes(), size)
    }

    /// The segment of a timeline with this number, counted from the beginning of the WAL.
    pub fn numbered(timeline: u32, number: u64, size: SegmentSize) -> Self {
        let half = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        Self {
            timeline,
            log: half(number / size.per_log()),
            part: half(number % size.per_log()),
        }
    }

    /// Its number, counted from the beginning of the WAL; none if a cluster with segments of this size has no such
    /// segment.
    pub fn number(self, size: SegmentSize) -> Option<u64> {
        let part = u64::from(self.part);
        (part < size.per_log()).then(|| u64::from(self.log) * size.per_log() + part)
    }

    /// Where it begins; none as for [`number`](Self::number).
    pub fn start(self, size: SegmentSize) -> Option<Lsn> {
        // The last segment of all begins below 2^64.
        self.number(size).map(|number| Lsn(number * size.bytes()))
    }

    /// Where the next one begins; none as for [`number`](Self::number), and for the very last segment.
    pub fn end(self, size: SegmentSize) -> Option<Lsn> {
        let start = self.start(size)?;
        start.0.checked_add(size.bytes()).map(Lsn)
    }

    /// The next segment of its timeline.
    pub fn next(self, size: SegmentSize) -> Option<Self> {
        let number = self.number(size)?;
        self.end(size)?;
        Some(Self::numbered(self.timeline, number + 1, size))
    }
}

impl fmt::Display for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08X}{:08X}{:08X}", self.timeline, self.log, self.part)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn size() -> impl Strategy<Value = SegmentSize> {
        (20..=30_u32).prop_map(|shift| SegmentSize::new(1 << shift).unwrap())
    }

    #[test]
    fn only_possible_sizes_are_taken() {
        for shift in 20..=30 {
            assert_eq!(SegmentSize::new(1 << shift).unwrap().bytes(), 1 << shift);
        }
        for wrong in [
            0,
            1,
            1 << 19,
            (1 << 20) + 1,
            3 << 20,
            1 << 31,
            1 << 32,
            u64::MAX,
        ] {
            assert_eq!(SegmentSize::new(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_names_of_the_documentation() {
        let size = SegmentSize::default();
        let segment = Segment::holding(1, Lsn(0x01_FF00_0028), size);
        assert_eq!(segment.to_string(), "0000000100000001000000FF");
        assert_eq!(
            segment.next(size).unwrap().to_string(),
            "000000010000000200000000"
        );
        // Segments of 1 MiB have 4096 to a log.
        let small = Segment::holding(1, Lsn(0x01_FF00_0028), SegmentSize::SMALLEST);
        assert_eq!(small.to_string(), "000000010000000100000FF0");
        assert_eq!(small.number(size), None);
    }

    #[test]
    fn the_last_segment_has_no_next() {
        for size in [SegmentSize::SMALLEST, SegmentSize::LARGEST] {
            let last = Segment::holding(7, Lsn(u64::MAX), size);
            assert_eq!((last.end(size), last.next(size)), (None, None));
        }
    }

    proptest! {
        #[test]
        fn a_segment_holds_its_places(timeline: u32, lsn: u64, size in size()) {
            let segment = Segment::holding(timeline, Lsn(lsn), size);
            let start = segment.start(size).unwrap();
            prop_assert!(start <= Lsn(lsn) && lsn - start.0 < size.bytes());
            prop_assert_eq!(Segment::holding(timeline, start, size), segment);
            if let (Some(end), Some(next)) = (segment.end(size), segment.next(size)) {
                prop_assert_eq!(next.start(size), Some(end));
                prop_assert!(next > segment);
                prop_assert!(next.to_string() > segment.to_string());
            }
        }

        #[test]
        fn names_are_ordered_as_segments_are(one: [u32; 3], other: [u32; 3]) {
            let segment = |[timeline, log, part]: [u32; 3]| Segment { timeline, log, part };
            let (one, other) = (segment(one), segment(other));
            prop_assert_eq!(one.cmp(&other), one.to_string().cmp(&other.to_string()));
        }
    }
}
