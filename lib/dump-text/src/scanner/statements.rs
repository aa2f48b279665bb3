//! Statements, whole or in parts.

use super::{HEAD_LIMIT, Mode, Scanner, Text};
use crate::Piece;
use crate::change::changes;
use crate::lexer::Stop;
use crate::query::Query;
use crate::suspect::{SettingMentions, is_suspect};

impl Scanner {
    pub(super) fn statement<E>(
        &mut self,
        text: Text<'_>,
        sink: &mut impl FnMut(Piece<'_>) -> Result<(), E>,
    ) -> Result<usize, E> {
        let stop = self.lexer.statement(text.seen);
        let length = match stop {
            Stop::Never => text.raw.len(),
            Stop::End(length) | Stop::Backslash(length) | Stop::Ambiguous(length) => length,
        };
        let part = &text.raw[..length];
        if let Some(mentions) = &mut self.mentions {
            mentions.see(part);
        }
        match stop {
            Stop::Never => self.hand_out(part, false, sink)?,
            Stop::Ambiguous(_) => {
                self.keep(part);
                self.ambiguous(part, sink)?;
            }
            Stop::Backslash(_) => {
                self.keep(part);
                self.hand_out(part, true, sink)?;
                self.mode = Mode::Command { within: true };
            }
            Stop::End(_) => {
                let query = self.lexer.end();
                match self.ended(&query, part) || query.may_be_copy() {
                    true => self.ambiguous(part, sink)?,
                    false => self.hand_out(part, true, sink)?,
                }
                self.headed = false;
                self.mode = match self.copies {
                    0 => Mode::Between,
                    _ => Mode::AfterCopy,
                };
            }
        }
        Ok(length)
    }

    /// Hands out the statement, or the part of it that has come.
    pub(super) fn hand_out<E>(
        &mut self,
        part: &[u8],
        whole: bool,
        sink: &mut impl FnMut(Piece<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut part = part;
        if !self.headed {
            let room = HEAD_LIMIT - self.held.len();
            if part.len() <= room {
                if !whole {
                    self.held.extend_from_slice(part);
                    return Ok(());
                }
                let part = self.put_together(part);
                if !part.is_empty() {
                    sink(Piece::Statement(part))?;
                }
                self.held.clear();
                return Ok(());
            }
            let (head, rest) = part.split_at(room);
            sink(Piece::Head(self.put_together(head)))?;
            self.held.clear();
            self.headed = true;
            part = rest;
        }
        if whole || !part.is_empty() {
            sink(Piece::Body {
                bytes: part,
                last: whole,
            })?;
        }
        self.headed &= !whole;
        Ok(())
    }

    pub(super) fn ambiguous<E>(
        &mut self,
        part: &[u8],
        sink: &mut impl FnMut(Piece<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        sink(Piece::Ambiguous(self.put_together(part)))?;
        self.held.clear();
        Ok(())
    }

    /// `held` and what follows it, together.
    pub(super) fn put_together<'a>(&'a mut self, part: &'a [u8]) -> &'a [u8] {
        if self.held.is_empty() {
            return part;
        }
        self.held.extend_from_slice(part);
        &self.held
    }

    /// Keeps what is handed out of a statement that goes on, which may change settings as a whole.
    pub(super) fn keep(&mut self, part: &[u8]) {
        let fits = |cut: &Vec<u8>| cut.len() + self.held.len() + part.len() <= HEAD_LIMIT;
        self.cut = self.cut.take().filter(|cut| !self.headed && fits(cut));
        if let Some(cut) = &mut self.cut {
            cut.extend_from_slice(&self.held);
            cut.extend_from_slice(part);
        }
    }

    /// The `;` of a statement has come, with its last `part`; whether it is suspect.
    pub(super) fn ended(&mut self, query: &Query, part: &[u8]) -> bool {
        self.copies += u32::from(query.is_copy_from_stdin());
        let mentions = self.mentions.as_mut().map(SettingMentions::take);
        let changes_settings = query.may_change_settings();
        let looked_at = changes_settings || mentions == Some(true);
        if looked_at {
            self.keep(part);
        }
        let text = self.cut.replace(Vec::new());
        if !looked_at {
            return false;
        }
        let Some(text) = text else {
            return mentions.is_some();
        };
        if changes_settings {
            for change in changes(&text) {
                self.settings.change(change);
            }
        }
        mentions.is_some_and(|found| is_suspect(&text, found))
    }
}
