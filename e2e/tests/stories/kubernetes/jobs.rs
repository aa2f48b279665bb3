//! The CronJobs' containers, run from the manifests, and the strategy's commands on what they leave.

use std::fs;

use e2e::{Program, backup, sample, tool};

use super::documents::block;
use super::image::Image;
use super::site::{NAMESPACE, Site};
use super::stage::two_step_kubectl;

#[test]
fn a_night_and_the_commands_of_the_morning() {
    let site = Site::set_up();
    sample::company(&site.cluster);
    let databases = site.cluster.databases();
    // Old backups, as earlier nights made them: those that may go are gone afterwards.
    fs::create_dir_all(site.backups()).unwrap();
    site.run("postgresql-backup", "first").with_code(0);
    let first = backup::names(site.backups());
    let bytes = fs::read(site.backups().join(&first[0])).unwrap();
    for name in old_names() {
        fs::write(site.backups().join(&name), &bytes).unwrap();
        site.container.write(&name, &bytes);
    }

    let log = site
        .run("postgresql-backup", "postgresql-backup-29405160")
        .with_code(0);
    assert!(
        log.contains("/backups/postgresql_backup_") && log.contains("2 backups deleted"),
        "{log}"
    );
    let names = backup::names(site.backups());
    assert_eq!(names.len(), 3, "{names:?}\n{log}");

    let log = site
        .run(
            "postgresql-backup-to-azure",
            "postgresql-backup-to-azure-29405220",
        )
        .with_code(0);
    assert!(
        log.contains(&format!("{}/postgresql_backup_", site.container.url())),
        "{log}"
    );
    let log = site
        .run("postgresql-backup-prune-azure", "prune")
        .with_code(0);
    assert!(
        log.contains("ok       backup") && log.contains("0 backups deleted"),
        "the newest 7 stay\n{log}"
    );

    let log = site
        .run("postgresql-restore-test", "restore-test")
        .with_code(0);
    assert!(
        log.contains("'jupyterhub'  tables: ") && log.contains("the measured RTO"),
        "{log}"
    );
    assert_eq!(
        site.cluster.databases(),
        databases,
        "the scratch database is gone"
    );

    the_strategy_s_commands(&site);
}

/// Four old backups: 5 and 6 days, which 7 days keep, and 20 and 40.
fn old_names() -> Vec<String> {
    let name = |days: i64| {
        let then = chrono::Utc::now() - chrono::TimeDelta::days(days);
        then.format("postgresql_backup_%Y%m%d_%H%M%S.sql.gz")
            .to_string()
    };
    [5, 20, 40].map(name).to_vec()
}

fn the_strategy_s_commands(site: &Site) {
    let kubectl = |line: &str| {
        site.kubectl(&line.split(' ').collect::<Vec<_>>())
            .succeeds()
            .out()
    };
    let said = kubectl("get cronjob -n database");
    for name in [
        "postgresql-backup ",
        "postgresql-backup-to-azure ",
        "postgresql-backup-prune-azure ",
        "postgresql-restore-test ",
    ] {
        assert!(said.contains(name), "{said}");
    }
    assert!(kubectl("get jobs -n database").contains("postgresql-backup-29405160"));
    let said = kubectl("logs -n database -l app=postgresql-backup --tail=50");
    assert!(said.contains("blob-prune: 2 backups deleted"), "{said}");
    let said = kubectl("logs -n database -l app=postgresql-backup-azure --tail=50");
    assert!(said.contains("blob-put: "), "{said}");
    let said = kubectl("get jobs -n database -l app=postgresql-backup --sort-by=.status.startTime");
    assert!(
        said.contains("first") && !said.contains("to-azure"),
        "{said}"
    );
    assert!(kubectl("get pvc -n database").contains("postgresql-backups"));

    // As the runbook has it.
    let page = fs::read_to_string(tool::workspace().join("docs/runbook.md")).unwrap();
    let path = tool::path_with(&[
        two_step_kubectl(site.scratch()),
        tool::tools().join("kubernetes/bin"),
    ]);
    let seen = site
        .with(Program::other("bash"))
        .env("PATH", path)
        .args(["-c", &block(&page, "### Without this repository", "sh")])
        .succeeds();
    assert!(seen.out().contains("/backups/postgresql_backup_"), "{seen}");

    // In the postgres pod, which sees the volume: another user, in the backups' group, read-only.
    let volume = format!("--volume={}:/backups:ro", site.backups().display());
    for line in [
        "ls -lh /backups/",
        "du -sh /backups/*",
        "df -h /backups",
        "for it in /backups/*.sql.gz; do gunzip -t $it && echo 'Backup file is valid'; done",
        "cd /backups && sha256sum -c *.sha256",
    ] {
        let image = Image::shared();
        image
            .container()
            .args(["--user=999:999", "--group-add=10001"])
            .args([volume.as_str(), &image.id, "sh", "-euc", line])
            .succeeds();
    }
    assert_eq!(NAMESPACE, "database");
}
