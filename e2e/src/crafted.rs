//! Backups that no server wrote: dumps of other versions, and of people with something in mind.

use std::path::PathBuf;

use backup_file::{
    About, Contents, Excluded, Layout, Options, SectionKind, TableRows, Tail, Writer, read_map,
    read_tail,
};
use chrono::DateTime;

use crate::{Bytes, Program, Scratch, backup};

/// The name of these backups.
pub const NAME: &str = "postgresql_backup_20250101_000000.sql.gz";

const OPTIONS: Options = Options {
    level: 1,
    threads: 1,
};

/// The beginning of a cluster's dump.
pub const OPENING: &str = "--\n-- PostgreSQL database cluster dump\n--\n\nSET client_encoding = 'UTF8';\nSET standard_conforming_strings = on;\n\n";
/// Its end.
pub const CLOSING: &str = "--\n-- PostgreSQL database cluster dump complete\n--\n\n";

/// A database's part of a dump.
pub fn part(database: &str, sql: &str) -> String {
    format!(
        "--\n-- Database \"{database}\" dump\n--\n\n--\n-- PostgreSQL database dump\n--\n\n\
         CREATE DATABASE {database} WITH TEMPLATE = template0 ENCODING = 'UTF8';\n\\connect {database}\n\n{sql}\n\
         --\n-- PostgreSQL database dump complete\n--\n\n"
    )
}

/// A backup of a dump of these parts that some other program wrote: `pgdump-gz -- COMMAND`.
///
/// # Panics
/// When that fails.
pub fn taken(scratch: &Scratch, parts: &str) -> PathBuf {
    let text = scratch.write("dump", format!("{OPENING}{parts}{CLOSING}"));
    let program = Program::new("pgdump-gz").arg("--").arg("cat").arg(text);
    scratch.write(NAME, program.succeeds().stdout)
}

/// A dump of these parts as [`both_of`] has it.
///
/// # Panics
/// When it is not taken.
pub fn both(dir: &Scratch, parts: &str) -> [PathBuf; 2] {
    both_of(dir, format!("{OPENING}{parts}{CLOSING}"))
}

/// A dump as `pgdump-gz -- COMMAND` takes it, with an index, and one of `gzip`, without.
///
/// # Panics
/// When it is not taken.
pub fn both_of(dir: &Scratch, dump: impl AsRef<[u8]>) -> [PathBuf; 2] {
    let dump = dump.as_ref();
    let [own, foreign] = ["own", "foreign"].map(|kind| dir.make(kind).join(NAME));
    Program::new("pgdump-gz")
        .args(["--", "cat"])
        .stdin(dump)
        .stdout_file(&own)
        .succeeds();
    Program::other("gzip")
        .arg("-c")
        .stdin(dump)
        .stdout_file(&foreign)
        .succeeds();
    [own, foreign]
}

/// A backup of one database, `shop`, as pgdump-gz makes it of this SQL, but for a change of what its map says.
///
/// # Panics
/// When it cannot be written.
pub fn mapped(scratch: &Scratch, sql: &str, change: impl FnOnce(&mut Layout)) -> PathBuf {
    let path = taken(scratch, &part("shop", sql));
    let (file, text) = (Bytes::of(&path), backup::gunzip(&path));
    let Ok(Tail::Index(index)) = read_tail(&file) else {
        panic!("no index");
    };
    let mut change = Some(change);
    let mut writer = Writer::new(Vec::new(), OPTIONS);
    for section in &index.sections {
        writer.begin(section.kind.clone()).expect("a backup");
        let at = |place: u64| usize::try_from(place).expect("a place");
        let sql = at(section.sql_offset)..at(section.sql_offset + section.sql_length);
        writer.write_all(&text[sql]).expect("a backup");
        if let Some(contents) = section.contents.clone() {
            writer.holds(contents);
        }
        if let Some(map) = read_map(&file, section).expect("a map") {
            let mut layout = map.layout;
            change.take().expect("one map")(&mut layout);
            writer.map(layout);
        }
    }
    scratch.write(NAME, writer.finish(index.about).expect("a backup"))
}

/// A backup of one database, `shop`, whose map says this of its tables, and nothing of all else.
///
/// # Panics
/// When it cannot be written.
pub fn indexed(scratch: &Scratch, sql: &str, tables: &[(&str, u64)]) -> PathBuf {
    let mut writer = Writer::new(Vec::new(), OPTIONS);
    writer.begin(SectionKind::Globals).expect("a backup");
    writer.write_all(OPENING.as_bytes()).expect("a backup");
    writer
        .begin(SectionKind::Database("shop".into()))
        .expect("a backup");
    writer
        .write_all(part("shop", sql).as_bytes())
        .expect("a backup");
    writer.holds(Contents::default());
    let tables = tables.iter().map(|it| TableRows::new(it.0, it.1));
    writer.map(Layout {
        other_tables: tables.collect(),
        ..Layout::default()
    });
    writer.begin(SectionKind::End).expect("a backup");
    writer.write_all(CLOSING.as_bytes()).expect("a backup");
    let moment = DateTime::UNIX_EPOCH;
    let about = About {
        server_version: "14.1".into(),
        client_version: "14.1".into(),
        encoding: None,
        excluded: Excluded::default(),
        server_role: None,
        started: moment,
        finished: moment,
    };
    scratch.write(NAME, writer.finish(about).expect("a backup"))
}
