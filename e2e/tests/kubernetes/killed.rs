//! Pods that end before their time: told to (a drained node), and killed (a lost one).

use std::process::{Child, Stdio};

use e2e::{Cluster, backup, sample, scratch, wait_for};

use crate::site::{Ended, Job, Site, nobody_is_connected};

type Stop = fn(Job) -> Ended;
const BOTH: [(&str, Stop); 2] = [("term", |job| job.terminate()), ("kill", |job| job.kill())];

/// A session of another's that holds what the job waits for, until it is dropped.
struct Holder(Child);

impl Holder {
    /// Runs SQL that locks something, then waits; is there when the lock is held.
    fn new(cluster: &Cluster, database: &str, sql: &str) -> Self {
        let mut child = cluster
            .psql(database)
            .env("PGAPPNAME", "holder")
            .arg("-At")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("psql");
        use std::io::Write;
        let stdin = child.stdin.as_mut().expect("a pipe");
        writeln!(stdin, "begin; {sql}; set application_name = 'holding';").expect("psql");
        wait_for("the lock", || {
            (count(cluster, "application_name = 'holding'") == 1).then_some(())
        });
        Self(child)
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

fn count(cluster: &Cluster, condition: &str) -> u32 {
    let sql = format!("select count(*) from pg_stat_activity where {condition}");
    cluster.sql("postgres", &sql).parse().expect("a number")
}

#[test]
fn a_backup_that_is_stopped_leaves_nothing() {
    let site = Site::set_up();
    sample::company(&site.cluster);
    for (how, stop) in BOTH {
        for (cronjob, job) in [
            ("postgresql-backup", "local"),
            ("postgresql-backup-to-azure", "azure"),
        ] {
            // `jupyterhub` is dumped; `shop` cannot be.
            let holder = Holder::new(
                &site.cluster,
                "shop",
                "lock table shop.orders in access exclusive mode",
            );
            let running = site.begin(cronjob, &format!("{job}-{how}"));
            wait_for("pg_dump to wait", || {
                (count(
                    &site.cluster,
                    "application_name = 'pg_dump' and wait_event_type = 'Lock'",
                ) == 1)
                    .then_some(())
            });
            let ended = stop(running);
            assert_ne!(ended.code, 0, "{}", ended.log);
            drop(holder);
            if how == "term" {
                assert_eq!(ended.code, 143, "{}", ended.log);
                assert!(
                    scratch::names(site.backups())
                        .iter()
                        .all(|name| !name.contains("sql.gz"))
                );
            }
            assert_eq!(
                backup::names(site.backups()).len() + site.container.names().len(),
                0
            );
            nobody_is_connected(&site.cluster);
        }
    }
    // The next night.
    site.run("postgresql-backup", "local-next").with_code(0);
    site.run("postgresql-backup-to-azure", "azure-next")
        .with_code(0);
    site.run("postgresql-backup-prune-azure", "prune-next")
        .with_code(0);
    assert_eq!(site.container.names().len(), 1);
    // What the killed ones had left is gone.
    let names = scratch::names(site.backups());
    assert_eq!(
        names.iter().filter(|name| name.contains("sql.gz")).count(),
        2,
        "the backup and its sum: {names:?}"
    );
}

/// A restore in the middle: building an index waits as long as somebody's session is called `holding`.
const SLOW_INDEX: &str = "
    create function public.wait_for_holder(int) returns int immutable language plpgsql as $$
    begin
        while exists (select from pg_stat_activity where application_name = 'holding') loop
            perform pg_sleep(0.02);
            perform pg_stat_clear_snapshot();
        end loop;
        return $1;
    end $$;
    create table public.slow (id int);
    insert into public.slow values (1);
    create index on public.slow (public.wait_for_holder(id));";

#[test]
fn a_restore_that_is_stopped_is_cleared_away_by_the_next() {
    let site = Site::set_up();
    site.cluster.sql("postgres", "create database jupyterhub");
    site.cluster.sql("jupyterhub", SLOW_INDEX);
    site.run("postgresql-backup-to-azure", "azure").with_code(0);
    let databases = site.cluster.databases();
    for (how, stop) in BOTH {
        let holder = Holder::new(&site.cluster, "postgres", "select 1");
        let running = site.begin("postgresql-restore-test", &format!("test-{how}"));
        wait_for("the restore to wait", || {
            (count(&site.cluster, "query like 'CREATE INDEX%' and state = 'active' and datname like 'jupyterhub_restore%'") == 1).then_some(())
        });
        let ended = stop(running);
        assert_ne!(ended.code, 0, "{}", ended.log);
        drop(holder);
        // The server notices in its own time that the client has gone.
        nobody_is_connected(&site.cluster);
        let log = site
            .run("postgresql-restore-test", &format!("test-after-{how}"))
            .with_code(0);
        assert!(log.contains("tables"), "{log}");
        assert_eq!(site.cluster.databases(), databases, "what was left behind");
    }
}
