//! libdeflate compresses.

use libdeflater::CompressionLvl;

use super::Compress;

pub(super) struct Compressor(libdeflater::Compressor);

impl Compressor {
    /// The compressor of a level, 1 to 9; they are libdeflate's own. A level outside of these is its default, 6.
    ///
    /// libdeflate has three more: its 12 takes ten times as long as its 9, for 2 % fewer bytes.
    pub(super) fn new(level: u8) -> Self {
        let level = CompressionLvl::new(i32::from(level)).unwrap_or_default();
        Self(libdeflater::Compressor::new(level))
    }
}

impl Compress for Compressor {
    fn compress(&mut self, block: &[u8], out: &mut [u8]) -> Option<usize> {
        self.0.deflate_compress(block, out).ok()
    }
}
