//! The cluster that comes back: what it holds, its base backup, and its WAL before and after a moment.

use std::fs;
use std::path::{Path, PathBuf};

use super::super::archiving::{archive_by, drained, run};
use super::super::data::{Data, PLAIN};
use super::super::measure::Line;
use crate::postgres::own;
use crate::{Cluster, Scratch, Version, WalStore, backup, scratch};

/// The database that is wanted, of one hundredth of the cluster.
pub(super) const WANTED: &str = "wanted";
/// The name that it comes back by.
pub(super) const BACK: &str = "back";
/// About what a row of it and its index take, in bytes.
const ROW: u64 = 136;
/// The transactions of each of pgbench's two clients before the moment: some hundred megabytes of WAL.
const TRANSACTIONS: &str = "20000";
/// Those after it.
const LATER: &str = "1000";

/// A cluster that goes on living, and a directory that is its store.
pub(super) struct Origin {
    pub(super) cluster: Cluster,
    pub(super) store: WalStore,
    /// Where the lines run.
    pub(super) work: Scratch,
    /// The base backup in the store.
    pub(super) base: PathBuf,
    /// The moment, for `--at`.
    pub(super) moment: String,
    /// The archived segments from the base backup's start to the first commit after the moment, which ends the replay.
    pub(super) window: Vec<PathBuf>,
    /// The wanted database's rows at the moment.
    pub(super) rows: String,
    /// The wanted database and the catalogs in the base backup, as gzip compresses them, in bytes.
    pub(super) needed: u64,
    /// All databases, in bytes.
    size: u64,
}

impl Origin {
    /// Makes the cluster of what the data's dump holds and of the wanted database, its base backup, and WAL.
    ///
    /// # Panics
    /// When that fails.
    pub(super) fn make(data: &Data) -> Self {
        let store = WalStore::directory();
        let cluster = Cluster::with(Version::debian(), &[], &store.archiving("--ahead 8"));
        let archiving = cluster.sql("postgres", "show archive_command");
        // What comes before the base backup is not needed.
        archive_by(&cluster, "/bin/true");
        Line::parse(&format!("psql -q < {PLAIN}")).run(&cluster, data.path(), None, &[]);
        let size = fill_wanted(&cluster);
        cluster.sql("postgres", "select pg_switch_wal()");
        drained(&cluster);
        archive_by(&cluster, &archiving);
        let work = Scratch::new();
        let line = format!(
            "pgdump-gz --base --checkpoint fast | blob-put - {}/",
            store.url()
        );
        Line::parse(&line).run(&cluster, work.path(), None, &[]);
        let directory = PathBuf::from(store.url());
        let base = directory.join(&backup::names(&directory)[0]);
        // The server's user unpacks it as well.
        own(&base);

        let [moment, last, rows] = write_wal(&cluster);
        archive_by(&cluster, "/bin/true");
        let (first, needed) = look_into(&base, &cluster, &work);
        let names = store.names().into_iter();
        let window = names.filter(|name| name.len() == 24 && (&first..=&last).contains(&name));
        Self {
            window: window.map(|name| store.path(&name)).collect(),
            cluster,
            store,
            work,
            base,
            moment,
            rows,
            needed,
            size,
        }
    }

    /// The window's segments as they are stored, in bytes.
    pub(super) fn window_size(&self) -> u64 {
        self.window.iter().map(|it| size(it)).sum()
    }

    /// What there is, in words.
    pub(super) fn description(&self) -> String {
        let megabytes = |bytes: u64| bytes as f64 / 1e6;
        format!(
            "a cluster of {:.0} MB; its base backup: {:.0} MB; WAL from there to the moment: {} segments, stored in {:.0} MB; \
             one database of 1 % with the catalogs: {:.1} MB compressed",
            megabytes(self.size),
            megabytes(size(&self.base)),
            self.window.len(),
            megabytes(self.window_size()),
            megabytes(self.needed),
        )
    }

    /// An empty directory of this name in that of the work. The disk has nothing to do then.
    ///
    /// # Panics
    /// When that fails.
    pub(super) fn empty(&self, name: &str) -> PathBuf {
        let _ = fs::remove_dir_all(self.work.join(name));
        let path = self.work.make(name);
        self.flush();
        path
    }

    /// Looks whether the wanted database came back as it was, and drops it.
    ///
    /// # Panics
    /// When it did not.
    pub(super) fn take_away(&self) {
        let rows = self.cluster.sql(BACK, "select count(*) from orders");
        assert_eq!(rows, self.rows, "rows at the moment");
        self.cluster
            .sql("postgres", &format!("drop database {BACK}"));
    }

    /// All that was written to the disk of the work is there.
    ///
    /// # Panics
    /// When that fails.
    pub(super) fn flush(&self) {
        let directory = fs::File::open(self.work.path()).expect("a directory");
        rustix::fs::syncfs(&directory).expect("a flushed disk");
    }
}

fn size(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |it| it.len())
}

/// Makes the wanted database, and gives what all databases take.
fn fill_wanted(cluster: &Cluster) -> u64 {
    let all = "select sum(pg_database_size(oid)) from pg_database";
    let size = || -> u64 { cluster.sql("postgres", all).parse().expect("a size") };
    let rows = size() / 100 / ROW;
    cluster.sql("postgres", &format!("create database {WANTED}"));
    cluster.sql(
        WANTED,
        &format!(
            "create table orders as select id, md5(id::text) as code, md5((-id)::text) as note, 0 as state
                 from generate_series(1, {rows}) as id;
             alter table orders add primary key (id);
             vacuum (freeze, analyze)"
        ),
    );
    size()
}

/// Gives a moment, the segment with the first commit after it, and the wanted database's rows at it.
fn write_wal(cluster: &Cluster) -> [String; 3] {
    let write = |transactions: &str| {
        run(cluster
            .command("pgbench")
            .args(["-n", "-c", "2", "-t", transactions, "easy"]));
    };
    let change = "update orders set state = state + 1 where id % 10 = 0;
                  insert into orders select max(id) + 1, '', '', 0 from orders";
    write(TRANSACTIONS);
    cluster.sql(WANTED, change);
    let now =
        "select to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')";
    let moment = cluster.sql(WANTED, now);
    let rows = cluster.sql(WANTED, "select count(*) from orders");
    cluster.sql(WANTED, change);
    let segment = "select pg_walfile_name(pg_current_wal_insert_lsn())";
    let last = cluster.sql(WANTED, segment);
    write(LATER);
    cluster.sql("postgres", "select pg_switch_wal()");
    drained(cluster);
    [moment, last, rows]
}

/// The segment that a base backup's WAL begins with, and what the wanted database and the catalogs take in it.
fn look_into(base: &Path, cluster: &Cluster, work: &Scratch) -> (String, u64) {
    let whole = work.make("whole");
    let run = |line: String| Line::parse(&line).run(cluster, work.path(), None, &[]);
    run(format!("gunzip -c {} | tar -x -C whole", base.display()));
    let label = fs::read_to_string(whole.join("backup_label")).expect("backup_label");
    let first = label.split("(file ").nth(1).and_then(|it| it.get(..24));
    let databases = format!(
        "select string_agg('base/' || oid, ' ') from pg_database
         where datname in ('{WANTED}', 'postgres', 'template0', 'template1')"
    );
    let databases = cluster.sql("postgres", &databases);
    let needed = run(format!(
        "tar -c -C whole global {databases} | gzip > needed.tar.gz"
    ));
    for name in scratch::names(work.path()) {
        let path = work.join(name);
        let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir_all(&path));
    }
    (first.expect("a segment").to_owned(), needed.size as u64)
}
