//! Which base backup, and which timeline.

use std::collections::BTreeMap;
use std::rc::Rc;

use backup_file::Index;
use job::{Error, say, text};
use recovery_window::{ArchiveContents, BaseBackup, Window, spans};
use store::{Backup, QuickCheck, Store};
use wal::{Lsn, Meaning, SystemId};

use super::chain::Chain;
use super::settings::Stop;
use crate::cli::Args;
use crate::cli::recovery::Target;
use crate::source::chosen::moment;

/// The base backups of a store that look whole, oldest first.
pub(crate) struct Candidates {
    label: String,
    bases: Vec<Base>,
}

#[derive(Debug, Clone)]
struct Base {
    backup: Backup,
    index: Rc<Index>,
    base: BaseBackup,
}

/// A base backup that leads to the target.
pub(crate) struct Candidate {
    pub(crate) backup: Backup,
    pub(crate) index: Rc<Index>,
    pub(crate) base: BaseBackup,
    pub(crate) contents: Rc<ArchiveContents>,
    /// The timeline that the recovery follows.
    pub(crate) timeline: u32,
    /// Where it stops.
    pub(crate) stop: Stop,
}

/// The base backups of one cluster that lead to a timeline, oldest first.
struct Leading<'a> {
    store: &'a Store,
    contents: &'a ArchiveContents,
    timeline: u32,
    bases: Vec<(&'a Base, Window)>,
}

impl Candidates {
    /// Looks at the ends of all base backups, or at those of one cluster.
    ///
    /// # Errors
    /// There is none, or the store does not answer.
    pub(crate) fn read(store: &Store, system: Option<SystemId>) -> Result<Self, Error> {
        let mut bases = Vec::new();
        for backup in store.list()?.bases {
            let why = match store.quick_check(&backup)? {
                QuickCheck::Whole(Some(index)) => {
                    match BaseBackup::new(backup.name, &index) {
                        Some(base) if system.is_none_or(|it| it == base.system) => {
                            let index = Rc::new(*index);
                            bases.push(Base {
                                backup,
                                index,
                                base,
                            });
                        }
                        _ => {}
                    }
                    continue;
                }
                QuickCheck::Gone => continue,
                QuickCheck::Whole(None) | QuickCheck::Foreign => "it has no index".to_owned(),
                QuickCheck::Archived => {
                    "it is in the archive tier, and must be rehydrated first".to_owned()
                }
                QuickCheck::NotGood(why) => why,
                QuickCheck::NotAllowed(why) => {
                    return Err(Error::failed(format!("'{}': {why}", backup.name))
                        .hint("the token needs the permission r, to read blobs"));
                }
            };
            say!("passed over '{}': {why}", backup.name);
        }
        bases.sort_by_key(|it| it.base.finished);
        let label = store.label();
        match bases.is_empty() {
            true => Err(Error::not_good(format!(
                "there is no good base backup{} in '{label}'",
                system.map_or_else(String::new, |it| format!(" of the cluster {it}"))
            ))
            .hint("WAL leads on from a base backup (pgdump-gz --base); without one, only dumps can be restored: --latest")),
            false => Ok(Self { label, bases }),
        }
    }

    /// Those that lead to the target, the newest first.
    ///
    /// # Errors
    /// None does, and which moments can be reached; clusters share the store, and it is not clear which one is meant.
    pub(crate) fn leading_to(
        self,
        store: &Store,
        target: &Target,
        args: &Args,
    ) -> Result<Vec<Candidate>, Error> {
        let mut clusters: BTreeMap<SystemId, Vec<&Base>> = BTreeMap::new();
        for base in &self.bases {
            clusters.entry(base.base.system).or_default().push(base);
        }
        let (mut leading, mut refused) = (Vec::new(), Vec::new());
        for (system, bases) in &clusters {
            match of_cluster(store, *system, bases, target, args) {
                Ok(found) => leading.push((*system, found)),
                Err(error) if error.exit() == job::Exit::NotGood => refused.push(error),
                Err(error) => return Err(error),
            }
        }
        if leading.len() > 1 {
            let systems: Vec<String> = leading.iter().map(|(it, _)| it.to_string()).collect();
            return Err(Error::usage(format!(
                "base backups of {} clusters in '{}' lead to {target}: which is meant?",
                leading.len(),
                self.label
            ))
            .hint(format!("say --system with one of {}", systems.join(", "))));
        }
        match leading.pop() {
            Some((_, found)) => Ok(found),
            None => {
                for error in refused.iter().skip(1) {
                    job::say_error(error);
                }
                Err(refused.into_iter().next().unwrap_or_else(|| {
                    Error::not_good(format!("no base backup in '{}' is good", self.label))
                }))
            }
        }
    }
}

impl Candidate {
    /// The WAL after it.
    ///
    /// # Errors
    /// Its timeline does not lead on, which was looked at.
    pub(crate) fn chain(&self, store: &Store) -> Result<Chain, Error> {
        Chain::new(store, &self.contents, &self.base, self.timeline)
            .ok_or_else(|| Error::not_good(format!("'{}' does not lead on", self.base.name)))
    }

    /// Bytes of the WAL up to where the recovery stops; none where that shows only when it is read.
    pub(crate) fn wal_bytes(&self) -> Option<u64> {
        let (first, start) = self.base.start();
        let holdings = &self.contents.holdings;
        let until = match self.stop {
            Stop::Time(_) => return None,
            Stop::Lsn(lsn) => lsn,
            Stop::End => holdings.reach(first, start, self.timeline)?.until,
        };
        let segment = holdings.size().bytes();
        Some(until.0.saturating_sub(start.0).saturating_add(2 * segment))
    }
}

fn of_cluster(
    store: &Store,
    system: SystemId,
    bases: &[&Base],
    target: &Target,
    args: &Args,
) -> Result<Vec<Candidate>, Error> {
    let Some(newest) = bases.last() else {
        return Ok(Vec::new());
    };
    let contents = ArchiveContents::read(store, system, newest.base.segment_size)?;
    let contents = Rc::new(contents);
    for (timeline, why) in &contents.unreadable {
        say!("warning: the history of timeline {timeline} is not good: {why}");
    }
    let of_each = |base: &&Base| Window::of(&base.base, &contents).timeline;
    let timeline = match args.recovery.timeline {
        Some(timeline) => timeline,
        None => bases.iter().map(of_each).max().unwrap_or(1),
    };
    let leading = Leading {
        store,
        contents: &contents,
        timeline,
        bases: bases
            .iter()
            .filter_map(|base| {
                let window = Window::to(&base.base, &contents, timeline)?;
                window.is_whole().then_some((*base, window))
            })
            .collect(),
    };
    if leading.bases.is_empty() {
        return Err(leading.nothing_leads(bases));
    }
    let (chosen, stop) = leading.choose(target, args.recovery.exclusive)?;
    Ok(chosen
        .into_iter()
        .map(|base| Candidate {
            backup: base.backup.clone(),
            index: Rc::clone(&base.index),
            base: base.base.clone(),
            contents: Rc::clone(&contents),
            timeline,
            stop: stop.clone(),
        })
        .collect())
}

impl<'a> Leading<'a> {
    /// The base backups that lead to the target, the newest first, and where the recovery stops.
    fn choose(&self, target: &Target, exclusive: bool) -> Result<(Vec<&'a Base>, Stop), Error> {
        match target {
            Target::Time(time) => {
                let before = self.newest(|base| base.finished <= *time);
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
        let mut read = std::collections::BTreeSet::new();
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

    fn chain(&self, base: &Base) -> Option<Chain> {
        Chain::new(self.store, self.contents, &base.base, self.timeline)
    }

    /// The error of a target that is not reached, with the moments that are.
    fn unreachable(&self, why: String, chain: Option<&Chain>) -> Error {
        let mut said = why;
        if let Some(gap) = chain.and_then(Chain::gap) {
            said = format!(
                "{said}: {} missing in '{}', from '{}' on",
                text::count(usize::try_from(gap.count).unwrap_or(usize::MAX), "segment"),
                self.contents.label,
                gap.first
            );
        }
        let newest = self.bases.last().and_then(|(base, _)| self.chain(base));
        let exact = newest.as_ref().and_then(|it| it.last_end().ok().flatten());
        let mut windows: Vec<Window> = self.bases.iter().map(|(_, it)| it.clone()).collect();
        for window in &mut windows {
            if Some(window.until_lsn) == newest.as_ref().map(Chain::until) {
                window.until = exact.map(|it| it.max(window.from));
            }
        }
        let spans: Vec<String> = spans(&windows)
            .values()
            .flatten()
            .map(|span| format!("from {} to {}", moment(span.from), moment(span.until)))
            .collect();
        let others = self.other_timelines();
        Error::not_good(said).hint(format!(
            "on timeline {} these moments can be reached: {}; --at end takes all that is archived{others}",
            self.timeline,
            spans.join(", ")
        ))
    }

    fn nothing_leads(&self, bases: &[&Base]) -> Error {
        let mut timelines: Vec<u32> = bases
            .iter()
            .flat_map(|base| {
                let (timeline, stop) = base.base.stop();
                self.contents.holdings.targets(timeline, stop)
            })
            .collect();
        timelines.sort_unstable();
        timelines.dedup();
        let said = match self.broken(bases) {
            Some(said) => said,
            None => format!(
                "no base backup in '{}' leads to timeline {}",
                self.store.label(),
                self.timeline
            ),
        };
        let timelines: Vec<String> = timelines.iter().map(u32::to_string).collect();
        Error::not_good(said).hint(format!(
            "base backups lead to the timelines {}; backup-verify STORE --wal-only says what is missing",
            timelines.join(", ")
        ))
    }

    /// What the newest base backup lacks that leads to the timeline, but is not whole with the WAL that is there.
    fn broken(&self, bases: &[&Base]) -> Option<String> {
        let windows = bases.iter().rev();
        let mut windows =
            windows.filter_map(|it| Window::to(&it.base, self.contents, self.timeline));
        let window = windows.next()?;
        let missing = match window.gaps.first() {
            Some(gap) => format!(
                "{} missing in '{}', from '{}' on",
                text::count(usize::try_from(gap.count).unwrap_or(usize::MAX), "segment"),
                self.contents.label,
                gap.first
            ),
            None => format!(
                "in '{}' it ends at {}",
                self.contents.label, window.until_lsn
            ),
        };
        Some(format!(
            "'{}' cannot be restored without its WAL up to {}: {missing}",
            window.base, window.stop
        ))
    }

    /// Timelines that were left and have WAL of their own after that.
    fn other_timelines(&self) -> String {
        let beyond = self.contents.holdings.beyond();
        let beyond = beyond.iter().filter(|it| it.timeline != self.timeline);
        let timelines: Vec<String> = beyond.map(|it| it.timeline.to_string()).collect();
        match timelines.is_empty() {
            true => String::new(),
            false => format!(
                "; there is also WAL of timelines that were left: --timeline {}",
                timelines.join(" or ")
            ),
        }
    }
}
