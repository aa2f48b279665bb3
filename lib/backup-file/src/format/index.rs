//! What a backup says of itself.

use std::fmt;

use chrono::{DateTime, Utc};
use pg_text::PgText;
use serde::{Deserialize, Serialize};

use super::base::Base;
use super::contents::Contents;
use super::kind::BackupKind;
use super::standby::ServerRole;

/// What a backup says of itself in its last lines.
#[derive(Debug, Clone, PartialEq)]
pub struct Index {
    /// The server, the client and the time.
    pub about: About,
    /// Everything that the file holds before its index, in order, without a gap.
    pub sections: Vec<Section>,
    /// What a base backup is of; none in a dump's index.
    pub base: Option<Box<Base>>,
}

/// The server that was dumped, the client that dumped it, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// The server's version in its own words (`15.18 (Debian 15.18-0+deb12u1)`).
    pub server_version: String,
    /// The version of `pg_dump`.
    pub client_version: String,
    /// The encoding of the names of databases and of all names in the globals; none if the index does not say it.
    pub encoding: Option<String>,
    /// What was left out of the dumps of all databases, on purpose.
    pub excluded: Excluded,
    /// Whether the server was a primary or a standby; none if the index does not say it.
    pub server_role: Option<ServerRole>,
    /// When the dump started (UTC); the backup's name says the same to the second.
    pub started: DateTime<Utc>,
    /// When its last byte had been read (UTC).
    pub finished: DateTime<Utc>,
}

/// What pg_dump was told to leave out, as its patterns (`--exclude-table PATTERN`, …).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Excluded {
    /// Tables, views, sequences and so on: `--exclude-table`.
    pub tables: Vec<PgText>,
    /// Tables of which only the rows were left out: `--exclude-table-data`.
    pub table_data: Vec<PgText>,
    /// Schemas: `--exclude-schema`.
    pub schemas: Vec<PgText>,
}

impl Excluded {
    /// Whether nothing was left out.
    pub fn is_empty(&self) -> bool {
        self.options().next().is_none()
    }

    /// Each pattern, with the option of pg_dump that it was given to.
    pub fn options(&self) -> impl Iterator<Item = (&'static str, &PgText)> {
        let all = [
            ("--exclude-table", &self.tables),
            ("--exclude-table-data", &self.table_data),
            ("--exclude-schema", &self.schemas),
        ];
        all.into_iter()
            .flat_map(|(option, patterns)| patterns.iter().map(move |pattern| (option, pattern)))
    }
}

impl About {
    /// The moment (UTC) whose data the backup has: whatever was committed until then is in it. It is when the dump
    /// started, earlier for a standby, and none for a standby that could not say.
    pub fn data_time(&self) -> Option<DateTime<Utc>> {
        match &self.server_role {
            Some(ServerRole::Standby(standby)) => {
                standby.data_time.map(|time| time.min(self.started))
            }
            Some(ServerRole::Primary) | None => Some(self.started),
        }
    }
}

/// One part of a backup, made of whole members.
#[derive(Debug, Clone, PartialEq)]
pub struct Section {
    /// What it is.
    pub kind: SectionKind,
    /// Where its first member begins in the file, in bytes.
    pub offset: u64,
    /// How many bytes its members take in the file.
    pub length: u64,
    /// Where its SQL begins in the uncompressed dump, in bytes.
    pub sql_offset: u64,
    /// How many bytes its SQL has.
    pub sql_length: u64,
    /// CRC-32 (the gzip one) of its bytes in the file.
    pub crc32: u32,
    /// How long its dump took, in seconds.
    pub seconds: f64,
    /// What a database's dump held, where that was counted.
    pub contents: Option<Contents>,
    /// Where a database's map is. None where there is none: its dump was not read, or has too many tables.
    pub map: Option<MapPlace>,
}

/// Where the map of a database is in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MapPlace {
    /// Where its first member begins, in bytes.
    pub offset: u64,
    /// How many bytes its members take.
    pub length: u64,
    /// CRC-32 (the gzip one) of these bytes.
    pub crc32: u32,
}

/// What a section is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SectionKind {
    /// All up to the first database: the dump's opening lines, roles, memberships, tablespaces.
    Globals,
    /// One database by its name in the cluster, of a dump, from its `-- Database "…" dump` comment on.
    Database(PgText),
    /// The dump's closing lines.
    End,
    /// Of a base backup: files that are no one database's. There may be several such sections.
    Files,
    /// Of a base backup: the files of the database with this OID, `base/OID/`.
    DatabaseFiles(u32),
    /// Of a base backup: the manifest, and the end of the archive.
    Manifest,
}

impl fmt::Display for SectionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Globals => f.write_str("the globals"),
            // In quotes, with what must not reach a terminal escaped.
            Self::Database(name) => write!(f, "database {name:?}"),
            Self::End => f.write_str("the closing lines"),
            Self::Files => f.write_str("the files of the cluster"),
            Self::DatabaseFiles(oid) => write!(f, "the files of base/{oid}"),
            Self::Manifest => f.write_str("the manifest"),
        }
    }
}

impl SectionKind {
    /// Whether a file may have several of it.
    pub(crate) fn may_repeat(&self) -> bool {
        matches!(self, Self::Files)
    }
}

impl Index {
    /// What it is the index of.
    pub fn kind(&self) -> BackupKind {
        match self.base {
            Some(_) => BackupKind::Base,
            None => BackupKind::Dump,
        }
    }

    /// The section of a database.
    pub fn database(&self, name: impl AsRef<[u8]>) -> Option<&Section> {
        let name = name.as_ref();
        self.sections.iter().find(
            |section| matches!(&section.kind, SectionKind::Database(it) if it.as_bytes() == name),
        )
    }
}

/// Seconds rounded to the three decimals that the index has, so that what is read back equals what was written.
pub(crate) fn milliseconds(seconds: f64) -> f64 {
    (seconds * 1000.0).round() / 1000.0
}
