//! Names that belong to the whole cluster. Each is bytes in the encoding of the database in which it was given; names in
//! several encodings stand side by side.

use job::say;
use pg_client::Server;
use pg_text::PgText;

/// The encoding in which names are dumped as bytes: nothing is converted, and nothing is found invalid.
const BYTES: &str = "SQL_ASCII";

/// Whether all sequences of bytes are valid in an encoding, as in those of single bytes.
pub(crate) fn takes_all(encoding: &str) -> bool {
    encoding != "UTF8" && !encoding.starts_with("EUC_") && encoding != "MULE_INTERNAL"
}

/// The names of roles and tablespaces that are not ASCII.
#[derive(Debug)]
pub(crate) struct Names<'a> {
    server: &'a Server,
    /// A database to ask in.
    maintenance: PgText,
    shared: Vec<PgText>,
}

impl<'a> Names<'a> {
    pub(crate) fn new(server: &'a Server, maintenance: PgText, mut shared: Vec<PgText>) -> Self {
        shared.retain(|name| !name.is_ascii());
        Self {
            server,
            maintenance,
            shared,
        }
    }

    /// The encoding in which a database is dumped, or the globals where none is named: its own, if all names are valid
    /// in it.
    ///
    /// pg_dump and pg_dumpall change a name that is not valid in their client encoding (`fmtIdEnc`, since
    /// CVE-2025-1094): then they are to dump names as bytes. A restored database has the encoding of the dumped one, and
    /// takes them as they are.
    pub(crate) fn spoken(&self, encoding: &str, database: Option<&PgText>) -> String {
        let own = database.filter(|name| !name.is_ascii());
        let names: Vec<&PgText> = self.shared.iter().chain(own).collect();
        if self.are_text(&names, encoding) {
            return encoding.to_owned();
        }
        if database.is_none() {
            let wrong = names
                .iter()
                .filter(|name| !self.are_text(&[name], encoding));
            let wrong: Vec<String> = wrong.map(ToString::to_string).collect();
            say!(
                "warning: the names '{}' are no {encoding}, which the database '{}' is in: they are dumped as the bytes that they are, and only a server whose '{}' takes those can have them back",
                wrong.join("', '"),
                self.maintenance,
                self.maintenance
            );
        }
        BYTES.to_owned()
    }

    /// Whether all of these are text in an encoding.
    fn are_text(&self, names: &[&PgText], encoding: &str) -> bool {
        match encoding {
            _ if names.is_empty() || takes_all(encoding) => true,
            "UTF8" => names.iter().all(|name| name.utf8().is_some()),
            // Only the server knows which bytes are one character.
            _ => {
                let value = |name: &&PgText| format!("('\\x{}'::bytea)", name.hex());
                let values: Vec<String> = names.iter().map(value).collect();
                let sql = format!(
                    "SELECT pg_catalog.count(pg_catalog.convert_from(name, '{encoding}')) FROM (VALUES {}) AS it (name)",
                    values.join(", ")
                );
                self.server.execute(Some(&self.maintenance), sql).is_ok()
            }
        }
    }
}
