//! Everything that passes, at moments drawn by chance: all of it is outlived.

use std::io::Read;

use azure_blob::{Client, Deletion, UploadOptions};

use crate::{bytes, client, fill};
use scripted_service::{Fault, Kind, Service};

const DAYS: u32 = 25;
const KINDS: [Kind; 8] = [
    Kind::Probe,
    Kind::PutBlock,
    Kind::PutList,
    Kind::Head,
    Kind::Get,
    Kind::List,
    Kind::Delete,
    Kind::Batch,
];

/// The same draws in every run.
struct Chance(u32);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.0 >> 8) as usize % limit
    }

    fn fault(&mut self, kind: Kind) -> Fault {
        let upload = matches!(kind, Kind::PutBlock | Kind::PutList | Kind::Batch);
        match self.below(8) {
            0 => Fault::Status(500, "InternalError", None),
            1 => Fault::Status(503, "ServerBusy", Some(("Retry-After", "0"))),
            2 => Fault::Status(429, "", None),
            3 => Fault::CutHead,
            4 if upload => Fault::CutRequest(self.below(2_000_000)),
            5 if kind == Kind::PutBlock => Fault::Garble,
            6 => Fault::CutBody(self.below(300_000)),
            _ => Fault::LoseAnswer,
        }
    }
}

fn put(client: &Client, name: &str, bytes: &[u8]) {
    let mut upload = client.upload(name, UploadOptions::default()).unwrap();
    fill(&mut upload, bytes).unwrap();
    upload.finish().unwrap().commit().unwrap();
}

#[test]
fn a_bad_day_is_survived() {
    let all = bytes(9 << 20);
    for day in 0..DAYS {
        let mut chance = Chance(day);
        let service = Service::start();
        for kind in KINDS {
            for _ in 0..chance.below(4) {
                let (nth, fault) = (1 + chance.below(4), chance.fault(kind));
                service.fault(kind, nth, fault);
            }
        }
        let client = client(&service);
        let sizes: Vec<_> = (0..3).map(|_| chance.below(all.len())).collect();
        for (at, size) in sizes.iter().enumerate() {
            put(&client, &format!("{at}.gz"), &all[..*size]);
        }
        let items = client.list().unwrap();
        assert_eq!(items.len(), sizes.len(), "day {day}");
        for (item, size) in items.iter().zip(&sizes) {
            let mut read = Vec::new();
            client
                .blob_of(item)
                .reader()
                .read_to_end(&mut read)
                .unwrap();
            assert!(read == all[..*size], "day {day}");
        }
        let names: Vec<_> = items.iter().map(|item| item.name.as_str()).collect();
        let mut told = 0;
        client
            .delete(&names, &mut |_, deletion| {
                assert!(
                    matches!(deletion, Deletion::Deleted | Deletion::Gone),
                    "day {day}: {deletion:?}"
                );
                told += 1;
            })
            .unwrap();
        assert_eq!(told, names.len());
        assert!(service.change(|state| state.blobs.is_empty()), "day {day}");
    }
}
