//! `--restore-test --at`: a cluster is recovered to a moment, from a base backup and the WAL of a store, into a server of
//! its own. The server must have reached that moment, and every database must be readable.

mod amcheck;
mod blame;
mod databases;
mod goal;
mod server;

use std::env;
use std::time::{Duration, Instant};

use job::{Error, say, text};
use pg_text::PgText;
use private_server::{Installation, ServerDirectory};
use store::Store;

use super::failure::{Failure, FailureCount};
use super::restore_stream::{Recovery, Restorer};
use crate::cli::Args;
use crate::figures::{Figures, ReadDatabase, Recovered};
use crate::finding::Finding;
use crate::moment::{Moment, Target};
use crate::read::archives::{Archives, Cluster};
use crate::report::Report;
use amcheck::Amcheck;
use goal::Goal;
use server::RecoveredServer;

/// The name of the check.
const CHECK: &str = "recovery";

/// Recovers the cluster of the newest base backup: adds a finding for each database and one for all, and returns what all
/// of it took if all of it is good.
///
/// # Errors
/// The report's only.
pub(crate) fn run(
    store: &Store,
    archives: &Archives,
    moment: &Moment,
    args: &Args,
    report: &mut Report,
) -> Result<Option<Recovered>, Error> {
    let tested = Test::prepare(store, archives, moment, args);
    let tested = tested.and_then(|test| test.recover().map(|recovered| (test, recovered)));
    match tested {
        Ok((test, recovered)) => test.read(recovered, report),
        Err(error) => {
            report.add(Finding::bad(CHECK, error))?;
            Ok(None)
        }
    }
}

/// A recovery that can be tried.
struct Test<'a> {
    args: &'a Args,
    cluster: &'a Cluster,
    installation: Installation,
    goal: Goal,
}

/// A cluster that has recovered.
struct Running {
    server: RecoveredServer,
    recovery: Recovery,
    figures: Recovered,
}

impl<'a> Test<'a> {
    fn prepare(
        store: &Store,
        archives: &'a Archives,
        moment: &Moment,
        args: &'a Args,
    ) -> Result<Self, Error> {
        let cluster = archives.newest_cluster().ok_or_else(|| {
            Error::not_good(format!(
                "there is no good base backup in '{}': no moment can be reached",
                store.label()
            ))
            .hint("take one: pgdump-gz --base | blob-put - STORE/")
        })?;
        let goal = Goal::choose(store, cluster, moment)?;
        let installation = server::installation(args.pg_bindir.as_deref(), cluster)?;
        Ok(Self {
            args,
            cluster,
            installation,
            goal,
        })
    }

    /// What is tested, for messages; it can be given again.
    fn words(&self) -> String {
        format!("recovery --at {}", self.goal.target)
    }

    /// Unpacks the base backup, and has a server replay the WAL.
    fn recover(&self) -> Result<Running, Error> {
        say!(
            "recovering system {} with --at {}",
            self.cluster.contents.system,
            self.goal.target
        );
        let recovered = self.recovered();
        recovered.map_err(|failure| failure.error(&self.words()))
    }

    fn recovered(&self) -> Result<Running, Failure> {
        let args = self.args;
        let parent = args.work_dir.clone().unwrap_or_else(env::temp_dir);
        let directory = ServerDirectory::make(&self.installation, &parent, server::PREFIX)
            .map_err(server::not_made)?;
        let began = Instant::now();
        let restorer = Restorer::new(&args.target, args.threads(), args.deadline);
        let system = self.cluster.contents.system;
        let recovery = restorer.recover(&self.goal.target, system, &directory.data())?;
        let restored = began.elapsed();
        let server = RecoveredServer::start(directory, &self.installation)?;
        let took = began.elapsed();
        let place = server.place()?;
        self.goal.check(&place)?;
        let figures = Recovered {
            moment: match &self.goal.target {
                Target::Time(time) => Some(*time),
                Target::End => None,
            },
            base: recovery.base_backup.clone(),
            system: system.to_string(),
            timeline: self.goal.timeline,
            last_commit: place.last_commit,
            replay_lsn: place.replayed.map(|lsn| lsn.to_string()),
            databases: 0,
            restore_seconds: restored.as_secs_f64(),
            replay_seconds: (took - restored).as_secs_f64(),
            seconds: took.as_secs_f64(),
        };
        Ok(Running {
            server,
            recovery,
            figures,
        })
    }

    /// Reads all databases.
    fn read(&self, running: Running, report: &mut Report) -> Result<Option<Recovered>, Error> {
        let Running {
            server,
            recovery,
            mut figures,
        } = running;
        let begun = databases::all(&server).and_then(|all| {
            let amcheck = Amcheck::find(&server, &self.installation, self.args.jobs)?;
            Ok((all, amcheck))
        });
        let (all, amcheck) = match begun {
            Ok(begun) => begun,
            Err(error) => {
                let error = Failure::from(error).error(&self.words());
                report.add(Finding::bad(CHECK, error))?;
                return Ok(None);
            }
        };
        let mut failures = FailureCount::default();
        for name in &all.names {
            let finding = self.database(&server, &amcheck, name);
            failures.count(&finding);
            report.add(finding)?;
        }
        if !failures.is_zero() {
            failures.say(all.names.len(), "came back damaged");
            return Ok(None);
        }
        figures.databases = all.names.len();
        let mut words = format!(
            "--at {} reached from '{}', {}, {}: {} restored in {}, WAL replayed in {}: the measured RTO is {}",
            self.goal.target,
            figures.base,
            goal::words(&figures),
            text::count(all.names.len(), "database"),
            text::bytes(recovery.bytes),
            in_words(figures.restore_seconds),
            in_words(figures.replay_seconds),
            in_words(figures.seconds),
        );
        for remark in self.goal.remarks.iter().chain(&all.remarks) {
            words = words + "; " + remark;
        }
        if let Some(remark) = amcheck.remark() {
            words = words + "; " + remark;
        }
        report.add(Finding::ok(CHECK, words).figures(Figures::Recovered(figures.clone())))?;
        Ok(Some(figures))
    }

    fn database(&self, server: &RecoveredServer, amcheck: &Amcheck, name: &PgText) -> Finding {
        let began = Instant::now();
        let read = databases::read(server, &self.installation, name);
        let seconds = began.elapsed().as_secs_f64();
        let checked = read.and_then(|()| amcheck.check(server, name));
        match checked {
            Ok(said) => {
                let words = format!("'{name}'  read in {}{said}", in_words(seconds));
                let figures = ReadDatabase {
                    database: name.clone(),
                    read_seconds: seconds,
                };
                Finding::ok(CHECK, words).figures(Figures::Read(figures))
            }
            Err(failure) => {
                let what = format!("database '{name}', --at {}", self.goal.target);
                Finding::bad(CHECK, failure.error(&what))
            }
        }
    }
}

fn in_words(seconds: f64) -> String {
    text::duration(Duration::try_from_secs_f64(seconds).unwrap_or_default())
}
