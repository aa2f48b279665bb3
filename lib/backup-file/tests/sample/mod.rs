//! Backups to test with.
#![allow(dead_code, reason = "each test file takes what it needs")]
#![allow(clippy::unwrap_used, reason = "this is test code")]

use std::io::{self, Cursor, Read};
use std::time::Duration;

use backup_file::{About, Excluded, MARKER, Options, ReadAt, Reader, Report, SectionKind, Writer};
use chrono::DateTime;

/// How long the dump of each section took.
pub(crate) const TOOK: Duration = Duration::from_millis(1500);

pub(crate) struct Bytes(pub(crate) Vec<u8>);

impl ReadAt for Bytes {
    fn size(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_at(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let from = usize::try_from(offset).unwrap();
        Ok(self.0[from..from + length].to_vec())
    }
}

pub(crate) fn options(level: u8, threads: usize) -> Options {
    Options { level, threads }
}

pub(crate) fn about() -> About {
    let moment = |text| DateTime::parse_from_rfc3339(text).unwrap().to_utc();
    About {
        server_version: "15.18 (Debian 15.18-0+deb12u1)".into(),
        client_version: "15.18 (Debian 15.18-0+deb12u1)".into(),
        encoding: None,
        excluded: Excluded::default(),
        server_role: None,
        started: moment("2025-11-23T02:00:00Z"),
        finished: moment("2025-11-23T02:00:07.25Z"),
    }
}

/// Text that is neither easy nor hard to compress, the same each time.
pub(crate) fn text(size: usize) -> Vec<u8> {
    let mut text = Vec::with_capacity(size + 40);
    let mut state = 1_u64;
    while text.len() < size {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let line = format!("{}\tname {}\t{:x}\n", text.len(), state >> 60, state >> 40);
        text.extend_from_slice(line.as_bytes());
    }
    text.truncate(size);
    text
}

/// The SQL of sections of these sizes.
pub(crate) fn sections(sizes: &[usize]) -> Vec<Vec<u8>> {
    sizes.iter().map(|size| text(*size)).collect()
}

pub(crate) fn kind(at: usize, count: usize) -> SectionKind {
    match at {
        0 => SectionKind::Globals,
        last if last == count - 1 => SectionKind::End,
        other => SectionKind::Database(format!("grün \"{other}\"\n\\connect x").into()),
    }
}

/// A backup with sections of these sizes: globals, databases, end.
pub(crate) fn backup(sizes: &[usize], options: Options) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), options);
    for (at, sql) in sections(sizes).into_iter().enumerate() {
        writer.begin(kind(at, sizes.len())).unwrap();
        // The clock is not in the file: it is the same each time.
        writer.took(TOOK);
        // Odd pieces: they leave no trace in the file.
        for piece in sql.chunks(options.threads * 50_001) {
            writer.write_all(piece).unwrap();
        }
    }
    writer.finish(about()).unwrap()
}

/// All SQL of a file that is good, and the report on it.
pub(crate) fn sql_of(file: &[u8], threads: usize) -> (Vec<u8>, Report) {
    let mut reader = Reader::whole(Box::new(Cursor::new(file.to_vec())), threads);
    let mut sql = Vec::new();
    while let Some(piece) = reader.next().unwrap() {
        sql.extend_from_slice(piece);
    }
    let report = reader.finish().unwrap();
    assert_eq!(report.sql_size, sql.len() as u64);
    (sql, report)
}

/// A member that stores some bytes.
pub(crate) fn stored(block: &[u8]) -> Vec<u8> {
    let length = u16::try_from(block.len()).unwrap();
    let mut member = MARKER[..16].to_vec();
    member.extend_from_slice(&(length + 30).to_le_bytes());
    member.push(1);
    member.extend_from_slice(&length.to_le_bytes());
    member.extend_from_slice(&(!length).to_le_bytes());
    member.extend_from_slice(block);
    member.extend_from_slice(&crc32fast::hash(block).to_le_bytes());
    member.extend_from_slice(&u32::from(length).to_le_bytes());
    member
}

/// These members with an index of these lines, by the book but for the lines.
pub(crate) fn with_tail(members: &[u8], lines: &str) -> Vec<u8> {
    let (head, rest) = lines.split_once('\n').unwrap();
    let index = [
        stored(format!("{head}\n").as_bytes()),
        stored(rest.as_bytes()),
    ]
    .concat();
    let locator = format!(
        "-- index offset={:020} length={:020} crc32={:08x}\n",
        members.len(),
        index.len(),
        crc32fast::hash(&index)
    );
    [members, &index, &stored(locator.as_bytes()), &MARKER].concat()
}

/// What the members before the index hold: the same however the SQL was compressed.
pub(crate) fn blocks(file: &[u8]) -> Vec<Vec<u8>> {
    let (mut rest, mut blocks) = (file, Vec::new());
    while rest != MARKER {
        let bsize = u16::from_le_bytes([rest[16], rest[17]]);
        let (member, others) = rest.split_at(usize::from(bsize) + 1);
        let mut block = Vec::new();
        let mut decoder = flate2::read::GzDecoder::new(member);
        decoder.read_to_end(&mut block).unwrap();
        if block.starts_with(b"-- index of this backup") {
            break;
        }
        blocks.push(block);
        rest = others;
    }
    blocks
}
