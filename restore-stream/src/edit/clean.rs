//! The beginning of a dump by `pg_dump --clean`, which drops things that a new database does not have. Plain psql goes on
//! after the errors. Here each statement is changed to what `--if-exists` would have written, or left out where SQL has no
//! `IF EXISTS`.

use dump_text::{Spanned, Token, is_setting, tokens};

/// More tokens than any of these statements has.
const FAR: usize = 200;

/// Access methods that every database has (`pg_am`). Operator classes of other methods cannot be dropped while the method
/// does not exist.
const METHODS: [&str; 6] = ["btree", "hash", "gist", "gin", "spgist", "brin"];

/// The kinds of things that are dropped, in the words of PostgreSQL's grammar. Of those that begin alike, the longer one
/// comes first.
const KINDS: [&[&str]; 38] = [
    &["access", "method"],
    &["aggregate"],
    &["cast"],
    &["collation"],
    &["conversion"],
    &["domain"],
    &["event", "trigger"],
    &["extension"],
    &["foreign", "data", "wrapper"],
    &["foreign", "table"],
    &["function"],
    &["index"],
    &["language"],
    &["procedural", "language"],
    &["materialized", "view"],
    &["operator", "class"],
    &["operator", "family"],
    &["operator"],
    &["policy"],
    &["procedure"],
    &["publication"],
    &["routine"],
    &["rule"],
    &["schema"],
    &["sequence"],
    &["server"],
    &["statistics"],
    &["subscription"],
    &["table"],
    &["text", "search", "configuration"],
    &["text", "search", "dictionary"],
    &["text", "search", "parser"],
    &["text", "search", "template"],
    &["transform"],
    &["trigger"],
    &["type"],
    &["user", "mapping"],
    &["view"],
];

/// What becomes of a statement that drops something.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Clean {
    /// It can be sent as it is.
    AsItIs,
    /// It is sent like this.
    Changed(Vec<u8>),
    /// It is left out: what it is, and why.
    LeftOut(&'static str, &'static str),
}

/// Whether a dump is still at its beginning, where it drops things.
#[derive(Debug)]
pub(super) struct Cleaning {
    open: bool,
    /// How many statements were changed.
    changed: u64,
}

impl Cleaning {
    /// A dump begins.
    pub(super) fn new() -> Self {
        Self {
            open: true,
            changed: 0,
        }
    }

    /// The beginning is over.
    pub(super) fn over() -> Self {
        Self {
            open: false,
            changed: 0,
        }
    }

    /// Another dump begins.
    pub(super) fn again(&mut self) {
        self.open = true;
    }

    /// What becomes of the next statement; none if it drops nothing. The first such statement ends the beginning.
    pub(super) fn judge(&mut self, statement: &[u8]) -> Option<Clean> {
        if !self.open || is_setting(statement) {
            return None;
        }
        let clean = clean(statement);
        self.open = clean.is_some();
        self.changed += u64::from(matches!(clean, Some(Clean::Changed(_))));
        clean
    }

    pub(super) fn changed(&self) -> u64 {
        self.changed
    }
}

fn clean(statement: &[u8]) -> Option<Clean> {
    let words: Vec<Spanned> = tokens(statement).take(FAR).collect();
    let Token::Word(verb) = &words.first()?.token else {
        return None;
    };
    let rest = &words[1..];
    match verb.ascii() {
        "drop" => drops(statement, rest),
        "alter" => alters(statement, rest),
        "select" => unlinks(statement, rest),
        "create" => stands_in(rest),
        _ => None,
    }
}

/// `DROP kind name …`
fn drops(statement: &[u8], words: &[Spanned]) -> Option<Clean> {
    // `class` may be the schema of an operator.
    let mut kinds = KINDS
        .iter()
        .filter(|kind| begins(words, kind) && !is_dot(words.get(kind.len())));
    let kind = kinds.next()?;
    let (kind_words, name) = words.split_at(kind.len());
    let is_of_a_method = matches!(kind, ["operator", "class" | "family"]);
    if is_of_a_method && !is_of_a_known_method(name) {
        return Some(Clean::LeftOut(
            "DROP of operator classes and families",
            "their access method is the dump's own: dropping that drops them",
        ));
    }
    if begins(name, &["if", "exists"]) {
        return Some(Clean::AsItIs);
    }
    let at = kind_words.last()?.at.end;
    Some(Clean::Changed(inserted(statement, &[at])))
}

/// `… USING btree`
fn is_of_a_known_method(words: &[Spanned]) -> bool {
    let using = words.windows(2).find(|it| it[0].token.is("using"));
    using.is_some_and(|it| METHODS.iter().any(|method| it[1].token.is(method)))
}

/// `ALTER TABLE … DROP CONSTRAINT`, `… ALTER COLUMN … DROP DEFAULT`, `ALTER DOMAIN … DROP CONSTRAINT`
fn alters(statement: &[u8], words: &[Spanned]) -> Option<Clean> {
    let skipped = usize::from(begins(words, &["foreign"]));
    let (kind, rest) = words[skipped..].split_first()?;
    let dropped = words.windows(2).find(|it| it[0].token.is("drop"))?;
    let what = &dropped[1];
    let constraint = what.token.is("constraint");
    match &kind.token {
        it if it.is("domain") && constraint => Some(Clean::LeftOut(
            "DROP CONSTRAINT of domains",
            "the domains are dropped too",
        )),
        it if it.is("table") && (constraint || what.token.is("default")) => {
            let mut places = Vec::new();
            if !begins(rest, &["if", "exists"]) {
                places.push(kind.at.end);
            }
            let after = words.iter().skip_while(|it| it.at.end <= what.at.end);
            if constraint && !after.take(1).any(|it| it.token.is("if")) {
                places.push(what.at.end);
            }
            Some(match places.as_slice() {
                [] => Clean::AsItIs,
                places => Clean::Changed(inserted(statement, places)),
            })
        }
        _ => None,
    }
}

/// `SELECT pg_catalog.lo_unlink('16398');`
fn unlinks(statement: &[u8], words: &[Spanned]) -> Option<Clean> {
    let at = words.iter().position(|it| it.token.is("lo_unlink"))?;
    let (of, rest) = (words.get(at + 1)?, &words[at + 2..]);
    if at > 2 || of.token != Token::Symbol(b'(') {
        return None;
    }
    match rest {
        [id, close, end]
            if close.token == Token::Symbol(b')') && end.token == Token::Symbol(b';') =>
        {
            let id = &statement[id.at.clone()];
            let start = b"SELECT pg_catalog.lo_unlink(oid) FROM pg_catalog.pg_largeobject_metadata WHERE oid = ";
            Some(Clean::Changed([start.as_slice(), id, b";"].concat()))
        }
        [id, ..] if id.token.is("oid") => Some(Clean::AsItIs),
        _ => None,
    }
}

/// `CREATE OR REPLACE VIEW … AS SELECT NULL::…`, a stand-in for a view that others depend on.
fn stands_in(words: &[Spanned]) -> Option<Clean> {
    if !begins(words, &["or", "replace", "view"]) {
        return None;
    }
    let is_null = |at: &[Spanned]| begins(at, &["as", "select", "null"]);
    words.windows(3).any(is_null).then_some(Clean::LeftOut(
        "stand-ins of views",
        "they are made only to be dropped",
    ))
}

fn begins(words: &[Spanned], wanted: &[&str]) -> bool {
    words.len() >= wanted.len() && words.iter().zip(wanted).all(|(word, it)| word.token.is(it))
}

fn is_dot(word: Option<&Spanned>) -> bool {
    word.is_some_and(|it| it.token == Token::Symbol(b'.'))
}

/// The statement with `IF EXISTS` inserted at these places.
fn inserted(statement: &[u8], places: &[usize]) -> Vec<u8> {
    let mut changed = Vec::with_capacity(statement.len() + 24);
    let mut done = 0;
    for place in places {
        changed.extend_from_slice(&statement[done..*place]);
        changed.extend_from_slice(b" IF EXISTS");
        done = *place;
    }
    changed.extend_from_slice(&statement[done..]);
    changed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(statement: &str) -> String {
        match clean(statement.as_bytes()) {
            Some(Clean::Changed(changed)) => String::from_utf8(changed).unwrap(),
            other => panic!("{statement}: {other:?}"),
        }
    }

    #[test]
    fn what_is_dropped_need_not_be_there() {
        for (statement, wanted) in [
            ("DROP TABLE public.t;", "DROP TABLE IF EXISTS public.t;"),
            ("DROP VIEW v;", "DROP VIEW IF EXISTS v;"),
            (
                "DROP MATERIALIZED VIEW public.\"if exists\";",
                "DROP MATERIALIZED VIEW IF EXISTS public.\"if exists\";",
            ),
            ("DROP TABLE if;", "DROP TABLE IF EXISTS if;"),
            (
                "DROP TRIGGER b ON public.t;",
                "DROP TRIGGER IF EXISTS b ON public.t;",
            ),
            (
                "DROP FUNCTION public.f(a integer, \"drop\" text);",
                "DROP FUNCTION IF EXISTS public.f(a integer, \"drop\" text);",
            ),
            (
                "DROP OPERATOR public.=== (integer, integer);",
                "DROP OPERATOR IF EXISTS public.=== (integer, integer);",
            ),
            (
                "DROP OPERATOR class.=== (integer, integer);",
                "DROP OPERATOR IF EXISTS class.=== (integer, integer);",
            ),
            (
                "DROP OPERATOR CLASS public.c USING btree;",
                "DROP OPERATOR CLASS IF EXISTS public.c USING btree;",
            ),
            (
                "DROP CAST (text AS public.t);",
                "DROP CAST IF EXISTS (text AS public.t);",
            ),
            (
                "DROP TRANSFORM FOR public.t LANGUAGE sql;",
                "DROP TRANSFORM IF EXISTS FOR public.t LANGUAGE sql;",
            ),
            (
                "DROP USER MAPPING FOR bob SERVER far;",
                "DROP USER MAPPING IF EXISTS FOR bob SERVER far;",
            ),
            (
                "DROP TEXT SEARCH CONFIGURATION public.c;",
                "DROP TEXT SEARCH CONFIGURATION IF EXISTS public.c;",
            ),
            (
                "DROP FOREIGN DATA WRAPPER w;",
                "DROP FOREIGN DATA WRAPPER IF EXISTS w;",
            ),
            (
                "DROP TYPE public.t CASCADE;",
                "DROP TYPE IF EXISTS public.t CASCADE;",
            ),
            ("DROP SCHEMA public;", "DROP SCHEMA IF EXISTS public;"),
            (
                "DROP PROCEDURAL LANGUAGE plpgsql;",
                "DROP PROCEDURAL LANGUAGE IF EXISTS plpgsql;",
            ),
            (
                "ALTER TABLE ONLY public.t DROP CONSTRAINT c;",
                "ALTER TABLE IF EXISTS ONLY public.t DROP CONSTRAINT IF EXISTS c;",
            ),
            (
                "ALTER FOREIGN TABLE ONLY public.t DROP CONSTRAINT \"drop\";",
                "ALTER FOREIGN TABLE IF EXISTS ONLY public.t DROP CONSTRAINT IF EXISTS \"drop\";",
            ),
            (
                "ALTER TABLE public.t ALTER COLUMN id DROP DEFAULT;",
                "ALTER TABLE IF EXISTS public.t ALTER COLUMN id DROP DEFAULT;",
            ),
            (
                "SELECT pg_catalog.lo_unlink('16398');",
                "SELECT pg_catalog.lo_unlink(oid) FROM pg_catalog.pg_largeobject_metadata WHERE oid = '16398';",
            ),
        ] {
            assert_eq!(changed(statement), wanted);
            // As --if-exists writes it, it stays.
            assert_eq!(clean(wanted.as_bytes()), Some(Clean::AsItIs), "{wanted}");
        }
    }

    #[test]
    fn what_has_no_such_words_is_left_out() {
        for statement in [
            "ALTER DOMAIN public.d DROP CONSTRAINT c;",
            "DROP OPERATOR CLASS public.c USING bloom;",
            "DROP OPERATOR CLASS IF EXISTS public.c USING bloom;",
            "ALTER DOMAIN public.d DROP CONSTRAINT IF EXISTS c;",
            "DROP OPERATOR FAMILY public.f USING \"my method\";",
            "CREATE OR REPLACE VIEW public.v AS\nSELECT\n    NULL::public.t AS a,\n    NULL::text AS b;",
        ] {
            let found = clean(statement.as_bytes());
            assert!(
                matches!(found, Some(Clean::LeftOut(..))),
                "{statement}: {found:?}"
            );
        }
    }

    #[test]
    fn anything_else_ends_the_beginning() {
        for statement in [
            "CREATE TABLE public.t (a integer);",
            "CREATE OR REPLACE VIEW public.v AS SELECT 1 AS a;",
            "CREATE VIEW public.v AS SELECT NULL::text AS a;",
            "ALTER TABLE public.t OWNER TO bob;",
            "ALTER TABLE public.t ALTER COLUMN \"drop\" SET DEFAULT 1;",
            "SELECT pg_catalog.setval('public.s', 1, true);",
            "SELECT pg_catalog.lo_create('1');",
            "DROP OWNED BY bob;",
        ] {
            let mut cleaning = Cleaning::new();
            assert_eq!(cleaning.judge(b"SET statement_timeout = 0;"), None);
            assert!(cleaning.judge(b"DROP TABLE t;").is_some());
            assert_eq!(cleaning.judge(statement.as_bytes()), None, "{statement}");
            assert_eq!(cleaning.judge(b"DROP TABLE t;"), None, "{statement}");
            cleaning.again();
            assert!(cleaning.judge(b"DROP TABLE t;").is_some());
            assert_eq!(cleaning.changed(), 2);
        }
    }
}
