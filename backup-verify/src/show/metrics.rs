//! What one run measured of a store, in Prometheus' text format, version 0.0.4
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/>).
//!
//! What a run could not measure stays in the file as an earlier run measured it: the last good backup of a store is still
//! the last one when the store cannot be reached tonight. [`Family::VerifySuccess`] and [`Family::VerifyTimestamp`] say how
//! far to trust the rest.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::Permissions;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use chrono::{DateTime, Utc};
use job::secret::hidden;
use job::{Error, is_unseen, say};

/// How all names begin.
const PREFIX: &str = "postgresql_backup_";
/// The file's reader, Prometheus' node exporter, is another user.
const MODE: u32 = 0o644;
/// The metrics of some thousand stores.
const LARGEST: usize = 16 << 20;

macro_rules! families {
    ($($(#[doc = $help:literal])+ $family:ident = $name:literal,)+) => {
        /// A metric: a gauge, one series for each store, and for each database or check where it says so.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum Family { $($(#[doc = $help])+ $family,)+ }

        impl Family {
            /// In the order in which they are written.
            pub(crate) const ALL: &[Self] = &[$(Self::$family,)+];

            /// Without the prefix.
            fn name(self) -> &'static str {
                match self { $(Self::$family => $name,)+ }
            }

            fn help(self) -> &'static str {
                match self { $(Self::$family => concat!($($help),+),)+ }
            }
        }
    };
}

families! {
    /// When the store was last verified.
    VerifyTimestamp = "verify_timestamp_seconds",
    /// Whether the last verification found everything good: 1 or 0.
    VerifySuccess = "verify_success",
    /// How long the last verification took.
    VerifyDuration = "verify_duration_seconds",
    /// What each check found: 0 good, 1 a warning, 2 bad.
    CheckGrade = "check_grade",
    /// When the dump of the newest good backup was started.
    LastSuccess = "last_success_timestamp_seconds",
    /// As of when the newest good backup's data are; earlier than its dump where a standby was dumped.
    LastSuccessData = "last_success_data_timestamp_seconds",
    /// How old the newest backup's data were when it was verified.
    Age = "age_seconds",
    /// How many backups there are.
    Stored = "stored_backups",
    /// How many bytes all backups have together.
    StoredBytes = "stored_bytes",
    /// The newest backup's size.
    Size = "size_bytes",
    /// The newest backup's size, uncompressed.
    SqlSize = "sql_size_bytes",
    /// The newest backup's size against the median of those before it.
    SizeRatio = "size_ratio",
    /// A database's size in the newest backup.
    DatabaseSize = "database_size_bytes",
    /// A database's size in the newest backup, uncompressed.
    DatabaseSqlSize = "database_sql_size_bytes",
    /// A database's size, uncompressed, against the median of those before it; 0 for one that is gone.
    DatabaseSizeRatio = "database_size_ratio",
    /// How full the store is: its file system, or its quota.
    UsedRatio = "used_ratio",
    /// When the newest good base backup was started; earlier, as of when its data are, if it is a standby's.
    BaseTimestamp = "base_timestamp_seconds",
    /// The first moment of the newest ones that can be reached without a hole between them.
    RecoverableFrom = "recoverable_from_timestamp_seconds",
    /// The last moment that can be reached: when the last segment of the chain was stored.
    RecoverableUntil = "recoverable_until_timestamp_seconds",
    /// How many segments are missing on the way of the base backups.
    WalMissing = "wal_missing_segments",
    /// How old the oldest WAL of the server is, at most, that the archive lacks.
    WalLag = "wal_lag_seconds",
    /// How many bytes of WAL the server has written that the archive lacks.
    WalLagBytes = "wal_lag_bytes",
    /// How many bytes a WAL archive takes.
    WalArchiveBytes = "wal_archive_bytes",
    /// When the SAS token expires; none with an identity.
    TokenExpiry = "token_expiry_timestamp_seconds",
    /// When a restore was last tried.
    RestoreTimestamp = "restore_timestamp_seconds",
    /// Whether the last restore that was tried was good: 1 or 0.
    RestoreSuccess = "restore_success",
    /// How long the last restore took that was good.
    RestoreDuration = "restore_duration_seconds",
    /// How long a database took in the last restore of it that was good.
    DatabaseRestoreDuration = "database_restore_duration_seconds",
    /// When a recovery to a moment was last tried.
    RecoveryTimestamp = "recovery_timestamp_seconds",
    /// Whether the last recovery that was tried was good: 1 or 0.
    RecoverySuccess = "recovery_success",
    /// How long the last recovery took that was good, until the server took connections.
    RecoveryDuration = "recovery_duration_seconds",
}

/// What one run measured of one store.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Metrics {
    /// The label as people read it: without a token.
    store: String,
    samples: BTreeMap<Family, Vec<String>>,
}

impl Metrics {
    /// Nothing measured yet of the store with this label.
    pub(crate) fn new(store: impl Into<String>) -> Self {
        Self {
            store: hidden(&store.into()),
            samples: BTreeMap::new(),
        }
    }

    /// The store's label.
    pub(crate) fn store(&self) -> &str {
        &self.store
    }

    /// The store's one value.
    pub(crate) fn set(&mut self, family: Family, value: f64) {
        let line = format!("{} {value}", self.series(family, None));
        self.samples.insert(family, vec![line]);
    }

    /// There is no such value any more: an earlier one is not kept.
    pub(crate) fn forget(&mut self, family: Family) {
        self.samples.insert(family, Vec::new());
    }

    /// The store's one value, which is a moment.
    pub(crate) fn set_moment(&mut self, family: Family, moment: DateTime<Utc>) {
        self.set(family, moment.timestamp() as f64);
    }

    /// One of several values, told apart by a label (`database`, `check`).
    pub(crate) fn add(&mut self, family: Family, label: &'static str, name: &str, value: f64) {
        let series = self.series(family, Some((label, name)));
        let lines = self.samples.entry(family).or_default();
        // A series twice would spoil the whole scrape.
        if !lines.iter().any(|line| is_of(line, &series)) {
            lines.push(format!("{series} {value}"));
        }
    }

    /// All metrics, each family with its help and type.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for (family, lines) in self.samples.iter().filter(|(_, lines)| !lines.is_empty()) {
            let (name, help) = (family.name(), family.help().trim());
            // Writing to a String cannot fail.
            let _ = writeln!(text, "# HELP {PREFIX}{name} {}", escaped_help(help));
            let _ = writeln!(text, "# TYPE {PREFIX}{name} gauge");
            for line in lines {
                let _ = writeln!(text, "{line}");
            }
        }
        text
    }

    /// As [`Metrics::text`], for standard output, which may be a terminal: characters that it would obey are written as
    /// everywhere (`\u{1b}`), with the backslash escaped as the format wants it.
    pub(crate) fn shown(&self) -> String {
        let mut shown = String::new();
        for char in self.text().chars() {
            match is_unseen(char) {
                true => shown += &format!("\\{}", char.escape_unicode()),
                false => shown.push(char),
            }
        }
        shown
    }

    /// Puts the metrics in place of a file, in one step. What was not measured is kept from the file that is there.
    ///
    /// # Errors
    /// The file cannot be written, or something else is there.
    pub(crate) fn write(mut self, path: &Path) -> Result<(), Error> {
        let cannot =
            |error: &io::Error| Error::io(format_args!("cannot write '{}'", path.display()), error);
        match job::read_regular(path, LARGEST) {
            Ok(before) => self.keep(&String::from_utf8_lossy(&before)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            // A device or a directory is not replaced.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                return Err(cannot(&error).hint("name a file, or - for standard output"));
            }
            // What this run measured is written all the same.
            Err(error) => say!(
                "warning: what '{}' said before is lost: {}",
                path.display(),
                Error::io("cannot read it", &error)
            ),
        }
        replace(path, &self.text()).map_err(|error| cannot(&error))
    }

    /// Takes over the families that this run has not measured, as an earlier text has them for this store.
    fn keep(&mut self, before: &str) {
        for family in Family::ALL {
            let one = self.series(*family, None);
            let several = format!("{},", one.trim_end_matches('}'));
            let ours = |line: &&str| {
                let value = line.rsplit(' ').next().unwrap_or_default();
                (is_of(line, &one) || line.starts_with(&several)) && value.parse::<f64>().is_ok()
            };
            let lines: Vec<_> = before.lines().filter(ours).map(str::to_owned).collect();
            if !lines.is_empty() {
                self.samples.entry(*family).or_insert(lines);
            }
        }
    }

    /// A series, as it begins a line.
    fn series(&self, family: Family, label: Option<(&str, &str)>) -> String {
        let (name, store) = (family.name(), escaped_label(&self.store));
        match label {
            None => format!("{PREFIX}{name}{{store=\"{store}\"}}"),
            Some((label, value)) => {
                let value = escaped_label(value);
                format!("{PREFIX}{name}{{store=\"{store}\",{label}=\"{value}\"}}")
            }
        }
    }
}

fn is_of(line: &str, series: &str) -> bool {
    line.strip_prefix(series)
        .is_some_and(|rest| rest.starts_with(' '))
}

/// A label's value: the backslash, the quote and the line feed are escaped, and nothing else.
fn escaped_label(value: &str) -> String {
    escaped_help(&hidden(value)).replace('"', "\\\"")
}

/// In a help text a quote is not escaped.
fn escaped_help(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\n', "\\n")
}

/// Readers see the old file or the new one, whole.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    // The node exporter reads files whose names end in .prom: a draft must not.
    let mut draft = tempfile::Builder::new()
        .prefix(".backup-verify-")
        .suffix(".draft")
        .tempfile_in(directory)?;
    draft.write_all(text.as_bytes())?;
    draft
        .as_file()
        .set_permissions(Permissions::from_mode(MODE))?;
    // Without this, a crash may leave an empty file under the name.
    draft.as_file().sync_all()?;
    draft.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests;
