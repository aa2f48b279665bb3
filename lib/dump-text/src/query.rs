/// What is seen of a statement while it is read: whether rows follow it, and whether its text must be
/// looked at when it is whole.
#[derive(Debug, Default)]
pub(crate) struct Query {
    copy: Copy,
    last: Last,
    /// Whether its first word is one of those that change settings or transactions.
    changes: bool,
    /// Whether its first word is ALTER, and nothing has followed.
    alters: bool,
    /// Whether it may call functions.
    selects: bool,
    /// Whether it has the word `set_config` or `pg_settings`, or a quoted name, which may be the same.
    calls: bool,
}

/// How far `COPY … FROM stdin` has come.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Copy {
    #[default]
    Not,
    /// Up to its FROM.
    Open,
    /// Directly after its FROM.
    From,
    /// `stdin`, or `stdout`, which the server takes for the same.
    Stdin,
}

/// The token before the one that is looked at.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Last {
    /// There was none.
    #[default]
    None,
    Dot,
    Other,
}

impl Query {
    /// Whether rows follow it.
    pub(crate) fn is_copy_from_stdin(&self) -> bool {
        self.copy == Copy::Stdin
    }

    /// Whether its text may say that settings change.
    pub(crate) fn may_change_settings(&self) -> bool {
        self.changes || self.selects && self.calls
    }

    /// A token begins that is no unquoted word.
    pub(crate) fn token(&mut self) {
        if self.copy == Copy::From {
            self.copy = Copy::Not;
        }
        self.alters = false;
        self.last = Last::Other;
    }

    /// That token is a quoted name.
    pub(crate) fn name(&mut self) {
        self.calls = true;
    }

    /// That token is a dot.
    pub(crate) fn dot(&mut self) {
        self.last = Last::Dot;
    }

    /// An unquoted word, in lower case; `outside`: of parentheses.
    pub(crate) fn word(&mut self, word: &[u8], outside: bool) {
        let after = std::mem::replace(&mut self.last, Last::Other);
        if after == Last::None {
            self.first(word);
            return;
        }
        self.calls |= matches!(word, b"set_config" | b"pg_settings");
        self.changes |= std::mem::take(&mut self.alters)
            && matches!(word, b"database" | b"role" | b"user" | b"system");
        self.copy = match self.copy {
            // `public.from` is a table.
            Copy::Open if outside && word == b"from" && after != Last::Dot => Copy::From,
            Copy::From if matches!(word, b"stdin" | b"stdout") => Copy::Stdin,
            Copy::From => Copy::Not,
            copy => copy,
        };
    }

    fn first(&mut self, word: &[u8]) {
        match word {
            b"copy" => self.copy = Copy::Open,
            b"set" | b"reset" | b"discard" | b"begin" | b"start" | b"commit" | b"end"
            | b"rollback" | b"abort" | b"savepoint" | b"release" | b"prepare" => {
                self.changes = true;
            }
            b"alter" => self.alters = true,
            b"select" | b"values" | b"with" | b"update" => self.selects = true,
            _ => {}
        }
    }
}
