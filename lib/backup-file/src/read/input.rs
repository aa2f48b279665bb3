//! Reading from whatever a backup comes from.

use std::io::{ErrorKind, Read};

use crate::format::error::ReadError;

/// Reads once, and again if a signal interrupts it.
pub(super) fn read(input: &mut dyn Read, buffer: &mut [u8]) -> Result<usize, ReadError> {
    loop {
        match input.read(buffer) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            done => return done.map_err(ReadError::Io),
        }
    }
}

/// Fills the buffer, or as much of it as there is to read; returns how much.
pub(super) fn read_full(input: &mut dyn Read, buffer: &mut [u8]) -> Result<usize, ReadError> {
    let mut filled = 0;
    while filled < buffer.len() {
        let count = read(input, &mut buffer[filled..])?;
        if count == 0 {
            break;
        }
        filled += count;
    }
    Ok(filled)
}
