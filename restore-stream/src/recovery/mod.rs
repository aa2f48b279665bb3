//! `--at`, `--target`: the whole cluster, as it was at a moment, into a data directory; or one database of it
//! ([`one_database`]).
//!
//! A base backup is unpacked ([`unpack`]) that was whole before that moment ([`choice`]), and the server is told to
//! replay the archived WAL up to there ([`settings`]). Whether the WAL leads there is known before anything is written
//! ([`recovery_window::Chain`]).

mod choice;
mod data_directory;
mod fill;
mod leading;
mod manifest;
pub(crate) mod one_database;
pub(crate) mod report;
mod restore_command;
mod server;
mod settings;
mod unpack;
mod unreachable;
mod wal_files;

use std::path::Path;
use std::time::Instant;

use job::{Error, say, text};

use crate::cli::Args;
use crate::cli::recovery::{Target, TargetAction};
use choice::first_good;
use fill::{Filling, fill};
use server::Server;

/// Recovers a cluster.
///
/// # Errors
/// Then there is nothing in the directory that was not there before.
pub(crate) fn run(args: &Args, target: &Target, path: &Path) -> Result<(), Error> {
    let began = Instant::now();
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
    };
    let (candidate, server, filled) = first_good(&candidates, target, |candidate| {
        let about = &candidate.index.about;
        let server = Server::find(&about.server_version, filling.with_wal)?;
        Ok((candidate, server, fill(&store, candidate, filling, args)?))
    })?;
    say!(
        "restored {} in {} into '{}' in {}",
        text::bytes(filled.bytes),
        text::count(filled.files, "file"),
        path.display(),
        text::duration(began.elapsed())
    );
    let about = server::About {
        owner: filled.owner,
        has_settings: filled.has_settings,
        token: restore_command::token(&args.backup),
        with_wal: filling.with_wal,
        archives: filling.archives,
    };
    server.say_how_it_starts(path, &about);
    match args.json {
        true => job::print_json(&report::restored(candidate, &filled)),
        false => job::print(&format!("{}\n", path.display())),
    }
}
