//! An archive in either kind of store.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends so")]

use std::fs;
use std::ops::ControlFlow;

use scripted_service::Service;
use store::{Deletion, Store};
use tempfile::TempDir;
use wal::{Archive, ArchiveErrorKind, Packed, Put, SystemId, WalName, unpack};

const SYSTEM: SystemId = SystemId(7_713_839_002_202_912_798);

/// A store, with what it lives in.
struct Stores {
    directory: TempDir,
    service: Service,
}

impl Stores {
    fn new() -> Self {
        let (directory, service) = (tempfile::tempdir().unwrap(), Service::start());
        Self { directory, service }
    }

    fn both(&self) -> [Store; 2] {
        let url = format!(
            "{}/prefix?se=2999-01-01&sr=c&sp=rwdl&sig=x",
            self.service.url()
        );
        [
            Store::open(self.directory.path().to_str().unwrap()).unwrap(),
            Store::open(&url).unwrap(),
        ]
    }
}

fn name(text: &str) -> WalName {
    WalName::parse(text).unwrap()
}

fn packed(raw: &[u8]) -> Packed {
    Packed::of(&mut &*raw, raw.len() as u64).unwrap()
}

fn content(archive: &Archive, name: WalName) -> Option<Vec<u8>> {
    let stored = archive.get(name).unwrap()?;
    let mut out = Vec::new();
    let unpacked = unpack(stored.input, stored.raw_sha256, |piece| {
        out.extend_from_slice(piece);
        Ok(())
    });
    assert_eq!(unpacked.unwrap(), out.len() as u64);
    Some(out)
}

fn listed(archive: &Archive, begin: &str) -> Vec<String> {
    let mut names = Vec::new();
    let listed = archive.list_beginning(begin, |file| {
        assert!(file.size > 0);
        names.push(file.name.to_string());
        ControlFlow::Continue(())
    });
    listed.unwrap();
    names
}

const NAMES: [&str; 6] = [
    "000000010000000000000003.00000028.backup",
    "000000010000000000000003",
    "000000010000000000000004.partial",
    "00000002.history",
    "000000020000000000000004",
    "000000020000000000000005",
];

#[test]
fn what_is_put_is_listed_read_and_removed() {
    let stores = Stores::new();
    for store in stores.both() {
        let archive = Archive::new(&store, SYSTEM);
        assert!(!archive.holds_any("").unwrap());
        assert_eq!(archive.remove(&[], &mut |_, _| panic!()), Ok(()));
        for text in NAMES {
            let raw = text.as_bytes().repeat(1000);
            assert_eq!(archive.recorded(name(text)).unwrap(), None);
            assert_eq!(content(&archive, name(text)), None);
            assert_eq!(archive.put(name(text), &packed(&raw), "me"), Ok(Put::New));
            assert_eq!(archive.put(name(text), &packed(&raw), "me"), Ok(Put::Same));
            assert_eq!(content(&archive, name(text)), Some(raw));
            assert!(archive.recorded(name(text)).unwrap().unwrap().size > 0);
        }
        assert_eq!(listed(&archive, ""), NAMES);
        assert_eq!(listed(&archive, "00000001"), NAMES[..3]);
        assert_eq!(listed(&archive, "00000003"), [""; 0]);
        assert!(archive.holds_any("00000002").unwrap());
        let mut gone = Vec::new();
        let names = [
            name(NAMES[0]),
            name("000000090000000000000003"),
            name(NAMES[4]),
        ];
        let removed = archive.remove(&names, &mut |name, deletion| gone.push((name, deletion)));
        removed.unwrap();
        assert_eq!(
            gone,
            [
                (names[0], Deletion::Deleted),
                (names[1], Deletion::Gone),
                (names[2], Deletion::Deleted),
            ]
        );
        assert_eq!(listed(&archive, "").len(), 4);
    }
}

#[test]
fn a_name_has_one_content_for_ever() {
    let stores = Stores::new();
    for store in stores.both() {
        let archive = Archive::new(&store, SYSTEM);
        for text in NAMES {
            archive.put(name(text), &packed(b"one"), "me").unwrap();
            let other = archive.put(name(text), &packed(b"other"), "me");
            match name(text) {
                // It is never in the way of another.
                WalName::Partial(_) => assert_eq!(other, Ok(Put::New)),
                _ => assert_eq!(other.unwrap_err().kind(), ArchiveErrorKind::Taken, "{text}"),
            }
            assert_eq!(content(&archive, name(text)), Some(b"one".to_vec()));
        }
        let beside = listed(&archive, "000000010000000000000004.");
        assert_eq!(beside.len(), 2, "{beside:?}");
        assert_eq!(content(&archive, name(&beside[0])), Some(b"other".to_vec()));
    }
}

#[test]
fn clusters_have_an_archive_each() {
    let stores = Stores::new();
    fs::create_dir_all(stores.directory.path().join("wal/no number")).unwrap();
    for store in stores.both() {
        assert_eq!(Archive::systems(&store), Ok(vec![]));
        let segment = name(NAMES[0]);
        for system in [9, 10, 7, 8] {
            let archive = Archive::new(&store, SystemId(system));
            archive.put(segment, &packed(&[7]), "me").unwrap();
        }
        let systems = [7, 8, 9, 10].map(SystemId).to_vec();
        assert_eq!(Archive::systems(&store), Ok(systems));
        assert_eq!(content(&Archive::new(&store, SystemId(6)), segment), None);
        // They are no backups.
        assert_eq!(store.list(), Ok(store::Listing::default()));
    }
}

#[test]
fn a_history_is_read() {
    let stores = Stores::new();
    for store in stores.both() {
        let archive = Archive::new(&store, SYSTEM);
        assert_eq!(archive.history(2), Ok(None));
        archive
            .put(name("00000002.history"), &packed(b"1\t0/300000\tx\n"), "me")
            .unwrap();
        let history = archive.history(2).unwrap().unwrap();
        assert_eq!(history.begins().to_string(), "0/300000");
        archive
            .put(name("00000003.history"), &packed(b"half"), "me")
            .unwrap();
        let error = archive.history(3).unwrap_err();
        assert_eq!(error.kind(), ArchiveErrorKind::NotGood);
        assert!(error.to_string().contains("00000003.history"), "{error}");
    }
}

#[test]
fn what_a_killed_program_left_is_swept() {
    let stores = Stores::new();
    let [store, _] = stores.both();
    let archive = Archive::new(&store, SYSTEM);
    assert_eq!(archive.sweep(), Ok(vec![]));
    archive.put(name(NAMES[0]), &packed(b"x"), "me").unwrap();
    let left = format!(".{}.gz.abcdefABCDEF.partial", NAMES[1]);
    let path = stores.directory.path().join(format!("wal/{SYSTEM}/{left}"));
    fs::write(path, "half").unwrap();
    assert_eq!(listed(&archive, ""), NAMES[..1]);
    assert_eq!(archive.sweep(), Ok(vec![left]));
    assert_eq!(archive.sweep(), Ok(vec![]));
}
