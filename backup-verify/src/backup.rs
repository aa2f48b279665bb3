//! One backup, read through.

use std::fmt::Write;
use std::io::{self, Read};
use std::sync::Arc;

use backup_file::{Ending, Index, Reader, Report, SectionKind, Sha256};
use job::text::{bytes, count};
use job::{Error, Progress};
use serde::Serialize;
use store::Source;

use crate::completion::{Text, Watch};
use crate::report::Finding;

/// What a backup holds.
#[derive(Debug, Serialize)]
pub(crate) struct Contents {
    pub(crate) name: String,
    size: u64,
    sql_size: u64,
    members: u64,
    sha256: String,
    /// Whether the SHA-256 was recorded when it was made.
    sha256_recorded: bool,
    /// Whether it ends in the marker: whoever made it says that it is whole.
    marker: bool,
    /// Where it has an index.
    #[serde(skip_serializing_if = "Option::is_none")]
    databases: Option<Vec<String>>,
    /// What cannot be promised of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    remarks: Vec<String>,
}

/// Checks a backup.
pub(crate) fn check(source: &Source, threads: usize) -> Finding {
    match contents(source, threads) {
        Ok(contents) => Finding::ok("backup", contents.line()).of(contents),
        Err(error) => Finding::bad("backup", error),
    }
}

fn contents(source: &Source, threads: usize) -> Result<Contents, Error> {
    let label = source.label();
    let not_good = |why: &str| Error::not_good(format!("'{label}' is not good: {why}"));
    if source.size() == Some(0) {
        return Err(not_good("it is empty"));
    }
    let recorded = source.recorded_sha256()?;
    let (report, watch) = read(source, threads)?;
    if let Some(recorded) = recorded
        && recorded != report.sha256
    {
        return Err(not_good(&format!(
            "its SHA-256 is {}, recorded was {}",
            hex(&report.sha256),
            hex(&recorded)
        )));
    }
    if report.ending == Ending::NoMarker {
        return Err(not_good(
            "its end is missing: it was cut, or its dump failed",
        ));
    }
    if report.sql_size == 0 {
        return Err(not_good("it holds nothing"));
    }
    if !watch.is_complete() {
        return Err(not_good(
            "it is incomplete: its dump does not end with the line that says it is complete",
        )
        .hint("take an older backup"));
    }
    let name = source.file_name().unwrap_or("-").to_owned();
    Ok(Contents::new(
        name,
        &report,
        watch.text(),
        recorded.is_some(),
    ))
}

fn read(source: &Source, threads: usize) -> Result<(Report, Watch), Error> {
    let progress = Arc::new(Progress::new(
        format!("checking '{}'", source.label()),
        source.size(),
    ));
    let input = Counted {
        input: source.reader()?,
        progress: Arc::clone(&progress),
    };
    let mut reader = Reader::whole(Box::new(input), threads).sql_only();
    let mut watch = Watch::default();
    let damaged = |error| source.read_error(&error);
    while let Some(sql) = reader.next().map_err(damaged)? {
        watch.see(sql);
    }
    let report = reader.finish().map_err(damaged)?;
    Ok((report, watch))
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

impl Contents {
    fn new(name: String, report: &Report, text: Text, sha256_recorded: bool) -> Self {
        let mut remarks = Vec::new();
        match (report.ending, text) {
            (Ending::Marker, _) => {}
            (_, Text::Other) => remarks.push(
                "made by another program, and its text is no dump: whether it is whole cannot be known"
                    .to_owned(),
            ),
            _ => remarks.push("made by another program: it has no marker and no index".to_owned()),
        }
        Self {
            name,
            size: report.size,
            sql_size: report.sql_size,
            members: report.members,
            sha256: hex(&report.sha256),
            sha256_recorded,
            marker: report.ending == Ending::Marker,
            databases: report.index.as_ref().map(databases),
            remarks,
        }
    }

    fn line(&self) -> String {
        let mut line = format!(
            "{}  {}, {} of SQL",
            self.name,
            bytes(self.size),
            bytes(self.sql_size)
        );
        if let Some(databases) = &self.databases {
            line = line + ", " + &count(databases.len(), "database");
        }
        let recorded = if self.sha256_recorded {
            "as recorded"
        } else {
            "none was recorded"
        };
        line = format!("{line}, sha256 {} ({recorded})", self.sha256);
        for remark in &self.remarks {
            line = line + "; " + remark;
        }
        line
    }
}

fn databases(index: &Index) -> Vec<String> {
    let sections = index.sections.iter();
    sections
        .filter_map(|section| match &section.kind {
            SectionKind::Database(name) => Some(name.clone()),
            _ => None,
        })
        .collect()
}

fn hex(digest: &Sha256) -> String {
    let mut text = String::with_capacity(64);
    for byte in digest {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}
