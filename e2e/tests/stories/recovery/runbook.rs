//! The four scenarios of docs/restore.md, "Back to a moment", word for word; and what a nightly dump alone loses.

use std::path::Path;

use e2e::{Cluster, Program, Version, WalStore, sample};

use super::{Origin, archived};
use crate::restore_runbook;

// The blocks of the section, in its order.
const ONE_DATABASE: usize = 0;
const WHOLE: usize = 1;
const WITH_WAL: usize = 2;
const CORRUPT: usize = 3;
const LOST: usize = 4;
const BREACH: usize = 5;

/// A company with a dump and a base backup of the night, and a day's work after them.
struct Company {
    origin: Origin,
    /// Just before the accident.
    moment: String,
}

impl Company {
    fn new() -> Self {
        let origin = Origin::new(Version::debian(), WalStore::directory(), "");
        sample::company(&origin.cluster);
        let put = origin
            .store
            .line("blob-put", &format!("- {}/", origin.store.url()));
        Program::sh(&format!("pgdump-gz | {put}"))
            .on(&origin.cluster)
            .succeeds();
        origin.base();
        let work = "insert into users (name, created, cookie_id) select 'of the day ' || i, now(), 'day' || i from generate_series(1, 7) i";
        origin.cluster.sql("jupyterhub", work);
        let clock = "select pg_sleep(0.01); select to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS.US\"Z\"')";
        let moment = origin.cluster.sql("postgres", clock).trim().to_owned();
        origin.cluster.sql("jupyterhub", "truncate users cascade");
        origin.cluster.sql("postgres", "select pg_switch_wal()");
        archived(&origin.cluster);
        Self { origin, moment }
    }

    /// Runs a block of the page.
    fn run(&self, block: usize, directory: &Path) {
        let blocks = restore_runbook::commands("Back to a moment");
        assert_eq!(blocks.len(), 6);
        Program::sh(&format!("set -eu\n{}", blocks[block]))
            .on(&self.origin.cluster)
            .env("STORE", self.origin.store.url())
            .env("TIME", &self.moment)
            .env("PGDATA", self.origin.cluster.data())
            .env("DIR", directory)
            .env("OTHER", directory)
            .succeeds();
    }

    /// What comes of a block that makes a data directory.
    fn recovered(&self, block: usize) -> Cluster {
        let mut restored = self.origin.cluster.filled(|data| self.run(block, data));
        restored.recover().unwrap();
        restored
    }
}

fn users(cluster: &Cluster, database: &str) -> String {
    cluster.sql(database, "select count(*) from users")
}

/// The strategy's scenario 1 with both tools: the dump of the night loses the day's commits, the WAL none.
#[test]
fn data_was_deleted_by_accident() {
    let company = Company::new();
    let cluster = &company.origin.cluster;
    Program::new("restore-stream")
        .arg(company.origin.store.url())
        .args([
            "--latest",
            "--database",
            "jupyterhub",
            "--as",
            "of_the_night",
        ])
        .on(cluster)
        .succeeds();
    let (night, day) = ("20000", "20007");
    assert_eq!(users(cluster, "of_the_night"), night);
    company.run(ONE_DATABASE, Path::new("/nonexistent"));
    assert_eq!(users(cluster, "jupyterhub_0159"), day);
    assert_eq!(users(cluster, "jupyterhub"), day);
    // The one that it has replaced has the table of that moment beside its own.
    let databases = cluster.databases();
    let replaced = databases.iter().find(|it| it.contains("_replaced_"));
    let replaced = replaced.expect("the old one is kept");
    assert_eq!(users(cluster, replaced), "0");
    let beside = "select count(*) from users_0159";
    assert_eq!(cluster.sql(replaced, beside), day);
}

#[test]
fn a_page_is_corrupt() {
    let mut company = Company::new();
    // What the archive does not have when the server crashes.
    let cluster = &company.origin.cluster;
    cluster.sql(
        "jupyterhub",
        "set synchronous_commit = on; insert into users (name, created, cookie_id) values ('the last', now(), 'last')",
    );
    company.origin.cluster.stop();
    let restored = company.recovered(CORRUPT);
    assert_eq!(
        restored.sql("jupyterhub", "select name from users"),
        "the last"
    );
    assert_eq!(restored.sql("postgres", "show archive_mode"), "on");
}

#[test]
fn a_cluster_is_lost_or_breached() {
    let company = Company::new();
    for (block, wanted, archives) in [
        (LOST, "0", "on"),
        (BREACH, "20007", "off"),
        (WHOLE, "20007", "off"),
        (WITH_WAL, "0", "off"),
    ] {
        let restored = company.recovered(block);
        assert_eq!(users(&restored, "jupyterhub"), wanted, "block {block}");
        assert_eq!(restored.sql("postgres", "show archive_mode"), archives);
    }
}
