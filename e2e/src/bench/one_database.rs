//! One database restored by several sessions, beside pg_restore with a directory.

use super::data::Data;
use super::measure::Line;
use super::race::{Figure, Quantity, Race};

/// The database: that of the hard half of the data, with more indexes and a foreign key.
const MORE: &str = "
create table links as select id, id % 1000 + 1 as note from digests;
alter table links add foreign key (note) references notes (id);
create index on links (note);
create index on digests (sha256);
create index on digests (owner);
";

/// Makes its dumps, and restores them.
pub(super) fn race(data: &Data) -> Race {
    data.cluster
        .sql("postgres", "create database one template hard");
    data.cluster.sql("one", MORE);
    for line in [
        "pg_dump --create --dbname one > one.sql",
        "pg_dump --format directory --jobs 2 --file one.dir --dbname one",
        "pgdump-gz --exclude-database hard --exclude-database easy > one.sql.gz",
    ] {
        Line::parse(line).run(&data.cluster, data.path(), None, &[]);
    }
    // The other groups' dumps do not have it.
    data.cluster.sql("postgres", "drop database one");
    let psql = "psql -q < one.sql".to_owned();
    let ours = |jobs: usize| format!("restore-stream --database one --jobs {jobs} one.sql.gz");
    let theirs = "pg_restore --create --dbname postgres --jobs 2 one.dir".to_owned();
    // 32 MiB, and 3 MiB a session.
    let memory = |jobs: usize| {
        let most = (32 + 3 * jobs) << 20;
        Figure::bound(Quantity::Peak, &ours(jobs), most as f64)
    };
    Race {
        title: "one database: into a fresh cluster, all CPUs",
        figures: vec![
            Figure::ratio(Quantity::Wall, &ours(2), &theirs, 1.0),
            Figure::ratio(Quantity::Wall, &ours(2), &ours(1), 0.6),
            Figure::ratio(Quantity::Wall, &ours(1), &psql, 1.0),
            memory(1),
            memory(2),
            memory(8),
        ],
        lines: vec![psql, ours(1), ours(2), ours(8), theirs],
        fresh: true,
        ..Race::default()
    }
}
