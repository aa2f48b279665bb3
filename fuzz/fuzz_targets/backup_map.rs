//! The text of a database's map: what a map says lies within its section, and any range that it leads to is the SQL that
//! is there, or an error.
#![no_main]

use std::io::{self, Cursor};
use std::ops::Range;
use std::sync::OnceLock;

use backup_file::{Layout, Map, MapPlace, RangeReader, ReadAt, Section, SectionKind, read_map};
use flate2::Crc;
use libfuzzer_sys::fuzz_target;

/// How many members the section has, and how many bytes of SQL they hold but for the last.
const MEMBERS: usize = 5;
const BLOCK: usize = 65_280;
const SQL: usize = (MEMBERS - 1) * BLOCK + 1000;

fuzz_target!(|input: (u32, u32, &[u8])| {
    let (start, end, text) = input;
    let members = section();
    let mut file = members.to_vec();
    file.extend(fuzz::stored(
        b"-- map of a database, a JSON object or array per line (format.md)\n",
    ));
    for block in text.chunks(60_000) {
        file.extend(fuzz::stored(block));
    }
    let mut crc = Crc::new();
    crc.update(&file[members.len()..]);
    let section = Section {
        kind: SectionKind::Database("a".into()),
        offset: 0,
        length: members.len() as u64,
        sql_offset: 0,
        sql_length: SQL as u64,
        crc32: 0,
        seconds: 0.0,
        contents: None,
        map: Some(MapPlace {
            offset: members.len() as u64,
            length: (file.len() - members.len()) as u64,
            crc32: crc.sum(),
        }),
    };
    let file = Bytes(file);
    let Ok(Some(map)) = read_map(&file, &section) else {
        return;
    };
    let length = section.sql_length;
    check(&map.layout, length);
    assert!(map.span(0..length + 1).is_none());
    let (start, end) = (u64::from(start) % length, u64::from(end) % length);
    let whole = map.layout.copies.iter().map(|it| it.sql.clone());
    for sql in whole.take(3).chain([start..end.max(start), 0..length]) {
        range(&file, &map, &section, sql);
    }
});

fn check(layout: &Layout, length: u64) {
    let data = layout.data.clone().unwrap_or(0..0);
    assert!(data.start <= data.end && data.end <= length);
    let mut passed = data.start;
    for block in &layout.copies {
        assert!(passed <= block.sql.start && block.sql.start <= block.statement);
        assert!(block.statement < block.data && block.data < block.sql.end);
        passed = block.sql.end;
    }
    assert!(passed <= data.end);
    let _ = layout.tables();
}

/// What comes of a range is the SQL of that range, if it is said to be whole.
fn range(file: &Bytes, map: &Map, section: &Section, sql: Range<u64>) {
    let span = map.span(sql.clone()).expect("a range of the section");
    let place = span.file();
    assert!(place.start <= place.end && place.end <= section.offset + section.length);
    let bytes = file.0[place.start as usize..place.end as usize].to_vec();
    let Ok(mut reader) = RangeReader::new(Box::new(Cursor::new(bytes)), span, 1) else {
        return;
    };
    let mut found = 0;
    while let Ok(Some(sql)) = reader.next_sql() {
        found += sql.len() as u64;
    }
    if reader.finish().is_ok() {
        assert_eq!(found, sql.end - sql.start);
    }
}

/// The members of the section.
fn section() -> &'static [u8] {
    static SECTION: OnceLock<Vec<u8>> = OnceLock::new();
    SECTION.get_or_init(|| {
        let sql = vec![b'x'; SQL];
        sql.chunks(BLOCK).flat_map(fuzz::stored).collect()
    })
}

struct Bytes(Vec<u8>);

impl ReadAt for Bytes {
    fn size(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_at(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let start = usize::try_from(offset).expect("within the file");
        Ok(self.0[start..start + length].to_vec())
    }
}
