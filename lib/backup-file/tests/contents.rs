//! What a dump held is in the index, as the page says, however it was written.

#![allow(clippy::unwrap_used, clippy::panic, reason = "this is test code")]

mod sample;

use backup_file::{Contents, Index, PartWriter, SectionKind, Tail, Writer, read_tail};
use sample::{Bytes, about, options};

fn index(file: Vec<u8>) -> Index {
    match read_tail(&Bytes(file)).unwrap() {
        Tail::Index(index) => *index,
        other => panic!("{other:?}"),
    }
}

fn contents(tables: u64) -> Contents {
    Contents {
        table_count: tables,
        rows: Some((1 << 40) * tables),
        indexes: 3,
        constraints: 4,
        extensions: vec!["uuid-ossp".into()],
        large_objects: 5,
    }
}

/// A backup with databases that hold this.
fn backup(all: &[Contents], threads: usize) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), options(1, threads));
    writer.begin(SectionKind::Globals).unwrap();
    writer.took(sample::TOOK);
    for (at, contents) in all.iter().enumerate() {
        writer
            .begin(SectionKind::Database(at.to_string().into()))
            .unwrap();
        writer.write_all(b"SELECT 1;\n").unwrap();
        writer.holds(contents.clone());
        writer.took(sample::TOOK);
    }
    writer.finish(about()).unwrap()
}

fn read(file: Vec<u8>) -> Vec<Contents> {
    let sections = index(file).sections.into_iter();
    sections.filter_map(|section| section.contents).collect()
}

#[test]
fn what_is_written_is_read() {
    let all = [contents(3), Contents::default(), contents(0)];
    for threads in [1, 2] {
        assert_eq!(read(backup(&all, threads)), all);
    }
}

/// Names are bytes: those that are not UTF-8 come back too, and are not what they are shown as.
#[test]
fn names_in_any_encoding() {
    let names = [
        &b"gr\xf6\xdfe"[..],
        b"gr\\xf6\\xdfe",
        "größe".as_bytes(),
        b"\xc7\xe4\xbe\xe5",
    ];
    let mut writer = Writer::new(Vec::new(), options(1, 1));
    for name in names {
        writer.begin(SectionKind::Database(name.into())).unwrap();
        writer.write_all(b"SELECT 1;\n").unwrap();
    }
    let mut said = about();
    said.encoding = Some("LATIN1".into());
    let index = index(writer.finish(said).unwrap());
    assert_eq!(index.about.encoding.as_deref(), Some("LATIN1"));
    for (name, section) in names.iter().zip(&index.sections) {
        assert_eq!(section.kind, SectionKind::Database((*name).into()));
        assert_eq!(index.database(name), Some(section));
    }
}

#[test]
fn a_part_s_contents() {
    let kind = SectionKind::Database("a".into());
    let mut part = PartWriter::new(tempfile::tempfile().unwrap(), kind, options(1, 1));
    part.holds(contents(2));
    let mut writer = Writer::new(Vec::new(), options(1, 1));
    let part = part.finish(sample::TOOK).unwrap();
    writer.append(part).unwrap();
    assert_eq!(read(writer.finish(about()).unwrap()), [contents(2)]);
}

#[test]
fn the_page_s_example() {
    let page = include_str!("../../../docs/format.md");
    let (_, rest) = page.split_once("```json\n").unwrap();
    let (example, _) = rest.split_once("\n```").unwrap();
    let read: Contents = serde_json::from_str(example).unwrap();
    let wanted = Contents {
        table_count: 2,
        rows: Some(12),
        indexes: 1,
        constraints: 2,
        extensions: vec!["hstore".into()],
        large_objects: 0,
    };
    assert_eq!(read, wanted);
    assert_eq!(serde_json::to_string(&wanted).unwrap(), example);
}
