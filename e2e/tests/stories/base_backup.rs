//! A base backup is an ordinary tar.gz, and with the archived WAL it brings a cluster back to what came after it.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use e2e::{Azurite, Cluster, Program, Scratch, Version, backup, compare, sample, wait_for};
use rustix::process::Signal;
use serde_json::Value;

/// A cluster that archives its WAL, and the directory of its archive.
pub(crate) fn archiving(version: Version, initdb: &[&str]) -> (Cluster, PathBuf) {
    let mut cluster = Cluster::with(
        version,
        initdb,
        "wal_level = replica\nmax_wal_senders = 4\n",
    );
    let archive = cluster.server_dir("archive");
    // As `blob-put --wal` leaves it: gzip, under the segment's own name, whole or not at all.
    let command = format!(
        "gzip -c %p > \"{0}/.%f\" && mv -n \"{0}/.%f\" \"{0}/%f.gz\"",
        archive.display()
    );
    set(&cluster, "archive_mode = on\nfull_page_writes = on");
    set(&cluster, &format!("archive_command = '{command}'"));
    cluster.stop();
    cluster.go();
    (cluster, archive)
}

pub(crate) fn data(cluster: &Cluster) -> PathBuf {
    cluster.scratch().join("data")
}

/// Adds lines to a cluster's settings.
pub(crate) fn set(cluster: &Cluster, lines: &str) {
    let conf = data(cluster).join("postgresql.conf");
    let mut text = fs::read_to_string(&conf).unwrap();
    text.push_str(lines);
    text.push('\n');
    fs::write(conf, text).unwrap();
}

pub(crate) fn base(cluster: &Cluster) -> Program {
    Program::new("pgdump-gz")
        .on(cluster)
        .args(["--base", "--checkpoint", "fast"])
}

/// Makes a cluster of what `unpack` leaves in its data directory, and lets it recover from the archive.
pub(crate) fn recovered(version: Version, archive: &Path, unpack: impl FnOnce(&Path)) -> Cluster {
    let mut cluster = Cluster::of(version);
    cluster.stop();
    let data = data(&cluster);
    fs::remove_dir_all(&data).unwrap();
    fs::create_dir(&data).unwrap();
    unpack(&data);
    fs::write(data.join("recovery.signal"), "").unwrap();
    let restore = format!("gunzip -c {}/%f.gz > %p", archive.display());
    set(
        &cluster,
        &format!(
            "unix_socket_directories = '{}'\narchive_mode = off\nrestore_command = '{restore}'",
            cluster.socket().display()
        ),
    );
    Program::sh("chmod 700 data && chown -R --reference=socket data")
        .in_dir(cluster.scratch().path())
        .succeeds();
    cluster.go();
    wait_for("the end of recovery", || {
        (cluster.sql("postgres", "select pg_is_in_recovery()") == "f").then_some(())
    });
    cluster
}

/// The first object of an index, and those of its sections.
fn index(path: &Path) -> Vec<Value> {
    let text = backup::gunzip(path);
    let head = b"-- index of this backup, one JSON object per line (format.md)\n";
    let at = text.windows(head.len()).rposition(|it| it == head).unwrap();
    let index = String::from_utf8(text[at + head.len()..].to_vec()).unwrap();
    let objects = index.lines().filter_map(|line| line.strip_prefix("-- {"));
    objects
        .map(|object| serde_json::from_str(&format!("{{{object}")).unwrap())
        .collect()
}

#[test]
fn every_version_comes_back_with_what_came_after_its_base_backup() {
    for version in Version::installed() {
        println!("{version}");
        let (cluster, archive) = archiving(version.clone(), &[]);
        sample::company(&cluster);
        cluster.sql("postgres", "create database \"gr\u{f6}\u{df}e \"\"2\"\"\"");
        let dir = Scratch::new();
        let seen = base(&cluster).arg("--dir").arg(dir.path()).succeeds();
        seen.says("a base backup of");
        let path = PathBuf::from(seen.out());
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(
            name.starts_with("postgresql_base_") && name.ends_with(".tar.gz"),
            "{name}"
        );
        Program::sh("sha256sum --check *.sha256")
            .in_dir(dir.path())
            .succeeds();

        let objects = index(&path);
        let system = cluster.sql(
            "postgres",
            "select system_identifier from pg_control_system()",
        );
        assert_eq!(objects[0]["base"]["system_identifier"], system.as_str());
        assert_eq!(objects[0]["base"]["wal"][0]["timeline"], 1);
        assert_eq!(objects[0]["base"]["from_standby"], false);
        let databases = cluster.sql("postgres", "select count(*) from pg_database");
        let sections = objects.iter().filter(|it| it["kind"] == "database_files");
        assert_eq!(sections.count().to_string(), databases);
        assert!(
            objects[0]["base"]["databases"]
                .to_string()
                .contains("gr\u{f6}\u{df}e \\\"2\\\"")
        );

        cluster.sql(
            "postgres",
            "create table later as select generate_series(1, 1000) as i",
        );
        // What is written later, as an idle server does, is not archived.
        let wanted = cluster.sql("postgres", "select pg_walfile_name(pg_switch_wal())");
        let before = cluster.dump_all::<&str>(&[]);
        let last = "select last_archived_wal from pg_stat_archiver";
        wait_for("the last segment in the archive", || {
            (cluster.sql("postgres", last) >= wanted).then_some(())
        });
        let restored = recovered(version, &archive, |data| {
            Program::other("tar")
                .arg("-xzf")
                .arg(&path)
                .arg("-C")
                .arg(data)
                .succeeds();
        });
        let after = restored.dump_all::<&str>(&[]);
        compare::same_text(("before", &before), ("after", &after));
    }
}

/// Unpacks a base backup with each of these, says nothing, and leaves the same files.
#[test]
fn any_tar_unpacks_it_without_a_word() {
    let (cluster, archive) = archiving(Version::debian(), &[]);
    sample::company(&cluster);
    let dir = Scratch::new();
    let path = PathBuf::from(base(&cluster).arg("--dir").arg(dir.path()).succeeds().out());
    let path = path.to_str().unwrap();
    let out = Scratch::new();
    let ways = [
        format!("tar -xzf '{path}'"),
        format!("bsdtar -xzf '{path}'"),
        format!("busybox tar -xzf '{path}'"),
        format!("python3 -m tarfile -e '{path}'"),
        format!("tar -xz < '{path}'"),
        format!("busybox tar -xz < '{path}'"),
        format!("gunzip -c '{path}' | bsdtar -xf -"),
        // What restore-stream hands on is the archive, checked, without the index.
        format!("restore-stream '{path}' -- tar -x"),
        format!("restore-stream - -- bsdtar -xf - < '{path}'"),
    ];
    for (number, way) in ways.iter().enumerate() {
        let place = out.make(number.to_string());
        let seen = Program::sh(way).in_dir(&place).succeeds();
        assert_eq!(
            (seen.out(), seen.err()),
            (String::new(), String::new()),
            "{way}"
        );
        assert!(place.join("backup_manifest").is_file(), "{way}");
    }
    for number in 1..ways.len() {
        Program::sh(&format!("diff -r 0 {number}"))
            .in_dir(out.path())
            .succeeds();
    }
    // PostgreSQL's own check of every file against the manifest.
    Program::other(cluster.version().bin().join("pg_verifybackup"))
        .args([OsStr::new("--no-parse-wal"), out.join("0").as_os_str()])
        .succeeds();
    // The last of them is as good as the first.
    let last = out.join((ways.len() - 1).to_string());
    let restored = recovered(Version::debian(), &archive, |data| {
        Program::sh("cp -a . \"$0\"")
            .arg(data)
            .in_dir(&last)
            .succeeds();
    });
    restored.sql("postgres", "select 1");
}

#[test]
fn what_it_is_is_known_everywhere() {
    let (cluster, _archive) = archiving(Version::debian(), &[]);
    let dir = Scratch::new();
    let path = PathBuf::from(base(&cluster).arg("--dir").arg(dir.path()).succeeds().out());
    let verified = Program::new("backup-verify").arg(&path).succeeds();
    assert!(
        verified.out().contains("base backup, 3 databases"),
        "{verified}"
    );
    Program::new("restore-stream")
        .arg(&path)
        .on(&cluster)
        .fails(2)
        .says("is a base backup");
    Program::new("restore-stream")
        .arg(dir.path())
        .arg("--latest")
        .on(&cluster)
        .fails(3)
        .says("no dump");
    Program::new("restore-stream")
        .arg("-")
        .stdin_file(&path)
        .on(&cluster)
        .fails(2)
        .says("is a base backup");
    let listed = Program::new("restore-stream")
        .arg(&path)
        .arg("--list")
        .succeeds();
    assert!(
        listed.out().starts_with("base backup of PostgreSQL"),
        "{listed}"
    );

    // One bit, anywhere.
    let bytes = fs::read(&path).unwrap();
    for at in [100, bytes.len() / 2, bytes.len() - 400, bytes.len() - 3] {
        let mut bad = bytes.clone();
        bad[at] ^= 4;
        let bad = dir.write("bad.tar.gz", bad);
        Program::new("backup-verify").arg(bad).fails(3);
    }

    // blob-put names it by what it is.
    let container = Azurite::shared().container();
    let put = |line: &str| {
        Program::sh(line)
            .on(&cluster)
            .env("STORE", container.url())
            .env("DUMP", "postgresql_backup_20251123_020000.sql.gz")
            .env("AZURE_STORAGE_SAS_TOKEN", container.token())
    };
    put("pgdump-gz --base --checkpoint fast | blob-put - \"$STORE/\"").succeeds();
    put("pgdump-gz | blob-put - \"$STORE/\"").succeeds();
    put("pgdump-gz --base --checkpoint fast | blob-put - \"$STORE/$DUMP\"")
        .fails(3)
        .says("base backup");
    let names = container.names();
    assert_eq!(names.len(), 2, "{names:?}");
    assert!(names[0].starts_with("postgresql_backup_") && names[0].ends_with(".sql.gz"));
    assert!(names[1].starts_with("postgresql_base_") && names[1].ends_with(".tar.gz"));
    let local = Scratch::new();
    put("pgdump-gz --base --checkpoint fast | blob-put - \"$0/\"")
        .arg(local.path())
        .succeeds();
    assert!(backup::names(local.path())[0].starts_with("postgresql_base_"));
}

#[test]
fn what_cannot_be_restored_is_not_begun() {
    let plain = Cluster::with(
        Version::debian(),
        &[],
        "wal_level = replica\nmax_wal_senders = 4\n",
    );
    base(&plain).fails(1).says("does not archive its WAL");

    let (cluster, archive) = archiving(Version::debian(), &[]);
    cluster.sql("postgres", "create role someone login");
    base(&cluster)
        .env("PGUSER", "someone")
        .fails(1)
        .says("lacks REPLICATION");

    let place = cluster.server_dir("a place");
    let create = format!(
        "create tablespace \"a place\" location '{}'",
        place.display()
    );
    cluster.sql("postgres", &create);
    base(&cluster)
        .fails(4)
        .says("'a place'")
        .says("SET TABLESPACE pg_default");
    cluster.sql("postgres", "drop tablespace \"a place\"");

    // The archive is full, or gone.
    let away = archive.with_extension("away");
    fs::rename(&archive, &away).unwrap();
    cluster.sql("postgres", "create table t (); select pg_switch_wal()");
    let failed = "select last_failed_wal from pg_stat_archiver";
    wait_for("a failure", || {
        (!cluster.sql("postgres", failed).is_empty()).then_some(())
    });
    base(&cluster)
        .fails(1)
        .says("WAL archiving fails")
        .says("last failure was of 0000000");
    fs::rename(away, &archive).unwrap();
}

#[test]
fn what_failed_leaves_nothing() {
    let (mut cluster, _archive) = archiving(Version::debian(), &["--data-checksums"]);
    sample::company(&cluster);
    cluster.sql(
        "postgres",
        "create table torn as select generate_series(1, 10000) as i",
    );
    // Otherwise the page would be written anew when the server starts.
    cluster.sql("postgres", "checkpoint");
    let file = cluster.sql("postgres", "select pg_relation_filepath('torn')");
    cluster.stop();
    let file = data(&cluster).join(file);
    let mut bytes = fs::read(&file).unwrap();
    bytes[8192 + 4000] ^= 1;
    fs::write(&file, &bytes).unwrap();
    cluster.go();
    let dir = Scratch::new();
    // pg_basebackup sends everything, and fails then.
    base(&cluster)
        .arg("--dir")
        .arg(dir.path())
        .fails(1)
        .says("checksum");
    assert!(backup::names(dir.path()).is_empty());
    let out = dir.join("out");
    base(&cluster).stdout_file(&out).fails(1);
    Program::new("backup-verify").arg(&out).fails(3);
    let out = fs::read(&out).unwrap();
    assert!(out.len() > 1 << 20, "it was sent whole: {}", out.len());

    // Killed in its middle.
    bytes[8192 + 4000] ^= 1;
    cluster.stop();
    fs::write(&file, &bytes).unwrap();
    cluster.go();
    for signal in [Signal::TERM, Signal::KILL] {
        // Slow enough to be met there on a busy machine.
        let running = base(&cluster)
            .args(["--max-rate", "1M"])
            .arg("--dir")
            .arg(dir.path())
            .spawn();
        wait_for("its first bytes", || {
            let mut files = fs::read_dir(dir.path()).unwrap().flatten();
            files
                .any(|it| it.file_name().to_string_lossy().ends_with(".partial"))
                .then_some(())
        });
        running.signal(signal);
        assert_ne!(running.wait().code(), Some(0));
        assert!(backup::names(dir.path()).is_empty());
    }
    base(&cluster).arg("--dir").arg(dir.path()).succeeds();
}

/// Of a standby that is promoted while it sends, nobody knows which WAL the backup would need.
#[test]
fn a_standby_s_is_as_good_until_it_is_promoted() {
    let (primary, archive) = archiving(Version::debian(), &[]);
    sample::company(&primary);
    let dir = Scratch::new();
    let first = PathBuf::from(base(&primary).arg("--dir").arg(dir.path()).succeeds().out());
    let mut standby = Cluster::with(Version::debian(), &[], "");
    standby.stop();
    let place = data(&standby);
    fs::remove_dir_all(&place).unwrap();
    fs::create_dir(&place).unwrap();
    Program::other("tar")
        .arg("-xzf")
        .arg(&first)
        .arg("-C")
        .arg(&place)
        .succeeds();
    fs::write(place.join("standby.signal"), "").unwrap();
    set(
        &standby,
        &format!(
            "unix_socket_directories = '{}'\nprimary_conninfo = 'host={} user=postgres'\nrestore_command = 'gunzip -c {}/%f.gz > %p'",
            standby.socket().display(),
            primary.socket().display(),
            archive.display()
        ),
    );
    Program::sh("chmod 700 data && chown -R --reference=socket data")
        .in_dir(standby.scratch().path())
        .succeeds();
    standby.go();
    let seen = base(&standby).arg("--dir").arg(dir.path()).succeeds();
    seen.says("this is a standby");
    let second = PathBuf::from(seen.out());
    assert_eq!(index(&second)[0]["base"]["from_standby"], true);
    Program::new("backup-verify").arg(&second).succeeds();

    // A reader that stops reading holds the backup up in its middle.
    let fifo = dir.join("fifo");
    Program::other("mkfifo").arg(&fifo).succeeds();
    let script = "exec 3<>fifo; pgdump-gz --base --checkpoint fast > fifo; echo \"code $?\" >&2";
    let mut running = Program::sh(script).on(&standby).in_dir(dir.path()).spawn();
    let walsender = "select count(*) from pg_stat_activity where backend_type = 'walsender' and wait_event = 'WalSenderWriteData' or wait_event = 'BaseBackupThrottle' or wait_event = 'ClientWrite'";
    wait_for("a backup that is held up", || {
        (standby.sql("postgres", walsender) != "0").then_some(())
    });
    standby.sql("postgres", "select pg_promote()");
    assert!(!running.ended());
    let reader = Program::sh("cat fifo > rest").in_dir(dir.path()).spawn();
    let seen = running.wait();
    seen.says("code 1").says("promoted");
    reader.signal(Signal::TERM);
    reader.wait();
}
