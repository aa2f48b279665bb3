//! `--at`, `--target`: the whole cluster, as it was at a moment, into a data directory; or one database of it
//! ([`one_database`]).
//!
//! A base backup is unpacked ([`unpack`]) that was whole before that moment ([`choice`]), and the server is told to
//! replay the archived WAL up to there ([`settings`]). Whether the WAL leads there is known before anything is written
//! ([`recovery_window::Chain`]).

mod choice;
mod cut;
mod data_directory;
mod databases;
mod fill;
mod leading;
mod manifest;
pub(crate) mod one_database;
mod report;
mod restore_command;
mod server;
mod settings;
mod unpack;
mod unreachable;
mod wal_files;

use std::path::Path;
use std::time::Instant;

use job::Error;

use crate::cli::Args;
use crate::cli::recovery::{Target, TargetAction};
use choice::first_good;
use fill::{Filling, fill};
use report::Recovered;
use server::Server;

/// Recovers a cluster.
///
/// # Errors
/// Then there is nothing in the directory that was not there before.
pub(crate) fn run(args: &Args, target: &Target, path: &Path) -> Result<(), Error> {
    let began = Instant::now();
    let done = recover(args, target, path, began);
    match (&done, args.json) {
        (_, true) => {
            job::print_json(&report::document(target, done.as_ref(), began))?;
        }
        (Ok(_), false) => job::print(&format!("{}\n", path.display()))?,
        (Err(_), false) => {}
    }
    done.map(drop)
}

fn recover(args: &Args, target: &Target, path: &Path, began: Instant) -> Result<Recovered, Error> {
    let acts = args.recovery.target_action != TargetAction::Promote;
    if *target == Target::End && acts {
        return Err(Error::usage(
            "--target-action is for a recovery that stops somewhere, and --at end does not",
        ));
    }
    data_directory::check(path)?;
    let (store, candidates) = choice::leading_to(target, args)?;
    let filling = Filling {
        target,
        path,
        with_wal: args.recovery.with_wal,
        action: args.recovery.target_action,
        archives: args.recovery.rejoin,
        left_out: &[],
    };
    let (server, recovered) = first_good(&candidates, target, |candidate| {
        let about = &candidate.index.about;
        let server = Server::find(&about.server_version, filling.with_wal)?;
        let filled = fill(&store, candidate, filling, args)?;
        let recovered = Recovered::new(candidate, &server, &filled, &filling, args);
        Ok((server, recovered))
    })?;
    recovered.say(&server, path, began);
    Ok(recovered)
}
