//! What no dump has is not let through.

use dump_text::{Command, Piece, command};
use job::Error;

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
            Piece::Command(line) => match command(line) {
                Command::Other(name) => {
                    return Err(foreign(&format!("the psql command '\\{name}'")));
                }
                known => Let::Command(known),
            },
        })
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

/// The line of a command that is handed on.
pub(crate) fn line(command: &Command, restrict: bool) -> Option<String> {
    match command {
        Command::Restrict(key) if restrict => Some(format!("\\restrict {key}\n")),
        Command::Unrestrict(key) if restrict => Some(format!("\\unrestrict {key}\n")),
        Command::Encoding(name) => Some(format!("\\encoding {name}\n")),
        _ => None,
    }
}
