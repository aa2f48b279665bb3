//! Dumps that did not come as they were written: through a terminal, after a greeting, with a byte order mark, in
//! UTF-16. A whole one is restored as psql restores it, and what is odd is said; one that psql cannot read, or that
//! was cut, is good nowhere.

use std::fs;
use std::path::{Path, PathBuf};

use e2e::{Azurite, Cluster, Program, Scratch, Seen, compare, sample, scratch};

const NAME: &str = "postgresql_backup_20240229_235959.sql.gz";

const SHOP: &str = r#"
create database shop;
\connect shop
create table orders as select i, 'order ' || i as what from generate_series(1, 200) i;
create table notes (id integer, note text);
insert into notes values (1, E'one\ntwo'), (2, E'tab\there'), (3, null);
create function lines() returns text language sql as $$ select
'one'
$$;
"#;

fn shop() -> Cluster {
    let cluster = Cluster::start();
    sample::load(&cluster, SHOP);
    cluster
}

const GREETING: &str = "Defaulted container \"postgres\" out of: postgres, exporter\n";
const CRLF: &str = "end in CRLF";
const LEFT_OUT: &str = "are left out";

/// What a dump may go through on its way.
#[derive(Debug, Clone, Copy)]
enum Way {
    /// `kubectl exec -t`
    Terminal,
    Greeting,
    /// A terminal of a shell that greets, and says what it does with escape sequences.
    Shell,
    /// PowerShell 5's `Out-File -Encoding utf8`
    Marked,
    /// All of it.
    Mixed,
    /// PowerShell's `>`
    Utf16,
    Utf16BigEndian,
}

impl Way {
    const READABLE: [Self; 5] = [
        Self::Terminal,
        Self::Greeting,
        Self::Shell,
        Self::Marked,
        Self::Mixed,
    ];
    const UNREADABLE: [Self; 2] = [Self::Utf16, Self::Utf16BigEndian];

    fn of(self, dump: &[u8]) -> Vec<u8> {
        let text = String::from_utf8_lossy(dump).into_owned();
        let crlf = |text: &str| text.replace('\n', "\r\n");
        let units = |text: &str| text.encode_utf16().collect::<Vec<u16>>();
        match self {
            Self::Terminal => crlf(&text).into_bytes(),
            Self::Greeting => [GREETING.as_bytes(), dump].concat(),
            Self::Shell => {
                let before = "Welcome to db1!\nLast login: Mon; have fun;\n\n\x1b[?2004l\r";
                crlf(&format!("{before}{text}")).into_bytes()
            }
            Self::Marked => format!("\u{feff}{text}").into_bytes(),
            Self::Mixed => crlf(&format!("\u{feff}{GREETING}{text}")).into_bytes(),
            Self::Utf16 => {
                let units = units(&format!("\u{feff}{}", crlf(&text)));
                units.into_iter().flat_map(u16::to_le_bytes).collect()
            }
            Self::Utf16BigEndian => {
                let units = units(&text);
                units.into_iter().flat_map(u16::to_be_bytes).collect()
            }
        }
    }

    /// What is said of a whole one, and what is not.
    fn said(self, seen: &Seen) {
        let text = seen.err();
        let crlf = matches!(self, Self::Terminal | Self::Shell | Self::Mixed);
        let greeting = matches!(self, Self::Greeting | Self::Shell | Self::Mixed);
        assert_eq!(text.contains(CRLF), crlf, "{self:?}\n{seen}");
        assert_eq!(text.contains(LEFT_OUT), greeting, "{self:?}\n{seen}");
        // A greeting may hold a password.
        seen.hides("Defaulted").hides("Welcome");
    }
}

/// That a result is on standard output.
#[track_caller]
fn prints(seen: &Seen, words: &str) {
    assert!(seen.out().contains(words), "{words}\n{seen}");
}

fn gzip(text: &[u8], dir: &Scratch) -> PathBuf {
    compressed("gzip", text, dir)
}

fn compressed(program: &str, text: &[u8], dir: &Scratch) -> PathBuf {
    let path = dir.join(NAME);
    Program::sh(program)
        .stdin(text)
        .stdout_file(&path)
        .succeeds();
    path
}

fn restore(path: &Path) -> Program {
    Program::new("restore-stream").arg(path)
}

/// The text by way of `pgdump-gz -- COMMAND`, into the directory `store`.
fn wrapped(text: &[u8], store: &Path) -> Program {
    Program::new("pgdump-gz")
        .arg("--dir")
        .arg(store)
        .args(["--", "cat"])
        .stdin(text)
}

/// The one backup in a directory.
fn published(store: &Path) -> PathBuf {
    let names = scratch::names(store);
    let name = names.into_iter().find(|name| name.ends_with(".sql.gz"));
    store.join(name.unwrap())
}

/// What psql makes of a text.
fn by_psql(text: &[u8], dir: &Scratch) -> Cluster {
    let cluster = Cluster::start();
    let file = dir.write("text.sql", text);
    // What is there already is an error, and psql goes on.
    Program::sh("psql -qX -d postgres")
        .on(&cluster)
        .stdin_file(file)
        .succeeds();
    cluster
}

#[test]
fn a_whole_cluster_is_restored_as_psql_restores_it() {
    let first = shop();
    let dump = first.dump_all::<&str>(&[]);
    let dir = Scratch::new();
    let crlf = by_psql(&Way::Terminal.of(&dump), &dir).dump_one("shop");
    // That it has something to warn of.
    assert!(compare::difference(&crlf, &first.dump_one("shop")).is_some());
    for way in Way::READABLE {
        println!("{way:?}");
        let path = gzip(&way.of(&dump), &dir);
        let seen = Program::new("backup-verify").arg(&path).succeeds();
        way.said(&seen);
        let is_odd = !matches!(way, Way::Marked);
        assert_eq!(seen.out().starts_with("warning"), is_odd, "{seen}");
        let list = restore(&path).arg("--list").succeeds();
        way.said(&list);
        for line in ["203 rows  shop", "0 rows  postgres", "0 rows  template1"] {
            prints(&list, line);
        }
        let second = Cluster::start();
        way.said(&restore(&path).on(&second).succeeds());
        way.said(
            &restore(&path)
                .args(["--database", "shop", "--as", "other"])
                .on(&second)
                .succeeds(),
        );
        let wanted = match way {
            Way::Terminal | Way::Shell | Way::Mixed => crlf.clone(),
            _ => first.dump_one("shop"),
        };
        for name in ["shop", "other"] {
            compare::same_text(("psql", &wanted), (name, &second.dump_one(name)));
        }
    }
}

#[test]
fn a_whole_dump_of_one_database_gets_the_name_that_is_said() {
    let first = shop();
    let dump = first.dump_one("shop");
    let dir = Scratch::new();
    let second = Cluster::start();
    for (way, name) in Way::READABLE.into_iter().zip(["a", "b", "c", "d", "e"]) {
        let path = gzip(&way.of(&dump), &dir);
        way.said(
            &restore(&path)
                .args(["--database", name])
                .on(&second)
                .succeeds(),
        );
        assert_eq!(second.sql(name, "select count(*) from orders"), "200");
        assert_eq!(second.sql(name, "select count(*) from notes"), "3");
    }
}

#[test]
fn a_command_is_fed_the_dump_and_nothing_before_it() {
    let dump = shop().dump_all::<&str>(&[]);
    let dir = Scratch::new();
    for way in Way::READABLE {
        let text = way.of(&dump);
        let path = gzip(&text, &dir);
        let seen = restore(&path).args(["--", "cat"]).succeeds();
        way.said(&seen);
        let from = text.len() - seen.stdout.len();
        compare::same_text(("fed", &seen.stdout), ("the dump", &text[from..]));
        assert!(seen.out().starts_with("--"), "{way:?}");
        let part = restore(&path)
            .args(["--database", "shop", "--", "cat"])
            .succeeds();
        let crlf = matches!(way, Way::Terminal | Way::Shell | Way::Mixed);
        let heading = "--\n-- Database \"shop\" dump\n--\n";
        let heading = match crlf {
            true => heading.replace('\n', "\r\n"),
            false => heading.to_owned(),
        };
        let out = String::from_utf8_lossy(&part.stdout);
        assert!(out.starts_with(&heading), "{way:?}: {}", &out[..80]);
    }
}

#[test]
fn a_whole_one_is_published_as_it_came() {
    let first = shop();
    let dump = first.dump_all::<&str>(&[]);
    for way in Way::READABLE {
        println!("{way:?}");
        let dir = Scratch::new();
        let store = dir.make("store");
        let text = way.of(&dump);
        let seen = wrapped(&text, &store).succeeds();
        way.said(&seen);
        // Its parts are not what pg_dumpall wrote: there is no index that says where they are.
        seen.says("without an index");
        let path = published(&store);
        let plain = Program::sh("gunzip -c \"$BACKUP\"")
            .env("BACKUP", &path)
            .succeeds();
        compare::same_text(("text", &text), ("published", &plain.stdout));
        way.said(&Program::new("backup-verify").arg(&path).succeeds());
        let second = Cluster::start();
        way.said(
            &restore(&store)
                .args(["--latest", "--verify-first", "--database", "shop"])
                .on(&second)
                .succeeds(),
        );
        assert_eq!(second.sql("shop", "select count(*) from orders"), "200");
    }
}

#[test]
fn the_restore_test_reads_it_too() {
    let dump = shop().dump_all::<&str>(&[]);
    let dir = Scratch::new();
    for way in [Way::Mixed, Way::Shell] {
        let path = gzip(&way.of(&dump), &dir);
        let seen = Program::new("backup-verify")
            .arg(&path)
            .args(["--restore-test", "--max-used=100%"])
            .succeeds();
        prints(&seen, "'shop'  tables: 2");
        // Its roles were found too.
        assert!(
            !seen.out().contains("owners and privileges left out"),
            "{seen}"
        );
        way.said(&seen);
    }
}

#[test]
fn one_that_psql_cannot_read_is_good_nowhere() {
    let first = shop();
    let dir = Scratch::new();
    let second = Cluster::start();
    for dump in [first.dump_all::<&str>(&[]), first.dump_one("shop")] {
        for way in Way::UNREADABLE {
            println!("{way:?}");
            let text = way.of(&dump);
            let path = gzip(&text, &dir);
            let why = "is in UTF-16, which psql cannot read";
            let verify = Program::new("backup-verify").arg(&path).fails(3);
            verify.says(why).says("--file");
            for args in [
                &["--list"][..],
                &[],
                &["--database", "shop"],
                &["--database", "shop", "--verify-first"],
                &["--", "cat"],
            ] {
                let seen = restore(&path).args(args).on(&second).fails(3);
                seen.says(why).says("--file");
                assert!(seen.stdout.is_empty(), "{seen}");
            }
            let store = dir.make("store");
            wrapped(&text, &store).fails(1).says(why).says("--file");
            assert_eq!(scratch::names(&store), [""; 0]);
        }
    }
    assert_eq!(second.databases(), ["postgres"]);
}

#[test]
fn a_terminal_in_a_terminal_makes_other_rows() {
    let dump = shop().dump_all::<&str>(&[]);
    let text = String::from_utf8_lossy(&dump).replace('\n', "\r\r\n");
    let dir = Scratch::new();
    let path = gzip(text.as_bytes(), &dir);
    let second = Cluster::start();
    for seen in [
        Program::new("backup-verify").arg(&path).fails(3),
        restore(&path).arg("--list").fails(3),
        restore(&path).on(&second).fails(3),
        wrapped(text.as_bytes(), &dir.make("store")).fails(1),
    ] {
        seen.says("carriage returns").says("without -t");
    }
    assert_eq!(second.databases(), ["postgres"]);
}

/// Where a dump is cut: in its first lines, in its roles or settings, in rows, before and in its closing lines.
fn cuts(dump: &[u8]) -> [usize; 6] {
    let end = dump.trim_ascii_end().len();
    [45, 200, dump.len() / 2, end - 40, end - 20, end - 4]
}

#[test]
fn a_cut_one_is_good_nowhere() {
    let first = shop();
    let second = Cluster::start();
    let dir = Scratch::new();
    let store = dir.make("store");
    for dump in [first.dump_all::<&str>(&[]), first.dump_one("shop")] {
        for way in Way::READABLE.into_iter().chain(Way::UNREADABLE) {
            for at in cuts(&dump) {
                println!("{way:?}, {at} of {}", dump.len());
                let text = way.of(&dump[..at]);
                wrapped(&text, &store).fails(1).says("is not whole");
                assert_eq!(scratch::names(&store), [""; 0]);
                let path = gzip(&text, &dir);
                Program::new("backup-verify")
                    .arg(&path)
                    .fails(3)
                    .says("is not good");
                let shop = ["--database", "shop"];
                for args in [&["--list"][..], &shop, &["--", "cat"]] {
                    let seen = restore(&path).args(args).on(&second).run();
                    assert_eq!(seen.code(), Some(3), "{seen}");
                }
                restore(&path)
                    .args(["--verify-first", "--database", "shop"])
                    .on(&second)
                    .fails(3)
                    .says("is not good");
            }
        }
    }
    assert_eq!(second.databases(), ["postgres"]);
}

#[test]
fn a_marker_does_not_make_a_cut_one_whole() {
    // bgzip writes it whatever it is given, and so did earlier releases after a dump that they did not know for one.
    let first = shop();
    let dump = first.dump_all::<&str>(&[]);
    let dir = Scratch::new();
    let old = "postgresql_backup_20240101_000000.sql.gz";
    let good = compressed("bgzip", &dump, &dir);
    let container = Azurite::shared().container();
    let put = |path: &Path| {
        Program::new("blob-put")
            .arg(path)
            .arg(format!("{}/", container.url()))
            .env("AZURE_STORAGE_SAS_TOKEN", container.token())
    };
    put(&good).succeeds();
    let store = dir.make("store");
    fs::copy(&good, store.join(old)).unwrap();
    for way in Way::READABLE {
        println!("{way:?}");
        let text = way.of(&dump[..dump.len() - 30]);
        let cut = compressed("bgzip", &text, &dir);
        put(&cut).arg("--overwrite").fails(3).says("closing line");
        Program::new("blob-put")
            .arg(&cut)
            .arg(dir.make("elsewhere"))
            .fails(3)
            .says("nothing was published");
        // One that is in a store counts for nothing, and is passed over.
        fs::copy(&cut, store.join(NAME)).unwrap();
        let list = restore(&store).arg("--list").succeeds();
        prints(&list, "not good: it is incomplete");
        let seen = Program::new("blob-prune")
            .arg(&store)
            .args(["--keep-days", "1", "--keep-min", "1"])
            .args(["--even-if-stale", "--dry-run"])
            .succeeds();
        let kept = seen.out();
        let kept = kept.lines().find(|line| line.contains(old));
        assert!(kept.is_some_and(|line| line.contains("keep")), "{seen}");
        restore(&store)
            .args(["--latest", "--list"])
            .succeeds()
            .says("passed over");
    }
    assert_eq!(container.names(), [NAME]);
}

#[test]
fn what_follows_a_dump_is_not_passed_over() {
    let dump = shop().dump_all::<&str>(&[]);
    let dir = Scratch::new();
    let store = dir.make("store");
    for after in ["exit\n", "logout\r\n", "postgres@db1:~$ ", "\u{1a}"] {
        let text = [&dump, after.as_bytes()].concat();
        let path = gzip(&text, &dir);
        let why = "other text follows its dump's closing line";
        wrapped(&text, &store).fails(1).says(why);
        Program::new("backup-verify").arg(&path).fails(3).says(why);
        restore(&path).arg("--list").fails(3).says(why);
    }
    assert_eq!(scratch::names(&store), [""; 0]);
    for after in ["\r\n\r\n", "\n-- made by the nightly job\n"] {
        let path = gzip(&[&dump, after.as_bytes()].concat(), &dir);
        Program::new("backup-verify").arg(&path).succeeds();
    }
}

#[test]
fn comments_and_settings_before_a_dump_are_its_own() {
    let first = shop();
    let cluster = first.dump_all::<&str>(&[]);
    let one = [
        b"CREATE DATABASE mine;\n\\connect mine\n\n".to_vec(),
        first.dump_one("shop"),
        b"RESET ALL;\n".to_vec(),
    ]
    .concat();
    let dir = Scratch::new();
    for (before, dump, database) in [
        ("-- made by the nightly job\n\n", &cluster, "shop"),
        ("SET client_min_messages = warning;\n", &cluster, "shop"),
        ("-- by hand\r\n", &one, "mine"),
    ] {
        let text = [before.as_bytes(), dump].concat();
        let path = gzip(&text, &dir);
        let seen = Program::new("backup-verify").arg(&path).succeeds();
        prints(&seen, "only its dump's last line says");
        seen.hides(LEFT_OUT);
        let fed = restore(&path).args(["--", "cat"]).succeeds();
        compare::same_text(("fed", &fed.stdout), ("text", &text));
        let second = Cluster::start();
        restore(&path).on(&second).succeeds();
        assert_eq!(second.sql(database, "select count(*) from orders"), "200");
        // Cut, it was passed as a text that is no dump.
        let path = gzip(&text[..text.len() - 100], &dir);
        Program::new("backup-verify").arg(&path).fails(3);
    }
}

#[test]
fn other_data_is_taken_as_it_is() {
    let dir = Scratch::new();
    let sql = dir.make("sql");
    let dump = shop().dump_all::<&str>(&[]);
    fs::write(sql.join("cut.sql"), &dump[..3000]).unwrap();
    let sources = concat!(env!("CARGO_MANIFEST_DIR"), "/../lib/dump-text/src");
    let here = sql.display().to_string();
    for command in [
        &["tar", "-cC", &here, "."][..],
        &["tar", "-c", "-C", sources, "completion.rs"],
        &[
            "cat",
            concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/format.md"),
        ],
        &["sh", "-c", "cat \"$0\"/*.rs", sources],
        &["sh", "-c", "gzip -c \"$0\"/cut.sql", &here],
        &["printf", "-- PostgreSQL database dump\n"],
        &["printf", "PGDMP and so on\n"],
    ] {
        let store = dir.make("store");
        Program::new("pgdump-gz")
            .arg("--dir")
            .arg(&store)
            .arg("--")
            .args(command)
            .succeeds();
        let path = published(&store);
        Program::new("backup-verify").arg(&path).succeeds();
        let wanted = Program::other(command[0]).args(&command[1..]).succeeds();
        let fed = restore(&path).args(["--", "cat"]).succeeds();
        compare::same_text(("fed", &fed.stdout), ("written", &wanted.stdout));
        fs::remove_dir_all(&store).unwrap();
    }
}
