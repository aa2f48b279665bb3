//! The worked example of `docs/format.md` is read as the page says.

#![allow(clippy::unwrap_used, clippy::panic, reason = "this is test code")]

mod sample;

use std::io::Cursor;

use backup_file::{
    About, CopyBlock, CopyTarget, Ending, Index, MARKER, ReadError, Reader, SectionKind,
    ServerRole, Standby, Tail, Writer, read_map, read_tail,
};
use chrono::{DateTime, TimeDelta};
use sample::{Bytes, sql_of};

const PAGE: &str = include_str!("../../../docs/format.md");

/// What the page's fenced block after a heading holds.
fn fenced(after: &str) -> &'static str {
    let (_, rest) = PAGE.split_once(after).unwrap();
    let (_, rest) = rest.split_once("```text\n").unwrap();
    rest.split_once("```").unwrap().0
}

/// The example's bytes: lines of `offset  bytes in hexadecimal`.
fn example() -> Vec<u8> {
    let mut file = Vec::new();
    for line in fenced("### The bytes").lines() {
        let (offset, hex) = line.trim_start().split_once("  ").unwrap();
        assert_eq!(offset.parse(), Ok(file.len()), "{line}");
        let byte = |pair| u8::from_str_radix(pair, 16).unwrap();
        file.extend(hex.split(' ').map(byte));
    }
    file
}

fn index(file: &[u8]) -> Index {
    match read_tail(&Bytes(file.to_vec())).unwrap() {
        Tail::Index(index) => *index,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_example_s_bytes() {
    let file = example();
    assert!(file.ends_with(&MARKER));
    let (sql, report) = sql_of(&file, 1);
    assert_eq!(String::from_utf8(sql).unwrap(), fenced("### The text"));
    assert_eq!(report.ending, Ending::Marker);
    assert_eq!(report.index, Some(index(&file)));
}

#[test]
fn the_example_s_sections() {
    let file = example();
    let index = index(&file);
    assert_eq!(index.about.server_version, "15.18 (Debian 15.18-0+deb12u1)");
    assert_eq!(
        index.about.started.to_rfc3339(),
        "2025-11-23T02:00:00+00:00"
    );
    let kinds: Vec<_> = index.sections.iter().map(|section| &section.kind).collect();
    let database = SectionKind::Database("grün\nund blau".into());
    assert_eq!(kinds, [&SectionKind::Globals, &database, &SectionKind::End]);

    let section = index.database("grün\nund blau").unwrap();
    let map = read_map(&Bytes(file.clone()), section).unwrap().unwrap();
    let block = CopyBlock {
        table: "public.t".into(),
        target: CopyTarget::NotCreated,
        rows: Some(2),
        sql: 0..78,
        statement: 41,
        data: 71,
    };
    assert_eq!(map.layout.copies, [block]);
    assert_eq!(map.layout.data, Some(0..78));
    assert_eq!(
        map.span(41..78).map(|span| span.file()),
        Some(section.offset..section.offset + section.length)
    );
    let from = usize::try_from(section.offset).unwrap();
    let bytes = file[from..from + usize::try_from(section.length).unwrap()].to_vec();
    let mut reader = Reader::section(Box::new(Cursor::new(bytes)), section, 1);
    let sql = String::from_utf8(reader.next().unwrap().unwrap().to_vec()).unwrap();
    assert!(
        sql.starts_with("--\n-- Database") && sql.ends_with("\\.\n"),
        "{sql}"
    );
    assert_eq!(sql.len() as u64, section.sql_length);
    reader.finish().unwrap();
}

/// The example with other lines for an index.
fn with_index(lines: &str) -> Vec<u8> {
    let file = example();
    let sections = index(&file).sections;
    let maps = sections.iter().filter_map(|section| section.map);
    let ends = maps.map(|map| map.offset + map.length);
    let end = ends.max().unwrap();
    sample::with_tail(&file[..usize::try_from(end).unwrap()], lines)
}

/// The lines of the example's index.
fn lines() -> &'static str {
    let text = fenced("### The text");
    let from = text.find("-- index of this").unwrap();
    let to = text.find("-- index offset=").unwrap();
    &text[from..to]
}

#[test]
fn keys_of_later_versions_are_ignored() {
    let index = index(&with_index(lines()));
    let more = lines().replace(
        "\"seconds\"",
        "\"rows\":{\"t\":[1,2]},\"tables\":7,\"seconds\"",
    );
    let more = more.replace("\"format\":1", "\"later\":true,\"format\":1");
    assert_ne!(lines(), more);
    let file = with_index(&more);
    let Tail::Index(read) = read_tail(&Bytes(file.clone())).unwrap() else {
        panic!("no index");
    };
    assert_eq!(*read, index);
    assert_eq!(sql_of(&file, 1).1.index, Some(index));
}

/// The example's index, with this as the object of a standby.
fn with_standby(standby: &str) -> Result<Tail, ReadError> {
    let more = format!("\"in_recovery\":true,\"standby\":{standby},\"started\"");
    let file = with_index(&lines().replacen("\"started\"", &more, 1));
    read_tail(&Bytes(file))
}

#[test]
fn a_standby_is_read_as_the_page_says() {
    let (_, page) = PAGE.split_once("### A standby").unwrap();
    let (_, page) = page.split_once("```json\n").unwrap();
    let object = page.split_once("\n```").unwrap().0;
    let Ok(Tail::Index(read)) = with_standby(object) else {
        panic!("no index");
    };
    let moment = |text| DateTime::parse_from_rfc3339(text).unwrap().to_utc();
    let replayed = moment("2025-11-18T02:00:00.25Z");
    assert_eq!(
        read.about.server_role,
        Some(ServerRole::Standby(Box::new(Standby {
            data_time: Some(replayed),
            replay_time: Some(replayed),
            replay_lsn: Some("0/3000148".into()),
            receiver_connected: false,
            received_lsn: Some("0/3000148".into()),
            last_message_time: None,
        })))
    );
    assert_eq!(read.about.data_time(), Some(replayed));
    let odd = with_standby(&object.replace("2025", "year"));
    assert!(matches!(odd, Err(ReadError::Damaged(_))), "{odd:?}");
}

#[test]
fn the_moment_of_the_data() {
    let written = |server_role| {
        let about = About {
            server_role,
            ..sample::about()
        };
        let writer = Writer::new(Vec::new(), sample::options(1, 1));
        let read = index(&writer.finish(about.clone()).unwrap()).about;
        assert_eq!(read, about);
        read
    };
    let started = sample::about().started;
    let standby = |data_time| {
        let standby = Standby {
            data_time,
            ..Standby::default()
        };
        written(Some(ServerRole::Standby(Box::new(standby)))).data_time()
    };
    let before = started - TimeDelta::days(5);
    let after = started + TimeDelta::hours(1);
    assert_eq!(standby(Some(before)), Some(before));
    // A clock that is ahead makes nothing younger than its dump.
    assert_eq!(standby(Some(after)), Some(started));
    assert_eq!(standby(None), None);
    assert_eq!(
        written(Some(ServerRole::Primary)).data_time(),
        Some(started)
    );
    assert_eq!(written(None).data_time(), Some(started));
}

#[test]
fn a_newer_format_is_refused() {
    let file = with_index(&lines().replace("\"format\":1", "\"format\":2"));
    let wanted =
        "the backup is of format 2, this program reads format 1: it takes a newer release of it";
    for read in [
        read_tail(&Bytes(file.clone())).unwrap_err(),
        Reader::whole(Box::new(Cursor::new(file)), 1)
            .finish()
            .unwrap_err(),
    ] {
        assert!(matches!(read, ReadError::Damaged(what) if what == wanted));
    }
}

#[test]
fn an_index_that_is_not_true() {
    let good = lines();
    let third = good.lines().nth(3).unwrap();
    for (from, to) in [
        ("\"crc32\":", "\"crc32\":1"),
        ("\"kind\":\"end\"", "\"kind\":\"start\""),
        ("\"sql_offset\":0", "\"sql_offset\":1"),
        ("\"offset\":0", "\"offset\":1"),
        ("\"started\":\"2025", "\"started\":\"about"),
        ("\"format\":1,", ""),
        ("\"server_version\"", "\"servant_version\""),
        ("-- {", "{"),
        (third, "--"),
        (&format!("{third}\n"), ""),
        ("-- index of this", "-- index of that"),
        ("}\n", "}\n\n"),
    ] {
        let changed = good.replacen(from, to, 1);
        assert_ne!(changed, good, "{from}");
        let file = with_index(&changed);
        let read = Reader::whole(Box::new(Cursor::new(file)), 1).finish();
        assert!(
            matches!(read, Err(ReadError::Damaged(_))),
            "{from} -> {to}: {read:?}"
        );
    }
    sql_of(&with_index(good), 1);
}

/// A line of the example's index that begins so, with other words in it.
fn changed(kind: &str, from: &str, to: &str) -> String {
    let line = lines().lines().find(|line| line.contains(kind)).unwrap();
    let number = |key: &str| {
        let (_, rest) = line.split_once(&format!("\"{key}\":")).unwrap();
        rest.split([',', '}']).next().unwrap().to_owned()
    };
    let (from, to) = match from {
        "" => (format!("{line}\n"), format!("{line}\n{line}\n")),
        key => (
            line.to_owned(),
            line.replace(
                &format!("\"{key}\":{}", number(key)),
                &format!("\"{key}\":{to}"),
            ),
        ),
    };
    let changed = lines().replace(&from, &to);
    assert_ne!(changed, lines());
    changed
}

#[test]
fn an_index_that_lies_is_damage() {
    let most = u64::MAX.to_string();
    for (lines, said) in [
        (changed("\"database\"", "", ""), "twice"),
        (changed("\"globals\"", "", ""), "twice"),
        (changed("\"end\"", "", ""), "twice"),
        // The last one's sum overflows, where nothing follows that would not begin there.
        (
            changed("\"end\"", "sql_length", &most),
            "longer than any file",
        ),
        (changed("\"end\"", "length", &most), "longer than any file"),
        (
            changed("\"database\"", "length", &most),
            "longer than any file",
        ),
        (
            changed("\"globals\"", "sql_length", &most),
            "does not begin",
        ),
    ] {
        let file = with_index(&lines);
        let Err(ReadError::Damaged(what)) = read_tail(&Bytes(file.clone())) else {
            panic!("{lines}");
        };
        assert!(what.contains(said), "{what}");
        let read = Reader::whole(Box::new(Cursor::new(file)), 1).finish();
        assert!(matches!(read, Err(ReadError::Damaged(_))), "{read:?}");
    }
}

#[test]
fn what_is_there_twice_is_not_written() {
    let twice = SectionKind::Database("x".into());
    let mut writer = Writer::new(Vec::new(), sample::options(1, 1));
    writer.begin(twice.clone()).unwrap();
    writer.write_all(b"SELECT 1;\n").unwrap();
    let error = writer.begin(twice).unwrap_err().to_string();
    assert!(error.contains("database \"x\" twice"), "{error}");
}
