//! A data directory from a base backup, which recovers to a target.

use std::path::Path;

use job::{Error, text};
use store::{Space, Store};

use super::choice::Candidate;
use super::data_directory::DataDirectory;
use super::manifest::Manifest;
use super::settings::Settings;
use super::{restore_command, unpack, wal_files};
use crate::cli::Args;
use crate::cli::recovery::{Target, TargetAction};

/// More than a server needs beside its data until it has recovered: the segments that it is replaying.
const WORKING_ROOM: u64 = 64 << 20;

/// How a directory is filled.
#[derive(Debug, Clone, Copy)]
pub(super) struct Filling<'a> {
    pub(super) target: &'a Target,
    /// Where it is.
    pub(super) path: &'a Path,
    /// Whether the WAL comes with it.
    pub(super) with_wal: bool,
    /// What the server does at the target.
    pub(super) action: TargetAction,
    /// Whether it archives as the cluster did.
    pub(super) archives: bool,
    /// The databases whose files are left out, by their OIDs.
    pub(super) left_out: &'a [u32],
}

/// What was restored.
#[derive(Debug)]
pub(super) struct Filled {
    pub(super) files: usize,
    pub(super) bytes: u64,
    /// The user that it belongs to, if this is root.
    pub(super) owner: Option<u32>,
    /// Whether `postgresql.conf` is in it.
    pub(super) has_settings: bool,
}

/// Makes a data directory that recovers to the target when a server is started on it.
///
/// # Errors
/// Then there is nothing in the directory that was not there before.
pub(super) fn fill(
    store: &Store,
    candidate: &Candidate,
    filling: Filling<'_>,
    args: &Args,
) -> Result<Filled, Error> {
    let Filling { path, with_wal, .. } = filling;
    let source = store.source(&candidate.backup)?;
    let manifest = Manifest::read(&source, &candidate.index)?.without(filling.left_out);
    let wal = candidate.wal_bytes().filter(|_| with_wal);
    let wal = wal.unwrap_or(WORKING_ROOM);
    check_room(path, manifest.bytes().saturating_add(wal))?;
    let command = match with_wal {
        true => "false".to_owned(),
        false => restore_command::line(&args.backup, args.recovery.allow_tablespaces)?,
    };
    let mut directory = DataDirectory::claim(path)?;
    let unpacked = unpack::unpack(
        &source,
        &candidate.index,
        &manifest,
        filling.left_out,
        &directory,
        args.threads(),
    )?;
    let mut stop = candidate.stop.clone();
    if with_wal {
        stop = wal_files::fetch(store, candidate, &stop, &directory, args)?;
    }
    let settings = Settings {
        // A place that took the moment's place is the last that is wanted.
        exclusive: args.recovery.exclusive && stop == candidate.stop,
        stop,
        timeline: candidate.timeline,
        action: filling.action,
        restore_command: command,
        archives: filling.archives,
        wanted: filling.target.to_string(),
    };
    directory.append("postgresql.auto.conf", settings.lines().as_bytes())?;
    directory.append("recovery.signal", b"")?;
    let owner = directory.owner();
    directory.publish(&unpacked.control)?;
    Ok(Filled {
        files: unpacked.files,
        bytes: unpacked.bytes,
        owner,
        has_settings: manifest.lists(b"postgresql.conf"),
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
        .hint(Error::MAKE_ROOM)),
        false => Ok(()),
    }
}
