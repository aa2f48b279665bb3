//! How large each block of a stream is, before its length is known.

/// "Scalability and performance targets for Blob storage": blocks in a block blob.
pub(crate) const MAX_BLOCKS: u64 = 50_000;
/// The largest block that the service takes: 4000 MiB.
pub(crate) const MAX_BLOCK: u64 = 4000 << 20;
/// The first blocks' size: small enough for many at once in little memory, which is what a long round trip
/// needs.
pub(crate) const FIRST_BLOCK: u64 = 2 << 20;
/// So many blocks have the first size: 1 GiB.
const FIRST_BLOCKS: u64 = 512;
/// Then the size doubles each time so many blocks are full.
const STEP: u64 = 128;
/// Until this block it doubles no more than twice: four of 8 MiB take no more memory than the first ones at once,
/// and all that most backups need is as cheap. 12.5 GiB.
const PLATEAU: u64 = 2048;
/// The blocks that are in memory at least, however large they are: one is filled while others are under way.
pub(crate) const AT_ONCE: u64 = 4;

/// The sizes of a stream's blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Plan {
    smallest: u64,
    largest: u64,
}

impl Plan {
    /// For `memory` bytes of blocks, and a stream of `expected` bytes where that is known: then all
    /// blocks are alike, as small as 50,000 of them allow.
    pub(crate) fn new(memory: u64, expected: Option<u64>) -> Self {
        let largest = (memory / AT_ONCE).clamp(FIRST_BLOCK, MAX_BLOCK);
        // A file may still grow a little while it is read.
        let even = expected.map_or(0, |size| size.div_ceil(MAX_BLOCKS - STEP));
        let smallest = even.next_multiple_of(1 << 20).clamp(FIRST_BLOCK, largest);
        Self { smallest, largest }
    }

    /// The size in bytes of the block number `index` (from 0); none if no block may follow.
    pub(crate) fn block(self, index: u64) -> Option<u64> {
        if index >= MAX_BLOCKS {
            return None;
        }
        let doublings = match index {
            0..PLATEAU => (index.saturating_sub(FIRST_BLOCKS - STEP) / STEP).min(2),
            _ => 3 + (index - PLATEAU) / STEP,
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

    #[test]
    fn small_streams_have_small_blocks() {
        let plan = Plan::new(256 << 20, None);
        assert_eq!(plan.block(0), Some(2 << 20));
        assert_eq!(plan.block(511), Some(2 << 20));
        assert_eq!(plan.block(512), Some(4 << 20));
        assert_eq!(plan.block(640), Some(8 << 20));
        assert_eq!(plan.block(2047), Some(8 << 20));
        assert_eq!(plan.block(2048), Some(16 << 20));
        assert_eq!(plan.block(49_999), Some(64 << 20));
        assert_eq!(plan.block(50_000), None);
    }

    #[test]
    fn capacities() {
        // What `blob-put --help` says.
        assert_eq!(Plan::new(256 << 20, None).capacity() / (TIB / 10), 29);
        assert_eq!(Plan::new(1 << 30, None).capacity() / (TIB / 10), 116);
        // The service's limit is 50,000 * 4000 MiB = 190.7 TiB.
        assert!(Plan::new(u64::MAX, None).capacity() > 179 * TIB);
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
