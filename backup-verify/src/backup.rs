//! One backup, read through.

use std::io::{self, Read};
use std::sync::Arc;
use std::time::Instant;

use backup_file::{BackupName, Ending, Index, Reader, Report, SectionKind, Tail, read_tail};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use job::text::{bytes, count};
use job::{Error, Progress};
use pg_text::PgText;
use serde::Serialize;
use store::{Backup, DigestCheck, Source, Store, hex};

use crate::checks::size::Databases;
use crate::report::{Finding, Grade};
use dump_text::{Text, Watch};

/// A stream gets its name when its first bytes come, not when its dump was started.
const NAME_TOLERANCE: TimeDelta = TimeDelta::hours(1);

/// What a backup holds.
#[derive(Debug, Serialize)]
pub(crate) struct Contents {
    name: String,
    pub(crate) size: u64,
    pub(crate) sql_size: u64,
    members: u64,
    /// Its SHA-256, where one was recorded when it was made, and it is that.
    pub(crate) sha256: Option<String>,
    /// Whether it ends in the marker: whoever made it says that it is whole.
    marker: bool,
    /// What its index says, where it has one.
    #[serde(flatten)]
    pub(crate) cluster: Option<Cluster>,
    /// When its dump was started, by its index.
    #[serde(skip)]
    pub(crate) started: Option<DateTime<Utc>>,
    /// How long the reading took.
    seconds: f64,
    /// What cannot be promised of it, or is odd.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    remarks: Vec<String>,
}

/// Which cluster it is of, and what of it.
#[derive(Debug, Serialize)]
pub(crate) struct Cluster {
    server_version: String,
    started: String,
    finished: String,
    pub(crate) databases: Vec<Database>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Database {
    pub(crate) name: PgText,
    pub(crate) size: u64,
    pub(crate) sql_size: u64,
}

/// Checks a backup.
pub(crate) fn check(source: &Source, threads: usize) -> Finding {
    let doing = format!("checking '{}'", source.label());
    let progress = Arc::new(Progress::new(doing, source.size()));
    check_with(source, threads, &progress)
}

/// Checks a backup, as a part of a longer work.
pub(crate) fn check_with(source: &Source, threads: usize, progress: &Arc<Progress>) -> Finding {
    match contents(source, threads, progress) {
        Ok((contents, false)) => Finding::ok("backup", contents.line()).of(contents),
        Ok((contents, true)) => Finding::warning("backup", contents.line()).of(contents),
        Err(error) => Finding::bad("backup", error),
    }
}

/// What was found of a backup of a store, unless that is bad because the backup was deleted meanwhile.
pub(crate) fn unless_gone(finding: Finding, store: &Store, backup: &Backup) -> Finding {
    let is_bad = matches!(finding.grade, Grade::Bad(_));
    match is_bad && store.is_gone(backup).unwrap_or(false) {
        true => Finding::ok("backup", gone(backup)),
        false => finding,
    }
}

/// That it was deleted meanwhile.
pub(crate) fn gone(backup: &Backup) -> String {
    let name = backup.name;
    format!("{name}  is gone since the store was listed: it is not checked")
}

/// What it holds, and whether somebody should look at it: its name is wrong, its dump is odd.
fn contents(
    source: &Source,
    threads: usize,
    progress: &Arc<Progress>,
) -> Result<(Contents, bool), Error> {
    let began = Instant::now();
    let label = source.label();
    let not_good = |why: &str| Error::not_good(format!("'{label}' is not good: {why}"));
    if source.size() == Some(0) {
        return Err(not_good("it is empty"));
    }
    let (report, watch, recorded) = read(source, threads, progress)?;
    let sha256 = recorded.map(|recorded| recorded.check()).transpose()?;
    if report.ending == Ending::NoMarker {
        return Err(not_good(
            "its end is missing: it was cut, or its dump failed",
        ));
    }
    if report.sql_size == 0 {
        return Err(not_good("it holds nothing"));
    }
    watch
        .check()
        .map_err(|flaw| not_good(&flaw.to_string()).hint(flaw.hint()))?;
    let name = source.file_name().unwrap_or("-");
    let dated = Dated::of(name, &report);
    let oddities = watch.oddities();
    let mut remarks = remarks(&report, &watch);
    remarks.extend(oddities.iter().map(ToString::to_string));
    if let (Dated::Wrongly, Some(index)) = (dated, &report.index) {
        let started = moment(index.about.started);
        remarks.push(format!("its name is wrong: its dump was started {started}"));
    }
    let contents = Contents {
        name: name.to_owned(),
        size: report.size,
        sql_size: report.sql_size,
        members: report.members,
        sha256: sha256.as_ref().map(hex),
        marker: report.ending == Ending::Marker,
        cluster: report.index.as_ref().map(Cluster::new),
        started: report.index.as_ref().map(|index| index.about.started),
        seconds: began.elapsed().as_secs_f64(),
        remarks,
    };
    Ok((contents, dated == Dated::Wrongly || !oddities.is_empty()))
}

fn read(
    source: &Source,
    threads: usize,
    progress: &Arc<Progress>,
) -> Result<(Report, Watch, Option<DigestCheck>), Error> {
    let (input, recorded) = source.checked_reader()?;
    let input = Counted {
        input,
        progress: Arc::clone(progress),
    };
    let mut reader = Reader::whole(Box::new(input), threads).sql_only();
    // What has an index is one dump, and was looked at when that was written.
    let mut watch = match has_index(source) {
        true => Watch::default(),
        false => Watch::thorough(),
    };
    let damaged = |error| source.read_error(&error);
    while let Some(sql) = reader.next().map_err(damaged)? {
        watch.see(sql);
    }
    let report = reader.finish().map_err(damaged)?;
    let watch = match report.index {
        Some(_) => watch.by_its_ends(),
        None => watch,
    };
    Ok((report, watch, recorded))
}

/// Whether its tail says so; what is wrong with that is seen when all is read.
fn has_index(source: &Source) -> bool {
    let tail = source.read_at().map(read_tail);
    matches!(tail, Some(Ok(Tail::Index(_))))
}

/// Counts what passes.
struct Counted {
    input: Box<dyn Read + Send>,
    progress: Arc<Progress>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.input.read(buffer)?;
        self.progress.advance(got as u64);
        Ok(got)
    }
}

/// Whether its name says when its dump was started. Ages are reckoned from names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dated {
    Rightly,
    Wrongly,
}

impl Dated {
    fn of(name: &str, report: &Report) -> Self {
        let Some((name, index)) = BackupName::parse(name).zip(report.index.as_ref()) else {
            return Self::Rightly;
        };
        if (name.started() - index.about.started).abs() <= NAME_TOLERANCE {
            Self::Rightly
        } else {
            Self::Wrongly
        }
    }
}

/// What cannot be promised.
fn remarks(report: &Report, watch: &Watch) -> Vec<String> {
    let remark = match (report.ending, watch.text()) {
        (Ending::Marker, _) if report.index.is_some() => return Vec::new(),
        (Ending::Marker, _) => "it has no index",
        (_, Text::Other) => {
            "made by another program, and its text is no dump: whether it is whole cannot be known"
        }
        _ if watch.count() > 1 => {
            return vec![format!(
                "made by another program: it has no marker and no index, only the last line of each of its {} dumps says that it is whole",
                watch.count()
            )];
        }
        _ => {
            "made by another program: it has no marker and no index, only its dump's last line says that it is whole"
        }
    };
    vec![remark.to_owned()]
}

impl Contents {
    /// What each database has, in bytes of SQL; none without an index.
    pub(crate) fn databases(&self) -> Option<Databases> {
        let databases = self.cluster.as_ref()?.databases.iter();
        Some(
            databases
                .map(|database| (database.name.clone(), database.sql_size))
                .collect(),
        )
    }

    fn line(&self) -> String {
        let mut line = format!(
            "{}  {}, {} of SQL",
            self.name,
            bytes(self.size),
            bytes(self.sql_size)
        );
        if let Some(cluster) = &self.cluster {
            line = line + ", " + &count(cluster.databases.len(), "database");
        }
        line += match &self.sha256 {
            Some(_) => ", SHA-256 as recorded",
            None => ", no SHA-256 was recorded",
        };
        for remark in &self.remarks {
            line = line + "; " + remark;
        }
        line
    }
}

impl Cluster {
    fn new(index: &Index) -> Self {
        let sections = index.sections.iter();
        let databases = sections.filter_map(|section| match &section.kind {
            SectionKind::Database(name) => Some(Database {
                name: name.clone(),
                size: section.length,
                sql_size: section.sql_length,
            }),
            _ => None,
        });
        Self {
            server_version: index.about.server_version.clone(),
            started: moment(index.about.started),
            finished: moment(index.about.finished),
            databases: databases.collect(),
        }
    }
}

fn moment(moment: DateTime<Utc>) -> String {
    moment.to_rfc3339_opts(SecondsFormat::Secs, true)
}
