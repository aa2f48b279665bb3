//! What a backup's first and last bytes tell of it, without reading it through.

use backup_file::{
    BackupKind, FileKind, FirstAndLast, Index, MARKER, ReadAt, ReadError, Tail, read_tail,
};
use dump_text::{Flaw, Outline};

use crate::{Backup, Error, Source, Store};

/// What two or three small reads tell of a backup. Of its contents only the two ends are read, and only if it has a
/// marker but no index: a dump that was cut may have been given a marker.
#[derive(Debug, Clone, PartialEq)]
pub enum QuickCheck {
    /// Its dump was whole: it ends in the marker, and what begins like a dump ends like one. With its index, if it has
    /// one.
    Whole(Option<Box<Index>>),
    /// A gzip file by another program, or of several dumps: its ends do not show whether it is whole.
    Foreign,
    /// It is no whole backup, and why.
    NotGood(String),
    /// It is archived: it must be rehydrated before anything can be read of it.
    Archived,
    /// It was deleted since the store was listed.
    Gone,
    /// Backups of this store may not be read (a token without `r`), and what the service says.
    NotAllowed(String),
}

impl Store {
    /// Looks at the ends of one of its backups.
    ///
    /// # Errors
    /// The service does not answer.
    pub fn quick_check(&self, backup: &Backup) -> Result<QuickCheck, Error> {
        match self.container() {
            None => match self.source(backup) {
                Ok(source) => check(&source, backup),
                Err(error) => Ok(match self.is_gone(backup) {
                    Ok(true) => QuickCheck::Gone,
                    Ok(false) | Err(_) => QuickCheck::NotGood(error.to_string()),
                }),
            },
            Some(client) => match client.blob(&backup.name.to_string()) {
                Ok(blob) => check(&Source::blob(blob), backup),
                Err(error) => not_answered(&error),
            },
        }
    }
}

fn check(source: &Source, backup: &Backup) -> Result<QuickCheck, Error> {
    let kind = backup.name.kind();
    match check_ends(source).or_else(|error| not_read(source, &error))? {
        QuickCheck::Whole(Some(index)) if index.kind() != kind => Ok(QuickCheck::NotGood(format!(
            "its name says that it is a {kind}, and it is a {}",
            index.kind()
        ))),
        // Without its index nobody knows which WAL it needs.
        QuickCheck::Whole(None) | QuickCheck::Foreign if kind == BackupKind::Base => {
            Ok(QuickCheck::NotGood("it has no index".into()))
        }
        checked => Ok(checked),
    }
}

fn check_ends(source: &Source) -> Result<QuickCheck, ReadError> {
    let not_good = |why: &str| Ok(QuickCheck::NotGood(why.to_owned()));
    let Some(file) = source.read_at() else {
        return not_good("it is no regular file");
    };
    if file.size() == 0 {
        return not_good("it is empty");
    }
    if file.size() <= MARKER.len() as u64 {
        return not_good("it holds nothing");
    }
    match read_tail(file)? {
        Tail::Index(index) => Ok(QuickCheck::Whole(Some(index))),
        Tail::NoMarker => not_good("its end is missing"),
        tail @ (Tail::Marker | Tail::Foreign) => match kind(file)? {
            // The marker only ends the members before it: the dump in them may have been cut.
            FileKind::Bgzf if tail == Tail::Marker => at_the_ends(&FirstAndLast::of(file)?),
            FileKind::Bgzf | FileKind::Gzip => Ok(QuickCheck::Foreign),
            FileKind::Other => not_good("it is no gzip file"),
        },
    }
}

/// What the ends tell of a file of BGZF members that has a marker but no index.
fn at_the_ends(ends: &FirstAndLast) -> Result<QuickCheck, ReadError> {
    Ok(match outline(ends)? {
        Ok(Outline::Whole) => QuickCheck::Whole(None),
        Ok(Outline::Several) => QuickCheck::Foreign,
        Err(flaw) => QuickCheck::NotGood(flaw.to_string()),
    })
}

/// What is wrong with the dump in a file of BGZF members without an index, as far as its ends show. None if nothing is,
/// or if it holds no dump.
///
/// # Errors
/// The ends are damaged.
pub fn flaw_at(ends: &FirstAndLast) -> Result<Option<Flaw>, ReadError> {
    Ok(outline(ends)?.err())
}

fn outline(ends: &FirstAndLast) -> Result<Result<Outline, Flaw>, ReadError> {
    let text = ends.text()?;
    Ok(text.map_or(Ok(Outline::Whole), |[first, last]| {
        Outline::of(&first, &last)
    }))
}

fn kind(file: &dyn ReadAt) -> Result<FileKind, ReadError> {
    let first = file.read_at(0, FileKind::BYTES);
    first
        .map(|first| FileKind::of(&first))
        .map_err(ReadError::Io)
}

fn not_read(source: &Source, error: &ReadError) -> Result<QuickCheck, Error> {
    match error {
        ReadError::Damaged(what) => Ok(QuickCheck::NotGood(what.clone())),
        ReadError::Io(error) => match azure_blob::Error::from_io(error) {
            Some(error) => not_answered(error),
            // A file that cannot be read is no backup to rely on.
            None => Ok(QuickCheck::NotGood(source.io_error(error).to_string())),
        },
    }
}

fn not_answered(error: &azure_blob::Error) -> Result<QuickCheck, Error> {
    use azure_blob::ErrorKind::{Archived, Changed, NotFound, Refused, Token};
    match error.kind() {
        Archived => Ok(QuickCheck::Archived),
        Token | Refused => Ok(QuickCheck::NotAllowed(error.to_string())),
        NotFound => Ok(QuickCheck::Gone),
        Changed => Ok(QuickCheck::NotGood(error.to_string())),
        _ => Err(error.clone().into()),
    }
}
