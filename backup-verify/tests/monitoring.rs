//! What monitoring sees of backup-verify: metrics, pushes, pings.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends so")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::{Command, Output};
use std::thread::{self, JoinHandle};

use backup_file::{About, Options, SectionKind, Writer};
use tempfile::TempDir;

const OLD: &str = "postgresql_backup_20251122_020000.sql.gz";
const NEW: &str = "postgresql_backup_20251123_020000.sql.gz";
/// An hour after [`NEW`].
const NOW: &str = "2025-11-23T03:00:00Z";
const SECRET: &str = "8c1fc4f6-5e2c-4a8e-9d6f-0123456789ab";

/// A backup of a cluster with these databases.
fn backup(databases: &[&str]) -> Vec<u8> {
    let options = Options {
        level: 1,
        threads: 1,
    };
    let mut writer = Writer::new(Vec::new(), options);
    writer.begin(SectionKind::Globals).unwrap();
    let globals = "--\n-- PostgreSQL database cluster dump\n--\n\n";
    writer.write_all(globals.as_bytes()).unwrap();
    for database in databases {
        let kind = SectionKind::Database((*database).into());
        writer.begin(kind).unwrap();
        let sql = "SELECT 'all that a database holds';\n".repeat(100);
        writer.write_all(sql.as_bytes()).unwrap();
    }
    writer.begin(SectionKind::End).unwrap();
    let end = "--\n-- PostgreSQL database cluster dump complete\n--\n\n";
    writer.write_all(end.as_bytes()).unwrap();
    let moment = "2025-11-23T02:00:00Z".parse().unwrap();
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

/// A directory with one good backup.
fn store() -> TempDir {
    let store = tempfile::tempdir().unwrap();
    fs::write(
        store.path().join(NEW),
        backup(&["app", "ünïcode \"☃\"\n\\"]),
    )
    .unwrap();
    store
}

fn verify(store: &TempDir, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_backup-verify"));
    command.arg(store.path()).args(["--now", NOW]);
    // However full the disk of this machine is.
    command.args(["--quota", "1T"]).args(more);
    command
}

#[track_caller]
fn run(command: &mut Command, code: i32) -> (String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let (stdout, stderr) = (text(stdout), text(stderr));
    assert_eq!(status.code(), Some(code), "{stdout}\n{stderr}");
    (stdout, stderr)
}

/// A series' value.
#[track_caller]
fn value(metrics: &str, name: &str, store: &TempDir, label: &str) -> f64 {
    let series = format!(
        "postgresql_backup_{name}{{store=\"{}\"{label}}} ",
        store.path().display()
    );
    let found: Vec<_> = metrics
        .lines()
        .filter_map(|it| it.strip_prefix(&series))
        .collect();
    assert_eq!(found.len(), 1, "{series}\n{metrics}");
    found[0].parse().unwrap()
}

#[test]
fn metrics_of_a_good_store() {
    let (store, outside) = (store(), tempfile::tempdir().unwrap());
    let file = outside.path().join("backup.prom");
    run(
        &mut verify(&store, &["--metrics", file.to_str().unwrap()]),
        0,
    );
    let metrics = fs::read_to_string(file).unwrap();
    let value = |name, label| value(&metrics, name, &store, label);
    assert_eq!(value("verify_success", ""), 1.0);
    assert_eq!(value("last_success_timestamp_seconds", ""), 1_763_863_200.0);
    assert_eq!(value("verify_timestamp_seconds", ""), 1_763_866_800.0);
    assert_eq!(
        value("last_success_data_timestamp_seconds", ""),
        1_763_863_200.0
    );
    assert_eq!(value("age_seconds", ""), 3600.0);
    assert_eq!(value("stored_backups", ""), 1.0);
    let size = fs::metadata(store.path().join(NEW)).unwrap().len();
    assert_eq!(value("size_bytes", ""), size as f64);
    assert_eq!(value("check_grade", ",check=\"backup\""), 0.0);
    assert_eq!(value("check_grade", ",check=\"age\""), 0.0);
    assert_eq!(
        value("database_sql_size_bytes", ",database=\"app\""),
        3600.0
    );
    let odd = ",database=\"ünïcode \\\"☃\\\"\\n\\\\\"";
    assert_eq!(value("database_sql_size_bytes", odd), 3600.0);
    assert!(value("verify_duration_seconds", "") > 0.0);
}

#[test]
fn the_last_success_survives() {
    let (store, outside) = (store(), tempfile::tempdir().unwrap());
    let path = outside.path().join("backup.prom");
    let with = ["--metrics", path.to_str().unwrap()];
    let last = |code, more: &[&str]| {
        run(verify(&store, &with).args(more), code);
        let metrics = fs::read_to_string(&path).unwrap();
        assert_eq!(
            value(&metrics, "verify_success", &store, ""),
            f64::from(code == 0)
        );
        value(&metrics, "last_success_timestamp_seconds", &store, "")
    };
    // A backup that is too old is still a good one.
    assert_eq!(last(3, &["--max-age", "1m"]), 1_763_863_200.0);
    // The newest is damaged: the one before it is the last good one, if it looks whole.
    fs::write(store.path().join(OLD), backup(&["app"])).unwrap();
    fs::write(store.path().join(NEW), b"damaged").unwrap();
    assert_eq!(last(3, &[]), 1_763_776_800.0);
    // Nothing can be measured now; what was measured before stays.
    fs::remove_file(store.path().join(OLD)).unwrap();
    assert_eq!(last(3, &[]), 1_763_776_800.0);
    fs::remove_dir_all(store.path()).unwrap();
    assert_eq!(last(1, &[]), 1_763_776_800.0);
}

#[test]
fn metrics_on_standard_output_have_it_to_themselves() {
    let store = store();
    let (stdout, stderr) = run(&mut verify(&store, &["--metrics", "-"]), 0);
    let (comments, samples): (Vec<_>, Vec<_>) = stdout.lines().partition(|it| it.starts_with("# "));
    assert!(
        samples
            .iter()
            .all(|it| it.starts_with("postgresql_backup_")),
        "{stdout}"
    );
    assert!(comments.len() > 20, "{stdout}");
    assert_eq!(stderr, "");
    let (stdout, stderr) = run(
        &mut verify(&store, &["--metrics", "-", "--max-age", "1m"]),
        3,
    );
    assert!(stdout.contains("verify_success"), "{stdout}");
    assert!(stderr.contains("the newest backup"), "{stderr}");
}

#[test]
fn command_lines_that_are_wrong() {
    let store = store();
    let (_, said) = run(&mut verify(&store, &["--metrics", "-", "--json"]), 2);
    assert!(said.contains("standard output"), "{said}");
    let mut backup = Command::new(env!("CARGO_BIN_EXE_backup-verify"));
    backup
        .arg(store.path().join(NEW))
        .args(["--metrics", "x.prom"]);
    let (_, said) = run(&mut backup, 2);
    assert!(said.contains("--metrics is for a store"), "{said}");
    let (_, said) = run(&mut verify(&store, &["--ping", SECRET]), 2);
    assert!(!said.contains(SECRET), "{said}");
}

#[test]
fn metrics_that_cannot_be_written_are_a_failure() {
    let store = store();
    let (stdout, said) = run(
        &mut verify(&store, &["--metrics", "/nonexistent/x.prom"]),
        1,
    );
    assert!(stdout.contains("ok       backup"), "{stdout}");
    assert!(
        said.contains("cannot write '/nonexistent/x.prom'"),
        "{said}"
    );
    // What was found is worse than metrics that cannot be written.
    let bad = ["--metrics", "/nonexistent/x.prom", "--max-age", "1m"];
    let (_, said) = run(&mut verify(&store, &bad), 3);
    assert!(said.contains("cannot write"), "{said}");
    assert!(said.contains("the newest backup"), "{said}");
}

/// Hears one request, and answers it with this status.
fn server(answer: &'static str) -> (String, JoinHandle<(String, String)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    (origin, thread::spawn(move || hear(&listener, answer)))
}

fn hear(listener: &TcpListener, answer: &str) -> (String, String) {
    let (mut stream, _) = listener.accept().unwrap();
    let mut input = BufReader::new(stream.try_clone().unwrap());
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert!(input.read_line(&mut head).unwrap() > 0, "{head}");
    }
    let mut length = head
        .lines()
        .filter_map(|it| it.strip_prefix("content-length: "));
    let mut body = vec![0; length.next().unwrap().parse().unwrap()];
    input.read_exact(&mut body).unwrap();
    write!(stream, "HTTP/1.1 {answer}\r\ncontent-length: 0\r\n\r\n").unwrap();
    (head, String::from_utf8(body).unwrap())
}

#[test]
fn a_switch_hears_what_was_found() {
    let store = store();
    let (origin, heard) = server("200 OK");
    run(
        &mut verify(&store, &["--ping", &format!("{origin}/{SECRET}")]),
        0,
    );
    let (head, body) = heard.join().unwrap();
    assert!(
        head.starts_with(&format!("POST /{SECRET} HTTP/1.1\r\n")),
        "{head}"
    );
    assert!(body.starts_with("ok       backup  "), "{body}");

    let (origin, heard) = server("200 OK");
    let url = format!("{origin}/{SECRET}?create=1");
    run(
        verify(&store, &["--max-age", "1m"]).env("BACKUP_VERIFY_PING_URL", &url),
        3,
    );
    let (head, body) = heard.join().unwrap();
    assert!(
        head.starts_with(&format!("POST /{SECRET}/fail?create=1 HTTP/1.1\r\n")),
        "{head}"
    );
    assert!(body.contains("bad      age  "), "{body}");

    // A store that cannot be verified at all is told of, too.
    let (origin, heard) = server("200 OK");
    let file = store.path().join("url");
    fs::write(&file, format!("{origin}/{SECRET}\n")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_backup-verify"));
    command
        .arg(store.path().join("missing"))
        .env("BACKUP_VERIFY_PING_URL_FILE", &file)
        .env("BACKUP_VERIFY_PING_URL", "http://127.0.0.1:1/not-this-one");
    run(&mut command, 1);
    let (head, body) = heard.join().unwrap();
    assert!(head.contains("/fail HTTP"), "{head}");
    assert!(body.contains("No such file or directory"), "{body}");
}

#[test]
fn a_switch_hears_that_work_begins() {
    let store = store();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let heard = thread::spawn(move || [hear(&listener, "200 OK"), hear(&listener, "200 OK")]);
    let url = format!("{origin}/{SECRET}");
    run(&mut verify(&store, &["--ping-start", "--ping", &url]), 0);
    let [(begin, nothing), (end, lines)] = heard.join().unwrap();
    assert!(begin.starts_with(&format!("POST /{SECRET}/start HTTP/1.1\r\n")));
    assert_eq!(nothing, "");
    assert!(end.starts_with(&format!("POST /{SECRET} HTTP/1.1\r\n")));
    assert!(lines.starts_with("ok       backup  "), "{lines}");

    let (_, said) = run(&mut verify(&store, &["--ping-start"]), 2);
    assert!(said.contains("--ping-start has no URL to ping"), "{said}");
    assert!(said.contains("BACKUP_VERIFY_PING_URL_FILE"), "{said}");
}

#[test]
fn a_switch_that_does_not_hear_is_a_warning() {
    let store = store();
    let (origin, heard) = server("404 Not Found");
    let ping = format!("{origin}/{SECRET}?{SECRET}");
    let (_, said) = run(&mut verify(&store, &["--ping", &ping]), 0);
    heard.join().unwrap();
    assert!(
        said.contains(&format!(
            "warning: cannot ping {origin}/…: the answer is 404"
        )),
        "{said}"
    );
    assert!(!said.contains(SECRET), "{said}");
}

#[test]
fn a_pushgateway_gets_a_group_for_each_store() {
    let store = store();
    let (origin, heard) = server("200 OK");
    run(
        verify(&store, &[]).env("BACKUP_VERIFY_PUSH_URL", format!("{origin}/base/")),
        0,
    );
    let (head, body) = heard.join().unwrap();
    assert!(
        head.starts_with("POST /base/metrics/job/backup-verify/store@base64/"),
        "{head}"
    );
    assert_eq!(value(&body, "verify_success", &store, ""), 1.0);

    // What looks at the WAL every five minutes does not answer for the night's.
    let (origin, heard) = server("200 OK");
    run(&mut verify(&store, &["--wal-only", "--push", &origin]), 0);
    let (head, _) = heard.join().unwrap();
    let group = "POST /metrics/job/backup-verify-wal/store@base64/";
    assert!(head.starts_with(group), "{head}");

    let (origin, heard) = server("400 Bad Request");
    let (_, said) = run(&mut verify(&store, &["--push", &origin]), 0);
    heard.join().unwrap();
    assert!(
        said.contains("warning: cannot push the metrics to"),
        "{said}"
    );

    // A backup has no metrics: the environment is for the stores.
    let mut backup = Command::new(env!("CARGO_BIN_EXE_backup-verify"));
    backup
        .arg(store.path().join(NEW))
        .env("BACKUP_VERIFY_PUSH_URL", "http://127.0.0.1:1");
    assert_eq!(run(&mut backup, 0).1, "");
}

/// What backup-verify prints on a terminal that is this wide, in columns.
fn on_a_terminal(store: &TempDir, columns: u16, locale: &str) -> String {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    use rustix::termios::{Winsize, tcsetwinsize};

    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap();
    let name = name.to_str().unwrap().to_owned();
    let terminal = fs::File::options()
        .read(true)
        .write(true)
        .open(name)
        .unwrap();
    let size = Winsize {
        ws_row: 24,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(&terminal, size).unwrap();
    let reader = thread::spawn(move || {
        let mut shown = Vec::new();
        // It ends with EIO when nobody has the terminal open any more.
        let _ = fs::File::from(master).read_to_end(&mut shown);
        String::from_utf8(shown).unwrap()
    });
    let mut command = verify(store, &[]);
    command.env("LC_ALL", locale).stdout(terminal);
    let status = command
        .stderr(std::process::Stdio::null())
        .status()
        .unwrap();
    drop(command);
    assert_eq!(status.code(), Some(0));
    reader.join().unwrap().replace("\r\n", "\n")
}

#[test]
fn a_person_sees_a_table() {
    let store = store();
    let path = |name| store.path().join(name);
    fs::write(path(OLD), backup(&["app"])).unwrap();
    let cut = "postgresql_backup_20251121_020000.sql.gz";
    fs::write(path(cut), &backup(&["app"])[..300]).unwrap();
    let (plain, _) = run(&mut verify(&store, &[]), 0);
    assert!(!plain.contains("databases  state"), "{plain}");
    assert!(
        plain.lines().all(|line| line.starts_with("ok  ")),
        "{plain}"
    );

    let shown = on_a_terminal(&store, 120, "C.UTF-8");
    let (checks, table) = shown.split_once("\n\n").unwrap();
    assert_eq!(checks.lines().count(), plain.lines().count());
    let lines: Vec<_> = table.lines().collect();
    assert_eq!(lines.len(), 4, "{table}");
    assert!(lines[0].starts_with("backup  "), "{table}");
    assert!(
        lines[0].ends_with("  age   size  databases  state"),
        "{table}"
    );
    assert!(
        lines[1].starts_with(&format!(
            "{cut}  2 days  300 B          -  bad: its end is missing  █"
        )),
        "{table}"
    );
    assert!(lines[2].starts_with(&format!("{OLD}    25 h  ")), "{table}");
    assert!(
        lines[2].contains("          1  whole                    █"),
        "{table}"
    );
    assert!(lines[3].starts_with(&format!("{NEW}  60 min  ")), "{table}");
    assert!(
        lines[3].contains("          2  good                     █"),
        "{table}"
    );

    let narrow = on_a_terminal(&store, 80, "C");
    let (_, table) = narrow.split_once("\n\n").unwrap();
    assert!(table.starts_with("started (UTC)  "), "{table}");
    assert!(table.contains("\n2025-11-23 02:00:00  60 min  "), "{table}");
    assert!(table.contains("  good                     ##"), "{table}");
    assert!(table.lines().all(|line| line.len() <= 80), "{table}");
}
