//! ISA-L, by its C interface (`igzip_lib.h`).
//!
//! On x86-64 what levels 1 and 2 make of a few blocks depends on the address of the `isal_zstream`: before the third
//! byte is hashed, the register that should hold the input is not loaded (`.write_first_byte` in
//! `igzip_icf_body_h1_gr_bt.asm`, as of 2.32). What comes out is right all the same, but in one block of some thousands
//! another match is found, and the bytes differ from run to run.

#![expect(
    unsafe_code,
    reason = "ISA-L is C; the safe crate above it cannot keep its buffers from block to block"
)]

use std::mem::MaybeUninit;

use isal_sys::igzip_lib as isal;

use super::{Compress, Corrupt, Decompress, Step};

/// Compresses at ISA-L's levels 1 to 3.
pub(super) struct Compressor {
    stream: Box<isal::isal_zstream>,
    level: u8,
    /// ISA-L's working memory; the type is only for the alignment.
    memory: Vec<u128>,
}

// SAFETY: the stream's pointers are set anew for each call and not followed between calls.
unsafe impl Send for Compressor {}

impl Compressor {
    /// The compressor of a level; none if ISA-L has no such level.
    pub(super) fn new(level: u8) -> Option<Self> {
        // "Large" has room for the tokens of 64 KiB: a member is one deflate block.
        let size = match level {
            1 => isal::ISAL_DEF_LVL1_LARGE,
            2 => isal::ISAL_DEF_LVL2_LARGE,
            3 => isal::ISAL_DEF_LVL3_LARGE,
            _ => return None,
        };
        Some(Self {
            // SAFETY: zero is a number, and a pointer that is not followed before it is set.
            stream: Box::new(unsafe { MaybeUninit::zeroed().assume_init() }),
            level,
            memory: vec![0; length(size).div_ceil(size_of::<u128>())],
        })
    }
}

impl Compress for Compressor {
    fn compress(&mut self, block: &[u8], out: &mut [u8]) -> Option<usize> {
        let stream = &mut *self.stream;
        // SAFETY: it sets fields of the stream, no more.
        unsafe { isal::isal_deflate_stateless_init(stream) };
        stream.level = u32::from(self.level);
        stream.level_buf = self.memory.as_mut_ptr().cast();
        stream.level_buf_size = count(size_of_val(self.memory.as_slice()));
        stream.end_of_stream = 1;
        // The library does not write to its input, though the field is not const.
        stream.next_in = block.as_ptr().cast_mut();
        stream.avail_in = count(block.len());
        stream.next_out = out.as_mut_ptr();
        stream.avail_out = count(out.len());
        // SAFETY: input, output and memory are as long as said, and live during the call.
        let done = unsafe { isal::isal_deflate_stateless(stream) };
        (u32::try_from(done) == Ok(isal::COMP_OK)).then(|| length(stream.total_out))
    }
}

pub(super) struct Decompressor(Box<isal::inflate_state>);

// SAFETY: the state's pointers are set anew for each call and not followed between calls.
unsafe impl Send for Decompressor {}

impl Decompressor {
    pub(super) fn new() -> Self {
        // SAFETY: zero is a number, and a pointer that is not followed before it is set.
        Self(Box::new(unsafe { MaybeUninit::zeroed().assume_init() }))
    }

    fn set(&mut self, input: &[u8], out: &mut [u8]) {
        // The library does not write to its input, though the field is not const.
        self.0.next_in = input.as_ptr().cast_mut();
        self.0.avail_in = count(input.len());
        self.0.next_out = out.as_mut_ptr();
        self.0.avail_out = count(out.len());
    }
}

impl Decompress for Decompressor {
    fn block(&mut self, deflate: &[u8], out: &mut [u8]) -> Result<(), Corrupt> {
        self.set(deflate, out);
        self.0.crc_flag = isal::ISAL_DEFLATE;
        // SAFETY: input and output are as long as said, and live during the call.
        let done = unsafe { isal::isal_inflate_stateless(self.0.as_mut()) };
        let whole = self.0.avail_in == 0 && self.0.avail_out == 0;
        if u32::try_from(done) == Ok(isal::ISAL_DECOMP_OK) && whole {
            Ok(())
        } else {
            Err(Corrupt::Data)
        }
    }

    fn restart(&mut self) {
        // SAFETY: it sets fields of the state, no more.
        unsafe { isal::isal_inflate_init(self.0.as_mut()) };
        // No header (it was read already), but the trailer, which is checked.
        self.0.crc_flag = isal::ISAL_GZIP_NO_HDR_VER;
    }

    fn stream(&mut self, input: &[u8], out: &mut [u8]) -> Result<Step, Corrupt> {
        self.set(input, out);
        // SAFETY: input and output are as long as said, and live during the call.
        let done = unsafe { isal::isal_inflate(self.0.as_mut()) };
        match done {
            OK => Ok(Step {
                read: input.len() - length(self.0.avail_in),
                written: out.len() - length(self.0.avail_out),
                ended: self.0.block_state == isal::isal_block_state_ISAL_BLOCK_FINISH,
            }),
            isal::ISAL_INCORRECT_CHECKSUM => Err(Corrupt::Sum),
            _ => Err(Corrupt::Data),
        }
    }
}

const OK: i32 = 0;

/// A length as C has it. Of what is longer, ISA-L sees only the first 4 GiB.
fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

fn length(count: u32) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}
