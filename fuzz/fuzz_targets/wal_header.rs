//! The headers of segments and of pg_control: read or refused, whatever the bytes, and never for two places.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wal::{ControlFile, LongHeader, Segment};

fuzz_target!(|bytes: &[u8]| {
    let _ = ControlFile::read(bytes);
    let Ok(header) = LongHeader::read(bytes) else {
        return;
    };
    let segment = Segment::holding(header.timeline, header.address, header.segment_size);
    let is_its_own = header.check(segment).is_ok();
    assert_eq!(
        is_its_own,
        header.address.0 % header.segment_size.bytes() == 0
    );
    if let Some(next) = segment.next(header.segment_size) {
        assert!(header.check(next).is_err());
    }
});
