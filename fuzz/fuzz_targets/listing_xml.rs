//! The XML of List Blobs: in bounded time and memory, whatever it is.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    let _ = azure_blob::is_listing(body);
});
