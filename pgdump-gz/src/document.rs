//! What `--json` prints of a backup in a directory.

use std::time::Duration;

use backup_file::{Base, Index, Section, SectionKind, ServerRole, Standby, Tail, lsn, read_tail};
use chrono::SecondsFormat;
use job::Error;
use pg_text::PgText;
use serde::Serialize;
use store::{Published, Source};

/// The keys are those of `restore-stream --list --json`, where that has them.
#[derive(Debug, Serialize)]
pub(crate) struct Document {
    path: String,
    name: Option<String>,
    /// Bytes of the file.
    size: u64,
    /// Bytes before compression.
    sql_size: u64,
    sha256: String,
    /// How long the whole run took.
    seconds: f64,
    /// What the index says; nothing where the backup has none.
    #[serde(flatten)]
    dumped: Option<Dumped>,
}

#[derive(Debug, Serialize)]
struct Dumped {
    server_version: String,
    client_version: String,
    started: String,
    finished: String,
    in_recovery: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    standby: Option<Box<Standby>>,
    databases: Vec<Database>,
    /// What a base backup needs.
    #[serde(flatten)]
    base: Option<BaseFields>,
}

#[derive(Debug, Serialize)]
struct BaseFields {
    /// In decimal digits.
    system_identifier: String,
    timeline: u32,
    start_lsn: String,
    stop_lsn: String,
}

#[derive(Debug, Serialize)]
struct Database {
    name: PgText,
    /// The name's bytes, where JSON cannot have them.
    #[serde(skip_serializing_if = "Option::is_none")]
    name_hex: Option<String>,
    size: u64,
    sql_size: u64,
    seconds: f64,
    rows: Option<u64>,
    tables: Option<u64>,
}

impl Document {
    /// Reads the index back from the finished file. `read` is what the dump commands wrote, for a file without an index.
    ///
    /// # Errors
    /// It cannot be read back.
    pub(crate) fn new(file: &Published, read: u64, elapsed: Duration) -> Result<Self, Error> {
        let path = file.path.display().to_string();
        let source = Source::open(&path)?;
        let tail = source.read_at().map(read_tail).transpose();
        let index = match tail.map_err(|error| source.read_error(&error))? {
            Some(Tail::Index(index)) => Some(*index),
            _ => None,
        };
        let sql_size = |index: &Index| index.sections.iter().map(|it| it.sql_length).sum();
        Ok(Self {
            name: source.file_name().map(ToOwned::to_owned),
            path,
            size: file.size,
            sql_size: index.as_ref().map_or(read, sql_size),
            sha256: hex::encode(file.sha256),
            seconds: elapsed.as_secs_f64(),
            dumped: index.map(Dumped::new),
        })
    }
}

impl Dumped {
    fn new(index: Index) -> Self {
        let Index {
            about,
            sections,
            base,
        } = index;
        let moment = |moment: chrono::DateTime<chrono::Utc>| {
            moment.to_rfc3339_opts(SecondsFormat::Secs, true)
        };
        let in_recovery = about.server_role.as_ref().map(ServerRole::is_standby);
        let standby = match about.server_role {
            Some(ServerRole::Standby(standby)) => Some(standby),
            _ => None,
        };
        Self {
            in_recovery,
            standby,
            started: moment(about.started),
            finished: moment(about.finished),
            server_version: about.server_version,
            client_version: about.client_version,
            databases: sections
                .into_iter()
                .filter_map(|section| Database::new(section, base.as_deref()))
                .collect(),
            base: base.map(|base| BaseFields {
                system_identifier: base.system_identifier.to_string(),
                timeline: base.start().timeline,
                start_lsn: lsn(base.start().start),
                stop_lsn: lsn(base.stop().stop),
            }),
        }
    }
}

impl Database {
    /// None for a section that is no database's.
    fn new(section: Section, base: Option<&Base>) -> Option<Self> {
        let name = match section.kind {
            SectionKind::Database(name) => name,
            SectionKind::DatabaseFiles(oid) => base?.database(oid)?.clone(),
            _ => return None,
        };
        let contents = section.contents.as_ref();
        Some(Self {
            name_hex: name.utf8().is_none().then(|| name.hex()),
            size: section.length,
            sql_size: section.sql_length,
            seconds: section.seconds,
            rows: contents.and_then(|contents| contents.rows),
            tables: contents.map(|contents| contents.table_count),
            name,
        })
    }
}
