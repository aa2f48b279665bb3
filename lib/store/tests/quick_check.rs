//! What the ends of a file tell.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends so")]

use std::fs;

use backup_file::{About, BackupName, MARKER, Options, SectionKind, Writer};
use store::{Backup, QuickCheck, Store};

const NAME: &str = "postgresql_backup_20251123_020000.sql.gz";

fn writer() -> Writer<Vec<u8>> {
    let options = Options {
        level: 1,
        threads: 1,
    };
    let mut writer = Writer::new(Vec::new(), options);
    writer.begin(SectionKind::Globals).unwrap();
    writer.write_all(b"SELECT 1;\n").unwrap();
    writer
}

fn whole() -> Vec<u8> {
    let moment = "2025-11-23T02:00:00Z".parse().unwrap();
    let about = About {
        server_version: "15.18".into(),
        client_version: "15.18".into(),
        excluded: backup_file::Excluded::default(),
        encoding: None,
        server_role: None,
        started: moment,
        finished: moment,
    };
    writer().finish(about).unwrap()
}

fn quick_check(bytes: &[u8]) -> QuickCheck {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join(NAME), bytes).unwrap();
    let store = Store::open(home.path().to_str().unwrap()).unwrap();
    let backups = store.list().unwrap().dumps;
    store.quick_check(&backups[0]).unwrap()
}

#[track_caller]
fn is_not_good(bytes: &[u8], words: &str) {
    let found = quick_check(bytes);
    assert!(
        matches!(&found, QuickCheck::NotGood(why) if why.contains(words)),
        "{found:?}"
    );
}

#[test]
fn a_whole_backup() {
    let QuickCheck::Whole(Some(index)) = quick_check(&whole()) else {
        panic!("no index");
    };
    assert_eq!(index.about.server_version, "15.18");
    let other = writer().finish_without_index().unwrap();
    assert_eq!(quick_check(&other), QuickCheck::Whole(None));
}

#[test]
fn a_backup_that_was_cut() {
    let good = whole();
    is_not_good(&good[..good.len() - MARKER.len()], "its end is missing");
    is_not_good(&good[..good.len() / 2], "its end is missing");
    let mut twisted = good.clone();
    let at = good.len() - MARKER.len() - 20;
    twisted[at] ^= 1;
    is_not_good(&twisted, "");
}

#[test]
fn a_marker_after_a_cut_dump() {
    let dump = "--\n-- PostgreSQL database dump\n--\n\nSELECT 1;\n\n--\n-- PostgreSQL database dump complete\n--\n\n";
    let long = dump.replace("SELECT 1;", &"INSERT INTO t VALUES (1);\n".repeat(300_000));
    let end = dump.len() - dump.find("1;").unwrap();
    for dump in [dump, &long] {
        for before in [
            "",
            "Defaulted container \"db\" out of: db, web\n",
            "\u{feff}",
        ] {
            for line_end in ["\n", "\r\n"] {
                let check_of = |text: &str| {
                    let text = format!("{before}{text}").replace('\n', line_end);
                    let options = Options {
                        level: 1,
                        threads: 1,
                    };
                    let mut writer = Writer::new(Vec::new(), options);
                    writer.begin(SectionKind::Globals).unwrap();
                    writer.write_all(text.as_bytes()).unwrap();
                    quick_check(&writer.finish_without_index().unwrap())
                };
                assert_eq!(
                    check_of(dump),
                    QuickCheck::Whole(None),
                    "{before} {line_end:?}"
                );
                for cut in [6, 30, end] {
                    let found = check_of(&dump[..dump.len() - cut]);
                    assert!(
                        matches!(&found, QuickCheck::NotGood(why) if why.contains("closing line")),
                        "{found:?}: {before} {line_end:?} {cut}"
                    );
                }
            }
        }
    }
}

#[test]
fn what_is_no_backup_at_all() {
    is_not_good(b"", "empty");
    is_not_good(&MARKER, "holds nothing");
    is_not_good(&[7; 100], "no gzip file");
}

#[test]
fn a_backup_of_another_program() {
    let head = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
    assert_eq!(
        quick_check(&[&head[..], &[7; 100]].concat()),
        QuickCheck::Foreign
    );
}

#[test]
fn a_backup_that_is_gone() {
    let home = tempfile::tempdir().unwrap();
    let store = Store::open(home.path().to_str().unwrap()).unwrap();
    let gone = Backup {
        name: BackupName::parse(NAME).unwrap(),
        size: 0,
        sha256: None,
        version: String::new(),
    };
    assert_eq!(store.quick_check(&gone).unwrap(), QuickCheck::Gone);
    assert!(store.is_gone(&gone).unwrap());
    std::fs::create_dir(home.path().join(NAME)).unwrap();
    assert!(!store.is_gone(&gone).unwrap());
}
