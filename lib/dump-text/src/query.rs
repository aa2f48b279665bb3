/// What is seen of a statement while it is read: whether rows follow it, and whether its text must be
/// looked at when it is whole.
#[derive(Debug, Default)]
pub(crate) struct Query {
    form: Form,
    /// The first words outside parentheses, by which newer psqls decide whether it is a COPY.
    marks: [Mark; 8],
    words: usize,
    /// Whether psql still takes the words of the COPY before for this statement's, which has none yet.
    stale: bool,
    /// Whether a token has come.
    begun: bool,
    /// Whether its first word is one of those that change settings or transactions.
    changes: bool,
    /// Whether its first word is ALTER, and nothing has followed.
    alters: bool,
    /// Whether it is one that may call functions.
    selects: bool,
    /// Whether it has the word `set_config` or `pg_settings`, or a quoted name, which may be the same.
    calls: bool,
}

/// How far `COPY [BINARY] name [(columns)] FROM stdin` has come.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// It is none.
    #[default]
    Not,
    /// A part of the name comes.
    Name,
    /// Behind one.
    Named,
    /// In the columns, or behind them.
    Columns,
    /// Behind FROM.
    From,
    /// Behind `stdin`, or `stdout`, which the server takes for the same.
    Stdin,
    /// In its options or its condition.
    Options,
}

/// What may follow `stdin`, in the ways of this century.
const OPTIONS: [&[u8]; 14] = [
    b"with",
    b"where",
    b"using",
    b"delimiter",
    b"delimiters",
    b"null",
    b"csv",
    b"header",
    b"quote",
    b"escape",
    b"force",
    b"encoding",
    b"binary",
    b"freeze",
];

/// What psql keeps of a word.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Mark {
    #[default]
    Other,
    Copy,
    From,
    Stdin,
}

impl Mark {
    fn of(word: &[u8]) -> Self {
        match word {
            b"copy" => Self::Copy,
            b"from" => Self::From,
            b"stdin" | b"stdout" => Self::Stdin,
            _ => Self::Other,
        }
    }
}

impl Query {
    /// Whether rows follow it: it is a COPY for the server.
    pub(crate) fn is_copy_from_stdin(&self) -> bool {
        matches!(self.form, Form::Stdin | Form::Options)
    }

    /// Whether that is so for some psqls only. Older ones learn from the server whether rows follow. The minor
    /// releases of 2026 go by the first words outside of parentheses, whatever the server says; where there is
    /// none, as in `;`, by those of the statement before.
    pub(crate) fn may_be_copy(&self) -> bool {
        self.is_copy_from_stdin() != (self.has_copy_s_words() || self.stale)
    }

    /// The statement that follows this one.
    pub(crate) fn next(&self) -> Self {
        Self {
            stale: self.stale || self.has_copy_s_words(),
            ..Self::default()
        }
    }

    /// Whether it is one for newer psqls.
    fn has_copy_s_words(&self) -> bool {
        let [Mark::Copy, rest @ ..] = &self.marks else {
            return false;
        };
        let from = rest.iter().position(|mark| *mark == Mark::From);
        from.is_some_and(|at| rest.get(at + 1) == Some(&Mark::Stdin))
    }

    /// Whether its text may say that settings change.
    pub(crate) fn may_change_settings(&self) -> bool {
        self.changes || self.selects && self.calls
    }

    /// A token begins, with this byte, that is no unquoted word; `outside`: of parentheses.
    pub(crate) fn token(&mut self, first: u8, outside: bool) {
        self.begun = true;
        self.alters = false;
        self.calls |= first == b'"';
        if !outside || self.form == Form::Not {
            return;
        }
        self.form = match (self.form, first) {
            (Form::Name, b'"') => Form::Named,
            (Form::Named, b'.') => Form::Name,
            (Form::Named, b'(') => Form::Columns,
            (Form::Stdin, b'(') | (Form::Options, _) => Form::Options,
            _ => Form::Not,
        };
    }

    /// An unquoted word, in lower case.
    pub(crate) fn word(&mut self, word: &[u8], outside: bool) {
        if outside {
            self.mark(word);
        }
        if !std::mem::replace(&mut self.begun, true) {
            self.first(word);
            return;
        }
        self.calls |= self.selects && matches!(word, b"set_config" | b"pg_settings");
        self.changes |= std::mem::take(&mut self.alters)
            && matches!(word, b"database" | b"role" | b"user" | b"system");
        if outside && self.form != Form::Not {
            self.form = match (self.form, word) {
                (Form::Name, b"binary") => Form::Name,
                // Any word may stand behind a dot: `public.from`.
                (Form::Name, _) => Form::Named,
                (Form::Named | Form::Columns, b"from") => Form::From,
                (Form::From, b"stdin" | b"stdout") => Form::Stdin,
                (Form::Options, _) => Form::Options,
                (Form::Stdin, word) if OPTIONS.contains(&word) => Form::Options,
                _ => Form::Not,
            };
        }
    }

    fn mark(&mut self, word: &[u8]) {
        self.stale = false;
        let copies = self.words == 0 || self.marks[0] == Mark::Copy;
        if copies && self.words < self.marks.len() {
            self.marks[self.words] = Mark::of(word);
        }
        self.words = self.words.saturating_add(1);
    }

    fn first(&mut self, word: &[u8]) {
        match word {
            b"copy" => self.form = Form::Name,
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
