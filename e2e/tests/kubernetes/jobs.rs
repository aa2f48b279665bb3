//! The CronJobs' containers, run from the manifests.

use e2e::{backup, sample};

use crate::site::Site;

#[test]
fn the_nights_of_a_cluster() {
    let site = Site::set_up();
    sample::company(&site.cluster);
    let log = site.run("postgresql-backup", "manual-backup").with_code(0);
    println!("{log}");
    assert_eq!(backup::names(site.backups()).len(), 1);
    let log = site
        .run("postgresql-backup-to-azure", "manual-backup-azure")
        .with_code(0);
    println!("{log}");
    let log = site
        .run("postgresql-backup-prune-azure", "prune")
        .with_code(0);
    println!("{log}");
    let log = site
        .run("postgresql-restore-test", "restore-test")
        .with_code(0);
    println!("{log}");
}
