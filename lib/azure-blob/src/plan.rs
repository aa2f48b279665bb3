//! How large each block of a stream is, before its length is known.

/// "Scalability and performance targets for Blob storage": blocks in a block blob.
pub(crate) const MAX_BLOCKS: u64 = 50_000;
/// The largest block that the service takes: 4000 MiB.
pub(crate) const MAX_BLOCK: u64 = 4000 << 20;
/// The first blocks' size: small enough for many at once in little memory, which is what a long round trip
/// needs.
pub(crate) const FIRST_BLOCK: u64 = 2 << 20;
/// The size doubles each time so many blocks are full, or fewer.
const PACE: u64 = 128;
/// The least of it: each block that is smaller than the largest lowers the longest stream.
const FASTEST: u64 = 8;
/// Up to so large a block the pace is the slow one.
const SLOW_UP_TO: u64 = 64 << 20;
/// So many times the pace before the first doubling: 1 GiB at the slow one.
const FIRST: u64 = 4;
/// So many times the pace before the third: four blocks of 8 MiB take no more memory than the first ones
/// at once, and all that most backups need is as cheap. 12.5 GiB at the slow one.
const PLATEAU: u64 = 16;
/// The blocks that are in memory at least, however large they are: one is filled while others are under way.
pub(crate) const AT_ONCE: u64 = 4;

/// The sizes of a stream's blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Plan {
    smallest: u64,
    largest: u64,
    /// Blocks from one doubling to the next. With more memory it is taken sooner: so the longest stream is nearly
    /// as many bytes as 50,000 of the largest blocks.
    pace: u64,
}

impl Plan {
    /// For `memory` bytes of blocks, and a stream of `expected` bytes where that is known: then all
    /// blocks are alike, as small as 50,000 of them allow.
    pub(crate) fn new(memory: u64, expected: Option<u64>) -> Self {
        let largest = (memory / AT_ONCE).clamp(FIRST_BLOCK, MAX_BLOCK);
        // A file may still grow a little while it is read.
        let even = expected.map_or(0, |size| size.div_ceil(MAX_BLOCKS - PACE));
        let smallest = even.next_multiple_of(1 << 20).clamp(FIRST_BLOCK, largest);
        let pace = (PACE * SLOW_UP_TO / largest).clamp(FASTEST, PACE);
        Self {
            smallest,
            largest,
            pace,
        }
    }

    /// The size in bytes of the block number `index` (from 0); none if no block may follow.
    pub(crate) fn block(self, index: u64) -> Option<u64> {
        if index >= MAX_BLOCKS {
            return None;
        }
        let paces = index / self.pace;
        let doublings = match paces {
            0..PLATEAU => paces.saturating_sub(FIRST - 1).min(2),
            _ => 3 + paces - PLATEAU,
        };
        let grown = FIRST_BLOCK << doublings.min(20);
        Some(grown.max(self.smallest).min(self.largest))
    }

    /// The most bytes that a stream may have.
    pub(crate) fn capacity(self) -> u64 {
        (0..MAX_BLOCKS).filter_map(|index| self.block(index)).sum()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TIB: u64 = 1 << 40;

    /// Some blocks of a stream by their numbers, in MiB.
    fn blocks<const N: usize>(memory: u64, numbers: [u64; N]) -> [Option<u64>; N] {
        let plan = Plan::new(memory, None);
        numbers.map(|number| plan.block(number).map(|bytes| bytes >> 20))
    }

    #[test]
    fn small_streams_have_small_blocks() {
        assert_eq!(
            blocks(256 << 20, [0, 511, 512, 640, 2047, 2048, 49_999]),
            [2, 2, 4, 8, 8, 16, 64].map(Some)
        );
        assert_eq!(blocks(256 << 20, [50_000]), [None]);
    }

    #[test]
    fn much_memory_is_taken_soon() {
        assert_eq!(
            blocks(16 << 30, [31, 32, 127, 128, 191, 192]),
            [2, 4, 8, 16, 2048, 4000].map(Some)
        );
    }

    #[test]
    fn capacities() {
        // What `blob-put --help` says.
        assert_eq!(Plan::new(256 << 20, None).capacity() / (TIB / 10), 29);
        assert_eq!(Plan::new(1 << 30, None).capacity() / (TIB / 10), 120);
        // The service's limit is 50,000 * 4000 MiB = 190.7 TiB.
        assert!(Plan::new(16 << 30, None).capacity() > 190 * TIB);
        assert!(Plan::new(u64::MAX, Some(190 * TIB)).capacity() > 190 * TIB);
    }

    proptest! {
        #[test]
        fn blocks_never_shrink_and_fit(
            memory in 0..32u64 << 30,
            expected in prop::option::of(0..200 * TIB),
        ) {
            let plan = Plan::new(memory, expected);
            let largest = (memory / 4).clamp(2 << 20, 4000 << 20);
            let mut before = 0;
            for index in 0..MAX_BLOCKS {
                let block = plan.block(index).unwrap();
                prop_assert!(block >= before && block >= 2 << 20 && block <= largest);
                before = block;
            }
            prop_assert_eq!(plan.block(MAX_BLOCKS), None);
        }

        #[test]
        fn a_known_size_fits_if_memory_allows(size in 0..190 * TIB) {
            prop_assert!(Plan::new(u64::MAX, Some(size)).capacity() >= size);
        }
    }
}
