//! One database: restored by several sessions beside pg_restore with a directory, vacuumed for the first time
//! afterwards, and one table of it from far away.

use std::path::Path;
use std::time::Duration;

use super::data::Data;
use super::measure::{Line, Measured};
use super::race::{Figure, Quantity, Race, Run};
use super::sink::{CONTAINER, Sink};
use crate::Cluster;
use crate::sas::Sas;

/// The database: that of the hard half of the data, with more indexes, a foreign key, and a table of one row in a
/// hundred.
const MORE: &str = "
create table links as select id, id % 1000 + 1 as note from digests;
alter table links add foreign key (note) references notes (id);
create index on links (note);
create index on digests (sha256);
create index on digests (owner);
create table few as select * from events where id % 33 = 0;
alter table few add primary key (id);
";

/// How long the store takes to answer that one table comes from.
const FAR: Duration = Duration::from_millis(40);

/// What restoring one table may read beside the table, the map and the definitions, in bytes.
const BESIDE: f64 = 8e6;

/// Makes its dumps, and restores them.
pub(super) fn races(data: &Data) -> Vec<Race> {
    data.cluster
        .sql("postgres", "create database one template hard");
    data.cluster.sql("one", MORE);
    for line in [
        "pg_dump --create --dbname one > one.sql",
        "pg_dump --create --dbname one --exclude-table-data=events --exclude-table-data=digests \
         --exclude-table-data=notes --exclude-table-data=links > few.sql",
        "pg_dump --format directory --jobs 2 --file one.dir --dbname one",
        "pgdump-gz --exclude-database hard --exclude-database easy > one.sql.gz",
        "gzip < few.sql > few.sql.gz",
    ] {
        Line::parse(line).run(&data.cluster, data.path(), None, &[]);
    }
    // The other groups' dumps do not have it.
    data.cluster.sql("postgres", "drop database one");
    vec![
        sessions(),
        first_vacuum(data.path()),
        one_table(data.path()),
    ]
}

fn ours(jobs: usize) -> String {
    format!("restore-stream --database one --jobs {jobs} one.sql.gz")
}

fn theirs(jobs: usize) -> String {
    format!("pg_restore --create --dbname postgres --jobs {jobs} one.dir")
}

/// All of it. What two sessions can gain is what they gain pg_restore.
fn sessions() -> Race {
    let psql = "psql -q < one.sql".to_owned();
    // 32 MiB, and 3 MiB a session.
    let memory = |jobs: usize| {
        let most = (32 + 3 * jobs) << 20;
        Figure::bound(Quantity::Peak, &ours(jobs), most as f64)
    };
    Race {
        title: "one database: into a fresh cluster, all CPUs",
        figures: vec![
            Figure::ratio(Quantity::Wall, &ours(2), &theirs(2), 1.0),
            Figure::ratio(Quantity::Wall, &ours(2), &ours(1), 0.6),
            Figure::ratio(Quantity::Wall, &theirs(2), &theirs(1), 0.6),
            Figure::ratio(Quantity::Wall, &ours(1), &psql, 1.0),
            memory(1),
            memory(2),
            memory(8),
        ],
        lines: vec![psql, ours(1), ours(2), ours(8), theirs(1), theirs(2)],
        fresh: true,
        ..Race::default()
    }
}

/// The first VACUUM of what was restored: rows that came frozen need no second look.
fn first_vacuum(dir: &Path) -> Race {
    let after = |line: String| format!("vacuumdb after {line}");
    let lines = [ours(1), ours(2), theirs(2)];
    let named = lines.clone().map(after);
    let dir = dir.to_owned();
    Race {
        title: "one database: the first VACUUM",
        figures: named[..2]
            .iter()
            .map(|it| Figure::ratio(Quantity::Wall, it, &named[2], 0.3))
            .collect(),
        lines: named.to_vec(),
        by: Some(Run::new(move |at| {
            let cluster = Cluster::start();
            Line::parse(&lines[at]).run(&cluster, &dir, None, &[]);
            Line::parse("vacuumdb --quiet --dbname one").run(&cluster, &dir, None, &[])
        })),
        ..Race::default()
    }
}

/// All definitions and one table's rows. The size is what the store sent.
fn one_table(dir: &Path) -> Race {
    let sink = Sink::start(FAR, dir.to_owned());
    let token = Sas::new(CONTAINER).sign();
    let ours = "restore-stream $STORE/one.sql.gz --database one --table few --as few".to_owned();
    let psql = "psql -q < few.sql".to_owned();
    let compressed = std::fs::metadata(dir.join("few.sql.gz")).map_or(0, |it| it.len());
    let lines = [ours.clone(), psql.clone()];
    let dir = dir.to_owned();
    Race {
        title: "one table of one database: from a store whose answers take 40 ms (file: what it sent)",
        figures: vec![
            Figure::ratio(Quantity::Wall, &ours, &psql, 1.5),
            Figure::bound(Quantity::Size, &ours, compressed as f64 + BESIDE),
        ],
        lines: lines.to_vec(),
        by: Some(Run::new(move |at| {
            let before = sink.sent();
            let line = lines[at].replace("$STORE", &sink.url());
            let env = [("AZURE_STORAGE_SAS_TOKEN", token.clone())];
            let measured = Line::parse(&line).run(&Cluster::start(), &dir, None, &env);
            Measured {
                size: (sink.sent() - before) as f64,
                ..measured
            }
        })),
        ..Race::default()
    }
}
