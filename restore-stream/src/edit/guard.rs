//! Refuses what no dump has.

use dump_text::{Command, Piece, command};
use job::Error;

use super::context::Context;
use super::traits::Out;

/// Follows long statements, which come in pieces, and refuses psql commands that are no SQL.
#[derive(Debug, Default)]
pub(crate) struct Guard {
    /// Whether the long statement that is passing is left out.
    leaves_out: bool,
}

/// A piece that was admitted.
pub(crate) enum Admitted<'a> {
    /// SQL that is sent as it is.
    Pass(&'a [u8]),
    /// A statement, or the head of a long one.
    Statement(&'a [u8]),
    /// A command of psql's that dumps have.
    Command(Command),
    /// The rest of a statement that is left out.
    Nothing,
}

impl Guard {
    pub(crate) fn admit<'a>(&mut self, piece: Piece<'a>) -> Result<Admitted<'a>, Error> {
        // psql reads lines as C strings: it would not see the rest of the line.
        if piece.bytes().contains(&0) {
            return Err(foreign("a zero byte"));
        }
        Ok(match piece {
            Piece::Space(bytes) | Piece::Comment(bytes) | Piece::Data(bytes) => {
                Admitted::Pass(bytes)
            }
            Piece::DataEnd { line, .. } => Admitted::Pass(line),
            Piece::Statement(bytes) if !bytes.ends_with(b";") => {
                return Err(foreign("a command of psql within a statement"));
            }
            Piece::Statement(bytes) | Piece::Head(bytes) => Admitted::Statement(bytes),
            Piece::Body { bytes, last } => {
                let leaves_out = self.leaves_out;
                self.leaves_out &= !last;
                match leaves_out {
                    true => Admitted::Nothing,
                    false => Admitted::Pass(bytes),
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
                known => Admitted::Command(known),
            },
        })
    }

    /// Sends a statement.
    ///
    /// psql splits SQL into statements by the encoding and the rule for backslashes that the server reported last, and SQL can
    /// change both in ways that its text does not show. For a psql without restricted mode (`wary`), both are set again, on a
    /// line of their own, before each statement that it could split in another way.
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

    /// Carries out a psql command as SQL, because psql itself takes no command from a backup. A `\restrict` is dropped: the
    /// session is restricted with a key of its own.
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

    /// Leaves out the rest of the statement whose head was admitted last.
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
