//! A map as text: SQL comments, JSON in each.

use std::io;
use std::ops::Range;

use pg_text::PgText;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::contents::TableRows;
use super::error::{ReadError, damaged};
use super::index::Section;
use super::json_name::JsonName;
use super::map::{Checkpoints, CopyBlock, CopyTarget, Layout, MOST_CHECKPOINTS, Map};
use super::member::BLOCK;

/// The beginning of every line.
const COMMENT: &str = "-- ";
/// How many checkpoints a line has.
const A_LINE: usize = 256;

/// The first line after the head.
#[derive(Serialize, Deserialize)]
struct FirstLine {
    database: JsonName,
    sql_step: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    data: Option<[u64; 2]>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    large_objects: Option<[u64; 2]>,
}

/// A line of checkpoints: how many bytes of the file each step takes.
#[derive(Serialize, Deserialize)]
struct CheckpointLine {
    #[serde(default)]
    checkpoints: Vec<u64>,
}

fn word(target: CopyTarget) -> Option<&'static str> {
    match target {
        CopyTarget::Table => None,
        CopyTarget::Partitioned => Some("partitioned"),
        CopyTarget::NotCreated => Some("not created"),
    }
}

/// Hands the lines of a map to `sink`, without the head.
pub(crate) fn write_lines(
    database: &PgText,
    layout: &Layout,
    checkpoints: &Checkpoints,
    sink: &mut dyn FnMut(&str) -> io::Result<()>,
) -> io::Result<()> {
    let mut text = String::new();
    let mut line = |json: serde_json::Result<String>| {
        text.clear();
        text.push_str(COMMENT);
        text.push_str(&json.map_err(io::Error::other)?);
        text.push('\n');
        sink(&text)
    };
    let pair = |range: &Range<u64>| [range.start, range.end];
    line(serde_json::to_string(&FirstLine {
        database: database.into(),
        sql_step: checkpoints.step,
        data: layout.data.as_ref().map(pair),
        large_objects: layout.large_objects.as_ref().map(pair),
    }))?;
    let mut end = 0;
    for block in &layout.copies {
        let CopyBlock { sql, rows, .. } = block;
        let numbers = (
            sql.start - end,
            block.statement - sql.start,
            block.data - block.statement,
            sql.end - block.data,
        );
        let (between, comments, statement, data) = numbers;
        let name = JsonName::from(&block.table);
        line(match word(block.target) {
            None => serde_json::to_string(&(name, rows, between, comments, statement, data)),
            Some(target) => {
                serde_json::to_string(&(name, rows, between, comments, statement, data, target))
            }
        })?;
        end = sql.end;
    }
    for table in &layout.other_tables {
        line(serde_json::to_string(&(
            JsonName::from(&table.name),
            table.rows,
        )))?;
    }
    let mut before = 0;
    for some in checkpoints.offsets.chunks(A_LINE) {
        let lengths = some
            .iter()
            .map(|offset| offset - std::mem::replace(&mut before, *offset));
        let checkpoints = lengths.collect();
        line(serde_json::to_string(&CheckpointLine { checkpoints }))?;
    }
    Ok(())
}

/// Reads the lines of a map as they come.
pub(crate) struct Parser<'a> {
    section: &'a Section,
    database: &'a PgText,
    begun: bool,
    /// The end of the last `COPY` block.
    end: u64,
    map: Map,
}

impl<'a> Parser<'a> {
    pub(crate) fn new(section: &'a Section, database: &'a PgText) -> Self {
        Self {
            section,
            database,
            begun: false,
            end: 0,
            map: Map {
                layout: Layout::default(),
                checkpoints: Checkpoints::default(),
                file: section.offset..section.offset.saturating_add(section.length),
                sql_length: section.sql_length,
            },
        }
    }

    /// The next line, without its line feed.
    pub(crate) fn line(&mut self, line: &[u8]) -> Result<(), ReadError> {
        let json = line.strip_prefix(COMMENT.as_bytes());
        let json = json.ok_or_else(|| self.wrong("a line that is no comment"))?;
        if !self.begun {
            self.begun = true;
            return self.first(json);
        }
        match json.first() {
            Some(b'[') => self.table(json),
            _ => self.checkpoints(json),
        }
    }

    /// No more lines come.
    pub(crate) fn finish(self) -> Result<Map, ReadError> {
        if !self.begun {
            return Err(self.wrong("it has no lines"));
        }
        match self.map.layout.is_sound(self.section.sql_length) {
            true => Ok(self.map),
            false => Err(self.wrong("data where they cannot be")),
        }
    }

    fn first(&mut self, json: &[u8]) -> Result<(), ReadError> {
        let line: FirstLine = self.json(json)?;
        if line.database.into_text().as_ref() != Some(self.database) {
            return Err(self.wrong("it is another database's"));
        }
        let block = u64::try_from(BLOCK).unwrap_or(u64::MAX);
        if line.sql_step == 0 || !line.sql_step.is_multiple_of(block) {
            return Err(self.wrong("checkpoints where no member begins"));
        }
        self.map.checkpoints.step = line.sql_step;
        let range = |[start, end]: [u64; 2]| start..end;
        self.map.layout.data = line.data.map(range);
        self.map.layout.large_objects = line.large_objects.map(range);
        Ok(())
    }

    fn table(&mut self, json: &[u8]) -> Result<(), ReadError> {
        let values: Vec<Value> = self.json(json)?;
        let mut values = values.into_iter();
        let name = values.next().map(serde_json::from_value::<JsonName>);
        let name = name.and_then(Result::ok).and_then(JsonName::into_text);
        let table = name.ok_or_else(|| self.wrong("a table without a name"))?;
        let rows = match values.next() {
            Some(Value::Null) => None,
            Some(Value::Number(rows)) if rows.is_u64() => rows.as_u64(),
            _ => return Err(self.wrong("a table without its rows")),
        };
        if values.len() == 0 {
            let table = TableRows::new(table, rows);
            self.map.layout.other_tables.push(table);
            return Ok(());
        }
        let block = self.block(table, rows, &mut values);
        let block = block.ok_or_else(|| self.wrong("rows that are not in its section"))?;
        self.end = block.sql.end;
        self.map.layout.copies.push(block);
        Ok(())
    }

    fn block(
        &self,
        table: PgText,
        rows: Option<u64>,
        values: &mut impl Iterator<Item = Value>,
    ) -> Option<CopyBlock> {
        let mut after = |place: u64| place.checked_add(values.next()?.as_u64()?);
        let start = after(self.end)?;
        let statement = after(start)?;
        let data = after(statement)?;
        let end = after(data)?;
        let target = match values.next() {
            None => CopyTarget::Table,
            Some(Value::String(word)) if word == "partitioned" => CopyTarget::Partitioned,
            Some(Value::String(word)) if word == "not created" => CopyTarget::NotCreated,
            Some(_) => return None,
        };
        Some(CopyBlock {
            table,
            target,
            rows,
            sql: start..end,
            statement,
            data,
        })
    }

    fn checkpoints(&mut self, json: &[u8]) -> Result<(), ReadError> {
        let line: CheckpointLine = self.json(json)?;
        let Checkpoints { step, offsets } = &mut self.map.checkpoints;
        for length in line.checkpoints {
            let before = offsets.last().copied().unwrap_or(0);
            let at = u64::try_from(offsets.len()).unwrap_or(u64::MAX);
            let sql = at.checked_add(1).and_then(|it| it.checked_mul(*step));
            let offset = before.checked_add(length);
            match sql.zip(offset) {
                Some((sql, offset))
                    if sql <= self.section.sql_length
                        && offset <= self.section.length
                        && offsets.len() < MOST_CHECKPOINTS =>
                {
                    offsets.push(offset);
                }
                _ => return Err(self.wrong("checkpoints that are not in its section")),
            }
        }
        Ok(())
    }

    fn json<T: for<'de> Deserialize<'de>>(&self, json: &[u8]) -> Result<T, ReadError> {
        serde_json::from_slice(json).map_err(|error| self.wrong(&error.to_string()))
    }

    /// The error of a map that is not true.
    pub(crate) fn wrong(&self, what: &str) -> ReadError {
        damaged(format!(
            "the map of {} cannot be read: {what}",
            self.section.kind
        ))
    }
}
