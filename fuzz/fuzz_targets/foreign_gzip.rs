//! A file of another program: read as gunzip reads it.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|file: &[u8]| {
    let mut file = file.to_vec();
    // The first member is none of ours, whatever follows it.
    for (at, byte) in [0x1f, 0x8b, 8, 0].into_iter().enumerate() {
        if let Some(place) = file.get_mut(at) {
            *place = byte;
        }
    }
    fuzz::check(&fuzz::mended(&file));
});
