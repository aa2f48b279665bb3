//! The scanner beside psql, on texts that nobody would write: what psql takes for a command, the scanner
//! does too, and nothing else.

use std::collections::{BTreeSet, HashMap};
use std::convert::Infallible;
use std::env;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Instant;

use dump_text::{Command as PsqlCommand, Piece, Scanner, command};
use e2e::soup::{Soup, soup};
use e2e::{Chance, Cluster, Scratch, Version, sample};

/// How many texts each psql reads, unless `E2E_TEXTS` says another number.
const TEXTS: usize = 4000;
/// How many it reads in one process.
const BATCH: usize = 1000;

/// From which version on all read numbers as the scanner does.
const ALIKE: u32 = 16;
const VERTICAL_TAB: u8 = 0x0b;

/// What of a text was carried out, or would be.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Read {
    /// The numbers of the probes that are commands.
    probes: BTreeSet<usize>,
    /// Up to where in the text this is known.
    until: usize,
    /// Whether that is because of what versions read differently.
    ambiguous: bool,
}

/// What the scanner makes of a text, up to a command at which a restore would stop.
fn scan(text: &[u8], mut scanner: Scanner) -> Read {
    let mut read = Read {
        probes: BTreeSet::new(),
        until: text.len(),
        ambiguous: false,
    };
    let mut at = 0;
    let mut sink = |piece: Piece<'_>| {
        let stops = match piece {
            Piece::Command(line) => match probe(line) {
                Some(number) => {
                    if read.until == text.len() {
                        read.probes.insert(number);
                    }
                    false
                }
                None => matches!(command(line), PsqlCommand::Other(_)),
            },
            Piece::Ambiguous(_) => true,
            _ => false,
        };
        if stops && read.until == text.len() {
            read.until = at;
            read.ambiguous = matches!(piece, Piece::Ambiguous(_));
        }
        at += piece.bytes().len();
        Ok::<(), Infallible>(())
    };
    let Ok(()) = scanner.feed(text, &mut sink);
    let Ok(_) = scanner.finish(&mut sink);
    read
}

/// The number of a probe that is a whole command.
fn probe(line: &[u8]) -> Option<usize> {
    let line = std::str::from_utf8(line).ok()?;
    line.strip_prefix("\\echo @")?
        .strip_suffix("@\n")?
        .parse()
        .ok()
}

/// Where in a text its probes stand, by their numbers.
fn places(text: &[u8]) -> HashMap<usize, usize> {
    let number = |at: usize| {
        let line = text[at..].split_inclusive(|byte| *byte == b'\n').next()?;
        Some((probe(line)?, at))
    };
    (0..text.len()).filter_map(number).collect()
}

/// A server, and the psqls that read texts.
struct Reader {
    cluster: Cluster,
    scratch: Scratch,
}

impl Reader {
    fn start(versions: &[Version]) -> Self {
        let quiet = "log_min_messages = panic\nlog_min_error_statement = panic\n";
        let cluster = Cluster::with(Version::debian(), &[], quiet);
        cluster.sql(
            "postgres",
            "create table t (x text); create table \"from\" (x text);
             create table stdin (x text);
             create function nothing() returns trigger language plpgsql as 'begin return null; end';",
        );
        for version in versions {
            cluster.sql("postgres", &format!("create database {}", other(version)));
        }
        // What is in them is not shown by a COPY to standard output.
        for table in ["t", "\"from\""] {
            let empty = format!(
                "create trigger empty before insert on {table} for each row execute function nothing()"
            );
            cluster.sql("postgres", &empty);
        }
        Self {
            cluster,
            scratch: Scratch::new(),
        }
    }

    /// The probes of each text that a psql carries out.
    fn carried_out(&self, psql: &Version, texts: &[Soup]) -> Vec<BTreeSet<usize>> {
        let mut script = String::from("\\set ON_ERROR_ROLLBACK on\n\\set VERBOSITY terse\n");
        let other = other(psql);
        let dir = self.scratch.make(&other);
        for (at, soup) in texts.iter().enumerate() {
            let file = dir.join(at.to_string());
            fs::write(&file, &soup.text).expect("a text");
            // Read when its line is: the script goes on whatever happens in the text.
            let stop = i32::from(soup.strict);
            let _ = writeln!(
                script,
                "\\echo ={at}=\n\\set ON_ERROR_STOP {stop} \\i {}",
                file.display()
            );
            script.push_str("\\set ON_ERROR_STOP 0\nrollback\\; reset all;\n");
            if soup.text.windows(9).any(|it| it == b"\\connect ") {
                let _ = writeln!(
                    script,
                    "\\connect postgres\nalter database {other} reset all;"
                );
            }
        }
        let out = self
            .psql(psql)
            .arg("-f")
            .arg(self.scratch.write(format!("{other}.sql"), script))
            .output();
        let out = out.expect("psql");
        let mut carried_out = vec![BTreeSet::new(); texts.len()];
        let mut at = 0;
        let mut ran = 0;
        for line in out.stdout.split(|byte| *byte == b'\n') {
            let number = |mark: u8| {
                let inner = line.strip_prefix(&[mark])?.strip_suffix(&[mark])?;
                std::str::from_utf8(inner).ok()?.parse::<usize>().ok()
            };
            if let Some(text) = number(b'=') {
                at = text;
                ran += 1;
            } else if let Some(probe) = number(b'@') {
                carried_out[at].insert(probe);
            }
        }
        let said = String::from_utf8_lossy(&out.stderr);
        let last = said.lines().rev().take(9).collect::<Vec<_>>().join("\n");
        let text = texts[at].text.escape_ascii();
        assert_eq!(ran, texts.len(), "{psql}: {}\n{text}\n{last}", out.status);
        carried_out
    }

    fn psql(&self, version: &Version) -> Command {
        let mut command = Command::new(version.bin().join("psql"));
        let none = OsString::from("true");
        command
            .args(["-XqAt"])
            .envs(self.cluster.env())
            .envs([
                ("EDITOR", &none),
                ("VISUAL", &none),
                ("PSQL_EDITOR", &none),
                ("SHELL", &none),
            ])
            .current_dir(self.scratch.path())
            .stdin(Stdio::null());
        command
    }

    /// What psql reads otherwise than the scanner.
    fn differences(&self, psql: &Version, texts: &[Soup]) -> Vec<(Soup, String)> {
        if texts.is_empty() {
            return Vec::new();
        }
        let carried_out = self.carried_out(psql, texts).into_iter();
        let pairs = texts.iter().zip(carried_out);
        pairs
            .filter_map(|(soup, seen)| Some((soup.clone(), difference(psql, soup, &seen)?)))
            .collect()
    }

    /// The shortest text with a difference that is left of one when parts of it are left out.
    fn shortest(&self, psql: &Version, soup: &Soup) -> Vec<u8> {
        let mut text = soup.text.clone();
        let mut step = text.len() / 2;
        while step > 0 {
            let shorter: Vec<Soup> = (0..text.len())
                .step_by(step)
                .map(|at| Soup {
                    text: [&text[..at], &text[(at + step).min(text.len())..]].concat(),
                    strict: soup.strict,
                })
                .filter(|soup| soup.text.ends_with(b"@\n"))
                .collect();
            match self.differences(psql, &shorter).into_iter().next() {
                Some((shorter, _)) => text = shorter.text,
                None => step /= 2,
            }
        }
        text
    }
}

/// Says in what psql and the scanner differ on a text.
fn difference(psql: &Version, soup: &Soup, carried_out: &BTreeSet<usize>) -> Option<String> {
    let text = &soup.text;
    let places = places(text);
    let differs = |read: &Read| {
        let known: BTreeSet<usize> = carried_out
            .iter()
            .copied()
            .filter(|probe| places.get(probe).is_some_and(|place| *place < read.until))
            .collect();
        // One that stops at an error does not get to what it would carry out.
        let same = match soup.strict {
            true => known.is_subset(&read.probes),
            false => known == read.probes,
        };
        (!same).then(|| format!("psql: {known:?}, scanner: {:?}", read.probes))
    };
    let wary = scan(text, Scanner::reporting_ambiguity());
    if let Some(said) = differs(&wary) {
        return Some(format!("wary: {said}"));
    }
    let read = scan(text, Scanner::new());
    differs(&read).filter(|_| !(wary.ambiguous && may_differ(psql, text)))
}

/// Whether versions read a text otherwise, each in its way. psql 16 is the first for which a vertical tab is white space,
/// but not yet between the parts of a string.
fn may_differ(psql: &Version, text: &[u8]) -> bool {
    psql.major() < ALIKE || psql.major() == ALIKE && text.contains(&VERTICAL_TAB)
}

/// The database that the texts for a psql change the settings of.
fn other(psql: &Version) -> String {
    format!("other{}", psql.major())
}

/// What this many texts are read differently in by a psql and the scanner.
fn look(reader: &Reader, psql: &Version, texts: usize, chance: &mut Chance) -> String {
    let started = Instant::now();
    let other = other(psql);
    let mut found = String::new();
    let mut left = texts;
    let mut probes = 0;
    while left > 0 && found.len() < 5000 {
        let batch: Vec<Soup> = (0..left.min(BATCH)).map(|_| soup(chance, &other)).collect();
        left -= batch.len();
        let commands = batch
            .iter()
            .map(|it| scan(&it.text, Scanner::new()).probes.len());
        probes += commands.sum::<usize>();
        for (soup, said) in reader.differences(psql, &batch) {
            // Parts of commands would be others.
            let short = match soup.strict {
                true => soup.text.clone(),
                false => reader.shortest(psql, &soup),
            };
            let (text, short) = (soup.text.escape_ascii(), short.escape_ascii());
            let _ = writeln!(found, "{psql}: {said}\n  {text}\n  {short}");
        }
    }
    let time = started.elapsed();
    println!("{psql}: {texts} texts, {probes} commands, {time:.1?}");
    found
}

#[test]
fn psql_carries_out_what_the_scanner_takes_for_commands() {
    let given = env::var("E2E_TEXTS")
        .ok()
        .and_then(|number| number.parse().ok());
    let texts: usize = given.unwrap_or(TEXTS);
    let mut chance = Chance::new();
    let versions = Version::installed();
    assert!(versions.len() > 1, "several psqls: run scripts/setup");
    let reader = Reader::start(&versions);
    let found: Vec<String> = thread::scope(|scope| {
        let looks: Vec<_> = versions
            .iter()
            .map(|psql| {
                let mut chance = Chance::seeded(chance.below(usize::MAX) as u64);
                let reader = &reader;
                scope.spawn(move || look(reader, psql, texts, &mut chance))
            })
            .collect();
        looks
            .into_iter()
            .map(|look| look.join().expect("no panic"))
            .collect()
    });
    let found = found.concat();
    assert!(found.is_empty(), "psql reads otherwise:\n{found}");
}

#[test]
fn what_the_dump_programs_write_can_be_read_in_one_way_only() {
    let cluster = Cluster::start();
    sample::company(&cluster);
    sample::odd(&cluster);
    for args in [
        &[][..],
        &["--inserts"],
        &["--quote-all-identifiers", "--clean", "--if-exists"],
    ] {
        let dump = cluster.dump_all(args);
        let mut kept = Vec::new();
        for mut scanner in [Scanner::new(), Scanner::reporting_ambiguity()] {
            let mut pieces = Vec::new();
            let mut sink = |piece: Piece<'_>| {
                let text = String::from_utf8_lossy(piece.bytes()).into_owned();
                match piece {
                    Piece::Statement(_) => assert!(text.ends_with(';'), "cut: {text}"),
                    Piece::Command(line) => {
                        let other = matches!(command(line), PsqlCommand::Other(_));
                        assert!(!other, "a command: {text}");
                    }
                    Piece::Ambiguous(_) => panic!("ambiguous: {text}"),
                    _ => {}
                }
                pieces.push(text);
                Ok::<(), Infallible>(())
            };
            let Ok(()) = scanner.feed(&dump, &mut sink);
            let Ok(ended) = scanner.finish(&mut sink);
            assert_eq!(ended, Ok(()), "{args:?}");
            kept.push(pieces);
        }
        println!("{args:?}: {} bytes, {} pieces", dump.len(), kept[0].len());
        assert_eq!(kept[0], kept[1], "{args:?}");
    }
}
