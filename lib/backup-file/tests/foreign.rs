//! gzip of other programs: any number of members, any header, read as strictly as gunzip does and beyond.

#![allow(clippy::unwrap_used, clippy::panic, reason = "this is test code")]

mod sample;

use std::io::{Cursor, Read, Write};

use backup_file::{Ending, MARKER, ReadError, Reader, Report};
use flate2::write::GzEncoder;
use flate2::{Compression, GzBuilder};
use proptest::prelude::*;
use sample::{options, sql_of, text};

fn gzip(sql: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(sql).unwrap();
    encoder.finish().unwrap()
}

/// With every part of a header that there is.
fn gzip_with_header(sql: &[u8]) -> Vec<u8> {
    let mut encoder = GzBuilder::new()
        .filename("backup.sql")
        .comment("made by another")
        .extra(b"AP\x03\x00abc".to_vec())
        .mtime(1_700_000_000)
        .write(Vec::new(), Compression::fast());
    encoder.write_all(sql).unwrap();
    encoder.finish().unwrap()
}

/// The same member with the CRC-16 of its header.
fn with_header_sum(mut member: Vec<u8>, header: usize) -> Vec<u8> {
    member[3] |= 2;
    let sum = crc32fast::hash(&member[..header]).to_le_bytes();
    member.splice(header..header, [sum[0], sum[1]]);
    member
}

/// Gives a few bytes at a time.
struct Trickle(Cursor<Vec<u8>>, usize);

impl Read for Trickle {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let most = buffer.len().min(self.1);
        self.0.read(&mut buffer[..most])
    }
}

fn check(file: &[u8], threads: usize) -> Result<Report, ReadError> {
    Reader::whole(Box::new(Cursor::new(file.to_vec())), threads).finish()
}

fn damage(file: &[u8]) -> String {
    let [one, two] = [1, 2].map(|threads| match check(file, threads) {
        Err(ReadError::Damaged(what)) => what,
        other => panic!("not damaged: {other:?}"),
    });
    assert_eq!(one, two);
    one
}

#[test]
fn members_of_every_kind() {
    let sql = text(3_000_000);
    let (first, rest) = sql.split_at(1_000_000);
    let (second, third) = rest.split_at(77);
    let with_sum = |member| with_header_sum(member, 10);
    for (file, members) in [
        (gzip(&sql), 1),
        (gzip_with_header(&sql), 1),
        (with_sum(gzip(&sql)), 1),
        (
            [gzip(first), gzip_with_header(second), with_sum(gzip(third))].concat(),
            3,
        ),
        ([gzip(b""), gzip(&sql), gzip(b"")].concat(), 3),
    ] {
        for threads in [1, 2, 4] {
            let (read, report) = sql_of(&file, threads);
            assert!(read == sql);
            assert_eq!((report.ending, report.index), (Ending::Foreign, None));
            assert_eq!((report.members, report.size), (members, file.len() as u64));
        }
    }
}

#[test]
fn large_and_easy_in_bounded_pieces() {
    let sql = vec![b'x'; 50_000_000];
    let file = gzip(&sql);
    for threads in [1, 2] {
        let mut reader = Reader::whole(Box::new(Cursor::new(file.clone())), threads);
        let mut sum = 0;
        while let Some(piece) = reader.next().unwrap() {
            assert!(!piece.is_empty() && piece.len() <= 1 << 20);
            sum += piece.len();
        }
        assert_eq!(sum, sql.len());
        reader.finish().unwrap();
    }
}

#[test]
fn what_came_in_small_reads() {
    let sql = text(200_000);
    for file in [
        gzip_with_header(&sql),
        sample::backup(&[200_000, 7], options(3, 1)),
    ] {
        for piece in [1, 7, 5000] {
            for threads in [1, 2] {
                let input = Trickle(Cursor::new(file.clone()), piece);
                let report = Reader::whole(Box::new(input), threads).finish().unwrap();
                assert_eq!(report, check(&file, 1).unwrap());
            }
        }
    }
}

#[test]
fn every_bit_that_means_something() {
    let sql = text(400);
    let file = with_header_sum(gzip(&sql), 10);
    for at in 0..file.len() {
        for bit in 0..8 {
            let mut flipped = file.clone();
            flipped[at] ^= 1 << bit;
            // After the end of the deflate stream there may be bits that mean nothing.
            if at == file.len() - 9 {
                continue;
            }
            let found = check(&flipped, 1);
            assert!(
                matches!(found, Err(ReadError::Damaged(_))),
                "bit {bit} of byte {at}: {found:?}"
            );
        }
    }
}

#[test]
fn every_cut() {
    let (first, second) = (gzip_with_header(&text(90)), gzip(&text(60)));
    let file = [&first[..], &second].concat();
    for length in 0..file.len() {
        if length == 0 {
            assert_eq!(damage(b""), "the file is empty");
        } else if length == first.len() {
            // Nobody can know.
            assert_eq!(check(&first, 1).unwrap().ending, Ending::Foreign);
        } else {
            let what = damage(&file[..length]);
            let member = if length < first.len() { 0 } else { first.len() };
            let wanted = format!(
                "the file is cut: it ends at byte {length}, inside the member that begins at byte {member}"
            );
            assert!(what == wanted, "{what}");
        }
    }
}

#[test]
fn what_follows_the_last_member() {
    let file = gzip(&text(300));
    for more in [&[0; 512][..], b"garbage after the last member"] {
        let what = damage(&[&file, more].concat());
        let at = file.len();
        assert_eq!(
            what,
            format!("at byte {at}, after the last member, there are bytes that are no gzip")
        );
    }
}

#[test]
fn members_of_both_kinds_are_a_damaged_header() {
    let file = sample::backup(&[300, 20], options(3, 1));
    for (at, bit) in [(3, 1), (4, 1), (8, 2), (9, 1), (12, 1), (13, 4)] {
        let mut flipped = file.clone();
        flipped[at] ^= bit;
        let what = damage(&flipped);
        assert!(
            what.contains("is a BGZF block, those before it are not"),
            "{at}: {what}"
        );
    }
    let what = damage(&[gzip(b"SELECT 1;\n"), MARKER.to_vec()].concat());
    assert!(what.contains("is a BGZF block"), "{what}");
    let what = damage(&[&file[..file.len() - MARKER.len()], &gzip(b"")].concat());
    assert!(what.contains("its header is not a BGZF member's"), "{what}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_end_in_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..300), kind in 0..4) {
        let head: &[u8] = match kind {
            0 => &[],
            1 => &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3],
            2 => &MARKER[..16],
            _ => &[0x1f, 0x8b, 8, 0x1e],
        };
        let file = [head, &bytes].concat();
        let [one, two] = [1, 2].map(|threads| check(&file, threads).map_err(|error| error.to_string()));
        prop_assert_eq!(one, two);
    }
}
