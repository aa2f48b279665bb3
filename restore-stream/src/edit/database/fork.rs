//! Other sessions that load parts of the same database.

use dump_text::{Token, tokens};
use job::Error;

use super::super::clean::Cleaning;
use super::super::guard::Guard;
use super::super::large_objects::SideSession;
use super::super::session_settings::SessionSettings;
use super::super::tally::Tally;
use super::super::traits::Out;
use super::state::{DatabaseEdit, Freeze, Rows, Transaction};
use crate::server::target::Destination;

impl DatabaseEdit {
    /// The same edit for another session, which is connected to the database already; none before this one is. It has its
    /// own tally.
    pub(crate) fn fork(&self) -> Option<Self> {
        self.connected.then(|| Self {
            name: self.name.clone(),
            called: self.called.clone(),
            own_encoding: self.own_encoding.clone(),
            destination: self.destination.clone(),
            options: self.options.clone(),
            tally: Tally::default(),
            ownerless: 0,
            definitions: Vec::new(),
            created: true,
            connected: true,
            guard: Guard::default(),
            context: self.context.clone(),
            cleaning: Cleaning::over(),
            transaction: Transaction::None,
            authorization: None,
            side_session: SideSession::default(),
            aside: false,
            rows: Rows::None,
            settings: self.settings.clone(),
            freeze: Freeze::No,
            deferred: Vec::new(),
            deferred_size: 0,
            while_filled: self.while_filled.clone(),
        })
    }

    /// The database that is being filled, by the name that it has now.
    pub(crate) fn database(&self) -> Option<&pg_text::PgText> {
        match &self.destination {
            Destination::Beside(working) if self.connected => Some(working),
            _ => None,
        }
    }

    /// Sends what the session of a fork begins with: all settings that hold in the first one.
    pub(crate) fn join(&self, out: &mut dyn Out) -> Result<(), Error> {
        out.write(self.options.settings.as_bytes())?;
        for deferred in &self.while_filled {
            deferred.send(out)?;
        }
        out.write(&self.context.sql())?;
        let unset = SessionSettings::default();
        for (_, statement) in self.settings.changes_from(&unset) {
            out.write(&[statement.as_slice(), b"\n"].concat())?;
        }
        Ok(())
    }

    /// Adds the tally of a fork.
    pub(crate) fn absorb(&mut self, tally: Tally) {
        self.tally.add(tally);
    }

    /// What the dump has set so far.
    pub(crate) fn settings(&self) -> &SessionSettings {
        &self.settings
    }

    /// Brings the session to these settings, which must be of the same names.
    pub(crate) fn adopt(
        &mut self,
        settings: &SessionSettings,
        out: &mut dyn Out,
    ) -> Result<(), Error> {
        for (_, statement) in settings.changes_from(&self.settings) {
            self.context.see(statement);
            out.write(&[statement.as_slice(), b"\n"].concat())?;
        }
        self.settings = settings.clone();
        Ok(())
    }

    /// The settings by which text is read, as SQL.
    pub(crate) fn reading(&self) -> Vec<u8> {
        self.context.sql()
    }

    /// Whether the dump has begun a transaction of its own.
    pub(crate) fn is_within_transaction(&self) -> bool {
        self.transaction != Transaction::None
    }

    /// Says that the rows of the next COPY are to be frozen, in a table that is emptied before: one that this restore has
    /// created, and that nothing was put into.
    pub(crate) fn freeze_next(&mut self) {
        self.freeze = Freeze::Next;
    }
}

/// A `COPY … FROM stdin;` that empties its table and freezes its rows. A transaction begins before it, so the server writes
/// no WAL for the rows where `wal_level` is `minimal`, and VACUUM need not write them again.
///
/// None if it is not of the form that pg_dump gives it.
pub(super) fn frozen(statement: &[u8]) -> Option<Vec<u8>> {
    let words: Vec<_> = tokens(statement).collect();
    let [copy, name @ .., from, stdin, end] = words.as_slice() else {
        return None;
    };
    let is_end = end.token == Token::Symbol(b';');
    if !copy.token.is("copy") || !from.token.is("from") || !stdin.token.is("stdin") || !is_end {
        return None;
    }
    let is_column = |it: &dump_text::Spanned| it.token == Token::Symbol(b'(');
    let length = name.iter().position(is_column).unwrap_or(name.len());
    let (first, last) = (name.first()?, name[..length].last()?);
    let table = &statement[first.at.start..last.at.end];
    let copy = &statement[copy.at.start..stdin.at.end];
    Some(
        [
            b"BEGIN;\nTRUNCATE TABLE ONLY ",
            table,
            b";\n",
            copy,
            b" WITH (FREEZE);",
        ]
        .concat(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_frozen_in_a_table_that_is_emptied() {
        let of =
            |statement: &str| frozen(statement.as_bytes()).map(|it| String::from_utf8(it).unwrap());
        assert_eq!(
            of("COPY public.\"a (b\" (id, \"from stdin\") FROM stdin;").unwrap(),
            "BEGIN;\nTRUNCATE TABLE ONLY public.\"a (b\";\nCOPY public.\"a (b\" (id, \"from stdin\") FROM stdin WITH (FREEZE);"
        );
        assert_eq!(
            of("COPY public.t FROM stdin;").unwrap(),
            "BEGIN;\nTRUNCATE TABLE ONLY public.t;\nCOPY public.t FROM stdin WITH (FREEZE);"
        );
        for other in [
            "COPY public.t (a) FROM stdin WITH (FORMAT csv);",
            "COPY public.t (a) TO stdout;",
            "COPY FROM stdin;",
            "CREATE TABLE t (a integer);",
        ] {
            assert_eq!(of(other), None, "{other}");
        }
    }
}
