//! Between versions of PostgreSQL.

use std::path::Path;

use e2e::{Cluster, Program, Scratch, Version, backup, compare, sample};

fn restore(backup: &Path, cluster: &Cluster) -> Program {
    Program::new("restore-stream").arg(backup).on(cluster)
}

#[test]
fn a_backup_of_a_newer_server_is_refused() {
    let dir = Scratch::new();
    let versions = Version::installed();
    let (oldest, newest) = (versions.first().unwrap(), versions.last().unwrap());
    assert!(oldest.major() < newest.major(), "{versions:?}");
    let first = Cluster::of(newest.clone());
    first.sql("postgres", "create database shop");
    first.sql("shop", "create table t as select 1 as one");
    let path = backup::dump(&first, dir.path());
    let second = Cluster::of(oldest.clone());
    restore(&path, &second).fails(4).says("--older-server");
    let seen = restore(&path, &second).arg("--older-server").run();
    // It may or may not succeed; it never leaves half of it.
    match seen.code() {
        Some(0) => assert_eq!(second.sql("shop", "select one from t"), "1"),
        code => {
            assert_eq!(code, Some(1), "{seen}");
            assert_eq!(second.databases(), ["postgres"], "{seen}");
        }
    }
}

/// Each version's backup goes into the same version and into the newest one.
#[test]
fn every_version_into_itself_and_into_the_newest() {
    let versions = Version::installed();
    let newest = versions.last().unwrap();
    for version in &versions {
        println!("{version}");
        let first = Cluster::of(version.clone());
        sample::company(&first);
        let dir = Scratch::new();
        let path = backup::dump(&first, dir.path());
        let second = Cluster::of(version.clone());
        restore(&path, &second).succeeds();
        compare::same_clusters(&first, &second);
        if version != newest {
            let third = Cluster::of(newest.clone());
            restore(&path, &third).succeeds();
            let count = "select count(*) from users";
            assert_eq!(
                third.sql("jupyterhub", count),
                first.sql("jupyterhub", count)
            );
        }
    }
}
