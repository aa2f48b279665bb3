//! Statements as they are sent, and the rows that follow a COPY.

use dump_text::{Piece, Token, tokens};
use job::Error;

use super::super::traits::Out;
use super::fork::frozen;
use super::state::{DatabaseEdit, Freeze, Rows, Transaction};

impl DatabaseEdit {
    pub(super) fn send(&mut self, statement: &[u8], out: &mut dyn Out) -> Result<bool, Error> {
        self.tally.sent();
        if self.options.goes_on && is_copy_in(statement) {
            if self.transaction != Transaction::None {
                return Err(Error::failed(
                    "the backup has a COPY within a transaction: it cannot go on after errors",
                )
                .hint("restore it without --on-error continue"));
            }
            self.rows = match out.copy(statement)? {
                true => Rows::Follow,
                false => Rows::LeftOut,
            };
            return Ok(true);
        }
        self.settings.see(statement);
        let frozen = match self.freeze {
            Freeze::Next => frozen(statement),
            _ => None,
        };
        if self.freeze == Freeze::Next {
            // A COPY of another form is sent as it is, and the next one is not meant.
            self.freeze = match frozen {
                Some(_) => Freeze::Now,
                None => Freeze::No,
            };
        }
        let statement = frozen.as_deref().unwrap_or(statement);
        self.guard
            .send(statement, self.options.wary, &mut self.context, out)?;
        Ok(true)
    }

    /// Sends what does not begin a statement: rows, comments, the rest of a long statement.
    pub(super) fn pass(
        &mut self,
        piece: Piece<'_>,
        sql: &[u8],
        out: &mut dyn Out,
    ) -> Result<(), Error> {
        match piece {
            Piece::Data(_) | Piece::DataEnd { .. } if self.options.goes_on => {
                let rows = self.rows;
                if matches!(piece, Piece::DataEnd { .. }) {
                    self.rows = Rows::None;
                }
                match rows {
                    Rows::Follow => out.write(sql),
                    Rows::LeftOut => Ok(()),
                    Rows::None => Err(Error::failed(
                        "the backup has rows, and it is not clear which COPY they belong to",
                    )
                    .hint("restore it without --on-error continue")),
                }
            }
            Piece::Body { last, .. } if self.aside => {
                self.aside = !last;
                let end: &[u8] = if last { b"\n" } else { b"" };
                out.large_objects()?.write(&[sql, end].concat())
            }
            Piece::DataEnd { .. } if self.freeze == Freeze::Now => {
                self.freeze = Freeze::No;
                out.write(&[sql, b"COMMIT;\n"].concat())
            }
            _ => out.write(sql),
        }
    }
}

/// Whether it is a `COPY … FROM stdin`, whose rows follow.
fn is_copy_in(statement: &[u8]) -> bool {
    let mut depth = 0_u32;
    let mut from = false;
    let mut words = tokens(statement).map(|spanned| spanned.token);
    words.next().is_some_and(|word| word.is("copy"))
        && words.any(|word| {
            match word {
                Token::Symbol(b'(') => depth += 1,
                Token::Symbol(b')') => depth = depth.saturating_sub(1),
                _ => {}
            }
            let found = depth == 0 && from && word.is("stdin");
            from = word.is("from");
            found
        })
}
