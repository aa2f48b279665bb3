//! The state of ISA-L's compressor, at an address that changes nothing.
//!
//! On x86-64 what ISA-L's levels 1 and 2 make of a block depends on the address of the `isal_zstream`: before
//! the third byte is hashed, the register that should hold the input is not loaded (`.write_first_byte` in
//! `igzip_icf_body_h1_gr_bt.asm`, as of 2.32), and it still holds that address. Bits 16 to 47 of it choose the
//! bucket that the position is noted in, and so, in one block of some thousands, whether a match is found.
//! What comes out is right all the same, but `--jobs` must not change a byte. So every stream lies where these
//! bits choose bucket 0.

use std::alloc::{Layout, handle_alloc_error};
use std::ffi::c_void;
use std::ops::{Deref, DerefMut};
use std::ptr::{self, NonNull};

use isal_sys::igzip_lib::isal_zstream;
use rustix::io;
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};

/// Where places are looked for: below are the program and its heap, above its libraries and stacks.
const PLACES: std::ops::Range<usize> = 1 << 44..1 << 46;
/// The bits below do not count.
const STEP: usize = 1 << 16;

/// A stream, all zero at first.
pub(super) struct Stream(NonNull<isal_zstream>);

// SAFETY: its memory is its own, and the pointers in it are set anew for each call and not followed between calls.
unsafe impl Send for Stream {}

impl Stream {
    pub(super) fn new() -> Self {
        let placed = PLACES
            .step_by(STEP)
            .filter(|address| is_in_bucket_0(*address))
            .map(|address| map(address, MapFlags::FIXED_NOREPLACE))
            // A place that another stream has.
            .find(|placed| *placed != Err(io::Errno::EXIST));
        // Where there is no such place, the bytes may differ from run to run.
        let memory = match placed {
            Some(Ok(memory)) => Some(memory),
            _ => map(0, MapFlags::empty()).ok(),
        };
        match memory.and_then(|memory| NonNull::new(memory.cast())) {
            Some(stream) => Self(stream),
            None => handle_alloc_error(Layout::new::<isal_zstream>()),
        }
    }
}

impl Deref for Stream {
    type Target = isal_zstream;

    fn deref(&self) -> &isal_zstream {
        // SAFETY: the memory is mapped as long as this lives, large enough, aligned to pages, and was zero at
        // first: a stream is numbers and pointers.
        unsafe { self.0.as_ref() }
    }
}

impl DerefMut for Stream {
    fn deref_mut(&mut self) -> &mut isal_zstream {
        // SAFETY: as above.
        unsafe { self.0.as_mut() }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // SAFETY: it was mapped with this size, and nothing refers to it any more.
        let unmapped = unsafe { munmap(self.0.as_ptr().cast(), size_of::<isal_zstream>()) };
        debug_assert_eq!(unmapped, Ok(()));
    }
}

/// Maps zeros for a stream.
fn map(address: usize, flags: MapFlags) -> io::Result<*mut c_void> {
    // SAFETY: with `FIXED_NOREPLACE`, or without an address, no mapping that is there changes.
    unsafe {
        mmap_anonymous(
            ptr::without_provenance_mut(address),
            size_of::<isal_zstream>(),
            ProtFlags::READ | ProtFlags::WRITE,
            MapFlags::PRIVATE | flags,
        )
    }
}

/// Whether a stream at this address has ISA-L note a block's third position in bucket 0, at any level and for
/// blocks of any size (they use more or fewer of the hash's low bits).
#[cfg(target_arch = "x86_64")]
fn is_in_bucket_0(address: usize) -> bool {
    #[target_feature(enable = "sse4.2")]
    fn hash(data: u32) -> u32 {
        std::arch::x86_64::_mm_crc32_u32(0, data)
    }
    if !is_x86_feature_detected!("sse4.2") {
        // Such a processor runs ISA-L's C, which loads what it hashes.
        return true;
    }
    let bits = u32::try_from(address >> 16).unwrap_or(0);
    // SAFETY: the processor has the instruction.
    let hash = unsafe { hash(bits) };
    hash & (isal_sys::igzip_lib::IGZIP_LVL2_HASH_SIZE - 1) == 0
}

/// Other processors run other code, which loads what it hashes.
#[cfg(not(target_arch = "x86_64"))]
fn is_in_bucket_0(_: usize) -> bool {
    true
}
