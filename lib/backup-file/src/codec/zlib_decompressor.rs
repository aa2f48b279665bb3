//! zlib-rs decompresses, by way of flate2.

use flate2::{FlushDecompress, Status};

use super::{Corrupt, Decompress, Step};

/// How many bytes follow the deflate stream.
const TRAILER: usize = 8;

pub(super) struct Decompressor {
    inflate: flate2::Decompress,
    crc32: crc32fast::Hasher,
    /// Set when the deflate stream has ended: as much of the trailer as has come.
    trailer: Option<Vec<u8>>,
}

impl Decompressor {
    pub(super) fn new() -> Self {
        Self {
            inflate: flate2::Decompress::new(false),
            crc32: crc32fast::Hasher::new(),
            trailer: None,
        }
    }

    fn inflate(
        &mut self,
        input: &[u8],
        out: &mut [u8],
        flush: FlushDecompress,
    ) -> Result<Step, Corrupt> {
        let (read, written) = (self.inflate.total_in(), self.inflate.total_out());
        let status = self
            .inflate
            .decompress(input, out, flush)
            .map_err(|_| Corrupt::Data)?;
        let length = |count| usize::try_from(count).map_err(|_| Corrupt::Data);
        Ok(Step {
            read: length(self.inflate.total_in() - read)?,
            written: length(self.inflate.total_out() - written)?,
            ended: status == Status::StreamEnd,
        })
    }

    /// Whether the trailer (RFC 1952: CRC-32, ISIZE) is right for what was decompressed.
    fn sums_are(&self, trailer: &[u8]) -> bool {
        // ISIZE is the length modulo 2^32.
        let length = self.inflate.total_out().to_le_bytes();
        let crc32 = self.crc32.clone().finalize().to_le_bytes();
        trailer == [&crc32, &length[..4]].concat()
    }
}

impl Decompress for Decompressor {
    fn block(&mut self, deflate: &[u8], out: &mut [u8]) -> Result<(), Corrupt> {
        self.inflate.reset(false);
        let step = self.inflate(deflate, out, FlushDecompress::Finish)?;
        if step.ended && step.read == deflate.len() && step.written == out.len() {
            Ok(())
        } else {
            Err(Corrupt::Data)
        }
    }

    fn restart(&mut self) {
        self.inflate.reset(false);
        self.crc32.reset();
        self.trailer = None;
    }

    fn stream(&mut self, input: &[u8], out: &mut [u8]) -> Result<Step, Corrupt> {
        let mut step = Step::default();
        if self.trailer.is_none() {
            step = self.inflate(input, out, FlushDecompress::None)?;
            self.crc32.update(&out[..step.written]);
            if !step.ended {
                return Ok(step);
            }
        }
        let mut trailer = self.trailer.take().unwrap_or_default();
        let rest = &input[step.read..];
        let taken = rest.len().min(TRAILER - trailer.len());
        trailer.extend_from_slice(&rest[..taken]);
        step.read += taken;
        step.ended = trailer.len() == TRAILER;
        if step.ended && !self.sums_are(&trailer) {
            return Err(Corrupt::Sum);
        }
        self.trailer = Some(trailer);
        Ok(step)
    }
}
