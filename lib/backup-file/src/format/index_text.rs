//! The index as text: SQL comments, a JSON object in each.

use std::io;

use pg_text::PgText;
use serde::{Deserialize, Serialize};

use super::contents::Contents;
use super::error::{ReadError, damaged};
use super::index::{About, Index, Section, SectionKind, milliseconds};
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
            in_recovery: server_role.as_ref().map(|_| standby.is_some()),
            standby,
            started: rfc3339(*started),
            finished: rfc3339(*finished),
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
            server_role: server_role(about.in_recovery, about.standby),
            started: moment(&about.started).map_err(|why| unreadable(&why))?,
            finished: moment(&about.finished).map_err(|why| unreadable(&why))?,
        },
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    in_recovery: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    standby: Option<Box<Standby>>,
    started: String,
    finished: String,
}

#[derive(Serialize, Deserialize)]
struct SectionLine {
    kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name_hex: Option<String>,
    offset: u64,
    length: u64,
    sql_offset: u64,
    sql_length: u64,
    crc32: u32,
    seconds: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    contents: Option<Contents>,
}

impl From<&Section> for SectionLine {
    fn from(section: &Section) -> Self {
        let (kind, name) = match &section.kind {
            SectionKind::Globals => ("globals", None),
            SectionKind::Database(name) => ("database", Some(name)),
            SectionKind::End => ("end", None),
        };
        Self {
            kind: kind.into(),
            name: name.map(PgText::to_string),
            name_hex: name.filter(|it| it.utf8().is_none()).map(PgText::hex),
            offset: section.offset,
            length: section.length,
            sql_offset: section.sql_offset,
            sql_length: section.sql_length,
            crc32: section.crc32,
            seconds: section.seconds,
            contents: section.contents.clone(),
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
        let kind = match (self.kind.as_str(), name) {
            ("globals", _) => SectionKind::Globals,
            ("database", Some(name)) => SectionKind::Database(name),
            ("end", _) => SectionKind::End,
            (kind, _) => {
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
        })
    }
}
