//! zlib-rs compresses, by way of flate2.

use flate2::{Compression, FlushCompress, Status};

use super::Compress;

pub(super) struct Compressor {
    level: Compression,
    deflate: flate2::Compress,
}

impl Compressor {
    pub(super) fn new(level: u8) -> Self {
        let level = Compression::new(u32::from(level));
        Self {
            level,
            deflate: flate2::Compress::new(level, false),
        }
    }
}

impl Compress for Compressor {
    fn compress(&mut self, block: &[u8], out: &mut [u8]) -> Option<usize> {
        match self.deflate.compress(block, out, FlushCompress::Finish) {
            Ok(Status::StreamEnd) => {
                let length = usize::try_from(self.deflate.total_out()).ok();
                self.deflate.reset();
                length
            }
            // A reset in the middle of a stream keeps some of it (zlib-rs 0.6), which would damage the next stream.
            _ => {
                self.deflate = flate2::Compress::new(self.level, false);
                None
            }
        }
    }
}
