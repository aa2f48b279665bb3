//! Pods that end before their time: told to (a drained node), and killed (a lost one).

use std::cell::Cell;
use std::fs;
use std::process::{Child, Stdio};

use e2e::{Cluster, backup, sample, scratch, wait_for};

use super::site::{Ended, Job, Site, nobody_is_connected};

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

#[test]
fn a_session_that_is_lost_fails_the_pod_and_not_the_night() {
    let site = Site::set_up();
    site.cluster.sql("postgres", "create table held (n int)");
    for (cronjob, job) in [
        ("postgresql-backup", "local"),
        ("postgresql-backup-to-azure", "azure"),
    ] {
        let lock = "lock table held in access exclusive mode";
        let holder = Holder::new(&site.cluster, "postgres", lock);
        let running = site.begin(cronjob, job);
        let waits = "application_name = 'pg_dump' and wait_event_type = 'Lock'";
        wait_for("pg_dump to wait", || {
            (count(&site.cluster, waits) == 1).then_some(())
        });
        site.cluster.sql(
            "postgres",
            &format!("select pg_terminate_backend(pid) from pg_stat_activity where {waits}"),
        );
        let ended = running.wait();
        drop(holder);
        assert_ne!(ended.code, 0, "{}", ended.log);
        assert!(
            !site.final_codes(cronjob).contains(&ended.code),
            "{cronjob} is not tried again after {}: {}",
            ended.code,
            ended.log
        );
        site.run(cronjob, &format!("{job}-again")).with_code(0);
    }
    assert_eq!(backup::names(site.backups()).len(), 1);
    assert_eq!(site.container.names().len(), 1);
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
            (count(
                &site.cluster,
                "query like 'CREATE INDEX%' and state = 'active' and datname like 'restoring%'",
            ) == 1)
                .then_some(())
        });
        let ended = stop(running);
        assert_ne!(ended.code, 0, "{}", ended.log);
        drop(holder);
        // The server notices in its own time that the client has gone.
        nobody_is_connected(&site.cluster);
        let log = site
            .run("postgresql-restore-test", &format!("test-after-{how}"))
            .with_code(0);
        assert!(log.contains("the measured RTO"), "{log}");
        assert_eq!(site.cluster.databases(), databases, "what was left behind");
    }
}

/// A restore-stream that is told to restore `jupyterhub` in the place of the one that is there.
const RESTORE: [&str; 7] = [
    "$(STORE)",
    "--latest",
    "--yes",
    "--database",
    "jupyterhub",
    "--replace",
    "--force-disconnect",
];

#[test]
fn a_restore_job_that_is_stopped_changes_nothing() {
    let site = Site::set_up();
    site.cluster.sql("postgres", "create database jupyterhub");
    site.cluster.sql("jupyterhub", SLOW_INDEX);
    site.run("postgresql-backup-to-azure", "azure").with_code(0);
    site.cluster
        .sql("jupyterhub", "insert into public.slow values (2)");
    let rows = || site.cluster.sql("jupyterhub", "select count(*) from slow");
    for (how, stop) in BOTH {
        let holder = Holder::new(&site.cluster, "postgres", "select 1");
        let name = format!("restore-{how}");
        let running = site.begin_with("postgresql-restore", &name, Some(&RESTORE));
        wait_for("the restore to wait", || {
            (count(
                &site.cluster,
                "query like 'CREATE INDEX%' and state = 'active'",
            ) == 1)
                .then_some(())
        });
        let ended = stop(running);
        drop(holder);
        let code = if how == "term" { 143 } else { 137 };
        assert_eq!(ended.code, code, "{}", ended.log);
        nobody_is_connected(&site.cluster);
        assert_eq!(rows(), "2", "the database is the one that was there");
    }
    let next = site.begin_with("postgresql-restore", "restore-next", Some(&RESTORE));
    next.wait().with_code(0);
    assert_eq!(rows(), "1", "the backup's");
    let mut left = site.cluster.databases();
    left.retain(|name| {
        name.contains("restoring")
            || name.starts_with("jupyterhub_") && !name.contains("_replaced_")
    });
    assert_eq!(left, Vec::<String>::new(), "what was left behind");
}

/// Begins jobs until one is seen in a program while `when` holds, and stops it there; `prepare` gives each what
/// it has to do, `done` looks whether one that says so has done it.
fn stopped_in(
    site: &Site,
    (cronjob, program): (&str, &str),
    (how, stop): (&str, Stop),
    prepare: impl Fn(),
    when: impl Fn() -> bool,
    done: impl Fn(&Ended),
) -> Ended {
    for attempt in 0..20 {
        prepare();
        let mut job = site.begin(cronjob, &format!("{program}-{how}-{attempt}"));
        let ended = match job.freeze(program, &when) {
            true => stop(job),
            false => job.wait(),
        };
        if ended.code != 0 {
            return ended;
        }
        // It was too quick: at its end, or over, when it was seen. Then nothing is left undone.
        done(&ended);
    }
    panic!("{program} in {cronjob} was never stopped");
}

#[test]
fn a_local_job_that_is_stopped_after_its_dump_keeps_it() {
    let site = Site::set_up();
    site.run("postgresql-backup", "local").with_code(0);
    let names = || backup::names(site.backups());
    let first = site.backups().join(&names()[0]);
    let old = || {
        (0..2000).map(|minute| {
            let then = chrono::Utc::now()
                - chrono::TimeDelta::days(20)
                - chrono::TimeDelta::minutes(minute);
            let name = then.format("postgresql_backup_%Y%m%d_%H%M00.sql.gz");
            site.backups().join(name.to_string())
        })
    };
    // Old ones are gone, and the last check of the store is there.
    let done = |ended: &Ended| {
        assert_eq!(ended.code, 0, "{}", ended.log);
        assert!(only_the_last_days(&names()), "{:?}", names());
        assert!(ended.log.contains(" room "), "{}", ended.log);
    };
    let before = Cell::new(0);
    for (how, stop) in BOTH {
        for program in ["backup-verify", "blob-prune"] {
            let prepare = || {
                if program == "blob-prune" {
                    for name in old() {
                        let _ = fs::hard_link(&first, name);
                    }
                }
                before.set(names().len());
            };
            // In the middle of deleting.
            let when = || program == "backup-verify" || names().len() < before.get();
            let job = ("postgresql-backup", program);
            let ended = stopped_in(&site, job, (how, stop), prepare, when, done);
            let code = if how == "term" { 143 } else { 137 };
            assert_eq!(ended.code, code, "{program} {how}: {}", ended.log);
            // Its dump is there, whole, with its sum; no sum is without its backup.
            let there = scratch::names(site.backups());
            let newest = site.backups().join(names().last().expect("a backup"));
            e2e::Program::new("backup-verify").arg(newest).succeeds();
            for name in &there {
                if let Some(of) = name.strip_suffix(".sha256") {
                    assert!(there.contains(&of.to_owned()), "{name} alone");
                }
            }
        }
    }
    // The next night finishes what they began.
    done(&site.run("postgresql-backup", "local-next"));
}

/// Whether none is older than 7 days.
fn only_the_last_days(names: &[String]) -> bool {
    let oldest = chrono::Utc::now() - chrono::TimeDelta::days(7);
    let oldest = oldest.format("postgresql_backup_%Y%m%d").to_string();
    names.iter().all(|name| *name > oldest)
}

#[test]
fn a_pruning_that_is_stopped_is_finished_by_the_next() {
    let site = Site::set_up();
    site.run("postgresql-backup-to-azure", "azure").with_code(0);
    let newest = site.container.names().remove(0);
    let bytes = site.container.read(&newest);
    let done = |ended: &Ended| {
        assert_eq!(ended.code, 0, "{}", ended.log);
        let names = site.container.names();
        assert!(names.contains(&newest) && names.len() == 7, "{names:?}");
    };
    let prepare = || {
        for days in 40..52 {
            let then = chrono::Utc::now() - chrono::TimeDelta::days(days);
            let name = then.format("postgresql_backup_%Y%m%d_030000.sql.gz");
            site.container.write(&name.to_string(), &bytes);
        }
    };
    for (how, stop) in BOTH {
        for program in ["backup-verify", "blob-prune"] {
            let job = ("postgresql-backup-prune-azure", program);
            let ended = stopped_in(&site, job, (how, stop), prepare, || true, done);
            let code = if how == "term" { 143 } else { 137 };
            assert_eq!(ended.code, code, "{program} {how}: {}", ended.log);
            let names = site.container.names();
            assert!(names.contains(&newest) && names.len() >= 7, "{names:?}");
        }
    }
    done(&site.run("postgresql-backup-prune-azure", "prune-next"));
}
