//! Hundreds of cuts and changed bytes, each fed to a real psql: never exit code 0, and nothing of it stands.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use e2e::{Chance, Cluster, Program, Scratch, Seen, backup, sample};

const NAME: &str = "postgresql_backup_20250101_000000.sql.gz";

/// In `postgres`, which is restored in place: no database is created for each of the hundreds. It has more SQL than
/// fits into a pipe, so that psql is always at work when the cut is met.
const CONTENT: &str = r#"
create role keeper;
create database after;
create extension pg_trgm;
create schema more;
create domain positive as integer check (value > 0);
create type mood as enum ('sad', 'so; so', 'happy');
create table orders (id integer primary key, what text not null, mood mood default 'sad');
insert into orders select i, 'order ' || i || E'\n\\.\n', 'happy' from generate_series(1, 9000) i;
create table lines (id integer references orders, note text);
insert into lines select i % 3000 + 1, repeat(md5(i::text), 4) from generate_series(1, 9000) i;
create index on lines (note);
create view happy as select * from orders where mood = 'happy';
create function plain() returns text language sql as $_$ select 'a;
b'::text; $_$;
create function atomic() returns bigint language sql begin atomic select 1; select count(*) from orders; end;
create function touch() returns trigger language plpgsql as $$ begin return new; end $$;
create trigger t before insert on orders for each row execute function touch();
create policy p on orders for select using (id > 0);
create rule r as on update to lines do also notify channel;
create sequence counter;
select nextval('counter') \g /dev/null
select lo_from_bytea(4711, string_agg(sha256(i::text::bytea), '')) from generate_series(1, 5000) i \g /dev/null
create materialized view matters as select count(*) from orders;
comment on table orders is 'rows; and
-- Database "after" dump';
grant select (id) on orders to keeper;
alter default privileges in schema more grant select on tables to keeper;
\connect after
create table t as select 1 as one;
"#;

fn first() -> Cluster {
    let cluster = Cluster::start();
    sample::load(&cluster, CONTENT);
    cluster
}

/// An empty cluster with the role that is needed.
struct Victim {
    cluster: Cluster,
    before: String,
}

impl Victim {
    fn new() -> Self {
        let cluster = Cluster::start();
        cluster.sql("postgres", "create role keeper");
        let before = state(&cluster);
        Self { cluster, before }
    }

    fn restore(&self, backup: &Path) -> Seen {
        let restore = Program::new("restore-stream").args(["--database", "postgres"]);
        let restore = restore.on(&self.cluster);
        match backup.extension() {
            // From a pipe, where nothing can be looked at first.
            None => restore.arg("-").stdin_file(backup).run(),
            Some(_) => restore.arg(backup).run(),
        }
    }

    #[track_caller]
    fn is_intact(&self, seen: &Seen) {
        assert_eq!(state(&self.cluster), self.before, "{seen}");
    }
}

/// All that a restore into it would change, roles apart.
fn state(cluster: &Cluster) -> String {
    cluster.sql(
        "postgres",
        "select (select string_agg(datname, ', ' order by oid) from pg_database),
                (select count(*) from pg_class where oid >= 16384), (select count(*) from pg_proc where oid >= 16384),
                (select count(*) from pg_largeobject_metadata), (select count(*) from pg_namespace)",
    )
}

/// One place in the middle of a line of each kind that is no row: by its first three words.
fn every_kind(sql: &[u8]) -> Vec<usize> {
    let mut kinds = BTreeSet::new();
    let mut places = Vec::new();
    let (mut at, mut in_rows) = (0, false);
    for line in sql.split_inclusive(|byte| *byte == b'\n') {
        let text = String::from_utf8_lossy(line);
        let kind: Vec<&str> = text.split_whitespace().take(3).collect();
        if !in_rows && !text.starts_with("--") && line.len() > 3 && kinds.insert(kind.join(" ")) {
            places.extend([at + line.len() / 2, at + line.len()]);
        }
        at += line.len();
        in_rows = (in_rows || text.starts_with("COPY ")) && line != b"\\.\n";
    }
    places
}

/// The SQL was cut before it was compressed: no checksum tells, and gzip is content.
#[test]
fn cuts_of_the_sql() {
    let sql = first().dump_all::<&str>(&[]);
    let dir = Scratch::new();
    let victim = Victim::new();
    let mut chance = Chance::new();
    let mut cuts = every_kind(&sql);
    assert!(cuts.len() > 80, "{} kinds of lines", cuts.len() / 2);
    cuts.extend((0..60).map(|_| chance.below(sql.len())));
    let whole = sql.windows(7).rposition(|it| it == b"complet").unwrap();
    for cut in cuts.into_iter().filter(|cut| *cut < whole) {
        let path = dir.join(NAME);
        let gzip = Program::other("gzip").arg("-c1").stdin(&sql[..cut]);
        gzip.stdout_file(&path).succeeds();
        let seen = victim.restore(&path);
        let shown = String::from_utf8_lossy(&sql[cut.saturating_sub(60)..cut]);
        assert_eq!(seen.code(), Some(3), "cut after {shown:?}\n{seen}");
        victim.is_intact(&seen);
    }
}

/// Cuts and flipped bits of our own backup, in a pipe and in a file.
#[test]
fn cuts_and_flips_of_the_backup() {
    let dir = Scratch::new();
    let good = fs::read(backup::dump(&first(), dir.path())).unwrap();
    let victim = Victim::new();
    let mut chance = Chance::new();
    for round in 0..100 {
        let mut bytes = good.clone();
        let place = chance.below(good.len());
        match round % 2 {
            0 => bytes[place] ^= 1 << chance.below(8),
            _ => bytes.truncate(place),
        }
        // A file that is cut is not begun: most of the cuts come through a pipe.
        let name = if round % 10 == 9 { NAME } else { "pipe" };
        let seen = victim.restore(&dir.write(name, &bytes));
        assert_eq!(seen.code(), Some(3), "round {round}, byte {place}\n{seen}");
        victim.is_intact(&seen);
    }
    // Or the test would show nothing.
    let seen = victim.restore(&dir.write("pipe", &good));
    assert_eq!(seen.code(), Some(0), "{seen}");
    assert_eq!(
        victim.cluster.sql("postgres", "select count(*) from lines"),
        "9000"
    );
}
