//! `backup-verify --restore-test`: a good backup passes, a bad one is found and named, and nothing of the test is
//! left behind.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use backup_file::{
    Contents, Index, Layout, Options, SectionKind, TableRows, Tail, Writer, read_map, read_tail,
};
use e2e::{
    Azurite, Bytes, Cluster, Program, Running, Scratch, Seen, Version, backup, sample, scratch,
    wait_for,
};
use rustix::process::Signal;
use serde_json::Value;

const NAME: &str = "postgresql_backup_20250101_000000.sql.gz";

/// Small, and with something of each kind that is compared.
const SHOP: &str = r#"
create role keeper login;
create database shop owner keeper;
create database zoo is_template true connection limit 0;
\connect shop
create extension hstore;
create table orders (id integer primary key, what text not null);
insert into orders select i, 'order ' || i from generate_series(1, 3000) i;
create table lines (id integer references orders, note hstore);
insert into lines select i, hstore('note', i::text) from generate_series(1, 500) i;
create index notes on lines using gin (note);
create policy mine on lines to keeper using (true);
alter table orders owner to keeper;
grant select on lines to keeper;
select lo_from_bytea(4711, 'a large object');
create table parts (id integer, at date) partition by range (at);
create table parts_2025 partition of parts for values from ('2025-01-01') to ('2026-01-01');
insert into parts select i, date '2025-01-01' + i from generate_series(1, 40) i;
create index on parts (id);
\connect zoo
create table animals as select i as id from generate_series(1, 200) i;
create subscription feed connection 'host=nowhere' publication feed with (connect = false);
alter database zoo set default_transaction_read_only = on;
"#;

/// A cluster with these, and a backup of it.
fn shop() -> (Cluster, Forge) {
    let cluster = Cluster::start();
    sample::load(&cluster, SHOP);
    let forge = Forge::of(&cluster);
    (cluster, forge)
}

/// A backup taken to pieces, to be put together with something changed: as if it had been lost before it was written.
struct Forge {
    scratch: Scratch,
    index: Index,
    text: Vec<u8>,
    /// The maps of its sections.
    layouts: Vec<Option<Layout>>,
}

/// A section of it.
struct Part {
    kind: SectionKind,
    sql: String,
    contents: Option<Contents>,
    layout: Option<Layout>,
}

impl Forge {
    fn of(cluster: &Cluster) -> Self {
        let scratch = Scratch::new();
        let path = backup::dump(cluster, scratch.make("good"));
        let file = Bytes::of(&path);
        let Tail::Index(index) = read_tail(&file).unwrap() else {
            unreachable!("no index");
        };
        let map = |section| read_map(&file, section).unwrap();
        let layouts = index.sections.iter().map(map);
        let layouts = layouts.map(|map| map.map(|it| it.layout)).collect();
        let text = backup::gunzip(&path);
        Self {
            scratch,
            index: *index,
            text,
            layouts,
        }
    }

    /// The directory of the backup as it was made.
    fn good(&self) -> PathBuf {
        self.scratch.join("good")
    }

    /// A whole and sound backup of something else.
    fn make(&self, version: Option<&str>, mut change: impl FnMut(&mut Part)) -> PathBuf {
        let options = Options {
            level: 1,
            threads: 1,
        };
        let mut writer = Writer::new(Vec::new(), options);
        for (section, layout) in self.index.sections.iter().zip(&self.layouts) {
            let at = usize::try_from(section.sql_offset).unwrap();
            let sql = &self.text[at..at + usize::try_from(section.sql_length).unwrap()];
            let mut part = Part {
                kind: section.kind.clone(),
                sql: String::from_utf8(sql.to_vec()).unwrap(),
                contents: section.contents.clone(),
                layout: layout.clone(),
            };
            change(&mut part);
            writer.begin(part.kind).unwrap();
            writer.write_all(part.sql.as_bytes()).unwrap();
            if let Some(contents) = part.contents {
                writer.holds(contents);
            }
            if let Some(layout) = part.layout {
                writer.map(layout);
            }
        }
        let mut about = self.index.about.clone();
        if let Some(version) = version {
            about.server_version = version.into();
        }
        let bytes = writer.finish(about).unwrap();
        self.scratch.write(NAME, bytes)
    }

    /// One in which one database is another.
    fn change(&self, database: &str, mut change: impl FnMut(&mut Part)) -> PathBuf {
        let wanted = SectionKind::Database(database.into());
        self.make(None, |part| {
            if part.kind == wanted {
                change(part);
            }
        })
    }
}

impl Part {
    #[track_caller]
    fn replace(&mut self, from: &str, to: &str) {
        let found = self.sql.find(from);
        let at = found.unwrap_or_else(|| panic!("{from:?} is not in {}", self.sql));
        self.sql.replace_range(at..at + from.len(), to);
        if let Some(layout) = &mut self.layout {
            let at = (at + from.len()) as u64;
            moved(layout, at, to.len() as i64 - from.len() as i64);
        }
    }

    fn contents(&mut self) -> &mut Contents {
        self.contents.as_mut().unwrap()
    }
}

/// Moves what a map says lies at a place or behind it.
fn moved(layout: &mut Layout, from: u64, by: i64) {
    let mut places: Vec<&mut u64> = Vec::new();
    let ranges = layout.data.iter_mut().chain(&mut layout.large_objects);
    places.extend(ranges.flat_map(|it| [&mut it.start, &mut it.end]));
    for block in &mut layout.copies {
        let Range { start, end } = &mut block.sql;
        places.extend([start, end, &mut block.statement, &mut block.data]);
    }
    for place in places.into_iter().filter(|it| **it >= from) {
        *place = place.checked_add_signed(by).unwrap();
    }
}

/// Where servers are made, and what is there afterwards.
struct Ground {
    scratch: Scratch,
}

impl Ground {
    fn new() -> Self {
        let scratch = Scratch::new();
        Self { scratch }
    }

    fn test(&self, backup: impl AsRef<Path>) -> Program {
        backup::restore_test(backup).env("TMPDIR", self.scratch.path())
    }

    /// No directory is left, and no process.
    #[track_caller]
    fn is_clean(&self, seen: &Seen) {
        assert_eq!(scratch::names(self.scratch.path()), [""; 0], "{seen}");
        // Those that have been killed are gone when their parent, or init, has taken notice.
        wait_for("its processes to be gone", || {
            self.processes().is_empty().then_some(())
        });
    }

    /// The processes that were started there.
    fn processes(&self) -> Vec<String> {
        let processes = fs::read_dir("/proc").unwrap().flatten();
        let links = processes.filter_map(|entry| fs::read_link(entry.path().join("cwd")).ok());
        links
            .map(|link| link.to_string_lossy().into_owned())
            .filter(|link| link.starts_with(&*self.scratch.path().to_string_lossy()))
            .collect()
    }
}

/// Into databases of a cluster.
fn into(cluster: &Cluster, backup: impl AsRef<Path>) -> Program {
    backup::restore_test(backup)
        .args(["--into", "dbname=postgres"])
        .on(cluster)
}

/// All databases, the templates too.
fn databases(cluster: &Cluster) -> String {
    cluster.sql(
        "postgres",
        "select string_agg(datname, ' ' order by datname) from pg_database",
    )
}

#[test]
fn a_cluster_of_odd_things_comes_back() {
    let cluster = Cluster::start();
    let place = cluster.server_dir("tablespace");
    let tablespace = format!(
        "create tablespace \"fast disk\" location '{}'",
        place.display()
    );
    cluster.sql("postgres", &tablespace);
    cluster.sql(
        "postgres",
        "create table elsewhere (a integer) tablespace \"fast disk\"",
    );
    sample::odd(&cluster);
    // The names that a command line or psql might take for something else; each takes its time.
    let (odd, others): (Vec<&str>, Vec<&str>) = sample::ODD_NAMES
        .iter()
        .partition(|name| name.contains(['"', '\'', '-', '\t', '=']));
    for name in others {
        let drop = format!("drop database {}", sample::identifier(name));
        cluster.sql("postgres", &drop);
    }
    let ground = Ground::new();
    let good = Scratch::new();
    backup::dump(&cluster, good.path());
    // The server that was dumped and its tablespace are of no use any more.
    drop(cluster);
    let seen = ground.test(good.path()).succeeds();
    seen.prints("'everything'  tables: 13 with 20108 rows, indexes: 1, constraints: 6, large objects: 3, in ",
    );
    seen.prints("'latin'  tables: 1 with 3 rows");
    for name in &odd {
        seen.prints(&format!("restore  '{name}'  tables: "));
    }
    let all = format!(
        "ok       restore  {} databases into PostgreSQL ",
        odd.len() + 5
    );
    seen.prints(&all);
    seen.prints(": the measured RTO");
    assert!(!seen.out().contains("warning"), "{seen}");
    ground.is_clean(&seen);
}

#[test]
fn a_store_in_a_container_is_restored_from_there() {
    let (_cluster, forge) = shop();
    let ground = Ground::new();
    let azurite = Azurite::shared();
    let container = azurite.container();
    let bytes = fs::read(forge.good().join(&backup::names(forge.good())[0])).unwrap();
    container.write(NAME, &bytes);
    let url = format!("{}?{}", container.url(), container.token());
    let seen = ground
        .test(url)
        .args(["--json", "--now", "2025-01-01 12:00Z"])
        .run();
    seen.hides(container.token().rsplit('=').next().unwrap());
    let said: Value = serde_json::from_slice(&seen.stdout).unwrap();
    let checks = said["checks"].as_array().unwrap();
    let restored: Vec<&Value> = checks
        .iter()
        .filter(|it| it["check"] == "restore")
        .collect();
    assert!(restored.iter().all(|it| it["result"] == "ok"), "{seen}");
    let seconds = |it: &&Value| it["restore_seconds"].as_f64().unwrap();
    let (all, each) = restored.split_last().unwrap();
    assert_eq!(each.len(), 4, "{seen}");
    assert!(
        seconds(all) > each.iter().map(seconds).sum::<f64>(),
        "{seen}"
    );
    let shop = each.iter().find(|it| it["database"] == "shop").unwrap();
    assert_eq!(shop["rows"], 3540, "{seen}");
    ground.is_clean(&seen);
}

#[test]
fn what_is_bad_is_found_and_named() {
    let (cluster, forge) = shop();
    let before = databases(&cluster);
    let bad = |path: PathBuf, options: &[&str], line: &str| {
        let seen = into(&cluster, path).args(options).fails(3);
        seen.prints(line);
        seen.says("did not come back as they were dumped");
        assert_eq!(databases(&cluster), before, "{seen}");
        seen
    };
    let seen = bad(
        forge.change("shop", |part| part.replace("\n1234\torder 1234\n", "\n")),
        &[],
        "bad      restore  database 'shop' is not what was dumped: rows: public.orders has 2999 rows, and 3000 were dumped",
    );
    // The others are tested all the same.
    seen.prints("ok       restore  'zoo'  tables: 1 with 200 rows");
    bad(
        forge.change("shop", |part| {
            let statement = part
                .sql
                .lines()
                .find(|it| it.starts_with("CREATE INDEX notes"));
            let statement = statement.unwrap().to_owned();
            part.replace(&statement, "");
        }),
        &["--database", "shop"],
        "database 'shop' is not what was dumped: indexes: there are 2, and 3 were dumped",
    );
    bad(
        forge.change("zoo", |part| {
            part.contents().table_count += 1;
            let ghost = TableRows::new("public.\"a ghost\"", 7);
            part.layout.as_mut().unwrap().other_tables.push(ghost);
        }),
        &["--database", "zoo"],
        "database 'zoo' is not what was dumped: tables are missing: public.\"a ghost\"; tables: there are 1, and 2 were dumped",
    );
    bad(
        forge.change("zoo", |part| {
            let at = part.sql.find("\n150\n").unwrap();
            part.sql.truncate(at);
        }),
        &["--database", "zoo"],
        "is cut: it ends in the middle of the rows of a COPY",
    );
}

#[test]
fn into_a_server_without_its_roles() {
    let (_cluster, forge) = shop();
    let other = Cluster::start();
    let before = databases(&other);
    let seen = into(&other, forge.good()).succeeds();
    seen.prints(
        "'shop'  tables: 4 with 3540 rows, indexes: 3, constraints: 2, large objects: 1, in ",
    );
    seen.prints("owners and privileges left out: ");
    seen.prints("restore  4 databases into PostgreSQL ");
    assert_eq!(databases(&other), before);
    assert_eq!(
        other.sql(
            "postgres",
            "select count(*) from pg_roles where rolname = 'keeper'"
        ),
        "0"
    );
    let metrics = forge.scratch.join("metrics.prom");
    let measured = |program: Program| program.arg("--metrics").arg(&metrics);
    let zoo = into(&other, forge.good()).args(["--database", "zoo"]);
    let seen = measured(zoo).succeeds();
    seen.prints("restore  1 database into PostgreSQL ");
    assert!(!seen.out().contains("shop"), "{seen}");
    let value = |name: &str| {
        let text = fs::read_to_string(&metrics).unwrap();
        let mut lines = text.lines().filter(|it| it.starts_with(name));
        let line = lines.next().map(str::to_owned).unwrap_or_default();
        assert_eq!(lines.next(), None, "{text}");
        let (_, value) = line.rsplit_once(' ').unwrap_or_default();
        value.parse::<f64>().unwrap_or(-1.0)
    };
    let success = "postgresql_backup_restore_success{";
    assert_eq!(value(success), 1.0);
    assert!(value("postgresql_backup_restore_duration_seconds{") > 0.0);
    assert!(value("postgresql_backup_database_restore_duration_seconds{") > 0.0);
    let none = into(&other, forge.good()).args(["--database", "none"]);
    let seen = measured(none).fails(3);
    seen.says("there is no database 'none' in ");
    assert_eq!(value(success), 0.0);
    // What was measured last stays.
    assert!(value("postgresql_backup_restore_duration_seconds{") > 0.0);
}

#[test]
fn a_backup_of_another_program_is_restored_and_counted() {
    let (_cluster, forge) = shop();
    let ground = Ground::new();
    let (sql, _) = backup::divide(&forge.text);
    let plain = forge.scratch.write("plain.sql", sql);
    Program::other("gzip").arg(&plain).succeeds();
    let path = forge.scratch.join("plain.sql.gz");
    let seen = ground.test(path).succeeds();
    seen.prints("warning  restore  the backup does not say what 4 databases of it held");
    seen.prints("'shop'  tables: 4, indexes: 3, constraints: 2, large objects: 1, in ");
    ground.is_clean(&seen);
}

#[test]
fn what_cannot_be_tested_is_no_verdict() {
    let (cluster, forge) = shop();
    let ground = Ground::new();
    let newer = forge.make(Some("99.1"), |_| {});
    let seen = ground.test(&newer).fails(1);
    seen.says("there is no PostgreSQL server 99 or newer here")
        .says("hint: install the Debian package postgresql-99");
    ground.is_clean(&seen);
    let nothing = ground
        .test(forge.good())
        .args(["--pg-bindir", "/nonexistent"]);
    nothing.fails(1).says("there is no initdb");
    let nobody = into(&cluster, forge.good()).env("PGUSER", "nobody-at-all");
    nobody
        .fails(1)
        .says("role \"nobody-at-all\" does not exist");
    cluster.sql("postgres", "create role guest login");
    let guest = into(&cluster, forge.good()).env("PGUSER", "guest");
    guest.fails(1).says("'guest' may not create databases");
    let extension =
        |part: &mut Part| part.replace("EXTENSION IF NOT EXISTS hstore", "EXTENSION rare");
    let lacking = forge.change("shop", |part| {
        extension(part);
        part.contents().extensions = vec!["rare".into()];
    });
    let seen = into(&cluster, &lacking)
        .args(["--database", "shop"])
        .fails(1);
    seen.prints("database 'shop' cannot be restored: PostgreSQL 15");
    seen.says("lacks its extensions: rare")
        .says("hint: install their packages");
    // A backup that does not say what it holds.
    let lacking = forge.change("shop", |part| {
        extension(part);
        part.contents = None;
    });
    let seen = into(&cluster, &lacking)
        .args(["--database", "shop"])
        .fails(1);
    seen.prints("ERROR: extension \"rare\" is not available");
    let stream = ground.test("-").stdin("x").fails(2);
    stream.says("standard input can be read once");
    let alone = ["--into", "dbname=postgres"];
    let seen = Program::new("backup-verify")
        .arg(forge.good())
        .args(alone)
        .fails(2);
    seen.says("--restore-test");
}

/// A backup whose restore does not come to an end.
fn endless(forge: &Forge) -> PathBuf {
    forge.change("shop", |part| {
        part.replace(
            "CREATE INDEX notes",
            "SELECT pg_catalog.pg_sleep(1000);\nCREATE INDEX notes",
        );
    })
}

#[test]
fn a_signal_leaves_no_server() {
    let (_cluster, forge) = shop();
    let path = endless(&forge);
    for (signal, code) in [(Signal::TERM, 143), (Signal::INT, 130)] {
        let ground = Ground::new();
        let running = ground.test(&path).spawn();
        let socket = || {
            let names = scratch::names(ground.scratch.path());
            Some(ground.scratch.join(names.first()?))
        };
        wait_for("the restore of 'shop'", || {
            let socket = socket()?;
            let asked = Program::other(Version::debian().bin().join("psql"))
                .env("PGHOST", socket)
                .args(["-XAtU", "postgres", "-c", sleeping()])
                .run();
            (asked.out() == "1").then_some(())
        });
        assert!(!ground.processes().is_empty());
        ends(running, signal, code, |seen| ground.is_clean(seen));
    }
}

#[test]
fn a_signal_leaves_no_database() {
    let (cluster, forge) = shop();
    let before = databases(&cluster);
    let running = into(&cluster, endless(&forge)).spawn();
    wait_for("the restore of 'shop'", || {
        (cluster.sql("postgres", sleeping()) == "1").then_some(())
    });
    assert!(databases(&cluster).contains("restoring_"));
    ends(running, Signal::TERM, 143, |seen| {
        assert_eq!(databases(&cluster), before, "{seen}");
    });
    // What a run that was killed has left is said.
    cluster.sql("postgres", "create database backup_verify_0a1b2c3d_1");
    let seen = into(&cluster, forge.good())
        .args(["--database", "zoo"])
        .succeeds();
    seen.prints("warning  restore  'backup_verify_0a1b2c3d_1' is on the server");
}

fn sleeping() -> &'static str {
    "select count(*) from pg_stat_activity where state = 'active' and query like '%pg_sleep(1000)%' and query not like '%pg_stat_activity%'"
}

fn ends(running: Running, signal: Signal, code: i32, afterwards: impl Fn(&Seen)) {
    running.signal(signal);
    let seen = running.wait();
    assert_eq!(seen.code(), Some(code), "{seen}");
    afterwards(&seen);
}
