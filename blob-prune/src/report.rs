//! What is reported of each backup: a line, or an element of one JSON document.

use backup_file::BackupName;
use chrono::{DateTime, SecondsFormat, Utc};
use job::text::{self, age, count};
use job::{Error, say};
use serde::Serialize;
use store::{Deletion, Store};

use crate::cli::Args;
use crate::survey::Survey;
use retention::Policy;

/// What is reported, as it becomes known.
#[derive(Debug)]
pub(crate) struct Report {
    json: bool,
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
    pub(crate) fn new(store: &Store, now: DateTime<Utc>, args: &Args, survey: &Survey) -> Self {
        let policy = args.policy();
        let decided = survey.backups.iter().zip(&survey.decisions);
        let backups = decided.map(|(backup, decision)| {
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
            },
        }
    }

    /// Reports why nothing is deleted.
    pub(crate) fn refuse(&mut self, why: &Error) -> Result<(), Error> {
        self.document.refused = Some(why.to_string());
        self.print_document()
    }

    /// Prints those that stay.
    pub(crate) fn print_kept(&self) -> Result<(), Error> {
        self.lines(|decision| (decision == "keep").then_some("keep"))
    }

    /// Prints what would become of each: a dry run.
    pub(crate) fn print_plan(&self) -> Result<(), Error> {
        self.lines(|decision| match decision {
            "keep" => Some("keep"),
            _ => Some("would delete"),
        })
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
    /// A backup could not be deleted.
    pub(crate) fn end(&self) -> Result<(), Error> {
        self.print_document()?;
        let entries = &self.document.backups;
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
        match with("failed").count() {
            0 => Ok(()),
            failed => Err(Error::failed(format!(
                "{} could not be deleted",
                count(failed, "backup")
            ))),
        }
    }

    fn lines(&self, verdict: fn(&str) -> Option<&'static str>) -> Result<(), Error> {
        if self.json {
            return Ok(());
        }
        let mut entries = self.document.backups.iter();
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

fn moment(moment: DateTime<Utc>) -> String {
    moment.to_rfc3339_opts(SecondsFormat::Secs, true)
}
