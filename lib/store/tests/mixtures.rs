//! What the ends of files tell that were put together, padded, or made of several dumps.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends so")]

use std::fs;

use backup_file::{FirstAndLast, MARKER, Options, SectionKind, Writer};
use store::{QuickCheck, Store, flaw_at};

const NAME: &str = "postgresql_backup_20251123_020000.sql.gz";
/// A gzip member of another program: of `SELECT 1;`.
const PLAIN: &[u8] = &[
    0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0x0b, 0x76, 0xf5, 0x71, 0x75, 0x0e, 0x51, 0x30, 0xb4, 0xe6,
    0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0,
];

/// As `bgzip` writes it.
fn bgzf(text: &str) -> Vec<u8> {
    let options = Options {
        level: 1,
        threads: 1,
    };
    let mut writer = Writer::new(Vec::new(), options);
    writer.begin(SectionKind::Globals).unwrap();
    writer.write_all(text.as_bytes()).unwrap();
    writer.finish_without_index().unwrap()
}

fn quick_check(bytes: &[u8]) -> QuickCheck {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join(NAME), bytes).unwrap();
    let store = Store::open(home.path().to_str().unwrap()).unwrap();
    let backups = store.list().unwrap().dumps;
    store.quick_check(&backups[0]).unwrap()
}

fn dump(key: &str, rows: usize) -> String {
    let rows = "1\n".repeat(rows);
    format!(
        "--\n-- PostgreSQL database dump\n--\n\n\\restrict {key}\n\n-- Dumped from database version 15.18\n\nSET a = 1;\nCOPY t FROM stdin;\n{rows}\\.\n\n--\n-- PostgreSQL database dump complete\n--\n\n\\unrestrict {key}\n\n"
    )
}

#[test]
fn members_of_changing_kind() {
    let good = bgzf(&dump("a", 10));
    let cut = &good[..good.len() - MARKER.len()];
    let zeros = |file: &[u8], count: usize| [file, &vec![0; count]].concat();
    let foreign = |bytes: Vec<u8>| assert_eq!(quick_check(&bytes), QuickCheck::Foreign);
    foreign([&good, PLAIN].concat());
    foreign([PLAIN, &good].concat());
    foreign(zeros(&[&good, PLAIN].concat(), 512));
    for padding in [0, 1, 9, 10_240, 1 << 20] {
        assert_eq!(
            quick_check(&zeros(&good, padding)),
            QuickCheck::Whole(None),
            "{padding}"
        );
        let found = quick_check(&zeros(cut, padding));
        assert!(
            matches!(&found, QuickCheck::NotGood(why) if why == "its end is missing"),
            "{found:?}"
        );
    }
    let two = [bgzf(&dump("a", 10)), bgzf(&dump("b", 10))].concat();
    assert_eq!(quick_check(&two), QuickCheck::Whole(None));
    let cut = &dump("a", 10)[..150];
    let found = quick_check(&[bgzf(cut), bgzf(&dump("b", 10))].concat());
    assert!(
        matches!(&found, QuickCheck::NotGood(why) if why.contains("closing line")),
        "{found:?}"
    );
}

#[test]
fn of_several_dumps_the_ends_do_not_tell_all() {
    // Rows that do not get so short that the whole file is in its ends.
    let long = |key: &str| {
        let mut state = 1_u64;
        let rows: String = (0..60_000)
            .map(|_| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                format!("{state:016x}\n")
            })
            .collect();
        dump(key, 1).replace("1\n\\.", &format!("{rows}\\."))
    };
    assert_eq!(quick_check(&bgzf(&long("a"))), QuickCheck::Whole(None));
    let two = bgzf(&(long("a") + &long("b")));
    assert_eq!(quick_check(&two), QuickCheck::Foreign);
    // What is published is not refused for that.
    let mut ends = FirstAndLast::default();
    ends.see(&two);
    assert_eq!(flaw_at(&ends).unwrap(), None);
    let cut = long("a") + &long("b");
    let found = quick_check(&bgzf(&cut[..cut.len() - 60]));
    assert!(
        matches!(&found, QuickCheck::NotGood(why) if why.contains("closing line")),
        "{found:?}"
    );
}
