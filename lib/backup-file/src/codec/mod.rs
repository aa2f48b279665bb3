//! What compresses and decompresses: ISA-L where it is built in, else zlib-rs. Each reads what the other wrote.

#[cfg(any())]
mod isal;
mod zlib;

/// Compresses blocks. What comes out depends on the block and the level alone.
pub(crate) trait Compress: Send {
    /// Writes the deflate stream of `block` to `out` and says its length; none if `out` is too small.
    fn compress(&mut self, block: &[u8], out: &mut [u8]) -> Option<usize>;
}

/// Decompresses deflate streams.
pub(crate) trait Decompress: Send {
    /// Decompresses a whole stream: exactly `deflate` in, exactly `out` out.
    fn block(&mut self, deflate: &[u8], out: &mut [u8]) -> Result<(), Corrupt>;

    /// Begins a stream that comes in pieces.
    fn restart(&mut self);

    /// Goes on with the stream: reads some of `input`, fills some of `out`.
    fn stream(&mut self, input: &[u8], out: &mut [u8]) -> Result<Step, Corrupt>;
}

/// How far a stream got.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step {
    /// Bytes of the input that were used.
    pub(crate) read: usize,
    /// Bytes of the output that were filled.
    pub(crate) written: usize,
    /// The stream has ended.
    pub(crate) ended: bool,
}

/// The deflate stream is none, or not of the length that was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Corrupt;

/// The compressor of a level (of `LEVELS`).
pub(crate) fn compressor(level: u8) -> Box<dyn Compress> {
    #[cfg(any())]
    if let Some(isal) = isal::Compressor::new(level) {
        return Box::new(isal);
    }
    Box::new(zlib::Compressor::new(level))
}

/// The decompressor.
pub(crate) fn decompressor() -> Box<dyn Decompress> {
    #[cfg(any())]
    return Box::new(isal::Decompressor::new());
    #[cfg(all())]
    Box::new(zlib::Decompressor::new())
}
