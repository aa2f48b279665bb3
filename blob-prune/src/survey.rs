//! Decides, after a look at those backups that the rules count on: only a good one may stand in for
//! others that are deleted.

use std::collections::BTreeMap;

use azure_blob::Permission;
use backup_file::BackupName;
use chrono::{DateTime, Utc};
use job::{Error, say};
use store::{Backup, Glance, Store};

use retention::{Candidate, Decision, Policy, State, decide};

/// The backups of a store, what is known of them, and what is to become of them; oldest first.
#[derive(Debug)]
pub(crate) struct Survey {
    pub(crate) backups: Vec<Backup>,
    pub(crate) candidates: Vec<Candidate>,
    pub(crate) decisions: Vec<Decision>,
    /// Why some are no good ones.
    pub(crate) not_good: BTreeMap<BackupName, String>,
}

impl Survey {
    /// Lists a store and decides.
    pub(crate) fn of(store: &Store, now: DateTime<Utc>, policy: &Policy) -> Result<Self, Error> {
        let backups = store.list()?;
        let candidates: Vec<Candidate> = backups
            .iter()
            .map(|backup| Candidate {
                name: backup.name,
                state: State::Unread,
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
        // A look may show that another one must be counted on; each round looks at one at least.
        while survey.look(store)? {
            survey.decisions = decide(&survey.candidates, now, policy);
        }
        Ok(survey)
    }

    /// Looks at what is counted on and has not been looked at; says whether there was any.
    fn look(&mut self, store: &Store) -> Result<bool, Error> {
        let mut looked = false;
        for at in 0..self.candidates.len() {
            if self.candidates[at].state != State::Unread || !self.decisions[at].is_relied_on() {
                continue;
            }
            looked = true;
            let name = self.candidates[at].name;
            self.candidates[at].state = match store.glance(&self.backups[at])? {
                Glance::Whole(_) => State::Good,
                Glance::Foreign | Glance::Archived => State::Unknown,
                Glance::NotAllowed(why) => {
                    self.read_nothing(&why);
                    break;
                }
                Glance::Gone => {
                    say!("'{name}' is gone since the store was listed");
                    self.backups.remove(at);
                    self.candidates.remove(at);
                    // The decisions are of those that were there.
                    break;
                }
                Glance::NotGood(why) => {
                    say!("'{name}' is not good: {why}");
                    self.not_good.insert(name, why);
                    State::Bad
                }
            };
        }
        Ok(looked)
    }

    /// Without leave to read, every backup that blob-put has published passes for a good one.
    fn read_nothing(&mut self, why: &str) {
        say!("deciding by names alone: {why}");
        for candidate in &mut self.candidates {
            candidate.state = State::Unknown;
        }
    }
}
