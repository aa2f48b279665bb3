//! Decides what stays, after a look at the backups that the rules rely on: others may be deleted only in favour of a
//! good one.

use std::collections::BTreeMap;

use azure_blob::Permission;
use backup_file::BackupName;
use chrono::{DateTime, Utc};
use job::{Error, say};
use store::{Backup, QuickCheck, Store};

use retention::{Candidate, Decision, Policy, Soundness, decide};

/// The backups of a store, oldest first, with what is known of each and what becomes of it.
#[derive(Debug)]
pub(crate) struct Survey {
    pub(crate) backups: Vec<Backup>,
    pub(crate) candidates: Vec<Candidate>,
    pub(crate) decisions: Vec<Decision>,
    /// Why some are not good.
    pub(crate) not_good: BTreeMap<BackupName, String>,
}

impl Survey {
    /// Lists a store and decides.
    pub(crate) fn of(store: &Store, now: DateTime<Utc>, policy: &Policy) -> Result<Self, Error> {
        let backups = store.list()?.dumps;
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
        };
        if let Some(client) = store.container()
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
                QuickCheck::Whole(_) => Soundness::Good,
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

    /// If none may be read, each may be good: what blob-put publishes is whole.
    fn read_nothing(&mut self, why: &str) {
        say!("deciding by names alone: {why}");
        for candidate in &mut self.candidates {
            candidate.soundness = Soundness::Unknown;
        }
    }
}
