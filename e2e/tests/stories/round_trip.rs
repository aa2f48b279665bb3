//! A cluster with everything in it that a catalog can hold comes back, whole.

use std::fs;

use e2e::postgres::RESTRICT_KEY;
use e2e::{Azurite, Cluster, Program, Scratch, Version, backup, compare, sample};

/// 50 MB in one row; 1,562,500 pieces of 32 bytes.
const LARGE_ROW: &str = "create table \"one large row\" as select string_agg(sha256(i::text::bytea), '' order by i) \
     as bytes from generate_series(1, 1562500) i";

#[test]
fn through_a_directory_and_through_a_container() {
    let first = Cluster::start();
    sample::odd(&first);
    sample::bulk(&first, "everything", "a hundred megabytes", 100);
    first.sql("everything", LARGE_ROW);
    let before = first.dump_all::<&str>(&[]);
    assert!(before.len() > 200_000_000, "{} bytes", before.len());

    let dir = Scratch::new();
    let path = backup::dump(&first, dir.path());
    let text = backup::gunzip(&path);
    let (sql, index) = backup::divide(&text);
    compare::same_text(("pg_dumpall", &before), ("the backup's SQL", sql));
    let names: Vec<String> = backup::sections(index)
        .into_iter()
        .filter(|section| section.kind == "database")
        .map(|section| section.name)
        .collect();
    for name in sample::ODD_NAMES {
        assert!(names.iter().any(|it| it == name), "{name:?} in {names:?}");
    }
    drop(text);

    Program::new("backup-verify")
        .arg(dir.path())
        .args(["--quota", "1T"])
        .succeeds();
    let second = Cluster::start();
    Program::new("restore-stream")
        .arg(dir.path())
        .arg("--latest")
        .on(&second)
        .succeeds();
    let after = second.dump_all::<&str>(&[]);
    compare::same_text(("before", &before), ("after, from the directory", &after));
    drop((second, after));

    let container = Azurite::shared().container();
    Program::new("blob-put")
        .arg(&path)
        .arg(format!("{}/", container.url()))
        .env("AZURE_STORAGE_SAS_TOKEN", container.token())
        .succeeds();
    assert_eq!(container.names(), backup::names(dir.path()));
    let third = Cluster::start();
    Program::new("restore-stream")
        .args([&container.url(), "--latest"])
        .env("AZURE_STORAGE_SAS_TOKEN", container.token())
        .on(&third)
        .succeeds();
    let after = third.dump_all::<&str>(&[]);
    compare::same_text(("before", &before), ("after, from the container", &after));
}

#[test]
fn tablespaces_come_back() {
    let mut first = Cluster::start();
    let place = first.server_dir("a place");
    let location = place.display();
    for sql in [
        format!(
            "create tablespace \"fast \"\"disks\" location '{location}' with (random_page_cost = 1.1)"
        ),
        "comment on tablespace \"fast \"\"disks\" is 'two of them'".into(),
        "create role someone".into(),
        "grant create on tablespace \"fast \"\"disks\" to someone".into(),
        "create database elsewhere tablespace \"fast \"\"disks\"".into(),
        "create table t tablespace \"fast \"\"disks\" as select 1 as a".into(),
    ] {
        first.sql("postgres", &sql);
    }
    let before = first.dump_all::<&str>(&[]);
    let dir = Scratch::new();
    let path = backup::dump(&first, dir.path());
    compare::same_text(
        ("pg_dumpall", &before),
        ("the backup", backup::divide(&backup::gunzip(path)).0),
    );

    // As on a new machine: the place is there, and empty.
    first.stop();
    for entry in fs::read_dir(&place).unwrap() {
        fs::remove_dir_all(entry.unwrap().path()).unwrap();
    }
    let second = Cluster::start();
    Program::new("restore-stream")
        .arg(dir.path())
        .arg("--latest")
        .on(&second)
        .succeeds();
    let after = second.dump_all::<&str>(&[]);
    compare::same_text(("before", &before), ("after", &after));
}

/// What differs between versions is what their pg_dumpall writes: the backup follows it.
#[test]
fn every_version_s_own_dump() {
    for version in Version::installed() {
        println!("{version}");
        let cluster = Cluster::of(version);
        sample::company(&cluster);
        let dir = Scratch::new();
        let path = backup::dump(&cluster, dir.path());
        let text = backup::gunzip(&path);
        compare::same_text(
            ("pg_dumpall", &cluster.dump_all::<&str>(&[])),
            ("the backup", backup::divide(&text).0),
        );
        let opening = format!("\\restrict {RESTRICT_KEY}\n");
        assert!(
            text.windows(opening.len())
                .any(|it| it == opening.as_bytes())
        );
    }
}
