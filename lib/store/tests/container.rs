//! A container of backups: a service in memory that does what a test needs.
#![expect(clippy::unwrap_used, reason = "test code, all of it")]

use std::collections::HashMap;
use std::io::Read;
use std::time::Duration;

use azure_blob::{ErrorKind, Options};
use backup_file::{MARKER, Options as Compression, SectionKind, Writer};
use scripted_service::{Fault, Kind, Service};
use store::{Backup, Deletion, QuickCheck, Source, Store};

const OLD: &str = "postgresql_backup_20251121_020000.sql.gz";
const NEW: &str = "postgresql_backup_20251123_020000.sql.gz";

fn url(service: &Service, name: &str, permissions: &str) -> String {
    let token = format!("se=2999-01-01&sr=c&sp={permissions}&sig=x");
    format!("{}/{name}?{token}", service.url())
}

/// Patient enough for a slow machine, with short pauses.
fn options() -> Options {
    Options {
        deadline: Duration::from_secs(120),
        first_pause: Duration::from_millis(1),
        max_pause: Duration::from_millis(20),
        ..Options::default()
    }
}

fn store(service: &Service, permissions: &str) -> Store {
    Store::open_with(&url(service, "", permissions), options()).unwrap()
}

fn whole() -> Vec<u8> {
    let options = Compression {
        level: 1,
        threads: 1,
    };
    let mut writer = Writer::new(Vec::new(), options);
    writer.begin(SectionKind::Globals).unwrap();
    writer.write_all(b"select 1;\n").unwrap();
    writer.finish_without_index().unwrap()
}

/// A service with two backups and names that are none.
fn service() -> Service {
    let service = Service::start();
    for name in [OLD, NEW] {
        service.store(name, &whole());
    }
    for name in ["notes.txt", "postgresql_backup_20251123.sql.gz", "deeper/x"] {
        service.store(name, b"text");
    }
    service
}

fn names(backups: &[Backup]) -> Vec<String> {
    backups.iter().map(|it| it.name.to_string()).collect()
}

#[test]
fn backups_are_listed_and_nothing_else() {
    let service = service();
    let store = store(&service, "l");
    assert_eq!(store.label(), service.url());
    assert!(store.directory().is_none() && store.container().is_some());
    let backups = store.list().unwrap().dumps;
    assert_eq!(names(&backups), [OLD, NEW]);
    assert_eq!(backups[0].size, whole().len() as u64);
}

#[test]
fn a_backup_is_read_anywhere_and_again() {
    let service = service();
    let text = whole();
    let store = store(&service, "rl");
    let backup = store.list().unwrap().dumps.remove(1);
    let source = store.source(&backup).unwrap();
    assert_eq!(source.label(), format!("{}/{NEW}", service.url()));
    assert_eq!(source.file_name(), Some(NEW));
    assert_eq!(source.size(), Some(text.len() as u64));
    assert_eq!(source.recorded_sha256().unwrap(), None);
    for _ in 0..2 {
        let mut read = Vec::new();
        source.reader().unwrap().read_to_end(&mut read).unwrap();
        assert!(read == text);
    }
    let mut read = Vec::new();
    source.range(5, 7).unwrap().read_to_end(&mut read).unwrap();
    assert_eq!(read, text[5..12]);
    let other = Source::open_with(&url(&service, NEW, "r"), options()).unwrap();
    let file = other.read_at().unwrap();
    assert_eq!(file.read_at(3, 4).unwrap(), text[3..7]);
    assert!(file.read_at(0, text.len() + 1).is_err());
}

#[test]
fn what_is_at_the_end_is_fetched_once() {
    let service = service();
    let text = (0..40_000_u32)
        .map(|it| it.to_le_bytes()[0])
        .collect::<Vec<_>>();
    service.store(NEW, &text);
    let source = Source::open_with(&url(&service, NEW, "r"), options()).unwrap();
    let file = source.read_at().unwrap();
    let before = service.count(Kind::Get);
    for (from, length) in [
        (39_900, 100),
        (30_000, 9_000),
        (39_999, 1),
        (23_616, 16_384),
    ] {
        assert_eq!(
            file.read_at(from as u64, length).unwrap(),
            text[from..from + length]
        );
    }
    assert_eq!(service.count(Kind::Get), before + 1);
    assert_eq!(file.read_at(23_615, 2).unwrap(), text[23_615..23_617]);
    assert_eq!(service.count(Kind::Get), before + 2);
}

#[test]
fn what_the_service_says_is_not_lost_on_its_way() {
    let service = service();
    let source = Source::open_with(&url(&service, NEW, "r"), options()).unwrap();
    service.fault(Kind::Get, 0, Fault::Rewrite);
    let mut read = Vec::new();
    let error = source.reader().unwrap().read_to_end(&mut read).unwrap_err();
    let own = azure_blob::Error::from_io(&error).unwrap();
    assert_eq!(own.kind(), ErrorKind::Changed);
    let said = source.io_error(&error);
    assert!(said.to_string().contains("412 ConditionNotMet"), "{said}");
    assert_eq!(said.kind(), store::ErrorKind::Service(ErrorKind::Changed));
    assert_eq!(job::Error::from(said.clone()).exit(), job::Exit::Failed);
    // An I/O error that has lost what it carried, on its way through another's code.
    let bare = std::io::Error::other("the input ended");
    assert!(source.io_error(&bare).to_string().contains("412"), "{said}");
}

#[test]
fn a_token_that_does_not_do_is_told_before_anything_is_asked() {
    let service = service();
    let error = Source::open(&url(&service, NEW, "cw")).unwrap_err();
    assert_eq!(error.to_string(), "the SAS token's sp=cw lacks 'r'");
    assert_eq!(service.count(Kind::Head), 0);
}

#[test]
fn a_quick_check_tells_what_a_blob_is() {
    let service = service();
    let tiers = HashMap::from([("x-ms-access-tier".to_owned(), "Archive".to_owned())]);
    let named = |day: u32| format!("postgresql_backup_202511{day:02}_020000.sql.gz");
    service.change(|state| {
        state.store(&named(1), whole(), Vec::new(), tiers);
    });
    service.store(&named(2), &whole()[..20]);
    service.store(&named(3), b"");
    service.store(&named(4), &MARKER);
    service.store(
        &named(5),
        b"\x1f\x8b\x08\x00\0\0\0\0\0\x03abcdefghijklmnopqrstuvwxyz",
    );
    let store = store(&service, "rl");
    let checks: Vec<QuickCheck> = store
        .list()
        .unwrap()
        .dumps
        .iter()
        .map(|backup| store.quick_check(backup).unwrap())
        .collect();
    let not_good = |at: usize| matches!(checks[at], QuickCheck::NotGood(_));
    assert_eq!(checks[0], QuickCheck::Archived);
    assert!((1..=3).all(not_good), "{checks:?}");
    assert_eq!(checks[4], QuickCheck::Foreign);
    assert_eq!(checks[5], QuickCheck::Whole(None));
    assert_eq!(checks.len(), 7);
}

#[test]
fn a_quick_check_that_is_not_allowed_or_not_answered_is_no_verdict() {
    let service = service();
    let store = store(&service, "rl");
    let backups = store.list().unwrap().dumps;
    let mismatch = "AuthorizationPermissionMismatch";
    service.fault(Kind::Head, 1, Fault::Status(403, mismatch, None));
    service.fault(Kind::Get, 1, Fault::Status(403, mismatch, None));
    for _ in 0..2 {
        let check = store.quick_check(&backups[0]).unwrap();
        assert!(matches!(check, QuickCheck::NotAllowed(_)), "{check:?}");
    }
    service.change(|state| state.blobs.remove(OLD));
    let check = store.quick_check(&backups[0]).unwrap();
    assert_eq!(check, QuickCheck::Gone);
    assert!(store.is_gone(&backups[0]).unwrap());
    assert!(!store.is_gone(&backups[1]).unwrap());
    let hasty = Options {
        deadline: Duration::from_secs(1),
        ..options()
    };
    let store = Store::open_with(&url(&service, "", "rl"), hasty).unwrap();
    service.fault(Kind::Head, 0, Fault::Status(503, "ServerBusy", None));
    let error = store.quick_check(&backups[1]).unwrap_err();
    assert!(error.to_string().contains("503 ServerBusy"), "{error}");
}

#[test]
fn each_deletion_is_told() {
    let service = service();
    let store = store(&service, "dl");
    let mut backups = store.list().unwrap().dumps;
    let gone = "postgresql_backup_20251122_020000.sql.gz";
    backups.insert(
        1,
        Backup {
            name: backup_file::BackupName::parse(gone).unwrap(),
            ..backups[0].clone()
        },
    );
    service.change(|state| {
        let code = (409, "BlobImmutableDueToLegalHold");
        state.retained.insert(NEW.to_owned(), code);
    });
    let mut told = Vec::new();
    store
        .delete(&backups, &mut |backup, deletion| {
            told.push((backup.name.to_string(), deletion));
        })
        .unwrap();
    assert_eq!(
        told,
        [
            (OLD.to_owned(), Deletion::Deleted),
            (gone.to_owned(), Deletion::Gone),
            (NEW.to_owned(), Deletion::Retained("legal hold".into())),
        ]
    );
    assert_eq!(names(&store.list().unwrap().dumps), [NEW]);
}
