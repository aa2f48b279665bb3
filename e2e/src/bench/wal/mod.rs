//! WAL: into the store one by one and ahead, back out of it, base backups, and what a busy server feels of it.
//!
//! All speak https with the same sink, through the same delay; each run has a place of its own in it.

mod server;
mod stores;

use super::data::Data;
use super::race::{Figure, Quantity, Race};
use stores::Stores;

const MEBIBYTE: f64 = 1024.0 * 1024.0;

/// Its races. Peers that are not installed are left out.
pub(super) fn races(data: &Data) -> Vec<Race> {
    let mut races = Vec::new();
    for delay in [0, 40] {
        let stores = Stores::new(data, delay);
        races.push(segment(&stores, delay));
        if delay > 0 {
            races.push(backlog(&stores));
        }
    }
    races.push(server::base());
    races.push(server::recovery());
    races.push(server::load());
    races.push(server::loss());
    races
}

/// One segment, from start to exit, as PostgreSQL runs its archive_command.
fn segment(stores: &Stores, delay: u64) -> Race {
    let ours = stores.script(
        "one-blob-put",
        "exec blob-put --wal wal/$first \"$URL/$n/\"",
    );
    let gzip = "gzip -1 -c wal/first > out".to_owned();
    let mut race = Race {
        title: match delay {
            0 => "WAL: one segment, to a service near by",
            _ => "WAL: one segment, to a service whose answers take 40 ms",
        },
        figures: vec![Figure::ratio(Quantity::Cpu, &ours, &gzip, 0.3)],
        lines: vec![ours.clone(), gzip, "cp wal/first copied".to_owned()],
        env: stores.env(),
        rounds: Some(stores::ROUNDS),
        ..Race::default()
    };
    if let Some(line) = stores.pgbackrest(
        "one-pgbackrest",
        "exec $PGBACKREST archive-push $PWD/wal/$first",
    ) {
        race.figures
            .push(Figure::ratio(Quantity::Wall, &ours, &line, 0.3));
        race.lines.push(line);
    }
    if let Some(line) = stores.barman("one-barman", "exec $BARMAN server$n $PWD/wal/$first") {
        race.figures
            .push(Figure::ratio(Quantity::Wall, &ours, &line, 0.1));
        race.lines.push(line);
    }
    race
}

/// Many segments that wait, taken as PostgreSQL takes them: one command after the other, none for what is done.
fn backlog(stores: &Stores) -> Race {
    const EACH: &str = "for s in $(ls wal); do [ -e pg_wal/archive_status/$s.ready ] || continue";
    let all_ready = "rm -rf pg_wal && mkdir -p pg_wal/archive_status && ln wal/* pg_wal/ && rm pg_wal/first \
        && for s in $(ls pg_wal | grep 0); do : >pg_wal/archive_status/$s.ready; done";
    let ours = stores.script(
        "many-blob-put",
        &format!("{all_ready}\n{EACH}\nblob-put --wal --ahead 8 pg_wal/$s \"$URL/$n/\" || exit\nrm -f pg_wal/archive_status/$s.ready\ndone"),
    );
    let alone = stores.script(
        "ahead-blob-put",
        &format!("{all_ready}\nexec blob-put --wal --ahead 8 pg_wal/$first \"$URL/$n/\""),
    );
    let mut race = Race {
        title: "WAL: a backlog of 500 segments, to a service whose answers take 40 ms",
        figures: vec![Figure::bound(Quantity::Peak, &alone, 96.0 * MEBIBYTE)],
        lines: vec![ours.clone(), alone],
        env: stores.env(),
        // Some gigabytes of segments, and again as much in the store.
        rounds: Some(1),
        ..Race::default()
    };
    let asynchronously =
        "$PGBACKREST --archive-async --process-max=8 --compress-type=zst --compress-level=3";
    let theirs = format!(
        "{all_ready}\nrm -rf spool\n{EACH}\n{asynchronously} archive-push $PWD/pg_wal/$s || exit\ndone"
    );
    if let Some(line) = stores.pgbackrest("many-pgbackrest", &theirs) {
        race.figures
            .push(Figure::ratio(Quantity::Wall, &ours, &line, 1.0 / 3.0));
        race.lines.push(line);
    }
    race
}
