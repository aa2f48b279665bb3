//! `--wal`: PostgreSQL's restore_command.

mod absence;
pub(crate) mod arrival;
mod spool;
pub(crate) mod tablespaces;

use std::ffi::OsString;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use azure_blob::{Options, Permission};
use job::{Error, Exit, say};
use store::{Place, Store};
use wal::{Archive, DataDirectory, Stored, SystemId, WalName};

use crate::cli::Args;
use absence::Absence;
use spool::Spool;

/// How long a segment is tried that nobody asked for yet.
const AHEAD: Duration = Duration::from_secs(20);
/// How long a segment may be on its way to the store after a later one: as long as `blob-put --wal` tries.
const ON_ITS_WAY: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(500);

/// Whether a command line is PostgreSQL's, as far as that can be told before it is understood.
pub(crate) fn is_asked_for(mut words: impl Iterator<Item = OsString>) -> bool {
    let mut own = words.by_ref().skip(1).take_while(|word| word != "--");
    own.any(|word| word == "--wal" || word.as_encoded_bytes().starts_with(b"--wal="))
}

/// PostgreSQL takes 1 to 125 for "there is no such file, the WAL ends here", and stops at all above. So what failed has 200
/// more than elsewhere.
pub(crate) fn exit_code(exit: Exit) -> u8 {
    match exit {
        Exit::Done | Exit::Absent => exit.code(),
        Exit::Failed | Exit::Usage | Exit::NotGood | Exit::Refused => exit.code() + 200,
        Exit::HungUp | Exit::Interrupted | Exit::Terminated => exit.code(),
    }
}

/// Gets a file.
///
/// # Errors
/// It could not be got, and is not proved to be absent.
pub(crate) fn run(args: &Args, name: &str) -> Result<Exit, Error> {
    let Some(to) = &args.wal.to else {
        return Err(Error::usage("--wal needs --to PATH"));
    };
    let name = WalName::parse(name).ok_or_else(|| {
        Error::usage(format!(
            "'{name}' is not the name of anything that PostgreSQL archives"
        ))
        .hint("restore_command = 'restore-stream STORE --wal \"%f\" --to \"%p\"'")
    })?;
    let system = match args.wal.system {
        Some(system) => system,
        None => own_system(to)?,
    };
    let patience = args.patience();
    let store = open_store(&args.backup, patience.clone())?;
    let archive = Archive::new(&store, system);
    let spool = args.wal.ahead.map(|ahead| Spool::beside(to, ahead.into()));
    if let Some(spooled) = spool.as_ref().and_then(|spool| spool.take(name)) {
        match arrival::place(spooled, name, &archive, to) {
            Ok(_) => return checked(args, name, to, &archive),
            Err(error) => say!(
                "fetching '{name}' again, as the copy in the spool directory is no good: {error}"
            ),
        }
    }
    let Some(stored) = wanted(
        &archive,
        name,
        args.wal.standby,
        patience.deadline.min(ON_ITS_WAY),
    )?
    else {
        // The last that PostgreSQL asks for before it goes into production is a history that is not there.
        if let Some(spool) = &spool {
            spool.clear();
        }
        return Ok(Exit::Absent);
    };
    let header = arrival::place(stored, name, &archive, to)?;
    if let (Some(spool), Some(header)) = (&spool, header) {
        // Another client, so that a segment that nobody asked for yet is not waited for as long.
        let hasty = patience.clone().within(patience.deadline.min(AHEAD));
        let store = open_store(&args.backup, hasty)?;
        spool.fill(&Archive::new(&store, system), name, header.segment_size);
    }
    checked(args, name, to, &archive)
}

/// Whether PostgreSQL may replay what is there now.
fn checked(args: &Args, name: WalName, to: &Path, archive: &Archive) -> Result<Exit, Error> {
    if args.wal.no_tablespaces {
        tablespaces::check(name, to, archive)?;
    }
    Ok(Exit::Done)
}

/// The file; none if it is absent. What seems to be a hole is looked at again for this long.
fn wanted(
    archive: &Archive,
    name: WalName,
    standby: bool,
    patience: Duration,
) -> Result<Option<Stored>, Error> {
    let since = Instant::now();
    loop {
        let stored = archive.get(name)?;
        if stored.is_some() || standby {
            return Ok(stored);
        }
        match absence::judge(archive, name)? {
            Absence::Proved => return Ok(None),
            Absence::Hole(error) if since.elapsed() >= patience => return Err(error),
            Absence::Hole(_) => thread::sleep(PAUSE),
        }
    }
}

fn open_store(text: &str, options: Options) -> Result<Store, Error> {
    let store = Store::open_with(text, options)?;
    if let Place::Container(client) = store.place() {
        client.check(&[Permission::Read])?;
    }
    Ok(store)
}

/// The cluster that asks: PostgreSQL names a path in its pg_wal.
fn own_system(to: &Path) -> Result<SystemId, Error> {
    let directory = to.parent().unwrap_or(Path::new(""));
    let system = DataDirectory::of(directory).system()?;
    system.ok_or_else(|| {
        Error::usage(format!(
            "cannot tell which cluster asks: there is no global/pg_control beside the directory of '{}'",
            to.display()
        ))
        .hint("run it in the data directory, as PostgreSQL does, or say --system ID")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restore_command_is_known_by_its_option() {
        let asked = |words: &[&str]| {
            is_asked_for(
                std::iter::once("restore-stream")
                    .chain(words.iter().copied())
                    .map(OsString::from),
            )
        };
        assert!(asked(&["/backups", "--wal", "x"]));
        assert!(asked(&["--nonsense", "--wal=x"]));
        assert!(!asked(&["/backups", "--latest", "--", "cat", "--wal"]));
        assert!(!asked(&["--walk"]));
        assert!(!asked(&[]));
    }

    #[test]
    fn only_what_is_absent_ends_the_wal() {
        assert_eq!(exit_code(Exit::Done), 0);
        assert_eq!(exit_code(Exit::Absent), 1);
        for exit in [Exit::Failed, Exit::Usage, Exit::NotGood, Exit::Refused] {
            assert!(exit_code(exit) > 200, "{exit:?}");
        }
        for exit in [Exit::HungUp, Exit::Interrupted, Exit::Terminated] {
            assert!(exit_code(exit) > 125, "{exit:?}");
        }
        assert_eq!(exit_code(Exit::Terminated), 143);
    }
}
