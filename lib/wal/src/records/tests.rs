use proptest::prelude::*;

use super::*;

const PAGE: usize = 8192;
const SEGMENT: usize = 1 << 20;
const START: u64 = 0x0300_0000;

/// The beginning of one segment or several as PostgreSQL writes it, with records of these kinds and lengths.
struct Written {
    bytes: Vec<u8>,
}

impl Written {
    fn new() -> Self {
        let mut written = Self { bytes: Vec::new() };
        written.page_header(0);
        written
    }

    fn page_header(&mut self, left: usize) {
        let at = self.bytes.len();
        let first = at.is_multiple_of(SEGMENT);
        let info = u16::from(first) << 1 | u16::from(left > 0);
        self.bytes.extend(0xD110_u16.to_le_bytes());
        self.bytes.extend(info.to_le_bytes());
        self.bytes.extend(1_u32.to_le_bytes());
        self.bytes.extend((START + at as u64).to_le_bytes());
        self.bytes
            .extend(u32::try_from(left).unwrap().to_le_bytes());
        self.bytes.extend([0; 4]);
        if first {
            self.bytes.extend(7_u64.to_le_bytes());
            self.bytes.extend((1_u32 << 20).to_le_bytes());
            self.bytes.extend(8192_u32.to_le_bytes());
        }
    }

    /// Fills it up to so many bytes before the end of its segment, at least 64.
    fn fill_to(&mut self, left: usize) {
        let overhead = record(9, 0, 0, &[0; 300]).len() - 300;
        while SEGMENT - self.bytes.len() % SEGMENT > left + 10_000 {
            self.put(&record(9, 0, 0, &[7; 5000]));
        }
        // Within its last page, headers of pages are behind.
        while self.bytes.len() % SEGMENT < SEGMENT - PAGE {
            self.put(&record(9, 0, 0, &[7; 300]));
        }
        let room = SEGMENT - self.bytes.len() % SEGMENT - left;
        self.put(&record(9, 0, 0, &vec![7; room - overhead]));
    }

    fn put(&mut self, record: &[u8]) -> Lsn {
        if self.bytes.len().is_multiple_of(PAGE) {
            self.page_header(0);
        }
        let at = Lsn(START + self.bytes.len() as u64);
        let mut left = record;
        loop {
            let room = PAGE - self.bytes.len() % PAGE;
            let (now, later) = left.split_at(left.len().min(room));
            self.bytes.extend(now);
            left = later;
            if left.is_empty() {
                break;
            }
            self.page_header(left.len());
        }
        self.bytes.resize(self.bytes.len().next_multiple_of(8), 0);
        at
    }

    fn end(mut self) -> Vec<u8> {
        self.bytes
            .resize(self.bytes.len().next_multiple_of(SEGMENT), 0);
        self.bytes
    }
}

fn record(manager: u8, info: u8, xid: u32, data: &[u8]) -> Vec<u8> {
    let mut rest = vec![253, 1, 0];
    match u8::try_from(data.len()) {
        Ok(length) => rest.extend([255, length]),
        Err(_) => {
            rest.push(254);
            rest.extend(u32::try_from(data.len()).unwrap().to_le_bytes());
        }
    }
    rest.extend(data);
    let mut header = u32::try_from(RECORD_HEADER + rest.len())
        .unwrap()
        .to_le_bytes()
        .to_vec();
    header.extend(xid.to_le_bytes());
    header.extend([0; 8]);
    header.extend([info, manager, 0, 0]);
    let mut crc = Digest::new(CrcAlgorithm::Crc32Iscsi);
    crc.update(&rest);
    crc.update(&header);
    header.extend(u32::try_from(crc.finalize()).unwrap().to_le_bytes());
    header.extend(rest);
    header
}

fn read(bytes: &[u8], piece: usize) -> Vec<Record> {
    let mut reader = RecordReader::new();
    let mut records = Vec::new();
    for piece in bytes.chunks(piece) {
        reader.see(piece, &mut |record| records.push(record));
    }
    records
}

fn moment(micros: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(EPOCH * 1_000_000 + micros).unwrap()
}

#[test]
fn what_ends_a_transaction_is_known() {
    let mut written = Written::new();
    let time = 700_000_000_123_456_i64;
    let mut data = time.to_le_bytes().to_vec();
    data.extend([9; 300]);
    let commit = written.put(&record(RM_XACT, 0x80, 5, &data));
    let abort = written.put(&record(RM_XACT, 0x20, 6, &time.to_le_bytes()));
    let prepared = written.put(&record(RM_XACT, 0x30, 0, &time.to_le_bytes()));
    // Assignments end nothing.
    let other = written.put(&record(RM_XACT, 0x50, 7, &time.to_le_bytes()));
    let mut point = time.to_le_bytes().to_vec();
    point.extend(b"before 'it'");
    point.resize(8 + RESTORE_POINT_NAME, 0);
    let point = written.put(&record(RM_XLOG, RESTORE_POINT, 0, &point));
    let tablespace = written.put(&record(RM_TABLESPACE, 0, 8, b"\x07\0\0\0/fast disk\0"));
    let dropped = written.put(&record(RM_TABLESPACE, 0x10, 8, b"\x07\0\0\0"));
    let end = |at, xid, committed| Record {
        at,
        meaning: Meaning::TransactionEnd {
            time: moment(time),
            xid,
            committed,
        },
    };
    let wanted = [
        end(commit, Some(5), true),
        end(abort, Some(6), false),
        end(prepared, None, true),
        Record {
            at: other,
            meaning: Meaning::Other,
        },
        Record {
            at: point,
            meaning: Meaning::RestorePoint {
                time: moment(time),
                name: b"before 'it'".to_vec(),
            },
        },
        Record {
            at: tablespace,
            meaning: Meaning::TablespaceCreation {
                location: b"/fast disk".to_vec(),
            },
        },
        Record {
            at: dropped,
            meaning: Meaning::Other,
        },
    ];
    let bytes = written.end();
    for piece in [1, 39, 8191, 8192, 100_000, 1 << 20] {
        assert_eq!(read(&bytes, piece), wanted, "{piece}");
    }
    // Nothing after a record that is damaged.
    let mut damaged = bytes.clone();
    damaged[usize::try_from(abort.0 - START).unwrap() + 30] ^= 1;
    assert_eq!(read(&damaged, 4096), wanted[..1]);
}

/// The records of the first segment, and what the next ones hold of the one that goes on there.
fn read_over(segments: &[u8], piece: usize) -> (Vec<Record>, Option<Record>) {
    let (first, next) = segments.split_at(SEGMENT);
    let mut reader = RecordReader::new();
    let mut records = Vec::new();
    for piece in first.chunks(piece) {
        reader.see(piece, &mut |record| records.push(record));
    }
    let rest = reader.begun().and_then(|mut begun| {
        next.chunks(piece)
            .find_map(|piece| begun.see(piece).break_value())
            .flatten()
    });
    (records, rest)
}

#[test]
fn a_record_that_goes_on_in_the_next_segment_is_whole_there() {
    let time = 700_000_000_123_456_i64;
    let commit = record(RM_XACT, 0x00, 5, &time.to_le_bytes());
    let tablespace = record(RM_TABLESPACE, 0, 8, b"\x07\0\0\0/fast disk\0");
    let creation = Meaning::TablespaceCreation {
        location: b"/fast disk".to_vec(),
    };
    let end = Meaning::TransactionEnd {
        time: moment(time),
        xid: Some(5),
        committed: true,
    };
    let other = record(9, 0, 0, &[4; 30]);
    for (record, meaning) in [
        (tablespace, creation),
        (commit, end),
        (other, Meaning::Other),
    ] {
        let matters = meaning != Meaning::Other;
        // Records begin at multiples of 8. Of a header that is cut, the kind is not there yet.
        for left in (8..record.len()).step_by(8) {
            let mut written = Written::new();
            written.fill_to(left);
            let at = written.put(&record);
            assert_eq!(at.0, START + (SEGMENT - left) as u64);
            written.put(&record);
            let bytes = written.end();
            let mut reader = RecordReader::new();
            reader.see(&bytes[..SEGMENT], &mut |it| assert!(it.at < at));
            let begun = reader.begun().unwrap();
            assert_eq!(begun.may_matter(), matters || left < 24);
            let wanted = Record {
                at,
                meaning: meaning.clone(),
            };
            for piece in [1, 8192, SEGMENT] {
                let (records, rest) = read_over(&bytes, piece);
                assert!(records.iter().all(|it| it.at < at));
                assert_eq!(rest.as_ref(), Some(&wanted), "{left} {piece}");
            }
            // A damaged one; a segment that is another; one that begins anew, as after a crash; the end of the WAL.
            let mut others = [bytes.clone(), bytes.clone(), bytes.clone(), bytes];
            others[0][SEGMENT + 40] ^= 1;
            others[1][SEGMENT + 8 + 3] ^= 1;
            others[2][SEGMENT + 2] ^= 1;
            others[3].truncate(SEGMENT);
            for other in others {
                assert_eq!(read_over(&other, 8192).1, None, "{left}");
            }
        }
    }
}

#[test]
fn a_record_may_be_longer_than_a_segment() {
    let mut written = Written::new();
    let first = written.put(&record(9, 0, 0, &[1; 100]));
    let long = written.put(&record(9, 0, 0, &vec![2; 2 << 20]));
    let (records, rest) = read_over(&written.end(), 5000);
    let places: Vec<Lsn> = records.iter().map(|it| it.at).collect();
    assert_eq!(places, [first]);
    assert_eq!(rest.map(|it| it.at), Some(long));
    // A segment that ends in zeros has begun nothing.
    let mut written = Written::new();
    written.put(&record(9, 0, 0, &[1; 100]));
    let mut reader = RecordReader::new();
    reader.see(&written.end(), &mut |_| ());
    assert!(reader.begun().is_none());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_record_is_found(lengths in proptest::collection::vec(0..20_000_usize, 0..40), piece in 1..30_000_usize) {
        let mut written = Written::new();
        let wanted: Vec<Lsn> = lengths.iter().map(|length| written.put(&record(9, 0, 0, &vec![3; *length]))).collect();
        let places: Vec<Lsn> = read(&written.end(), piece).iter().map(|it| it.at).collect();
        prop_assert_eq!(places, wanted);
    }

    #[test]
    fn no_bytes_are_too_much_for_it(mut bytes in proptest::collection::vec(any::<u8>(), 0..20_000), changed: bool) {
        if changed {
            let mut written = Written::new();
            written.put(&record(RM_XACT, 0, 1, &[0; 9]));
            let begin = written.end();
            bytes.splice(..bytes.len().min(80), begin[..80].iter().copied());
        }
        read(&bytes, 777);
    }
}

/// A page's address may be anything where a segment is damaged.
#[test]
fn what_begins_within_a_segment_is_none() {
    for address in [u64::MAX - 7, u64::MAX - PAGE as u64 + 1, START + 8] {
        let mut written = Written::new();
        written.put(&record(9, 0, 0, &[7; 3 * PAGE]));
        let mut bytes = written.end();
        bytes[8..16].copy_from_slice(&address.to_le_bytes());
        let mut records = Vec::new();
        RecordReader::new().see(&bytes, &mut |record| records.push(record));
        assert_eq!(records, [], "{address:X}");
    }
}
