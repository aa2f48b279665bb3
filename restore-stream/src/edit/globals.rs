use std::collections::BTreeSet;

use dump_text::{Command, Named, ObjectKind, Piece, Subject, Verb, is_setting, subject, tokens};
use job::Error;
use pg_text::PgText;

use super::books::Books;
use super::context::Context;
use super::grantors::{Change, Given, Grantors, Memberships};
use super::guard::{Guard, Let, foreign};
use super::{Edit, Out};
use crate::encoding::Names;

const NOTHING_IS_DROPPED: &str = "nothing that is there is dropped by a dump";
const NOT_WHOEVER_RESTORES: &str = "a backup does not change the role that restores it";
/// Keywords in the place of a role's name (PostgreSQL's grammar, `RoleSpec`).
const WHOEVER_RESTORES: [&str; 3] = ["current_user", "current_role", "session_user"];
/// More than any cluster says of its databases, in bytes.
const DEFINITIONS_LIMIT: usize = 16 << 20;

/// What is said about a database before its part, as older dumps do (pg_dumpall 10 and before).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Definition {
    /// The database.
    pub(crate) database: PgText,
    /// The settings that it was written under.
    pub(crate) context: Context,
    pub(crate) statement: Vec<u8>,
}

impl Definition {
    /// Whether it creates the database.
    pub(crate) fn creates(&self) -> bool {
        subject(&self.statement).is_some_and(|about| about.verb == Verb::Create)
    }
}

/// Lets roles and tablespaces that are there be as they are.
#[derive(Debug)]
pub(crate) struct GlobalsEdit {
    roles: BTreeSet<PgText>,
    tablespaces: BTreeSet<PgText>,
    /// What the dump's names are on the server.
    names: Names,
    /// Whether roles and tablespaces are restored; otherwise it is read for what it says of databases.
    wanted: bool,
    /// Whether roles that are there get the attributes and passwords of the dump.
    role_passwords: bool,
    /// Whether psql has no restricted mode.
    wary: bool,
    guard: Guard,
    context: Context,
    memberships: Memberships,
    books: Books,
    created: Created,
    definitions: Vec<Definition>,
    /// What these take, in bytes.
    definitions_size: usize,
}

/// What a dump has created of what its cluster has.
#[derive(Debug, Default)]
pub(crate) struct Created {
    pub(crate) roles: Vec<PgText>,
    pub(crate) tablespaces: Vec<PgText>,
}

/// What becomes of a statement.
enum Verdict {
    Keep,
    /// What is left out, and why.
    LeaveOut(String, &'static str),
    ForDatabase(PgText),
}

impl GlobalsEdit {
    /// `roles` and `tablespaces` are there already.
    pub(crate) fn new(
        roles: BTreeSet<PgText>,
        tablespaces: BTreeSet<PgText>,
        role_passwords: bool,
        wary: bool,
    ) -> Self {
        Self {
            roles,
            tablespaces,
            names: Names::default(),
            wanted: true,
            role_passwords,
            wary,
            guard: Guard::default(),
            context: Context::default(),
            memberships: Memberships::default(),
            books: Books::default(),
            created: Created::default(),
            definitions: Vec::new(),
            definitions_size: 0,
        }
    }

    /// Memberships are granted as this server lets them be.
    #[must_use]
    pub(crate) fn granting(self, grantors: Grantors) -> Self {
        let memberships = Memberships::new(grantors);
        Self {
            memberships,
            ..self
        }
    }

    /// On a server whose names may be in another encoding.
    #[must_use]
    pub(crate) fn on(self, names: Names) -> Self {
        Self { names, ..self }
    }

    /// Roles and tablespaces are not asked for: it is read for what it says of databases.
    #[must_use]
    pub(crate) fn for_definitions(self) -> Self {
        let wanted = false;
        Self { wanted, ..self }
    }

    /// The statements about databases so far; they were not handed on.
    pub(crate) fn take_definitions(&mut self) -> Vec<Definition> {
        std::mem::take(&mut self.definitions)
    }

    /// Roles and tablespaces that it has created: another dump that follows finds them there.
    pub(crate) fn take_created(&mut self) -> Created {
        std::mem::take(&mut self.created)
    }

    fn create(&mut self, about: &Subject) {
        let encoding = self.context.encoding();
        let Some(name) = self.names.here(&about.name.name, encoding.as_deref()) else {
            return;
        };
        match (about.verb, about.kind) {
            (Verb::Create, ObjectKind::Role) => self.created.roles.push(name),
            (Verb::Create, ObjectKind::Tablespace) => self.created.tablespaces.push(name),
            _ => {}
        }
    }

    fn define(&mut self, database: PgText, statement: &[u8]) -> Result<(), Error> {
        self.definitions_size += database.len() + statement.len();
        if self.definitions_size > DEFINITIONS_LIMIT {
            return Err(foreign("more about its databases than any cluster has"));
        }
        self.books.handed_on();
        self.definitions.push(Definition {
            database,
            context: self.context.clone(),
            statement: statement.to_vec(),
        });
        Ok(())
    }

    fn keep(&mut self, piece: Piece<'_>, statement: &[u8], out: &mut dyn Out) -> Result<(), Error> {
        self.books.sent();
        if !matches!(piece, Piece::Statement(_)) || !is_grant(statement) {
            return self
                .guard
                .send(statement, self.wary, &mut self.context, out);
        }
        let now = self.memberships.take(Given {
            statement: statement.to_vec(),
            context: self.context.clone(),
            line: out.line(),
        });
        self.give(now, out)
    }

    fn give(
        &mut self,
        memberships: Vec<(Given, Option<Change>)>,
        out: &mut dyn Out,
    ) -> Result<(), Error> {
        let line = out.line();
        for (given, change) in memberships {
            if let Some(Change { what, why }) = change {
                self.books.change(what, why);
            }
            out.at(given.line);
            let own = std::mem::replace(&mut self.context, given.context);
            if self.context != own {
                out.write(&[b"\n", self.context.sql().as_slice()].concat())?;
            }
            let sent = self
                .guard
                .send(&given.statement, self.wary, &mut self.context, out);
            sent?;
            out.write(b"\n")?;
            if self.context != own {
                out.write(&own.sql())?;
            }
            self.context = own;
        }
        out.at(line);
        Ok(())
    }

    /// Whether the server has a name of the dump.
    fn is_among(&self, there: &BTreeSet<PgText>, name: &PgText) -> bool {
        let here = self.names.here(name, self.context.encoding().as_deref());
        here.is_some_and(|name| there.contains(&name))
    }

    fn judge(&self, about: &Subject, statement: &[u8]) -> Verdict {
        if let Some(database) = about.database() {
            return match about.verb {
                Verb::Drop => Verdict::LeaveOut(
                    format!("DROP DATABASE '{}'", database.name),
                    NOTHING_IS_DROPPED,
                ),
                _ => Verdict::ForDatabase(database.name.clone()),
            };
        }
        let name = &about.name.name;
        if about.kind == ObjectKind::Role && is_whoever_restores(&about.name, statement) {
            let what = format!("role {}", name.to_string().to_uppercase());
            return Verdict::LeaveOut(what, NOT_WHOEVER_RESTORES);
        }
        let (noun, there) = match about.kind {
            ObjectKind::Role => ("role", self.is_among(&self.roles, name)),
            _ => ("tablespace", self.is_among(&self.tablespaces, name)),
        };
        let keeps = there && !(about.kind == ObjectKind::Role && self.role_passwords);
        let what = format!("{noun} '{name}'");
        match about.verb {
            Verb::Alter if there && renames(about, statement) => {
                Verdict::LeaveOut(format!("RENAME of {what}"), "it is there")
            }
            // What pg_dumpall --clean begins with.
            Verb::Drop => Verdict::LeaveOut(format!("DROP of {what}"), NOTHING_IS_DROPPED),
            Verb::Create | Verb::Alter | Verb::Comment | Verb::SecurityLabel if keeps => {
                Verdict::LeaveOut(what, "it is there, and is left as it is")
            }
            Verb::Create if there => {
                Verdict::LeaveOut(what, "it is there; it gets the backup's attributes")
            }
            _ => Verdict::Keep,
        }
    }
}

/// Whether a role's name is `CURRENT_USER` or the like, which are no names if they are quoted.
fn is_whoever_restores(role: &Named, statement: &[u8]) -> bool {
    statement.get(role.at.start) != Some(&b'"') && WHOEVER_RESTORES.contains(&role.name.ascii())
}

fn renames(about: &Subject, statement: &[u8]) -> bool {
    let mut words = tokens(&statement[about.name.at.end..]);
    words.next().is_some_and(|word| word.token.is("rename"))
}

/// Whether a membership is given to, or by, `CURRENT_USER` or the like.
fn names_whoever_restores(statement: &[u8]) -> bool {
    let mut words = tokens(statement).map(|spanned| spanned.token);
    words.any(|word| WHOEVER_RESTORES.iter().any(|it| word.is(it)))
}

impl Edit for GlobalsEdit {
    fn piece(&mut self, piece: Piece<'_>, out: &mut dyn Out) -> Result<(), Error> {
        let statement = match self.guard.judge(piece)? {
            Let::Nothing => return Ok(()),
            Let::Pass(sql) => return out.write(sql),
            Let::Command(Command::Connect(_)) => {
                return Err(foreign("a connection among its roles"));
            }
            Let::Command(command) => {
                return self.guard.encoding(&command, &mut self.context, out);
            }
            Let::Statement(statement) => statement,
        };
        self.books.read();
        let about = subject(statement);
        let verdict = match &about {
            Some(about) => self.judge(about, statement),
            None if is_global(statement) => match names_whoever_restores(statement) {
                true => Verdict::LeaveOut("what names CURRENT_USER".into(), NOT_WHOEVER_RESTORES),
                false => Verdict::Keep,
            },
            None => return Err(foreign("statements before it says of which database")),
        };
        match verdict {
            Verdict::Keep if self.wanted => {
                about.iter().for_each(|about| self.create(about));
                return self.keep(piece, statement, out);
            }
            Verdict::Keep => {
                self.context.see(statement);
                self.books.not_asked_for();
            }
            Verdict::LeaveOut(..) if !self.wanted => self.books.not_asked_for(),
            Verdict::LeaveOut(what, why) => self.books.leave_out(what, why),
            Verdict::ForDatabase(_) if matches!(piece, Piece::Head(_)) => {
                return Err(foreign("an endless statement about a database"));
            }
            Verdict::ForDatabase(database) => self.define(database, statement)?,
        }
        self.guard.leave_out(piece);
        Ok(())
    }

    fn close(&mut self, out: &mut dyn Out) -> Result<(), Error> {
        let rest = self.memberships.rest();
        self.give(rest, out)
    }

    fn last(&mut self, _: &mut dyn Out) -> Result<bool, Error> {
        Ok(false)
    }

    fn take_books(&mut self) -> Books {
        std::mem::take(&mut self.books)
    }
}

fn is_grant(statement: &[u8]) -> bool {
    let first = tokens(statement).next();
    first.is_some_and(|word| word.token.is("grant"))
}

/// What is said among roles that is about none of them: settings, memberships, privileges on parameters,
/// settings of all roles.
fn is_global(statement: &[u8]) -> bool {
    let mut words = tokens(statement).map(|spanned| spanned.token);
    match words.next() {
        Some(word) if word.is("grant") || word.is("revoke") => true,
        Some(word) if word.is("alter") => words.next().is_some_and(|word| word.is("role")),
        _ => is_setting(statement),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edit::tests::edited;

    fn edit_with(role_passwords: bool) -> GlobalsEdit {
        let names = |names: &[&str]| names.iter().map(|name| PgText::from(*name)).collect();
        GlobalsEdit::new(
            names(&["postgres", "odd \"one\""]),
            names(&["fast"]),
            role_passwords,
            false,
        )
    }

    const DUMP: &str = "-- Roles\n\
        \\restrict abc\n\
        CREATE ROLE bob;\nALTER ROLE bob WITH LOGIN;\n\
        CREATE ROLE postgres;\nALTER ROLE postgres WITH PASSWORD 'x';\n\
        CREATE ROLE \"odd \"\"one\"\"\";\nCOMMENT ON ROLE \"odd \"\"one\"\"\" IS 'x';\n\
        ALTER ROLE postgres SET a TO 'b';\n\
        CREATE TABLESPACE fast OWNER bob LOCATION '/x';\nALTER TABLESPACE fast SET (a=1);\n\
        CREATE TABLESPACE slow OWNER bob LOCATION '/y';\n\
        GRANT bob TO postgres;\nDROP ROLE bob;\n\\unrestrict abc\n";

    /// What is left out, and how many statements that are.
    fn left_out(dump: &str, edit: &mut GlobalsEdit) -> Vec<(String, u64)> {
        let mut out = Vec::new();
        let mut scanner = dump_text::Scanner::new();
        let mut sink = |piece: Piece<'_>| edit.piece(piece, &mut out);
        scanner.feed(dump.as_bytes(), &mut sink).unwrap();
        let books = edit.take_books();
        let skipped = books.skipped().iter();
        skipped.map(|it| (it.what.clone(), it.statements)).collect()
    }

    fn lines(text: &str) -> Vec<&str> {
        text.lines().filter(|line| !line.is_empty()).collect()
    }

    #[test]
    fn what_is_there_is_left_as_it_is() {
        let mut edit = edit_with(false);
        assert_eq!(
            lines(&edited(DUMP, &mut edit).unwrap()),
            [
                "-- Roles",
                "CREATE ROLE bob;",
                "ALTER ROLE bob WITH LOGIN;",
                "CREATE TABLESPACE slow OWNER bob LOCATION '/y';",
                "GRANT bob TO postgres;",
            ]
        );
        assert_eq!(
            left_out(DUMP, &mut edit_with(false)),
            [
                ("role 'postgres'".to_owned(), 3),
                ("role 'odd \"one\"'".into(), 2),
                ("tablespace 'fast'".into(), 2),
                ("DROP of role 'bob'".into(), 1),
            ]
        );
    }

    #[test]
    fn passwords_only_when_asked_for() {
        let text = edited(DUMP, &mut edit_with(true)).unwrap();
        assert!(text.contains("ALTER ROLE postgres WITH PASSWORD 'x';"));
        assert!(text.contains("COMMENT ON ROLE \"odd"));
        assert!(!text.contains("CREATE ROLE postgres"));
        assert!(!text.contains("ALTER TABLESPACE fast"));
    }

    #[test]
    fn databases_of_old_dumps_wait_for_their_turn() {
        let mut edit = edit_with(false);
        let mut out = Vec::new();
        for statement in [
            "CREATE DATABASE a;",
            "ALTER ROLE ALL IN DATABASE a SET x TO 'y';",
            "DROP DATABASE b;",
        ] {
            let piece = Piece::Statement(statement.as_bytes());
            edit.piece(piece, &mut out).unwrap();
        }
        assert!(out.is_empty());
        let definitions = edit.take_definitions();
        let statements = definitions
            .iter()
            .map(|it| (it.database.ascii(), it.statement.as_slice()));
        assert_eq!(
            statements.collect::<Vec<_>>(),
            [
                ("a", &b"CREATE DATABASE a;"[..]),
                ("a", b"ALTER ROLE ALL IN DATABASE a SET x TO 'y';"),
            ]
        );
    }

    #[test]
    fn whoever_restores_is_not_changed() {
        for statement in [
            "ALTER ROLE CURRENT_USER WITH PASSWORD 'x';",
            "alter user session_user password 'x';",
            "ALTER ROLE current_role SET search_path TO 'x';",
            "GRANT app TO CURRENT_USER;",
            "GRANT current_user TO app;",
        ] {
            for role_passwords in [false, true] {
                let text = edited_globals(statement, role_passwords);
                assert_eq!(text.trim(), "", "{statement}");
            }
        }
        let named = "ALTER ROLE \"current_user\" PASSWORD 'x';";
        assert_eq!(edited_globals(named, false), named);
        assert_eq!(edited_globals("ALTER ROLE postgres RENAME TO x;", true), "");
    }

    fn edited_globals(dump: &str, role_passwords: bool) -> String {
        let mut edit = edit_with(role_passwords);
        let mut out = Vec::new();
        edit.piece(Piece::Statement(dump.as_bytes()), &mut out)
            .unwrap();
        assert!(edit.take_books().check().is_ok());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn psql_s_commands_are_not_let_through() {
        for dump in [
            "\\! id\n",
            "\\o x\n",
            "SELECT 1 \\g x\n;",
            "\\connect x\n",
            "CREATE TABLE t (a int);",
            "CREATE ROLE a;-- \0\n",
            "COPY t FROM stdin;\n\\.\n",
        ] {
            let error = edited(dump, &mut edit_with(false)).unwrap_err();
            assert_eq!(error.exit().code(), 3, "{dump}");
        }
    }
}
