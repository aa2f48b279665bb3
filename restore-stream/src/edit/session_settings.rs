//! What a dump has set in its session, so that another session can be brought to the same settings.

use dump_text::{Ddl, ddl, is_setting};

/// The settings by their names, each with the statement that has set it, in the order in which they were first set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SessionSettings(Vec<(String, Vec<u8>)>);

impl SessionSettings {
    /// Notes what a statement sets, if it sets something.
    pub(super) fn see(&mut self, statement: &[u8]) {
        if is_setting(statement)
            && let Ddl::Setting(name) = ddl(statement)
        {
            self.set(&name, statement);
        }
    }

    pub(super) fn set(&mut self, name: &str, statement: &[u8]) {
        match self.0.iter_mut().find(|it| it.0 == name) {
            Some((_, known)) => *known = statement.to_vec(),
            None => self.0.push((name.to_owned(), statement.to_vec())),
        }
    }

    /// The statement that has set this.
    pub(crate) fn of(&self, name: &str) -> Option<&[u8]> {
        let found = self.0.iter().find(|it| it.0 == name);
        found.map(|(_, statement)| statement.as_slice())
    }

    /// The statements that bring a session with the settings `now` to these.
    pub(super) fn changes_from(&self, now: &Self) -> impl Iterator<Item = &(String, Vec<u8>)> {
        let changed = |it: &&(String, Vec<u8>)| now.of(&it.0) != Some(it.1.as_slice());
        self.0.iter().filter(changed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_set_again() {
        let mut settings = SessionSettings::default();
        for statement in [
            "SET client_encoding = 'UTF8';",
            "SELECT pg_catalog.set_config('search_path', '', false);",
            "SET default_tablespace = '';",
            "CREATE TABLE public.t (a integer);",
        ] {
            settings.see(statement.as_bytes());
        }
        let before = settings.clone();
        settings.see(b"SET default_tablespace = fast;");
        let changes: Vec<_> = settings.changes_from(&before).collect();
        assert_eq!(changes.len(), 1);
        assert_eq!(changes[0].1, b"SET default_tablespace = fast;");
        assert_eq!(
            settings.changes_from(&SessionSettings::default()).count(),
            3
        );
        assert_eq!(
            settings
                .of("search_path")
                .map(|it| it.starts_with(b"SELECT")),
            Some(true)
        );
    }
}
