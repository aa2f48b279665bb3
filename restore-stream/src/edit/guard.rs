//! What no dump has is not let through.

use dump_text::{Command, Piece, command};
use job::Error;

use super::Out;
use super::context::Context;

/// Follows statements that come in parts, and refuses what psql would do beside SQL.
#[derive(Debug, Default)]
pub(crate) struct Guard {
    /// Whether the long statement that is being read is left out.
    leaves_out: bool,
}

/// What a piece is, once it was let through.
pub(crate) enum Let<'a> {
    /// SQL that is handed on as it is.
    Pass(&'a [u8]),
    /// A statement, or the head of a long one.
    Statement(&'a [u8]),
    /// A command of psql's that dumps have.
    Command(Command),
    /// The rest of a statement that is left out.
    Nothing,
}

impl Guard {
    pub(crate) fn judge<'a>(&mut self, piece: Piece<'a>) -> Result<Let<'a>, Error> {
        // psql reads lines as C strings: what stands behind it would be read as something else.
        if piece.bytes().contains(&0) {
            return Err(foreign("a zero byte"));
        }
        Ok(match piece {
            Piece::Space(bytes) | Piece::Comment(bytes) | Piece::Data(bytes) => Let::Pass(bytes),
            Piece::DataEnd { line, .. } => Let::Pass(line),
            Piece::Statement(bytes) if !bytes.ends_with(b";") => {
                return Err(foreign("a command of psql within a statement"));
            }
            Piece::Statement(bytes) | Piece::Head(bytes) => Let::Statement(bytes),
            Piece::Body { bytes, last } => {
                let leaves_out = self.leaves_out;
                self.leaves_out &= !last;
                match leaves_out {
                    true => Let::Nothing,
                    false => Let::Pass(bytes),
                }
            }
            Piece::Ambiguous(_) => {
                return Err(foreign(
                    "text that this psql might read otherwise than it was meant",
                ));
            }
            Piece::Command(line) => match command(line) {
                Command::Other(name) => {
                    return Err(foreign(&format!("the psql command '\\{name}'")));
                }
                known => Let::Command(known),
            },
        })
    }

    /// Hands a statement on.
    ///
    /// psql splits SQL by the encoding and the rule for backslashes that the server told it last, and SQL can change both
    /// in ways that no text shows. A psql that has no restricted mode (`wary`) is told both again, on a line of their own,
    /// before each statement of which it could make something else.
    pub(crate) fn send(
        &self,
        statement: &[u8],
        wary: bool,
        context: &mut Context,
        out: &mut dyn Out,
    ) -> Result<(), Error> {
        let plain = |byte: &u8| byte.is_ascii() && *byte != b'\\';
        if wary && !statement.iter().all(plain) {
            out.write(&[b"\n", context.sql().as_slice()].concat())?;
        }
        context.see(statement);
        out.write(statement)
    }

    /// Carries out what a command of psql's is about, by SQL: psql itself takes no command from a backup. A `\restrict` is
    /// dropped, as the session is restricted by a key of its own.
    pub(crate) fn encoding(
        &self,
        command: &Command,
        context: &mut Context,
        out: &mut dyn Out,
    ) -> Result<(), Error> {
        let Command::Encoding(name) = command else {
            return Ok(());
        };
        let set = format!("SET client_encoding = '{name}';\n");
        context.see(set.as_bytes());
        out.write(set.as_bytes())
    }

    /// The statement whose head was judged last is left out.
    pub(crate) fn leave_out(&mut self, piece: Piece<'_>) {
        self.leaves_out = matches!(piece, Piece::Head(_));
    }
}

/// The error of a dump that holds what pg_dump and pg_dumpall do not write.
pub(crate) fn foreign(what: &str) -> Error {
    Error::not_good(format!(
        "the backup holds {what}, which is not carried out: no dump has it"
    ))
    .hint("see what it is: gunzip -c BACKUP | less")
}
