//! What may go, in a directory and in a container: the same decisions.

use e2e::{Azurite, Chance, Cluster, Container, Program, Scratch, backup, scratch};

const NOW: &str = "2025-06-30T12:00:00Z";

/// Nightly backups until the morning of [`NOW`], two older ones, and names that are not ours.
fn names() -> Vec<String> {
    let mut days: Vec<String> = (1..=30).map(|day| format!("202506{day:02}")).collect();
    days.extend(["20250115".into(), "20241231".into()]);
    let ours = days
        .iter()
        .map(|day| format!("postgresql_backup_{day}_020000.sql.gz"));
    ours.chain(STRANGERS.map(str::to_owned)).collect()
}

const STRANGERS: [&str; 6] = [
    "postgresql_backup_20200101_020000.sql",
    "postgresql_backup_20200101_020000.sql.gz.part",
    "postgresql_backup_20200101.sql.gz",
    "my_postgresql_backup_20200101_020000.sql.gz",
    "postgresql_backup_20201301_020000.sql.gz",
    "notes.txt",
];

fn a_backup() -> Vec<u8> {
    let cluster = Cluster::start();
    backup::pgdump_gz(&cluster).succeeds().stdout
}

/// One kind of store, with the same names in it.
enum Store {
    Directory(Scratch),
    Container(Container),
}

impl Store {
    fn both(good: &[u8]) -> [Self; 2] {
        let (dir, container) = (Scratch::new(), Azurite::shared().container());
        for name in names() {
            dir.write(&name, good);
            container.write(&name, good);
            if is_ours(&name) {
                dir.write(format!("{name}.sha256"), "");
            }
        }
        [Self::Directory(dir), Self::Container(container)]
    }

    fn prune(&self, args: &[&str]) -> Program {
        self.prune_at(NOW, args)
    }

    fn prune_at(&self, now: &str, args: &[&str]) -> Program {
        let prune = Program::new("blob-prune");
        let prune = match self {
            Self::Directory(dir) => prune.arg(dir.path()),
            Self::Container(container) => prune
                .arg(container.url())
                .env("AZURE_STORAGE_SAS_TOKEN", container.token()),
        };
        prune.args(args).args(["--now", now])
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        match self {
            Self::Directory(dir) => drop(dir.write(name, bytes)),
            Self::Container(container) => container.write(name, bytes),
        }
    }

    fn names(&self) -> Vec<String> {
        match self {
            Self::Directory(dir) => scratch::names(dir.path()),
            Self::Container(container) => container.names(),
        }
    }

    /// The days of the backups that are there.
    fn days(&self) -> Vec<String> {
        let names = self.names().into_iter().filter(|name| is_ours(name));
        names.map(|name| name[18..26].to_owned()).collect()
    }
}

fn is_ours(name: &str) -> bool {
    backup::is_name(name) && !STRANGERS.contains(&name)
}

fn days_of_june(first: u32) -> Vec<String> {
    (first..=30).map(|day| format!("202506{day:02}")).collect()
}

#[test]
fn by_age() {
    for store in Store::both(&a_backup()) {
        let all = store.names();
        let seen = store.prune(&["--keep-days", "7", "--dry-run"]).succeeds();
        assert_eq!(store.names(), all, "a dry run deletes nothing\n{seen}");
        let seen = store.prune(&["--keep-days", "7"]).succeeds();
        assert_eq!(store.days(), days_of_june(24), "{seen}");
        for name in all.iter().filter(|name| is_ours(name)) {
            assert!(seen.out().contains(name.as_str()), "{name}: why?\n{seen}");
        }
        for stranger in STRANGERS {
            assert!(
                store.names().iter().any(|name| name == stranger),
                "{stranger}\n{seen}"
            );
        }
        // The checksums go with their backups.
        let checksums = store
            .names()
            .iter()
            .filter(|name| name.ends_with(".sha256"))
            .count();
        let wanted = if matches!(store, Store::Directory(_)) {
            7
        } else {
            0
        };
        assert_eq!(checksums, wanted);
        store.prune(&["--keep-days", "7"]).succeeds();
        assert_eq!(store.days(), days_of_june(24));
    }
}

#[test]
fn by_number_week_and_month() {
    for store in Store::both(&a_backup()) {
        let policy = [
            "--keep-days",
            "2",
            "--keep-weekly",
            "4",
            "--keep-monthly",
            "3",
        ];
        let seen = store.prune(&policy).succeeds();
        let mut wanted = vec!["20241231", "20250115"];
        // Sundays, and the Monday of a week that has just begun.
        wanted.extend(["20250615", "20250622", "20250628", "20250629", "20250630"]);
        let wanted: Vec<String> = wanted.into_iter().map(str::to_owned).collect();
        let mut days = store.days();
        // 28 June 02:00 is two days and ten hours old, but among the newest three.
        days.sort();
        assert_eq!(days, wanted, "{seen}");
        let seen = store
            .prune(&["--keep-days", "0", "--keep-min", "5"])
            .succeeds();
        assert_eq!(store.days(), wanted[2..], "{seen}");
    }
}

#[test]
fn the_newest_good_one_stays_whatever_is_asked() {
    let good = a_backup();
    let mut chance = Chance::new();
    for store in Store::both(&good) {
        // The newest three are cut: the fourth is the one that counts.
        for day in 28..=30 {
            let name = format!("postgresql_backup_202506{day}_020000.sql.gz");
            store.write(&name, &good[..chance.below(good.len())]);
        }
        let all = store.names();
        let policy = ["--keep-days", "1", "--keep-min", "1"];
        store.prune(&policy).fails(4).says("stopped coming");
        assert_eq!(store.names(), all);
        let seen = store.prune(&policy).arg("--even-if-stale").succeeds();
        assert!(store.days().contains(&"20250627".to_owned()), "{seen}");
        assert!(store.days().contains(&"20250630".to_owned()), "{seen}");
    }
}

#[test]
fn a_policy_that_keeps_nothing_is_refused() {
    for store in Store::both(&a_backup()) {
        let all = store.names();
        store.prune(&[]).fails(2);
        // New ones have stopped coming: deleting by age would end with nothing.
        let late = store.prune_at("2025-08-30T12:00:00Z", &["--keep-days", "7"]);
        late.fails(4);
        assert_eq!(store.names(), all);
    }
}
