//! What is reported of each backup, and of each archive: a line, or an element of one JSON document.

use backup_file::{BackupKind, BackupName};
use chrono::{DateTime, SecondsFormat, Utc};
use job::text::{self, age, count};
use job::{Error, say};
use serde::Serialize;
use store::{Deletion, Store};
use wal::SystemId;

use crate::archive_report::ArchiveFields;
use crate::archives::Verdict;
use crate::cli::Args;
use crate::survey::Survey;
use retention::Policy;

/// What is reported, as it becomes known.
#[derive(Debug)]
pub(crate) struct Report {
    json: bool,
    /// The kinds of which nothing may be deleted.
    refused: Vec<BackupKind>,
    document: Document,
}

#[derive(Debug, Serialize)]
struct Document {
    store: String,
    now: String,
    dry_run: bool,
    policy: PolicyFields,
    /// Why nothing is deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<String>,
    backups: Vec<BackupFields>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    wal: Vec<ArchiveFields>,
}

#[derive(Debug, Serialize)]
struct PolicyFields {
    keep_days: u32,
    keep_min: u32,
    keep_weekly: u32,
    keep_monthly: u32,
}

#[derive(Debug, Serialize)]
struct BackupFields {
    name: String,
    /// `dump` or `base`.
    kind: &'static str,
    started: String,
    age_seconds: i64,
    size: u64,
    decision: &'static str,
    reasons: Vec<String>,
    /// What became of one that was to be deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

impl Report {
    pub(crate) fn new(
        store: &Store,
        now: DateTime<Utc>,
        args: &Args,
        surveys: [&Survey; 2],
    ) -> Self {
        let policy = args.policy();
        let decided = surveys.into_iter().flat_map(|survey| {
            let decided = survey.backups.iter().zip(&survey.decisions);
            decided.map(move |(backup, decision)| (survey, backup, decision))
        });
        let backups = decided.map(|(survey, backup, decision)| {
            let started = backup.name.started();
            let mut reasons: Vec<String> = match decision.keeps() {
                true => decision.kept_by.iter().map(ToString::to_string).collect(),
                false => vec![outside(policy)],
            };
            if let Some(why) = survey.not_good.get(&backup.name) {
                reasons.push(format!("not good: {why}"));
            }
            BackupFields {
                name: backup.name.to_string(),
                kind: word(backup.name.kind()),
                started: moment(started),
                age_seconds: (now - started).num_seconds(),
                size: backup.size,
                decision: if decision.keeps() { "keep" } else { "delete" },
                reasons,
                result: None,
                detail: None,
            }
        });
        Self {
            json: args.json,
            refused: Vec::new(),
            document: Document {
                store: store.label(),
                now: moment(now),
                dry_run: args.dry_run,
                policy: PolicyFields {
                    keep_days: policy.days,
                    keep_min: policy.min,
                    keep_weekly: policy.weekly,
                    keep_monthly: policy.monthly,
                },
                refused: None,
                backups: backups.collect(),
                wal: Vec::new(),
            },
        }
    }

    /// Notes why nothing of a kind is deleted.
    pub(crate) fn refuse(&mut self, kind: BackupKind, why: &Error) {
        self.refused.push(kind);
        let refused = self.document.refused.get_or_insert_default();
        if !refused.is_empty() {
            refused.push_str("; ");
        }
        refused.push_str(&why.to_string());
    }

    /// Whether nothing of a kind is deleted.
    pub(crate) fn refuses(&self, kind: BackupKind) -> bool {
        self.refused.contains(&kind)
    }

    pub(crate) fn is_dry_run(&self) -> bool {
        self.document.dry_run
    }

    /// Prints those that stay; in a dry run they are part of the plan.
    pub(crate) fn print_kept(&self) -> Result<(), Error> {
        match self.document.dry_run {
            true => Ok(()),
            false => self.lines(BackupKind::ALL, |decision| {
                (decision == "keep").then_some("keep")
            }),
        }
    }

    /// Prints what would become of each of a kind: a dry run.
    pub(crate) fn print_plan(&self, kind: BackupKind) -> Result<(), Error> {
        self.lines([kind], |decision| match decision {
            "keep" => Some("keep"),
            _ => Some("would delete"),
        })
    }

    /// Adds what becomes of an archive, and returns its place.
    pub(crate) fn archive(&mut self, system: SystemId, verdict: &Verdict) -> usize {
        self.document.wal.push(ArchiveFields::new(system, verdict));
        self.document.wal.len() - 1
    }

    /// Counts a file of an archive that was to be deleted.
    pub(crate) fn file(&mut self, at: usize, deletion: &Deletion) {
        if let Some(archive) = self.document.wal.get_mut(at) {
            archive.count(deletion);
        }
    }

    /// Prints what becomes, or became, of an archive.
    pub(crate) fn print_archive(&self, at: usize) -> Result<(), Error> {
        match self.document.wal.get(at).filter(|_| !self.json) {
            Some(archive) => job::print(&archive.lines(self.document.dry_run)),
            None => Ok(()),
        }
    }

    /// Records what became of one that was to be deleted, and prints it.
    pub(crate) fn deletion(&mut self, name: BackupName, deletion: Deletion) -> Result<(), Error> {
        let (result, detail) = match deletion {
            Deletion::Deleted => ("deleted", None),
            Deletion::Gone => ("gone", None),
            Deletion::Retained(by) => ("retained", Some(format!("retained by {by}"))),
            Deletion::Failed(error) => ("failed", Some(error.to_string())),
        };
        let name = name.to_string();
        let entries = &mut self.document.backups;
        // They go from the oldest to the newest, which is the order of their names.
        let at = entries.binary_search_by(|entry| entry.name.cmp(&name));
        let Some(entry) = at.ok().and_then(|at| entries.get_mut(at)) else {
            return Ok(());
        };
        entry.result = Some(result);
        entry.detail = detail;
        if self.json {
            Ok(())
        } else {
            line(result, entry)
        }
    }

    /// Prints the document, or says a summary.
    ///
    /// # Errors
    /// A backup or a file of an archive could not be deleted.
    pub(crate) fn end(&self) -> Result<(), Error> {
        self.print_document()?;
        if self.refuses(BackupKind::Dump) && self.refuses(BackupKind::Base) {
            return Ok(());
        }
        let entries = self.document.backups.iter();
        let refused = |entry: &&BackupFields| self.refused.iter().any(|it| word(*it) == entry.kind);
        let entries: Vec<&BackupFields> = entries.filter(|it| !refused(it)).collect();
        if entries.is_empty() && !self.refused.is_empty() {
            return Ok(());
        }
        let with = |result| entries.iter().filter(move |it| it.result == Some(result));
        let stays = entries.iter().filter(|it| it.decision == "keep").count();
        if self.document.dry_run {
            let goes = entries.len() - stays;
            say!("{} would be deleted, {stays} kept", count(goes, "backup"));
            return Ok(());
        }
        let freed = with("deleted").map(|it| it.size);
        // Sizes may lie.
        let freed = text::bytes(freed.fold(0, u64::saturating_add));
        let retained = match with("retained").count() {
            0 => String::new(),
            retained => format!(", {retained} retained by policy"),
        };
        let deleted = count(with("deleted").count(), "backup");
        say!("{deleted} deleted ({freed}){retained}, {stays} kept");
        let files = self.document.wal.iter().map(|archive| archive.failed);
        match with("failed").count() {
            0 => match files.sum() {
                0 => Ok(()),
                failed => Err(Error::failed(format!(
                    "{} of WAL could not be deleted",
                    count(failed, "file")
                ))),
            },
            failed => Err(Error::failed(format!(
                "{} could not be deleted",
                count(failed, "backup")
            ))),
        }
    }

    fn lines<const N: usize>(
        &self,
        kinds: [BackupKind; N],
        verdict: fn(&str) -> Option<&'static str>,
    ) -> Result<(), Error> {
        if self.json {
            return Ok(());
        }
        let wanted = kinds.into_iter().filter(|kind| !self.refuses(*kind));
        let wanted: Vec<&str> = wanted.map(word).collect();
        let entries = self.document.backups.iter();
        let mut entries = entries.filter(|entry| wanted.contains(&entry.kind));
        entries.try_for_each(|entry| match verdict(entry.decision) {
            Some(verdict) => line(verdict, entry),
            None => Ok(()),
        })
    }

    fn print_document(&self) -> Result<(), Error> {
        if !self.json {
            return Ok(());
        }
        job::print_json_pretty(&self.document)
    }
}

fn line(verdict: &str, entry: &BackupFields) -> Result<(), Error> {
    let age = age(chrono::TimeDelta::seconds(entry.age_seconds));
    let mut reasons = entry.reasons.join(", ");
    if let Some(detail) = &entry.detail {
        reasons = format!("{reasons}; {detail}");
    }
    job::print(&format!(
        "{verdict:<12}  {}  {age}: {reasons}\n",
        entry.name
    ))
}

fn outside(policy: Policy) -> String {
    match policy {
        Policy { days: 0, .. } => "no rule keeps it".to_owned(),
        Policy {
            days,
            weekly: 0,
            monthly: 0,
            ..
        } => format!("older than {}", count(days as usize, "day")),
        Policy { days, .. } => format!(
            "older than {}, not kept for its week or month",
            count(days as usize, "day")
        ),
    }
}

fn word(kind: BackupKind) -> &'static str {
    match kind {
        BackupKind::Dump => "dump",
        BackupKind::Base => "base",
    }
}

fn moment(moment: DateTime<Utc>) -> String {
    moment.to_rfc3339_opts(SecondsFormat::Secs, true)
}
