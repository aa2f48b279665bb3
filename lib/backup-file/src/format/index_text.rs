//! The index as text: SQL comments, a JSON object in each.

use std::io;

use pg_text::PgText;
use serde::{Deserialize, Serialize};

use super::base::Base;
use super::contents::Contents;
use super::error::{ReadError, damaged};
use super::index::{About, Excluded, Index, MapPlace, Section, SectionKind, milliseconds};
use super::json_name::JsonName;
use super::member::HEAD_LINE;
use super::standby::{ServerRole, Standby, moment, rfc3339};

/// The format this program writes, and the newest it reads.
const FORMAT: u64 = 1;
/// The beginning of every line of the index, which makes it an SQL comment.
const COMMENT: &str = "-- ";

/// The index's lines, after the head.
pub(crate) fn write_lines(index: &Index) -> io::Result<String> {
    let About {
        server_version,
        client_version,
        encoding,
        excluded,
        server_role,
        started,
        finished,
    } = &index.about;
    let standby = match server_role {
        Some(ServerRole::Standby(standby)) => Some(standby.clone()),
        _ => None,
    };
    let mut text = String::new();
    push_line(
        &mut text,
        &AboutLine {
            format: FORMAT,
            server_version: server_version.clone(),
            client_version: client_version.clone(),
            encoding: encoding.clone(),
            excluded: ExcludedLine::from(excluded),
            in_recovery: server_role.as_ref().map(|_| standby.is_some()),
            standby,
            started: rfc3339(*started),
            finished: rfc3339(*finished),
            base: index.base.as_deref().cloned(),
        },
    )?;
    for section in &index.sections {
        push_line(&mut text, &SectionLine::from(section))?;
    }
    Ok(text)
}

fn push_line(text: &mut String, line: &impl Serialize) -> io::Result<()> {
    text.push_str(COMMENT);
    text.push_str(&serde_json::to_string(line).map_err(io::Error::other)?);
    text.push('\n');
    Ok(())
}

/// Reads the index's text, head line included.
pub(crate) fn parse(text: &str) -> Result<Index, ReadError> {
    let mut lines = text.lines();
    if lines.next().map(str::as_bytes) != HEAD_LINE.strip_suffix(b"\n") {
        return Err(damaged("the index does not begin with its head line"));
    }
    let about: serde_json::Value = json(lines.next(), "its first line")?;
    let format = about.get("format").and_then(serde_json::Value::as_u64);
    match format {
        Some(FORMAT) => {}
        Some(newer) if newer > FORMAT => {
            return Err(damaged(format!(
                "the backup is of format {newer}, this program reads format {FORMAT}: it takes a newer release of it"
            )));
        }
        _ => return Err(damaged("the index does not say of which format it is")),
    }
    let about: AboutLine = serde_json::from_value(about)
        .map_err(|error| damaged(format!("the index cannot be read: its first line: {error}")))?;
    Ok(Index {
        about: About {
            server_version: about.server_version,
            client_version: about.client_version,
            encoding: about.encoding,
            excluded: about.excluded.excluded()?,
            server_role: server_role(about.in_recovery, about.standby),
            started: moment(&about.started).map_err(|why| unreadable(&why))?,
            finished: moment(&about.finished).map_err(|why| unreadable(&why))?,
        },
        base: about.base.map(Box::new),
        sections: lines
            .enumerate()
            .map(|(at, line)| {
                let place = format!("the line of section {}", at + 1);
                json::<SectionLine>(Some(line), &place)?.section()
            })
            .collect::<Result<_, _>>()?,
    })
}

fn json<T: for<'de> Deserialize<'de>>(line: Option<&str>, place: &str) -> Result<T, ReadError> {
    let cannot =
        |why: &dyn std::fmt::Display| damaged(format!("the index cannot be read: {place}: {why}"));
    let line = line.ok_or_else(|| cannot(&"it is missing"))?;
    let line = line
        .strip_prefix(COMMENT)
        .ok_or_else(|| cannot(&"it is no comment"))?;
    serde_json::from_str(line).map_err(|error| cannot(&error))
}

fn unreadable(why: &str) -> ReadError {
    damaged(format!("the index cannot be read: {why}"))
}

/// Without the details of a standby nobody knows of which moment its data were.
fn server_role(in_recovery: Option<bool>, standby: Option<Box<Standby>>) -> Option<ServerRole> {
    match (in_recovery, standby) {
        (Some(true), standby) => Some(ServerRole::Standby(standby.unwrap_or_default())),
        (Some(false), _) => Some(ServerRole::Primary),
        (None, _) => None,
    }
}

#[derive(Serialize, Deserialize)]
struct AboutLine {
    format: u64,
    server_version: String,
    client_version: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    encoding: Option<String>,
    #[serde(default, skip_serializing_if = "ExcludedLine::is_empty")]
    excluded: ExcludedLine,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    in_recovery: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    standby: Option<Box<Standby>>,
    started: String,
    finished: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    base: Option<Base>,
}

#[derive(Default, Serialize, Deserialize)]
struct ExcludedLine {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    table: Vec<JsonName>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    table_data: Vec<JsonName>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    schema: Vec<JsonName>,
}

impl From<&Excluded> for ExcludedLine {
    fn from(excluded: &Excluded) -> Self {
        let names = |patterns: &[PgText]| patterns.iter().map(JsonName::from).collect();
        Self {
            table: names(&excluded.tables),
            table_data: names(&excluded.table_data),
            schema: names(&excluded.schemas),
        }
    }
}

impl ExcludedLine {
    fn is_empty(&self) -> bool {
        self.table.is_empty() && self.table_data.is_empty() && self.schema.is_empty()
    }

    fn excluded(self) -> Result<Excluded, ReadError> {
        let patterns = |names: Vec<JsonName>| {
            let patterns = names.into_iter().map(JsonName::into_text);
            patterns
                .collect::<Option<Vec<_>>>()
                .ok_or_else(|| damaged("the index cannot be read: a pattern is no text"))
        };
        Ok(Excluded {
            tables: patterns(self.table)?,
            table_data: patterns(self.table_data)?,
            schemas: patterns(self.schema)?,
        })
    }
}

#[derive(Serialize, Deserialize)]
struct SectionLine {
    kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name_hex: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    oid: Option<u32>,
    offset: u64,
    length: u64,
    sql_offset: u64,
    sql_length: u64,
    crc32: u32,
    seconds: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    contents: Option<Contents>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    map: Option<MapPlace>,
}

impl From<&Section> for SectionLine {
    fn from(section: &Section) -> Self {
        let (kind, name) = match &section.kind {
            SectionKind::Globals => ("globals", None),
            SectionKind::Database(name) => ("database", Some(name)),
            SectionKind::End => ("end", None),
            SectionKind::Files => ("files", None),
            SectionKind::DatabaseFiles(_) => ("database_files", None),
            SectionKind::Manifest => ("manifest", None),
        };
        Self {
            kind: kind.into(),
            name: name.map(PgText::to_string),
            name_hex: name.filter(|it| it.utf8().is_none()).map(PgText::hex),
            oid: match section.kind {
                SectionKind::DatabaseFiles(oid) => Some(oid),
                _ => None,
            },
            offset: section.offset,
            length: section.length,
            sql_offset: section.sql_offset,
            sql_length: section.sql_length,
            crc32: section.crc32,
            seconds: section.seconds,
            contents: section.contents.clone(),
            map: section.map,
        }
    }
}

impl SectionLine {
    fn section(self) -> Result<Section, ReadError> {
        let name = match self.name_hex {
            Some(hex) => Some(PgText::from_hex(&hex).ok_or_else(|| {
                damaged(format!(
                    "the index cannot be read: '{hex}' is no name in hexadecimal digits"
                ))
            })?),
            None => self.name.map(PgText::from),
        };
        let kind = match (self.kind.as_str(), name, self.oid) {
            ("globals", ..) => SectionKind::Globals,
            ("database", Some(name), _) => SectionKind::Database(name),
            ("end", ..) => SectionKind::End,
            ("files", ..) => SectionKind::Files,
            ("database_files", _, Some(oid)) => SectionKind::DatabaseFiles(oid),
            ("manifest", ..) => SectionKind::Manifest,
            (kind, ..) => {
                return Err(damaged(format!(
                    "the index cannot be read: a section of kind '{kind}'"
                )));
            }
        };
        Ok(Section {
            kind,
            offset: self.offset,
            length: self.length,
            sql_offset: self.sql_offset,
            sql_length: self.sql_length,
            crc32: self.crc32,
            seconds: milliseconds(self.seconds),
            contents: self.contents,
            map: self.map,
        })
    }
}
