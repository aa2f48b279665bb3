use std::collections::BTreeSet;

use dump_text::{Command, Kind, Piece, Subject, Verb, subject, tokens};
use job::Error;

use super::database::is_setting;
use super::guard::{Guard, Let, foreign, line};
use super::{Edit, Out};

/// Something of a backup that was not restored, and why.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Skipped {
    /// `role 'bob'`.
    pub(crate) what: String,
    /// Why.
    pub(crate) why: String,
}

/// Lets roles and tablespaces that are there be as they are.
#[derive(Debug)]
pub(crate) struct GlobalsEdit {
    roles: BTreeSet<String>,
    tablespaces: BTreeSet<String>,
    /// Whether roles that are there get the attributes and passwords of the dump.
    role_passwords: bool,
    /// Whether psql knows `\restrict`.
    restrict: bool,
    guard: Guard,
    skipped: Vec<Skipped>,
    /// What is said about databases, which older dumps say before the first of them.
    databases: Vec<(String, Vec<u8>)>,
}

/// What becomes of a statement.
enum Verdict {
    Keep,
    LeaveOut,
    ForDatabase(String),
}

impl GlobalsEdit {
    /// `roles` and `tablespaces` are there already.
    pub(crate) fn new(
        roles: BTreeSet<String>,
        tablespaces: BTreeSet<String>,
        role_passwords: bool,
        restrict: bool,
    ) -> Self {
        Self {
            roles,
            tablespaces,
            role_passwords,
            restrict,
            guard: Guard::default(),
            skipped: Vec::new(),
            databases: Vec::new(),
        }
    }

    /// What was left out so far.
    pub(crate) fn take_skipped(&mut self) -> Vec<Skipped> {
        std::mem::take(&mut self.skipped)
    }

    /// The statements about databases so far, by the database's name; they were not handed on.
    pub(crate) fn take_databases(&mut self) -> Vec<(String, Vec<u8>)> {
        std::mem::take(&mut self.databases)
    }

    fn judge(&mut self, about: &Subject) -> Verdict {
        if let Some(database) = about.database() {
            return match about.verb {
                Verb::Drop => Verdict::LeaveOut,
                _ => Verdict::ForDatabase(database.name.clone()),
            };
        }
        let name = &about.name.name;
        let (noun, there) = match about.kind {
            Kind::Role => ("role", self.roles.contains(name)),
            _ => ("tablespace", self.tablespaces.contains(name)),
        };
        let keeps = there && !(about.kind == Kind::Role && self.role_passwords);
        match about.verb {
            // What pg_dumpall --clean begins with.
            Verb::Drop => Verdict::LeaveOut,
            Verb::Create if there => {
                self.skipped.push(Skipped {
                    what: format!("{noun} '{name}'"),
                    why: match keeps {
                        true => "it is there, and is left as it is".into(),
                        false => "it is there; it gets the backup's attributes".into(),
                    },
                });
                Verdict::LeaveOut
            }
            Verb::Alter | Verb::Comment | Verb::SecurityLabel if keeps => Verdict::LeaveOut,
            _ => Verdict::Keep,
        }
    }
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
                let line = line(&command, self.restrict).unwrap_or_default();
                return out.write(line.as_bytes());
            }
            Let::Statement(statement) => statement,
        };
        let verdict = match subject(statement) {
            Some(about) => self.judge(&about),
            None if is_global(statement) => Verdict::Keep,
            None => return Err(foreign("statements before it says of which database")),
        };
        match verdict {
            Verdict::Keep => return out.write(statement),
            Verdict::LeaveOut => {}
            Verdict::ForDatabase(_) if matches!(piece, Piece::Head(_)) => {
                return Err(foreign("an endless statement about a database"));
            }
            Verdict::ForDatabase(name) => self.databases.push((name, statement.to_vec())),
        }
        self.guard.leave_out(piece);
        Ok(())
    }
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

    fn edit(role_passwords: bool) -> GlobalsEdit {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
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

    fn lines(text: &str) -> Vec<&str> {
        text.lines().filter(|line| !line.is_empty()).collect()
    }

    #[test]
    fn what_is_there_is_left_as_it_is() {
        let mut edit = edit(false);
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
        let skipped: Vec<String> = edit
            .take_skipped()
            .into_iter()
            .map(|skipped| skipped.what)
            .collect();
        assert_eq!(
            skipped,
            ["role 'postgres'", "role 'odd \"one\"'", "tablespace 'fast'"]
        );
    }

    #[test]
    fn passwords_only_when_asked_for() {
        let text = edited(DUMP, &mut edit(true)).unwrap();
        assert!(text.contains("ALTER ROLE postgres WITH PASSWORD 'x';"));
        assert!(text.contains("COMMENT ON ROLE \"odd"));
        assert!(!text.contains("CREATE ROLE postgres"));
        assert!(!text.contains("ALTER TABLESPACE fast"));
    }

    #[test]
    fn databases_of_old_dumps_wait_for_their_turn() {
        let mut edit = edit(false);
        let text = edited(
            "CREATE DATABASE a;\nALTER ROLE ALL IN DATABASE a SET x TO 'y';\nDROP DATABASE b;\n",
            &mut edit,
        )
        .unwrap();
        assert_eq!(text.trim(), "");
        assert_eq!(
            edit.take_databases(),
            [
                ("a".into(), b"CREATE DATABASE a;".to_vec()),
                (
                    "a".into(),
                    b"ALTER ROLE ALL IN DATABASE a SET x TO 'y';".to_vec()
                ),
            ]
        );
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
            let error = edited(dump, &mut edit(false)).unwrap_err();
            assert_eq!(error.exit().code(), 3, "{dump}");
        }
    }
}
