//! One backup, read through.

use std::io::{self, Read};
use std::sync::Arc;
use std::time::Instant;

use backup_file::{
    About, BackupKind, BackupName, Ending, Index, Reader, Report, SectionKind, ServerRole, Tail,
    lsn, read_tail,
};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use dump_text::{Text, Watch};
use job::text::{bytes, count};
use job::{Error, Progress};
use store::{Backup, DigestCheck, Source, Store, hex};

use crate::figures::{BaseFigures, Cluster, Contents, Database, Figures};
use crate::finding::Finding;
use crate::read::map_audit::MapAudit;

/// The name of the check.
const CHECK: &str = "backup";

/// A stream gets its name when its first bytes come, not when its dump was started.
const NAME_TOLERANCE: TimeDelta = TimeDelta::hours(1);

/// Reads a backup through.
pub(crate) fn check(source: &Source, threads: usize) -> Finding {
    let doing = format!("checking '{}'", source.label());
    let progress = Arc::new(Progress::new(doing, source.size()));
    check_with(source, threads, &progress)
}

/// Reads a backup through, as a part of a longer work.
pub(crate) fn check_with(source: &Source, threads: usize, progress: &Arc<Progress>) -> Finding {
    let (contents, is_odd) = match contents(source, threads, progress) {
        Ok(found) => found,
        Err(error) => return not_read(error),
    };
    let line = line(&contents);
    let finding = match is_odd {
        true => Finding::warning(CHECK, line),
        false => Finding::ok(CHECK, line),
    };
    finding.figures(Figures::Contents(Box::new(contents)))
}

/// A backup that is not good, or cannot be read.
pub(crate) fn not_read(error: impl Into<Error>) -> Finding {
    Finding::bad(CHECK, error.into())
}

/// A backup that is not read, and why.
pub(crate) fn passed_over(words: impl Into<String>) -> Finding {
    Finding::ok(CHECK, words)
}

/// A backup of a store that was deleted since; none if it is still there, as far as can be seen.
pub(crate) fn gone(store: &Store, backup: &Backup) -> Option<Finding> {
    let name = backup.name;
    let words = format!("{name}  is gone since the store was listed: it is not checked");
    let is_gone = store.is_gone(backup).unwrap_or(false);
    is_gone.then(|| passed_over(words))
}

/// What a backup holds, and whether somebody should look at it: its name is wrong, or its dump is odd.
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
    let (report, kind, watch, recorded) = read(source, threads, progress)?;
    let sha256 = recorded.map(|recorded| recorded.check()).transpose()?;
    if report.ending == Ending::NoMarker {
        return Err(not_good(
            "its end is missing: it was cut, or its dump failed",
        ));
    }
    if report.sql_size == 0 {
        return Err(not_good("it holds nothing"));
    }
    let name = source.file_name().unwrap_or("-");
    check_kind(name, kind, &report).map_err(|why| not_good(&why))?;
    if kind == BackupKind::Dump {
        watch
            .check()
            .map_err(|flaw| not_good(&flaw.to_string()).hint(flaw.hint()))?;
    }
    let dated = Dated::of(name, &report);
    let oddities = match kind {
        BackupKind::Dump => watch.oddities(),
        BackupKind::Base => Vec::new(),
    };
    let mut remarks = remarks(&report, &watch);
    remarks.extend(oddities.iter().map(ToString::to_string));
    let excluded = report.index.as_ref().map(|it| &it.about.excluded);
    if let Some(excluded) = excluded.filter(|it| !it.is_empty()) {
        let options = excluded.options();
        let options = options.map(|(option, pattern)| format!("{option} '{pattern}'"));
        let options: Vec<String> = options.collect();
        remarks.push(format!("dumped with {}", options.join(" ")));
    }
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
        cluster: report.index.as_ref().map(cluster),
        base: report.index.as_ref().and_then(base),
        about: report.index.map(|index| index.about),
        seconds: began.elapsed().as_secs_f64(),
        remarks,
    };
    Ok((contents, dated == Dated::Wrongly || !oddities.is_empty()))
}

/// A base backup needs its index, and is no dump whatever its name says.
fn check_kind(name: &str, kind: BackupKind, report: &Report) -> Result<(), String> {
    let named = BackupName::parse(name).map(BackupName::kind);
    match (named, &report.index) {
        (Some(named), _) if named != kind => Err(format!(
            "its name says that it is a {named}, and it is a {kind}"
        )),
        (_, Some(index)) if index.kind() != kind => Err(format!(
            "its index is that of a {}, and it is a {kind}",
            index.kind()
        )),
        (_, None) if kind == BackupKind::Base => {
            Err("it has no index, which says which WAL it needs".to_owned())
        }
        _ => Ok(()),
    }
}

fn read(
    source: &Source,
    threads: usize,
    progress: &Arc<Progress>,
) -> Result<(Report, BackupKind, Watch, Option<DigestCheck>), Error> {
    let (input, recorded) = source.checked_reader()?;
    let input = CountedInput {
        input,
        progress: Arc::clone(progress),
    };
    let mut reader = Reader::whole(Box::new(input), threads).sql_only();
    let index = source.read_at().zip(index(source));
    // A backup with an index is one dump, which was checked when the index was written.
    let mut watch = match index {
        Some(_) => Watch::default(),
        None => Watch::thorough(),
    };
    let mut maps = index.map(|(file, index)| MapAudit::new(source, file, index.sections));
    let damaged = |error| source.read_error(&error);
    let mut kind = None;
    while reader.next().map_err(damaged)?.is_some() {
        let text = reader.current();
        let kind = kind.get_or_insert_with(|| BackupKind::of_text(text));
        if *kind == BackupKind::Dump {
            watch.see(text);
            if let Some(maps) = &mut maps {
                maps.see(text, reader.members())?;
            }
        }
    }
    let report = reader.finish().map_err(damaged)?;
    if let Some(maps) = maps {
        maps.finish()?;
    }
    let watch = match report.index {
        Some(_) => watch.by_its_ends(),
        None => watch,
    };
    Ok((report, kind.unwrap_or(BackupKind::Dump), watch, recorded))
}

/// Its tail's, if it has one. If something is wrong with that, reading the whole backup says so.
fn index(source: &Source) -> Option<Index> {
    match read_tail(source.read_at()?) {
        Ok(Tail::Index(index)) => Some(*index),
        _ => None,
    }
}

/// Shows the progress of what is read.
struct CountedInput {
    input: Box<dyn Read + Send>,
    progress: Arc<Progress>,
}

impl Read for CountedInput {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.input.read(buffer)?;
        self.progress.advance(got as u64);
        Ok(got)
    }
}

/// Whether a backup's name says when its dump was started: ages are reckoned from names.
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

/// What cannot be promised of a backup.
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

fn line(contents: &Contents) -> String {
    let mut line = format!(
        "{}  {}, {} of SQL",
        contents.name,
        bytes(contents.size),
        bytes(contents.sql_size)
    );
    if contents.base.is_some() {
        line = line.replace(" of SQL", " unpacked") + ", base backup";
    }
    if let Some(cluster) = &contents.cluster {
        line = line + ", " + &count(cluster.databases.len(), "database");
    }
    line += &of_a_standby(contents);
    line += match &contents.sha256 {
        Some(_) => ", SHA-256 as recorded",
        None => ", no SHA-256 was recorded",
    };
    for remark in &contents.remarks {
        line = line + "; " + remark;
    }
    line
}

/// Of which moment a standby's data are. Nothing of a primary.
fn of_a_standby(contents: &Contents) -> String {
    let about = contents.about.as_ref();
    let standby = about.filter(|about| {
        let role = about.server_role.as_ref();
        role.is_some_and(ServerRole::is_standby)
    });
    match standby.map(About::data_time) {
        None => String::new(),
        Some(Some(time)) => format!(", from a standby with the data of {}", moment(time)),
        Some(None) => ", from a standby with data of an unknown age".to_owned(),
    }
}

fn cluster(index: &Index) -> Cluster {
    let sections = index.sections.iter();
    let databases = sections.filter_map(|section| match &section.kind {
        SectionKind::Database(name) => Some(Database {
            name: name.clone(),
            size: section.length,
            sql_size: section.sql_length,
        }),
        SectionKind::DatabaseFiles(oid) => Some(Database {
            name: index.base.as_ref()?.database(*oid)?.clone(),
            size: section.length,
            sql_size: section.sql_length,
        }),
        _ => None,
    });
    let role = index.about.server_role.as_ref();
    Cluster {
        server_version: index.about.server_version.clone(),
        started: moment(index.about.started),
        finished: moment(index.about.finished),
        in_recovery: role.map(ServerRole::is_standby),
        data_time: index.about.data_time().map(moment),
        databases: databases.collect(),
    }
}

/// What a base backup needs.
fn base(index: &Index) -> Option<BaseFigures> {
    let base = index.base.as_ref()?;
    Some(BaseFigures {
        system_identifier: base.system_identifier.to_string(),
        timeline: base.start().timeline,
        start_lsn: lsn(base.start().start),
        stop_lsn: lsn(base.stop().stop),
    })
}

fn moment(moment: DateTime<Utc>) -> String {
    moment.to_rfc3339_opts(SecondsFormat::Secs, true)
}
