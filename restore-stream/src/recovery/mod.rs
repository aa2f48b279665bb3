//! `--at`, `--target`: the whole cluster, as it was at a moment, into a data directory.
//!
//! A base backup is unpacked ([`unpack`]) that was whole before that moment ([`choice`]), and the server is told to
//! replay the archived WAL up to there ([`settings`]). Whether the WAL leads there is known before anything is written
//! ([`recovery_window::Chain`]).

mod choice;
mod data_directory;
mod leading;
mod manifest;
pub(crate) mod report;
mod restore_command;
mod server;
mod settings;
mod unpack;
mod unreachable;
mod wal_files;

use std::path::Path;
use std::time::Instant;

use azure_blob::Permission;
use job::{Error, Exit, say, text};
use store::{Place, Space, Store};

use crate::cli::Args;
use crate::cli::recovery::{Target, TargetAction};
use crate::source::chosen::moment;
use choice::{Candidate, Candidates};
use data_directory::DataDirectory;
use manifest::Manifest;
use server::Server;
use settings::Settings;

/// More than a server needs beside its data until it has recovered: the segments that it is replaying.
const WORKING_ROOM: u64 = 64 << 20;

/// Recovers a cluster.
///
/// # Errors
/// Then there is nothing in the directory that was not there before.
pub(crate) fn run(args: &Args, target: &Target, path: &Path) -> Result<(), Error> {
    let began = Instant::now();
    if !Store::is_store(&args.backup) {
        return Err(Error::usage(format!(
            "'{}' is no store: base backups and WAL come from a directory or a container",
            args.label()
        )));
    }
    let acts = args.recovery.target_action != TargetAction::Promote;
    if *target == Target::End && (args.recovery.exclusive || acts) {
        return Err(Error::usage(
            "--exclusive and --target-action are for a recovery that stops somewhere, and --at end does not",
        ));
    }
    data_directory::check(path)?;
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
    for (number, candidate) in candidates.iter().enumerate() {
        let name = candidate.base.name;
        say!(
            "'{name}', whole since {}, and timeline {} lead to {target}",
            moment(candidate.base.about.finished),
            candidate.timeline
        );
        match restore(&store, candidate, target, path, args) {
            // An older one leads there too, only over more WAL.
            Err(error) if error.exit() == Exit::NotGood && number + 1 < candidates.len() => {
                say!("passed over '{name}': {error}");
            }
            Err(error) => return Err(error),
            Ok(done) => {
                say!(
                    "restored {} in {} into '{}' in {}",
                    text::bytes(done.bytes),
                    text::count(done.files, "file"),
                    path.display(),
                    text::duration(began.elapsed())
                );
                done.server.say_how_it_starts(path, &done.about);
                return match args.json {
                    true => job::print_json(&report::restored(candidate, &done)),
                    false => job::print(&format!("{}\n", path.display())),
                };
            }
        }
    }
    Err(Error::not_good("no base backup is good"))
}

/// What was restored.
struct Done {
    files: usize,
    bytes: u64,
    server: Server,
    about: server::About,
}

fn restore(
    store: &Store,
    candidate: &Candidate,
    target: &Target,
    path: &Path,
    args: &Args,
) -> Result<Done, Error> {
    let source = store.source(&candidate.backup)?;
    let manifest = Manifest::read(&source, &candidate.index)?;
    let server = Server::find(
        &candidate.index.about.server_version,
        args.recovery.with_wal,
    )?;
    let wal = candidate.wal_bytes().filter(|_| args.recovery.with_wal);
    let wal = wal.unwrap_or(WORKING_ROOM);
    check_room(path, manifest.bytes().saturating_add(wal))?;
    let command = match args.recovery.with_wal {
        true => "false".to_owned(),
        false => restore_command::line(&args.backup)?,
    };
    let mut directory = DataDirectory::claim(path)?;
    let unpacked = unpack::unpack(
        &source,
        &candidate.index,
        &manifest,
        &directory,
        args.threads(),
    )?;
    let mut stop = candidate.stop.clone();
    if args.recovery.with_wal {
        stop = wal_files::fetch(store, candidate, &stop, &directory, args)?;
    }
    let settings = Settings {
        stop,
        exclusive: args.recovery.exclusive,
        timeline: candidate.timeline,
        action: args.recovery.target_action,
        restore_command: command,
        archives: args.recovery.rejoin,
        wanted: target.to_string(),
    };
    directory.append("postgresql.auto.conf", settings.lines().as_bytes())?;
    directory.append("recovery.signal", b"")?;
    let owner = directory.owner();
    directory.publish(&unpacked.control)?;
    Ok(Done {
        files: unpacked.files,
        bytes: unpacked.bytes,
        about: server::About {
            owner,
            has_settings: manifest.lists(b"postgresql.conf"),
            token: restore_command::token(&args.backup),
            with_wal: args.recovery.with_wal,
            archives: args.recovery.rejoin,
        },
        server,
    })
}

fn check_room(path: &Path, needed: u64) -> Result<(), Error> {
    // Where it is not there yet, it will be beside its parent.
    let place = path.ancestors().find(|it| it.is_dir());
    let Some(space) = place.map_or(Ok(None), Space::of)? else {
        return Ok(());
    };
    match space.free < needed {
        true => Err(Error::refused(format!(
            "'{}' has {} free, and the cluster takes {}",
            path.display(),
            text::bytes(space.free),
            text::bytes(needed)
        ))
        .hint("name a directory on a larger disk")),
        false => Ok(()),
    }
}
