//! Which base backup, and which timeline.

use std::collections::BTreeMap;
use std::rc::Rc;

use azure_blob::Permission;
use backup_file::Index;
use job::{Error, Exit, say};
use recovery_window::{ArchiveContents, BaseBackup, Chain, Window};
use store::{Backup, Place, QuickCheck, Store};
use wal::SystemId;

use super::leading::{Base, Leading};
use super::settings::Stop;
use crate::cli::Args;
use crate::cli::recovery::Target;
use crate::source::chosen::moment;

/// The base backups of a store that look whole, oldest first.
pub(crate) struct Candidates {
    label: String,
    bases: Vec<Base>,
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

/// The store that the command line names, and its base backups that lead to the target, the newest first.
///
/// # Errors
/// It is no store, or does not answer; as [`Candidates::read`] and [`Candidates::leading_to`].
pub(crate) fn leading_to(target: &Target, args: &Args) -> Result<(Store, Vec<Candidate>), Error> {
    if !Store::is_store(&args.backup) {
        return Err(Error::usage(format!(
            "'{}' is no store: base backups and WAL come from a directory or a container",
            args.label()
        )));
    }
    if *target == Target::End && args.recovery.exclusive {
        return Err(Error::usage(
            "--exclusive is for a recovery that stops somewhere, and --at end does not",
        ));
    }
    let store = Store::open_with(&args.backup, args.patience())?;
    if let Place::Container(client) = store.place() {
        client.check(&[Permission::Read, Permission::List])?;
    }
    let candidates = Candidates::read(&store, args.wal.system)?.leading_to(&store, target, args)?;
    if let Some(newest) = candidates.first() {
        for beyond in newest.contents.holdings.beyond() {
            if beyond.timeline != newest.timeline {
                say!(
                    "note: timeline {} was left at {} for timeline {}, and has WAL of its own after that, which --timeline {} leads to",
                    beyond.timeline,
                    beyond.left_at,
                    beyond.left_for,
                    beyond.timeline
                );
            }
        }
    }
    Ok((store, candidates))
}

/// What `work` makes of the first base backup that is good. An older one leads there too, only over more WAL.
pub(crate) fn first_good<'a, T>(
    candidates: &'a [Candidate],
    target: &Target,
    mut work: impl FnMut(&'a Candidate) -> Result<T, Error>,
) -> Result<T, Error> {
    for (number, candidate) in candidates.iter().enumerate() {
        let name = candidate.base.name;
        say!(
            "'{name}', whole since {}, and timeline {} lead to {target}",
            moment(candidate.base.about.finished),
            candidate.timeline
        );
        match work(candidate) {
            Err(error) if error.exit() == Exit::NotGood && number + 1 < candidates.len() => {
                say!("passed over '{name}': {error}");
            }
            done => return done,
        }
    }
    Err(Error::not_good("no base backup is good"))
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
        bases.sort_by_key(|it| it.base.about.finished);
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
                Err(error) if error.exit() == Exit::NotGood => refused.push(error),
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
