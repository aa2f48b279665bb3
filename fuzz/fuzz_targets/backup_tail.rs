//! A file's end: every section of an index that is found there lies within the file.
#![no_main]

use std::io;

use backup_file::{MARKER, ReadAt, Tail, read_tail};
use flate2::Crc;
use libfuzzer_sys::fuzz_target;

struct Bytes<'a>(&'a [u8]);

impl ReadAt for Bytes<'_> {
    fn size(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_at(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let start = usize::try_from(offset).expect("within the file");
        Ok(self.0[start..start + length].to_vec())
    }
}

fuzz_target!(|file: &[u8]| {
    check(file);
    check(&located(file));
});

fn check(file: &[u8]) {
    if let Ok(Tail::Index(index)) = read_tail(&Bytes(file)) {
        for section in &index.sections {
            let end = section.offset.checked_add(section.length);
            assert!(
                end.is_some_and(|end| end <= file.len() as u64),
                "{section:?}"
            );
        }
    }
}

/// The text as the lines of an index, behind as many bytes of sections as its first byte says, with a locator that is
/// right (docs/format.md).
fn located(text: &[u8]) -> Vec<u8> {
    let (length, text) = text.split_first().unwrap_or((&0, &[]));
    let mut file = vec![0; usize::from(*length)];
    let offset = file.len();
    file.extend(fuzz::stored(
        b"-- index of this backup, one JSON object per line (format.md)\n",
    ));
    for block in text.chunks(60_000) {
        file.extend(fuzz::stored(block));
    }
    let mut crc = Crc::new();
    crc.update(&file[offset..]);
    let locator = format!(
        "-- index offset={offset:020} length={:020} crc32={:08x}\n",
        file.len() - offset,
        crc.sum()
    );
    file.extend(fuzz::stored(locator.as_bytes()));
    file.extend(MARKER);
    file
}
