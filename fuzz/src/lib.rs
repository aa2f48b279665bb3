//! What a file holds by our reader and by another program's.

use std::io::{Cursor, Read};

use backup_file::{Ending, MARKER, Reader, Report};
use flate2::read::MultiGzDecoder;
use flate2::{Crc, Decompress, FlushDecompress, Status};

/// The most that a few bytes may grow to here, so that one input takes little time.
const MOST: usize = 4 << 20;

/// Reads a file in every way there is, and compares.
pub fn check(file: &[u8]) {
    let one = read(file, 1);
    let several = read(file, 3);
    match (&one, &several) {
        (Outcome::All(sql, report), Outcome::All(other, other_report)) => {
            assert_eq!(sql, other);
            assert_eq!(report, other_report);
        }
        (Outcome::Large, _) | (_, Outcome::Large) | (Outcome::Wrong(_), Outcome::Wrong(_)) => {}
        _ => panic!("{one:?} with one thread, {several:?} with three"),
    }
    let Outcome::All(sql, report) = one else {
        return;
    };
    assert_eq!(report.size, file.len() as u64);
    assert_eq!(report.sql_size, sql.len() as u64);
    let mut gunzipped = Vec::new();
    let taken = MultiGzDecoder::new(file).read_to_end(&mut gunzipped);
    // Zeros and other bytes behind the last member are what gunzip takes, and flate2 does not.
    if taken.is_ok() || report.ending == Ending::Marker {
        assert_eq!(sql, gunzipped);
    }
}

#[derive(Debug)]
enum Outcome {
    All(Vec<u8>, Box<Report>),
    Wrong(#[expect(dead_code, reason = "for a panic's message")] String),
    Large,
}

fn read(file: &[u8], threads: usize) -> Outcome {
    let mut reader = Reader::whole(Box::new(Cursor::new(file.to_vec())), threads);
    let mut sql = Vec::new();
    loop {
        match reader.next() {
            Ok(Some(piece)) => sql.extend_from_slice(piece),
            Ok(None) => break,
            Err(error) => return Outcome::Wrong(error.to_string()),
        }
        if sql.len() > MOST {
            return Outcome::Large;
        }
    }
    match reader.finish() {
        Ok(report) => Outcome::All(sql, Box::new(report)),
        Err(error) => Outcome::Wrong(error.to_string()),
    }
}

/// The file with lengths and checksums of its members that are right, as far as these can be told.
pub fn mended(file: &[u8]) -> Vec<u8> {
    let mut mended = file.to_vec();
    let mut at = 0;
    while let Some(start) = data_of_member(&mended[at..]).map(|length| at + length) {
        let mut inflate = Decompress::new(false);
        let mut crc = Crc::new();
        let mut out = vec![0; 1 << 16];
        let end = loop {
            let (read, written) = (inflate.total_in() as usize, inflate.total_out());
            let step = inflate.decompress(&mended[start + read..], &mut out, FlushDecompress::None);
            let count = (inflate.total_out() - written) as usize;
            crc.update(&out[..count]);
            match step {
                Ok(Status::StreamEnd) => break start + inflate.total_in() as usize,
                Ok(_) if count > 0 && inflate.total_out() < MOST as u64 => {}
                _ => return mended,
            }
        };
        let Some(trailer) = mended.get_mut(end..end + 8) else {
            return mended;
        };
        trailer[..4].copy_from_slice(&crc.sum().to_le_bytes());
        trailer[4..].copy_from_slice(&(inflate.total_out() as u32).to_le_bytes());
        // BSIZE of a BGZF block (SAM specification, section 4.1).
        if mended[at..].starts_with(&[0x1f, 0x8b, 8, 4])
            && mended[at + 12..].starts_with(b"BC\x02\0")
        {
            let size = (end + 8 - at - 1) as u16;
            mended[at + 16..at + 18].copy_from_slice(&size.to_le_bytes());
        }
        at = end + 8;
    }
    mended
}

/// The length of a member's header (RFC 1952, section 2.3), if one begins here.
fn data_of_member(bytes: &[u8]) -> Option<usize> {
    let (&[0x1f, 0x8b, 8, flags, ..], true) = (bytes, bytes.len() > 10) else {
        return None;
    };
    let mut length = 10;
    if flags & 4 != 0 {
        let extra = bytes.get(length..length + 2)?;
        length += 2 + usize::from(u16::from_le_bytes([extra[0], extra[1]]));
    }
    for text in [8, 16] {
        if flags & text != 0 {
            length += bytes.get(length..)?.iter().position(|byte| *byte == 0)? + 1;
        }
    }
    if flags & 2 != 0 {
        length += 2;
    }
    (length <= bytes.len()).then_some(length)
}

/// A BGZF block that stores the bytes as they are.
pub fn stored(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).expect("a block");
    let mut member = MARKER[..18].to_vec();
    member.push(1);
    member.extend(length.to_le_bytes());
    member.extend((!length).to_le_bytes());
    member.extend(bytes);
    member.extend([0; 8]);
    mended(&member)
}
