mod transactions;

use std::mem;

use dump_text::{
    Command, Named, Piece, Subject, Token, Verb, is_opening, is_setting, subject, tokens,
};
use job::Error;
use pg_client::{quote_ident, quote_literal, sql};
use pg_text::PgText;

use super::books::Books;
use super::clean::{Clean, Cleaning};
use super::context::Context;
use super::globals::Definition;
use super::guard::{Guard, Let, foreign};
use super::large_objects::Told;
use super::manner::Manner;
use super::owners::names_a_role;
use super::transaction::control;
use super::{Edit, Out, create, deferral, older};
use crate::server::target::Destination;
use transactions::Transaction;

/// What a connection in place becomes where another one would begin: all is one transaction.
const AS_IF_CONNECTED: &str = "SET SESSION AUTHORIZATION DEFAULT;\nRESET ALL;\n";
/// More than any cluster has in settings, in bytes.
const DEFERRED_LIMIT: usize = 8 << 20;

/// A statement that comes last, and under which settings it was written.
#[derive(Debug)]
struct Deferred {
    /// Whether it stood in the dump after the connection to the database. What is said of a database is kept, beside all
    /// others, in the encoding of the database that it is said in.
    connected: bool,
    /// In which line of the dump.
    line: u64,
    context: Context,
    statement: Vec<u8>,
}

impl Deferred {
    fn send(&self, out: &mut dyn Out) -> Result<(), Error> {
        out.at(self.line);
        out.write(&[&self.context.sql(), self.statement.as_slice(), b"\n"].concat())
    }
}

/// The rows of a COPY, where it goes on after errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rows {
    /// None come.
    None,
    Follow,
    /// The COPY has failed: psql would read them as SQL.
    LeftOut,
}

/// Lets a database of the dump be restored under another name, or in one transaction; its own settings come last.
#[derive(Debug)]
pub(crate) struct DatabaseEdit {
    /// The name that the dump gives it; none if it does not say, as one database's dump does not.
    name: Option<PgText>,
    /// What the dump of the database calls it, where that is in another encoding.
    called: Option<PgText>,
    /// The encoding that it is created with, where the dump says that.
    own_encoding: Option<String>,
    destination: Destination,
    manner: Manner,
    books: Books,
    /// How many statements that name a role were left out.
    ownerless: u64,
    /// What the dump said about it before its part began, as older ones do.
    definitions: Vec<Definition>,
    created: bool,
    connected: bool,
    guard: Guard,
    context: Context,
    cleaning: Cleaning,
    transaction: Transaction,
    /// As whom the dump acts, where it says so.
    authorization: Option<Vec<u8>>,
    /// What the session for large objects was told.
    told: Told,
    /// Whether the long statement that is being read goes to that session.
    aside: bool,
    rows: Rows,
    /// Settings that it gets when it is filled.
    deferred: Vec<Deferred>,
    /// What these take, in bytes.
    deferred_size: usize,
    /// Those of them that hold for this session too.
    while_filled: Vec<Deferred>,
}

impl DatabaseEdit {
    pub(crate) fn new(name: Option<PgText>, destination: Destination, manner: Manner) -> Self {
        Self {
            name,
            called: None,
            own_encoding: None,
            destination,
            manner,
            books: Books::default(),
            ownerless: 0,
            definitions: Vec::new(),
            created: false,
            connected: false,
            guard: Guard::default(),
            context: Context::default(),
            cleaning: Cleaning::new(),
            transaction: Transaction::None,
            authorization: None,
            told: Told::default(),
            aside: false,
            rows: Rows::None,
            deferred: Vec::new(),
            deferred_size: 0,
            while_filled: Vec::new(),
        }
    }

    /// Statements about the database that came before its part.
    pub(crate) fn define(&mut self, definitions: Vec<Definition>) {
        self.definitions = definitions;
    }

    /// What the session begins with.
    pub(crate) fn begin(&self, out: &mut dyn Out) -> Result<(), Error> {
        out.write(self.manner.settings.as_bytes())?;
        match self.is_one_transaction() {
            true => out.write(b"BEGIN;\n"),
            false => Ok(()),
        }
    }

    /// What the session ends with, when all was checked.
    pub(crate) fn end(&self) -> &'static str {
        match self.is_one_transaction() {
            true => "COMMIT;",
            false => "",
        }
    }

    /// Connects to the database, which is created if nothing of the dump has.
    pub(crate) fn connect(&mut self, out: &mut dyn Out) -> Result<(), Error> {
        if self.transaction != Transaction::None {
            return Err(foreign("a connection within a transaction"));
        }
        self.apply_definitions(out)?;
        match self.destination.clone() {
            Destination::InPlace(_) if self.connected => out.write(AS_IF_CONNECTED.as_bytes())?,
            Destination::InPlace(_) => {}
            Destination::Beside(working) => {
                self.create(&working, out)?;
                out.connect(&working)?;
            }
            Destination::NamedEarly { working, name } => {
                self.create(&working, out)?;
                out.take_name(working.ascii())?;
                out.connect(&name)?;
                self.destination = Destination::Beside(name);
            }
        }
        self.authorization = None;
        self.connected = true;
        out.write(self.manner.settings.as_bytes())?;
        for deferred in &self.while_filled {
            deferred.send(out)?;
        }
        self.context = Context::default();
        if !self.while_filled.is_empty() {
            out.write(&self.context.sql())?;
        }
        Ok(())
    }

    /// Creates the database, if nothing of the dump has.
    fn create(&mut self, working: &PgText, out: &mut dyn Out) -> Result<(), Error> {
        if self.created {
            return Ok(());
        }
        self.created = true;
        let name = quote_ident(working);
        out.write(sql("CREATE DATABASE {} TEMPLATE template0;\n", &[&name]).as_bytes())
    }

    /// Statements that were written under other settings than what follows them.
    fn apply_definitions(&mut self, out: &mut dyn Out) -> Result<(), Error> {
        if self.definitions.is_empty() {
            return Ok(());
        }
        let own = mem::take(&mut self.context);
        for definition in mem::take(&mut self.definitions) {
            self.books.received();
            out.write(&definition.context.sql())?;
            self.context = definition.context;
            self.statement(&definition.statement, out)?;
            out.write(b"\n")?;
        }
        self.context = own;
        out.write(&self.context.sql())
    }

    /// How many statements that name a role were left out.
    pub(crate) fn ownerless(&self) -> u64 {
        self.ownerless
    }

    /// How many statements of `--clean` were sent with `IF EXISTS`.
    pub(crate) fn cleaned(&self) -> u64 {
        self.cleaning.changed()
    }

    fn command(&mut self, command: &Command, out: &mut dyn Out) -> Result<(), Error> {
        match command {
            Command::Connect(database) => {
                if !self.is_its_name(database) {
                    return Err(self.another(database));
                }
                self.connect(out)
            }
            command => self.guard.encoding(command, &mut self.context, out),
        }
    }

    /// Hands a statement on, changed if it must be; or leaves it out, which is written down. Whether it is handed on.
    fn statement(&mut self, statement: &[u8], out: &mut dyn Out) -> Result<bool, Error> {
        if !self.manner.owners && names_a_role(statement) {
            self.ownerless += 1;
            self.books.without_owner();
            return Ok(false);
        }
        if let Some(control) = control(statement) {
            return self.control(control, statement, out);
        }
        if self.is_one_transaction()
            && let Some(handed_on) = self.within_one(statement, out)?
        {
            return Ok(handed_on);
        }
        let about = subject(statement);
        match about
            .as_ref()
            .and_then(|about| Some((about, about.database()?)))
        {
            Some((about, named)) => self.about_database(statement, about, named, out),
            None => self.plain(statement, out),
        }
    }

    fn about_database(
        &mut self,
        statement: &[u8],
        about: &Subject,
        named: &Named,
        out: &mut dyn Out,
    ) -> Result<bool, Error> {
        if !self.is_its_name(&named.name) {
            return Err(self.another(&named.name));
        }
        match (&self.destination, about.verb) {
            (_, Verb::Drop) => {
                let what = format!("DROP DATABASE '{}'", named.name);
                self.books
                    .leave_out(what, "nothing that is there is dropped by a dump");
                Ok(false)
            }
            (Destination::InPlace(_), Verb::Create) => {
                let what = format!("CREATE DATABASE '{}'", named.name);
                self.books.leave_out(what, "it is there");
                Ok(false)
            }
            (Destination::Beside(_) | Destination::NamedEarly { .. }, Verb::Create)
                if self.created =>
            {
                let what = format!("another CREATE DATABASE '{}'", named.name);
                self.books.leave_out(what, "it was created before");
                Ok(false)
            }
            (Destination::InPlace(_), _) => {
                self.now_or_last(statement.to_vec(), about, statement, out)
            }
            (Destination::Beside(working) | Destination::NamedEarly { working, .. }, verb) => {
                self.created |= verb == Verb::Create;
                if verb == Verb::Create {
                    self.own_encoding = create::encoding(statement);
                }
                let known = match verb {
                    Verb::Create => self.creation(statement),
                    _ => statement.to_vec(),
                };
                let renamed = renamed(&known, named, working);
                self.now_or_last(renamed, about, statement, out)
            }
        }
    }

    /// A `CREATE DATABASE` as this server and this restore want it.
    fn creation(&self, statement: &[u8]) -> Vec<u8> {
        let Manner { server, owners, .. } = self.manner;
        create::without(statement, |keyword, value| {
            older::says_nothing(keyword, value, server) || !owners && keyword == "owner"
        })
    }

    /// `as_dumped` is what `about` was read of; `statement` is what the server gets.
    fn now_or_last(
        &mut self,
        statement: Vec<u8>,
        about: &Subject,
        as_dumped: &[u8],
        out: &mut dyn Out,
    ) -> Result<bool, Error> {
        if let Some(context) = self.elsewhere(&statement) {
            self.deferred.push(Deferred {
                connected: false,
                line: out.line(),
                context,
                statement,
            });
            return Ok(true);
        }
        let context = self.beside(&statement);
        let statement = self.in_its_names(&statement).into_owned();
        let cut = !statement.ends_with(b";");
        if cut || !deferral::waits(as_dumped, about) {
            return match context {
                None => self.send(&statement, out),
                Some(mut context) => {
                    out.write(&context.sql())?;
                    self.books.sent();
                    self.guard
                        .send(&statement, self.manner.wary, &mut context, out)?;
                    out.write(&[b"\n", self.context.sql().as_slice()].concat())?;
                    Ok(true)
                }
            };
        }
        self.deferred_size += statement.len();
        if self.deferred_size > DEFERRED_LIMIT {
            return Err(foreign("more settings of a database than any has"));
        }
        if let Some(context) = &context {
            out.write(&context.sql())?;
        }
        self.try_out(&statement, out)?;
        if context.is_some() {
            out.write(&self.context.sql())?;
        }
        let context = context.unwrap_or_else(|| self.context.clone());
        let line = out.line();
        let deferred = |statement| Deferred {
            connected: self.connected,
            line,
            context: context.clone(),
            statement,
        };
        let held = deferral::while_filled(as_dumped, about).map(&deferred);
        let last = deferred(statement);
        self.while_filled.extend(held);
        self.deferred.push(last);
        // It counts when it is sent.
        Ok(true)
    }

    fn plain(&mut self, statement: &[u8], out: &mut dyn Out) -> Result<bool, Error> {
        if older::is_unknown(statement, self.manner.server) {
            let why = format!("PostgreSQL {} does not know it", self.manner.server);
            self.books.leave_out("SET transaction_timeout", why);
            return Ok(false);
        }
        if !self.connected && !is_setting(statement) {
            if !self.destination.is_in_place() {
                return Err(foreign("statements before it connects to their database"));
            }
            self.apply_definitions(out)?;
        }
        match self.cleaning.judge(statement) {
            None | Some(Clean::AsItIs) => self.send(&self.in_its_names(statement), out),
            Some(Clean::Changed(statement)) => self.send(&self.in_its_names(&statement), out),
            Some(Clean::LeftOut(what, why)) => {
                self.books.leave_out(what, why);
                Ok(false)
            }
        }
    }

    fn send(&mut self, statement: &[u8], out: &mut dyn Out) -> Result<bool, Error> {
        self.books.sent();
        if self.manner.goes_on && is_copy_in(statement) {
            if self.transaction != Transaction::None {
                return Err(Error::failed(
                    "the backup has a COPY within a transaction: it cannot go on after errors",
                )
                .hint("restore it without --on-error continue"));
            }
            self.rows = match out.copy(statement)? {
                true => Rows::Follow,
                false => Rows::LeftOut,
            };
            return Ok(true);
        }
        self.guard
            .send(statement, self.manner.wary, &mut self.context, out)?;
        Ok(true)
    }

    /// What is no beginning of a statement.
    fn pass(&mut self, piece: Piece<'_>, sql: &[u8], out: &mut dyn Out) -> Result<(), Error> {
        match piece {
            Piece::Data(_) | Piece::DataEnd { .. } if self.manner.goes_on => {
                let rows = self.rows;
                if matches!(piece, Piece::DataEnd { .. }) {
                    self.rows = Rows::None;
                }
                match rows {
                    Rows::Follow => out.write(sql),
                    Rows::LeftOut => Ok(()),
                    Rows::None => Err(Error::failed(
                        "the backup has rows of which it is not clear what COPY they belong to",
                    )
                    .hint("restore it without --on-error continue")),
                }
            }
            Piece::Body { last, .. } if self.aside => {
                self.aside = !last;
                let end: &[u8] = if last { b"\n" } else { b"" };
                out.large_objects()?.write(&[sql, end].concat())
            }
            _ => out.write(sql),
        }
    }

    fn another(&self, database: &PgText) -> Error {
        let name = self.name.clone().unwrap_or_default();
        foreign(&format!(
            "statements about the database '{database}' in the part of '{name}'"
        ))
    }
}

impl Edit for DatabaseEdit {
    fn piece(&mut self, piece: Piece<'_>, out: &mut dyn Out) -> Result<(), Error> {
        if let Piece::Comment(line) = piece
            && is_opening(line)
        {
            self.cleaning.again();
        }
        match self.guard.judge(piece)? {
            Let::Nothing => Ok(()),
            Let::Pass(sql) => self.pass(piece, sql, out),
            Let::Command(command) => self.command(&command, out),
            Let::Statement(statement) => {
                self.books.read();
                if !self.statement(statement, out)? {
                    self.guard.leave_out(piece);
                }
                Ok(())
            }
        }
    }

    fn close(&mut self, out: &mut dyn Out) -> Result<(), Error> {
        if self.transaction != Transaction::None {
            return Err(foreign(
                "a transaction that is never committed: what is in it would be lost",
            ));
        }
        match self.connected {
            true => Ok(()),
            false => self.connect(out),
        }
    }

    fn last(&mut self, out: &mut dyn Out) -> Result<bool, Error> {
        let deferred = mem::take(&mut self.deferred);
        let in_place = self.destination.is_in_place();
        let (own, others): (Vec<_>, Vec<_>) =
            deferred.iter().partition(|it| in_place || it.connected);
        for statement in own {
            self.books.sent();
            statement.send(out)?;
        }
        if !others.is_empty() {
            out.connect(&self.manner.maintenance)?;
            out.write(self.manner.settings.as_bytes())?;
        }
        for statement in others {
            self.books.sent();
            statement.send(out)?;
        }
        Ok(!deferred.is_empty())
    }

    fn take_books(&mut self) -> Books {
        mem::take(&mut self.books)
    }
}

fn renamed(statement: &[u8], named: &Named, new: &PgText) -> Vec<u8> {
    let new = match named.text {
        true => quote_literal(new),
        false => quote_ident(new),
    };
    let (before, after) = (&statement[..named.at.start], &statement[named.at.end..]);
    [before, new.as_bytes(), after].concat()
}

/// `COPY … FROM stdin`, whose rows follow.
fn is_copy_in(statement: &[u8]) -> bool {
    let mut depth = 0_u32;
    let mut from = false;
    let mut words = tokens(statement).map(|spanned| spanned.token);
    words.next().is_some_and(|word| word.is("copy"))
        && words.any(|word| {
            match word {
                Token::Symbol(b'(') => depth += 1,
                Token::Symbol(b')') => depth = depth.saturating_sub(1),
                _ => {}
            }
            let found = depth == 0 && from && word.is("stdin");
            from = word.is("from");
            found
        })
}

mod encodings;
#[cfg(test)]
mod tests;
