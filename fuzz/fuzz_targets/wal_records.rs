//! The records of a segment: found in order, and the same ones in whatever pieces the bytes come; and what goes on in the
//! next one.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wal::{Record, RecordReader};

/// The smallest segment, so that there may be a next one.
const SEGMENT: usize = 1 << 20;

fn records(bytes: &[u8], piece: usize) -> Vec<Record> {
    let (first, next) = bytes.split_at(bytes.len().min(SEGMENT));
    let mut reader = RecordReader::new();
    let mut records = Vec::new();
    for piece in first.chunks(piece) {
        reader.see(piece, &mut |record| records.push(record));
    }
    if let Some(mut begun) = reader.begun() {
        let mut pieces = next.chunks(piece);
        records.extend(pieces.find_map(|it| begun.see(it).break_value()).flatten());
    }
    records
}

fuzz_target!(|bytes: &[u8]| {
    let Some((first, bytes)) = bytes.split_first() else {
        return;
    };
    let whole = records(bytes, bytes.len().max(1));
    assert!(whole.windows(2).all(|pair| pair[0].at < pair[1].at));
    assert_eq!(whole, records(bytes, usize::from(*first).max(1)));
});
