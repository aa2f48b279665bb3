//! A container and the way to it on a bad day: what is published is whole, what is whole is published.

use std::io::Read;

use azure_blob::{Client, ContainerUrl, Options, Token};
use chrono::{DateTime, TimeDelta, Utc};
use e2e::{Azurite, Chance, Container, Moments, Program, Proxy, Seen};
use rustix::process::Signal;
use sha2::{Digest, Sha256};

/// The size of a stream's first blocks.
const BLOCK: usize = 2 << 20;
const NAME: &str = "postgresql_backup_20251123_020000.sql.gz";

fn bytes(length: usize) -> Vec<u8> {
    let mut chance = Chance::seeded(length as u64);
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        bytes.extend(chance.below(usize::MAX).to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

fn hex(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A whole backup of next to nothing.
fn backup() -> Vec<u8> {
    let dump = Program::new("pgdump-gz").args(["--", "echo", "select 1;"]);
    dump.succeeds().stdout
}

/// `blob-put` of standard input to the container at `url`.
fn put(url: &str, name: &str, token: &str) -> Program {
    Program::new("blob-put")
        .args(["-", &format!("{url}/{name}")])
        .env("AZURE_STORAGE_SAS_TOKEN", token)
}

fn ours(program: &str, container: &Container, permissions: &str) -> Program {
    let token = container.sas().permissions(permissions).sign();
    Program::new(program)
        .arg(container.url())
        .env("AZURE_STORAGE_SAS_TOKEN", token)
}

/// All of a blob, as our programs read it.
fn read(container: &Container, name: &str) -> Vec<u8> {
    let (url, _) = ContainerUrl::parse(&container.url()).unwrap();
    let token = Token::parse(&container.sas().permissions("r").sign()).unwrap();
    let client = Client::new(url, token, Options::default()).unwrap();
    let mut bytes = Vec::new();
    let blob = client.blob(name).unwrap();
    blob.reader().read_to_end(&mut bytes).unwrap();
    bytes
}

/// The blob is these bytes, and says so.
fn is_there(container: &Container, name: &str, bytes: &[u8], seen: &Seen) {
    assert!(container.read(name) == bytes, "{name}\n{seen}");
    let head = container.head(name);
    assert_eq!(head["x-ms-meta-sha256"], hex(bytes).as_str(), "{seen}");
}

#[test]
fn every_size_comes_and_goes() {
    let container = Azurite::shared().container();
    for size in [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 9 * BLOCK + 17] {
        let (name, bytes) = (format!("{size}.bin"), bytes(size));
        let put = put(&container.url(), &name, &container.token());
        let seen = put.arg("--raw").stdin(bytes.clone()).succeeds();
        let said = format!("{}/{name}\t{size}\t{}", container.url(), hex(&bytes));
        assert_eq!(seen.out(), said);
        is_there(&container, &name, &bytes, &seen);
        assert!(read(&container, &name) == bytes, "{size}");
    }
}

#[test]
fn killed_at_any_moment_nothing_is_visible_and_the_next_run_is_clean() {
    let container = Azurite::shared().container();
    let bytes = bytes(BLOCK + (1 << 20));
    let mut chance = Chance::new();
    let run = |name: &str| {
        put(&container.url(), name, &container.token())
            .arg("--raw")
            .stdin(bytes.clone())
    };
    let mut moments = Moments::of(|| drop(run("usual").succeeds()));
    let mut killed = 0;
    for round in 0..25 {
        let name = format!("{round}.bin");
        for signal in [Signal::KILL, *chance.of(&[Signal::KILL, Signal::TERM])] {
            let mut running = run(&name).spawn();
            moments.reach(&mut chance, &mut running);
            running.signal(signal);
            let seen = running.wait();
            killed += usize::from(!matches!(seen.code(), Some(0 | 4)));
            // It may have been killed right after the commit: then all of it is there.
            if container.names().contains(&name) {
                is_there(&container, &name, &bytes, &seen);
            }
        }
        let published = container.names().contains(&name);
        let seen = run(&name).fails(if published { 4 } else { 0 });
        is_there(&container, &name, &bytes, &seen);
    }
    assert!(killed >= 20, "{killed} of 50 were killed before their end");
}

#[test]
fn of_two_writers_at_once_one_wins_and_the_other_says_so() {
    let container = Azurite::shared().container();
    // With 'r' the name may be found taken at once, without it only at the commit.
    for (round, permissions) in ["cw", "rcw", "cw", "rcw"].into_iter().enumerate() {
        let name = format!("{round}.bin");
        let token = container.sas().permissions(permissions).sign();
        let streams = [bytes(BLOCK + 1 + round), bytes(BLOCK + 100 + round)];
        let running = streams.each_ref().map(|stream| {
            put(&container.url(), &name, &token)
                .arg("--raw")
                .stdin(stream.clone())
                .spawn()
        });
        let seen = running.map(e2e::Running::wait);
        let mut codes = seen.each_ref().map(Seen::code);
        let winner = usize::from(codes[1] == Some(0));
        is_there(&container, &name, &streams[winner], &seen[winner]);
        let loser = &seen[1 - winner];
        assert!(loser.stdout.is_empty(), "{loser}");
        loser.says(&name).says("hint: ");
        codes.sort_unstable();
        assert_eq!(codes, [Some(0), Some(4)], "{loser}");
    }
}

/// Each may be the last; nobody's blocks get into another's blob.
#[test]
fn of_two_overwriting_writers_at_once_the_last_one_s_is_whole() {
    let container = Azurite::shared().container();
    for round in 0..4 {
        let streams = [bytes(BLOCK + 1 + round), bytes(BLOCK + 100 + round)];
        let running = streams.each_ref().map(|stream| {
            put(&container.url(), "x.bin", &container.token())
                .args(["--raw", "--overwrite"])
                .stdin(stream.clone())
                .spawn()
        });
        let seen = running.map(e2e::Running::wait);
        let there = container.read("x.bin");
        let last = streams.iter().position(|stream| *stream == there);
        assert_eq!(seen[last.unwrap()].code(), Some(0), "{}", seen[0]);
        for seen in &seen {
            // The commit of the one discards the blocks of the other that are not committed yet.
            if seen.code() != Some(0) {
                assert_eq!(seen.code(), Some(4), "{seen}");
                seen.says("400 InvalidBlockList").says("run it again");
            }
        }
    }
}

#[test]
fn cut_connections_and_lost_answers_are_outlived() {
    let azurite = Azurite::shared();
    let container = azurite.container();
    let bytes = bytes(2 * BLOCK + 1);
    for permissions in ["rcw", "cw"] {
        for overwrite in [false, true] {
            let proxy = Proxy::to(azurite.port());
            proxy.cut("PUT", 2, 0);
            proxy.cut("PUT", 2, 100_000);
            proxy.lose("comp=block&", 1);
            // It is done, and nobody hears of it: is it ours that is there?
            proxy.lose("comp=blocklist", 2);
            let token = container.sas().permissions(permissions).sign();
            let name = format!("{permissions}-{overwrite}.bin");
            let mut put = put(&container.url_at(proxy.port()), &name, &token).arg("--raw");
            if overwrite {
                put = put.arg("--overwrite");
            }
            let seen = put.stdin(bytes.clone()).succeeds();
            assert_eq!((proxy.cuts_left(), proxy.losses_left()), (0, 0), "{seen}");
            is_there(&container, &name, &bytes, &seen);
        }
    }
}

#[test]
fn least_privilege_is_enough() {
    let container = Azurite::shared().container();
    let backup = backup();
    let token = |permissions: &str| container.sas().permissions(permissions).sign();
    let put = |permissions: &str| put(&container.url(), NAME, &token(permissions));
    put("rl").stdin(backup.clone()).fails(1).says("lacks 'c'");
    // A block needs 'w'.
    let seen = put("c").stdin(backup.clone()).fails(1);
    seen.says("'c' without 'w'");
    assert!(container.names().is_empty());
    let tagged = put("cwt").args(["--tag", "kind=nightly"]);
    let seen = tagged.stdin(backup.clone()).succeeds();
    is_there(&container, NAME, &backup, &seen);
    assert_eq!(container.head(NAME)["x-ms-tag-count"], "1", "{seen}");

    let now = ["--now", "2025-11-23T03:00:00Z"];
    let verify = ours("backup-verify", &container, "rl").args(now);
    assert!(verify.succeeds().out().contains("SHA-256 as recorded"));
    let restore = ours("restore-stream", &container, "rl").args(["--latest", "--", "cat"]);
    assert_eq!(restore.succeeds().out(), "select 1;");
    for day in 1..=9 {
        container.write(
            &format!("postgresql_backup_202511{day:02}_020000.sql.gz"),
            &backup,
        );
    }
    let prune = ours("blob-prune", &container, "dl").args(now);
    prune
        .args(["--keep-days", "7"])
        .succeeds()
        .says("7 backups deleted");
    assert_eq!(container.names().len(), 3);
}

#[test]
fn an_archived_backup_is_to_be_rehydrated_first() {
    let container = Azurite::shared().container();
    let put = put(&container.url(), NAME, &container.token());
    put.args(["--tier", "archive"]).stdin(backup()).succeeds();
    assert_eq!(container.head(NAME)["x-ms-access-tier"], "Archive");
    let blob = Program::new("restore-stream")
        .args([&format!("{}/{NAME}", container.url()), "--", "cat"])
        .env("AZURE_STORAGE_SAS_TOKEN", container.token());
    blob.fails(1).says("rehydrate it first");
    let latest = ours("restore-stream", &container, "rl").args(["--latest", "--", "cat"]);
    latest.fails(3).says("must be rehydrated first");
    let verify = ours("backup-verify", &container, "rl").args(["--now", "2025-11-23T03:00:00Z"]);
    verify.fails(1).says("rehydrate it first");
    // It may be deleted as it is.
    container.write("postgresql_backup_20251223_020000.sql.gz", &backup());
    let prune = ours("blob-prune", &container, "rdl").args(["--keep-days", "7", "--keep-min", "1"]);
    let seen = prune.args(["--now", "2025-12-23T03:00:00Z"]).succeeds();
    assert_eq!(container.names().len(), 1, "{seen}");
}

#[test]
fn what_a_lease_retains_is_no_failure() {
    let container = Azurite::shared().container();
    let backup = backup();
    for day in 1..=20 {
        container.write(
            &format!("postgresql_backup_202511{day:02}_020000.sql.gz"),
            &backup,
        );
    }
    let leased = "postgresql_backup_20251103_020000.sql.gz";
    container.lease(leased);
    let prune = ours("blob-prune", &container, "rdl").args(["--keep-days", "7"]);
    let seen = prune.args(["--now", "2025-11-20T03:00:00Z"]).succeeds();
    seen.says("12 backups deleted")
        .says("1 retained by policy, 7 kept");
    assert!(seen.out().contains("retained by lease"), "{seen}");
    assert!(container.names().contains(&leased.to_owned()));
    let put = put(&container.url(), leased, &container.token());
    let seen = put.arg("--overwrite").stdin(backup.clone()).fails(1);
    seen.says("412 LeaseIdMissing");
    assert!(container.read(leased) == backup);
}

/// The names of nightly backups, the newest first.
fn nights(count: i64) -> Vec<String> {
    let newest: DateTime<Utc> = "2025-11-23T02:00:00Z".parse().unwrap();
    let names = (0..count).map(|night| {
        let started = newest - TimeDelta::days(night);
        format!(
            "postgresql_backup_{}.sql.gz",
            started.format("%Y%m%d_%H%M%S")
        )
    });
    names.collect()
}

/// Prunes what is older than a week, and gives the decisions: all of them, and those of what was deleted.
fn prune(container: &Container) -> (usize, usize) {
    let prune = ours("blob-prune", container, "rdl").args(["--keep-days", "7", "--json"]);
    let seen = prune.args(["--now", "2025-11-23T03:00:00Z"]).succeeds();
    let json: serde_json::Value = serde_json::from_slice(&seen.stdout).unwrap();
    let decisions = json["backups"].as_array().unwrap();
    let went = decisions.iter().filter(|it| it["result"] == "deleted");
    (decisions.len(), went.count())
}

fn listed(container: &Container) -> Vec<String> {
    let list = ours("restore-stream", container, "rl").arg("--list");
    let lines = list.succeeds().out();
    let names = lines.lines().filter_map(|line| line.split(' ').next());
    names.map(str::to_owned).collect()
}

/// More than two pages of a listing: the service gives 5,000 names at a time.
#[test]
fn a_container_of_twelve_thousand_blobs() {
    // One of its own: the more blobs it holds, the longer a deletion takes.
    let azurite = Azurite::start();
    let container = azurite.container();
    let mut nights = nights(12);
    let strangers = (0..12_000).map(|number| format!("stranger-{number:05}"));
    container.fill(&strangers.collect::<Vec<_>>());
    let backup = backup();
    for name in &nights {
        container.write(name, &backup);
    }
    assert_eq!(prune(&container), (12, 5));
    nights.truncate(7);
    nights.reverse();
    assert_eq!(listed(&container), nights);
    // Names that come after the backups', and so on the last page, were not touched.
    assert_eq!(container.read("stranger-00000"), b"");
    assert_eq!(container.read("stranger-11999"), b"");
}

/// More than two batches of deletions. (Ten thousand: in the tests of `blob-prune`, as Azurite takes minutes.)
#[test]
fn a_backlog_of_two_years() {
    let container = Azurite::shared().container();
    let mut nights = nights(600);
    container.fill(&nights);
    let backup = backup();
    for name in &nights[..7] {
        container.write(name, &backup);
    }
    assert_eq!(prune(&container), (600, 593));
    nights.truncate(7);
    nights.reverse();
    assert_eq!(listed(&container), nights);
}
