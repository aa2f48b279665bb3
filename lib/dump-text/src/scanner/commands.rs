//! Lines that are psql's own.

use memchr::memchr;

use super::{HEAD_LIMIT, Mode, Row, Scanner, Text};
use crate::bytes::is_space;
use crate::change::{Change, Setting, Value};
use crate::encoding::Encoding;
use crate::{Command, Piece, command};

impl Scanner {
    pub(super) fn command<E>(
        &mut self,
        within: bool,
        text: Text<'_>,
        sink: &mut impl FnMut(Piece<'_>) -> Result<(), E>,
    ) -> Result<usize, E> {
        let second = match self.held.len() {
            0 => text.seen.get(1),
            1 => text.seen.first(),
            _ => None,
        };
        if let Some(byte @ (b';' | b':')) = second {
            return self.forced(*byte, text, sink);
        }
        let end = memchr(b'\n', text.raw);
        let mut known = None;
        let wary = self.mentions.is_some();
        let read = self.line(text.through(end), end.is_some(), |line| {
            let known = known.insert(command(line));
            sink(match known {
                Command::Encoding(name)
                    if wary && Encoding::named(name.as_bytes()) != Encoding::Safe =>
                {
                    Piece::Ambiguous(line)
                }
                _ => Piece::Command(line),
            })
        })?;
        if end.is_none() {
            return Ok(read);
        }
        self.mode = match within {
            true => Mode::Statement,
            false => Mode::Between,
        };
        match known {
            Some(Command::Connect(database)) => self.settings.connect(&database),
            Some(Command::Encoding(name)) => self.settings.change(Change::Set {
                setting: Setting::ClientEncoding,
                value: Some(Value::ClientEncoding(Encoding::named(name.as_bytes()))),
                local: false,
            }),
            _ => {}
        }
        self.next_line();
        Ok(read)
    }

    /// `\;` and `\:`, which are no commands: psql puts the second byte into the statement and reads on.
    pub(super) fn forced<E>(
        &mut self,
        byte: u8,
        text: Text<'_>,
        sink: &mut impl FnMut(Piece<'_>) -> Result<(), E>,
    ) -> Result<usize, E> {
        let length = 2 - self.held.len();
        sink(Piece::Command(self.put_together(&text.raw[..length])))?;
        self.held.clear();
        self.mode = Mode::Statement;
        match self.lexer.forced(byte) {
            Some(query) => {
                self.ended(&query, b"");
            }
            None => self.keep(&[byte]),
        }
        Ok(length)
    }

    pub(super) fn after_copy<E>(
        &mut self,
        text: Text<'_>,
        sink: &mut impl FnMut(Piece<'_>) -> Result<(), E>,
    ) -> Result<usize, E> {
        let end = memchr(b'\n', text.raw);
        if end.is_some() {
            self.mode = Mode::Data(Row::Start);
            self.rows = 0;
        }
        self.line(text.through(end), end.is_some(), |line| {
            sink(match line.iter().all(|byte| is_space(*byte)) {
                true => Piece::Space(line),
                false => Piece::Command(line),
            })
        })
    }

    /// Reads on in a line, and hands it out when it is whole or long.
    pub(super) fn line<E>(
        &mut self,
        part: &[u8],
        whole: bool,
        give: impl FnOnce(&[u8]) -> Result<(), E>,
    ) -> Result<usize, E> {
        let length = part.len();
        if !whole && self.held.len() + length <= HEAD_LIMIT {
            self.held.extend_from_slice(part);
            return Ok(length);
        }
        give(self.put_together(part))?;
        self.held.clear();
        Ok(length)
    }
}
