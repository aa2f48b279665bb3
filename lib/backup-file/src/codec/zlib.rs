//! zlib-rs, by way of flate2.

use flate2::{Compression, FlushCompress, FlushDecompress, Status};

use super::{Compress, Corrupt, Decompress, Step};

pub(super) struct Compressor(flate2::Compress);

impl Compressor {
    pub(super) fn new(level: u8) -> Self {
        Self(flate2::Compress::new(
            Compression::new(u32::from(level)),
            false,
        ))
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

#[cfg_attr(
    any(),
    expect(dead_code, reason = "ISA-L decompresses; the tests compare the two")
)]
pub(super) struct Decompressor(flate2::Decompress);

#[cfg_attr(
    any(),
    expect(dead_code, reason = "ISA-L decompresses; the tests compare the two")
)]
impl Decompressor {
    pub(super) fn new() -> Self {
        Self(flate2::Decompress::new(false))
    }
}

impl Decompress for Decompressor {
    fn block(&mut self, deflate: &[u8], out: &mut [u8]) -> Result<(), Corrupt> {
        self.restart();
        let step = self.advance(deflate, out, FlushDecompress::Finish)?;
        let whole = step.ended && step.read == deflate.len() && step.written == out.len();
        if whole { Ok(()) } else { Err(Corrupt) }
    }

    fn restart(&mut self) {
        self.0.reset(false);
    }

    fn stream(&mut self, input: &[u8], out: &mut [u8]) -> Result<Step, Corrupt> {
        self.advance(input, out, FlushDecompress::None)
    }
}

impl Decompressor {
    fn advance(
        &mut self,
        input: &[u8],
        out: &mut [u8],
        flush: FlushDecompress,
    ) -> Result<Step, Corrupt> {
        let before = (self.0.total_in(), self.0.total_out());
        let status = self.0.decompress(input, out, flush).map_err(|_| Corrupt)?;
        let passed = |from, to| usize::try_from(to - from).map_err(|_| Corrupt);
        Ok(Step {
            read: passed(before.0, self.0.total_in())?,
            written: passed(before.1, self.0.total_out())?,
            ended: status == Status::StreamEnd,
        })
    }
}
