//! A database's map: it comes back as it was written, leads to any range of the database's SQL, and is within bounds.

#![allow(clippy::unwrap_used, clippy::panic, reason = "this is test code")]

mod sample;

use std::io::Cursor;
use std::ops::Range;

use backup_file::{
    CopyBlock, CopyTarget, Coverage, Index, Layout, Map, PartWriter, RangeReader, ReadError,
    Reader, Section, SectionKind, TableRows, Tail, Writer, read_map, read_tail,
};
use proptest::prelude::*;
use sample::{Bytes, about, options, text};

const BLOCK: u64 = 65_280;
const STEP: u64 = 16 * BLOCK;

fn index(file: &[u8]) -> Index {
    match read_tail(&Bytes(file.to_vec())).unwrap() {
        Tail::Index(index) => *index,
        other => panic!("{other:?}"),
    }
}

fn layout(tables: u64) -> Layout {
    let name = |at: u64| match at % 3 {
        0 => format!("public.table_{at}").into(),
        1 => format!("public.\"Größe\n\"\"{at}\"\"\"").into(),
        _ => b"public.\"gr\xf6\xdfe\""[..].into(),
    };
    let block = |at: u64| CopyBlock {
        table: name(at),
        target: match at % 4 {
            0 => CopyTarget::Partitioned,
            1 => CopyTarget::NotCreated,
            _ => CopyTarget::Table,
        },
        rows: (!at.is_multiple_of(5)).then_some(at << 30),
        sql: 1000 + 10 * at..1009 + 10 * at,
        statement: 1001 + 10 * at,
        data: 1005 + 10 * at,
    };
    Layout {
        data: Some(900..2000 + 10 * tables),
        large_objects: Some(1500 + 10 * tables..1700 + 10 * tables),
        copies: (0..tables).map(block).collect(),
        other_tables: vec![
            TableRows::new("public.p", 0),
            TableRows::new(&b"\xff"[..], None),
        ],
    }
}

/// A backup of two databases: one of this many bytes and this layout, and a small one.
fn backup(sql: &[u8], layout: Layout, threads: usize) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), options(1, threads));
    writer.begin(SectionKind::Globals).unwrap();
    writer.took(sample::TOOK);
    writer.write_all(b"-- globals\n").unwrap();
    for (name, sql, layout) in [
        (&b"gr\xf6\xdfe"[..], sql, layout),
        (b"small", &b"SELECT 1;\n"[..], Layout::default()),
    ] {
        writer.begin(SectionKind::Database(name.into())).unwrap();
        writer.took(sample::TOOK);
        for piece in sql.chunks(threads * 50_001) {
            writer.write_all(piece).unwrap();
        }
        writer.map(layout);
    }
    writer.begin(SectionKind::End).unwrap();
    writer.took(sample::TOOK);
    writer.write_all(b"-- end\n").unwrap();
    writer.finish(about()).unwrap()
}

fn maps(file: &[u8]) -> Vec<(Section, Option<Map>)> {
    let sections = index(file).sections.into_iter();
    let map = |section| (read_map(&Bytes(file.to_vec()), &section).unwrap(), section);
    sections
        .map(map)
        .map(|(map, section)| (section, map))
        .collect()
}

/// The section of the first database, and its map.
fn first(file: &[u8]) -> (Section, Map) {
    let (section, map) = maps(file).remove(1);
    (section, map.unwrap())
}

#[test]
fn what_is_written_is_read() {
    for tables in [0, 1, 5000] {
        for threads in [1, 3] {
            let file = backup(&text(3_000_000), layout(tables), threads);
            let maps = maps(&file);
            let layouts: Vec<_> = maps
                .iter()
                .map(|it| it.1.as_ref().map(|it| &it.layout))
                .collect();
            let wanted = layout(tables);
            assert_eq!(
                layouts,
                [None, Some(&wanted), Some(&Layout::default()), None]
            );
        }
    }
}

#[test]
fn a_file_with_maps_is_read_through() {
    let sql = text(3_000_000);
    let file = backup(&sql, layout(5000), 1);
    let (all, report) = sample::sql_of(&file, 2);
    assert_eq!(report.index, Some(index(&file)));
    assert!(all.windows(9).any(|it| it == b"-- map of"));
    let mut reader = Reader::whole(Box::new(Cursor::new(file)), 1).sql_only();
    let mut only = Vec::new();
    while let Some(sql) = reader.next().unwrap() {
        only.extend_from_slice(sql);
    }
    assert!(only == [b"-- globals\n", sql.as_slice(), b"SELECT 1;\n-- end\n"].concat());
}

#[test]
fn a_part_s_map() {
    let kind = SectionKind::Database(b"gr\xf6\xdfe"[..].into());
    let sql = text(3_000_000);
    let mut part = PartWriter::new(tempfile::tempfile().unwrap(), kind, options(1, 1));
    part.write_all(&sql).unwrap();
    part.map(layout(3));
    let mut writer = Writer::new(Vec::new(), options(1, 1));
    writer.begin(SectionKind::Globals).unwrap();
    writer.write_all(b"-- globals\n").unwrap();
    writer.append(part.finish(sample::TOOK).unwrap()).unwrap();
    let file = writer.finish(about()).unwrap();
    let (section, map) = first(&file);
    let whole = backup(&sql, layout(3), 1);
    assert_eq!(map, first(&whole).1);
    assert_eq!(
        read(&file, &section, &map, 5..1_500_000).0,
        sql[5..1_500_000]
    );
}

/// The SQL of a range; also the bytes of the file that it took.
fn read(file: &[u8], section: &Section, map: &Map, sql: Range<u64>) -> (Vec<u8>, u64) {
    let span = map.span(sql).unwrap();
    let place = span.file();
    assert!(section.offset <= place.start && place.end <= section.offset + section.length);
    let mut reader = range(file, map, span.sql());
    let mut found = Vec::new();
    while let Some(sql) = reader.next_sql().unwrap() {
        found.extend_from_slice(sql);
    }
    reader.finish().unwrap();
    (found, place.end - place.start)
}

fn range(file: &[u8], map: &Map, sql: Range<u64>) -> RangeReader {
    let span = map.span(sql).unwrap();
    let place = |at| usize::try_from(at).unwrap();
    let bytes = file[place(span.file().start)..place(span.file().end)].to_vec();
    RangeReader::new(Box::new(Cursor::new(bytes)), span, 2).unwrap()
}

#[test]
fn any_range_is_read_with_little_more_than_its_own_bytes() {
    let sql = text(5_000_000);
    let file = backup(&sql, layout(3), 1);
    let (section, map) = first(&file);
    let length = sql.len() as u64;
    let ends = [
        0,
        1,
        BLOCK - 1,
        BLOCK,
        BLOCK + 1,
        STEP - 1,
        STEP,
        STEP + 1,
        2 * STEP,
        3 * STEP + 5,
        length - 1,
        length,
    ];
    for start in ends {
        for end in ends.into_iter().filter(|end| *end >= start) {
            let (found, took) = read(&file, &section, &map, start..end);
            let place = |at| usize::try_from(at).unwrap();
            assert!(found == sql[place(start)..place(end)], "{start}..{end}");
            // Text like this compresses to about half.
            let most = (end - start + 2 * STEP) * 6 / 10;
            assert!(took <= most, "{start}..{end}: {took}");
        }
    }
    assert_eq!(map.span(0..length + 1), None);
    assert_eq!(map.span(Range { start: 2, end: 1 }), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    /// Ranges that cover a section, read in any order, are together what the index says.
    #[test]
    fn ranges_together_are_the_section(
        length in 1_usize..4_000_000,
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..6),
        seed in any::<u64>(),
    ) {
        let sql = text(length);
        let file = backup(&sql, Layout::default(), 1);
        let (section, map) = first(&file);
        let mut ends: Vec<u64> = cuts.iter().map(|it| it.index(length + 1) as u64).collect();
        ends.extend([0, length as u64]);
        ends.sort_unstable();
        let mut ranges: Vec<_> = ends.windows(2).map(|it| it[0]..it[1]).collect();
        let count = ranges.len() as u64;
        ranges.rotate_left(usize::try_from(seed % count).unwrap());
        let mut coverage = Coverage::default();
        for wanted in &ranges {
            coverage.add(range(&file, &map, wanted.clone()).finish().unwrap());
        }
        coverage.check(&section).unwrap();
    }
}

#[test]
fn what_was_not_read_or_is_not_the_section_s_is_found() {
    let sql = text(3_000_000);
    let file = backup(&sql, Layout::default(), 1);
    let (section, map) = first(&file);
    let check = |ranges: &[(u64, u64)], section: &Section| {
        let mut coverage = Coverage::default();
        for (start, end) in ranges {
            coverage.add(range(&file, &map, *start..*end).finish().unwrap());
        }
        coverage.check(section)
    };
    let half = 1_234_567;
    check(&[(0, half), (half, 3_000_000)], &section).unwrap();
    let mut other = section.clone();
    other.crc32 ^= 1;
    let mut longer = section.clone();
    longer.length += 1;
    for (ranges, section) in [
        (vec![(0, half)], &section),
        (vec![(half, 3_000_000)], &section),
        (vec![(0, half), (half + 1, 3_000_000)], &section),
        (vec![(0, half), (0, half), (half, 3_000_000)], &section),
        (vec![(0, half), (half - 1, 3_000_000)], &section),
        (vec![], &section),
        (vec![(0, 3_000_000)], &other),
        (vec![(0, 3_000_000)], &longer),
    ] {
        assert!(matches!(
            check(&ranges, section),
            Err(ReadError::Damaged(_))
        ));
    }
}

/// Every change of a byte of a range, and every cut of it, is found: before the SQL is handed out, or by the sum.
#[test]
fn damage_is_found() {
    let sql = text(3_000_000);
    let file = backup(&sql, Layout::default(), 1);
    let (section, map) = first(&file);
    let wanted = STEP + 100..2 * STEP + 200_000;
    let all = [0..wanted.start, wanted.clone(), wanted.end..3_000_000];
    let span = map.span(wanted.clone()).unwrap().file();
    let place = |at| usize::try_from(at).unwrap();
    let tried = |file: &[u8]| {
        let mut coverage = Coverage::default();
        for wanted in &all {
            coverage.add(range(file, &map, wanted.clone()).finish()?);
        }
        coverage.check(&section)
    };
    tried(&file).unwrap();
    let length = span.end - span.start;
    for at in (0..length).step_by(place(length / 97)) {
        let mut file = file.clone();
        file[place(span.start + at)] ^= 4;
        assert!(tried(&file).is_err(), "byte {at}");
    }
    for end in (0..length / 2).step_by(place(length / 13)) {
        let bytes = file[place(span.start)..place(span.start + end)].to_vec();
        let span = map.span(wanted.clone()).unwrap();
        let reader = RangeReader::new(Box::new(Cursor::new(bytes)), span, 1).unwrap();
        assert!(
            matches!(reader.finish(), Err(ReadError::Damaged(_))),
            "cut at {end}"
        );
    }
}

#[test]
fn a_damaged_map_is_found() {
    let file = backup(&text(3_000_000), layout(5000), 1);
    let place = index(&file).sections[1].map.unwrap();
    for at in (0..place.length).step_by(997) {
        let mut file = file.clone();
        file[usize::try_from(place.offset + at).unwrap()] ^= 1;
        let section = index(&file).sections.remove(1);
        let read = read_map(&Bytes(file.clone()), &section);
        assert!(matches!(read, Err(ReadError::Damaged(_))), "byte {at}");
        let whole = Reader::whole(Box::new(Cursor::new(file)), 1).finish();
        assert!(matches!(whole, Err(ReadError::Damaged(_))), "byte {at}");
    }
}

/// A map and an index of these lines.
fn with_map(lines: &str) -> Vec<u8> {
    let mut sql = Vec::new();
    while sql.len() < 40_000 {
        sql.extend_from_slice(b"SELECT 1;\n");
    }
    let sections = sample::stored(&sql);
    let (head, rest) = lines.split_once('\n').unwrap();
    let map = [
        sample::stored(format!("{head}\n").as_bytes()),
        sample::stored(rest.as_bytes()),
    ]
    .concat();
    let index = format!(
        "-- index of this backup, one JSON object per line (format.md)\n\
         -- {{\"format\":1,\"server_version\":\"1\",\"client_version\":\"1\",\
         \"started\":\"2025-01-01T00:00:00Z\",\"finished\":\"2025-01-01T00:00:00Z\"}}\n\
         -- {{\"kind\":\"database\",\"name\":\"a\",\"offset\":0,\"length\":{},\"sql_offset\":0,\
         \"sql_length\":{},\"crc32\":{},\"seconds\":0.0,\
         \"map\":{{\"offset\":{},\"length\":{},\"crc32\":{}}}}}\n",
        sections.len(),
        sql.len(),
        crc32fast::hash(&sections),
        sections.len(),
        map.len(),
        crc32fast::hash(&map),
    );
    sample::with_tail(&[sections, map].concat(), &index)
}

const HEAD: &str = "-- map of a database, a JSON object or array per line (format.md)\n";
const GOOD: &str = "-- {\"database\":\"a\",\"sql_step\":65280,\"data\":[100,900],\"large_objects\":[700,800]}\n\
                    -- [\"t\",3,100,5,20,40]\n-- [\"u\",null,0,5,20,40,\"not created\"]\n-- [\"p\",0]\n";

#[test]
fn a_map_that_lies_is_damage() {
    let read = |lines: &str| {
        let file = with_map(&format!("{HEAD}{lines}"));
        let section = index(&file).sections.remove(0);
        read_map(&Bytes(file), &section)
    };
    read(GOOD).unwrap().unwrap();
    let later = "-- {\"later\":true}\n";
    read(&GOOD.replace("-- [\"p", &format!("{later}-- [\"p"))).unwrap();
    let most = u64::MAX.to_string();
    for (from, to) in [
        ("\"a\"", "\"b\""),
        ("65280", "0"),
        ("65280", "65281"),
        ("65280", "-65280"),
        ("[100,900]", "[900,100]"),
        ("[100,900]", "[101,900]"),
        ("[100,900]", "[100,40001]"),
        ("[100,900]", "[100,229]"),
        ("[700,800]", "[200,300]"),
        ("[700,800]", "[800,901]"),
        ("[700,800]", "[99,100]"),
        ("3,100,", "3.5,100,"),
        ("3,100,", "-3,100,"),
        ("3,100,", "\"3\",100,"),
        ("3,100,", &format!("3,{most},")),
        ("0,5,20,40,\"", &format!("0,5,20,{most},\"")),
        ("3,100,5,20,40", "3,100,5,0,40"),
        ("3,100,5,20,40", "3,100,5,20,0"),
        ("3,100,5,20,40", "3,100,5,20"),
        ("3,100,5,20,40", "3,100,5,20,40,1"),
        ("not created", "not there"),
        ("[\"t\"", "[7"),
        ("[\"t\"", "[{\"hex\":\"0\"}"),
        ("-- [\"p\",0]\n", "-- [\"p\"]\n"),
        ("-- [\"p\",0]\n", "-- []\n"),
        ("-- [\"p\",0]\n", "--\n"),
        ("-- [\"p\",0]\n", "DROP TABLE t;\n"),
        ("-- [\"p\",0]\n", "-- [\"p\",0]"),
        ("-- [\"p\",0]\n", "-- {\"checkpoints\":[1]}\n"),
        ("-- [\"p\",0]\n", "-- {\"checkpoints\":7}\n"),
    ] {
        let changed = GOOD.replace(from, to);
        assert_ne!(changed, GOOD, "{from}");
        let read = read(&changed);
        assert!(
            matches!(read, Err(ReadError::Damaged(_))),
            "{from} -> {to}: {read:?}"
        );
    }
    assert!(read("").is_err());
}

#[test]
fn very_many_tables() {
    let name = |at: u64| format!("public.\"Kundentabelle {at}\"");
    let block = |at: u64| CopyBlock {
        table: name(at).into(),
        target: CopyTarget::Table,
        rows: Some(at * 7919 % 100_000),
        sql: 300 * at..300 * at + 290 + at * 7919 % 10,
        statement: 300 * at + 100,
        data: 300 * at + 200,
    };
    let of = |tables: u64| {
        let layout = Layout {
            data: Some(0..300 * tables),
            copies: (0..tables).map(block).collect(),
            ..Layout::default()
        };
        let sql = vec![b'\n'; usize::try_from(300 * tables).unwrap()];
        (backup(&sql, layout.clone(), 1), layout)
    };
    let (file, layout) = of(100_000);
    let (section, map) = first(&file);
    assert_eq!(map.layout, layout);
    let place = section.map.unwrap();
    assert!(place.length < 2_000_000, "{}", place.length);
    // More than a map may have: then there is none, and the backup is good.
    let (file, _) = of(400_000);
    let maps = maps(&file);
    assert_eq!(maps[1].1, None);
    assert!(maps[2].1.is_some());
    sample::sql_of(&file, 2);
}

/// Lies about what is not there never become a map.
#[test]
fn a_layout_that_cannot_be_true_is_not_written() {
    let mut layout = layout(3);
    layout.copies[2].data = 1;
    let file = backup(&text(3000), layout, 1);
    assert_eq!(maps(&file)[1].1, None);
    sample::sql_of(&file, 1);
}
