//! What the failure of a statement means, and what to do about it: told by the server's code and by the place in its
//! source, never by its words.

use job::Error;
use serde::Serialize;

use super::psql_message::RESTRICTED;

/// How many lines of an error a person gets.
pub(super) const SHOWN: usize = 6;

/// A statement that failed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Failure {
    /// How it begins, up to where a secret could be: `CREATE EXTENSION pg_cron`.
    pub(super) statement: String,
    /// Its code (PostgreSQL documentation, appendix A).
    pub(super) sqlstate: String,
    /// The server's own words, in its language.
    pub(super) message: String,
    /// The other lines that are for a person.
    pub(super) details: Vec<String>,
    /// Whether something that the statement set off has failed: a function, the rows of a COPY.
    pub(super) within: bool,
    /// Where in the server's source: `get_role_oid, acl.c:5185`.
    pub(super) location: String,
}

impl Failure {
    /// The error that the program ends with.
    pub(crate) fn error(&self) -> Error {
        let lines = self.message.lines().map(str::trim);
        let details = self.details.iter().map(String::as_str);
        let lines: Vec<&str> = lines.chain(details).take(SHOWN).collect();
        Error::failed(format!("{}: {}", self.statement, lines.join("; ")))
            .hint_if_known(self.remedy())
    }

    /// What helps against the commonest failures.
    fn remedy(&self) -> Option<&'static str> {
        let about = |words: &str| self.statement.to_ascii_uppercase().starts_with(words);
        let raised_in = |file: &str| self.location.contains(&format!(", {file}:"));
        let says = |name: &str| self.details.iter().any(|line| line.contains(name));
        let code = self.sqlstate.as_str();
        Some(match code {
            "42501" => return None,
            // character_not_in_repertoire, untranslatable_character.
            "22021" | "22P05" => {
                "what is not text in the server's encoding is taken by a server of the backup's: initdb --encoding=…; one database can be restored with --database DB --as NAME --no-owners"
            }
            "53100" => "make room on the server",
            // The server's own hint names it.
            "53200" if says("max_locks_per_transaction") => {
                "raise max_locks_per_transaction on the server and restart it; what is restored in place also goes in several transactions: --in-place NAME"
            }
            "42704" if raised_in("acl.c") || raised_in("user.c") => {
                "restore the roles first, with --globals-only, or create that role"
            }
            _ if raised_in("tablespace.c") || about("SET DEFAULT_TABLESPACE") => {
                "restore the tablespaces first, with --globals-only, or create that tablespace"
            }
            "0A000" | "58P01" if about("CREATE EXTENSION") => {
                "install that extension's package on the server"
            }
            _ if about("CREATE EXTENSION") => {
                "see what the extension wants of its server: a library among shared_preload_libraries, or a database of one certain name (--in-place NAME gives it that from the start, if no database of that name is there, or an empty one)"
            }
            "22023" | "42809" if about("CREATE DATABASE") || about("CREATE COLLATION") => {
                "generate that locale on the server's machine (locale-gen, localedef), and restart the server"
            }
            _ if self.is_lost_without_search_path() => {
                "dumps are restored with an empty search_path, by psql and pg_restore too: give the function one (ALTER FUNCTION … SET search_path = …), and dump again"
            }
            _ => return None,
        })
    }

    /// Whether a function does not find what it names: an undefined table, column, function, type or other object.
    fn is_lost_without_search_path(&self) -> bool {
        let code = self.sqlstate.as_str();
        self.within && matches!(code, "42P01" | "42703" | "42704" | "42883" | "3F000")
    }
}

/// If psql ended because the backup holds a command of psql's: the error that says so. Any other error stays as it is.
pub(crate) fn refused_command(error: Error) -> Error {
    let said = error.to_string();
    if !said.contains(RESTRICTED) {
        return error;
    }
    Error::not_good(format!("{said}: the backup holds a command of psql's, which was not carried out"))
        .hint("no dump of pg_dump has one there: see where it came from before anything of it is restored")
}
