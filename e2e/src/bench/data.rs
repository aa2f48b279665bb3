//! The data: a cluster of two databases, its dump, and the dump compressed by us and by gzip.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::Stdio;

use crate::{Chance, Cluster, Scratch};

/// About what one unit of pgbench's scale is in a dump, in megabytes.
const PGBENCH_SCALE: u32 = 10;

/// The dump, as text.
pub(crate) const PLAIN: &str = "plain.sql";
/// The dump, a backup of ours.
pub(crate) const OURS: &str = "ours.sql.gz";
/// The dump, compressed by gzip.
pub(crate) const FOREIGN: &str = "gzip.sql.gz";

/// A cluster and its dump. All is gone when this is dropped.
pub(crate) struct Data {
    /// The cluster that is dumped.
    pub(crate) cluster: Cluster,
    /// The directory in which the command lines run; the dumps are in it.
    pub(crate) scratch: Scratch,
}

impl Data {
    /// Makes a cluster whose dump has about so many megabytes.
    ///
    /// # Panics
    /// When that fails.
    pub(crate) fn make(megabytes: u32) -> Self {
        let data = Self {
            cluster: Cluster::start(),
            scratch: Scratch::new(),
        };
        data.easy(megabytes / 2);
        data.hard(megabytes / 2);
        for line in [
            format!("pg_dumpall > {PLAIN}"),
            format!("pgdump-gz > {OURS}"),
            format!("gzip < {PLAIN} > {FOREIGN}"),
        ] {
            super::measure::Line::parse(&line).run(&data.cluster, data.path(), None, &[]);
        }
        data
    }

    /// The tables of pgbench: numbers and blanks.
    fn easy(&self, megabytes: u32) {
        self.cluster.sql("postgres", "create database easy");
        let scale = (megabytes / PGBENCH_SCALE).max(1);
        let made = self
            .cluster
            .command("pgbench")
            .args(["--initialize", "--quiet", "--scale", &scale.to_string()])
            .arg("easy")
            .output()
            .expect("pgbench");
        let said = String::from_utf8_lossy(&made.stderr);
        assert!(made.status.success(), "pgbench: {}\n{said}", made.status);
    }

    /// A third words, a third digests, a third JSON; the same in every run.
    fn hard(&self, megabytes: u32) {
        self.cluster.sql("postgres", "create database hard");
        let words = self.cluster.sql("hard", VOCABULARY);
        let mut writer = Writer {
            words: words.lines().collect(),
            chance: Chance::seeded(7),
        };
        let third = megabytes as usize * 1_000_000 / 3;
        self.copy("notes (id int, note text)", third, |id| {
            format!("{id}\t{}\n", writer.words(24))
        });
        self.copy("digests (id int, sha256 text, owner uuid)", third, |id| {
            format!("{id}\t{}\t{}\n", writer.hex(64), writer.hex(32))
        });
        self.copy("events (id int, event jsonb)", third, |id| {
            format!("{id}\t{}\n", writer.event(id))
        });
        // The first to read new rows writes a note to each: that is nobody's cost here.
        self.cluster.sql("hard", "vacuum (freeze, analyze)");
    }

    /// Makes a table, and fills it with rows until so many bytes were given.
    fn copy(&self, table: &str, bytes: usize, mut row: impl FnMut(usize) -> String) {
        let name = table.split(' ').next().unwrap_or_default();
        self.cluster.sql("hard", &format!("create table {table}"));
        let mut psql = self
            .cluster
            .psql("hard")
            .args(["-c", &format!("copy {name} from stdin")])
            .stdin(Stdio::piped())
            .spawn()
            .expect("psql");
        let mut rows = BufWriter::with_capacity(1 << 16, psql.stdin.take().expect("a pipe"));
        let (mut given, mut id) = (0, 0);
        while given < bytes {
            id += 1;
            let row = row(id);
            given += row.len();
            rows.write_all(row.as_bytes()).expect("psql reads");
        }
        drop(rows.into_inner().expect("psql reads"));
        let status = psql.wait().expect("psql");
        assert!(status.success(), "copy {name}: {status}");
        let key = format!("alter table {name} add primary key (id)");
        self.cluster.sql("hard", &key);
    }

    /// The directory in which the command lines run.
    pub(crate) fn path(&self) -> &Path {
        self.scratch.path()
    }

    /// What there is, in words.
    pub(crate) fn description(&self) -> String {
        let size =
            |name| fs::metadata(self.scratch.join(name)).map_or(0, |it| it.len()) / 1_000_000;
        format!(
            "{PLAIN}: {} MB, as pg_dumpall of {} writes it; {OURS}: {} MB; {FOREIGN}: {} MB",
            size(PLAIN),
            self.cluster.version(),
            size(OURS),
            size(FOREIGN),
        )
    }
}

/// The words of PostgreSQL's own descriptions: English, and a few thousand.
const VOCABULARY: &str = r#"
    select word from (
        select distinct regexp_split_to_table(description, '\W+') as word from pg_description
    ) as words
    where word <> '' order by word collate "C""#;

/// Writes what is hard to compress.
struct Writer<'a> {
    words: Vec<&'a str>,
    chance: Chance,
}

impl Writer<'_> {
    /// So many words; some are far more frequent than others, as in any language.
    fn words(&mut self, count: usize) -> String {
        let mut text = String::with_capacity(count * 8);
        for at in 0..count {
            let bound = self.chance.below(self.words.len()) + 1;
            let bound = self.chance.below(bound) + 1;
            text.push_str(if at > 0 { " " } else { "" });
            text.push_str(self.words[self.chance.below(bound)]);
        }
        text
    }

    /// So many digits.
    fn hex(&mut self, digits: usize) -> String {
        let mut text = String::with_capacity(digits + 8);
        while text.len() < digits {
            let _ = write!(text, "{:08x}", self.chance.below(1 << 32));
        }
        text.truncate(digits);
        text
    }

    fn event(&mut self, id: usize) -> String {
        let at = 1_735_689_600 + id * 7 + self.chance.below(7);
        let user = self.chance.below(50_000);
        let (euros, cents) = (self.chance.below(1000), self.chance.below(100));
        format!(
            r#"{{"at": {at}, "user": {{"id": {user}, "name": "{}"}}, "amount": {euros}.{cents:02}, "session": "{}", "tags": ["{}", "{}"], "ok": {}}}"#,
            self.words(2),
            self.hex(24),
            self.words(1),
            self.words(1),
            self.chance.below(100) < 97,
        )
    }
}
