//! What is known of each backup of a store: from reading it, or from a look at its ends.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use backup_file::{About, BackupName, Index, SectionKind, ServerRole};
use job::in_parallel;
use store::{Backup, QuickCheck, Store};

use crate::finding::{Finding, Grade};

/// The number of threads that look at backups.
const LOOKING: usize = 8;

/// What is known of one backup.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Summary {
    /// The number of its databases.
    pub(crate) databases: Option<usize>,
    /// `good`, `whole, data of …`, `bad: …`
    pub(crate) state: String,
}

/// The summaries of these backups. Those without a finding are looked at.
pub(crate) fn of_all(
    store: &Store,
    backups: &[Backup],
    findings: &[Finding],
) -> BTreeMap<BackupName, Summary> {
    let mut known: BTreeMap<BackupName, Summary> = findings
        .iter()
        .filter_map(|finding| Some((finding.backup?, Summary::read(finding))))
        .collect();
    let rest: Vec<&Backup> = backups
        .iter()
        .filter(|backup| !known.contains_key(&backup.name))
        .collect();
    in_parallel(
        rest.len(),
        LOOKING,
        |number| Summary::looked_at(store, rest[number]),
        |number, summary| {
            known.insert(rest[number].name, summary);
            ControlFlow::Continue(())
        },
    );
    known
}

impl Summary {
    /// Of a backup that was read.
    fn read(finding: &Finding) -> Self {
        let contents = finding.contents();
        let cluster = contents.and_then(|contents| contents.cluster.as_ref());
        let state = match finding.grade {
            Grade::Bad(_) => "bad",
            _ if contents.is_none() => "not read",
            _ => "good",
        };
        let about = contents.and_then(|contents| contents.about.as_ref());
        Self {
            databases: cluster.map(|cluster| cluster.databases.len()),
            state: state.to_owned() + &of_a_standby(about),
        }
    }

    /// Of a backup whose ends are looked at.
    fn looked_at(store: &Store, backup: &Backup) -> Self {
        let (databases, state) = match store.quick_check(backup) {
            Ok(QuickCheck::Whole(index)) => {
                let state =
                    "whole".to_owned() + &of_a_standby(index.as_ref().map(|index| &index.about));
                (index.map(|index| databases(&index)), state)
            }
            Ok(QuickCheck::Foreign) => (None, "of another program".to_owned()),
            Ok(QuickCheck::NotGood(why)) => (None, format!("bad: {why}")),
            Ok(QuickCheck::Archived) => (None, "archived".to_owned()),
            Ok(QuickCheck::Gone) => (None, "gone".to_owned()),
            Ok(QuickCheck::NotAllowed(_)) | Err(_) => (None, "not read".to_owned()),
        };
        Self { databases, state }
    }
}

/// Of which moment a standby's data are. Nothing of a primary.
fn of_a_standby(about: Option<&About>) -> String {
    let is_standby = |about: &&About| matches!(about.server_role, Some(ServerRole::Standby(_)));
    match about.filter(is_standby).map(About::data_time) {
        None => String::new(),
        Some(Some(time)) => format!(", data of {}", time.format("%Y-%m-%d %H:%M")),
        Some(None) => ", data of an unknown age".to_owned(),
    }
}

fn databases(index: &Index) -> usize {
    let sections = index.sections.iter();
    sections
        .filter(|section| {
            matches!(
                section.kind,
                SectionKind::Database(_) | SectionKind::DatabaseFiles(_)
            )
        })
        .count()
}
