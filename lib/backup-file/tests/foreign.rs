//! gzip of other programs: any number of members, any header, read as strictly as gunzip does and beyond.

#![allow(clippy::unwrap_used, clippy::panic, reason = "this is test code")]

mod sample;

use std::io::{Cursor, Read, Write};
use std::process::{Command, Stdio};
use std::thread;

use backup_file::{
    Ending, MARKER, ReadError, Reader, Report, SectionKind, Tail, Writer, read_tail,
};
use flate2::write::GzEncoder;
use flate2::{Compression, GzBuilder};
use proptest::prelude::*;
use sample::{Bytes, options, sql_of, text};

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
    for file in [
        gzip(&text(300)),
        bgzf(&text(300)),
        [bgzf(b"a"), gzip(b"b")].concat(),
    ] {
        for more in [
            &b"garbage after the last member"[..],
            b"\0\0\0garbage",
            b"\x1e\x8b",
        ] {
            // gunzip says that it ignores it, and ends with 2.
            let what = damage(&[&file, more].concat());
            let at = file.len();
            assert_eq!(
                what,
                format!("at byte {at}, after the last member, there are bytes that are no gzip")
            );
        }
    }
}

#[test]
fn zero_bytes_after_the_last_member_are_padding() {
    let sql = text(100_000);
    for (file, ending, tail) in [
        (gzip(&sql), Ending::Foreign, Tail::Foreign),
        (bgzf(&sql), Ending::Marker, Tail::Marker),
        (bgzf(&[]), Ending::Marker, Tail::Marker),
        (
            [bgzf(&sql), gzip(b"")].concat(),
            Ending::Foreign,
            Tail::Foreign,
        ),
        (
            [gzip(b""), bgzf(&sql)].concat(),
            Ending::Foreign,
            Tail::Marker,
        ),
        // A tail that a file system has lost is none.
        (
            without_marker(&bgzf(&sql)),
            Ending::NoMarker,
            Tail::NoMarker,
        ),
    ] {
        for padding in [1, 8, 9, 10, 138, 139, 10_240, 3 << 20] {
            let file = [&file[..], &vec![0; padding]].concat();
            for threads in [1, 2, 3] {
                let report = check(&file, threads).unwrap();
                assert_eq!(report.ending, ending, "{padding}");
                assert_eq!(report.size, file.len() as u64);
            }
            assert_eq!(read_tail(&Bytes(file)).unwrap(), tail, "{padding}");
        }
    }
    let endless = [bgzf(&sql), vec![0; (64 << 20) + 100]].concat();
    assert!(damage(&endless).contains("more than 64 MiB of zero bytes"));
    assert!(read_tail(&Bytes(endless)).is_err());
    assert_eq!(damage(&[0; 100]), "this is no gzip file");
}

/// As `bgzip` writes it: BGZF, without our index.
fn bgzf(sql: &[u8]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), options(3, 1));
    writer.begin(SectionKind::Globals).unwrap();
    writer.write_all(sql).unwrap();
    writer.finish_without_index().unwrap()
}

fn without_marker(file: &[u8]) -> Vec<u8> {
    file.strip_suffix(&MARKER).unwrap().to_vec()
}

/// The same, with something in its header that is BGZF, but not as we write it.
fn other_bgzf(sql: &[u8]) -> Vec<u8> {
    let mut file = bgzf(sql);
    file[4] = 7;
    file
}

/// What gunzip makes of a file, and how it ends.
fn gunzip(file: &[u8]) -> (Vec<u8>, Option<i32>) {
    let mut child = Command::new("gunzip")
        .arg("-c")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let file = file.to_vec();
    let feed = thread::spawn(move || drop(stdin.write_all(&file)));
    let done = child.wait_with_output().unwrap();
    feed.join().unwrap();
    (done.stdout, done.status.code())
}

/// A part of a file, by whoever made it, and how such a file ends.
fn part(kind: u8, sql: &[u8]) -> (Vec<u8>, Ending) {
    match kind {
        0 => (gzip(sql), Ending::Foreign),
        1 => (gzip_with_header(sql), Ending::Foreign),
        2 => (with_header_sum(gzip(sql), 10), Ending::Foreign),
        3 => (bgzf(sql), Ending::Marker),
        4 => (other_bgzf(sql), Ending::Marker),
        5 => (MARKER.to_vec(), Ending::Marker),
        6 => (gzip(b""), Ending::Foreign),
        _ => (without_marker(&bgzf(sql)), Ending::NoMarker),
    }
}

#[test]
fn markers_in_the_middle_and_members_of_changing_kind() {
    let sql = text(150_000);
    for first in 0..8 {
        for second in 0..8 {
            for third in [0, 3, 7] {
                let parts = [first, second, third].map(|kind| part(kind, &sql));
                let file: Vec<u8> = parts.iter().flat_map(|(bytes, _)| bytes.clone()).collect();
                let (wanted, code) = gunzip(&file);
                assert_eq!(code, Some(0));
                let said = format!("{first} {second} {third}");
                let plain = [first, second, third]
                    .iter()
                    .any(|it| [0, 1, 2, 4, 6].contains(it));
                let ending = match third {
                    0 => Ending::Foreign,
                    7 => Ending::NoMarker,
                    _ if plain => Ending::Foreign,
                    _ => Ending::Marker,
                };
                for threads in [1, 2, 4] {
                    let (read, report) = sql_of(&file, threads);
                    assert!(read == wanted, "{said}");
                    assert_eq!((report.ending, report.index), (ending, None), "{said}");
                    assert_eq!(report.size, file.len() as u64, "{said}");
                }
                // Its ends tell no more than that, and never that it is cut.
                let tail = read_tail(&Bytes(file)).unwrap();
                match ending {
                    Ending::Marker => assert_eq!(tail, Tail::Marker, "{said}"),
                    Ending::Foreign => assert_ne!(tail, Tail::NoMarker, "{said}"),
                    Ending::NoMarker => assert_ne!(tail, Tail::Marker, "{said}"),
                }
            }
        }
    }
}

#[test]
fn an_index_of_ours_is_of_one_file() {
    let ours = sample::backup(&[70_000, 20], options(3, 1));
    let other = sample::backup(&[300, 9, 20], options(3, 1));
    for (file, words) in [
        (
            [&ours[..], &other].concat(),
            "bytes after the end-of-file marker",
        ),
        (
            [&ours[..], &gzip(b"x")].concat(),
            "bytes after the end-of-file marker",
        ),
        (
            [&ours[..], &bgzf(b"x")].concat(),
            "bytes after the end-of-file marker",
        ),
        (
            [&ours[..], &[0; 512]].concat(),
            "bytes after the end-of-file marker",
        ),
        (
            [&gzip(b"x")[..], &ours].concat(),
            "there is an index of pgdump-gz",
        ),
        (
            [&other_bgzf(b"x")[..], &ours].concat(),
            "there is an index of pgdump-gz",
        ),
        (
            [&bgzf(b"x")[..], &ours].concat(),
            "the index is not where its locator says",
        ),
    ] {
        let what = damage(&file);
        assert!(what.contains(words), "{words}: {what}");
        // What reads the end alone says no other thing, or nothing.
        let tail = read_tail(&Bytes(file));
        assert!(!matches!(tail, Ok(Tail::Index(_))), "{words}: {tail:?}");
    }
    let tail = read_tail(&Bytes([&ours[..], &[0; 512]].concat()));
    assert!(
        tail.unwrap_err()
            .to_string()
            .contains("after the end-of-file marker")
    );
}

#[test]
fn a_damaged_header_does_not_make_ours_another_s() {
    let file = sample::backup(&[300, 20], options(3, 1));
    for (at, bit) in [(3, 1), (4, 1), (8, 2), (9, 1), (12, 1), (13, 4)] {
        let mut flipped = file.clone();
        flipped[at] ^= bit;
        let what = damage(&flipped);
        assert!(
            what.contains("a header before it is damaged"),
            "{at}: {what}"
        );
    }
    let what = damage(&[&without_marker(&file)[..], &gzip(b"")].concat());
    assert!(what.contains("its header is not a BGZF member's"), "{what}");
    // The marker of a file without index: without it a cut file would pass.
    let file = bgzf(&text(300));
    let marker = file.len() - MARKER.len();
    for at in marker..file.len() {
        for bit in 0..8 {
            let mut flipped = file.clone();
            flipped[at] ^= 1 << bit;
            for threads in [1, 2] {
                let found = check(&flipped, threads);
                let good = found.as_ref().is_ok_and(|it| it.ending != Ending::NoMarker);
                assert!(!good, "bit {bit} of byte {at}: {found:?}");
            }
        }
    }
}

#[test]
fn every_cut_of_a_mixture() {
    let parts = [
        bgzf(&text(90)),
        gzip_with_header(&text(50)),
        bgzf(&text(40)),
    ];
    let file = parts.concat();
    let first = parts[0].len();
    let second = first + parts[1].len();
    for length in 1..file.len() {
        let found = check(&file[..length], 1);
        let other = check(&file[..length], 2);
        assert_eq!(format!("{found:?}"), format!("{other:?}"));
        match found {
            // Between members nobody can know, but where blocks end without their marker.
            Ok(report) if length == first => assert_eq!(report.ending, Ending::Marker),
            Ok(report) if length == second => assert_eq!(report.ending, Ending::Foreign),
            Ok(report) => assert_eq!(report.ending, Ending::NoMarker, "cut at {length}"),
            Err(ReadError::Damaged(what)) => assert!(what.contains("is cut"), "{what}"),
            Err(error) => panic!("{error}"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_mixture_is_what_gunzip_makes_of_it(
        kinds in proptest::collection::vec((0..8_u8, 1..200_000_usize), 1..6),
        padding in 0..2000_usize,
        damage in proptest::option::of((any::<proptest::sample::Index>(), 0..8_u8)),
    ) {
        let parts: Vec<u8> = kinds.iter().flat_map(|(kind, size)| part(*kind, &text(*size)).0).collect();
        let mut file = [&parts[..], &vec![0; padding]].concat();
        if let Some((at, bit)) = damage {
            let at = at.index(file.len());
            file[at] ^= 1_u8 << bit;
        }
        let (wanted, code) = gunzip(&file);
        let read = |threads| {
            let mut reader = Reader::whole(Box::new(Cursor::new(file.clone())), threads);
            let mut sql = Vec::new();
            while let Some(piece) = reader.next().map_err(|error| error.to_string())? {
                sql.extend_from_slice(piece);
            }
            reader.finish().map_err(|error| error.to_string()).map(|report| (sql, report))
        };
        let [one, four] = [1, 4].map(read);
        prop_assert_eq!(&one, &four);
        match (&one, damage) {
            (Ok((sql, _)), _) => {
                prop_assert_eq!(code, Some(0));
                prop_assert!(*sql == wanted);
            }
            // What is damaged may be refused for bits that mean nothing to gunzip.
            (Err(what), None) => prop_assert!(false, "{}", what),
            (Err(_), Some(_)) => {}
        }
    }

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
