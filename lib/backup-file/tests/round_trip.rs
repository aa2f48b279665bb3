//! What is written is read back, whoever reads it, however it was written.

#![allow(clippy::unwrap_used, clippy::panic, reason = "this is test code")]

mod sample;

use std::io::{Cursor, Read};

use backup_file::{
    Ending, LEVELS, MARKER, Options, PartWriter, Reader, SectionKind, Tail, Writer, read_tail,
};
use flate2::read::MultiGzDecoder;
use proptest::prelude::*;
use sample::{Bytes, about, backup, options, sections, sql_of, text};

const BLOCK: usize = 65_280;

fn gunzip(file: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    MultiGzDecoder::new(file).read_to_end(&mut out).unwrap();
    out
}

#[test]
fn sizes_around_the_borders_of_blocks_and_batches() {
    for blocks in [0, 1, 8] {
        for sizes in [[0, 1, 2], [BLOCK - 1, 1, 0], [1, BLOCK, BLOCK + 1]] {
            let sizes = sizes.map(|size| blocks * BLOCK + size);
            let mut blocks = Vec::new();
            for threads in [1, 2, 4] {
                let file = backup(&sizes, options(1, threads));
                let (sql, report) = sql_of(&file, threads);
                assert_eq!(report.ending, Ending::Marker, "{sizes:?}");
                assert_eq!(report.size, file.len() as u64);
                let (dump, index) = sql.split_at(sizes.iter().sum());
                assert_eq!(dump, sections(&sizes).concat(), "{sizes:?}");
                assert!(index.starts_with(b"-- index of this backup"));
                assert_eq!(gunzip(&file), sql);
                let Tail::Index(tail) = read_tail(&Bytes(file.clone())).unwrap() else {
                    panic!("no index");
                };
                assert_eq!(Some(*tail), report.index);
                blocks.push(sample::blocks(&file));
            }
            assert!(
                blocks[0] == blocks[1] && blocks[0] == blocks[2],
                "{sizes:?}"
            );
        }
    }
}

#[test]
fn the_dump_alone() {
    let sizes = [70_000, 3, 200_000];
    for threads in [1, 2] {
        let file = backup(&sizes, options(2, threads));
        let mut reader = Reader::whole(Box::new(Cursor::new(file)), threads).sql_only();
        let mut sql = Vec::new();
        while let Some(piece) = reader.next().unwrap() {
            sql.extend_from_slice(piece);
        }
        assert_eq!(sql, sections(&sizes).concat());
        assert!(reader.finish().unwrap().index.is_some());
    }
}

#[test]
fn one_section_alone() {
    let sizes = [70_000, 0, 3, BLOCK, 900_000, 12];
    let file = backup(&sizes, options(3, 2));
    let index = sql_of(&file, 1).1.index.unwrap();
    for (section, sql) in index.sections.iter().zip(sections(&sizes)) {
        let from = usize::try_from(section.offset).unwrap();
        let length = usize::try_from(section.length).unwrap();
        for threads in [1, 2] {
            let input = Cursor::new(file[from..from + length].to_vec());
            let mut reader = Reader::section(Box::new(input), section, threads);
            let mut read = Vec::new();
            while let Some(piece) = reader.next().unwrap() {
                read.extend_from_slice(piece);
            }
            assert_eq!(read, sql);
            assert_eq!(reader.finish().unwrap().sql_size, sql.len() as u64);
        }
    }
}

#[test]
fn parts_hold_what_is_written_directly() {
    let sizes = [10, 5 * BLOCK, 0, 700_000];
    let direct = backup(&sizes, options(3, 1));
    for threads in [1, 2] {
        let mut writer = Writer::new(Vec::new(), options(3, threads));
        for (at, sql) in sections(&sizes).into_iter().enumerate() {
            let file = tempfile::tempfile().unwrap();
            let mut part =
                PartWriter::new(file, sample::kind(at, sizes.len()), options(3, threads));
            let mut shown = 0;
            let came = part
                .copy_from(&mut &sql[..], &mut |piece| shown += piece.len())
                .unwrap();
            assert_eq!((came, shown), (sql.len() as u64, sql.len()));
            let part = part.finish(sample::TOOK).unwrap();
            writer.append(part).unwrap();
        }
        let file = writer.finish(about()).unwrap();
        assert!(sample::blocks(&file) == sample::blocks(&direct));
    }
}

#[test]
fn every_level_is_read_back() {
    let sql = text(300_000);
    for level in LEVELS {
        let mut writer = Writer::new(Vec::new(), Options { level, threads: 1 });
        writer.begin(SectionKind::Globals).unwrap();
        writer.write_all(&sql).unwrap();
        let file = writer.finish(about()).unwrap();
        assert!(sql_of(&file, 1).0.starts_with(&sql), "level {level}");
        assert!(gunzip(&file).starts_with(&sql), "level {level}");
    }
}

#[test]
fn output_of_another_command() {
    for size in [0, 1, BLOCK, 1_000_000] {
        for threads in [1, 3] {
            let sql = text(size);
            let mut writer = Writer::new(Vec::new(), options(1, threads));
            writer.copy_from(&mut &sql[..], &mut |_| {}).unwrap();
            let file = writer.finish_without_index().unwrap();
            assert!(file.ends_with(&MARKER));
            let (read, report) = sql_of(&file, threads);
            assert_eq!((read, report.ending), (sql, Ending::Marker));
            assert_eq!(report.index, None);
            assert_eq!(read_tail(&Bytes(file)).unwrap(), Tail::Marker);
        }
    }
}

/// Sections of any length, more often one near a border.
fn size() -> impl Strategy<Value = usize> {
    prop_oneof![
        0..300_usize,
        (0..12_usize, 0..5_usize)
            .prop_map(|(blocks, more)| (blocks * BLOCK + more).saturating_sub(2)),
        0..800_000_usize,
        1_000_000..3_000_000_usize,
    ]
}

/// Pieces of any length: SQL that comes slowly, and more at once than the calling thread compresses alone.
fn piece() -> impl Strategy<Value = usize> {
    prop_oneof![1..200_000_usize, 500_000..2_000_000_usize]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_sections_in_any_pieces(
        sizes in proptest::collection::vec(size(), 1..5),
        pieces in proptest::collection::vec(piece(), 1..9),
        level in 1..5_u8,
        threads in 1..4_usize,
    ) {
        let mut writer = Writer::new(Vec::new(), options(level, threads));
        let mut pieces = pieces.into_iter().cycle();
        for (at, sql) in sections(&sizes).into_iter().enumerate() {
            writer.begin(sample::kind(at, sizes.len())).unwrap();
            writer.took(sample::TOOK);
            let mut rest = &sql[..];
            while let Some(piece) = pieces.next().filter(|_| !rest.is_empty()) {
                let (now, later) = rest.split_at(piece.min(rest.len()));
                writer.write_all(now).unwrap();
                rest = later;
            }
        }
        let file = writer.finish(about()).unwrap();
        prop_assert!(sample::blocks(&file) == sample::blocks(&backup(&sizes, options(level, 1))));
        let (sql, report) = sql_of(&file, threads);
        prop_assert!(sql.starts_with(&sections(&sizes).concat()));
        let index = report.index.unwrap();
        let lengths: Vec<_> = index.sections.iter().map(|section| section.sql_length).collect();
        prop_assert_eq!(lengths, sizes.iter().map(|size| *size as u64).collect::<Vec<_>>());
        prop_assert_eq!(read_tail(&Bytes(file)).unwrap(), Tail::Index(Box::new(index)));
    }
}
