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

/// Some hundred thousand backups' lines.
const LARGEST: usize = 64 << 20;

/// A backup that was found good: a line of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// The store's label: a file may serve several.
    store: String,
    name: String,
    size: u64,
    /// The ETag, or when the file was changed.
    version: String,
    /// When that was.
    pub(crate) verified: DateTime<Utc>,
}

/// The file of `--state`: JSON, one line for each backup, added as soon as it is known to be good.
#[derive(Debug)]
pub(crate) struct Ledger {
    path: PathBuf,
    file: File,
    store: String,
    entries: BTreeMap<String, Entry>,
}

impl Ledger {
    /// Opens it, or begins it. What is no longer in the store is taken out; lines that cannot be read are
    /// as if they were not there (a run that was killed leaves half a line).
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
        let (ours, others): (Vec<Entry>, Vec<Entry>) =
            lines.partition(|entry: &Entry| entry.store == store);
        let mut entries: BTreeMap<String, Entry> = ours
            .into_iter()
            .map(|entry| (entry.name.clone(), entry))
            .collect();
        entries.retain(|name, _| {
            backups
                .iter()
                .any(|backup| backup.name.to_string() == *name)
        });
        let file = begin(path, others.iter().chain(entries.values()))
            .map_err(|error| cannot_write(path, &error))?;
        Ok(Self {
            path: path.to_owned(),
            file,
            store: store.to_owned(),
            entries,
        })
    }

    /// When a backup was read through, if that is not longer ago than `again` and it is the same since.
    pub(crate) fn verified(
        &self,
        backup: &Backup,
        now: DateTime<Utc>,
        again: TimeDelta,
    ) -> Option<&Entry> {
        let entry = self.entries.get(&backup.name.to_string())?;
        let same = entry.size == backup.size && entry.version == backup.version;
        (same && now - entry.verified < again).then_some(entry)
    }

    /// Adds a backup that was found good, at once.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn add(&mut self, backup: &Backup, now: DateTime<Utc>) -> Result<(), Error> {
        let entry = Entry {
            store: self.store.clone(),
            name: backup.name.to_string(),
            size: backup.size,
            version: backup.version.clone(),
            verified: now,
        };
        line(&entry)
            .and_then(|line| self.file.write_all(line.as_bytes()))
            .map_err(|error| cannot_write(&self.path, &error))?;
        self.entries.insert(entry.name.clone(), entry);
        Ok(())
    }
}

/// Writes the file anew and puts it in place of the old one, at once; more is added to it.
fn begin<'a>(path: &Path, entries: impl Iterator<Item = &'a Entry>) -> io::Result<File> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut file = tempfile::Builder::new()
        .prefix(".backup-verify-")
        .tempfile_in(directory)?;
    for entry in entries {
        file.write_all(line(entry)?.as_bytes())?;
    }
    file.as_file().sync_all()?;
    Ok(file.persist(path)?)
}

fn line(entry: &Entry) -> io::Result<String> {
    Ok(serde_json::to_string(entry)? + "\n")
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
        let mut ledger = Ledger::open(&path, "s", &all).unwrap();
        let day = TimeDelta::days(1);
        assert!(ledger.verified(&all[0], now(), day).is_none());
        ledger.add(&all[0], now()).unwrap();
        drop(ledger);
        let ledger = Ledger::open(&path, "s", &all).unwrap();
        assert!(ledger.verified(&all[0], now(), day).is_some());
        assert!(ledger.verified(&all[1], now(), day).is_none());
        assert!(ledger.verified(&backup(ONE, "b"), now(), day).is_none());
        assert!(ledger.verified(&all[0], now() + day, day).is_none());
        assert!(ledger.verified(&all[0], now(), TimeDelta::zero()).is_none());
    }

    #[test]
    fn of_another_store_it_says_nothing_and_keeps_what_it_says() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        let all = [backup(ONE, "a")];
        let day = TimeDelta::days(1);
        Ledger::open(&path, "s", &all)
            .unwrap()
            .add(&all[0], now())
            .unwrap();
        let other = Ledger::open(&path, "t", &all).unwrap();
        assert!(other.verified(&all[0], now(), day).is_none());
        let same = Ledger::open(&path, "s", &all).unwrap();
        assert!(same.verified(&all[0], now(), day).is_some());
        Ledger::open(&path, "s", &[]).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "");
    }

    #[test]
    fn half_a_line_is_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        let all = [backup(ONE, "a"), backup(TWO, "a")];
        let mut ledger = Ledger::open(&path, "s", &all).unwrap();
        for backup in &all {
            ledger.add(backup, now()).unwrap();
        }
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, &text[..text.len() - 9]).unwrap();
        let ledger = Ledger::open(&path, "s", &all).unwrap();
        let day = TimeDelta::days(1);
        assert!(ledger.verified(&all[0], now(), day).is_some());
        assert!(ledger.verified(&all[1], now(), day).is_none());
    }
}
