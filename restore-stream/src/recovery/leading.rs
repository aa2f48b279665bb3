//! Which of a cluster's base backups lead to a target on a timeline.

use std::collections::BTreeSet;
use std::rc::Rc;

use backup_file::Index;
use job::Error;
use recovery_window::{ArchiveContents, BaseBackup, Chain, Window};
use store::{Backup, Store};
use wal::{Lsn, Meaning};

use super::settings::Stop;
use crate::cli::recovery::Target;

/// A base backup that looks whole.
#[derive(Debug, Clone)]
pub(super) struct Base {
    pub(super) backup: Backup,
    pub(super) index: Rc<Index>,
    pub(super) base: BaseBackup,
}

/// The base backups of one cluster that lead to a timeline, oldest first.
pub(super) struct Leading<'a> {
    pub(super) store: &'a Store,
    pub(super) contents: &'a ArchiveContents,
    pub(super) timeline: u32,
    pub(super) bases: Vec<(&'a Base, Window)>,
}

impl<'a> Leading<'a> {
    /// The base backups that lead to the target, the newest first, and where the recovery stops.
    ///
    /// # Errors
    /// None does, and which moments can be reached.
    pub(super) fn choose(
        &self,
        target: &Target,
        exclusive: bool,
    ) -> Result<(Vec<&'a Base>, Stop), Error> {
        match target {
            Target::Time(time) => {
                let before = self.newest(|base| base.about.finished <= *time);
                let Some(chain) = before.first().and_then(|base| self.chain(base)) else {
                    return Err(
                        self.unreachable(format!("no base backup was whole before {target}"), None)
                    );
                };
                let last = chain.last_end()?;
                // PostgreSQL stops at a transaction that ended later, and fails if there is none.
                let reaches = last.is_some_and(|last| match exclusive {
                    true => last >= *time,
                    false => last > *time,
                });
                if !reaches {
                    let ends = match last {
                        Some(last) => format!(
                            "ends with the transaction of {last}",
                            last = Target::Time(last)
                        ),
                        None => "has no transaction after the base backup".to_owned(),
                    };
                    return Err(self.unreachable(
                        format!("the archived WAL {ends}, and what was committed between then and {target} is not in it"),
                        Some(&chain),
                    ));
                }
                Ok((self.as_far_as(&chain, before), Stop::Time(*time)))
            }
            Target::Lsn(lsn) => self.choose_lsn(*lsn, target),
            Target::Xid(_) | Target::Name(_) => {
                let found = self.find(|meaning| match (meaning, target) {
                    (Meaning::TransactionEnd { xid, .. }, Target::Xid(wanted)) => {
                        *xid == Some(*wanted)
                    }
                    (Meaning::RestorePoint { name, .. }, Target::Name(wanted)) => {
                        name == wanted.as_bytes()
                    }
                    _ => false,
                })?;
                match found {
                    Some(lsn) => self.choose_lsn(lsn, target),
                    None => Err(self.unreachable(
                        format!(
                            "the archived WAL of timeline {} does not hold {target}",
                            self.timeline
                        ),
                        None,
                    )),
                }
            }
            Target::End => {
                let all = self.newest(|_| true);
                let chain = all.first().and_then(|base| self.chain(base));
                match chain {
                    Some(chain) if chain.gap().is_none() => {
                        Ok((self.as_far_as(&chain, all), Stop::End))
                    }
                    chain => Err(self.unreachable(
                        "the end of the archived WAL cannot be reached".to_owned(),
                        chain.as_ref(),
                    )),
                }
            }
        }
    }

    fn choose_lsn(&self, lsn: Lsn, target: &Target) -> Result<(Vec<&'a Base>, Stop), Error> {
        let before = self.newest(|base| base.stop().1 <= lsn);
        let Some(chain) = before.first().and_then(|base| self.chain(base)) else {
            return Err(self.unreachable(format!("no base backup was whole before {target}"), None));
        };
        let last = chain.last_record()?;
        if last.is_none_or(|last| last < lsn) {
            return Err(self.unreachable(
                format!(
                    "the archived WAL ends at {}, before {target}",
                    chain.until()
                ),
                Some(&chain),
            ));
        }
        Ok((self.as_far_as(&chain, before), Stop::Lsn(lsn)))
    }

    /// Where the last record is that is meant, in the WAL of any of them.
    fn find(&self, is_meant: impl Fn(&Meaning) -> bool) -> Result<Option<Lsn>, Error> {
        let mut read = BTreeSet::new();
        for base in self.newest(|_| true) {
            let Some(chain) = self.chain(base) else {
                continue;
            };
            for segment in chain.segments().iter().rev() {
                if !read.insert(*segment) {
                    continue;
                }
                let mut found = None;
                chain.read(*segment, &mut |record| {
                    if is_meant(&record.meaning) {
                        found = Some(record.at);
                    }
                })?;
                if found.is_some() {
                    return Ok(found);
                }
            }
        }
        Ok(None)
    }

    fn newest(&self, is_possible: impl Fn(&BaseBackup) -> bool) -> Vec<&'a Base> {
        let possible = self.bases.iter().rev().map(|(base, _)| *base);
        possible.filter(|base| is_possible(&base.base)).collect()
    }

    /// Of these, the ones from which no gap keeps the others' end.
    fn as_far_as(&self, chain: &Chain, bases: Vec<&'a Base>) -> Vec<&'a Base> {
        let far = |base: &&Base| {
            let reached = self.chain(base).map(|it| it.until());
            reached.is_some_and(|until| until >= chain.until())
        };
        bases.into_iter().filter(far).collect()
    }

    pub(super) fn chain(&self, base: &Base) -> Option<Chain> {
        Chain::new(self.store, self.contents, &base.base, self.timeline)
    }
}
