//! Chooses the backup.

use backup_file::{BackupKind, Ending, Index, Reader, Tail, read_tail};
use chrono::{DateTime, Local, Utc};
use dump_text::Watch;
use job::{Error, Progress, say, text};
use private_server::PrivateDirectory;
use store::{Backup, QuickCheck, Source, Store};

use crate::cli::Args;
use crate::source::error::{base_backup, cut, not_good};

/// The backup that is to be restored.
#[derive(Debug)]
pub(crate) struct ChosenBackup {
    pub(crate) source: Source,
    /// Its index, if it has one and can be read from any position.
    pub(crate) index: Option<Index>,
    /// What people call it, if that is not its file's name.
    called: Option<String>,
    /// The directory that it is in, which goes with it.
    _directory: Option<PrivateDirectory>,
}

impl ChosenBackup {
    /// The backup that the command line names, or the newest good one of the store that it names.
    pub(crate) fn new(args: &Args) -> Result<Self, Error> {
        if !Store::is_store(&args.backup) {
            let chosen = Self::open(Source::open_with(&args.backup, args.patience())?)?;
            if args.verify_first {
                chosen.verify(args.threads())?;
            }
            return Ok(chosen);
        }
        from_store(&Store::open_with(&args.backup, args.patience())?, args)
    }

    /// A backup that was made for this run, and is gone afterwards.
    ///
    /// # Errors
    /// It cannot be read.
    pub(crate) fn made(
        path: &str,
        called: String,
        directory: PrivateDirectory,
    ) -> Result<Self, Error> {
        Ok(Self {
            called: Some(called),
            _directory: Some(directory),
            ..Self::open(Source::open(path)?)?
        })
    }

    fn new_of(source: Source, index: Option<Index>) -> Self {
        Self {
            source,
            index,
            called: None,
            _directory: None,
        }
    }

    fn open(source: Source) -> Result<Self, Error> {
        let index = match source.read_at() {
            None => None,
            Some(file) => match read_tail(file).map_err(|error| source.read_error(&error))? {
                Tail::Index(index) => Some(*index),
                Tail::NoMarker => return Err(cut(&source.label())),
                // Whether it is whole is known when it has been read to its end.
                Tail::Marker | Tail::Foreign => None,
            },
        };
        Ok(Self::new_of(source, index))
    }

    /// The same, if it is a dump.
    ///
    /// # Errors
    /// Its index says that it is a base backup.
    pub(crate) fn dump(self) -> Result<Self, Error> {
        match &self.index {
            Some(index) if index.kind() == BackupKind::Base => Err(base_backup(&self.label())),
            _ => Ok(self),
        }
    }

    /// The encoding of names in it, if its index says so.
    pub(crate) fn encoding(&self) -> Option<&str> {
        self.index.as_ref()?.about.encoding.as_deref()
    }

    /// Its name for people.
    pub(crate) fn label(&self) -> String {
        match &self.called {
            Some(called) => called.clone(),
            None => self.source.label(),
        }
    }

    /// Reads all of it and checks every byte.
    fn verify(&self, threads: usize) -> Result<(), Error> {
        let label = self.label();
        let doing = format!("verifying '{label}'");
        let progress = Progress::new(doing, None);
        let (input, recorded) = self.source.checked_reader()?;
        let mut reader = Reader::whole(input, threads);
        let mut watch = match self.index {
            Some(_) => Watch::default(),
            None => Watch::thorough(),
        };
        let report = loop {
            match reader.next() {
                Ok(Some(sql)) => {
                    watch.see(sql);
                    progress.advance(sql.len() as u64);
                }
                Ok(None) => break reader.finish(),
                Err(error) => break Err(error),
            }
        };
        drop(progress);
        let report = report.map_err(|error| self.source.read_error(&error))?;
        if report.ending == Ending::NoMarker {
            return Err(cut(&label));
        }
        if report.index.is_none() {
            watch.check().map_err(|flaw| not_good(&label, flaw))?;
        }
        recorded.map_or(Ok(()), |recorded| recorded.check().map(drop))?;
        let known = match report.ending {
            Ending::Foreign => ", as far as a backup of another program can be",
            _ => "",
        };
        say!(
            "'{label}' is good{known}: {} of SQL, {}",
            text::bytes(report.sql_size),
            text::count(
                usize::try_from(report.members).unwrap_or(usize::MAX),
                "member"
            )
        );
        Ok(())
    }
}

/// The error of a store without a dump.
fn no_dump(label: &str, bases: &[Backup]) -> Error {
    match bases.last() {
        None => Error::not_good(format!("there is no backup in '{label}'")),
        Some(newest) => Error::not_good(format!(
            "there is no dump in '{label}', only {}",
            text::count(bases.len(), "base backup")
        ))
        .hint(format!(
            "the newest is '{}'; --at TIME --data-dir DIR brings the cluster back with it",
            newest.name
        )),
    }
}

const GONE: &str = "it is gone since the store was listed";

fn from_store(store: &Store, args: &Args) -> Result<ChosenBackup, Error> {
    let label = store.label();
    let listing = store.list()?;
    let mut backups = listing.dumps;
    if backups.is_empty() {
        return Err(no_dump(&label, &listing.bases));
    }
    if let Some(before) = args.before {
        backups.retain(|backup| backup.name.started() < before);
        say!("looking for the newest backup before {}", moment(before));
    }
    for backup in backups.iter().rev() {
        let candidate = match candidate(store, backup, args) {
            // A prune may be running at the same time.
            Err(_) if store.is_gone(backup).unwrap_or(false) => Err(GONE.into()),
            candidate => candidate?,
        };
        match candidate {
            Ok(chosen) => {
                say!(
                    "'{}' of {}, {}",
                    backup.name,
                    moment(backup.name.started()),
                    text::bytes(backup.size)
                );
                return Ok(chosen);
            }
            Err(why) => say!("passed over '{}': {why}", backup.name),
        }
    }
    let when = match args.before {
        Some(before) => format!(" before {}", moment(before)),
        None => String::new(),
    };
    Err(
        Error::not_good(format!("there is no good backup in '{label}'{when}"))
            .hint("restore-stream STORE --list shows what is there"),
    )
}

/// The backup, or the reason why it is passed over.
fn candidate(
    store: &Store,
    backup: &Backup,
    args: &Args,
) -> Result<Result<ChosenBackup, String>, Error> {
    let chosen = |index: Option<Box<Index>>| {
        let source = store.source(backup)?;
        let index = index.map(|index| *index);
        Ok::<_, Error>(ChosenBackup::new_of(source, index))
    };
    let chosen = match store.quick_check(backup)? {
        QuickCheck::Whole(index) => chosen(index)?,
        QuickCheck::Foreign => {
            say!(
                "'{}' was made by another program: whether it is whole is known only when it has been read",
                backup.name
            );
            chosen(None)?
        }
        QuickCheck::NotGood(why) => return Ok(Err(why)),
        QuickCheck::Gone => return Ok(Err(GONE.into())),
        QuickCheck::Archived => {
            return Ok(Err(
                "it is in the archive tier, and must be rehydrated first".into(),
            ));
        }
        QuickCheck::NotAllowed(why) => {
            return Err(Error::failed(format!("'{}': {why}", backup.name))
                .hint("the token needs the permission r, to read blobs"));
        }
    };
    if args.verify_first {
        match chosen.verify(args.threads()) {
            Err(error) if error.exit() == job::Exit::NotGood => return Ok(Err(error.to_string())),
            other => other?,
        }
    }
    Ok(Ok(chosen))
}

/// A moment in UTC, and in the local time zone if that differs.
pub(crate) fn moment(moment: DateTime<Utc>) -> String {
    let utc = moment.format("%Y-%m-%d %H:%M:%S UTC");
    let local = moment.with_timezone(&Local);
    match local.offset().local_minus_utc() {
        0 => utc.to_string(),
        _ => format!("{utc} ({})", local.format("%H:%M:%S %:z here")),
    }
}
