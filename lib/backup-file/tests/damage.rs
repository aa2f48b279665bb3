//! Nothing that is not the whole, true backup passes for one.

#![allow(clippy::unwrap_used, clippy::panic, reason = "this is test code")]

mod sample;

use std::io::{Cursor, Write};

use backup_file::{Ending, MARKER, ReadError, Reader, Report, Tail, Writer, read_tail};
use flate2::Compression;
use flate2::write::GzEncoder;
use sample::{Bytes, about, backup, options, sections, sql_of, text};

fn check(file: &[u8], threads: usize) -> Result<Report, ReadError> {
    Reader::whole(Box::new(Cursor::new(file.to_vec())), threads).finish()
}

/// What is wrong with a file.
fn damage(file: &[u8], threads: usize) -> String {
    match check(file, threads) {
        Err(ReadError::Damaged(what)) => what,
        other => panic!("not damaged: {other:?}"),
    }
}

/// The members of a file of ours.
fn members(mut file: &[u8]) -> Vec<&[u8]> {
    let mut members = Vec::new();
    while !file.is_empty() {
        let size = usize::from(u16::from_le_bytes([file[16], file[17]])) + 1;
        let (member, rest) = file.split_at(size);
        members.push(member);
        file = rest;
    }
    members
}

fn gzip(sql: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(sql).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn every_bit() {
    // Sections of text, of nothing, of what cannot be compressed (two members: stored blocks have padding).
    let mut writer = Writer::new(Vec::new(), options(3, 1));
    for (at, sql) in [&text(300)[..], b"", b"\x00\xff7", b"-- end\n"]
        .into_iter()
        .enumerate()
    {
        writer.begin(sample::kind(at, 4)).unwrap();
        writer.write_all(sql).unwrap();
    }
    let file = writer.finish(about()).unwrap();
    check(&file, 1).unwrap();
    for at in 0..file.len() {
        for bit in 0..8 {
            let mut flipped = file.clone();
            flipped[at] ^= 1 << bit;
            match check(&flipped, 1) {
                Err(ReadError::Damaged(_)) => {}
                other => panic!("bit {bit} of byte {at} of {}: {other:?}", file.len()),
            }
        }
    }
}

#[test]
fn sampled_bits_in_larger_files_and_threads() {
    let file = backup(&[70_000, 150_000, 20], options(3, 1));
    for at in (0..file.len()).step_by(file.len() / 97) {
        let mut flipped = file.clone();
        flipped[at] ^= 1 << (at % 8);
        assert_eq!(damage(&flipped, 2), damage(&flipped, 1), "byte {at}");
    }
}

#[test]
fn every_cut() {
    let file = backup(&[300, 100, 20], options(3, 1));
    let borders: Vec<usize> = members(&file)
        .iter()
        .scan(0, |sum, member| {
            *sum += member.len();
            Some(*sum)
        })
        .collect();
    for length in 0..file.len() {
        match check(&file[..length], 1) {
            Err(ReadError::Damaged(what)) if length == 0 => assert_eq!(what, "the file is empty"),
            Ok(report) => {
                assert!(borders.contains(&length), "cut at {length}");
                assert_eq!((report.ending, report.index), (Ending::NoMarker, None));
            }
            Err(error) => {
                let inside =
                    format!("ends at byte {length}, inside the member that begins at byte");
                assert!(
                    error.to_string().contains(&inside),
                    "cut at {length}: {error}"
                );
            }
        }
        assert_eq!(
            read_tail(&Bytes(file[..length].to_vec())).unwrap(),
            Tail::NoMarker
        );
    }
}

#[test]
fn members_lost_doubled_moved() {
    let file = backup(&[70_000, 66_000, 0, 66_000, 20], options(3, 1));
    let all = members(&file);
    for at in 0..all.len() {
        let mut lost = all.clone();
        lost.remove(at);
        match check(&lost.concat(), 1) {
            Ok(report) => {
                assert_eq!(
                    (at, report.ending),
                    (all.len() - 1, Ending::NoMarker),
                    "lost {at}"
                );
            }
            Err(error) => assert!(matches!(error, ReadError::Damaged(_)), "lost {at}: {error}"),
        }
        let mut doubled = all.clone();
        doubled.insert(at, all[at]);
        damage(&doubled.concat(), 1);
        for other in at + 1..all.len() {
            let mut moved = all.clone();
            moved.swap(at, other);
            // Two equal members may change places.
            if all[at] == all[other] {
                continue;
            }
            match check(&moved.concat(), 1) {
                Ok(report) => assert_eq!(report.ending, Ending::NoMarker, "{at} and {other}"),
                Err(error) => assert!(matches!(error, ReadError::Damaged(_))),
            }
        }
    }
}

#[test]
fn what_follows_the_marker() {
    let file = backup(&[300, 20], options(3, 1));
    let marker = file.len() - MARKER.len();
    for more in [&[0][..], b"garbage", &MARKER, &file, &gzip(b"x")] {
        for threads in [1, 2] {
            let what = damage(&[&file, more].concat(), threads);
            assert_eq!(
                what,
                format!("there are bytes after the end-of-file marker at byte {marker}")
            );
        }
    }
}

#[test]
fn no_gzip() {
    for threads in [1, 2] {
        assert_eq!(damage(b"", threads), "the file is empty");
        for bytes in [
            &b"-- SQL as it is, long enough for a header\n"[..],
            &[0; 100],
            b"\x1f",
        ] {
            let what = damage(bytes, threads);
            assert!(what == "this is no gzip file" || bytes.len() == 1, "{what}");
        }
    }
}

#[test]
fn an_error_is_said_again() {
    let mut file = backup(&[300, 20], options(3, 1));
    file[30] ^= 1;
    for threads in [1, 2] {
        let mut reader = Reader::whole(Box::new(Cursor::new(file.clone())), threads);
        let first = reader.next().unwrap_err().to_string();
        assert!(
            first.starts_with("the member at byte 0 is damaged: its "),
            "{first}"
        );
        assert_eq!(reader.next().unwrap_err().to_string(), first);
        assert_eq!(reader.finish().unwrap_err().to_string(), first);
    }
}

#[test]
fn a_section_that_is_not_what_the_index_says() {
    let file = backup(&[70_000, 90_000, 20], options(3, 1));
    let index = sql_of(&file, 1).1.index.unwrap();
    let section = &index.sections[1];
    let bytes = |from: u64, length: u64| {
        let from = usize::try_from(from).unwrap();
        file[from..from + usize::try_from(length).unwrap()].to_vec()
    };
    let read = |bytes: Vec<u8>, threads| match Reader::section(
        Box::new(Cursor::new(bytes)),
        section,
        threads,
    )
    .finish()
    {
        Err(ReadError::Damaged(what)) => what,
        other => panic!("not damaged: {other:?}"),
    };
    for threads in [1, 2] {
        let other = &index.sections[0];
        read(bytes(other.offset, other.length), threads);
        read(bytes(section.offset, section.length - 1), threads);
        read(bytes(section.offset, section.length + 1), threads);
        read(Vec::new(), threads);
        let mut first = bytes(section.offset, section.length);
        first.truncate(members(&first)[0].len());
        read(first, threads);
        let mut flipped = bytes(section.offset, section.length);
        flipped[5] ^= 1;
        read(flipped, threads);
    }
}

#[test]
fn the_tail_of_a_damaged_file() {
    let file = backup(&[300, 100, 20], options(3, 1));
    let all = members(&file);
    let index = file.len() - MARKER.len() - 111 - all[all.len() - 3].len();
    for at in index..file.len() {
        for bit in 0..8 {
            let mut flipped = file.clone();
            flipped[at] ^= 1 << bit;
            let marker = at >= file.len() - MARKER.len();
            match read_tail(&Bytes(flipped)) {
                Ok(Tail::NoMarker) if marker => {}
                Err(ReadError::Damaged(_)) if !marker => {}
                other => panic!("bit {bit} of byte {at}: {other:?}"),
            }
        }
    }
    // Bytes lost before the index: it is not where its locator says.
    assert!(read_tail(&Bytes(file[1..].to_vec())).is_err());
    assert_eq!(read_tail(&Bytes(Vec::new())).unwrap(), Tail::NoMarker);
    assert_eq!(read_tail(&Bytes(gzip(&text(5000)))).unwrap(), Tail::Foreign);
    assert_eq!(read_tail(&Bytes(MARKER.to_vec())).unwrap(), Tail::Marker);
}

#[test]
fn sql_that_looks_like_the_index() {
    let index: Vec<u8> = {
        let (sql, report) = sql_of(&backup(&[300, 20], options(3, 1)), 1);
        let from = report
            .index
            .unwrap()
            .sections
            .iter()
            .map(|it| it.sql_length)
            .sum::<u64>();
        sql[usize::try_from(from).unwrap()..].to_vec()
    };
    let head = index.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    for sql in [
        &index[..],
        &index[..head],
        &[&index[..], &index[..head]].concat(),
    ] {
        let mut writer = Writer::new(Vec::new(), options(3, 1));
        for (at, sql) in [sql, &text(9)].into_iter().enumerate() {
            writer.begin(sample::kind(at, 2)).unwrap();
            writer.write_all(sql).unwrap();
        }
        let file = writer.finish(about()).unwrap();
        let mut reader = Reader::whole(Box::new(Cursor::new(file)), 1).sql_only();
        let mut read = Vec::new();
        while let Some(piece) = reader.next().unwrap() {
            read.extend_from_slice(piece);
        }
        assert_eq!(read, [sql, &sections(&[9])[0]].concat());
        reader.finish().unwrap();
    }
}
