//! The command line, as far as it goes without a server.
#![expect(clippy::unwrap_used, reason = "test code, all of it")]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use backup_file::{About, Options, SectionKind, Writer};
use chrono::{TimeZone, Utc};
use scripted_service::{Fault, Kind, Service};
use tempfile::TempDir;

const GLOBALS: &str = "--\n-- PostgreSQL database cluster dump\n--\n\nCREATE ROLE bob;\n\n";
const END: &str = "--\n-- PostgreSQL database cluster dump complete\n--\n\n";

fn database(name: &str) -> String {
    let rows: String = (0..150_000).map(|row| format!("{row}\t{name}\n")).collect();
    format!(
        "--\n-- Database \"{name}\" dump\n--\n\nCREATE DATABASE {name};\n\\connect {name}\n\
         CREATE TABLE t (a int, b text);\nCOPY t (a, b) FROM stdin;\n{rows}\\.\n\n"
    )
}

fn sql() -> String {
    [GLOBALS, &database("one"), &database("two"), END].concat()
}

/// A prune runs beside: what it deletes after the listing is not listed, and not chosen.
#[test]
fn what_is_gone_since_the_listing_is_passed_over() {
    let run = |options: &[&str], service: &Service| {
        let token = "se=2999-01-01&sr=c&sp=rl&sig=S3CRETS3CRET";
        let mut command = program();
        command.arg(service.url()).args(options);
        command.env("AZURE_STORAGE_SAS_TOKEN", token);
        let ran = run(&mut command, 0);
        let [out, err] = [ran.stdout, ran.stderr].map(|it| String::from_utf8(it).unwrap());
        (out, err)
    };
    for (kind, nth) in [(Kind::Head, 1), (Kind::Get, 1), (Kind::Head, 2)] {
        let service = Service::start();
        let name = |day| path(Path::new(""), day).display().to_string();
        for day in [21, 22] {
            service.store(&name(day), &backup());
        }
        service.fault(kind, nth, Fault::Vanish);
        if (kind, nth) == (Kind::Head, 2) {
            // It was good when it was looked at, and is gone when it is opened.
            let (out, err) = run(&["--latest", "--list"], &service);
            assert!(out.contains("one"), "{out}");
            assert!(
                err.contains(&format!("passed over '{}'", name(22))),
                "{err}"
            );
            continue;
        }
        let (out, _) = run(&["--list"], &service);
        assert_eq!(out.lines().count(), 1, "{out}");
        assert!(out.starts_with(&name(22)), "{out}");
    }
}

/// A backup as pgdump-gz writes it.
fn backup() -> Vec<u8> {
    let options = Options {
        level: 1,
        threads: 1,
    };
    let mut writer = Writer::new(Vec::new(), options);
    let database_named = |name: &str| SectionKind::Database(name.into());
    for (kind, text) in [
        (SectionKind::Globals, GLOBALS.to_owned()),
        (database_named("one"), database("one")),
        (database_named("two"), database("two")),
        (SectionKind::End, END.to_owned()),
    ] {
        writer.begin(kind).unwrap();
        writer.write_all(text.as_bytes()).unwrap();
    }
    let moment = Utc.with_ymd_and_hms(2025, 11, 23, 2, 0, 0).unwrap();
    let about = About {
        server_version: "15.18".into(),
        client_version: "15.18".into(),
        excluded: backup_file::Excluded::default(),
        encoding: None,
        server_role: None,
        started: moment,
        finished: moment,
    };
    writer.finish(about).unwrap()
}

/// A directory with backups of these days of November 2025, all the same.
fn store(days: &[u32]) -> TempDir {
    let dir = TempDir::new().unwrap();
    let bytes = backup();
    for day in days {
        fs::write(path(dir.path(), *day), &bytes).unwrap();
    }
    dir
}

fn path(dir: &Path, day: u32) -> PathBuf {
    dir.join(format!("postgresql_backup_202511{day:02}_020000.sql.gz"))
}

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_restore-stream"));
    command
        .env("PGHOST", "/nonexistent")
        .env("TZ", "UTC")
        .stdin(Stdio::null());
    command
}

#[track_caller]
fn run(command: &mut Command, code: i32) -> Output {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{command:?}\n{said}");
    output
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn the_sql_goes_to_a_command_without_the_index() {
    let dir = store(&[23]);
    let file = path(dir.path(), 23);
    let all = run(program().arg(&file).args(["--", "cat"]), 0);
    assert_eq!(out(&all), sql());
    let mut piped = program();
    piped.arg("-").args(["--", "cat"]);
    piped.stdin(fs::File::open(&file).unwrap());
    assert_eq!(out(&run(&mut piped, 0)), sql());
    let one = ["--database", "two", "--", "cat"];
    assert_eq!(
        out(&run(program().arg(&file).args(one), 0)),
        database("two")
    );
    let mut piped = program();
    piped.arg("-").args(one);
    piped.stdin(fs::File::open(&file).unwrap());
    assert_eq!(out(&run(&mut piped, 0)), database("two"));
    let many = run(
        program().arg(&file).args(["--threads", "3", "--", "cat"]),
        0,
    );
    assert_eq!(out(&many), sql());
}

#[test]
fn a_command_that_fails_or_leaves_early_is_a_failure() {
    let dir = store(&[23]);
    let file = path(dir.path(), 23);
    let failed = run(
        program()
            .arg(&file)
            .args(["--", "sh", "-c", "cat >/dev/null; echo no luck >&2; exit 7"]),
        1,
    );
    assert!(err(&failed).contains("no luck"), "{}", err(&failed));
    run(program().arg(&file).args(["--", "head", "-c", "10"]), 1);
    let missing = run(program().arg(&file).args(["--", "no-such-program"]), 1);
    assert!(err(&missing).contains("no-such-program"));
}

#[test]
fn a_damaged_backup_kills_the_command() {
    let good = backup();
    let third = good.len() / 3;
    let mut flipped = good.clone();
    flipped[third] ^= 4;
    let cases = [
        ("cut", good[..good.len() - third].to_vec()),
        ("without its marker", good[..good.len() - 28].to_vec()),
        ("flipped", flipped),
        ("with more behind it", [good.as_slice(), b"x"].concat()),
    ];
    for (what, bytes) in cases {
        let dir = TempDir::new().unwrap();
        let done = dir.path().join("done");
        let script = format!("cat > /dev/null; echo done > '{}'", done.display());
        // From a pipe, where nothing of it can be looked at first.
        let mut child = program()
            .args(["-", "--", "sh", "-c", &script])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // It may stop reading when it has seen enough.
        let _ = child.stdin.take().unwrap().write_all(&bytes);
        let ended = child.wait_with_output().unwrap();
        assert_eq!(ended.status.code(), Some(3), "{what}: {}", err(&ended));
        assert!(
            !done.exists(),
            "{what}: the command saw the end of its input"
        );
        let file = dir.path().join("x.sql.gz");
        fs::write(&file, &bytes).unwrap();
        run(program().arg(&file).args(["--", "sh", "-c", &script]), 3);
        assert!(!done.exists(), "{what}");
    }
}

#[test]
fn another_program_s_backup_goes_to_a_command_too() {
    let dir = TempDir::new().unwrap();
    let plain = dir.path().join("x.sql");
    fs::write(&plain, sql()).unwrap();
    let zipped = Command::new("gzip").arg("-k").arg(&plain).status().unwrap();
    assert!(zipped.success());
    let file = dir.path().join("x.sql.gz");
    let all = run(program().arg(&file).args(["--", "cat"]), 0);
    assert_eq!(out(&all), sql());
    let one = run(
        program()
            .arg(&file)
            .args(["--database", "two", "--", "cat"]),
        0,
    );
    assert_eq!(out(&one), database("two"));
    let none = run(
        program()
            .arg(&file)
            .args(["--database", "three", "--", "cat"]),
        1,
    );
    assert!(err(&none).contains("'one', 'two'"), "{}", err(&none));
    // gzip is content with a dump that failed; its own closing line is missing.
    let cut = sql().replace(END, "");
    fs::write(&plain, cut).unwrap();
    let zipped = Command::new("gzip")
        .arg("-kc")
        .arg(&plain)
        .output()
        .unwrap();
    let cut = dir.path().join("cut.sql.gz");
    fs::write(&cut, zipped.stdout).unwrap();
    for options in [&[][..], &["--database", "one"]] {
        let ran = run(program().arg(&cut).args(options).args(["--", "cat"]), 3);
        assert!(err(&ran).contains("closing line"), "{}", err(&ran));
    }
    let listed = out(&run(program().arg(&file).arg("--list"), 0));
    assert!(
        listed.contains("one") && listed.contains("150000 rows"),
        "{listed}"
    );
}

#[test]
fn a_list_tells_what_is_there() {
    let dir = store(&[21, 22, 23]);
    let backups = out(&run(program().arg(dir.path()).arg("--list"), 0));
    assert_eq!(backups.lines().count(), 3, "{backups}");
    assert!(backups.contains("2025-11-21 02:00:00 UTC"), "{backups}");
    let state = |day| {
        let listed = out(&run(program().arg(dir.path()).arg("--list"), 0));
        let line = listed.lines().find(|line| line.contains(day)).unwrap();
        line.split_once(" old  ").unwrap().1.to_owned()
    };
    assert_eq!(state("20251121"), "whole");
    let bytes = backup();
    fs::write(path(dir.path(), 21), &bytes[..bytes.len() / 2]).unwrap();
    assert_eq!(state("20251121"), "not good: its end is missing");
    fs::write(
        path(dir.path(), 21),
        b"\x1f\x8b\x08\0 of pigz, and long enough",
    )
    .unwrap();
    assert_eq!(state("20251121"), "of another program");
    let json = out(&run(
        program().arg(dir.path()).args(["--list", "--json"]),
        0,
    ));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["backups"][0]["state"], "of another program");
    assert_eq!(json["backups"][2]["state"], "whole");
    fs::write(path(dir.path(), 21), &bytes).unwrap();
    let held = out(&run(
        program().arg(dir.path()).args(["--latest", "--list"]),
        0,
    ));
    assert!(held.starts_with("PostgreSQL 15.18"), "{held}");
    assert_eq!(held.lines().count(), 3, "{held}");
    let json = out(&run(
        program()
            .arg(path(dir.path(), 22))
            .args(["--list", "--json"]),
        0,
    ));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["databases"][1]["name"], "two");
    assert_eq!(json["server_version"], "15.18");
}

#[test]
fn a_moment_chooses_the_backup_before_it() {
    let dir = store(&[21, 22, 23]);
    let chosen = |options: &[&str]| {
        let ran = run(
            program().arg(dir.path()).args(options).args(["--", "cat"]),
            0,
        );
        err(&ran)
    };
    assert!(chosen(&["--latest"]).contains("20251123_020000"));
    assert!(chosen(&["--before", "2025-11-23"]).contains("20251122_020000"));
    assert!(chosen(&["--before", "2025-11-23T02:00:00Z"]).contains("20251122_020000"));
    assert!(chosen(&["--before", "2025-11-23T02:00:01Z"]).contains("20251123_020000"));
    assert!(chosen(&["--before", "2025-11-22T03:30+01:00"]).contains("20251122_020000"));
    // A moment without a zone is local, and both are said.
    let local = ["--before", "2025-11-22 21:00:01", "--", "cat"];
    let ran = run(program().env("TZ", "EST5").arg(dir.path()).args(local), 0);
    for words in [
        "before 2025-11-23 02:00:01 UTC (21:00:01 -05:00 here)",
        "'postgresql_backup_20251123_020000.sql.gz' of 2025-11-23 02:00:00 UTC (21:00:00 -05:00 here)",
    ] {
        assert!(err(&ran).contains(words), "{}", err(&ran));
    }
    let none = run(
        program()
            .arg(dir.path())
            .args(["--before", "2025-11-21", "--", "cat"]),
        3,
    );
    assert!(err(&none).contains("no good backup"), "{}", err(&none));
}

#[test]
fn a_newer_backup_that_is_not_good_is_passed_over_aloud() {
    let dir = store(&[21, 22, 23]);
    let cut = backup();
    fs::write(path(dir.path(), 23), &cut[..cut.len() / 2]).unwrap();
    let mut flipped = backup();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    fs::write(path(dir.path(), 22), &flipped).unwrap();
    let latest = run(
        program()
            .arg(dir.path())
            .args(["--latest", "--verify-first", "--", "cat"]),
        0,
    );
    let said = err(&latest);
    assert!(
        said.contains("passed over 'postgresql_backup_20251123_020000.sql.gz'"),
        "{said}"
    );
    assert!(
        said.contains("passed over 'postgresql_backup_20251122_020000.sql.gz'"),
        "{said}"
    );
    assert_eq!(out(&latest), sql());
    // Without reading it first, the damage is seen on the way.
    let late = run(program().arg(dir.path()).args(["--latest", "--", "cat"]), 3);
    assert!(err(&late).contains("20251122_020000"), "{}", err(&late));
}

#[test]
fn a_backup_that_is_not_the_one_that_was_made_is_not_good() {
    let dir = store(&[23]);
    let file = path(dir.path(), 23);
    let line = format!(
        "{}  {}\n",
        "0".repeat(64),
        file.file_name().unwrap().display()
    );
    fs::write(file.with_extension("gz.sha256"), line).unwrap();
    let ran = run(program().arg(&file).args(["--", "cat"]), 3);
    assert!(err(&ran).contains("SHA-256"), "{}", err(&ran));
}

#[test]
fn wrong_usage_is_2() {
    let dir = store(&[23]);
    let file = path(dir.path(), 23);
    for arguments in [
        &["--no-such-option"][..],
        &["--as", "x"],
        &["--before", "yesterday"],
        &["--latest"],
        &["--jobs", "0"],
    ] {
        let ran = run(program().arg(&file).args(arguments), 2);
        assert!(err(&ran).starts_with("restore-stream: "), "{}", err(&ran));
    }
    run(&mut program(), 2);
    let ran = run(program().arg(dir.path()), 2);
    assert!(err(&ran).contains("--latest"), "{}", err(&ran));
    run(program().args(["-", "--verify-first"]), 2);
}

#[test]
fn what_is_not_there_is_said() {
    let dir = store(&[]);
    let ran = run(program().arg(dir.path().join("x.sql.gz")), 1);
    assert!(err(&ran).contains("x.sql.gz"), "{}", err(&ran));
    let ran = run(program().arg(dir.path()).arg("--latest"), 3);
    assert!(err(&ran).contains("there is no backup"), "{}", err(&ran));
    let dir = store(&[23]);
    let file = path(dir.path(), 23);
    let ran = run(
        program()
            .arg(&file)
            .args(["--database", "three", "--", "cat"]),
        1,
    );
    assert!(err(&ran).contains("'one', 'two'"), "{}", err(&ran));
    // No server: psql's own words.
    let ran = run(program().arg(&file), 1);
    assert!(err(&ran).contains("/nonexistent"), "{}", err(&ran));
}

#[test]
fn a_script_is_told_whatever_fails() {
    let dir = store(&[23]);
    let empty = store(&[]);
    let url = "http://127.0.0.1:1/account/container/x.sql.gz?sig=s3cret";
    for (backup, code) in [
        (path(dir.path(), 23).into_os_string(), 1),
        (path(dir.path(), 24).into_os_string(), 1),
        (empty.path().as_os_str().to_owned(), 3),
        (url.into(), 1),
    ] {
        let latest: &[&str] = if code == 3 { &["--latest"] } else { &[] };
        let options = ["--json", "--deadline", "1s"];
        let ran = run(program().arg(&backup).args(options).args(latest), code);
        let said: serde_json::Value = serde_json::from_str(&out(&ran)).unwrap();
        assert_eq!(said["ok"], false, "{said}");
        assert_eq!(said["exit"], code, "{said}");
        let source = backup.to_str().unwrap().split('?').next().unwrap();
        assert_eq!(said["source"], source, "{said}");
        assert!(!out(&ran).contains("s3cret") && !err(&ran).contains("s3cret"));
    }
}

#[test]
fn help_and_version() {
    let help = out(&run(program().arg("--help"), 0));
    for word in [
        "--force-disconnect",
        "Exit codes",
        "Examples",
        "Environment",
    ] {
        assert!(help.contains(word), "{word}");
    }
    let version = out(&run(program().arg("--version"), 0));
    assert!(version.starts_with("restore-stream "), "{version}");
}
