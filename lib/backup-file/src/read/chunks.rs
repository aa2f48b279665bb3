//! The bytes of a file as they are, read ahead.

use std::io::Read;

use super::batch::read;
use crate::format::error::ReadError;
use crate::workers::read_ahead::Source;

/// How many bytes are read into a chunk.
const CHUNK: usize = 256 << 10;

/// A file's bytes, a chunk at a time.
pub(super) struct Chunks {
    input: Box<dyn Read + Send>,
}

/// Some bytes; none at the file's end.
pub(super) struct Chunk {
    bytes: Box<[u8]>,
    filled: usize,
    /// Why nothing could be read.
    pub(super) error: Option<ReadError>,
}

impl Chunks {
    pub(super) fn new(input: Box<dyn Read + Send>) -> Self {
        Self { input }
    }
}

impl Chunk {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.filled]
    }

    fn fill(&mut self, input: &mut dyn Read) -> Result<(), ReadError> {
        self.filled = 0;
        while self.filled < self.bytes.len() {
            let count = read(input, &mut self.bytes[self.filled..])?;
            if count == 0 {
                break;
            }
            self.filled += count;
        }
        Ok(())
    }
}

impl Source for Chunks {
    type Item = Chunk;
    type Tool = ();
    const THREAD: &'static str = "read";

    fn new_item() -> Chunk {
        Chunk {
            // Takes no memory before it is written to.
            bytes: vec![0; CHUNK].into_boxed_slice(),
            filled: 0,
            error: None,
        }
    }

    fn new_tool() {}

    fn fetch(&mut self, chunk: &mut Chunk) -> bool {
        chunk.error = chunk.fill(self.input.as_mut()).err();
        chunk.error.is_none() && chunk.filled > 0
    }

    fn finish(_: &mut Chunk, (): &mut ()) {}
}
