//! The command line: what it takes, what it says, how it ends. The service is one in memory, the same that
//! the client is tested against.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends so")]

use std::fs;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use backup_file::{BackupName, MARKER};
use scripted_service::{Fault, Kind, Service};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const SIGNATURE: &str = "S3CRETS3CRETS3CRET";
const NAME: &str = "postgresql_backup_20251123_020000.sql.gz";

fn token(permissions: &str) -> String {
    format!("?se=2999-01-01&sr=c&sp={permissions}&sig={SIGNATURE}\n")
}

/// A backup whose member holds `select 1;`, made by zlib.
fn backup() -> Vec<u8> {
    let deflated = [
        0x2b, 0x4e, 0xcd, 0x49, 0x4d, 0x2e, 0x51, 0x30, 0xb4, 0xe6, 0x02, 0x00,
    ];
    let mut member = MARKER[..16].to_vec();
    member.extend(
        u16::try_from(18 + deflated.len() + 8 - 1)
            .unwrap()
            .to_le_bytes(),
    );
    member.extend(deflated);
    member.extend([0xe5, 0x5b, 0x2b, 0x6b]);
    member.extend(10_u32.to_le_bytes());
    [member, MARKER.to_vec()].concat()
}

fn hex(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

fn program(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_blob-put"));
    command.args(args).env_clear().stdin(Stdio::null());
    command.env("AZURE_STORAGE_SAS_TOKEN", token("racwdlti"));
    command
}

struct Ended {
    code: i32,
    out: String,
    err: String,
}

impl Ended {
    fn of(output: Output) -> Self {
        let ended = Self {
            code: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        };
        assert!(
            !ended.out.contains(SIGNATURE) && !ended.err.contains(SIGNATURE),
            "{}",
            ended.err
        );
        assert!(!ended.err.contains("internal error"), "{}", ended.err);
        ended
    }

    #[track_caller]
    fn is(&self, code: i32, says: &str) {
        assert_eq!(self.code, code, "{}", self.err);
        assert!(self.err.contains(says), "{says:?} is not in:\n{}", self.err);
    }
}

fn run(args: &[&str]) -> Ended {
    Ended::of(program(args).output().unwrap())
}

/// With these bytes on standard input.
fn fed(command: &mut Command, bytes: &[u8]) -> Ended {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It may end before it has read all.
    let _ = child.stdin.take().unwrap().write_all(bytes);
    Ended::of(child.wait_with_output().unwrap())
}

fn stored(dir: &Path, name: &str, bytes: &[u8]) -> String {
    let path = dir.join(name);
    fs::write(&path, bytes).unwrap();
    path.display().to_string()
}

fn blobs(service: &Service) -> Vec<String> {
    service.change(|state| state.blobs.keys().cloned().collect())
}

#[test]
fn the_help_is_complete() {
    let help = run(&["--help"]);
    assert_eq!((help.code, help.err.as_str()), (0, ""));
    for word in [
        "--overwrite",
        "--raw",
        "--tier",
        "--immutable-days",
        "--tag",
        "--concurrency",
        "--memory",
        "--max-rate",
        "--deadline",
        "--warn-expiry",
        "--json",
        "AZURE_STORAGE_SAS_TOKEN_FILE",
        "Exit codes:",
        "Examples:",
    ] {
        assert!(help.out.contains(word), "{word}");
    }
    assert!(run(&["--version"]).out.starts_with("blob-put "));
}

#[test]
fn what_is_wrong_on_the_command_line_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let file = stored(dir.path(), NAME, &backup());
    let file = file.as_str();
    let url = "https://acc.blob.core.windows.net/backups/";
    for (args, says) in [
        (vec![], "required arguments"),
        (vec![file], "STORE/[NAME]"),
        (
            vec![file, url, "--tier", "frozen"],
            "the tiers are Hot, Cool, Cold, Archive",
        ),
        (vec![file, url, "--tag", "x"], "KEY=VALUE"),
        (vec![file, url, "--immutable-days", "0"], "0 is not in 1.."),
        (vec![file, url, "--memory", "1M"], "from 16M on"),
        (vec![file, url, "--concurrency", "0"], "0 is not in 1.."),
        (vec![file, url, "--deadline", "soon"], "no duration"),
        (
            vec![file, url, "--max-rate", "20"],
            "is no rate from 64K on",
        ),
        (
            vec![file, "https://acc.blob.core.windows.net/"],
            "names no container",
        ),
        (
            vec![file, "http://acc.blob.core.windows.net/backups/"],
            "is not encrypted",
        ),
        (
            vec![file, "https://acc.blob.core.windows.net/backups/prod"],
            "may be a prefix or a name",
        ),
        (
            vec![file, "/tmp/", "--tier", "Cool"],
            "--tier is for a container",
        ),
        (
            vec![file, "/tmp/", "--overwrite"],
            "--overwrite is for a container",
        ),
        (vec![dir.path().to_str().unwrap(), url], "is a directory"),
    ] {
        run(&args).is(2, says);
    }
    run(&["/nowhere/x.sql.gz", url]).is(1, "cannot read '/nowhere/x.sql.gz': No such file");
}

#[test]
fn a_file_keeps_its_name_or_gets_one() {
    let service = Service::start();
    let dir = tempfile::tempdir().unwrap();
    let bytes = backup();
    let file = stored(dir.path(), NAME, &bytes);
    let url = service.url();
    for (destination, name) in [
        (format!("{url}/"), NAME.to_owned()),
        (format!("{url}/prod/eu//"), format!("prod/eu/{NAME}")),
        (format!("{url}/b%20%2B.gz"), "b +.gz".to_owned()),
        (format!("{url}/prod/c.gz"), "prod/c.gz".to_owned()),
    ] {
        let ended = run(&[&file, &destination]);
        ended.is(0, "66 B in ");
        let seen = name.ends_with(NAME);
        assert_eq!(
            ended.err.contains("is no backup's name"),
            !seen,
            "{}",
            ended.err
        );
        let blob = service.blob(&name).unwrap();
        assert_eq!(blob.bytes, bytes);
        let words: Vec<_> = ended.out.trim_end().split('\t').collect();
        assert_eq!(words[1..], ["66", &hex(&bytes)]);
        assert!(words[0].starts_with(&url), "{}", words[0]);
    }
    // The container itself is a STORE too.
    run(&[&file, &url]).is(4, "is there already");
}

/// Held to a rate, the same bytes arrive: faster than any test would notice.
#[test]
fn a_rate_changes_nothing_else() {
    let service = Service::start();
    let dir = tempfile::tempdir().unwrap();
    // Three blocks, the last one not full.
    let bytes: Vec<u8> = (0..5_000_000_u32)
        .flat_map(|it| it.to_be_bytes().into_iter().last())
        .collect();
    let file = stored(dir.path(), "x", &bytes);
    let rate = ["--raw", "--max-rate", "1000G"];
    let url = format!("{}/y.gz", service.url());
    run(&[&[file.as_str(), &url], &rate[..]].concat()).is(0, "");
    assert_eq!(service.blob("y.gz").unwrap().bytes, bytes);
    let directory = format!("{}/y.gz", dir.path().display());
    run(&[&[file.as_str(), &directory], &rate[..]].concat()).is(0, "");
    assert_eq!(fs::read(directory).unwrap(), bytes);
}

#[test]
fn standard_input_gets_the_name_of_its_moment() {
    let service = Service::start();
    let before = BackupName::new(chrono::Utc::now());
    fed(
        &mut program(&["-", &format!("{}/", service.url())]),
        &backup(),
    )
    .is(0, "");
    let names = blobs(&service);
    let name = BackupName::parse(&names[0]).unwrap();
    assert!(before <= name && name <= BackupName::new(chrono::Utc::now()));
}

#[test]
fn only_a_whole_backup_is_published() {
    let service = Service::start();
    let dir = tempfile::tempdir().unwrap();
    let backup = backup();
    let url = format!("{}/x.sql.gz", service.url());
    let place = dir.path().join("x.sql.gz").display().to_string();
    let foreign = b"\x1f\x8b\x08\0\0\0\0\0\0\x03abcdefghijklmnopqrstuvwxyz".to_vec();
    for (bytes, says) in [
        (Vec::new(), "standard input is empty"),
        (backup[..20].to_vec(), "does not end in the marker"),
        (backup[..38].to_vec(), "does not end in the marker"),
        (backup[..65].to_vec(), "does not end in the marker"),
        (MARKER.to_vec(), "is a backup of nothing"),
        (
            [backup.clone(), backup.clone()].concat(),
            "goes on after its marker",
        ),
        (foreign.clone(), "is no backup of pgdump-gz"),
        (
            b"psql: error: could not connect, which is no backup".to_vec(),
            "is no backup of pgdump-gz",
        ),
    ] {
        for destination in [&url, &place] {
            let ended = fed(&mut program(&["-", destination]), &bytes);
            ended.is(3, says);
            ended.is(3, "nothing was published");
            ended.is(3, "--raw");
            assert_eq!(ended.out, "");
        }
        assert!(blobs(&service).is_empty());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        fed(&mut program(&["-", &url, "--raw"]), &bytes).is(0, "");
        assert_eq!(service.blob("x.sql.gz").unwrap().bytes, bytes);
        service.change(|state| state.blobs.clear());
    }
}

#[test]
fn a_directory_is_a_store_too() {
    let from = tempfile::tempdir().unwrap();
    let to = tempfile::tempdir().unwrap();
    let bytes = backup();
    let file = stored(from.path(), NAME, &bytes);
    let place = to.path().display().to_string();
    let ended = run(&[&file, &place]);
    ended.is(0, "");
    assert_eq!(ended.out, format!("{place}/{NAME}\t66\t{}\n", hex(&bytes)));
    assert_eq!(fs::read(to.path().join(NAME)).unwrap(), bytes);
    assert!(to.path().join(format!("{NAME}.sha256")).exists());
    run(&[&file, &place]).is(4, "is already there");
    run(&[&file, &format!("{place}/other.sql.gz")]).is(0, "");
    assert_eq!(fs::read(to.path().join("other.sql.gz")).unwrap(), bytes);
    run(&[&file, &format!("{place}/none/x.sql.gz")]).is(1, "none");
}

/// The document of a run that succeeds, and its seconds apart from it.
#[track_caller]
fn document(args: &[&str]) -> (Value, f64) {
    let ended = run(args);
    ended.is(0, "");
    let mut document: Value = serde_json::from_str(&ended.out).unwrap();
    let seconds = document.as_object_mut().unwrap().remove("seconds").unwrap();
    (document, seconds.as_f64().unwrap())
}

#[test]
fn json_has_the_result() {
    let service = Service::start();
    let dir = tempfile::tempdir().unwrap();
    let file = stored(dir.path(), NAME, &backup());
    let url = format!("{}/prod/", service.url());
    let (document, seconds) = document(&[&file, &url, "--json"]);
    let store = format!("{}/prod", service.url());
    assert_eq!(
        document,
        json!({
            "store": store,
            "name": NAME,
            "location": format!("{store}/{NAME}"),
            "size": backup().len(),
            "sql_size": 10,
            "sha256": hex(&backup()),
            "overwrite": false,
        })
    );
    assert!(seconds > 0.0, "{seconds}");

    // A name that is taken is no result.
    let taken = run(&[&file, &url, "--json"]);
    taken.is(4, "is there already");
    assert_eq!(taken.out, "");
}

#[test]
fn json_of_anything_into_a_directory() {
    let dir = tempfile::tempdir().unwrap();
    let file = stored(dir.path(), "etc.tar.gz", b"anything");
    let store = tempfile::tempdir().unwrap();
    let store = store.path().to_str().unwrap();
    let (document, _) = document(&[&file, store, "--raw", "--json"]);
    assert_eq!(
        document,
        json!({
            "store": store,
            "name": "etc.tar.gz",
            "location": format!("{store}/etc.tar.gz"),
            "size": 8,
            "sql_size": null,
            "sha256": hex(b"anything"),
            "overwrite": false,
        })
    );
}

#[test]
fn a_file_that_is_not_what_its_sidecar_says_is_not_published() {
    let service = Service::start();
    let dir = tempfile::tempdir().unwrap();
    let bytes = backup();
    let file = stored(dir.path(), NAME, &bytes);
    let url = format!("{}/", service.url());
    stored(
        dir.path(),
        &format!("{NAME}.sha256"),
        format!("{}  {NAME}\n", hex(b"else")).as_bytes(),
    );
    run(&[&file, &url]).is(3, "is not what its .sha256 says");
    assert!(blobs(&service).is_empty());
    stored(
        dir.path(),
        &format!("{NAME}.sha256"),
        format!("{}  {NAME}\n", hex(&bytes)).as_bytes(),
    );
    run(&[&file, &url]).is(0, "");
}

#[test]
fn a_name_that_is_taken_is_left_alone() {
    let service = Service::start();
    let dir = tempfile::tempdir().unwrap();
    let file = stored(dir.path(), NAME, &backup());
    service.store(NAME, b"first");
    let url = format!("{}/", service.url());
    run(&[&file, &url]).is(4, "--overwrite");
    let mut least = program(&[&file, &url]);
    Ended::of(
        least
            .env("AZURE_STORAGE_SAS_TOKEN", token("cw"))
            .output()
            .unwrap(),
    )
    .is(4, "409 BlobAlreadyExists");
    assert_eq!(service.blob(NAME).unwrap().bytes, b"first");
    run(&[&file, &url, "--overwrite"]).is(0, "");
    assert_eq!(service.blob(NAME).unwrap().bytes, backup());
}

#[test]
fn a_token_that_does_not_do_is_told_before_anything_is_read() {
    let service = Service::start();
    let dir = tempfile::tempdir().unwrap();
    let url = format!("{}/", service.url());
    let missing = dir.path().join("missing").display().to_string();
    for (set, says) in [
        (("AZURE_STORAGE_SAS_TOKEN", ""), "there is no SAS token"),
        (
            ("AZURE_STORAGE_SAS_TOKEN", "sv=1&se=2999-01-01"),
            "AZURE_STORAGE_SAS_TOKEN: the SAS token has no signature",
        ),
        (
            ("AZURE_STORAGE_SAS_TOKEN", &token("rl")),
            "the SAS token's sp=rl lacks 'c' or 'w'",
        ),
        (
            ("AZURE_STORAGE_SAS_TOKEN", &token("cw&spr=https")),
            "demands https",
        ),
        (
            ("AZURE_STORAGE_SAS_TOKEN_FILE", &missing),
            "cannot read the SAS token",
        ),
    ] {
        let mut child = program(&["-", &url])
            .env(set.0, set.1)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Standard input stays open: whoever read it first would wait for ever.
        let input = child.stdin.take();
        Ended::of(child.wait_with_output().unwrap()).is(1, says);
        drop(input);
    }
    assert_eq!(service.count(Kind::Probe), 0);
}

#[test]
fn a_container_that_is_not_there_is_told_before_anything_is_read() {
    let service = Service::start();
    service.fault(
        Kind::Probe,
        0,
        Fault::Status(404, "ContainerNotFound", None),
    );
    let mut child = waiting(&service);
    let input = child.stdin.take();
    Ended::of(child.wait_with_output().unwrap()).is(1, "there is no container 'backups'");
    drop(input);
}

/// Only the service's clock counts, and it is asked before the dump is waited for.
#[test]
fn a_token_that_has_expired_is_told_before_anything_is_read() {
    let service = Service::start();
    let url = format!("{}/", service.url());
    let mut child = program(&["-", &url])
        .env(
            "AZURE_STORAGE_SAS_TOKEN",
            token("cw").replace("2999", "2020"),
        )
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let input = child.stdin.take();
    let ended = Ended::of(child.wait_with_output().unwrap());
    ended.is(1, "the SAS token expired at 2020-01-01");
    drop(input);
    assert_eq!(service.count(Kind::Probe), 1);
}

/// An upload with a token that expires so many days from now.
fn with_token_of_days(service: &Service, days: i64) -> Command {
    let expires = chrono::Utc::now() + chrono::TimeDelta::days(days);
    let expires = expires.format("%Y-%m-%d").to_string();
    let mut command = program(&["-", &format!("{}/x.sql.gz", service.url())]);
    command.env(
        "AZURE_STORAGE_SAS_TOKEN",
        token("cw").replace("2999-01-01", &expires),
    );
    command
}

#[test]
fn a_token_that_has_expired_by_our_clock_alone_is_taken() {
    let service = Service::start();
    service.change(|state| state.ahead = chrono::TimeDelta::days(-2));
    let mut command = with_token_of_days(&service, -1);
    fed(&mut command, &backup()).is(0, "warning: by this machine's clock the SAS token expired");
    assert_eq!(service.blob("x.sql.gz").unwrap().bytes, backup());
}

#[test]
fn an_address_may_be_in_capitals() {
    let service = Service::start();
    let dir = tempfile::tempdir().unwrap();
    let file = stored(dir.path(), NAME, &backup());
    let url = service.url().replace("http://", "HTTP://");
    run(&[&file, &format!("{url}/")]).is(0, "");
    assert_eq!(service.blob(NAME).unwrap().bytes, backup());
    run(&[&file, &format!("{url}/..%2Fother%2Fx.gz")]).is(2, "no name");
    // An encoded slash at the end is one, too.
    run(&[&file, &format!("{url}/p%2F")]).is(0, "");
    let name = format!("p/{NAME}");
    assert_eq!(service.blob(&name).unwrap().bytes, backup());
}

#[test]
fn what_is_no_sidecar_ends_soon() {
    let service = Service::start();
    let dir = tempfile::tempdir().unwrap();
    let file = stored(dir.path(), NAME, &backup());
    let sidecar = dir.path().join(format!("{NAME}.sha256"));
    for target in ["/dev/zero", "/dev/tty"] {
        std::os::unix::fs::symlink(target, &sidecar).unwrap();
        run(&[&file, &format!("{}/", service.url())]).is(3, "no regular file");
        fs::remove_file(&sidecar).unwrap();
    }
    assert!(service.blob(NAME).is_none());
}

#[test]
fn a_token_that_expires_soon_is_told() {
    let service = Service::start();
    let mut command = with_token_of_days(&service, 9);
    fed(&mut command, &backup()).is(0, "warning: the SAS token expires in 8 days");
    let ended = fed(
        command.args(["--overwrite", "--warn-expiry", "5d"]),
        &backup(),
    );
    assert!(
        ended.code == 0 && !ended.err.contains("expires"),
        "{}",
        ended.err
    );
}

#[test]
fn the_token_may_come_from_a_file_or_the_url() {
    let service = Service::start();
    service.change(|state| state.signature = Some(SIGNATURE.into()));
    let dir = tempfile::tempdir().unwrap();
    let path = stored(dir.path(), "token", token("cw").as_bytes());
    let url = format!("{}/a.sql.gz", service.url());
    let mut command = program(&["-", &url]);
    command
        .env_remove("AZURE_STORAGE_SAS_TOKEN")
        .env("AZURE_STORAGE_SAS_TOKEN_FILE", path);
    fed(&mut command, &backup()).is(0, "");
    let url = format!("{}/b.sql.gz{}", service.url(), token("cw").trim_end());
    let mut command = program(&["-", &url]);
    fed(command.env_remove("AZURE_STORAGE_SAS_TOKEN"), &backup()).is(0, "");
    assert_eq!(blobs(&service), ["a.sql.gz", "b.sql.gz"]);
}

#[test]
fn what_the_service_refuses_is_named_by_its_option() {
    let service = Service::start();
    service.fault(
        Kind::PutList,
        0,
        Fault::Status(400, "ImmutabilityNotEnabled", None),
    );
    let url = format!("{}/x.sql.gz", service.url());
    let mut command = program(&[
        "-",
        &url,
        "--immutable-days",
        "30",
        "--tier",
        "cool",
        "--tag",
        "a=b",
    ]);
    fed(&mut command, &backup()).is(1, "--immutable-days");
    let headers = service.seen(Kind::PutList)[0].headers.clone();
    assert_eq!(headers["x-ms-access-tier"], "Cool");
    assert_eq!(headers["x-ms-tags"], "a=b");
    assert!(headers.contains_key("x-ms-immutability-policy-until-date"));
}

#[test]
fn a_certificate_file_that_is_not_there_is_named() {
    let mut command = program(&["-", "https://127.0.0.1:1/acc/backups/"]);
    command.env("SSL_CERT_FILE", "/nowhere/ca.pem");
    fed(&mut command, &backup()).is(2, "cannot read SSL_CERT_FILE '/nowhere/ca.pem'");
}

#[test]
fn what_never_ends_is_no_certificate_and_no_token() {
    let url = "https://127.0.0.1:1/acc/backups/";
    let mut command = program(&["-", url]);
    command.env("SSL_CERT_FILE", "/dev/zero");
    fed(&mut command, &backup()).is(2, "it is no regular file");
    let mut command = program(&["-", url]);
    command.env("AZURE_STORAGE_SAS_TOKEN_FILE", "/dev/zero");
    fed(&mut command, &backup()).is(1, "it is longer than 64.00 KiB");
}

/// As a shell's `<(command)` gives it.
#[test]
fn a_token_may_come_through_a_pipe() {
    let service = Service::start();
    let (reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(token("racwdl").as_bytes()).unwrap();
    drop(writer);
    let url = format!("{}/x.sql.gz", service.url());
    let mut command = program(&["-", &url]);
    let file = format!("/proc/{}/fd/{}", std::process::id(), reader.as_raw_fd());
    command.env("AZURE_STORAGE_SAS_TOKEN_FILE", file);
    fed(&mut command, &backup()).is(0, "");
    assert!(service.blob("x.sql.gz").is_some());
}

#[test]
fn a_host_that_is_not_there_is_named() {
    let service = Service::start();
    let url = format!("{}/x.sql.gz", service.url());
    drop(service);
    let mut command = program(&["-", &url, "--deadline", "1s"]);
    fed(&mut command, &backup()).is(1, "127.0.0.1:");
}

fn waiting(service: &Service) -> Child {
    program(&["-", &format!("{}/x.sql.gz", service.url())])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
fn a_signal_leaves_nothing() {
    for (signal, code) in [("TERM", 143), ("INT", 130)] {
        let service = Service::start();
        let mut child = waiting(&service);
        let mut input = child.stdin.take().unwrap();
        // It reads, so it is past all that comes before.
        while service.count(Kind::Probe) == 0 {
            std::thread::yield_now();
        }
        input.write_all(&backup()[..40]).unwrap();
        let line = format!("kill -s {signal} {}", child.id());
        let kill = Command::new("sh").args(["-c", &line]).status();
        assert!(kill.unwrap().success());
        let ended = Ended::of(child.wait_with_output().unwrap());
        ended.is(code, &format!("stopped by SIG{signal}"));
        drop(input);
        assert!(blobs(&service).is_empty());
        assert_eq!(service.count(Kind::PutList), 0);
    }
}

#[test]
fn a_marker_after_a_cut_dump_is_not_enough() {
    let dump = "--\n-- PostgreSQL database dump\n--\n\nSELECT 1;\n\n--\n-- PostgreSQL database dump complete\n--\n\n";
    let noise: String = (0..200_000_u64)
        .map(|at| format!("SELECT {};\n", at.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
        .collect();
    let long = dump.replacen("SELECT 1;", &noise, 1);
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().to_str().unwrap();
    let put = |text: &str, name: &str, raw: bool| {
        let options = backup_file::Options {
            level: 1,
            threads: 1,
        };
        let mut writer = backup_file::Writer::new(Vec::new(), options);
        writer.begin(backup_file::SectionKind::Globals).unwrap();
        writer.write_all(text.as_bytes()).unwrap();
        let file = writer.finish_without_index().unwrap();
        let target = format!("{store}/{name}");
        let mut arguments = vec!["-", &target];
        arguments.extend(raw.then_some("--raw"));
        let mut child = program(&arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(&file).unwrap();
        Ended::of(child.wait_with_output().unwrap())
    };
    for (number, text) in [dump, &long, &dump.replace('\n', "\r\n")]
        .iter()
        .enumerate()
    {
        assert_eq!(
            put(text, &format!("whole-{number}"), false).code,
            0,
            "{number}"
        );
        let cut = &text[..text.len() - 30];
        let ended = put(cut, &format!("cut-{number}"), false);
        assert_eq!(ended.code, 3, "{number}: {}", ended.err);
        assert!(
            ended
                .err
                .contains("closing line is missing: nothing was published"),
            "{}",
            ended.err
        );
        // Whoever wants it has it.
        assert_eq!(put(cut, &format!("raw-{number}"), true).code, 0, "{number}");
    }
    let mut names: Vec<String> = fs::read_dir(directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.ends_with(".sha256"))
        .collect();
    names.sort();
    assert_eq!(
        names,
        ["raw-0", "raw-1", "raw-2", "whole-0", "whole-1", "whole-2"]
    );
}
