//! The bytes of a file as they are, read ahead.

use std::io::Read;

use super::input::read_full;
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
        let filled = read_full(self.input.as_mut(), &mut chunk.bytes);
        chunk.filled = *filled.as_ref().unwrap_or(&0);
        chunk.error = filled.err();
        chunk.filled > 0
    }

    fn finish(_: &mut Chunk, (): &mut ()) {}
}
