//! Which backups have been read through and found good: an interrupted `--all` goes on where it stopped,
//! and the next one reads only what is new, has changed, or was read long ago.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use chrono::{DateTime, TimeDelta, Utc};
use job::Error;
use serde::{Deserialize, Serialize};
use store::Backup;

/// The lines of some hundred thousand backups.
const LARGEST: usize = 64 << 20;

/// A backup that was found good: a line of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct GoodBackup {
    /// The store's label: a file may serve several.
    store: String,
    name: String,
    size: u64,
    /// The blob's ETag, or when the file was changed.
    version: String,
    /// When it was read.
    pub(crate) verified: DateTime<Utc>,
}

/// The file of `--state`: JSON, one line for each backup, added as soon as it is known to be good.
#[derive(Debug)]
pub(crate) struct StateFile {
    path: PathBuf,
    file: File,
    store: String,
    good: BTreeMap<String, GoodBackup>,
}

impl StateFile {
    /// Opens the file, or begins one. Backups that are no longer in the store are taken out, and so are lines that cannot
    /// be read: a run that was killed leaves half a line.
    ///
    /// # Errors
    /// It cannot be read or written, or is no file that may be replaced.
    pub(crate) fn open(path: &Path, store: &str, backups: &[Backup]) -> Result<Self, Error> {
        let text = match job::read_regular(path, LARGEST) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => {
                let doing = format!("cannot read '{}'", path.display());
                return Err(Error::io(doing, &error));
            }
        };
        let lines = text
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        let (ours, others): (Vec<GoodBackup>, Vec<GoodBackup>) =
            lines.partition(|backup: &GoodBackup| backup.store == store);
        let mut good: BTreeMap<String, GoodBackup> = ours
            .into_iter()
            .map(|backup| (backup.name.clone(), backup))
            .collect();
        good.retain(|name, _| {
            backups
                .iter()
                .any(|backup| backup.name.to_string() == *name)
        });
        let file = begin(path, others.iter().chain(good.values()))
            .map_err(|error| cannot_write(path, &error))?;
        Ok(Self {
            path: path.to_owned(),
            file,
            store: store.to_owned(),
            good,
        })
    }

    /// The entry of a backup that was read less than `again` ago and has not changed since.
    pub(crate) fn verified(
        &self,
        backup: &Backup,
        now: DateTime<Utc>,
        again: TimeDelta,
    ) -> Option<&GoodBackup> {
        let good = self.good.get(&backup.name.to_string())?;
        let same = good.size == backup.size && good.version == backup.version;
        (same && now - good.verified < again).then_some(good)
    }

    /// Adds a backup that was found good; the file has it when this returns.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn add(&mut self, backup: &Backup, now: DateTime<Utc>) -> Result<(), Error> {
        let good = GoodBackup {
            store: self.store.clone(),
            name: backup.name.to_string(),
            size: backup.size,
            version: backup.version.clone(),
            verified: now,
        };
        line(&good)
            .and_then(|line| self.file.write_all(line.as_bytes()))
            .map_err(|error| cannot_write(&self.path, &error))?;
        self.good.insert(good.name.clone(), good);
        Ok(())
    }
}

/// Writes the file anew and puts it in place of the old one, in one step; further lines are appended.
fn begin<'a>(path: &Path, good: impl Iterator<Item = &'a GoodBackup>) -> io::Result<File> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut file = tempfile::Builder::new()
        .prefix(".backup-verify-")
        .tempfile_in(directory)?;
    for backup in good {
        file.write_all(line(backup)?.as_bytes())?;
    }
    file.as_file().sync_all()?;
    Ok(file.persist(path)?)
}

fn line(backup: &GoodBackup) -> io::Result<String> {
    Ok(serde_json::to_string(backup)? + "\n")
}

fn cannot_write(path: &Path, error: &io::Error) -> Error {
    Error::io(format_args!("cannot write '{}'", path.display()), error)
        .hint("name a file in a directory that may be written with --state")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use backup_file::BackupName;

    use super::*;

    fn backup(name: &str, version: &str) -> Backup {
        Backup {
            name: BackupName::parse(name).unwrap(),
            size: 7,
            sha256: None,
            version: version.to_owned(),
        }
    }

    const ONE: &str = "postgresql_backup_20251120_020000.sql.gz";
    const TWO: &str = "postgresql_backup_20251121_020000.sql.gz";

    fn now() -> DateTime<Utc> {
        DateTime::UNIX_EPOCH
    }

    #[test]
    fn what_was_good_is_remembered_until_it_changes_or_is_old() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        let all = [backup(ONE, "a"), backup(TWO, "a")];
        let mut state = StateFile::open(&path, "s", &all).unwrap();
        let day = TimeDelta::days(1);
        assert!(state.verified(&all[0], now(), day).is_none());
        state.add(&all[0], now()).unwrap();
        drop(state);
        let state = StateFile::open(&path, "s", &all).unwrap();
        assert!(state.verified(&all[0], now(), day).is_some());
        assert!(state.verified(&all[1], now(), day).is_none());
        assert!(state.verified(&backup(ONE, "b"), now(), day).is_none());
        assert!(state.verified(&all[0], now() + day, day).is_none());
        assert!(state.verified(&all[0], now(), TimeDelta::zero()).is_none());
    }

    #[test]
    fn of_another_store_it_says_nothing_and_keeps_what_it_says() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        let all = [backup(ONE, "a")];
        let day = TimeDelta::days(1);
        StateFile::open(&path, "s", &all)
            .unwrap()
            .add(&all[0], now())
            .unwrap();
        let other = StateFile::open(&path, "t", &all).unwrap();
        assert!(other.verified(&all[0], now(), day).is_none());
        let same = StateFile::open(&path, "s", &all).unwrap();
        assert!(same.verified(&all[0], now(), day).is_some());
        StateFile::open(&path, "s", &[]).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "");
    }

    #[test]
    fn half_a_line_is_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        let all = [backup(ONE, "a"), backup(TWO, "a")];
        let mut state = StateFile::open(&path, "s", &all).unwrap();
        for backup in &all {
            state.add(backup, now()).unwrap();
        }
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, &text[..text.len() - 9]).unwrap();
        let state = StateFile::open(&path, "s", &all).unwrap();
        let day = TimeDelta::days(1);
        assert!(state.verified(&all[0], now(), day).is_some());
        assert!(state.verified(&all[1], now(), day).is_none());
    }
}
