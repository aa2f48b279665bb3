use dump_text::{Command, Named, Piece, Verb, connect_line, subject, tokens};
use job::Error;
use pg_client::{quote_ident, quote_literal};

use super::guard::{Guard, Let, foreign, line};
use super::owners::names_a_role;
use super::{Edit, Out, older};

/// Where a database is restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// Into a new database of this name.
    Beside(String),
    /// Into the database of its own name that is there, in one transaction.
    InPlace,
}

/// How the server and its psql want it.
#[derive(Debug, Clone)]
pub(crate) struct Manner {
    /// Whether psql knows `\restrict`.
    pub(crate) restrict: bool,
    /// The server's major version.
    pub(crate) server: u32,
    /// What each connection begins with.
    pub(crate) settings: String,
    /// Whether what names a role is restored.
    pub(crate) owners: bool,
}

/// Lets a database of the dump be restored under another name, or in one transaction.
#[derive(Debug)]
pub(crate) struct DatabaseEdit {
    /// The name that the dump gives it; none if it does not say, as one database's dump does not.
    name: Option<String>,
    place: Place,
    manner: Manner,
    /// How many statements that name a role were left out.
    ownerless: u64,
    /// What the dump said about it before its part began, as older ones do.
    definition: Vec<Vec<u8>>,
    created: bool,
    connected: bool,
    guard: Guard,
}

impl DatabaseEdit {
    pub(crate) fn new(name: Option<String>, place: Place, manner: Manner) -> Self {
        let connected = place == Place::InPlace;
        Self {
            name,
            place,
            manner,
            ownerless: 0,
            definition: Vec::new(),
            created: false,
            connected,
            guard: Guard::default(),
        }
    }

    /// Statements about the database that came before its part.
    pub(crate) fn define(&mut self, statements: Vec<Vec<u8>>) {
        self.definition = statements;
    }

    /// What the session begins with.
    pub(crate) fn begin(&self, out: &mut dyn Out) -> Result<(), Error> {
        out.write(self.manner.settings.as_bytes())?;
        match self.place {
            Place::InPlace => out.write(b"BEGIN;\n"),
            Place::Beside(_) => Ok(()),
        }
    }

    /// What the session ends with, when all was checked.
    pub(crate) fn end(&self) -> &'static str {
        match self.place {
            Place::InPlace => "COMMIT;",
            Place::Beside(_) => "",
        }
    }

    /// Connects to the database, which is created if nothing of the dump has.
    pub(crate) fn connect(&mut self, out: &mut dyn Out) -> Result<(), Error> {
        let Place::Beside(working) = self.place.clone() else {
            return Ok(());
        };
        for statement in std::mem::take(&mut self.definition) {
            self.statement(&statement, out)?;
            out.write(b"\n")?;
        }
        if !self.created {
            self.created = true;
            let create = format!(
                "CREATE DATABASE {} TEMPLATE template0;\n",
                quote_ident(&working)
            );
            out.write(create.as_bytes())?;
        }
        self.connected = true;
        out.write(connect_line(&working).as_bytes())?;
        out.write(self.manner.settings.as_bytes())
    }

    /// How many statements that name a role were left out.
    pub(crate) fn ownerless(&self) -> u64 {
        self.ownerless
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.connected
    }

    fn command(&mut self, command: &Command, out: &mut dyn Out) -> Result<(), Error> {
        let Command::Connect(database) = command else {
            let line = line(command, self.manner.restrict).unwrap_or_default();
            return out.write(line.as_bytes());
        };
        if self.name.as_ref().is_some_and(|name| name != database) {
            return Err(self.another(database));
        }
        self.connect(out)
    }

    /// Hands a statement on, changed if it must be; or leaves it out, and says so.
    fn statement(&mut self, statement: &[u8], out: &mut dyn Out) -> Result<bool, Error> {
        if !self.manner.owners && names_a_role(statement) {
            self.ownerless += 1;
            return Ok(false);
        }
        let Some(about) = subject(statement) else {
            return self.plain(statement, out);
        };
        let Some(named) = about.database() else {
            return self.plain(statement, out);
        };
        if self.name.as_ref().is_some_and(|name| *name != named.name) {
            return Err(self.another(&named.name));
        }
        match (&self.place, about.verb) {
            (_, Verb::Drop) | (Place::InPlace, Verb::Create) => Ok(false),
            (Place::InPlace, _) => out.write(statement).map(|()| true),
            (Place::Beside(working), verb) => {
                self.created |= verb == Verb::Create;
                let statement = older::known(statement, self.manner.server);
                rename(&statement, named, working, out).map(|()| true)
            }
        }
    }

    fn plain(&self, statement: &[u8], out: &mut dyn Out) -> Result<bool, Error> {
        if self.place == Place::InPlace && is_transaction(statement) {
            // Large objects are wrapped so; here all is one transaction.
            return Ok(false);
        }
        if older::is_unknown(statement, self.manner.server) {
            return Ok(false);
        }
        if !self.connected && !is_setting(statement) {
            return Err(foreign("statements before it connects to their database"));
        }
        out.write(statement).map(|()| true)
    }

    fn another(&self, database: &str) -> Error {
        let name = self.name.as_deref().unwrap_or_default();
        foreign(&format!(
            "statements about the database '{database}' in the part of '{name}'"
        ))
    }
}

impl Edit for DatabaseEdit {
    fn piece(&mut self, piece: Piece<'_>, out: &mut dyn Out) -> Result<(), Error> {
        match self.guard.judge(piece)? {
            Let::Nothing => Ok(()),
            Let::Pass(sql) => out.write(sql),
            Let::Command(command) => self.command(&command, out),
            Let::Statement(statement) => {
                if !self.statement(statement, out)? {
                    self.guard.leave_out(piece);
                }
                Ok(())
            }
        }
    }
}

fn rename(statement: &[u8], named: &Named, new: &str, out: &mut dyn Out) -> Result<(), Error> {
    let new = match named.text {
        true => quote_literal(new),
        false => quote_ident(new),
    };
    out.write(&statement[..named.at.start])?;
    out.write(new.as_bytes())?;
    out.write(&statement[named.at.end..])
}

/// `SET …` and `SELECT pg_catalog.set_config(…)`, which dumps begin with.
pub(crate) fn is_setting(statement: &[u8]) -> bool {
    let mut words = tokens(statement).map(|spanned| spanned.token);
    match words.next() {
        Some(word) if word.is("set") => true,
        Some(word) if word.is("select") => words.take(3).any(|word| word.is("set_config")),
        _ => false,
    }
}

fn is_transaction(statement: &[u8]) -> bool {
    // A word and the `;`: not the COMMIT PREPARED that no dump has.
    statement.len() < 40
        && tokens(statement)
            .next()
            .is_some_and(|first| first.token.is("begin") || first.token.is("commit"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edit::tests::edited;

    const DUMP: &str = r#"--
-- Database "sh""op" dump
--
\restrict abc
SET statement_timeout = 0;
SELECT pg_catalog.set_config('search_path', '', false);
CREATE DATABASE "sh""op" WITH TEMPLATE = template0 ENCODING = 'UTF8';
ALTER DATABASE "sh""op" OWNER TO bob;
\unrestrict abc
\encoding SQL_ASCII
\connect -reuse-previous=on "dbname='sh""op'"
\restrict abc
COMMENT ON DATABASE "sh""op" IS 'the "sh""op"';
ALTER ROLE bob IN DATABASE "sh""op" SET x TO 'y';
UPDATE pg_catalog.pg_database SET datistemplate = 't' WHERE datname = 'sh"op';
BEGIN;
SELECT pg_catalog.lo_create('1');
COMMIT;
COPY t FROM stdin;
CREATE DATABASE "sh""op";
\.
\unrestrict abc
"#;

    fn manner(server: u32) -> Manner {
        Manner {
            restrict: true,
            server,
            settings: "SET a = b;\n".into(),
            owners: true,
        }
    }

    fn beside(name: Option<&str>) -> DatabaseEdit {
        let place = Place::Beside("w's".into());
        DatabaseEdit::new(name.map(str::to_owned), place, manner(17))
    }

    fn in_place(manner: Manner) -> DatabaseEdit {
        DatabaseEdit::new(Some("sh\"op".into()), Place::InPlace, manner)
    }

    #[test]
    fn a_database_gets_another_name() {
        let wanted = DUMP
            .replace(
                "\\connect -reuse-previous=on \"dbname='sh\"\"op'\"\n",
                "\\connect -reuse-previous=on \"dbname='w\\'s'\"\nSET a = b;\n",
            )
            .replace("DATABASE \"sh\"\"op\" ", "DATABASE \"w's\" ")
            .replace("'sh\"op'", "'w''s'");
        let text = edited(DUMP, &mut beside(Some("sh\"op"))).unwrap();
        assert_eq!(text, wanted);
        assert!(text.contains("COPY t FROM stdin;\nCREATE DATABASE \"sh\"\"op\";\n"));
    }

    #[test]
    fn an_older_server_is_spared_what_it_does_not_know() {
        let dump = DUMP.replace(
            "SET statement_timeout = 0;\n",
            "SET statement_timeout = 0;\nSET transaction_timeout = 0;\n",
        );
        for (server, there) in [(15, false), (16, false), (17, true), (18, true)] {
            let mut edit = in_place(manner(server));
            let text = edited(&dump, &mut edit).unwrap();
            assert_eq!(text.contains("transaction_timeout"), there, "{server}");
            assert!(text.contains("SET statement_timeout = 0;"));
        }
    }

    #[test]
    fn without_owners_no_role_is_named() {
        let owners = false;
        let mut edit = in_place(Manner {
            owners,
            ..manner(17)
        });
        let text = edited(DUMP, &mut edit).unwrap();
        assert!(!text.contains("bob"), "{text}");
        assert!(text.contains("COMMENT ON DATABASE"), "{text}");
        assert_eq!(edit.ownerless(), 2);
    }

    #[test]
    fn an_older_server_has_one_provider_of_locales() {
        let dump = "CREATE DATABASE a WITH ENCODING = 'UTF8' LOCALE_PROVIDER = libc LOCALE = 'C';";
        let icu = dump.replace("libc", "icu");
        for (dump, server, there) in [(dump, 14, false), (dump, 15, true), (&icu, 14, true)] {
            let place = Place::Beside("locale_provider".into());
            let mut edit = DatabaseEdit::new(None, place, manner(server));
            let text = edited(dump, &mut edit).unwrap();
            assert_eq!(text.contains("LOCALE_PROVIDER"), there, "{server}: {text}");
            let ends = text.ends_with(" LOCALE = 'C';");
            assert!(
                text.starts_with("CREATE DATABASE \"locale_provider\" WITH") && ends,
                "{text}"
            );
        }
    }

    #[test]
    fn in_place_it_is_one_transaction() {
        let restrict = false;
        let mut edit = in_place(Manner {
            restrict,
            ..manner(17)
        });
        let text = edited(DUMP, &mut edit).unwrap();
        for gone in [
            "\\connect",
            "CREATE DATABASE \"sh\"\"op\" WITH",
            "BEGIN",
            "COMMIT;",
            "restrict",
        ] {
            assert!(!text.contains(gone), "{gone}: {text}");
        }
        assert!(text.contains("COMMENT ON DATABASE \"sh\"\"op\" IS"));
        assert!(text.contains("lo_create"));
        assert_eq!(edit.end(), "COMMIT;");
    }

    #[test]
    fn a_database_that_nothing_creates_is_created() {
        let dump = "\\connect a\nSELECT 1;\n";
        let text = edited(dump, &mut beside(Some("a"))).unwrap();
        assert!(
            text.starts_with("CREATE DATABASE \"w's\" TEMPLATE template0;\n\\connect"),
            "{text}"
        );
        let mut edit = beside(Some("a"));
        edit.define(vec![
            b"CREATE DATABASE a ENCODING 'LATIN1';".to_vec(),
            b"GRANT ALL ON DATABASE a TO b;".to_vec(),
        ]);
        let text = edited(dump, &mut edit).unwrap();
        assert!(
            text.starts_with("CREATE DATABASE \"w's\" ENCODING 'LATIN1';\nGRANT ALL ON DATABASE \"w's\" TO b;\n\\connect"),
            "{text}"
        );
    }

    #[test]
    fn other_databases_are_left_alone() {
        for dump in [
            "\\connect b\n",
            "DROP DATABASE b;",
            "ALTER DATABASE b SET x TO 'y';",
            "ALTER ROLE r IN DATABASE b SET x TO 'y';",
            "CREATE TABLE before_it_connects (a int);",
            "\\! id\n",
        ] {
            let error = edited(dump, &mut beside(Some("a"))).unwrap_err();
            assert_eq!(error.exit().code(), 3, "{dump}");
        }
        assert_eq!(
            edited("DROP DATABASE a;", &mut beside(Some("a"))).unwrap(),
            ""
        );
    }
}
