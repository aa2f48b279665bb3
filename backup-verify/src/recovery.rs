//! The checks of what leads back to any moment: base backups and WAL.

use backup_file::BackupName;
use job::Error;
use pg_client::Conninfo;
use store::{Backup, Store};

use crate::checks::age::Moments;
use crate::checks::{base, fork, lag, wal};
use crate::finding::{Finding, Grade};
use crate::read::archives::Archives;
use crate::read::{all, backup, segments};
use crate::restore_test;
use crate::show::metrics::Family;
use crate::verification::Verification;

impl Verification<'_> {
    /// Checks base backups, oldest first, and the WAL archives of a store. With `--at`, a
    /// cluster is recovered from them. Returns how many bytes the archives take.
    ///
    /// # Errors
    /// An archive cannot be listed; standard output is closed. The report has what is wrong with them.
    pub(crate) fn check_recovery(&mut self, store: &Store, bases: &[Backup]) -> Result<u64, Error> {
        let archives = Archives::read(store, bases)?;
        self.check_archives(store, bases, &archives)?;
        if let Some(moment) = &self.args.at {
            let args = self.args;
            let tested =
                restore_test::recovery::run(store, &archives, moment, args, &mut self.report)?;
            self.metrics.recovery_tried(args.now(), tested.as_ref());
        }
        Ok(archives.size())
    }

    fn check_archives(
        &mut self,
        store: &Store,
        bases: &[Backup],
        archives: &Archives,
    ) -> Result<(), Error> {
        let args = self.args;
        if bases.is_empty() && archives.clusters.is_empty() && args.dbname.is_none() {
            return Ok(());
        }
        match bases.split_last() {
            None => self.report.add(base::none(&store.label()))?,
            Some((newest, older)) => {
                if args.all {
                    all::check(store, older, args, None, &mut self.report)?;
                }
                self.check_newest_base(store, newest, archives)?;
            }
        }
        for cluster in &archives.clusters {
            self.report.add(wal::check(cluster))?;
            if args.all {
                let read = segments::read(store, &cluster.contents, args.jobs())?;
                self.report.add(wal::read(cluster, &read))?;
            }
        }
        self.check_lag(archives)?;
        for cluster in &archives.clusters {
            for finding in fork::check(cluster, args.now()) {
                self.report.add(finding)?;
            }
        }
        Ok(())
    }

    fn check_newest_base(
        &mut self,
        store: &Store,
        newest: &Backup,
        archives: &Archives,
    ) -> Result<(), Error> {
        let (args, name) = (self.args, newest.name);
        let mut finding = self.base_finding(store, newest, archives);
        let moments = Moments::of(name, archives.about(name));
        let mut good = Some(moments);
        if let Grade::Bad(error) = &mut finding.grade {
            let older = archives.newest_beside(name);
            if let Some(older) = older {
                *error = error.clone().hint(format!("'{older}' looks whole"));
            }
            good = older.map(|older| Moments::of(older, archives.about(older)));
        }
        if let Some(data) = good.and_then(|good| good.data) {
            self.metrics.set_moment(Family::BaseTimestamp, data);
        }
        self.report.add(finding.on(name))?;
        let max = args.limits.max_base_age;
        self.report.add(base::age(name, moments, args.now(), max))
    }

    /// The newest base backup, read through, or its end looked at.
    fn base_finding(&self, store: &Store, newest: &Backup, archives: &Archives) -> Finding {
        let name = newest.name;
        if !self.args.wal_only {
            let mut finding = match store.source(newest) {
                Ok(source) => backup::check(&source, self.args.threads()),
                Err(error) => backup::not_read(error),
            };
            finding.check = base::CHECK;
            return finding;
        }
        let unknown = |it: &&(BackupName, String)| it.0 == name;
        match archives.unknown.iter().find(unknown) {
            None => base::looked_at(name),
            Some((_, why)) => base::not_whole(name, why),
        }
    }

    fn check_lag(&mut self, archives: &Archives) -> Result<(), Error> {
        let (args, max) = (self.args, self.args.limits.max_lag);
        if let Some(dbname) = &args.dbname {
            let server = Conninfo::parse(dbname)
                .map_err(Error::from)
                .and_then(|conninfo| lag::ServerWal::ask(&conninfo));
            let finding = match server {
                Ok(server) => lag::check(&archives.clusters, &server, max),
                Err(error) => lag::not_known(error),
            };
            return self.report.add(finding);
        }
        match archives.newest_cluster() {
            Some(cluster) => self
                .report
                .add(lag::without_server(cluster, args.now(), max)),
            None => Ok(()),
        }
    }
}
