//! The directory that becomes a data directory, all at once: without its `global/pg_control` no server starts on it, and
//! that is its last file.
//!
//! It begins as the empty file [`UNFINISHED`], which later gets what pg_control holds, and then its name. So while the
//! directory is not whole, that file is there, and the next run knows what a killed one has left.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{
    DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown, fchown,
};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard};

use job::{Error, OnStop, say};
use rustix::fs::{FlockOperation, flock, syncfs};
use rustix::process::geteuid;
use store::{Access, path_error};

const UNFINISHED: &str = "restore-stream.unfinished";
const CONTROL: &str = "global/pg_control";
/// PostgreSQL starts on nothing that others may read, beside the group.
const MODES: u32 = 0o750;

/// A directory that is being filled. If it is dropped before it is published, it is empty again, or gone if it was not
/// there.
#[derive(Debug)]
pub(crate) struct DataDirectory {
    path: PathBuf,
    /// Who all of it is to belong to, if this is root.
    owner: Option<(u32, u32)>,
    /// Locked as long as this run lasts.
    unfinished: File,
    state: Arc<RwLock<State>>,
    on_stop: Option<OnStop>,
}

/// What became of the directory. Whoever writes into it holds this for reading: so nobody writes while it is emptied.
#[derive(Debug)]
struct State {
    published: bool,
    /// Whether this run made the directory.
    made: bool,
}

/// Looks whether a directory may be filled. Nothing is changed.
///
/// # Errors
/// It holds something, belongs to somebody else, or could not be made (exit code 4).
pub(crate) fn check(path: &Path) -> Result<(), Error> {
    let shown = path.display();
    let found = match fs::metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let parent = path.parent().filter(|it| !it.as_os_str().is_empty());
            return match parent.unwrap_or(Path::new(".")).is_dir() {
                true => Ok(()),
                false => Err(Error::failed(format!(
                    "cannot make '{shown}': there is no such directory above it"
                ))),
            };
        }
        Err(error) => return Err(cannot("look at", path, &error)),
    };
    if !found.is_dir() {
        return Err(Error::refused(format!("'{shown}' is no directory")));
    }
    let euid = geteuid();
    if !euid.is_root() && found.uid() != euid.as_raw() {
        return Err(Error::refused(format!(
            "'{shown}' belongs to another user ({}), and PostgreSQL starts only on a directory of its own user",
            found.uid()
        ))
        .hint(format!("name a directory in it: '{shown}/pgdata'")));
    }
    let mut names = Vec::new();
    for entry in fs::read_dir(path).map_err(|error| cannot("read", path, &error))? {
        let entry = entry.map_err(|error| cannot("read", path, &error))?;
        names.push(entry.file_name());
    }
    let holds = |name: &str| path.join(name).symlink_metadata().is_ok();
    if names.is_empty() || (holds(UNFINISHED) && !holds(CONTROL)) {
        return Ok(());
    }
    let what = match holds(CONTROL) || holds("PG_VERSION") {
        true => "holds a cluster",
        false => "is not empty",
    };
    let hint = match names.iter().any(|it| it == "lost+found") {
        true => format!("it is a disk of its own: name a directory in it: '{shown}/pgdata'"),
        false => "name another directory; nothing is ever overwritten".to_owned(),
    };
    Err(Error::refused(format!("'{shown}' {what}")).hint(hint))
}

impl DataDirectory {
    /// Takes the directory, which is made if it is not there, and empties it of what a killed run has left.
    ///
    /// # Errors
    /// As [`check`]; another run is filling it (exit code 4).
    pub(crate) fn claim(path: &Path) -> Result<Self, Error> {
        let made = match DirBuilder::new().mode(0o700).create(path) {
            Ok(()) => true,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
            Err(error) => return Err(cannot("make", path, &error)),
        };
        check(path)?;
        // A later chdir changes nothing, and messages of the server name the same.
        let path = fs::canonicalize(path).map_err(|error| cannot("find", path, &error))?;
        let owner = owner(&path, made).map_err(|error| cannot("look at", &path, &error))?;
        if let Some((user, group)) = owner {
            chown(&path, Some(user), Some(group)).map_err(|error| cannot("own", &path, &error))?;
        }
        let marker = path.join(UNFINISHED);
        let opened = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&marker);
        let unfinished = opened.map_err(|error| cannot("write", &marker, &error))?;
        flock(&unfinished, FlockOperation::NonBlockingLockExclusive).map_err(|_| {
            Error::refused(format!(
                "another restore-stream is filling '{}'",
                path.display()
            ))
        })?;
        // Its run may have ended well between the look and the lock.
        check(&path)?;
        let state = Arc::new(RwLock::new(State {
            published: false,
            made,
        }));
        let on_stop = {
            let (state, path) = (Arc::clone(&state), path.clone());
            job::on_stop(move || {
                let state = lock(&state);
                if !state.published {
                    let _ = empty(&path, state.made);
                }
                // Nobody writes into it any more: the process ends.
                std::mem::forget(state);
            })
        };
        let directory = Self {
            path,
            owner,
            unfinished,
            state,
            on_stop: Some(on_stop),
        };
        directory.sweep()?;
        fs::set_permissions(&directory.path, Permissions::from_mode(0o700))
            .map_err(|error| cannot("protect", &directory.path, &error))?;
        Ok(directory)
    }

    /// The user that it belongs to, if this is root.
    pub(crate) fn owner(&self) -> Option<u32> {
        self.owner.map(|(user, _)| user)
    }

    /// The path of a file of it.
    pub(crate) fn path_of(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Makes a directory in it, and those above it.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn make_directory(&self, name: &Path, mode: u32) -> Result<(), Error> {
        let _writing = self.state.read();
        let path = self.path.join(name);
        self.make(&path)
            .and_then(|()| fs::set_permissions(&path, Permissions::from_mode(mode & MODES | 0o700)))
            .map_err(|error| cannot("make", &path, &error))
    }

    /// Makes a file in it, which is not there yet.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn make_file(&self, name: &Path, mode: u32) -> Result<File, Error> {
        let _writing = self.state.read();
        let path = self.path.join(name);
        let open = || {
            OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(mode & MODES & 0o666 | 0o600)
                .open(&path)
        };
        let made = match open() {
            // Another section has it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => path
                .parent()
                .map_or(Ok(()), |parent| self.make(parent))
                .and_then(|()| open()),
            made => made,
        };
        made.and_then(|file| self.give(&file).map(|()| file))
            .map_err(|error| cannot("make", &path, &error))
    }

    /// Writes into a file of it.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn write(&self, file: &mut File, name: &Path, bytes: &[u8]) -> Result<(), Error> {
        let _writing = self.state.read();
        file.write_all(bytes)
            .map_err(|error| cannot("write", &self.path.join(name), &error))
    }

    /// Lets `work` write a file of it, which then belongs to its owner.
    ///
    /// # Errors
    /// That of `work`, or the system's.
    pub(crate) fn let_write(
        &self,
        name: &str,
        work: impl FnOnce(&Path) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let _writing = self.state.read();
        let path = self.path.join(name);
        work(&path)?;
        match self.owner {
            Some((user, group)) => {
                chown(&path, Some(user), Some(group)).map_err(|error| cannot("own", &path, &error))
            }
            None => Ok(()),
        }
    }

    /// Adds to a file of it, or makes it.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn append(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        let _writing = self.state.read();
        let path = self.path.join(name);
        let opened = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&path);
        opened
            .and_then(|mut file| {
                self.give(&file)?;
                file.write_all(bytes)
            })
            .map_err(|error| cannot("write", &path, &error))
    }

    /// Makes all of it durable, and a data directory: the last file gets its name.
    ///
    /// # Errors
    /// The system's. Then it is no data directory.
    pub(crate) fn publish(&mut self, control: &[u8]) -> Result<(), Error> {
        let mut state = lock(&self.state);
        let marker = self.path.join(UNFINISHED);
        let published = self
            .unfinished
            .write_all(control)
            .and_then(|()| self.give(&self.unfinished))
            .and_then(|()| self.flush())
            .and_then(|()| fs::rename(&marker, self.path.join(CONTROL)));
        published.map_err(|error| cannot("finish", &self.path, &error))?;
        state.published = true;
        self.flush()
            .map_err(|error| cannot("flush", &self.path, &error))
    }

    /// All that was written is on the disk: one call for all files is many times as fast as one for each.
    fn flush(&self) -> io::Result<()> {
        let directory = File::open(&self.path)?;
        syncfs(&directory)?;
        // A file system that reports a failure of its own only to those who flush a file.
        directory.sync_all()?;
        self.unfinished.sync_all()
    }

    /// Makes a directory and those above it.
    fn make(&self, path: &Path) -> io::Result<()> {
        match DirBuilder::new().mode(0o700).create(path) {
            Ok(()) => match self.owner {
                Some((user, group)) => chown(path, Some(user), Some(group)),
                None => Ok(()),
            },
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                path.parent().map_or(Ok(()), |parent| self.make(parent))?;
                self.make(path)
            }
            Err(error) => Err(error),
        }
    }

    fn give(&self, file: &File) -> io::Result<()> {
        match self.owner {
            Some((user, group)) => fchown(file, Some(user), Some(group)),
            None => Ok(()),
        }
    }

    /// Removes what a killed run has left.
    fn sweep(&self) -> Result<(), Error> {
        let swept = contents(&self.path)
            .and_then(|left| {
                if !left.is_empty() {
                    say!(
                        "removing what a run that was killed has left in '{}'",
                        self.path.display()
                    );
                }
                left.iter().try_for_each(|path| remove(path))
            })
            .and_then(|()| self.unfinished.set_len(0));
        swept.map_err(|error| cannot("empty", &self.path, &error))
    }
}

impl Drop for DataDirectory {
    fn drop(&mut self) {
        let state = lock(&self.state);
        if !state.published
            && let Err(error) = empty(&self.path, state.made)
        {
            say!(
                "warning: cannot remove what was begun in '{}': {}; no server starts on it",
                self.path.display(),
                job::text::reason(&error)
            );
        }
        drop(state);
        drop(self.on_stop.take());
    }
}

fn lock(state: &RwLock<State>) -> RwLockWriteGuard<'_, State> {
    state.write().unwrap_or_else(PoisonError::into_inner)
}

/// Empties a directory, the marker last: what is left of it when that fails is still known for what it is.
fn empty(path: &Path, made: bool) -> io::Result<()> {
    contents(path)?.iter().try_for_each(|it| remove(it))?;
    fs::remove_file(path.join(UNFINISHED))?;
    match made {
        true => fs::remove_dir(path),
        false => Ok(()),
    }
}

/// All in a directory but the marker.
fn contents(path: &Path) -> io::Result<Vec<PathBuf>> {
    let mut contents = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_name() != UNFINISHED {
            contents.push(entry.path());
        }
    }
    Ok(contents)
}

fn remove(path: &Path) -> io::Result<()> {
    match path.symlink_metadata()?.is_dir() {
        true => fs::remove_dir_all(path),
        false => fs::remove_file(path),
    }
}

/// Who is to own it: PostgreSQL runs as nobody else, and never as root.
fn owner(path: &Path, made: bool) -> io::Result<Option<(u32, u32)>> {
    if !geteuid().is_root() {
        return Ok(None);
    }
    let place = match made {
        true => path.parent().unwrap_or(path),
        false => path,
    };
    let found = fs::metadata(place)?;
    // A directory for all, such as /tmp, says nothing.
    match made && found.mode() & 0o002 != 0 {
        true => Ok(Some((0, 0))),
        false => Ok(Some((found.uid(), found.gid()))),
    }
}

fn cannot(doing: &str, path: &Path, error: &io::Error) -> Error {
    let doing = format_args!("cannot {doing} '{}'", path.display());
    path_error(doing, path, Access::Write, error).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(path: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(path)
            .unwrap()
            .map(|it| it.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn what_is_not_published_is_gone() {
        let place = tempfile::tempdir().unwrap();
        for path in [place.path().join("new"), place.path().to_owned()] {
            let directory = DataDirectory::claim(&path).unwrap();
            let mut file = directory.make_file(Path::new("base/1/2"), 0o640).unwrap();
            directory
                .write(&mut file, Path::new("base/1/2"), b"x")
                .unwrap();
            directory
                .make_directory(Path::new("pg_wal"), 0o700)
                .unwrap();
            assert!(names(&path).contains(&UNFINISHED.to_owned()));
            assert_eq!(
                DataDirectory::claim(&path).unwrap_err().exit(),
                job::Exit::Refused
            );
            drop(directory);
        }
        assert!(names(place.path()).is_empty());
    }

    #[test]
    fn it_is_published_at_once_and_never_filled_again() {
        let place = tempfile::tempdir().unwrap();
        let mut directory = DataDirectory::claim(place.path()).unwrap();
        directory
            .make_directory(Path::new("global"), 0o750)
            .unwrap();
        directory
            .append("postgresql.auto.conf", b"a = 1\n")
            .unwrap();
        directory.publish(b"control").unwrap();
        drop(directory);
        assert_eq!(names(place.path()), ["global", "postgresql.auto.conf"]);
        assert_eq!(fs::read(place.path().join(CONTROL)).unwrap(), b"control");
        let error = DataDirectory::claim(place.path()).unwrap_err();
        assert_eq!(error.exit(), job::Exit::Refused);
        assert!(error.to_string().contains("holds a cluster"), "{error}");
    }

    #[test]
    fn what_a_killed_run_has_left_is_known_and_what_is_not_is_kept() {
        let place = tempfile::tempdir().unwrap();
        fs::write(place.path().join("PG_VERSION"), "15\n").unwrap();
        assert!(check(place.path()).is_err());
        fs::write(place.path().join(UNFINISHED), "").unwrap();
        let directory = DataDirectory::claim(place.path()).unwrap();
        assert_eq!(names(place.path()), [UNFINISHED]);
        drop(directory);
        fs::write(place.path().join("mine"), "").unwrap();
        assert!(DataDirectory::claim(place.path()).is_err());
        assert_eq!(names(place.path()), ["mine"]);
    }

    #[test]
    fn what_cannot_be_one_is_refused() {
        let place = tempfile::tempdir().unwrap();
        assert!(check(&place.path().join("a/b")).is_err());
        assert!(check(&place.path().join("a")).is_ok());
        fs::write(place.path().join("a"), "").unwrap();
        assert!(check(&place.path().join("a")).is_err());
    }
}
