//! A base backup by a pg_basebackup made up here, which fails as the test wants.

use std::fs;
use std::process::Command;

use backup_file::{ReadAt, SectionKind, Tail, read_tail};

use crate::program::{Seen, TestDir};

const LABEL: &str = "START WAL LOCATION: 0/2000028 (file 000000010000000000000002)\n\
CHECKPOINT LOCATION: 0/2000060\nBACKUP METHOD: streamed\nBACKUP FROM: primary\n\
START TIME: 2025-11-23 02:00:00 UTC\nLABEL: pgdump-gz\nSTART TIMELINE: 1\n";
const MANIFEST: &str = "{ \"PostgreSQL-Backup-Manifest-Version\": 1,\n\"Files\": [],\n\"WAL-Ranges\": [\n\
{ \"Timeline\": 1, \"Start-LSN\": \"0/2000028\", \"End-LSN\": \"0/2000100\" }\n],\n\"Manifest-Checksum\": \"ab\"}\n";

/// A server whose WAL archiving works, with the databases `postgres` and `grün "2"`, and what its pg_basebackup sends.
fn cluster(files: &[(&str, &[u8])]) -> TestDir {
    let place = TestDir::new();
    place.client("pg_isready", "exit 0");
    let facts = [
        "150018",
        "15.18",
        "UTF8",
        "16777216",
        "f",
        "t",
        "backup",
        "replica",
        "10",
        "on",
        "t",
        "f",
        "",
        "",
        "0",
        "no success yet",
    ];
    let facts = facts.join("\\377");
    place.client(
        "psql",
        &format!(
            "for argument; do case $before in --field-separator) mark=$argument;; esac; before=$argument; done\n\
             cat > question\n\
             grep -q pg_stat_archiver question && printf 'off\\377client\\000{facts}\\000' | sed \"s/\\xff/$mark/g\"\n\
             printf '5\\377postgres\\00016384\\377gr\\303\\274n \"2\"\\000' | sed \"s/\\xff/$mark/g\""
        ),
    );
    let tree = place.path("tree");
    for (name, content) in files {
        let path = tree.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    // In the order in which PostgreSQL sends them.
    let names = files.iter().map(|(name, _)| *name);
    let made = Command::new("tar")
        .args(["--format=ustar", "-C"])
        .arg(&tree)
        .arg("-cf")
        .arg(place.path("base.tar"))
        .args(names)
        .status()
        .unwrap();
    assert!(made.success());
    sends(&place, "cat base.tar");
    place
}

fn good() -> TestDir {
    let mut control = 7_412_345_678_901_234_567_u64.to_le_bytes().to_vec();
    control.extend(1300_u32.to_le_bytes());
    control.resize(8192, 0);
    cluster(&[
        ("backup_label", LABEL.as_bytes()),
        ("PG_VERSION", b"15\n"),
        ("base/5/PG_VERSION", b"15\n"),
        ("base/16384/PG_VERSION", b"15\n"),
        ("base/16384/2619", &[7; 100_000]),
        ("global/pg_control", &control),
        ("backup_manifest", MANIFEST.as_bytes()),
    ])
}

fn sends(place: &TestDir, script: &str) {
    place.client(
        "pg_basebackup",
        &format!(
            "[ \"$1\" = --version ] && {{ echo 'pg_basebackup (PostgreSQL) 15.18'; exit; }}\n\
             echo \"$@\" > arguments\n{script}"
        ),
    );
}

fn run(place: &TestDir) -> Seen {
    place.run(["--base", "--checkpoint", "fast"])
}

struct Bytes(Vec<u8>);

impl ReadAt for Bytes {
    fn size(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_at(&self, offset: u64, length: usize) -> std::io::Result<Vec<u8>> {
        let offset = usize::try_from(offset).unwrap();
        Ok(self.0[offset..offset + length].to_vec())
    }
}

#[test]
fn the_archive_as_it_came_and_its_index() {
    let place = good();
    let seen = run(&place).done();
    let arguments = fs::read_to_string(place.path("arguments")).unwrap();
    for wanted in [
        "--pgdata=-",
        "--format=tar",
        "--wal-method=none",
        "--checkpoint=fast",
    ] {
        assert!(arguments.contains(wanted), "{arguments}");
    }
    let Tail::Index(index) = read_tail(&Bytes(seen.stdout.clone())).unwrap() else {
        panic!("no index");
    };
    let kinds: Vec<&SectionKind> = index.sections.iter().map(|it| &it.kind).collect();
    let wanted = [
        &SectionKind::Files,
        &SectionKind::DatabaseFiles(5),
        &SectionKind::DatabaseFiles(16384),
        &SectionKind::Files,
        &SectionKind::Manifest,
    ];
    assert_eq!(kinds, wanted);
    let base = index.base.as_deref().unwrap();
    assert_eq!(base.system_identifier, 7_412_345_678_901_234_567);
    assert_eq!(base.wal_segment_size, 16 << 20);
    assert_eq!(
        (base.start().start, base.stop().stop),
        (0x200_0028, 0x200_0100)
    );
    assert_eq!(base.database(16384).unwrap(), "gr\u{fc}n \"2\"");
    fs::write(place.path("backup.gz"), &seen.stdout).unwrap();
    let unpacked = Command::new("gunzip")
        .arg("-c")
        .arg(place.path("backup.gz"))
        .output()
        .unwrap();
    let tar = fs::read(place.path("base.tar")).unwrap();
    assert!(unpacked.stdout.starts_with(&tar));
    let manifest = base.manifest.clone();
    let range = usize::try_from(manifest.start).unwrap()..usize::try_from(manifest.end).unwrap();
    assert_eq!(&tar[range], MANIFEST.as_bytes());
}

#[test]
fn in_a_directory() {
    let place = good();
    let seen = place.run(["--base", "--dir", "store", "--json"]).done();
    let document: serde_json::Value = serde_json::from_slice(&seen.stdout).unwrap();
    let name = document["name"].as_str().unwrap();
    assert!(
        name.starts_with("postgresql_base_") && name.ends_with(".tar.gz"),
        "{name}"
    );
    assert_eq!(document["system_identifier"], "7412345678901234567");
    assert_eq!(document["databases"][1]["name"], "gr\u{fc}n \"2\"");
    assert_eq!(place.stored(), [name.to_owned(), format!("{name}.sha256")]);
    assert!(
        seen.stderr.contains("--checkpoint fast does not wait"),
        "{seen}"
    );
}

#[test]
fn cut_anywhere() {
    let place = good();
    let tar = fs::read(place.path("base.tar")).unwrap();
    let manifest = MANIFEST.as_bytes();
    let mut places = tar.windows(manifest.len());
    let begin = places.position(|it| it == manifest).unwrap();
    let end = begin + manifest.len();
    for length in (0..end)
        .step_by(7001)
        .chain([511, 512, begin, end - 1, end])
    {
        sends(&place, &format!("head -c {length} base.tar"));
        run(&place).failed(1, "");
        place.run(["--base", "--dir", "store"]).failed(1, "");
        assert_eq!(place.stored(), [""; 0], "{length}");
    }
}

#[test]
fn what_fails_after_its_last_byte() {
    let place = good();
    sends(
        &place,
        "cat base.tar; echo 'pg_basebackup: error: checksum error occurred' >&2; exit 1",
    );
    run(&place).failed(1, "pg_basebackup: error: checksum error occurred");
    sends(&place, "cat base.tar; kill -9 $$");
    run(&place).failed(1, "'pg_basebackup' was killed by SIGKILL");
    sends(&place, "cat base.tar; echo more");
    run(&place).failed(1, "it goes on after its end");
    sends(
        &place,
        "head -c 1000 base.tar; echo 'pg_basebackup: error: no luck' >&2; exit 1",
    );
    run(&place).failed(1, "pg_basebackup: error: no luck");
    sends(&place, "echo 'not an archive'");
    run(&place).failed(1, "it is cut");
    sends(&place, "head -c 5000 /dev/zero | tr '\\0' x");
    run(&place).failed(1, "no header of tar");
}

#[test]
fn what_contradicts_itself() {
    let control = [&[1; 8][..], &1300_u32.to_le_bytes()].concat();
    let label = ("backup_label", LABEL.as_bytes());
    let control = ("global/pg_control", control.as_slice());
    let manifest = ("backup_manifest", MANIFEST.as_bytes());
    let elsewhere = MANIFEST.replace("0/20", "0/30");
    let elsewhere = ("backup_manifest", elsewhere.as_bytes());
    for (files, words) in [
        (vec![control, manifest], "backup_label cannot be read"),
        (vec![label, manifest], "no pg_control"),
        (vec![label, control], "no backup_manifest"),
        (vec![label, control, elsewhere], "begin elsewhere"),
        (
            vec![label, control, ("backup_manifest", b"{}")],
            "does not say which WAL",
        ),
    ] {
        run(&cluster(&files)).failed(1, words);
    }
}

#[test]
fn without_pg_basebackup() {
    let place = good();
    fs::remove_file(place.path("bin/pg_basebackup")).unwrap();
    let mut program = place.program(["--base"]);
    program.env("PATH", place.path("bin"));
    let output = program.output().unwrap();
    Seen::of(output).failed(1, "postgresql-client");
}
