//! zlib-rs compresses, by way of flate2.

use flate2::{Compression, FlushCompress, Status};

use super::Compress;

pub(super) struct Compressor(flate2::Compress);

impl Compressor {
    pub(super) fn new(level: u8) -> Self {
        let level = Compression::new(u32::from(level));
        Self(flate2::Compress::new(level, false))
    }
}

impl Compress for Compressor {
    fn compress(&mut self, block: &[u8], out: &mut [u8]) -> Option<usize> {
        self.0.reset();
        match self.0.compress(block, out, FlushCompress::Finish) {
            Ok(Status::StreamEnd) => usize::try_from(self.0.total_out()).ok(),
            _ => None,
        }
    }
}
