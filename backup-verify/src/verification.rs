//! The checks of one run, in their order.

use azure_blob::Permission;
use backup_file::{BackupName, Excluded};
use job::{Error, print};
use store::{Backup, Source, Store, total_size};

use crate::checks::age::Moments;
use crate::checks::room::Room;
use crate::checks::{age, clock, content, gaps, leftovers, retention, size, token};
use crate::cli::Args;
use crate::figures::{Contents, SqlSizes};
use crate::finding::{Finding, Grade};
use crate::limits::Limits;
use crate::read::earlier::{Earlier, newest_whole};
use crate::read::state_file::StateFile;
use crate::read::{all, backup, summary};
use crate::report::Report;
use crate::restore_test;
use crate::show::Output;
use crate::show::metrics::{Family, Metrics};
use crate::show::table::{Terminal, table};

/// One run, with what it has found so far.
#[derive(Debug)]
pub(crate) struct Verification<'a> {
    pub(crate) args: &'a Args,
    pub(crate) report: Report,
    pub(crate) metrics: Metrics,
}

impl<'a> Verification<'a> {
    pub(crate) fn new(args: &'a Args) -> Self {
        let label = label(&args.target);
        Self {
            args,
            metrics: Metrics::new(&label),
            report: Report::new(label, args.now(), Output::of(args)),
        }
    }

    /// Checks the backup that the command line names.
    ///
    /// # Errors
    /// It cannot be opened; standard output is closed. The report has what is wrong with it.
    pub(crate) fn of_backup(&mut self) -> Result<(), Error> {
        let args = self.args;
        let source = Source::open_with(&args.target, args.patience())?;
        self.set_target(&source.label());
        if args.all {
            let label = source.label();
            return Err(Error::usage(format!(
                "--all is for a store, and '{label}' is a backup"
            )));
        }
        if args.at.is_some() {
            let label = source.label();
            return Err(Error::usage(format!(
                "--at is for a store with base backups and WAL, and '{label}' is a backup"
            )));
        }
        if args.restore_test {
            restore_test::rereadable(&source)?;
        }
        let finding = backup::check(&source, args.threads());
        let contents = finding.contents();
        let is_base = contents.is_some_and(|contents| contents.base.is_some());
        self.report.add(finding)?;
        if args.restore_test && is_base {
            return Err(Error::usage(format!(
                "'{}' is a base backup, which --restore-test cannot restore",
                source.label()
            ))
            .hint("restore it by hand (docs/restore.md, 'A base backup'), or test a dump"));
        }
        if args.restore_test {
            self.test_restore(&args.target, &source)?;
        }
        Ok(())
    }

    /// Checks the store that the command line names.
    ///
    /// # Errors
    /// It cannot be opened or listed; standard output is closed. The report has what is wrong with it.
    pub(crate) fn of_store(&mut self) -> Result<(), Error> {
        let args = self.args;
        let now = args.now();
        let store = Store::open_with(&args.target, args.patience())?;
        self.set_target(&store.label());
        if let Some(client) = store.container() {
            match (client.sas(), client.expires()) {
                (_, Some(expires)) => self.metrics.set_moment(Family::TokenExpiry, expires),
                // An identity has none, and the last token's end would alarm in vain.
                (None, None) => self.metrics.forget(Family::TokenExpiry),
                (Some(_), None) => {}
            }
            client.check(&[Permission::List, Permission::Read])?;
            if let Some(finding) = token::check(client, now, args.limits.warn_expiry) {
                self.report.add(finding)?;
            }
        }
        let listing = store.list()?;
        self.metrics.stored(&listing);
        let (dumps, future_dumps) = clock::split(&listing.dumps, now);
        let (bases, future_bases) = clock::split(&listing.bases, now);
        // A store may have either kind alone.
        let has_bases_only = listing.dumps.is_empty() && !listing.bases.is_empty();
        if !args.wal_only && !has_bases_only {
            self.check_backups(&store, dumps)?;
        }
        let archived = self.check_recovery(&store, bases)?;
        if args.wal_only {
            return Ok(());
        }
        let used = total_size(listing.all()).saturating_add(archived);
        if let Some(finding) = self.check_room(&store, used)? {
            self.report.add(finding)?;
        }
        for finding in [future_dumps, future_bases]
            .into_iter()
            .filter_map(clock::check)
        {
            self.report.add(finding)?;
        }
        if let Some(directory) = store.directory() {
            for finding in leftovers::check(directory)? {
                self.report.add(finding)?;
            }
        }
        let backups: Vec<Backup> = listing.all().cloned().collect();
        self.show_table(&store, &backups)
    }

    fn set_target(&mut self, label: &str) {
        self.report.set_target(label.to_owned());
        self.metrics = Metrics::new(label);
    }

    /// Checks a store's backups, oldest first: the last one, with `--all` the others too, and whether any is missing or
    /// should be gone.
    fn check_backups(&mut self, store: &Store, backups: &[Backup]) -> Result<(), Error> {
        let args = self.args;
        let Some((_, older)) = backups.split_last() else {
            return self.report.add(none(store));
        };
        let mut state = match &args.state {
            Some(path) => Some(StateFile::open(path, &store.label(), backups)?),
            None => None,
        };
        if args.all {
            all::check(store, older, args, state.as_mut(), &mut self.report)?;
        }
        match self.check_newest(store, backups, state.as_mut())? {
            [] => self.report.add(none(store)),
            left => self.check_series(store, left),
        }
    }

    /// Checks the last of these backups that is still there, and returns those up to it.
    fn check_newest<'b>(
        &mut self,
        store: &Store,
        backups: &'b [Backup],
        state: Option<&mut StateFile>,
    ) -> Result<&'b [Backup], Error> {
        let mut left = backups;
        while let Some((newest, older)) = left.split_last() {
            let finding = match store.source(newest) {
                Ok(source) => backup::check(&source, self.args.threads()),
                Err(error) => backup::not_read(error),
            };
            if finding.is_bad()
                && let Some(gone) = backup::gone(store, newest)
            {
                self.report.add(gone.on(newest.name))?;
                left = older;
                continue;
            }
            self.judge_newest(store, left, finding, state)?;
            break;
        }
        Ok(left)
    }

    /// Takes what was found of the last of these backups, and checks what follows from it.
    fn judge_newest(
        &mut self,
        store: &Store,
        backups: &[Backup],
        finding: Finding,
        state: Option<&mut StateFile>,
    ) -> Result<(), Error> {
        let (args, now) = (self.args, self.args.now());
        let Some((newest, older)) = backups.split_last() else {
            return Ok(());
        };
        let name = newest.name;
        let mut finding = finding.on(name);
        let about = finding.contents().and_then(|it| it.about.as_ref());
        let moments = Moments::of(name, about);
        let mut good = Some(moments);
        if let Grade::Bad(error) = &mut finding.grade {
            let older = newest_whole(store, older);
            if let Some((older, _)) = &older {
                *error = error.clone().hint(format!("'{older}' looks whole"));
            }
            good = older.map(|(older, about)| Moments::of(older, about.as_ref()));
        }
        self.metrics.age(moments, now);
        if let Some(contents) = finding.contents() {
            self.metrics.newest(contents);
        }
        if let Some(good) = good {
            self.metrics.last_success(good);
        }
        if let Some(state) = state
            && finding.is_good_reading()
        {
            state.add(newest, now)?;
        }
        let is_bad = finding.is_bad();
        let sizes = finding.contents().and_then(Contents::sql_sizes);
        let about = finding.contents().and_then(|it| it.about.as_ref());
        let excluded = about.map(|it| it.excluded.clone());
        self.report.add(finding)?;
        self.report
            .add(age::check(name, moments, now, args.limits.max_age))?;
        // The size of a bad backup tells nothing.
        if !is_bad {
            self.check_size(store, newest, older, sizes, &excluded.unwrap_or_default())?;
        }
        if args.restore_test && args.at.is_none() {
            let address = restore_test::address(&args.target, store, newest);
            match store.source(newest) {
                Ok(source) => self.test_restore(&address, &source)?,
                Err(error) => self.report.add(restore_test::not_tested(error))?,
            }
        }
        Ok(())
    }

    /// Compares the newest backup, and each database in it, with the earlier ones.
    fn check_size(
        &mut self,
        store: &Store,
        newest: &Backup,
        earlier: &[Backup],
        sizes: Option<SqlSizes>,
        excluded: &Excluded,
    ) -> Result<(), Error> {
        let earlier = Earlier::of(store, earlier, excluded)?;
        let max = self.args.limits.max_size_change;
        self.report
            .add(size::check(newest.name, newest.size, &earlier.sizes, max))?;
        let Some(sizes) = sizes else {
            return Ok(());
        };
        for finding in content::check(&sizes, &earlier.databases, max) {
            self.report.add(finding)?;
        }
        Ok(())
    }

    fn test_restore(&mut self, address: &str, source: &Source) -> Result<(), Error> {
        let tested = restore_test::run(address, source, self.args, &mut self.report)?;
        self.metrics.restore_tried(self.args.now(), tested.as_ref());
        Ok(())
    }

    /// Checks whether a backup is missing, and with a policy whether one should be gone.
    fn check_series(&mut self, store: &Store, backups: &[Backup]) -> Result<(), Error> {
        let args = self.args;
        let Limits {
            every, max_missed, ..
        } = args.limits;
        let names: Vec<BackupName> = backups.iter().map(|backup| backup.name).collect();
        self.report.add(gaps::check(&names, every, max_missed))?;
        match args.limits.policy() {
            Some(policy) => self
                .report
                .add(retention::check(store, backups, args.now(), &policy)?),
            None => Ok(()),
        }
    }

    /// Checks how full the store is, which is not known of a container without a quota, or of a file system that does not
    /// know its own size.
    fn check_room(&self, store: &Store, used: u64) -> Result<Option<Finding>, Error> {
        let limits = &self.args.limits;
        let room = match (limits.quota, store.directory()) {
            (Some(quota), _) => Some(Room::of_quota(used, quota)),
            (None, Some(directory)) => Room::of_file_system(directory.path())?,
            (None, None) => None,
        };
        Ok(room.map(|room| room.check(limits.max_used)))
    }

    /// Shows the backups of a store to a person at a terminal.
    fn show_table(&self, store: &Store, backups: &[Backup]) -> Result<(), Error> {
        match Terminal::stdout() {
            Some(terminal) if self.report.has_lines() && !backups.is_empty() => {
                let summaries = summary::of_all(store, backups, self.report.findings());
                let table = table(backups, &summaries, self.args.now(), terminal);
                print(&format!("\n{table}"))
            }
            _ => Ok(()),
        }
    }
}

/// The label of a target that has not been opened: its address without the query, which would be the token.
fn label(target: &str) -> String {
    let address = target.split('?').next().unwrap_or(target);
    match target.contains("://") {
        true => address.trim_end_matches('/').to_owned(),
        false => target.to_owned(),
    }
}

fn none(store: &Store) -> Finding {
    let error = Error::not_good(format!("there are no backups in '{}'", store.label())).hint(
        "a backup's name is postgresql_backup_YYYYMMDD_HHMMSS.sql.gz; other names are not looked at",
    );
    backup::not_read(error)
}
