//! Restores new databases side by side, and each of them by several sessions if its map allows that.

use std::ops::ControlFlow;

use backup_file::Section;
use job::{Error, Progress, in_parallel, say};

use super::frozen_rows::FrozenRows;
use super::lane::{Lane, Outcome, Place};
use super::pool::{Alarm, OpenDatabase, Pool, Taken, Task};
use crate::cli::Args;
use crate::edit::{Definition, Tally};
use crate::load::part::Load;
use crate::report::RestoredDatabase;
use crate::server::cleanup::Cleanup;
use crate::server::cluster::Cluster;
use crate::server::session_group::SessionGroup;
use crate::server::target::{Destination, Target};
use crate::source::checked::CheckedSql;
use crate::source::chosen::ChosenBackup;
use crate::source::ranges::SectionRanges;

/// A database's part of the backup, where it goes, and statements about it that came before.
pub(crate) struct Part<'a> {
    pub(crate) section: &'a Section,
    pub(crate) target: &'a Target,
    pub(crate) definitions: Vec<Definition>,
}

/// What the restore of each database needs.
#[derive(Clone, Copy)]
pub(crate) struct Setting<'a> {
    pub(crate) chosen: &'a ChosenBackup,
    pub(crate) cluster: &'a Cluster,
    pub(crate) args: &'a Args,
    pub(crate) cleanup: &'a Cleanup,
    pub(crate) sessions: &'a SessionGroup,
    pub(crate) progress: &'a Progress,
}

/// Loads databases that are created for it, with as many sessions at once as the command line allows. Returns what was
/// restored, in the order of the parts.
pub(crate) fn load(
    setting: Setting<'_>,
    parts: &[&Part<'_>],
    tally: &mut Tally,
) -> Result<Vec<RestoredDatabase>, Error> {
    let jobs = usize::from(setting.args.jobs);
    // The largest first: what is left at the end is shared by all.
    let mut order: Vec<usize> = (0..parts.len()).collect();
    order.sort_by_key(|at| std::cmp::Reverse(parts[*at].section.sql_length));
    let pool = Pool::new(
        parts.len(),
        setting.sessions.clone(),
        setting.args.unit_order,
    );
    let mut restored = Vec::new();
    let worker = |_| {
        Worker {
            setting,
            pool: &pool,
        }
        .work(parts, &order)
    };
    in_parallel(jobs, jobs, worker, |_, done| {
        restored.extend(done);
        ControlFlow::Continue(())
    });
    if let Some(error) = pool.into_failure() {
        return Err(error);
    }
    restored.sort_by_key(|(at, ..)| *at);
    Ok(restored
        .into_iter()
        .map(|(_, entry, its_tally)| {
            tally.add(its_tally);
            entry
        })
        .collect())
}

/// A thread, which has one session at a time.
struct Worker<'p, 'a> {
    setting: Setting<'a>,
    pool: &'p Pool<'a>,
}

impl<'a> Worker<'_, 'a> {
    fn work(&self, parts: &[&Part<'a>], order: &[usize]) -> Vec<(usize, RestoredDatabase, Tally)> {
        let _alarm = Alarm(self.pool);
        let mut restored = Vec::new();
        loop {
            let done = match self.pool.next() {
                Ok(Task::Restore(number)) => {
                    let at = order[number];
                    let done = self.restore(parts[at], number);
                    done.map(|(entry, tally)| restored.push((at, entry, tally)))
                }
                Ok(Task::Help(number, database, taken)) => self.help(number, &database, taken),
                Ok(Task::End) | Err(_) => return restored,
            };
            if let Err(error) = done {
                self.pool.fail(error);
                return restored;
            }
        }
    }

    /// Restores a database, perhaps with the help of others.
    fn restore(&self, part: &Part<'a>, number: usize) -> Result<(RestoredDatabase, Tally), Error> {
        let Setting {
            chosen,
            cluster,
            args,
            cleanup,
            sessions,
            progress,
        } = self.setting;
        let Part {
            section, target, ..
        } = part;
        let threads = (args.threads() / usize::from(args.jobs)).max(1);
        let mapped = goes_by_its_map(args, target);
        let ranges = match mapped && args.jobs > 1 {
            true => SectionRanges::new(chosen, section)?,
            false => None,
        };
        // One session does without the map, if that is damaged.
        let alone = match mapped && args.jobs == 1 {
            true => SectionRanges::new(chosen, section).unwrap_or_else(|error| {
                say!("'{}': no rows are frozen: {error}", target.name);
                None
            }),
            false => None,
        };
        if args.jobs > 1 && ranges.is_none() {
            say_why_alone(args, part);
        }
        let ranges = ranges.filter(|it| !it.layout().copies.is_empty());
        let mut input = match &ranges {
            Some(_) => None,
            None => Some(CheckedSql::section(chosen, section, threads)?),
        };
        let mut load = Load::database(cluster, target, chosen.encoding(), cleanup, sessions)?;
        load.define(part.definitions.clone());
        let mut outcome = Outcome::of_one();
        if let Some(ranges) = ranges {
            let place = Place {
                cluster,
                target,
                number,
                threads,
                progress,
            };
            outcome = Lane::new(place, self.pool, &mut load, ranges).run()?;
        }
        if let Some(input) = &mut input {
            match &alone {
                Some(ranges) => {
                    let mut frozen = FrozenRows::new(ranges.layout());
                    load.all_by(input, progress, &mut |load, piece| {
                        if frozen.see(piece) && !load.is_within_transaction() {
                            load.freeze_next();
                        }
                        load.piece(piece)
                    })?;
                }
                None => load.all(input, progress)?,
            }
        }
        let tally = load.take_tally();
        let mut entry = load.end(target)?;
        entry.sessions = outcome.sessions;
        entry.unrecognised = outcome.unrecognised;
        self.pool.finish();
        Ok((entry, tally))
    }

    /// Does units of a database as long as there are some.
    fn help(&self, number: usize, database: &OpenDatabase<'_>, taken: Taken) -> Result<(), Error> {
        let Setting {
            cluster, progress, ..
        } = self.setting;
        let mut load = database.sibling.start(cluster, self.pool.sessions())?;
        let mut next = Some(taken);
        while let Some(taken) = next {
            taken.unit.run(&mut load, &database.ranges, progress)?;
            self.pool.done(number, &taken);
            next = self.pool.help_on(number)?;
        }
        self.pool.leave(number, load.share()?);
        Ok(())
    }
}

/// Says why one session restores a database, although there might be more.
fn say_why_alone(args: &Args, part: &Part<'_>) {
    let name = &part.target.name;
    if args.continues() {
        say!(
            "'{name}': one session restores it, since --on-error continue goes by the dump's lines"
        );
    } else if part.section.map.is_none() {
        say!("'{name}': one session restores it, since the backup has no map of it");
    }
}

/// Whether a database may be loaded by its map: by several sessions, and with rows that are frozen. Where the restore goes on
/// after errors, statements are listed by the lines that they have in the dump, which one session counts. A database that has
/// its name while it is filled has others in it.
fn goes_by_its_map(args: &Args, target: &Target) -> bool {
    let beside = matches!(target.destination, Destination::Beside(_));
    !args.continues() && beside
}
