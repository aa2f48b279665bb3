//! Decides what stays, after a look at the backups that the rules rely on: others may be deleted only in favour of a
//! good one.

use std::collections::BTreeMap;

use azure_blob::Permission;
use backup_file::{BackupName, Index};
use chrono::{DateTime, Utc};
use job::{Error, say};
use recovery_window::BaseBackup;
use store::{Backup, QuickCheck, Store};

use retention::{Candidate, Decision, Policy, Soundness, decide};

/// The backups of one kind in a store, oldest first, with what is known of each and what becomes of it.
#[derive(Debug)]
pub(crate) struct Survey {
    pub(crate) backups: Vec<Backup>,
    pub(crate) candidates: Vec<Candidate>,
    pub(crate) decisions: Vec<Decision>,
    /// Why some are not good.
    pub(crate) not_good: BTreeMap<BackupName, String>,
    /// Which WAL base backups need, of those that were looked at.
    pub(crate) bases: BTreeMap<BackupName, BaseBackup>,
}

/// A base backup of which nobody knows which WAL it needs.
#[derive(Debug)]
pub(crate) struct UnknownBase {
    pub(crate) name: BackupName,
    /// Whether it is no whole base backup, as far as could be seen.
    pub(crate) is_bad: bool,
    pub(crate) why: String,
}

impl Survey {
    /// Decides about the backups of one kind.
    pub(crate) fn of(
        store: &Store,
        backups: Vec<Backup>,
        now: DateTime<Utc>,
        policy: &Policy,
    ) -> Result<Self, Error> {
        let candidates: Vec<Candidate> = backups
            .iter()
            .map(|backup| Candidate {
                name: backup.name,
                soundness: Soundness::Unread,
            })
            .collect();
        let decisions = decide(&candidates, now, policy);
        let mut survey = Self {
            backups,
            candidates,
            decisions,
            not_good: BTreeMap::new(),
            bases: BTreeMap::new(),
        };
        if !survey.backups.is_empty()
            && let Some(client) = store.container()
            && let Err(error) = client.check(&[Permission::Read])
        {
            survey.read_nothing(&error.to_string());
            survey.decisions = decide(&survey.candidates, now, policy);
        }
        // What is seen may make the rules rely on another backup. Each round looks at one at least, so this ends.
        while survey.look(store)? {
            survey.decisions = decide(&survey.candidates, now, policy);
        }
        Ok(survey)
    }

    /// Looks at the backups that the rules rely on and that were not looked at yet. Returns whether there were any.
    fn look(&mut self, store: &Store) -> Result<bool, Error> {
        let mut looked = false;
        for at in 0..self.candidates.len() {
            if self.candidates[at].soundness != Soundness::Unread
                || !self.decisions[at].is_relied_on()
            {
                continue;
            }
            looked = true;
            let name = self.candidates[at].name;
            self.candidates[at].soundness = match store.quick_check(&self.backups[at])? {
                QuickCheck::Whole(index) => {
                    self.note(name, index.as_deref());
                    Soundness::Good
                }
                QuickCheck::Foreign | QuickCheck::Archived => Soundness::Unknown,
                QuickCheck::NotAllowed(why) => {
                    self.read_nothing(&why);
                    break;
                }
                QuickCheck::Gone => {
                    say!("'{name}' is gone since the store was listed");
                    self.backups.remove(at);
                    self.candidates.remove(at);
                    // The decisions no longer match the backups: decide again.
                    break;
                }
                QuickCheck::NotGood(why) => {
                    say!("'{name}' is not good: {why}");
                    self.not_good.insert(name, why);
                    Soundness::Bad
                }
            };
        }
        Ok(looked)
    }

    fn note(&mut self, name: BackupName, index: Option<&Index>) {
        let base = index.and_then(|index| BaseBackup::new(name, index));
        self.bases.extend(base.map(|base| (name, base)));
    }

    /// Looks at the base backups that were not looked at yet, since WAL goes only if none of them needs it. Returns those
    /// of which nobody knows what they need.
    ///
    /// # Errors
    /// The service does not answer.
    pub(crate) fn look_at_bases(&mut self, store: &Store) -> Result<Vec<UnknownBase>, Error> {
        let mut unknown = Vec::new();
        for at in 0..self.backups.len() {
            let name = self.backups[at].name;
            if let Some(why) = self.not_good.get(&name) {
                unknown.push(UnknownBase {
                    name,
                    is_bad: true,
                    why: why.clone(),
                });
                continue;
            }
            if self.bases.contains_key(&name) {
                continue;
            }
            let (is_bad, why) = match store.quick_check(&self.backups[at])? {
                QuickCheck::Whole(index) => {
                    self.note(name, index.as_deref());
                    continue;
                }
                QuickCheck::Gone => continue,
                QuickCheck::Archived => (false, "it is in the archive tier".to_owned()),
                QuickCheck::Foreign => (true, "it has no index".to_owned()),
                QuickCheck::NotAllowed(why) => (false, why),
                QuickCheck::NotGood(why) => (true, why),
            };
            unknown.push(UnknownBase { name, is_bad, why });
        }
        Ok(unknown)
    }

    /// The backups that no rule keeps, oldest first.
    pub(crate) fn goes(&self) -> impl Iterator<Item = &Backup> {
        let decided = self.backups.iter().zip(&self.decisions);
        decided
            .filter(|(_, decision)| !decision.keeps())
            .map(|(backup, _)| backup)
    }

    /// If none may be read, each may be good: what blob-put publishes is whole.
    fn read_nothing(&mut self, why: &str) {
        say!("deciding by names alone: {why}");
        for candidate in &mut self.candidates {
            candidate.soundness = Soundness::Unknown;
        }
    }
}
