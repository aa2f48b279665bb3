//! A whole file that may be one of ours: the reader does not panic, says the same with one thread and with several, and
//! hands out nothing but what gunzip would.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|file: &[u8]| {
    fuzz::check(file);
    // Behind a CRC-32 that is wrong nothing is ever reached: the same with checksums and lengths that are right.
    fuzz::check(&fuzz::mended(file));
});
