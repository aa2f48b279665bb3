//! The sessions that one run has open at once.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pg_client::Killer;

use crate::server::failure::record::FirstFailure;

/// The sessions of this run. They are killed together when one has failed. Clones are the same group.
#[derive(Debug, Clone)]
pub(crate) struct SessionGroup {
    sessions: Arc<Mutex<Sessions>>,
    pub(super) first_failure: FirstFailure,
}

#[derive(Debug, Default)]
struct Sessions {
    killers: Vec<Killer>,
    /// Whether they were killed. One that starts after that is killed too.
    killed: bool,
}

impl SessionGroup {
    pub(crate) fn new(first_failure: FirstFailure) -> Self {
        Self {
            sessions: Arc::default(),
            first_failure,
        }
    }

    pub(super) fn add(&self, killer: Killer) {
        let mut sessions = self.lock();
        if sessions.killed {
            killer.kill();
        }
        sessions.killers.push(killer);
    }

    pub(crate) fn kill(&self) {
        let mut sessions = self.lock();
        sessions.killed = true;
        for killer in &sessions.killers {
            killer.kill();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use pg_client::Child;

    use super::*;

    #[test]
    fn a_session_that_starts_after_the_others_were_killed_is_killed_too() {
        let group = SessionGroup::new(FirstFailure::default());
        let sleep = || {
            let mut command = Command::new("sleep");
            command.arg("600");
            Child::spawn(command).unwrap()
        };
        let (before, after) = (sleep(), sleep());
        group.add(before.killer());
        group.kill();
        group.add(after.killer());
        assert!(before.wait().is_err() && after.wait().is_err());
    }
}
