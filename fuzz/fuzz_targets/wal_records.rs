//! The records of a segment: found in order, and the same ones in whatever pieces the bytes come.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wal::{Record, RecordReader};

fn records(bytes: &[u8], piece: usize) -> Vec<Record> {
    let mut reader = RecordReader::new();
    let mut records = Vec::new();
    for piece in bytes.chunks(piece) {
        reader.see(piece, &mut |record| records.push(record));
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
