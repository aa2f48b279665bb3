//! The image for arm64, run by an emulator where this machine is none: a node of arm64 does the jobs for a server
//! that is elsewhere, and what it writes and reads is what everybody else writes and reads.

use std::fs;

use e2e::{Cluster, Program, Scratch, backup, compare, sample};

use super::image::{Image, is_small_and_has_what_it_needs_and_nothing_else};
use super::site::Site;

#[test]
fn it_is_arm64_s_and_has_what_the_other_one_has() {
    let image = Image::arm64();
    assert_eq!(image.inspect("{{.Os}}/{{.Architecture}}"), "linux/arm64");
    let seen = image.sh("uname -m; ls /lib/ld-linux-* /lib64");
    assert_eq!(
        seen.out(),
        "aarch64\n/lib/ld-linux-aarch64.so.1",
        "its own, and no other's\n{seen}"
    );
    is_small_and_has_what_it_needs_and_nothing_else(image);
}

#[test]
fn a_night_on_arm64_and_restores_from_and_to_this_machine() {
    let site = Site::set_up_with(Image::arm64());
    // One database, since the emulator takes seconds to dump the least; of several blocks of the compressor.
    site.cluster.sql("postgres", "create database jupyterhub");
    sample::bulk(&site.cluster, "jupyterhub", "bulk", 20);

    // Written there, checked and restored there and here.
    let log = site.run("postgresql-backup", "local").with_code(0);
    assert!(log.contains("ok       backup"), "{log}");
    Program::new("backup-verify").arg(site.backups()).succeeds();
    let second = Cluster::of(site.cluster.version().clone());
    Program::new("restore-stream")
        .arg(site.backups())
        .arg("--latest")
        .on(&second)
        .succeeds();
    compare::same_clusters(&site.cluster, &second);
    site.run("postgresql-backup-to-azure", "azure").with_code(0);
    let log = site
        .run("postgresql-restore-test", "restore-test")
        .with_code(0);
    assert!(log.contains("the measured RTO"), "{log}");

    // Written here, restored there.
    second.sql("jupyterhub", "create table made_here as select 1 as one");
    let here = Scratch::new();
    let made = backup::dump(&second, here.path());
    let name = made.file_name().unwrap().to_str().unwrap();
    fs::write(site.backups().join(name), fs::read(&made).unwrap()).unwrap();
    let path = format!("/backups/{name}");
    let words = [
        path.as_str(),
        "--database",
        "jupyterhub",
        "--replace",
        "--yes",
    ];
    site.begin_with("postgresql-restore", "restore", Some(&words))
        .wait()
        .with_code(0);
    compare::same_text(
        ("here", &second.dump_one("jupyterhub")),
        ("there", &site.cluster.dump_one("jupyterhub")),
    );
}
