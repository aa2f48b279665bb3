//! Each check of a store: one that passes it and one that fails it, in a directory and in a container.

use std::fs;
use std::sync::LazyLock;

use chrono::{DateTime, TimeDelta, Utc};
use e2e::{Azurite, Cluster, Container, Program, Scratch, backup, sample, wait_for};
use rustix::process::Signal;
use serde_json::Value;

/// Backups of one cluster in different states, made once.
struct Backups {
    /// When the last of them was made: all ages are reckoned from here.
    now: DateTime<Utc>,
    usual: Vec<u8>,
    /// The only table of the database shop was left out.
    without: Vec<u8>,
    /// Most rows of the database shop are lost.
    lost: Vec<u8>,
    /// shop is gone, and there is a new one, annex.
    gone: Vec<u8>,
}

static BACKUPS: LazyLock<Backups> = LazyLock::new(|| {
    let cluster = Cluster::start();
    let dump = || backup::pgdump_gz(&cluster).succeeds().stdout;
    for name in ["shop", "crm"] {
        cluster.sql("postgres", &format!("create database {name}"));
    }
    sample::bulk(&cluster, "shop", "orders", 1);
    let usual = dump();
    let without = backup::pgdump_gz(&cluster).args(["--exclude-table", "ord*"]);
    let without = without.succeeds().stdout;
    cluster.sql("shop", "delete from orders where hash > '2'");
    let lost = dump();
    cluster.sql("postgres", "drop database shop");
    cluster.sql("postgres", "create database annex");
    // Before the last one, which may take a while: none of an age of 0 s is older.
    let now = Utc::now();
    let gone = dump();
    Backups {
        now,
        usual,
        without,
        lost,
        gone,
    }
});

/// The name of a backup of so long ago.
fn at(age: TimeDelta) -> String {
    let moment = BACKUPS.now - age;
    moment
        .format("postgresql_backup_%Y%m%d_%H%M%S.sql.gz")
        .to_string()
}

fn name(hours: i64) -> String {
    at(TimeDelta::hours(hours))
}

/// One kind of store.
enum Store {
    Directory(Scratch),
    Container(Container),
}

impl Store {
    fn both() -> [Self; 2] {
        let container = Azurite::shared().container();
        [Self::Directory(Scratch::new()), Self::Container(container)]
    }

    fn write(&self, hours: i64, bytes: &[u8]) {
        self.write_at(&name(hours), bytes);
    }

    fn write_at(&self, name: &str, bytes: &[u8]) {
        match self {
            Self::Directory(dir) => drop(dir.write(name, bytes)),
            Self::Container(container) => container.write(name, bytes),
        }
    }

    /// One backup a night, the last one now; the nights are counted backwards.
    fn nightly(&self, nights: impl IntoIterator<Item = i64>, bytes: &[u8]) {
        for night in nights {
            self.write(24 * night, bytes);
        }
    }

    fn verify(&self, args: &[&str]) -> Program {
        let verify = Program::new("backup-verify");
        let verify = match self {
            Self::Directory(dir) => verify.arg(dir.path()),
            Self::Container(container) => verify
                .arg(container.url())
                .env("AZURE_STORAGE_SAS_TOKEN", container.token()),
        };
        verify.args(args).args(["--now", &BACKUPS.now.to_rfc3339()])
    }

    /// Verifies it, and demands an exit code and lines that begin so.
    #[track_caller]
    fn says(&self, args: &[&str], code: i32, lines: &[&str]) -> String {
        let seen = match code {
            0 => self.verify(args).succeeds(),
            code => self.verify(args).fails(code),
        };
        let out = seen.out();
        for wanted in lines {
            assert!(
                out.lines().any(|line| line.starts_with(wanted)),
                "no line {wanted:?}\n{seen}"
            );
        }
        out
    }
}

/// However full this machine's disk is.
const ROOM: [&str; 2] = ["--quota", "1T"];

#[test]
fn size_and_databases() {
    for store in Store::both() {
        let is = |code, lines: &[&str]| store.says(&ROOM, code, lines);
        let Backups {
            usual,
            without,
            lost,
            gone,
            ..
        } = &*BACKUPS;
        store.nightly(0..=2, usual);
        store.write(0, lost);
        is(
            0,
            &[
                "ok       size     ",
                "ok       content  4 databases; 2 good backups before it",
            ],
        );
        store.nightly(0..=5, usual);
        is(
            0,
            &[
                "ok       size     ",
                "ok       content  4 databases, none gone, new",
            ],
        );
        store.write(0, lost);
        is(
            3,
            &[
                "bad      size     ",
                "bad      content  database \"shop\" has ",
            ],
        );
        // It was meant: it is compared with others of its kind, when there are some.
        store.write(0, without);
        let out = is(
            0,
            &["ok       content  4 databases; 0 good backups before it"],
        );
        assert!(out.contains("dumped with --exclude-table 'ord*'"), "{out}");
        store.write(0, gone);
        is(
            3,
            &[
                "bad      content  database \"shop\" is gone",
                "ok       content  database \"annex\" is new",
                "ok       content  3 databases as before",
            ],
        );
        let anything = ["--max-size-change", "100%", "--quota", "1T"];
        store.says(&anything, 0, &["ok       size     "]);
        // A cut one among those before makes no difference.
        store.nightly(1..=5, lost);
        store.write(48, &usual[..usual.len() / 2]);
        store.write(0, usual);
        is(
            0,
            &[
                "warning  size     ",
                "warning  content  database \"shop\" has ",
            ],
        );
    }
}

#[test]
fn age() {
    for store in Store::both() {
        store.write(30, &BACKUPS.usual);
        store.says(&ROOM, 0, &["ok       age      30 h; at most 36 h"]);
        let args = ["--max-age", "29h", "--quota", "1T"];
        store.says(&args, 3, &["bad      age      the newest backup"]);
    }
}

#[test]
fn room() {
    for store in Store::both() {
        store.nightly(0..=3, &BACKUPS.usual);
        store.says(
            &ROOM,
            0,
            &["ok       room     0 % of the quota of 1.00 TiB"],
        );
        let full = "the store is nearly full: ";
        let words = format!("bad      room     {full}");
        let out = store.says(&["--quota", "1M"], 3, &[&words]);
        assert!(out.contains(" are used; 80 % are allowed"), "{out}");
        let roomy = ["--quota", "1M", "--max-used", "10000%"];
        store.says(&roomy, 0, &["ok       room     "]);
        if matches!(store, Store::Directory(_)) {
            store.says(&["--max-used", "100%"], 0, &["ok       room     "]);
            store.says(&["--max-used", "0%"], 3, &["bad      room     "]);
        }
    }
}

#[test]
fn what_blob_prune_should_have_deleted() {
    for store in Store::both() {
        let args = ["--quota", "1T", "--keep-days", "7"];
        store.nightly(0..=8, &BACKUPS.gone);
        store.says(&args, 0, &["ok       pruning  "]);
        store.nightly(10..=12, &BACKUPS.gone);
        let words = format!(
            "bad      pruning  3 backups are still there that should have been deleted two days ago, the oldest is '{}'",
            name(12 * 24)
        );
        store.says(&args, 3, &[&words]);
        let args = [&args[..], &["--keep-min", "20"]].concat();
        store.says(&args, 0, &["ok       pruning  "]);
    }
}

#[test]
fn gaps_in_the_series() {
    for store in Store::both() {
        store.nightly([0, 1, 3, 4, 6], &BACKUPS.gone);
        let words = format!(
            "gaps     2 backups are missing in the last 7 turns, the last between '{}' and '{}'",
            name(3 * 24),
            name(24)
        );
        store.says(&ROOM, 0, &[&format!("warning  {words}")]);
        let args = ["--quota", "1T", "--max-missed", "1"];
        store.says(&args, 3, &[&format!("bad      {words}; 1 may be")]);
        let args = ["--quota", "1T", "--max-missed", "1", "--every", "2d"];
        store.says(&args, 0, &["ok       gaps     "]);
        store.nightly([2, 5], &BACKUPS.gone);
        store.says(&ROOM, 0, &["ok       gaps     "]);
    }
}

#[test]
fn the_token_s_last_days() {
    let [_, store] = Store::both();
    store.nightly(0..=0, &BACKUPS.gone);
    // It is good for an hour.
    let args = ["--quota", "1T", "--warn-expiry", "10m"];
    store.says(&args, 0, &["ok       token    "]);
    store.says(&ROOM, 0, &["warning  token    the SAS token expires in "]);
}

/// How many lines of it say that a backup was not read again.
fn known(out: &str) -> usize {
    out.matches("it is not read again").count()
}

#[test]
fn every_backup_and_what_is_remembered() {
    for store in Store::both() {
        let scratch = Scratch::new();
        let state = scratch.join("state");
        let path = state.to_str().expect("a path");
        let all = ["--all", "--quota", "1T", "--jobs", "2"];
        let with = |more: &[&'static str]| [&all[..], &["--state", path], more].concat();
        let usual = &BACKUPS.usual;
        let mut damaged = usual.clone();
        damaged[usual.len() / 2] ^= 1;
        for minutes in [0, 10, 20, 40] {
            store.write_at(&at(TimeDelta::minutes(minutes)), usual);
        }
        let third = at(TimeDelta::minutes(30));
        store.write_at(&third, &damaged);
        let seen = store.verify(&all).fails(3);
        seen.says(&third);
        let out = store.says(&with(&[]), 3, &["bad      backup   "]);
        assert_eq!(known(&out), 0, "{out}");
        // In their order, whoever was read first.
        let lines: Vec<&str> = out
            .lines()
            .filter(|it| it[9..].starts_with("backup "))
            .collect();
        assert_eq!(lines.len(), 5, "{out}");
        assert!(lines[1].starts_with("bad"), "{out}");
        // The bad one is read each time, and so is the newest.
        let out = store.says(&with(&[]), 3, &["bad      backup   "]);
        assert_eq!(known(&out), 3, "{out}");
        store.write_at(&third, usual);
        assert_eq!(known(&store.says(&with(&[]), 0, &[])), 3);
        assert_eq!(known(&store.says(&with(&[]), 0, &[])), 4);
        store.write_at(&third, &damaged);
        store.says(&with(&[]), 3, &["bad      backup   "]);
        store.write_at(&third, usual);
        let out = store.says(&with(&["--again-after", "0s"]), 0, &[]);
        assert_eq!(known(&out), 0, "{out}");

        // One that is killed has not worked in vain.
        fs::remove_file(&state).expect("the state");
        let mut running = store.verify(&with(&["--threads", "1"])).spawn();
        wait_for("a backup that was read", || {
            let lines = fs::read_to_string(&state).unwrap_or_default();
            (running.ended() || lines.ends_with('\n')).then_some(())
        });
        running.signal(Signal::KILL);
        running.wait();
        let out = store.says(&with(&[]), 0, &[]);
        assert!(known(&out) >= 1, "{out}");
    }
}

#[test]
fn json_has_it_in_numbers() {
    let [store, _] = Store::both();
    store.nightly(0..=4, &BACKUPS.usual);
    store.write(0, &BACKUPS.gone);
    let args = ["--json", "--quota", "1T", "--keep-days", "7"];
    let out = store.verify(&args).fails(3).out();
    let document: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(document["exit_code"], 3);
    let checks = document["checks"].as_array().expect("checks");
    let of = |check: &str| checks.iter().find(|it| it["check"] == check).expect(check);
    // As long as the dump took, on a machine that may be busy.
    let age = of("age")["age_seconds"].as_u64().expect("an age");
    assert!(age < 600, "{age}");
    assert_eq!(of("age")["dump_age_seconds"], age);
    assert_eq!(of("age")["max_age_seconds"], 36 * 3600);
    let size = of("size");
    assert_eq!(size["newest_bytes"], BACKUPS.gone.len());
    assert_eq!(size["median_bytes"], BACKUPS.usual.len());
    assert_eq!(size["compared"], 4);
    assert!(size["size_ratio"].as_f64().expect("a ratio") < 0.5);
    let shop = checks
        .iter()
        .filter(|it| it["check"] == "content")
        .find(|it| it["databases"][0]["name"] == "shop")
        .expect("shop");
    assert_eq!(shop["result"], "bad");
    assert_eq!(shop["databases"][0]["change"], "gone");
    assert_eq!(shop["databases"][0]["size_ratio"], 0.0);
    assert_eq!(of("room")["total_bytes"], 1_u64 << 40);
    assert_eq!(of("gaps")["missed"], 0);
    assert_eq!(of("pruning")["overdue"], serde_json::json!([]));
}
