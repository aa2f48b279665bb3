//! What a backup's first and last bytes tell of it, without reading it through.

use backup_file::{Ends, Index, MARKER, ReadAt, ReadError, Tail, read_tail};
use dump_text::{Flaw, Outline};
use job::Error;

use crate::{Backup, Source, Store};

/// The bytes that all BGZF members begin with (`docs/format.md`).
const HEAD: usize = 16;

/// What a glance at a backup tells: two or three small reads. Of its contents only the ends are read, and only where
/// it has a marker but no index: a dump that was cut may have been given one.
#[derive(Debug, Clone, PartialEq)]
pub enum Glance {
    /// Its dump was whole: it ends in the marker, and what looks like a dump ends as one. With its index, where there
    /// is one.
    Whole(Option<Box<Index>>),
    /// A gzip file made by another program, or of several dumps: whether it is whole cannot be seen from its ends.
    Foreign,
    /// It is no whole backup: why.
    NotGood(String),
    /// It is archived: it must be rehydrated before anything can be read of it.
    Archived,
    /// It is not there any more: deleted since the store was listed.
    Gone,
    /// Backups of this store may not be read (a token without `r`): what the service says.
    NotAllowed(String),
}

impl Store {
    /// Glances at one of its backups.
    ///
    /// # Errors
    /// The service does not answer.
    pub fn glance(&self, backup: &Backup) -> Result<Glance, Error> {
        match self.container() {
            None => match self.source(backup) {
                Ok(source) => glance_at(&source).or_else(|error| not_read(&source, &error)),
                Err(error) => Ok(match self.is_gone(backup) {
                    Ok(true) => Glance::Gone,
                    Ok(false) | Err(_) => Glance::NotGood(error.to_string()),
                }),
            },
            Some(client) => match client.blob(&backup.name.to_string()) {
                Ok(blob) => {
                    let source = Source::blob(blob);
                    glance_at(&source).or_else(|error| not_read(&source, &error))
                }
                Err(error) => not_answered(&error),
            },
        }
    }
}

fn glance_at(source: &Source) -> Result<Glance, ReadError> {
    let not_good = |why: &str| Ok(Glance::NotGood(why.to_owned()));
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
        Tail::Index(index) => Ok(Glance::Whole(Some(Box::new(index)))),
        Tail::NoMarker => not_good("its end is missing"),
        tail @ (Tail::Marker | Tail::Foreign) => match Head::read(file)? {
            // The marker says nothing of members before the blocks that it ends.
            Head::Bgzf if tail == Tail::Marker => at_the_ends(&Ends::of(file)?),
            Head::Bgzf | Head::Gzip => Ok(Glance::Foreign),
            Head::Other => not_good("it is no gzip file"),
        },
    }
}

/// What the ends tell of a file of BGZF members that has a marker, but no index.
fn at_the_ends(ends: &Ends) -> Result<Glance, ReadError> {
    Ok(match sight(ends)? {
        Ok(Outline::Whole) => Glance::Whole(None),
        Ok(Outline::Several) => Glance::Foreign,
        Err(flaw) => Glance::NotGood(flaw.to_string()),
    })
}

/// What is wrong with the dump in a file of BGZF members without an index, as far as its ends tell: nothing, too, if it
/// is no dump.
///
/// # Errors
/// The ends are damaged.
pub fn flaw_at(ends: &Ends) -> Result<Option<Flaw>, ReadError> {
    Ok(sight(ends)?.err())
}

fn sight(ends: &Ends) -> Result<Result<Outline, Flaw>, ReadError> {
    let text = ends.text()?;
    Ok(text.map_or(Ok(Outline::Whole), |[first, last]| {
        Outline::of(&first, &last)
    }))
}

enum Head {
    Bgzf,
    Gzip,
    Other,
}

impl Head {
    fn read(file: &dyn ReadAt) -> Result<Self, ReadError> {
        let head = file.read_at(0, HEAD).map_err(ReadError::Io)?;
        let subfield = 12..14;
        Ok(
            if head[..4] == MARKER[..4] && head[subfield.clone()] == MARKER[subfield] {
                Self::Bgzf
            } else if head[..3] == MARKER[..3] {
                Self::Gzip
            } else {
                Self::Other
            },
        )
    }
}

fn not_read(source: &Source, error: &ReadError) -> Result<Glance, Error> {
    match error {
        ReadError::Damaged(what) => Ok(Glance::NotGood(what.clone())),
        ReadError::Io(error) => match azure_blob::Error::from_io(error) {
            Some(error) => not_answered(error),
            // A file that cannot be read is of no use.
            None => Ok(Glance::NotGood(source.io_error(error).to_string())),
        },
    }
}

fn not_answered(error: &azure_blob::Error) -> Result<Glance, Error> {
    use azure_blob::ErrorKind::{Archived, Changed, NotFound, Refused, Token};
    match error.kind() {
        Archived => Ok(Glance::Archived),
        Token | Refused => Ok(Glance::NotAllowed(error.to_string())),
        NotFound => Ok(Glance::Gone),
        Changed => Ok(Glance::NotGood(error.to_string())),
        _ => Err(error.clone().into()),
    }
}
