//! Compresses and decompresses: by ISA-L and libdeflate where they are built in, else by zlib-rs. Each reads what the
//! others wrote.

#[cfg(feature = "isal")]
mod isal;
#[cfg(feature = "libdeflate")]
mod libdeflate;
// With libdeflate, only the tests use it: they compare the two.
#[cfg(any(test, not(feature = "libdeflate")))]
mod zlib_compressor;
// With ISA-L, only the tests use it: they compare the two.
#[cfg(any(test, not(feature = "isal")))]
mod zlib_decompressor;

use std::ops::RangeInclusive;

/// The compression levels, from the fastest to the smallest. Levels 1 to 3 are ISA-L's where it is built in; the others
/// are libdeflate's of the same number where it is built in. All else is zlib-rs's.
pub const LEVELS: RangeInclusive<u8> = 1..=9;
/// The level to take where none is asked for. ISA-L's level 1 takes a seventh less time than its 2 and less than half the
/// time of its 3, for less than 2 % more bytes. What zlib-rs writes at level 1 is half as large again as at its 2. The
/// figures are in `docs/performance.md`.
pub const DEFAULT_LEVEL: u8 = if cfg!(any(feature = "isal", feature = "libdeflate")) {
    1
} else {
    2
};

/// Compresses blocks. For a few blocks ISA-L gives one result in one run and another in the next: what comes out is
/// always right, but not always the same bytes.
pub(crate) trait Compress: Send {
    /// Writes the deflate stream of `block` to `out` and returns its length; none if `out` is too small.
    fn compress(&mut self, block: &[u8], out: &mut [u8]) -> Option<usize>;
}

/// Decompresses.
pub(crate) trait Decompress: Send {
    /// Decompresses a whole deflate stream. It is an error if it does not take exactly `deflate` or fill exactly `out`.
    fn block(&mut self, deflate: &[u8], out: &mut [u8]) -> Result<(), Corrupt>;

    /// Begins a gzip member that comes in pieces; its header has been read.
    fn restart(&mut self);

    /// Decompresses some of that member: reads some of `input`, fills some of `out`, and at the member's end checks its
    /// CRC-32 and its length.
    fn stream(&mut self, input: &[u8], out: &mut [u8]) -> Result<Step, Corrupt>;
}

/// What one call of [`Decompress::stream`] did.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Step {
    /// Bytes of the input that were used.
    pub(crate) read: usize,
    /// Bytes of the output that were filled.
    pub(crate) written: usize,
    /// The member has ended.
    pub(crate) ended: bool,
}

/// What is wrong with compressed data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Corrupt {
    /// It is no deflate stream, or one of another length.
    Data,
    /// What came out has not the CRC-32 or the length that the trailer says.
    Sum,
}

/// The compressor of a level, one of [`LEVELS`].
pub(crate) fn compressor(level: u8) -> Box<dyn Compress> {
    #[cfg(feature = "isal")]
    if let Some(isal) = isal::Compressor::new(level) {
        return Box::new(isal);
    }
    #[cfg(feature = "libdeflate")]
    use libdeflate::Compressor;
    #[cfg(not(feature = "libdeflate"))]
    use zlib_compressor::Compressor;
    Box::new(Compressor::new(level))
}

/// The decompressor.
pub(crate) fn decompressor() -> Box<dyn Decompress> {
    #[cfg(feature = "isal")]
    use isal::Decompressor;
    #[cfg(not(feature = "isal"))]
    use zlib_decompressor::Decompressor;
    Box::new(Decompressor::new())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn compressors() -> Vec<Box<dyn Compress>> {
        let mut all: Vec<Box<dyn Compress>> = Vec::new();
        for level in LEVELS {
            all.push(Box::new(zlib_compressor::Compressor::new(level)));
            #[cfg(feature = "libdeflate")]
            all.push(Box::new(libdeflate::Compressor::new(level)));
            all.push(compressor(level));
        }
        all
    }

    fn decompressors() -> Vec<Box<dyn Decompress>> {
        vec![
            Box::new(zlib_decompressor::Decompressor::new()),
            decompressor(),
        ]
    }

    /// A block by a few numbers (so that a failure is told by these): constant, easy, text or hard.
    #[derive(Debug, Clone, Copy)]
    struct Recipe {
        kind: u8,
        seed: u64,
        size: usize,
    }

    fn recipe() -> impl Strategy<Value = Recipe> {
        (0_u8..4, any::<u64>(), 0..=crate::format::member::BLOCK)
            .prop_map(|(kind, seed, size)| Recipe { kind, seed, size })
    }

    impl Recipe {
        fn block(self) -> Vec<u8> {
            let mut state = self.seed | 1;
            let mut random = move || {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state.to_le_bytes()[0]
            };
            let byte = |at: usize| match self.kind {
                0 => self.seed.to_le_bytes()[0],
                1 => random() % 4,
                2 if at % 20 < 15 => b"INSERT INTO tab"[at % 20],
                _ => random(),
            };
            (0..self.size).map(byte).collect()
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn each_reads_what_any_wrote(recipes in proptest::collection::vec(recipe(), 1..3)) {
            let blocks: Vec<_> = recipes.iter().map(|recipe| recipe.block()).collect();
            for mut compressor in compressors() {
                for block in &blocks {
                    let mut deflate = deflate(compressor.as_mut(), block);
                    for mut decompressor in decompressors() {
                        let mut out = vec![0; block.len()];
                        prop_assert_eq!(decompressor.block(&deflate, &mut out), Ok(()));
                        prop_assert!(&out == block);
                        // Neither more nor less, in or out.
                        let mut longer = vec![0; block.len() + 1];
                        prop_assert!(decompressor.block(&deflate, &mut longer).is_err());
                        if let Some(shorter) = out.len().checked_sub(1) {
                            prop_assert!(decompressor.block(&deflate, &mut out[..shorter]).is_err());
                        }
                        prop_assert!(decompressor.block(&deflate[..deflate.len() - 1], &mut out).is_err());
                        deflate.push(0);
                        prop_assert!(decompressor.block(&deflate, &mut out).is_err());
                        deflate.pop();
                    }
                }
            }
        }

        #[test]
        fn what_went_before_and_what_lies_around_changes_nothing(
            recipes in proptest::collection::vec(recipe(), 2..6)
        ) {
            for level in LEVELS {
                let mut used = compressor(level);
                for (at, recipe) in recipes.iter().enumerate() {
                    let block = recipe.block();
                    let mut bytes = vec![7; at];
                    bytes.extend_from_slice(&block);
                    bytes.extend_from_slice(&block);
                    let found = deflate(used.as_mut(), &bytes[at..at + block.len()]);
                    prop_assert!(inflate(&found, block.len()) == block, "level {}", level);
                }
            }
        }

        #[test]
        fn too_little_room_is_no_compression(seed in any::<u64>(), size in 100_usize..2000) {
            let block = Recipe { kind: 3, seed, size }.block();
            for mut compressor in compressors() {
                let mut out = vec![0; block.len() / 2];
                prop_assert_eq!(compressor.compress(&block, &mut out), None);
                let mut out = vec![0; 2 * block.len() + 100];
                prop_assert!(compressor.compress(&block, &mut out).is_some());
            }
        }

        #[test]
        fn a_block_that_did_not_fit_changes_nothing_of_the_next(
            hard in 70_usize..=crate::format::member::BLOCK,
            room in 0_usize..=110,
            recipe in recipe(),
        ) {
            let hard = Recipe { kind: 3, seed: recipe.seed, size: hard }.block();
            let block = recipe.block();
            for level in LEVELS {
                let zlib: Box<dyn Compress> = Box::new(zlib_compressor::Compressor::new(level));
                for mut used in [compressor(level), zlib] {
                    let mut out = vec![0; hard.len() * room / 110];
                    used.compress(&hard, &mut out);
                    let found = deflate(used.as_mut(), &block);
                    prop_assert!(inflate(&found, block.len()) == block, "level {}", level);
                }
            }
        }

        #[test]
        fn a_member_in_pieces(recipe in recipe(), piece in 1_usize..3000, room in 1_usize..3000) {
            let block = recipe.block();
            let mut bytes = deflate(compressor(3).as_mut(), &block);
            bytes.extend_from_slice(&crc32fast::hash(&block).to_le_bytes());
            bytes.extend_from_slice(&u32::try_from(block.len()).unwrap().to_le_bytes());
            let member = bytes.len();
            bytes.extend_from_slice(b"what follows");
            for mut decompressor in decompressors() {
                let whole = read(decompressor.as_mut(), &bytes, piece, room);
                prop_assert!(whole == Ok((block.clone(), member)));
                for (from_end, bit) in [(1, 1), (4, 128), (5, 2), (8, 64)] {
                    let mut wrong = bytes[..member].to_vec();
                    wrong[member - from_end] ^= bit;
                    let found = read(decompressor.as_mut(), &wrong, piece, room);
                    prop_assert!(found == Err(Corrupt::Sum));
                }
            }
        }
    }

    #[test]
    fn a_higher_level_makes_it_smaller() {
        let rows =
            (0..2000_u32).map(|at| format!("{at}\t{:x}\tan order of {}\n", at * at, at % 97));
        let block = rows.collect::<String>().into_bytes();
        let block = &block[..crate::format::member::BLOCK.min(block.len())];
        let sizes: Vec<_> = LEVELS
            .map(|level| deflate(compressor(level).as_mut(), block).len())
            .collect();
        // The levels of ISA-L, and of zlib-rs, come out in another order in one block and in the next.
        let (low, high) = sizes.split_at(3);
        assert!(low.iter().all(|size| *size > high[5]), "{sizes:?}");
        let grows = high.windows(2).find(|two| two[1] > two[0]);
        assert!(
            grows.is_none() || cfg!(not(feature = "libdeflate")),
            "{sizes:?}"
        );
    }

    fn deflate(codec: &mut dyn Compress, block: &[u8]) -> Vec<u8> {
        let mut deflate = vec![0; 2 * block.len() + 100];
        let length = codec.compress(block, &mut deflate).unwrap();
        deflate.truncate(length);
        deflate
    }

    fn inflate(deflate: &[u8], length: usize) -> Vec<u8> {
        let mut block = vec![0; length];
        decompressor().block(deflate, &mut block).unwrap();
        block
    }

    /// What a member holds and where it ends, read in pieces.
    fn read(
        codec: &mut dyn Decompress,
        bytes: &[u8],
        piece: usize,
        room: usize,
    ) -> Result<(Vec<u8>, usize), Corrupt> {
        codec.restart();
        let (mut sql, mut at) = (Vec::new(), 0);
        let mut out = vec![0; room];
        loop {
            let input = &bytes[at..bytes.len().min(at + piece)];
            let step = codec.stream(input, &mut out)?;
            assert!(step.read + step.written > 0 || step.ended, "no progress");
            sql.extend_from_slice(&out[..step.written]);
            at += step.read;
            if step.ended {
                return Ok((sql, at));
            }
        }
    }
}
