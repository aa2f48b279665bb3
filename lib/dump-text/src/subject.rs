use std::ops::Range;

use pg_text::PgText;

use crate::token::{Spanned, Token, tokens};

/// How far into a statement its subject is looked for: a GRANT of every privilege has fewer tokens.
const FAR: usize = 64;

/// What a statement does to its subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "SQL's own words")]
pub enum Verb {
    Create,
    Alter,
    Drop,
    Comment,
    SecurityLabel,
    Grant,
    Revoke,
    /// `UPDATE pg_database … WHERE datname = '…'`, as older dumps have it.
    Update,
}

/// What a statement's subject is: an object of the whole cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectKind {
    /// A role, a user, a group.
    Role,
    /// A database.
    Database,
    /// A tablespace.
    Tablespace,
}

/// A name in a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The name, without quotes.
    pub name: PgText,
    /// Where it stands in the statement, quotes included.
    pub at: Range<usize>,
    /// Whether it is a string there, not an identifier.
    pub text: bool,
}

/// What a statement is about, if that is an object of the whole cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// What is done.
    pub verb: Verb,
    /// To what kind of object.
    pub kind: ObjectKind,
    /// Its name.
    pub name: Named,
    /// For `ALTER ROLE … IN DATABASE …`, the database.
    pub in_database: Option<Named>,
}

impl Subject {
    /// The database that it names.
    pub fn database(&self) -> Option<&Named> {
        match self.kind {
            ObjectKind::Database => Some(&self.name),
            _ => self.in_database.as_ref(),
        }
    }
}

/// What a statement (its head is enough) is about: a role, a database, a tablespace; none if it is about
/// anything else. `GRANT role TO role` is none.
pub fn subject(statement: &[u8]) -> Option<Subject> {
    let mut words = Words {
        tokens: &mut tokens(statement).take(FAR),
        next: None,
    };
    let verb = words.word()?;
    match verb.ascii() {
        "create" => words.object(Verb::Create),
        "alter" => words.object(Verb::Alter),
        "drop" => words.object(Verb::Drop),
        "comment" => words.on(Verb::Comment),
        "security" => words.on(Verb::SecurityLabel),
        "grant" => words.on(Verb::Grant),
        "revoke" => words.on(Verb::Revoke),
        "update" => words.update(),
        _ => None,
    }
}

/// `SET …` and `SELECT pg_catalog.set_config(…)`, which dumps begin with.
pub fn is_setting(statement: &[u8]) -> bool {
    let mut words = tokens(statement).map(|spanned| spanned.token);
    match words.next() {
        Some(word) if word.is("set") => true,
        Some(word) if word.is("select") => words.take(3).any(|word| word.is("set_config")),
        _ => false,
    }
}

struct Words<'a> {
    tokens: &'a mut dyn Iterator<Item = Spanned>,
    next: Option<Spanned>,
}

impl Words<'_> {
    fn next(&mut self) -> Option<Spanned> {
        self.next.take().or_else(|| self.tokens.next())
    }

    fn word(&mut self) -> Option<PgText> {
        match self.next()?.token {
            Token::Word(word) => Some(word),
            _ => None,
        }
    }

    fn peek(&mut self) -> Option<&Token> {
        self.next = self.next();
        self.next.as_ref().map(|spanned| &spanned.token)
    }

    /// Goes past a keyword if it comes next.
    fn takes(&mut self, keyword: &str) -> bool {
        let there = self.peek().is_some_and(|token| token.is(keyword));
        if there {
            self.next = None;
        }
        there
    }

    /// `ROLE name`, `DATABASE name`, `TABLESPACE name`.
    fn object(&mut self, verb: Verb) -> Option<Subject> {
        let kind = self.kind()?;
        let mut role = self.next()?;
        // A role may be called `if`.
        if role.token.is("if") && self.takes("exists") {
            role = self.next()?;
        }
        if role.token.is("mapping") && (self.takes("for") || self.takes("if")) {
            return None;
        }
        let everyone = kind == ObjectKind::Role && role.token.is("all");
        let mut in_database = None;
        if kind == ObjectKind::Role && verb == Verb::Alter && self.takes("in") {
            let database = self.takes("database").then(|| self.next())??;
            in_database = Some(named(database)?);
        }
        if everyone {
            // Nobody's: it is about the database.
            return Some(Subject {
                verb,
                kind: ObjectKind::Database,
                name: in_database?,
                in_database: None,
            });
        }
        Some(Subject {
            verb,
            kind,
            name: named(role)?,
            in_database,
        })
    }

    /// `… ON DATABASE name`.
    fn on(&mut self, verb: Verb) -> Option<Subject> {
        while !self.next()?.token.is("on") {}
        Some(Subject {
            verb,
            kind: self.kind()?,
            name: named(self.next()?)?,
            in_database: None,
        })
    }

    /// `UPDATE pg_catalog.pg_database SET … WHERE datname = 'name'`.
    fn update(&mut self) -> Option<Subject> {
        if self.takes("pg_catalog") && self.next()?.token != Token::Symbol(b'.') {
            return None;
        }
        if self.word()? != "pg_database" {
            return None;
        }
        while !self.next()?.token.is("where") {}
        if self.word()? != "datname" || self.next()?.token != Token::Symbol(b'=') {
            return None;
        }
        let Spanned {
            token: Token::Text(name),
            at,
        } = self.next()?
        else {
            return None;
        };
        // Any more conditions may make it another database.
        if self.peek().is_some_and(|more| *more != Token::Symbol(b';')) {
            return None;
        }
        Some(Subject {
            verb: Verb::Update,
            kind: ObjectKind::Database,
            name: Named {
                name,
                at,
                text: true,
            },
            in_database: None,
        })
    }

    fn kind(&mut self) -> Option<ObjectKind> {
        match self.word()?.ascii() {
            "role" | "user" | "group" => Some(ObjectKind::Role),
            "database" => Some(ObjectKind::Database),
            "tablespace" => Some(ObjectKind::Tablespace),
            _ => None,
        }
    }
}

fn named(spanned: Spanned) -> Option<Named> {
    match spanned.token {
        Token::Word(name) | Token::Name(name) => Some(Named {
            name,
            at: spanned.at,
            text: false,
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(statement: &str) -> Option<(Verb, ObjectKind, PgText, Option<PgText>)> {
        let found = subject(statement.as_bytes())?;
        let quoted = &statement[found.name.at.clone()];
        assert!(quoted.len() >= found.name.name.len(), "{quoted}");
        Some((
            found.verb,
            found.kind,
            found.name.name,
            found.in_database.map(|named| named.name),
        ))
    }

    #[test]
    fn what_a_cluster_dump_says_of_roles_and_databases() {
        use ObjectKind::*;
        use Verb::*;
        let cases = [
            ("CREATE ROLE bob;", Create, Role, "bob"),
            ("create role BOB login;", Create, Role, "bob"),
            (r#"CREATE ROLE "a ""b""";"#, Create, Role, r#"a "b""#),
            ("CREATE USER mapping;", Create, Role, "mapping"),
            ("CREATE ROLE \"all\";", Create, Role, "all"),
            ("ALTER ROLE bob WITH LOGIN;", Alter, Role, "bob"),
            ("DROP ROLE IF EXISTS bob;", Drop, Role, "bob"),
            (
                "COMMENT ON ROLE bob IS 'on database x';",
                Comment,
                Role,
                "bob",
            ),
            (
                "CREATE DATABASE \"ö\" WITH TEMPLATE = template0;",
                Create,
                Database,
                "ö",
            ),
            ("ALTER DATABASE x OWNER TO y;", Alter, Database, "x"),
            (
                "GRANT CREATE,CONNECT ON DATABASE x TO y;",
                Grant,
                Database,
                "x",
            ),
            (
                "REVOKE GRANT OPTION FOR ALL ON DATABASE x FROM y;",
                Revoke,
                Database,
                "x",
            ),
            (
                "SECURITY LABEL FOR p ON DATABASE x IS 'y';",
                SecurityLabel,
                Database,
                "x",
            ),
            (
                "UPDATE pg_catalog.pg_database SET datistemplate = 't' WHERE datname = 'it''s';",
                Update,
                Database,
                "it's",
            ),
            (
                "UPDATE pg_database SET datname = 'y' WHERE datname = E'\\x78';",
                Update,
                Database,
                "x",
            ),
            ("DROP ROLE if;", Drop, Role, "if"),
            ("CREATE USER if;", Create, Role, "if"),
            (
                r#"ALTER ROLE U&"!0441" UESCAPE '!' LOGIN;"#,
                Alter,
                Role,
                "с",
            ),
            ("DROP DATABASE -- x\rU&\"\\0061b\";", Drop, Database, "ab"),
            (
                "ALTER ROLE ALL IN DATABASE x SET a TO 'b';",
                Alter,
                Database,
                "x",
            ),
            (
                "CREATE TABLESPACE t OWNER x LOCATION 'y';",
                Create,
                Tablespace,
                "t",
            ),
        ];
        for (statement, verb, kind, name) in cases {
            assert_eq!(
                read(statement),
                Some((verb, kind, name.into(), None)),
                "{statement}"
            );
        }
        assert_eq!(
            read("ALTER ROLE a IN DATABASE \"in\" SET x TO 'y';"),
            Some((Alter, Role, "a".into(), Some("in".into())))
        );
    }

    #[test]
    fn what_is_about_nothing_of_the_cluster() {
        for statement in [
            "",
            ";",
            "GRANT a TO b;",
            "GRANT SELECT ON TABLE x TO y;",
            "CREATE USER MAPPING FOR bob SERVER s;",
            "DROP USER MAPPING IF EXISTS FOR bob SERVER s;",
            "CREATE ROLE U&\"\\04\";",
            "UPDATE pg_database SET a = 1 WHERE datname = 'x' OR true;",
            "ALTER ROLE a IN b;",
            "CREATE TABLE role (database text);",
            "ALTER ROLE ALL SET a TO 'b';",
            "COMMENT ON TABLE t IS 'on database x';",
            "UPDATE t SET a = 1 WHERE datname = 'x';",
            "INSERT INTO t VALUES ('CREATE ROLE bob');",
            "CREATE ROLE",
            "GRANT ALL ON DATABASE",
        ] {
            assert_eq!(read(statement), None, "{statement}");
        }
    }
}
