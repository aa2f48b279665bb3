//! A base backup: what `pg_basebackup` sends of the data directory, as one tar archive with sections and an index.

mod archive;
mod label;
mod manifest;
mod preflight;

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::process::Stdio;

use backup_file::{About, Base, ServerRole};
use chrono::{DateTime, Utc};
use job::{Error, Progress, say};
use pg_client::Child;
use pg_text::PgText;
use rate_limit::{LimitedReader, RateLimit};

use crate::cli::{Args, Checkpoint};
use crate::cluster::warnings;
use crate::output::{Output, Target, Written};
use archive::{Archive, Found};
use preflight::Source;

/// Bytes that are read at once. More would hold the pipe for longer than pg_basebackup takes to fill it.
const PIECE: usize = 32 << 10;

/// What was backed up.
#[derive(Debug)]
pub(crate) struct BackedUp {
    pub(crate) written: Written,
    /// Bytes before compression.
    pub(crate) size: u64,
    pub(crate) databases: usize,
    /// Whether the server was a primary or a standby; none if it could not say.
    pub(crate) server_role: Option<ServerRole>,
    pub(crate) started: DateTime<Utc>,
}

/// Takes a base backup into `target`.
///
/// # Errors
/// It cannot be taken, or not be restored afterwards; whatever pg_basebackup fails with, also after its last byte (a page
/// whose checksum is wrong, a standby that was promoted).
pub(crate) fn back_up(args: &Args, target: Target) -> Result<BackedUp, Error> {
    let source = preflight::source(args)?;
    let (mut output, started) = target.begin(args.options())?;
    if args.checkpoint == Checkpoint::Spread {
        say!(
            "waiting for the server's checkpoint, which may take minutes (--checkpoint fast does not wait)"
        );
    }
    let progress = Progress::new("backing up the cluster", None);
    let found = stream(&source, args, &mut output, &progress)?;
    let size = progress.done();
    drop(progress);
    let (about, base) = index(source, found, started);
    let (databases, server_role) = (base.databases.len(), about.server_role.clone());
    Ok(BackedUp {
        written: output.finish_base(about, base)?,
        size,
        databases,
        server_role,
        started,
    })
}

/// Writes what pg_basebackup sends, and returns what that was when the program has ended well.
fn stream(
    source: &Source,
    args: &Args,
    output: &mut Output,
    progress: &Progress,
) -> Result<Found, Error> {
    let mut command = source.conninfo.command("pg_basebackup", None);
    command.args(["--pgdata=-", "--format=tar", "--wal-method=none"]);
    command.arg(format!("--checkpoint={}", args.checkpoint.word()));
    command.arg("--label=pgdump-gz");
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = Child::spawn_with(command, warnings())?;
    let stdout = child
        .take_stream()
        .ok_or_else(|| Error::failed("'pg_basebackup' has no output"))?;
    let limit = args.max_rate.map(RateLimit::new);
    let mut stdout = LimitedReader::new(stdout, limit.as_ref());
    let mut archive = Archive::new();
    let passed = pass(&mut stdout, &mut archive, output, progress);
    // If it has failed, its own words say more than that the archive is cut.
    match passed {
        Ok(()) => child
            .wait()
            .map_err(|error| source.explained(error.into()))?,
        Err(error) => {
            drop(stdout);
            return Err(error);
        }
    }
    archive.end(output)
}

fn pass(
    stdout: &mut impl Read,
    archive: &mut Archive,
    output: &mut Output,
    progress: &Progress,
) -> Result<(), Error> {
    let mut piece = vec![0; PIECE];
    loop {
        let length = match stdout.read(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => {
                return Err(Error::io("cannot read what pg_basebackup writes", &error));
            }
        };
        archive.pass(&piece[..length], output)?;
        progress.advance(length as u64);
    }
}

/// What the index says of it.
fn index(source: Source, found: Found, started: DateTime<Utc>) -> (About, Base) {
    let finished = Utc::now();
    let now = source.databases_now().unwrap_or_else(|error| {
        say!("warning: the index does not name databases that are new: {error}");
        Vec::new()
    });
    // A database that was renamed meanwhile has its new name at the end of the backup.
    let mut names: BTreeMap<u32, PgText> = source.databases.iter().cloned().collect();
    names.extend(now);
    names.retain(|oid, _| found.databases.contains(oid));
    let about = About {
        server_version: source.server.text,
        client_version: source.client.text,
        encoding: Some(source.encoding),
        started,
        finished,
        excluded: backup_file::Excluded::default(),
        server_role: source.server_role,
    };
    let base = Base {
        system_identifier: found.system_identifier,
        wal_segment_size: source.wal_segment_size,
        wal: found.wal,
        from_standby: found.from_standby,
        databases: names.into_iter().collect(),
        tablespaces: Vec::new(),
        manifest: found.manifest,
    };
    (about, base)
}
