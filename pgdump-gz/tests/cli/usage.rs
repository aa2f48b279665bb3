use std::fs::File;
use std::process::Stdio;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::program::{Seen, TestDir};

#[test]
fn wrong_usage() {
    let place = TestDir::new();
    for (arguments, words) in [
        (&["--nonsense"][..], "--nonsense"),
        (&["--jobs", "0"], "--jobs"),
        (&["--jobs", "x"], "--jobs"),
        (&["--level", "0"], "--level"),
        (&["--level", "10"], "--level"),
        (&["--threads", "0"], "--threads"),
        (&["--wait", "long"], "no duration"),
        (&["--restrict-key", "a b"], "letters and digits"),
        (&["--dir"], "--dir"),
        (&["--dir", "https://x.blob.core.windows.net/c"], "not a URL"),
        (&["--jobs", "2", "--", "true"], "--jobs"),
        (
            &["--exclude-database", "x", "--", "true"],
            "--exclude-database",
        ),
        (&["--exclude-database", "a.b"], "too many dotted names"),
        (&["-d", "host=x password=s3cret oops"], "conninfo"),
        (&["-d", "sslpassword=s3cret"], "sslpassword"),
        (&["stray"], "stray"),
        (&["--json"], "--json needs --dir"),
        (&["--json", "--", "true"], "--json needs --dir"),
    ] {
        let seen = place.run(arguments);
        seen.failed(2, words);
        assert!(seen.stderr.starts_with("pgdump-gz: "), "{seen}");
        assert!(!seen.stderr.contains("s3cret"), "{seen}");
        assert!(seen.stdout.is_empty(), "{seen}");
    }
}

#[test]
fn the_help_is_complete() {
    let place = TestDir::new();
    let seen = place.run(["--help"]).done();
    let help = String::from_utf8(seen.stdout).unwrap();
    for word in [
        "--dir",
        "--exclude-database",
        "--no-role-passwords",
        "--jobs",
        "--level",
        "--threads",
        "--dbname",
        "--wait",
        "--lock-wait-timeout",
        "--restrict-key",
        "COMMAND",
        "PGHOST",
        "TMPDIR",
        "Examples:",
        "Exit codes:",
        "143",
    ] {
        assert!(help.contains(word), "{word}");
    }
    place.run(["--version"]).done();
}

#[test]
fn a_terminal_gets_no_backup() {
    let place = TestDir::new();
    let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&controller).unwrap();
    unlockpt(&controller).unwrap();
    let name = ptsname(&controller, Vec::new()).unwrap();
    let terminal = File::options()
        .write(true)
        .open(name.to_str().unwrap())
        .unwrap();
    let child = place
        .program(["--", "echo", "hello"])
        .stdout(terminal)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let seen = Seen::end_of(child);
    seen.failed(2, "not written to a terminal");
    assert!(seen.stderr.contains("hint: "), "{seen}");
}
