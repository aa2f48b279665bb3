//! The form of psql's messages on standard error. The server's words are in its own language. Its codes are the same
//! everywhere; so are libpq's labels and psql's own words, as psql runs with `LC_ALL=C`.

use pg_client::ServerMessage;

/// The options that make psql print the code and the place of each error, and the statement after it.
pub(crate) const VERBOSE: [&str; 2] = [ServerMessage::VERBOSE, "--echo-errors"];

/// The label before the statement that failed.
pub(super) const STATEMENT: &str = "STATEMENT:";
/// The label before each message, where psql reads its input as a file. The line of the input and a colon follow.
const NUMBERED: &str = "psql:<stdin>:";
/// The label before an error that psql itself has found.
const OWN_ERROR: &str = "error: ";
/// How psql refuses a command in restricted mode.
pub(crate) const RESTRICTED: &str = "backslash commands are restricted";
/// The labels that libpq puts before the parts of a message (`pqBuildErrorMessage3`).
const LABELS: [(&str, Part); 11] = [
    ("LINE ", Part::Line),
    ("DETAIL:", Part::Detail),
    ("HINT:", Part::Detail),
    ("QUERY:", Part::Query),
    ("CONTEXT:", Part::Context),
    ("SCHEMA NAME:", Part::Name),
    ("TABLE NAME:", Part::Name),
    ("COLUMN NAME:", Part::Name),
    ("DATATYPE NAME:", Part::Name),
    ("CONSTRAINT NAME:", Part::Name),
    ("LOCATION:", Part::Location),
];

/// A part of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Message,
    /// The line of the statement, or of a function's query, with a mark below.
    Line,
    Detail,
    Query,
    Context,
    Name,
    Location,
}

impl Part {
    /// The part that a line begins; none if the line belongs to the part before it.
    pub(super) fn begun_by(line: &str) -> Option<Self> {
        let label = LABELS.iter().find(|(label, _)| line.starts_with(label));
        label.map(|it| it.1)
    }
}

/// Whether a message of the server is a warning by its code. A few warnings have the code of an error (`25P01`: there is no
/// transaction). The severity tells, but psql prints that in the server's language; so such a warning is known by what
/// follows it: psql goes on, and names no statement that has failed.
pub(super) fn is_warning(message: &ServerMessage<'_>) -> bool {
    message.sqlstate.as_str().starts_with("01")
}

/// The line of psql's input that a message is about, and the message: `psql:<stdin>:7: ERROR:  …`
pub(super) fn numbered(line: &str) -> Option<(u64, &str)> {
    let (number, words) = line.strip_prefix(NUMBERED)?.split_once(": ")?;
    Some((number.parse().ok()?, words))
}

/// Whether a message is an error that psql itself has found.
pub(super) fn is_own_error(words: &str) -> bool {
    words.starts_with(OWN_ERROR)
}
