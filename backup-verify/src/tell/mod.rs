//! Who else hears how it went: a file of metrics, a Pushgateway, a dead-man's switch.

mod endpoint;
mod ping;
mod push;

use std::path::{Path, PathBuf};

use job::{Error, print, say_error};
use store::Store;

use crate::cli::Args;
use crate::show::metrics::Metrics;
use crate::show::{Output, is_stdout};
use endpoint::Endpoint;
use ping::{ping, ping_start};
use push::{Runs, push};

/// Everybody who is told how a run went.
#[derive(Debug)]
pub(crate) struct Monitoring {
    file: Option<PathBuf>,
    push: Option<Endpoint>,
    runs: Runs,
    ping: Option<Endpoint>,
    tells_start: bool,
}

impl Monitoring {
    /// Reads the command line and the environment.
    ///
    /// # Errors
    /// Metrics wanted of a backup, JSON and metrics both wanted on standard output, a URL that is none, no URL to tell of
    /// the start (exit code 2).
    pub(crate) fn new(args: &Args) -> Result<Self, Error> {
        let is_store = Store::is_store(&args.target);
        for (option, given) in [
            ("--metrics", args.metrics.is_some()),
            ("--push", args.push.is_some()),
        ] {
            if given && !is_store {
                return Err(Error::usage(format!(
                    "{option} is for a store, and a backup was given"
                )));
            }
        }
        if args.json && Output::of(args) == Output::Metrics {
            return Err(
                Error::usage("--json and --metrics - both want standard output")
                    .hint("give --metrics a file"),
            );
        }
        let push = Endpoint::find(args.push.as_deref(), push::VARIABLE)?;
        let ping = Endpoint::find(args.ping.as_deref(), ping::VARIABLE)?;
        if args.ping_start && ping.is_none() {
            return Err(
                Error::usage("--ping-start has no URL to ping").hint(format!(
                    "give it with --ping, in {0}, or in a file that {0}_FILE names",
                    ping::VARIABLE
                )),
            );
        }
        Ok(Self {
            file: args.metrics.clone(),
            push: push.filter(|_| is_store),
            runs: match args.wal_only {
                true => Runs::WalOnly,
                false => Runs::Whole,
            },
            ping,
            tells_start: args.ping_start,
        })
    }

    /// Tells the dead-man's switch that work begins, if that is wanted.
    pub(crate) fn tell_start(&self) {
        if let Some(endpoint) = self.ping.as_ref().filter(|_| self.tells_start) {
            ping_start(endpoint);
        }
    }

    /// Tells everybody. A service that cannot be reached is a warning; a file of metrics that cannot be written is a
    /// failure, but a lesser one than what was found.
    pub(crate) fn tell(
        &self,
        metrics: &Metrics,
        lines: &str,
        ended: Result<(), Error>,
    ) -> Result<(), Error> {
        let written = self
            .file
            .as_deref()
            .map_or(Ok(()), |file| write(metrics, file));
        if let Some(endpoint) = &self.push {
            push(endpoint, metrics, self.runs);
        }
        let ended = match (ended, written) {
            (Err(error), Err(lesser)) => {
                say_error(&lesser);
                Err(error)
            }
            (ended, written) => ended.and(written),
        };
        if let Some(endpoint) = &self.ping {
            let error = ended.as_ref().err().map(|error| format!("{error}\n"));
            ping(
                endpoint,
                ended.is_ok(),
                &(lines.to_owned() + &error.unwrap_or_default()),
            );
        }
        ended
    }
}

fn write(metrics: &Metrics, file: &Path) -> Result<(), Error> {
    if is_stdout(file) {
        return print(&metrics.shown());
    }
    metrics.clone().write(file)
}
