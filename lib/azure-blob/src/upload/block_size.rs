//! How large each block of a stream is, before the length of the stream is known.
//!
//! Blocks start small, so that many can be sent at once in little memory, and double in size from time to time, so
//! that 50,000 of them hold a long stream.

/// "Scalability and performance targets for Blob storage": the most blocks in a block blob.
pub(super) const MAX_BLOCKS: u64 = 50_000;
/// The largest block that the service takes: 4000 MiB.
const MAX_BLOCK: u64 = 4000 << 20;
/// The size of the first blocks. Many of them at once make up for a long round trip.
pub(super) const FIRST_BLOCK: u64 = 2 << 20;
/// How many blocks are in memory at least, however large they are: one is filled while the others are sent.
pub(super) const IN_MEMORY: u64 = 4;

/// Blocks in a step (the size can double after each), as long as the largest block is [`LONG_STEP_UP_TO`] or less.
const LONG_STEP: u64 = 128;
/// With larger blocks the steps are shorter, down to this: blocks below the largest size cost length.
const SHORT_STEP: u64 = 8;
const LONG_STEP_UP_TO: u64 = 64 << 20;
/// The step after which the size doubles for the first time: 1 GiB into a stream with long steps.
const FIRST_DOUBLING: u64 = 4;
/// The step after which it doubles for the third time: 12.5 GiB into a stream with long steps. Most backups end
/// before that, and four blocks of 8 MiB take no more memory than the first ones did.
const THIRD_DOUBLING: u64 = 16;

/// The sizes of a stream's blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BlockSizes {
    smallest: u64,
    largest: u64,
    /// Blocks in a step.
    step: u64,
}

impl BlockSizes {
    /// For `memory` bytes of blocks. If the stream is known to have `expected` bytes, no block is smaller than
    /// 50,000 of one size would have to be.
    pub(super) fn new(memory: u64, expected: Option<u64>) -> Self {
        let largest = (memory / IN_MEMORY).clamp(FIRST_BLOCK, MAX_BLOCK);
        // A file may still grow a little while it is read.
        let even = expected.map_or(0, |size| size.div_ceil(MAX_BLOCKS - LONG_STEP));
        let smallest = even.next_multiple_of(1 << 20).clamp(FIRST_BLOCK, largest);
        let step = (LONG_STEP * LONG_STEP_UP_TO / largest).clamp(SHORT_STEP, LONG_STEP);
        Self {
            smallest,
            largest,
            step,
        }
    }

    /// The size in bytes of the block at `index` (from 0); none if a blob cannot have it.
    pub(super) fn block(self, index: u64) -> Option<u64> {
        if index >= MAX_BLOCKS {
            return None;
        }
        let steps = index / self.step;
        let doublings = match steps {
            0..THIRD_DOUBLING => steps.saturating_sub(FIRST_DOUBLING - 1).min(2),
            _ => 3 + steps - THIRD_DOUBLING,
        };
        let grown = FIRST_BLOCK << doublings.min(20);
        Some(grown.max(self.smallest).min(self.largest))
    }

    /// The longest stream, in bytes.
    pub(super) fn capacity(self) -> u64 {
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
        let sizes = BlockSizes::new(memory, None);
        numbers.map(|number| sizes.block(number).map(|bytes| bytes >> 20))
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
        assert_eq!(BlockSizes::new(256 << 20, None).capacity() / (TIB / 10), 29);
        assert_eq!(BlockSizes::new(1 << 30, None).capacity() / (TIB / 10), 120);
        // The service's limit is 50,000 * 4000 MiB = 190.7 TiB.
        assert!(BlockSizes::new(16 << 30, None).capacity() > 190 * TIB);
        assert!(BlockSizes::new(u64::MAX, Some(190 * TIB)).capacity() > 190 * TIB);
    }

    proptest! {
        #[test]
        fn blocks_never_shrink_and_fit(
            memory in 0..32u64 << 30,
            expected in prop::option::of(0..200 * TIB),
        ) {
            let sizes = BlockSizes::new(memory, expected);
            let largest = (memory / 4).clamp(2 << 20, 4000 << 20);
            let mut before = 0;
            for index in 0..MAX_BLOCKS {
                let block = sizes.block(index).unwrap();
                prop_assert!(block >= before && block >= 2 << 20 && block <= largest);
                before = block;
            }
            prop_assert_eq!(sizes.block(MAX_BLOCKS), None);
        }

        #[test]
        fn a_known_size_fits_if_memory_allows(size in 0..190 * TIB) {
            prop_assert!(BlockSizes::new(u64::MAX, Some(size)).capacity() >= size);
        }
    }
}
