//! Where a recovery is to stop, and whether it did.

use chrono::{DateTime, Utc};
use job::Error;
use pg_client::random_key;
use recovery_window::{Chain, Moments};
use store::Store;
use wal::{Lsn, SystemId};

use crate::figures::Recovered;
use crate::moment::{Moment, Target};
use crate::read::archives::Cluster;
use crate::restore_test::failure::Failure;

/// Random bytes that choose a moment.
const KEY_LENGTH: usize = 8;

/// Where the recovery is to stop.
#[derive(Debug)]
pub(super) struct Goal {
    pub(super) target: Target,
    system: SystemId,
    /// The timeline that the recovery follows.
    pub(super) timeline: u32,
    /// Where the last record begins that the end has.
    last_record: Option<Lsn>,
    /// What somebody should know of it.
    pub(super) remarks: Vec<String>,
}

/// Where a server is that has recovered. It says so itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) system: Option<SystemId>,
    /// Its own timeline, now.
    pub(super) timeline: u32,
    /// Behind the last record that it replayed. None if it was started anew since.
    pub(super) replayed: Option<Lsn>,
    /// When the last transaction ended that it replayed. None if there was none, or as above.
    pub(super) last_commit: Option<DateTime<Utc>>,
    /// Whether it is still recovering.
    pub(super) recovers: bool,
}

impl Goal {
    /// Takes the moment that was asked for, or any that can be reached.
    ///
    /// # Errors
    /// The archive cannot be read.
    pub(super) fn choose(store: &Store, cluster: &Cluster, moment: &Moment) -> Result<Self, Error> {
        let mut remarks = Vec::new();
        let target = match moment {
            Moment::Given(target) => target.clone(),
            Moment::Random => {
                let moments = Moments::of(store, &cluster.contents, &cluster.bases)?;
                match moments.pick(random_number()?) {
                    Some(time) => Target::Time(time),
                    None => {
                        remarks.push(
                            "nothing was committed since the base backup, so the end is the only moment"
                                .to_owned(),
                        );
                        Target::End
                    }
                }
            }
        };
        let timelines = cluster.windows.iter().map(|window| window.timeline);
        let timeline = timelines.max().unwrap_or(1);
        let last_record = match target {
            Target::Time(_) => None,
            Target::End => last_record(store, cluster, timeline)?,
        };
        Ok(Self {
            target,
            system: cluster.contents.system,
            timeline,
            last_record,
            remarks,
        })
    }

    /// Whether the server is where it was to go. PostgreSQL itself ends where it does not find its target.
    ///
    /// # Errors
    /// It is not.
    pub(super) fn check(&self, place: &Place) -> Result<(), Failure> {
        let wrong = |why: String| Err(Failure::not_good(why));
        if place.recovers {
            return wrong("the server is still recovering".to_owned());
        }
        if let Some(system) = place.system
            && system != self.system
        {
            return wrong(format!("what was restored is of the system {system}"));
        }
        if place.timeline <= self.timeline {
            return wrong(format!(
                "the server is on timeline {}, and not on one of its own after {}",
                place.timeline, self.timeline
            ));
        }
        match (&self.target, place.last_commit, place.replayed) {
            (Target::Time(time), Some(last), _) if last > *time => wrong(format!(
                "the last transaction that was replayed is of {}, which is later",
                Target::Time(last)
            )),
            (Target::End, _, Some(replayed))
                if self.last_record.is_some_and(|last| replayed <= last) =>
            {
                wrong(format!(
                    "the WAL was replayed up to {replayed}, and goes on in the store"
                ))
            }
            _ => Ok(()),
        }
    }
}

/// What the server said of where it is.
pub(super) fn words(figures: &Recovered) -> String {
    let commit = match (figures.last_commit, &figures.replay_lsn) {
        (Some(last), _) => format!("the last transaction of {}", Target::Time(last)),
        (None, Some(_)) => "no transaction after it".to_owned(),
        (None, None) => "the target by PostgreSQL's own word".to_owned(),
    };
    match &figures.replay_lsn {
        Some(lsn) => format!("{commit}, WAL up to {lsn}"),
        None => commit,
    }
}

fn random_number() -> Result<u64, Error> {
    let key = random_key::<KEY_LENGTH>()?;
    u64::from_str_radix(&key, 16).map_err(|_| Error::failed("the system has no random number"))
}

/// Where the last record of the archive begins.
fn last_record(store: &Store, cluster: &Cluster, timeline: u32) -> Result<Option<Lsn>, Error> {
    let bases = cluster.bases.iter().rev();
    let chains = bases.map(|base| Chain::new(store, &cluster.contents, base, timeline));
    match chains.flatten().next() {
        Some(chain) => Ok(chain.last_record()?),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn goal(target: Target) -> Goal {
        Goal {
            target,
            system: SystemId(7),
            timeline: 2,
            last_record: Some(Lsn(100)),
            remarks: Vec::new(),
        }
    }

    fn place() -> Place {
        Place {
            system: Some(SystemId(7)),
            timeline: 3,
            replayed: Some(Lsn(108)),
            last_commit: DateTime::from_timestamp(50, 0),
            recovers: false,
        }
    }

    fn time(seconds: i64) -> Target {
        Target::Time(DateTime::from_timestamp(seconds, 0).unwrap())
    }

    #[test]
    fn a_server_that_is_elsewhere_is_found_out() {
        type Change = fn(&mut Place);
        let changes: [(Target, Change); 6] = [
            (time(60), |it| it.recovers = true),
            (time(60), |it| it.system = Some(SystemId(8))),
            (time(60), |it| it.timeline = 2),
            (time(60), |it| {
                it.last_commit = DateTime::from_timestamp(61, 0);
            }),
            (Target::End, |it| it.replayed = Some(Lsn(100))),
            (Target::End, |it| it.replayed = Some(Lsn(50))),
        ];
        for (target, change) in changes {
            let goal = goal(target);
            goal.check(&place()).unwrap();
            let mut place = place();
            change(&mut place);
            let error = goal.check(&place).unwrap_err().error("recovery");
            assert_eq!(error.exit().code(), 3, "{place:?}");
        }
    }

    #[test]
    fn what_the_server_has_forgotten_is_not_held_against_it() {
        let forgotten = Place {
            replayed: None,
            last_commit: None,
            ..place()
        };
        for target in [time(60), Target::End] {
            goal(target).check(&forgotten).unwrap();
        }
    }

    #[test]
    fn random_numbers_differ() {
        assert_ne!(random_number().unwrap(), random_number().unwrap());
    }
}
